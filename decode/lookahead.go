package decode

import (
	"distproof/capture/link"
	"distproof/internal/prefetch"
)

// lists have the segments of each shard, in their order. The zero value has none.
type lists struct {
	// first and last are indices of segments plus 1; 0 is none. next has what follows
	// each.
	first, last [shards]uint16
	next        [BatchSegments]uint16
}

func (l *lists) clear() { l.first = [shards]uint16{} }

// add adds s, which has an index above all others.
func (l *lists) add(s *link.Segment, i int) {
	shard, n := shardOf(s), uint16(i+1)
	if l.next[i] = 0; l.first[shard] == 0 {
		l.first[shard] = n
	} else {
		l.next[l.last[shard]-1] = n
	}
	l.last[shard] = n
}

// With many connections, what is known of one is in no cache any more when its next
// segment comes, and each place to be read there says where the next one is. So these
// places are asked for ahead of their turn, each lead segments after the one before
// it: those of several segments are fetched at once.
const (
	lead   = 2
	places = 5
	// mostPayload is how many bytes of a payload are asked for. The processor itself
	// goes on from there.
	mostPayload = 256
)

// A lookahead goes through the segments of a shard ahead of their turn. What it finds
// changes nothing but what the processor has in its caches.
type lookahead struct {
	on       bool // or there is nothing to gain
	segments []link.Segment
	lists    *lists
	flows    *flows
	at       uint16 // as in lists
	// coming are the latest segments, n in all so far.
	coming [16]coming
	n      uint
	// seen has marks of connections that came before: what is known of these is in
	// the caches.
	seen [64]uint16
}

// A coming segment is one whose turn is soon.
type coming struct {
	s    *link.Segment // nil if there is nothing to ask for
	hash uint64
	c    *conn // probably
}

// begin goes ahead of the first segment of the shard, which is the i-th. There is
// nothing to gain with so few connections that none is packed.
func (l *lookahead) begin(d *shard, i int, segments []link.Segment, lists *lists) {
	if d.open.n <= d.bounds.unpacked {
		return
	}
	l.on, l.segments, l.lists, l.flows, l.at = true, segments, lists, &d.open, lists.first[i]
	for range places*lead - 1 {
		l.further()
	}
}

// step goes ahead of the next segment. It is called before that is taken.
func (l *lookahead) step() {
	if l.on {
		l.further()
	}
}

// further asks for what further segments need.
func (l *lookahead) further() {
	x := l.ago(0)
	if *x = (coming{}); l.at != 0 {
		i := l.at - 1
		l.at = l.lists.next[i]
		_, mark := place(&l.segments[i])
		if seen := &l.seen[mark%64]; *seen != mark {
			*seen = mark
			x.s = &l.segments[i]
			prefetch.Value(x.s)
		}
	}
	if x := l.ago(1); x.s != nil {
		prefetch.Bytes(x.s.Payload[:min(len(x.s.Payload), mostPayload)])
		x.hash = l.flows.ask(&x.s.Src, &x.s.Dst)
	}
	if x := l.ago(2); x.s != nil {
		if x.c = l.flows.likely(x.hash); x.c != nil {
			prefetch.Value(x.c)
		}
	}
	if x := l.ago(3); x.c != nil {
		if x.c.state != nil {
			prefetch.Value(x.c.state)
		} else {
			prefetch.Bytes(x.c.packed)
		}
	}
	if x := l.ago(4); x.c != nil && x.c.state != nil {
		prefetch.Value(x.c.streams[x.c.dir(x.s)].tls)
	}
	l.n++
}

// ago returns the segment that was the latest one so many places ago.
func (l *lookahead) ago(places uint) *coming {
	return &l.coming[(l.n-places*lead)%uint(len(l.coming))]
}

// ask asks for what is known of c.
func (c *conn) ask() {
	if c.state != nil {
		prefetch.Value(c.state)
		for i := range c.streams {
			prefetch.Value(c.streams[i].tls)
		}
	}
}
