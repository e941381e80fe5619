package decode

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"distproof/capture/link"
	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/pack"
	"distproof/decode/tcp"
)

// A Live decoder takes segments for as long as they come, and hands out what
// changes. What it hands out is independent of it: the facts are stated by a
// [Ledger] while further segments are taken.
//
// Its connections are in [Parts]. Several goroutines may use it at once, as long
// as the segments of each part are taken in their order.
type Live struct {
	d *Decoder
	// encapsulation is [link.Decoder.Encapsulation].
	encapsulation func(uint16) []string
	parts         [shards]part
	// turn is the part whose changes are handed out next.
	turn  int
	clock atomic.Uint32
	// numbers counts the connections that have one.
	numbers atomic.Uint64
	// evictions counts those of all parts that were not handed out yet.
	evictions atomic.Int64
}

// A part is what a Live decoder knows of a shard beside its connections. mu is
// over both.
type part struct {
	mu      sync.Mutex
	now     uint32
	changed []*conn
	// counted are connections of which nothing but counters changed, perhaps among
	// others.
	counted []*conn
	// evicted are those that were given up for others, and forgotten counts those
	// of them that were open.
	evicted   []eviction
	forgotten uint64
	// sift is how many are in changed when those that are not remembered any more
	// are taken out of it.
	sift int
}

// An eviction is the last that is handed out of a connection, which perhaps has
// no number yet.
type eviction struct {
	Change
	of *tracked
}

// NewLive returns a Live decoder that has seen nothing. encapsulation is called
// from several goroutines.
func NewLive(o Options, encapsulation func(uint16) []string) *Live {
	l := &Live{d: NewDecoder(o), encapsulation: encapsulation}
	for i := range l.d.shards {
		b := &l.d.shards[i].bounds
		b.unpacked = min(b.unpacked, unpackedLive)
	}
	return l
}

// tracked is what a Live decoder remembers of a connection.
type tracked struct {
	// number is 0 as long as it has none.
	number uint64
	handed bool // out, at least once
	// changed says that it is among the changed ones of its part, and counted that
	// it is among those of which nothing but counters changed.
	changed, counted bool
	// told is the substance of what was handed out last; 0 if that does not count.
	told fact.Digest
	// seen is when its last segment came, and data when the last with data did
	// in each direction; in seconds by the clock of Advance, 0 if none did.
	seen uint32
	data [2]uint32
	// first is the end that sent first, whose data counts first.
	first netip.AddrPort
}

// Advance sets the clock by which connections are retired, in seconds from 1 on.
// It never goes back, whatever the packets' times do.
func (l *Live) Advance(now uint32) {
	for before := l.clock.Load(); before < now && !l.clock.CompareAndSwap(before, now); {
		before = l.clock.Load()
	}
}

// Segment takes the next segment, and returns the number of its connection: they
// count from 1 in the order of their first segments. It is 0 if the segment was
// left out. It must not be called while batches are taken.
func (l *Live) Segment(s *link.Segment) uint64 {
	i := shardOf(s)
	p := &l.parts[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	c := l.take(i, s, l.d.segments, l.clock.Load())
	l.d.segments++
	if c == nil {
		return 0
	}
	return l.number(c)
}

// Take takes the segments of a batch; with hurried, more are waiting. As Segment.
func (l *Live) Take(b *Batch, hurried bool) {
	b.hurried = hurried
	b.sort()
	l.d.begin(b, l)
	for i := range l.parts {
		l.d.take(b, i, l)
	}
	l.numberAll(b)
}

// numberAll gives the connections that are new in b their numbers. It is called for
// one batch after the other.
func (l *Live) numberAll(b *Batch) {
	for at, c := range b.conns[:b.n] {
		if c != nil && c.tracked.number == 0 {
			p := &l.parts[shardOf(&b.segments[at])]
			p.mu.Lock()
			l.number(c)
			p.mu.Unlock()
		}
	}
}

// take takes a segment of a part, which is locked.
func (l *Live) take(i int, s *link.Segment, order uint64, now uint32) *conn {
	p, d := &l.parts[i], &l.d.shards[i]
	p.now = max(p.now, now)
	if !d.room() && !l.Full() {
		l.relieve(i)
	}
	c := d.segment(s, order)
	if c == nil {
		return nil
	}
	if c.tracked == nil {
		c.tracked = &tracked{first: c.ends[0].AddrPort()}
		if before := c.previous(); before != nil {
			before.tracked.told = 0 // it was ended
			p.touch(before)
		}
	}
	p.touch(c)
	t := c.tracked
	t.seen = p.now
	if s.Length > 0 {
		data := &t.data[c.dir(s)]
		if p.now-*data > longSilence {
			t.told = 0
		}
		*data = p.now
	}
	return c
}

// longSilence is after how many seconds data is more than a counter: somebody may
// have been missing it. Nodes tick every 15 s.
const longSilence = 60

// number returns the number of a connection, the next one if it has none.
func (l *Live) number(c *conn) uint64 {
	if c.tracked.number == 0 {
		c.tracked.number = l.numbers.Add(1)
	}
	return c.tracked.number
}

func (p *part) touch(c *conn) {
	t := c.tracked
	if t == nil || t.changed {
		return
	}
	t.changed = true
	if len(p.changed) >= p.sift {
		p.changed = slices.DeleteFunc(p.changed, func(c *conn) bool { return c.dropped })
		p.sift = max(leastSifted, 2*len(p.changed))
	}
	p.changed = append(p.changed, c)
}

// leastSifted is how many changed connections of a part are not looked through.
const leastSifted = 64

// Changed reports whether there is anything to hand out.
func (l *Live) Changed() bool {
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		some := len(p.changed)+len(p.counted)+len(p.evicted) > 0
		p.mu.Unlock()
		if some {
			return true
		}
	}
	return false
}

