package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// recordsOf returns records of the given lengths with a header of 16 bytes, and
// the places where they begin.
func recordsOf(order binary.ByteOrder, lengths []int) (b []byte, begins map[int]bool) {
	begins = make(map[int]bool)
	for i, n := range lengths {
		begins[len(b)] = true
		h := make([]byte, recordLength, recordLength+n)
		order.PutUint32(h, 1_700_000_000+uint32(i%200))
		order.PutUint32(h[8:], uint32(n))
		order.PutUint32(h[12:], uint32(n))
		b = append(b, h...)
		b = append(b, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	return b, begins
}

// next returns the first place at or behind from.
func next(begins map[int]bool, from int) int {
	for !begins[from] {
		from++
	}
	return from
}

var layouts = map[binary.ByteOrder]layout{
	binary.LittleEndian: {lengthAt: 8, more: recordLength, markAt: 2, markLength: 2},
	binary.BigEndian:    {big: true, lengthAt: 8, more: recordLength, markLength: 2},
}

// differentLengths are those of a thousand records.
func differentLengths() []int {
	lengths := make([]int, 1000)
	for i := range lengths {
		lengths[i] = 60 + i*37%1500
	}
	return lengths
}

func TestGuessFindsRecords(t *testing.T) {
	for order, l := range layouts {
		b, begins := recordsOf(order, differentLengths())
		for from := 100; from < len(b)-10_000; from += 997 {
			at := l.guess(b, from, len(b), l.mark(b))
			if first := next(begins, from); at != first {
				t.Errorf("%v: at %d of %d a record was guessed, but the first behind %d begins at %d", order, at, len(b), from, first)
			}
		}
	}
}

// TestScoutsEnd: whatever the bytes are, they stay in the data, and all arrive
// before the reader has taken as many records as fit in it.
func TestScoutsEnd(t *testing.T) {
	good, _ := recordsOf(binary.LittleEndian, []int{600, 600, 600, 1500, 9000, 40_000, 40_000, 100})
	for _, b := range [][]byte{nil, {1}, make([]byte, 143), make([]byte, 100_000), bytes.Repeat([]byte{0xff}, 100_000), good} {
		for _, l := range []layout{{}, layouts[binary.LittleEndian], layouts[binary.BigEndian], {lengthAt: 4, markLength: 4}} {
			for n := 0; n <= len(b); n += 1 + len(b)/50 {
				var s scouts
				steps := 0
				for s.send(l, b[:n], n/10); s.going; steps++ {
					s.step()
				}
				if most := n/blockFrame + 2; steps > most {
					t.Errorf("%d steps, and not %d, for %d bytes", steps, most, n)
				}
			}
		}
	}
}

// TestScoutsSeeRecords: together they go to all records behind the first section,
// and to nothing else.
func TestScoutsSeeRecords(t *testing.T) {
	for order, l := range layouts {
		b, begins := recordsOf(order, differentLengths())
		var s scouts
		s.send(l, b, 0)
		first, seen := s.at[aheadScouts-1], make(map[int]bool)
		for s.going {
			for _, at := range s.at {
				if at <= len(b)-aheadHeader {
					seen[at] = true
				}
			}
			s.step()
		}
		for at := range seen {
			if !begins[at] {
				t.Errorf("%v: no record begins at %d", order, at)
			}
		}
		for at := range begins {
			if at >= first && at < len(b)-aheadHeader && !seen[at] {
				t.Errorf("%v: the record at %d was not seen", order, at)
			}
		}
		if first > len(b)/8 {
			t.Errorf("%v: the first section has %d of %d bytes", order, first, len(b))
		}
	}
}
