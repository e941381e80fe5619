package decode

import "distproof/capture/link"

// A Follower tells to which connection the segments of a capture belong, when
// they are read once more: it takes the same segments as the [Decoder] before it,
// in the same order, and decodes nothing.
type Follower struct {
	d       *Decoder
	capture *Capture
	all     []*conn // by index; nil before its first segment
}

// NewFollower returns a Follower that has seen nothing of the capture, which a
// Decoder made of the same segments.
func NewFollower(c *Capture) *Follower {
	d := NewDecoder(Options{AnyChecksum: c.options.AnyChecksum, MaxMemory: c.options.MaxMemory})
	for i := range d.shards {
		d.shards[i].silent = true
	}
	return &Follower{d: d, capture: c, all: make([]*conn, len(c.Connections))}
}

// A Place is where a segment belongs.
type Place struct {
	// Connection is the index into [Capture.Connections]; -1 if the segment was
	// left out.
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
	if c == nil {
		return Place{Connection: -1}
	}
	if c.order == number {
		if c.index = int32(f.capture.indexOf(number)); c.index >= 0 {
			f.all[c.index] = c
		}
	}
	seq := s.Seq
	if s.Flags.Has(link.SYN) {
		seq++ // the SYN takes a number, but no offset
	}
	at, ok := c.tcp.Offset(c.dir(s), seq)
	return Place{Connection: int(c.index), Offset: at, Placed: ok}
}

// Acked returns how much of the opposite stream a segment acknowledges that was
// just placed; false if that is not known.
func (f *Follower) Acked(p Place, s *link.Segment) (int64, bool) {
	if p.Connection < 0 || !s.Flags.Has(link.ACK) {
		return 0, false
	}
	c := f.all[p.Connection]
	return c.tcp.Offset(c.dir(s).Other(), s.Ack)
}
