package tcp

import (
	"math"
	"sort"
)

// A chunk is a piece of a stream that waits for what is before it.
type chunk struct {
	origin
	b []byte
	// wireEnd is the offset at which the segment ended on the wire: above the
	// end of b, the rest was cut off by the capture.
	wireEnd int64
	// seen is the count of data segments when the chunk arrived.
	seen uint32
	// shared says that a clone has the same bytes.
	shared bool
}

func (c *chunk) end() int64 { return c.off + int64(len(c.b)) }

// held is the out-of-order data of one direction. Chunks are sorted by offset
// and do not overlap. A chunk without bytes only says where a segment was cut.
type held struct {
	chunks []chunk
	bytes  int
	// seen is the count of data segments at which the first hole was noticed.
	seen uint32
}

func (l *held) end() int64 {
	end := int64(math.MinInt64) // offsets are negative while the beginning is not known
	for i := len(l.chunks) - 1; i >= 0 && i >= len(l.chunks)-2; i-- {
		end = max(end, l.chunks[i].end(), l.chunks[i].wireEnd)
	}
	return end
}

// endsWith reports whether the byte at off is the last one held.
func (l *held) endsWith(off int64) bool {
	last := &l.chunks[len(l.chunks)-1]
	return off+1 == last.end() && len(last.b) > 0
}

// after returns the index of the first chunk that ends after off.
func (l *held) after(off int64) int {
	return sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].end() > off })
}

func (l *held) insert(i int, c chunk) {
	l.chunks = append(l.chunks, chunk{})
	copy(l.chunks[i+1:], l.chunks[i:])
	l.chunks[i] = c
	l.bytes += len(c.b)
}

// pop removes the first chunk.
func (l *held) pop() chunk {
	c := l.chunks[0]
	l.chunks[0] = chunk{} // for the garbage collector
	l.chunks = l.chunks[1:]
	l.bytes -= len(c.b)
	return c
}

// clash returns the lowest offset at which b, at off, differs from what is
// held, or -1.
func (l *held) clash(off int64, b []byte) int64 {
	end := off + int64(len(b))
	for i := l.after(off); i < len(l.chunks) && l.chunks[i].off < end; i++ {
		c := &l.chunks[i]
		from, to := max(off, c.off), min(end, c.end())
		if at := differ(b[from-off:to-off], c.b[from-c.off:to-c.off]); at >= 0 {
			return from + int64(at)
		}
	}
	return -1
}

// free returns the first part of [off, end) that is not held, and the index at
// which it belongs. It is empty if all is held.
func (l *held) free(off, end int64) (from, to int64, i int) {
	for off < end {
		i = l.after(off)
		if i == len(l.chunks) {
			return off, end, i
		}
		if c := &l.chunks[i]; c.off > off {
			return off, min(end, c.off), i
		}
		off = l.chunks[i].end()
	}
	return end, end, i
}

// extend notes with the chunk that ends at off that its segment went on to
// wireEnd. It returns false if there is none. If a chunk goes on after off, no
// note is needed.
func (l *held) extend(off, wireEnd int64) bool {
	i := l.after(off)
	if i < len(l.chunks) && l.chunks[i].off <= off {
		return true
	}
	if i > 0 && l.chunks[i-1].end() == off {
		l.chunks[i-1].wireEnd = max(l.chunks[i-1].wireEnd, wireEnd)
		return true
	}
	return false
}

// firstSeen finds out when the first hole was noticed: when the first of the
// chunks arrived.
func (l *held) firstSeen(now uint32) {
	age := uint32(0)
	for i := range l.chunks {
		age = max(age, now-l.chunks[i].seen)
	}
	l.seen = now - age
}

// differ returns the index of the first byte in which a and b, equally long,
// differ, or -1.
func differ(a, b []byte) int {
	if string(a) == string(b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// heldBytes returns the number of bytes that wait.
func (h *half) heldBytes() int {
	if h.held == nil {
		return 0
	}
	return h.held.bytes
}