// Full reports whether so much was given up for lack of room and not handed out yet
// that nothing more is given up: connections that are new are refused.
func (l *Live) Full() bool {
	bound := l.d.shards[0].bounds.evicted
	return bound > 0 && int(l.evictions.Load()) >= bound
}

// Pressed reports whether it will soon be [Live.Full].
func (l *Live) Pressed() bool { return int(l.evictions.Load()) > l.d.shards[0].bounds.evicted/2 }

// Connections returns how many connections were ever seen.
func (l *Live) Connections() uint64 { return l.numbers.Load() }

// LeftOut returns what was left out so far. Its Hidden is not valid.
func (l *Live) LeftOut() LeftOut {
	for i := range l.parts {
		l.parts[i].mu.Lock()
		defer l.parts[i].mu.Unlock()
	}
	return l.d.leftOut()
}

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

// Changes hands out connections that changed since they were handed out last, no
// more than about most of them; none if there are no more. That takes about a
// microsecond for each. It must not be called from two goroutines at once.
func (l *Live) Changes(most int) (out []Change) {
	for range l.parts {
		if out = l.handOut(l.turn, out, most); len(out) >= most {
			break
		}
		l.turn = (l.turn + 1) % len(l.parts)
	}
	return out
}

// handOut adds the changes of a part to out, until there are so many. Of what has
// no number yet, nobody knows: it is handed out when it has one.
func (l *Live) handOut(i int, out []Change, most int) []Change {
	p, d := &l.parts[i], &l.d.shards[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evicted = slices.DeleteFunc(p.evicted, func(e eviction) bool {
		if e.number = e.of.number; e.number != 0 {
			out = append(out, e.Change)
			l.evictions.Add(-1)
		}
		return e.number != 0
	})
	for _, number := range d.gone {
		if number != 0 {
			out = append(out, Change{number: number, gone: true})
		}
	}
	d.gone = nil
	n, later := 0, []*conn(nil)
	for ; n < len(p.changed) && len(out) < most; n++ {
		c := p.changed[n]
		if c.tracked.number == 0 && !c.dropped {
			later = append(later, c)
			continue
		}
		out = l.tell(c, out)
	}
	if p.changed = p.changed[n:]; len(p.changed) == 0 || len(later) > 0 {
		p.changed = append(later, p.changed...)
	}
	for n = 0; n < len(p.counted) && len(out) < most; n++ {
		if c := p.counted[n]; c.tracked.counted && !c.tracked.changed {
			out = l.tell(c, out)
		}
	}
	if p.counted = p.counted[n:]; len(p.counted) == 0 {
		p.counted = nil
	}
	return out
}

// tell adds the change of a connection to out.
func (l *Live) tell(c *conn, out []Change) []Change {
	t := c.tracked
	t.changed, t.counted = false, false
	if c.dropped {
		return out
	}
	as := c.clone()
	t.handed, t.told = true, as.substance()
	return append(out, l.change(c, as))
}

// News reports whether there is more to hand out than what every packet changes:
// how much crossed the connections, and when.
func (l *Live) News() bool {
	any := false
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		p.sort(&l.d.shards[i])
		any = any || len(p.changed)+len(p.evicted)+len(l.d.shards[i].gone) > 0
		p.mu.Unlock()
	}
	return any
}

