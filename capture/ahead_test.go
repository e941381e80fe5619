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

func TestGuessFindsRecords(t *testing.T) {
	lengths := make([]int, 1000)
	for i := range lengths {
		lengths[i] = 60 + i*37%1500
	}
	for order, l := range layouts {
		b, begins := recordsOf(order, lengths)
		for from := 100; from < len(b)-10_000; from += 997 {
			at := l.guess(b, from, len(b), l.mark(b))
			if first := next(begins, from); at != first {
				t.Errorf("%v: at %d of %d a record was guessed, but the first behind %d begins at %d", order, at, len(b), from, first)
			}
		}
	}
}

// TestWalkAheadEnds: whatever the bytes are.
func TestWalkAheadEnds(t *testing.T) {
	good, _ := recordsOf(binary.LittleEndian, []int{600, 600, 600, 1500, 9000, 40_000, 40_000, 100})
	for _, b := range [][]byte{nil, {1}, make([]byte, 143), make([]byte, 100_000), bytes.Repeat([]byte{0xff}, 100_000), good} {
		for _, l := range []layout{{}, layouts[binary.LittleEndian], layouts[binary.BigEndian], {lengthAt: 4, markLength: 4}} {
			for n := 0; n <= len(b); n += 1 + len(b)/50 {
				l.walkAhead(b[:n])
			}
		}
	}
}
