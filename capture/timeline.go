package capture

import (
	"cmp"
	"io"
	"os"
	"sync/atomic"
)

// Files reads several inputs as one timeline; it is a [Source]. Packets come in
// the order of their time, and in the order of their inputs where times are
// equal; an input's own order is never changed. A packet without time comes
// directly after the one before it in its input.
//
// With many inputs a file is open only while the timeline is within it.
type Files struct {
	tracks []*track
	// waiting is a heap of the tracks that have a packet, the next one first.
	waiting []*track
	// delivered is the track whose packet the caller has, or nil. It moves on
	// at the next call: until then the packet's bytes must stay.
	delivered *track
	// retired are the mapped files that were read to their end.
	retired    []*mapping
	alone      bool // one input
	few        bool // at most keptOpen inputs
	bufferSize int
	total      int64
	endless    bool
}

// A track is one input on the timeline.
type track struct {
	files  *Files
	path   string
	index  uint32
	reader *Reader
	file   *os.File
	// mapped is the file in memory, nil if it is read.
	mapped *mapping
	// regular says that the file can be closed and opened again.
	regular bool
	// spaced is how far records were apart lately, in bytes; 0 if that is not known.
	spaced int
	// size is the file's size in bytes, 0 if unknown.
	size     int64
	consumed atomic.Int64
	// head is the next packet, at its place on the timeline; valid unless the
	// track is fresh, parked or ended.
	head  Packet
	place int64
	// fresh says that no packet has been read yet.
	fresh bool
	ended bool
	// parked says that the file is closed, its place being known.
	parked bool
	// idle describes the input while there is no reader.
	idle Input
}

// advance reads the track's next packet.
func (t *track) advance() {
	if err := t.reader.Next(&t.head); err != nil {
		t.end()
		return
	}
	if t.head.Time != 0 {
		t.place = t.head.Time
	}
}

// next reads the next packet of the only track.
func (t *track) next(p *Packet) error {
	if t.ended {
		return io.EOF
	}
	if err := t.reader.Next(p); err != nil {
		t.end()
		return err
	}
	return nil
}

// end closes a track that was read to its end.
func (t *track) end() {
	t.ended = true
	t.retire()
	t.closeFile()
	t.consumed.Store(t.size)
}

// retire keeps the memory of a mapped file, of which packets may still be looked
// at, until everything is closed.
func (t *track) retire() {
	if t.mapped != nil {
		t.mapped.retire()
		t.files.retired = append(t.files.retired, t.mapped)
		t.mapped = nil
	}
}

func (t *track) closeFile() error {
	var err error
	if t.reader != nil {
		err = t.reader.Close()
	}
	if t.mapped != nil {
		err = cmp.Or(err, t.mapped.close())
		t.mapped = nil
	}
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
	return err
}

// before is the order of the timeline.
func (t *track) before(u *track) bool {
	return t.place < u.place || t.place == u.place && t.index < u.index
}

// start arranges the tracks for reading.
func (f *Files) start() {
	for _, t := range f.tracks {
		if !t.ended {
			f.waiting = append(f.waiting, t)
		}
	}
	for i := len(f.waiting)/2 - 1; i >= 0; i-- {
		f.sink(i)
	}
}

// sink moves the track at i down to its place in the heap.
func (f *Files) sink(i int) {
	h := f.waiting
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].before(h[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		h[i], h[first] = h[first], h[i]
		i = first
	}
}

// Next reads the next packet into p; see [Source]. The only error is io.EOF.
func (f *Files) Next(p *Packet) error {
	if f.alone {
		return f.tracks[0].next(p)
	}
	if f.delivered != nil {
		f.delivered.advance()
		f.settle()
		f.delivered = nil
	}
	for len(f.waiting) > 0 {
		t := f.waiting[0]
		if t.parked || t.fresh {
			t.wake()
			f.settle()
			continue
		}
		*p = t.head
		f.delivered = t
		return nil
	}
	return io.EOF
}

// settle puts the first track, which has moved on, to its place.
func (f *Files) settle() {
	if f.waiting[0].ended {
		last := len(f.waiting) - 1
		f.waiting[0] = f.waiting[last]
		f.waiting[last] = nil
		f.waiting = f.waiting[:last]
	}
	f.sink(0)
}

// Inputs describes the inputs in the order of the paths given to [Open].
func (f *Files) Inputs() []Input {
	inputs := make([]Input, len(f.tracks))
	for i, t := range f.tracks {
		if t.reader != nil {
			inputs[i] = t.reader.input()
		} else {
			inputs[i] = t.idle
		}
	}
	return inputs
}

// Progress returns how many bytes of the files are read, and how many there are
// in all, as they are on disk; total is 0 if that is not known, as for standard
// input. It may be called while another goroutine reads.
func (f *Files) Progress() (read, total int64) {
	for _, t := range f.tracks {
		read += t.consumed.Load()
	}
	if f.endless {
		return read, 0
	}
	return read, max(read, f.total)
}

// Close closes all inputs.
func (f *Files) Close() error {
	var first error
	for _, t := range f.tracks {
		if t.reader == nil {
			continue
		}
		if err := t.closeFile(); err != nil && first == nil {
			first = err
		}
	}
	for _, m := range f.retired {
		if err := m.close(); err != nil && first == nil {
			first = err
		}
	}
	f.waiting, f.delivered, f.retired = nil, nil, nil
	return first
}

// HasSecrets reports whether key logs were found in the inputs so far (pcapng
// Decryption Secrets Blocks).
func (f *Files) HasSecrets() bool {
	for _, t := range f.tracks {
		if t.reader != nil && t.reader.HasSecrets() || len(t.idle.Secrets) > 0 {
			return true
		}
	}
	return false
}
