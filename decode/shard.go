package decode

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"distproof/capture/link"
	"distproof/decode/dist"
	"distproof/decode/pack"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/internal/prefetch"
)

// shards is the number of parts into which connections are divided, by their
// addresses and ports. It does not depend on who works on them, as each part
// has bounds of its own: what a connection is found to be must not either.
const shards = 16

// shardBudget is what the connections of a shard may hold together, for
// reassembly.
const shardBudget = 256 << 20 / shards

// shardWaiting is what the connections of a shard may hold together until the
// key log has their secrets: all of what many keep in the second or two before
// a key log that grows is read again, and of some that wait in vain.
const shardWaiting = 128 << 20 / shards

// A shard is a part of the connections. Shards know nothing of one another.
type shard struct {
	options *Options
	budget  *tcp.Budget
	open    flows
	all     []*conn
	silent  bool
	// withoutSecrets says that the key log must not be asked for.
	withoutSecrets bool
	// shared is for connections that are new, with the latest of tables.
	shared *shared
	tables *generations
	// last is the connection of the segment before.
	last *conn
	// clock is the latest time of a segment.
	clock  int64
	bounds bounds
	fresh  queue
	left   leftOut
	// young are connections that may soon be quiet.
	young []young
	// hurried says that segments are waiting: what can be done later is. unchecked
	// are connections that are quiet, and whose signatures wait to be checked.
	hurried   bool
	unchecked []young
	// unpacked are the connections that came to rest and are not packed. spare is
	// the state of the one that was packed last, for the next one that is not;
	// nil if there is none.
	unpacked         []*conn
	spare            *state
	packer, unpacker pack.Packer
	packs            uint // how many were packed
	// gone has the numbers of connections that a Live decoder handed out and forgot.
	gone []uint64
}

// A young connection is looked at again at a time: once it is quiet, most of what
// is kept of it can go, and a million may begin before one of them says more.
type young struct {
	c  *conn
	at int64
}

const (
	// mostUnchecked is how many quiet connections of a shard wait for a better moment
	// to have their signatures checked.
	mostUnchecked = 2048
	// mostAtOnce is how many are condensed with a segment: to check the signatures of
	// one takes as long as to take fifty segments.
	mostAtOnce = 8
)

// settle condenses connections that are quiet by now. Whether one is condensed now
// or before its next segment makes no difference but in memory.
func (d *shard) settle(now int64) {
	for n := 0; n < mostAtOnce && len(d.young) > 0 && d.young[0].at <= now; n++ {
		c := d.young[0].c
		d.young = d.young[1:]
		d.askForYoung()
		switch at := c.tcp.Quiet(); {
		case c.unlisted:
		case at > now:
			d.young = append(d.young, young{c, at})
		case d.hurried && len(d.unchecked) < mostUnchecked && tls.Unchecked(c.streams[0].tls, c.streams[1].tls):
			c.postpone(now)
			d.unchecked = append(d.unchecked, young{c, at})
		default:
			c.condense(now)
			c.settled = true
			d.rested(c)
		}
	}
}

// askForYoung has the processor fetch what is known of connections that are looked at
// next: nothing came of them for a second. Each place says where the next one is, so
// that each is asked for when another connection is looked at.
func (d *shard) askForYoung() {
	if len(d.young) < 3 {
		return
	}
	prefetch.Value(d.young[2].c)
	if s := d.young[1].c.state; s != nil {
		prefetch.Value(s)
	}
	if s := d.young[0].c.state; s != nil {
		for i := range s.streams {
			prefetch.Value(s.streams[i].tls)
		}
	}
}

// postpone is [conn.condense] without checking signatures, which is left for later.
func (c *conn) postpone(now int64) {
	if c.tcp.Condense(now) {
		tls.Close(c.streams[0].tls, c.streams[1].tls)
		c.unchecked = true
	}
}

// hurry says whether segments are waiting. If not, some of the signatures are checked
// that wait for it: not all of them at once, which would keep segments waiting again.
func (d *shard) hurry(hurried bool) {
	if d.hurried = hurried; hurried {
		return
	}
	if n := min(len(d.unchecked), mostAtOnce); n > 0 {
		d.young = append(d.unchecked[:n:n], d.young...)
		d.unchecked = d.unchecked[n:]
	}
}

// retire gives up what a connection that is over needs no more. One that is young has
// time until it is quiet, unless memory is scarce: it may come again in other pieces,
// from a host whose clock is late.
func (d *shard) retire(c *conn) {
	if c.settled || d.budget.Scarce() {
		c.tcp.Retire()
	}
}

// condense gives up what a quiet connection needs no more.
func (c *conn) condense(now int64) {
	c.unchecked = false
	if !c.tcp.Condense(now) {
		if c.over && now >= c.tcp.Quiet() {
			c.tcp.Retire()
		}
		return
	}
	a, b := c.streams[0].tls, c.streams[1].tls
	tls.Condense(a, b)
	if ends, ok := tls.Decided(a, b); ok {
		c.tcp.Decided(ends)
	}
}

func newShard(o *Options, t *generations) shard {
	b := o.bounds()
	c := &shared{options: dist.Options{Payload: o.Payload}, tables: t.latest()}
	return shard{options: o, shared: c, tables: t, bounds: b, budget: tcp.NewBudget(b.reassembly), open: newFlows()}
}

