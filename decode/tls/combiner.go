package tls

import (
	"cmp"

	"distproof/internal/reuse"
)

// A combiner puts the two directions of a connection together, which it does not
// change.
type combiner struct {
	c, s *side
	end  Ending
	f    *Facts
	room room
}

// A side is a direction of a connection with its records.
type side struct {
	*Stream
	// trusted are the logged records up to the first loss of framing; none if the
	// direction did not begin at the stream's start.
	trusted []Record
	// data are the encrypted ones of them that are application data.
	data []Record
}

// A room is what a combiner needs for a moment. Nothing of it may be in facts.
type room struct {
	sides         [2]side
	trusted, data [2][MaxRecords]Record
	session       Session // zero
	transcript    []byte
}

var combiners = reuse.Pool[combiner]{New: func() *combiner { return new(combiner) }, Spoil: (*combiner).spoil}

// newCombiner returns a combiner of two directions, either of which may be nil. It
// is to be released.
func newCombiner(client, server *Stream) *combiner {
	x := combiners.Get()
	for i, s := range [2]*Stream{client, server} {
		if s == nil {
			s = nothing(cmp.Or(client, server))
		}
		d := &x.room.sides[i]
		*d = side{s, x.room.trusted[i][:0], x.room.data[i][:0]}
		for r := range s.log.All() {
			if len(d.trusted) == int(s.reliable) {
				break
			}
			d.trusted = append(d.trusted, r)
			if r.Type == TypeApplicationData && r.Sealed {
				d.data = append(d.data, r)
			}
		}
	}
	x.c, x.s = &x.room.sides[0], &x.room.sides[1]
	return x
}

// tables returns those that both directions were made with.
func (x *combiner) tables() *Tables { return x.c.tables }

// nothing returns a stream that has seen nothing, for beside s, which may be nil.
func nothing(s *Stream) *Stream {
	if s == nil {
		return NewTables().NewStream(Midstream)
	}
	return s.tables.NewStream(Midstream)
}

// release gives up x and its room to be used again.
func (x *combiner) release() {
	x.c, x.s, x.f, x.end = nil, nil, nil, Ending{}
	x.room.sides, x.room.session = [2]side{}, Session{}
	combiners.Put(x)
}

func (x *combiner) spoil() {
	wrong := Record{Type: TypeAlert, Sealed: true, Length: maxRecord, Offset: -1, Acked: -1}
	for i := range x.room.trusted {
		for k := range x.room.trusted[i] {
			x.room.trusted[i][k], x.room.data[i][k] = wrong, wrong
		}
	}
	clear(x.room.transcript[:cap(x.room.transcript)])
}

// firstSealed returns the first trusted encrypted record of the given type; nil if
// there is none.
func (s *side) firstSealed(t ContentType) *Record {
	for i := range s.trusted {
		if r := &s.trusted[i]; r.Type == t && r.Sealed {
			return r
		}
	}
	return nil
}
