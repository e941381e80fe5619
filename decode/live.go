package decode

import (
	"cmp"
	"net/netip"
	"slices"

	"distproof/capture/link"
	"distproof/decode/dist"
	"distproof/decode/tcp"
)

// A Live decoder takes segments for as long as they come, and hands out what
// changes. It is not safe for concurrent use, but what it hands out is: the
// facts are stated by a [Ledger] while further segments are taken.
type Live struct {
	d *Decoder
	// encapsulation is [link.Decoder.Encapsulation].
	encapsulation func(uint16) []string
	numbers       uint64
	now           uint32
	changed       []*conn
	// evicted are those that were given up for others, and forgotten counts those
	// of them that were open.
	evicted   []Change
	forgotten uint64
	// sift is how many are in changed when those that are not remembered any more
	// are taken out of it.
	sift int
}

// NewLive returns a Live decoder that has seen nothing.
func NewLive(o Options, encapsulation func(uint16) []string) *Live {
	return &Live{d: NewDecoder(o), encapsulation: encapsulation}
}

// tracked is what a Live decoder remembers of a connection.
type tracked struct {
	number  uint64
	changed bool // since it was handed out
	// seen is when its last segment came, and data when the last with data did
	// in each direction; in seconds by the clock of Advance, 0 if none did.
	seen uint32
	data [2]uint32
	// first is the end that sent first, whose data counts first.
	first netip.AddrPort
}

// Advance sets the clock by which connections are retired, in seconds from 1 on.
// It never goes back, whatever the packets' times do.
func (l *Live) Advance(now uint32) { l.now = max(l.now, now) }

// Segment takes the next segment, and returns the number of its connection: they
// count from 1 in the order of their first segments. It is 0 if the segment was
// left out.
func (l *Live) Segment(s *link.Segment) uint64 {
	if d := &l.d.shards[shardOf(s)]; !d.room() && !l.Full() {
		l.relieve(d)
	}
	c := l.d.segment(s)
	if c == nil {
		return 0
	}
	if c.tracked == nil {
		l.numbers++
		c.tracked = &tracked{number: l.numbers, first: c.ends[0].AddrPort()}
		if c.before != nil {
			l.touch(c.before) // it was ended
		}
	}
	l.touch(c)
	t := c.tracked
	t.seen = l.now
	if s.Length > 0 {
		t.data[c.dir(s)] = l.now
	}
	return t.number
}

func (l *Live) touch(c *conn) {
	t := c.tracked
	if t == nil || t.changed {
		return
	}
	t.changed = true
	if len(l.changed) >= l.sift {
		l.changed = slices.DeleteFunc(l.changed, func(c *conn) bool { return c.dropped })
		l.sift = max(leastSifted, 2*len(l.changed))
	}
	l.changed = append(l.changed, c)
}

// leastSifted is how many changed connections are not looked through.
const leastSifted = 1 << 10

// Changed reports whether there is anything to hand out.
func (l *Live) Changed() bool { return len(l.changed)+len(l.evicted) > 0 }

// Full reports whether so much was given up for lack of room and not handed out yet
// that nothing more is given up: connections that are new are refused.
func (l *Live) Full() bool {
	bound := l.d.shards[0].bounds.evicted
	return bound > 0 && len(l.evicted) >= bound
}

// Pressed reports whether it will soon be [Live.Full].
func (l *Live) Pressed() bool { return len(l.evicted) > l.d.shards[0].bounds.evicted/2 }

// Connections returns how many connections were ever seen.
func (l *Live) Connections() uint64 { return l.numbers }

// LeftOut returns what was left out so far. Its Hidden is not valid.
func (l *Live) LeftOut() LeftOut { return l.d.leftOut() }

// A Change is a connection as of a moment, of which a [Ledger] states the facts.
type Change struct {
	number uint64
	// gone says that it is to be forgotten: it carried nothing, and there were
	// too many of these. over says that the decoder does not have it any more.
	gone, over bool
	conn       *conn
	before     uint64
	// ways has the encapsulations by their numbers.
	ways map[uint16][]string
	tracked
}

// Changes hands out the first connections that changed since they were handed
// out last; most of them, or fewer if there are no more. That takes about a
// microsecond for each.
func (l *Live) Changes(most int) []Change {
	out := l.evicted
	l.evicted = nil
	for i := range l.d.shards {
		for _, number := range l.d.shards[i].gone {
			out = append(out, Change{number: number, gone: true})
		}
		l.d.shards[i].gone = nil
	}
	n := min(most, len(l.changed))
	for _, c := range l.changed[:n] {
		c.tracked.changed = false
		if !c.dropped {
			out = append(out, l.change(c, c.clone()))
		}
	}
	l.changed = l.changed[n:]
	if len(l.changed) == 0 {
		l.changed = nil
	}
	return out
}

// change describes c, of which as is a copy.
func (l *Live) change(c, as *conn) Change {
	out := Change{number: c.tracked.number, conn: as, tracked: *c.tracked}
	if c.before != nil && c.before.tracked != nil {
		out.before = c.before.tracked.number
	}
	if len(c.encaps) > 0 {
		out.ways = make(map[uint16][]string, len(c.encaps))
		for _, e := range c.encaps {
			out.ways[e] = slices.Clone(l.encapsulation(e))
		}
	}
	return out
}