// shardOf returns the shard of a segment, the same for both directions.
func shardOf(s *link.Segment) int {
	shard, _ := place(s)
	return shard
}

// place returns the shard of a segment and a mark that is seldom the same for other
// connections.
func place(s *link.Segment) (shard int, mark uint16) {
	h := fingerprint(&s.Src) + fingerprint(&s.Dst)
	h *= 0x9e3779b97f4a7c15
	return int(h >> 32 % shards), uint16(h >> 48)
}

func fingerprint(e *link.Endpoint) uint64 {
	high, low := words(e)
	hi, lo := bits.Mul64(low^0xe7037ed1a0b428db, uint64(e.Port)<<32^high^0x9e3779b97f4a7c15)
	return hi ^ lo
}

func words(e *link.Endpoint) (high, low uint64) {
	return binary.BigEndian.Uint64(e.Addr[:8]), binary.BigEndian.Uint64(e.Addr[8:])
}

func compare(a, b link.Endpoint) int {
	aHigh, aLow := words(&a)
	bHigh, bLow := words(&b)
	switch {
	case aHigh != bHigh:
		return cmp.Compare(aHigh, bHigh)
	case aLow != bLow:
		return cmp.Compare(aLow, bLow)
	}
	return int(a.Port) - int(b.Port)
}

// segment takes the segment of the given number in the capture, and returns the
// connection to which it belongs.
func (d *shard) segment(s *link.Segment, number uint64) *conn {
	d.settle(s.Time)
	d.clock = max(d.clock, s.Time)
	c := d.last
	if c == nil || !c.between(&s.Src, &s.Dst) {
		c = d.open.find(&s.Src, &s.Dst)
	}
	if c != nil {
		d.unpack(c)
		c.tcp.Pause(d.clock)
	}
	damaged := !d.options.AnyChecksum && c.relies(s) && s.Damaged()
	var before *conn
	if c != nil && !damaged && c.tcp.Reuses(c.dir(s), s) {
		c.tcp.Flush(c)
		before, c = c, nil
	}
	if c == nil {
		c = d.newConn(s)
		if !d.admit(c) {
			d.refuse(s)
			return nil
		}
		if c.order = number; before != nil {
			c.follow(before)
		}
		d.open.put(c)
		d.young = append(d.young, young{c, s.Time + int64(time.Second)})
	}
	d.last = c
	if damaged {
		d.passOver(c, s)
		return c
	}
	dir := c.dir(s)
	c.note(dir, s)
	if !c.unchecked || !d.hurried {
		c.condense(s.Time)
	}
	c.tcp.Segment(dir, s, c)
	if c.ended(dir, s) {
		d.retire(c)
	}
	return c
}

// relies reports whether a claim may rest on s, so that its checksum has to be
// right: at the beginning of a direction, where the handshakes are, and where a
// segment is small or begins or ends something. To look at every byte of what
// follows would take longer than all the rest; a forged byte there can only show
// as something that does not belong there.
func (c *conn) relies(s *link.Segment) bool {
	if c == nil || len(s.Payload) <= smallSegment || s.Flags&(link.SYN|link.FIN|link.RST) != 0 {
		return true
	}
	at, ok := c.tcp.Offset(c.dir(s), s.Seq)
	return !ok || at < checkedBytes
}

// checkedBytes is how much of each direction consists of segments whose checksums
// are right, and smallSegment the length up to which all segments are checked:
// that of ticks, alerts and closing messages.
const (
	checkedBytes = 64 << 10
	smallSegment = 256
)

// passOver leaves out a segment whose checksum is wrong, as its receiver did: no
// claim can be built on it. That there was one is remembered, since it may be the
// checksum that is meant to mislead.
func (d *shard) passOver(c *conn, s *link.Segment) {
	d.left.count(&d.left.damaged, s.Frame.Input, 1)
	if s.Length > 0 {
		c.damaged++
	}
}

func (d *shard) newConn(s *link.Segment) *conn {
	d.askForTables()
	d.askForKeys()
	c := &conn{ends: [2]link.Endpoint{s.Src, s.Dst}, silent: d.silent, shared: d.shared, state: newState(d.budget)}
	c.first = s.Frame
	c.epmdPort = d.isEPMD(s.Src.Port) || d.isEPMD(s.Dst.Port)
	c.streams[0].shared, c.streams[1].shared = c.shared, c.shared
	return c
}

// askForTables has new connections use others once those that they use are full.
func (d *shard) askForTables() {
	if t := d.tables.latest(); t != d.shared.tables {
		with := *d.shared
		with.tables = t
		d.shared = &with
	}
}

// askForKeys finds out whether there is a key log by now.
func (d *shard) askForKeys() {
	if d.options.Secrets == nil || d.withoutSecrets {
		return
	}
	if log := d.options.Secrets(); log != nil && d.shared.keys == nil {
		with := *d.shared
		with.keys = &keys{log, tls.NewQueue(shardWaiting)}
		d.shared = &with
	}
}

func (d *shard) isEPMD(port uint16) bool {
	return port == EPMDPort || slices.Contains(d.options.EPMDPorts, port)
}

// end says that no more segments will come. The connections that are packed are
// ended by [conn.atEnd]: of them nothing waits for which it mattered.
func (d *shard) end() {
	for _, c := range d.settled() {
		if c.state != nil {
			c.end()
		}
	}
	d.open, d.last = flows{}, nil
}
