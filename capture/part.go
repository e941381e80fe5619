package capture

import (
	"io"
	"math"
)

// A Part is a piece of a mapped file that is read ahead of its turn, by another
// goroutine than the one that reads the file. Where its first record begins is
// guessed. It ends before anything that is more than a packet, such as a new
// interface, damage, or the end of the file.
//
// [Files.Join] then finds out whether the guess was right, and nothing has
// changed meanwhile how packets are to be read. If so, the packets are those that
// Next of the file would have returned, and the file goes on behind them. If not,
// nothing of the part counts. So parts change nothing but who reads.
type Part struct {
	reader Reader
	// The records that begin at data[from:to] are to be read.
	from, to int
	// begun says that the first one was looked for, and start is where it begins;
	// -1 if there is none.
	begun bool
	start int
	// mark is what it has in common with the one at which the file was.
	mark []byte
	// past is to be given back, before the part is fetched.
	past []byte
	// version is that of the file's reader.
	version int
}

// Part makes p the next part of the file, for about that many packets and at most
// size bytes. It returns false if no other goroutine can read ahead: there are
// several inputs, or one that is not mapped, or nothing is left of it. Packets
// that p has already are not needed any more.
func (f *Files) Part(p *Part, packets, size int) bool {
	if !f.alone || f.tracks[0].mapped == nil {
		return false
	}
	t := f.tracks[0]
	m, r := t.mapped, t.reader
	at, l := r.buf.start, &r.buf.layout
	from := max(m.parted, at)
	if r.in.Packets == 0 || l.markLength == 0 || at+l.markAt+l.markLength > len(m.data) || from >= len(m.data) {
		return false
	}
	to := min(from+max(min(packets*t.spacing(), size), 1), len(m.data))
	if to-from >= page {
		to = to / page * page // which is fetched whole
	}
	m.parted, m.ready, m.fetched = to, max(m.ready, to), max(m.fetched, to)
	*p = Part{from: from, to: to, start: -1, past: m.past(at), version: r.version, mark: append(p.mark[:0], l.mark(m.data[at:])...),
		reader: Reader{
			index: r.index, big: r.big, isNG: r.isNG, pcap: r.pcap, ahead: true,
			ng:  ngState{interfaces: append(p.reader.ng.interfaces[:0], r.ng.interfaces...), foreign: r.ng.foreign},
			buf: buffer{data: m.data, end: len(m.data), err: io.EOF, mapped: m, until: to, layout: *l},
		}}
	return true
}

// spacing is about how far records are apart.
func (t *track) spacing() int {
	if t.spaced == 0 {
		return t.reader.buf.start / int(t.reader.in.Packets)
	}
	return t.spaced
}

// Next reads the next packet of p, and returns false behind the last one. Frames
// are counted from the beginning of the part. It may be called by any goroutine,
// one at a time.
func (p *Part) Next(packet *Packet) bool {
	b := &p.reader.buf
	if !p.begun {
		p.begun = true
		release(p.past)
		populate(b.data[p.from/page*page : p.to])
		if at := b.layout.guess(b.data, p.from, p.to, p.mark); at < p.to {
			p.start, b.start = at, at
		}
	}
	return p.start >= 0 && b.start < p.to && p.reader.Next(packet) == nil
}

// Reached reports whether the file was read up to p.
func (f *Files) Reached(p *Part) bool { return f.tracks[0].reader.buf.start >= p.from }

// Join goes on behind p, of which nobody reads any more, if its packets come
// next. frames is then to be added to the numbers of their frames.
func (f *Files) Join(p *Part) (frames uint32, ok bool) {
	t := f.tracks[0]
	r, more := t.reader, &p.reader
	if p.start != r.buf.start || p.version != r.version || more.in.Packets > uint64(math.MaxUint32-r.frame) {
		return 0, false
	}
	if more.in.Packets > 0 {
		t.spaced = (more.buf.start - p.start) / int(more.in.Packets)
	}
	frames = r.frame
	r.frame += uint32(more.in.Packets)
	r.buf.start = more.buf.start
	r.in.add(&more.in)
	t.consumed.Store(int64(r.buf.start))
	return frames, true
}
