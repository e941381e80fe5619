package decode

import "distproof/capture/link"

// A Follower tells to which connection the segments of a capture belong, when
// they are read once more: it takes the same segments as the [Decoder] before it,
// in the same order, and decodes nothing.
type Follower struct {
	d   *Decoder
	all []*conn
}

// NewFollower returns a Follower that has seen nothing. anyChecksum is
// [Options.AnyChecksum] of the Decoder before it.
func NewFollower(anyChecksum bool) *Follower {
	d := NewDecoder(Options{AnyChecksum: anyChecksum})
	for i := range d.shards {
		d.shards[i].silent = true
	}
	return &Follower{d: d}
}

// A Place is where a segment belongs.
type Place struct {
	// Connection is the index into [Capture.Connections].
	Connection int
	// Offset is the stream offset of the segment's first byte in its direction;
	// valid iff Placed. It may be below 0: before what was first captured.
	Offset int64
	Placed bool
}

// Segment takes the next segment.
func (f *Follower) Segment(s *link.Segment) Place {
	number := f.d.segments
	c := f.d.segment(s)
	if c.order == number {
		c.index = len(f.all)
		f.all = append(f.all, c)
	}
	seq := s.Seq
	if s.Flags.Has(link.SYN) {
		seq++ // the SYN takes a number, but no offset
	}
	at, ok := c.tcp.Offset(c.dir(s), seq)
	return Place{Connection: c.index, Offset: at, Placed: ok}
}

// Acked returns how much of the opposite stream a segment acknowledges that was
// just placed; false if that is not known.
func (f *Follower) Acked(p Place, s *link.Segment) (int64, bool) {
	if !s.Flags.Has(link.ACK) {
		return 0, false
	}
	c := f.all[p.Connection]
	return c.tcp.Offset(c.dir(s).Other(), s.Ack)
}
