package tls

import (
	"encoding/binary"
	"slices"
)

// A packedLog has records in a quarter of the room, each by its distance from
// the one before: a live capture has the first records of a million connections.
type packedLog struct {
	b    []byte
	n    int // records
	last Record
}

func (l *packedLog) add(r Record) {
	before := l.last
	const most = 24 // bytes; appending would double the room
	l.b = slices.Grow(l.b, most)
	sealed := byte(0)
	if r.Sealed {
		sealed = 1
	}
	l.b = append(l.b, byte(r.Type), sealed, byte(r.Message))
	for _, v := range [...]int64{
		int64(r.Length),
		r.Offset - before.End(),
		r.Acked - before.Acked,
		r.Time - before.Time,
		int64(r.Frame.Input) - int64(before.Frame.Input),
		int64(r.Frame.Number) - int64(before.Frame.Number),
	} {
		l.b = binary.AppendVarint(l.b, v)
	}
	l.n++
	l.last = r
}

// each calls f with the records.
func (l *packedLog) each(f func(Record)) {
	var r Record
	b := l.b
	next := func() int64 {
		v, n := binary.Varint(b)
		b = b[n:]
		return v
	}
	for range l.n {
		end := r.End()
		r.Type, r.Sealed, r.Message = ContentType(b[0]), b[1] != 0, HandshakeType(b[2])
		b = b[3:]
		r.Length = int(next())
		r.Offset = end + next()
		r.Acked += next()
		r.Time += next()
		r.Frame.Input = uint32(int64(r.Frame.Input) + next())
		r.Frame.Number = uint32(int64(r.Frame.Number) + next())
		f(r)
	}
}

// pack packs the log. Whoever looks at it unpacks it first.
func (s *Stream) pack() {
	if len(s.log) == 0 {
		return
	}
	var l packedLog
	for _, r := range s.log {
		l.add(r)
	}
	l.b = append(make([]byte, 0, len(l.b)), l.b...)
	s.log, s.packed = nil, &l
}

func (s *Stream) unpack() {
	if s.packed == nil {
		return
	}
	s.log = make([]Record, 0, s.packed.n)
	s.packed.each(func(r Record) { s.log = append(s.log, r) })
	s.packed = nil
}

// logRecord adds the record that was read to the log.
func (s *Stream) logRecord() {
	n := len(s.log)
	if l := s.packed; l != nil {
		n = l.n
	}
	if n >= MaxRecords {
		return
	}
	if l := s.packed; l != nil {
		l.add(s.record)
	} else {
		s.log = append(s.log, s.record)
	}
	if s.start != Midstream {
		s.reliable = n + 1
	}
}