// sort takes the connections out of the changed ones of which nothing but counters
// changed.
func (p *part) sort(d *shard) {
	p.changed = slices.DeleteFunc(p.changed, func(c *conn) bool {
		t := c.tracked
		if c.dropped || t.told == 0 {
			return false
		}
		if d.unpack(c); t.told != c.substance() {
			return false
		}
		t.changed = false
		if !t.counted {
			t.counted = true
			p.counted = append(p.counted, c)
		}
		return true
	})
}

// change describes c, of which as is a copy.
func (l *Live) change(c, as *conn) Change {
	out := Change{number: c.tracked.number, conn: as, tracked: *c.tracked}
	if before := c.previous(); before != nil && before.tracked != nil {
		out.before = before.tracked.number
	}
	if len(as.encaps) > 0 {
		out.ways = make(map[uint16][]string, len(as.encaps))
		for _, e := range as.encaps {
			out.ways[e] = slices.Clone(l.encapsulation(e))
		}
	}
	return out
}

// clone returns a copy of c that goes on by itself.
func (c *conn) clone() *conn {
	out := *c
	if c.state == nil {
		out.unpackTo(newState(nil), new(pack.Packer))
	} else {
		s := *c.state
		s.tcp, s.encaps = *c.tcp.Clone(), slices.Clone(c.encaps)
		for i := range s.streams {
			s.streams[i].own()
		}
		out.state = &s
	}
	out.neighbours, out.tracked, out.packed = nil, nil, nil
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
	p := &l.parts[part]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = max(p.now, l.clock.Load())
	soonest := min(r.Closed, r.HalfClosed, r.Idle)
	return l.giveUp(part, func(c *conn) bool {
		if p.now-c.tracked.seen < soonest {
			return false
		}
		bound := r.Idle
		switch closed := c.summarise().closed; {
		case closed[0] && closed[1]:
			bound = r.Closed
		case closed[0] || closed[1]:
			bound = r.HalfClosed
		}
		return p.now-c.tracked.seen >= bound
	})
}

// giveUp hands out for the last time the connections of a part that are over.
func (l *Live) giveUp(part int, over func(*conn) bool) []Change {
	d := &l.d.shards[part]
	var out []Change
	is := func(c *conn) bool {
		if c.tracked == nil || c.tracked.changed || c.tracked.counted || !over(c) {
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
	if c.state == nil {
		return out // what is packed holds nothing
	}
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
func (l *Live) relieve(i int) {
	p, d := &l.parts[i], &l.d.shards[i]
	all := slices.Clone(d.settled())
	slices.SortStableFunc(all, func(a, b *conn) int {
		return cmp.Or(cmp.Compare(a.worth(p.now), b.worth(p.now)), cmp.Compare(a.tracked.seen, b.tracked.seen), cmp.Compare(a.order, b.order))
	})
	for _, c := range all[:(len(all)+7)/8] {
		if closed := c.summarise().closed; !closed[0] && !closed[1] {
			p.forgotten++
		}
		p.evicted = append(p.evicted, eviction{l.last(d, c), c.tracked})
		l.evictions.Add(1)
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
	s := c.summarise()
	switch {
	case c.empty() && now-c.tracked.seen >= unused:
		return 0
	case s.closed[0] && s.closed[1]:
		return 1
	case s.clear:
		return 4
	case s.tls, c.empty():
		return 3
	}
	return 2
}

// closed tells of which directions no more is to come.
func (c *conn) closed() [2]bool {
	var out [2]bool
	for d := range out {
		s := c.tcp.Stats(tcp.Dir(d))
		if s.RST && s.Odd().RSTAt.Offset >= s.End {
			return [2]bool{true, true}
		}
		out[d] = s.FIN
	}
	return out
}

// Pending returns how many connections there are to hand out.
func (l *Live) Pending() (n int) {
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		n += len(p.changed) + len(p.counted) + len(p.evicted)
		p.mu.Unlock()
	}
	return n
}

// KeysGrew says that the key log has more secrets: what waits for them is handed
// out again.
func (l *Live) KeysGrew() {
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		for _, c := range l.d.shards[i].settled() {
			if !c.unlocked {
				c.tracked.told = 0
				p.touch(c)
			}
		}
		p.mu.Unlock()
	}
}

// Forgotten returns how many open connections were given up for lack of memory.
func (l *Live) Forgotten() (n uint64) {
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		n += p.forgotten
		p.mu.Unlock()
	}
	return n
}
