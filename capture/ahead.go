package capture

import (
	"bytes"
	"encoding/binary"

	"distproof/internal/prefetch"
)

// Records are a chain: the length of one leads to the next, and that one's header
// is far enough away to be waited for. In a mapped file this wait would be most of
// what reading takes. Scouts therefore go ahead of the reader, each in a section
// of its own, and ask the processor for the headers there without waiting for
// them: what a scout asks for comes while the reader reads two records, and then
// it goes on. Where the first record of a section begins is guessed. A wrong
// guess costs time and nothing else: what scouts see changes nothing but what the
// processor has in its cache. See [Part] for what other processors make of a
// guess.

const (
	// aheadBytes is how far scouts go at most: the headers there fit into a
	// processor's cache.
	aheadBytes = 2 << 20
	// aheadScouts are so many that little is left to the reader, who reads the first
	// section without one.
	aheadScouts = 6
	// aheadSearch is how far a record is searched for, and aheadTries how many places
	// are looked at that might be one.
	aheadSearch = 4 << 10
	aheadTries  = 200
	// aheadHeader is how much of a record is wanted: its header and those up to
	// TCP, inside VXLAN too.
	aheadHeader = 144
	// aheadFetched takes three lines of the caches, wherever in one it begins.
	aheadFetched = 129
)

// A layout says how records follow one another. The zero value says nothing.
type layout struct {
	big bool
	// lengthAt is where a record has its length, and more what is to be added for
	// the distance to the next one.
	lengthAt, more int
	// markAt and markLength say which bytes of all records nearby are the same.
	markAt, markLength int
}

func (l *layout) length(record []byte) int {
	n := binary.LittleEndian.Uint32(record[l.lengthAt:])
	if l.big {
		n = binary.BigEndian.Uint32(record[l.lengthAt:])
	}
	return int(max(min(n, maxBlock), blockFrame)) + l.more
}

// scouts go ahead of a reader. The zero value has none.
type scouts struct {
	data   []byte
	layout layout
	// Each is at a record, or what is taken for one, until it reaches the end of its
	// section.
	at, end [aheadScouts]int
	// going says that some are under way, and odd that it is the turn of every
	// second of them.
	going, odd bool
}

// send sends scouts ahead of a reader at from, to the end of data. Each section is
// half as long as all before it together, so that the reader, who is twice as
// fast, does not catch up.
func (s *scouts) send(l layout, data []byte, from int) {
	end := len(data) - aheadHeader
	if s.going = l.markLength > 0 && from < end; !s.going {
		return
	}
	s.data, s.layout = data, l
	mark, size := l.mark(data[from:]), end-from
	for i := range s.at {
		size = size * 2 / 3
		s.at[i] = min(l.guess(data, from+size, from+size+aheadSearch, mark), end)
		s.end[i], end = end, s.at[i]
	}
}

// step lets every second scout go on to the next record, now that the reader does.
func (s *scouts) step() {
	s.odd = !s.odd
	i := 0
	if s.odd {
		i = 1
	}
	going := false
	for ; i < aheadScouts; i += 2 {
		if s.at[i] >= s.end[i] {
			continue
		}
		going = true
		s.at[i] += s.layout.length(s.data[s.at[i]:])
		if s.at[i] < s.end[i] {
			prefetch.Bytes(s.data[s.at[i]:][:aheadFetched])
		}
	}
	// The first one has the longest way.
	s.going = going || s.at[0] < s.end[0]
}

// mark returns what a record has in common with those nearby.
func (l *layout) mark(record []byte) []byte { return record[l.markAt:][:l.markLength] }

// guess returns where the first record begins at or behind from, with two behind
// it; len(b) if none with the mark is found before to.
func (l *layout) guess(b []byte, from, to int, mark []byte) int {
	to = min(to, len(b)-l.markAt)
	from += l.markAt
	for try := 0; from < to && try < aheadTries; from, try = from+1, try+1 {
		i := bytes.Index(b[from:to], mark)
		if i < 0 {
			break
		}
		from += i
		at, n := from-l.markAt, 0
		for ; n < 3 && at <= len(b)-aheadHeader && string(b[at+l.markAt:][:len(mark)]) == string(mark); n++ {
			at += l.length(b[at:])
		}
		if n == 3 {
			return from - l.markAt
		}
	}
	return len(b)
}
