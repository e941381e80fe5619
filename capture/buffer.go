package capture

import (
	"io"
	"math"
)

// A buffer reads a stream in large pieces and hands out slices of itself.
type buffer struct {
	src io.Reader
	// data[start:end] is read and not yet consumed.
	data       []byte
	start, end int
	// base is the position of data[0] in the stream.
	base int64
	// err is the error that ended the stream.
	err error
	// want is the size to which data grows when reads fill it.
	want int
	// mapped is set if data is a whole file in memory, with err at its end, of
	// which more is prepared once start is at due.
	mapped *mapping
	due    int
	// until is where reading ends that is ahead of its turn, see [Part]; 0 if it
	// is not.
	until int
	// layout is how records follow one another.
	layout layout
	scouts scouts
}

// mappedBuffer hands out slices of a mapped file.
func mappedBuffer(m *mapping) buffer {
	return buffer{data: m.data, end: len(m.data), err: io.EOF, mapped: m}
}

func newBuffer(src io.Reader, want int) buffer {
	return buffer{src: src, data: make([]byte, firstRead), want: max(want, firstRead), due: math.MaxInt}
}

// follow is told how records follow one another from here on.
func (b *buffer) follow(l layout) { b.layout = l }

// offset is the position of the first unconsumed byte in the stream.
func (b *buffer) offset() int64 { return b.base + int64(b.start) }

// bytes returns what is read and not consumed. It is valid until need.
func (b *buffer) bytes() []byte { return b.data[b.start:b.end] }

// skip consumes n bytes that need has made available.
func (b *buffer) skip(n int) {
	b.start += n
	if b.scouts.going {
		b.scouts.step()
	}
}

// need makes n bytes available, and reports whether the stream has that many.
// It reads no more than it must wait for: a stream that comes in small pieces
// is handed on in small pieces. n is at most maxBlock.
func (b *buffer) need(n int) bool { return b.end-b.start >= n && b.start < b.due || b.more(n) }

// more is need where something is to be done for it.
func (b *buffer) more(n int) bool {
	if b.start >= b.due {
		b.advance()
	}
	return b.end-b.start >= n || b.fill(n)
}

// advance prepares what follows of a mapped file. A record begins at start, or
// the file ends.
func (b *buffer) advance() {
	until := b.until
	if until == 0 {
		until = b.mapped.advance(b.start)
	}
	b.due = min(b.start+aheadBytes, until)
	b.scouts.send(b.layout, b.data[:b.due], b.start)
	if b.due == len(b.data) {
		b.due = math.MaxInt
	}
}

func (b *buffer) fill(n int) bool {
	for idle := 0; b.end-b.start < n; {
		if b.err != nil {
			return false
		}
		b.makeRoom()
		m, err := b.src.Read(b.data[b.end:])
		b.end += m
		b.err = err
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 && err == nil {
			b.err = io.ErrNoProgress
		}
	}
	return true
}

// makeRoom leaves free space at the end of data. The buffer grows only when it
// is full of bytes that did come, never because a length field announces them.
func (b *buffer) makeRoom() {
	kept := b.end - b.start
	full := b.end == len(b.data)
	switch {
	case kept == len(b.data) || full && len(b.data) < b.want:
		b.moveTo(make([]byte, min(2*len(b.data), max(maxBlock, 2*kept))))
	case kept == 0 || len(b.data)-b.end < firstRead/2:
		b.moveTo(b.data)
	}
}

func (b *buffer) moveTo(to []byte) {
	kept := copy(to, b.data[b.start:b.end])
	b.base += int64(b.start)
	b.data, b.start, b.end = to, 0, kept
}
