package tls

import (
	"encoding/binary"
	"iter"

	"distproof/capture"
)

// Records are the first records of a direction, without their times. They take
// little room: there may be a million connections.
type Records struct {
	packed []byte
	n      int
	// shape, unless it is nil, has the first records but for the numbers of their
	// packets, which are ahead of the other records in packed.
	shape *logShape
}

// NewRecords returns the Records that all are, without their times.
func NewRecords(all ...Record) Records {
	var l Records
	var last place
	for _, r := range all {
		l.add(last, r)
		last = placeOf(r)
	}
	return l.clone()
}

// Len returns how many there are.
func (l Records) Len() int { return l.n }

// All returns the records in their order.
func (l Records) All() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		r := beforeFirst
		var room [256]byte
		b := l.whole(room[:0])
		for range l.n {
			if b = r.read(b); !yield(r) {
				return
			}
		}
	}
}

// Last returns the last record; the zero Record if there are none.
func (l Records) Last() Record {
	var last Record
	for r := range l.All() {
		last = r
	}
	return last
}

// A place is where a record was, by which the next one is packed.
type place struct {
	end, acked int64
	frame      capture.Frame
}

func placeOf(r Record) place { return place{r.End(), r.Acked, r.Frame} }

// beforeFirst is at the zero place.
var beforeFirst = Record{Offset: -headerLength}

// add adds r, behind the record of the given place.
func (l *Records) add(last place, r Record) {
	const (
		most  = 48 // bytes of a record
		spare = 16
	)
	if n := len(l.packed); cap(l.packed)-n < most {
		var room [most]byte
		b := appendRecord(room[:0], last, r)
		if len(b) > cap(l.packed)-n {
			l.packed = append(make([]byte, 0, n+n/2+len(b)+spare), l.packed...)
		}
		l.packed = append(l.packed, b...)
	} else {
		l.packed = appendRecord(l.packed, last, r)
	}
	l.n++
}

// first returns the first n of l, which is not used any more: they share their
// memory.
func (l Records) first(n int) Records {
	n = min(n, l.n)
	r := beforeFirst
	all := l.whole(nil)
	rest := all
	for range n {
		rest = r.read(rest)
	}
	return Records{packed: all[:len(all)-len(rest)], n: n}
}

// The first byte of a packed record: what it is, and what follows.
const (
	firstType   = TypeChangeCipherSpec // the types from here on take three bits
	packSealed  = 1 << 3
	packMessage = 1 << 4 // the message's type follows
	packPlace   = 1 << 5 // it is not in the same packet, directly behind
	packInput   = 1 << 6 // it is in another input
	packType    = 1 << 7 // it is of another type, which follows
)

// appendRecord appends r by its distance from the one before it.
func appendRecord(b []byte, before place, r Record) []byte {
	at := len(b)
	b = append(b, byte(r.Type-firstType)&7)
	mark := func(set bool, bit byte) bool {
		if set {
			b[at] |= bit
		}
		return set
	}
	mark(r.Sealed, packSealed)
	if mark(r.Type-firstType > 7, packType) {
		b = append(b, byte(r.Type))
	}
	if mark(r.Message != 0, packMessage) {
		b = append(b, byte(r.Message))
	}
	if mark(r.Frame.Input != before.frame.Input, packInput) {
		b = binary.AppendUvarint(b, uint64(r.Frame.Input))
	}
	place := [...]int64{r.Offset - before.end, r.Acked - before.acked, int64(r.Frame.Number) - int64(before.frame.Number)}
	if mark(place != [3]int64{}, packPlace) {
		for _, distance := range place {
			b = binary.AppendVarint(b, distance)
		}
	}
	return binary.AppendUvarint(b, uint64(r.Length))
}

// read has r, which is the record before, be the one that b begins with, and returns
// what follows it.
func (r *Record) read(b []byte) []byte {
	has, end := b[0], r.End()
	b = b[1:]
	r.Type, r.Sealed, r.Message = ContentType(has&7)+firstType, has&packSealed != 0, 0
	if has&packType != 0 {
		r.Type, b = ContentType(b[0]), b[1:]
	}
	if has&packMessage != 0 {
		r.Message, b = HandshakeType(b[0]), b[1:]
	}
	if has&packInput != 0 {
		input, n := binary.Uvarint(b)
		r.Frame.Input, b = uint32(input), b[n:]
	}
	r.Offset = end
	if has&packPlace != 0 {
		var place [3]int64
		for i := range place {
			n := 0
			place[i], n = binary.Varint(b)
			b = b[n:]
		}
		r.Offset += place[0]
		r.Acked += place[1]
		r.Frame.Number = uint32(int64(r.Frame.Number) + place[2])
	}
	length, n := binary.Uvarint(b)
	r.Length = int(length)
	return b[n:]
}

// logRecord adds the record that was read to the log.
func (s *Stream) logRecord() {
	if s.log.n >= MaxRecords {
		return
	}
	if s.logged == (place{}) && s.log.n > 0 {
		s.logged = placeOf(s.log.Last())
	}
	s.log.add(s.logged, s.record)
	s.logged = placeOf(s.record)
	if s.start != Midstream {
		s.reliable = int32(s.log.n)
	}
}
