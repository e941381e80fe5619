package capture

import (
	"bytes"
	"encoding/binary"
)

// Records are a chain: the length of one leads to the next, and that one's header
// is far enough away to be waited for. In a mapped file this wait is most of what
// reading takes. A piece of the file is therefore walked before it is read, from
// several places at once, so that the waits are at the same time. Where a record
// begins there is guessed. A wrong guess costs time and nothing else: all that is
// made of what is seen is that the processor has it in its cache. See [Part] for
// what other processors make of a guess.

const (
	// aheadBytes are walked at once: their headers fit into a processor's cache.
	aheadBytes = 1 << 20
	// aheadChains is the number of places, about as many as a processor waits for
	// at the same time.
	aheadChains = 8
	// aheadSearch is how far a record is searched for, and aheadTries how many places
	// are looked at that might be one.
	aheadSearch = 4 << 10
	aheadTries  = 200
	// aheadHeader is how much of a record is wanted: its header and those up to
	// TCP, inside VXLAN too, in lines of the cache.
	aheadHeader = 144
	aheadLine   = 64
	// aheadShort is the length of records up to which processors foresee by
	// themselves what is read next. It is the mean of aheadSample records.
	aheadShort  = 512
	aheadSample = 16
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

// walkAhead touches the headers of the records in b, of which one begins at 0.
// The result means nothing.
func (l *layout) walkAhead(b []byte) (touched byte) {
	last := len(b) - aheadHeader
	if l.markLength == 0 || last < 0 || l.short(b) {
		return 0
	}
	var at, end [aheadChains]int
	mark := l.mark(b)
	for i := range at {
		if i > 0 {
			from := i * (len(b) / aheadChains)
			at[i] = l.guess(b, from, from+aheadSearch, mark)
			end[i-1] = min(at[i], last)
		}
	}
	end[aheadChains-1] = last
	for more := true; more; {
		more = false
		for i := range at {
			if at[i] >= end[i] {
				continue
			}
			more = true
			record := b[at[i]:][:aheadHeader]
			touched ^= record[aheadLine] ^ record[2*aheadLine] ^ record[aheadHeader-1]
			at[i] += l.length(record)
		}
	}
	return touched
}

// short reports whether records are so short that to walk ahead is of no use.
func (l *layout) short(b []byte) bool {
	at := 0
	for range aheadSample {
		if at > len(b)-aheadHeader {
			return false
		}
		at += l.length(b[at:])
	}
	return at < aheadSample*aheadShort
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