// clone returns a copy of c that goes on by itself.
func (c *conn) clone() *conn {
	out := *c
	out.tcp, out.encaps = *c.tcp.Clone(), slices.Clone(c.encaps)
	out.before, out.after, out.tracked = nil, nil, nil
	for i := range out.streams {
		out.streams[i].own()
	}
	return &out
}

// own gives s its own copy of what it would change.
func (s *stream) own() {
	if s.first != nil {
		s.first = &firstBytes{slices.Clip(s.first.b), slices.Clip(s.first.pieces)}
	}
	if s.tls != nil {
		s.tls = s.tls.Clone(s.plain)
	}
	for _, d := range []**dist.Stream{&s.dist, &s.inside, &s.decrypted} {
		if *d != nil {
			*d = (*d).Clone()
		}
	}
	if s.epmd != nil {
		s.epmd = s.epmd.Clone()
	}
}

// now ends c, which is a copy, and states the facts.
func (c *conn) now(ways map[uint16][]string) *Connection {
	c.end()
	return c.facts(func(e uint16) []string { return ways[e] })
}

// end says that no more segments will come.
func (c *conn) end() {
	c.tcp.Flush(c)
	for i := range c.streams {
		c.streams[i].end(c.epmdPort)
	}
}

// A Retirement says which connections a Live decoder is to give up, by how many
// seconds nothing came of them.
type Retirement struct {
	// Closed is for those that both sides closed or one reset, HalfClosed for
	// those that one side closed, and Idle for all others.
	Closed, HalfClosed, Idle uint32
}

// Parts is the number of parts of [Live.Retire].
const Parts = shards

// Retire gives up connections of a part, from 0 to below [Parts], and hands them
// out for the last time: what comes of them afterwards counts as another
// connection, which began before the capture. Those with changes that were not
// handed out are not given up yet.
func (l *Live) Retire(part int, r Retirement) []Change {
	return l.giveUp(part, func(c *conn) bool {
		bound := r.Idle
		switch closed := c.closed(); {
		case closed[0] && closed[1]:
			bound = r.Closed
		case closed[0] || closed[1]:
			bound = r.HalfClosed
		}
		return l.now-c.tracked.seen >= bound
	})
}

// giveUp hands out for the last time the connections of a part that are over.
func (l *Live) giveUp(part int, over func(*conn) bool) []Change {
	d := &l.d.shards[part]
	var out []Change
	is := func(c *conn) bool {
		if c.tracked == nil || c.tracked.changed || !over(c) {
			return false
		}
		out = append(out, l.last(d, c))
		return true
	}
	d.all = slices.DeleteFunc(d.all, is)
	d.fresh.remove(is)
	return out
}

// last hands c out for the last time. What it holds of what the connections of
// its part have in common is given back.
func (l *Live) last(d *shard, c *conn) Change {
	out := l.change(c, c.clone())
	out.over = true
	d.release(c)
	c.silent = true
	c.tcp.Flush(c)
	for i := range c.streams {
		if t := c.streams[i].tls; t != nil {
			t.GiveUp()
		}
	}
	return out
}

// relieve makes room for further connections: an eighth of those of a part are
// given up, those first of which the least can still become known, and of these
// those of which nothing came for the longest time.
func (l *Live) relieve(d *shard) {
	all := slices.Clone(d.settled())
	slices.SortStableFunc(all, func(a, b *conn) int {
		return cmp.Or(cmp.Compare(a.worth(l.now), b.worth(l.now)), cmp.Compare(a.tracked.seen, b.tracked.seen), cmp.Compare(a.order, b.order))
	})
	for _, c := range all[:(len(all)+7)/8] {
		if closed := c.closed(); !closed[0] && !closed[1] {
			l.forgotten++
		}
		l.evicted = append(l.evicted, l.last(d, c))
		c.dropped = true
	}
	dropped := func(c *conn) bool { return c.dropped }
	d.all = slices.DeleteFunc(d.all, dropped)
	d.fresh.remove(dropped)
}

// unused is how many seconds a connection may take until it carries something.
const unused = 5

// worth orders connections by how much can still become known of them that
// matters: those that carried nothing for a while, those that are closed, those
// that carry something else, those that were opened just now or carry TLS, and
// distribution in the clear.
func (c *conn) worth(now uint32) int {
	closed := c.closed()
	var tls, clear bool
	for i := range c.streams {
		s := &c.streams[i]
		tls = tls || s.tls != nil
		clear = clear || s.dist != nil && s.dist.Facts().Recognition != dist.NotRecognised
	}
	switch {
	case c.empty() && now-c.tracked.seen >= unused:
		return 0
	case closed[0] && closed[1]:
		return 1
	case clear:
		return 4
	case tls, c.empty():
		return 3
	}
	return 2
}

// closed tells of which directions no more is to come.
func (c *conn) closed() [2]bool {
	var out [2]bool
	for d := range out {
		s := c.tcp.Stats(tcp.Dir(d))
		if s.RST && s.RSTAt.Offset >= s.End {
			return [2]bool{true, true}
		}
		out[d] = s.FIN
	}
	return out
}

// Pending returns how many connections there are to hand out.
func (l *Live) Pending() int { return len(l.changed) + len(l.evicted) }

// KeysGrew says that the key log has more secrets: what waits for them is handed
// out again.
func (l *Live) KeysGrew() {
	for i := range l.d.shards {
		for _, c := range l.d.shards[i].settled() {
			if !c.unlocked {
				l.touch(c)
			}
		}
	}
}

// Forgotten returns how many open connections were given up for lack of memory.
func (l *Live) Forgotten() uint64 { return l.forgotten }
