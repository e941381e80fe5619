package decode

import (
	"slices"
	"sort"

	"distproof/capture/link"
	"distproof/decode/tcp"
)

// withoutData is how many of the connections that carried nothing so far are
// remembered at a time: an attempt that nobody answered, or one that was not used.
// A scan or a flood of SYNs would fill the memory otherwise. The oldest are
// forgotten first; if one carries something after all, it is taken for a
// connection whose beginning was not captured.
const withoutData = 1 << 16

// connectionCost is what a connection may take, with the facts and the report
// about it, for [Options.MaxMemory]: several times what it takes on average.
const connectionCost = 16 << 10

// reserved is how much of [Options.MaxMemory] is for all other things: the
// program itself, buffers for reading, what garbage collection is behind.
const reserved = 64 << 20

// leastEvicted is how many connections wait at least to be handed out that were
// given up for lack of room.
const leastEvicted = 1 << 10

// The bounds of what is remembered.
type bounds struct {
	// connections bounds each shard; 0 does not.
	connections int
	// reassembly and silent are the bytes held, and the connections without data,
	// of each shard.
	reassembly, silent int
	// evicted bounds what a Live decoder gave up for lack of room until it was
	// handed out, in all shards together.
	evicted int
	// unpacked bounds the connections of each shard that are at rest and not
	// packed.
	unpacked int
}

// bounds divides the memory. The half of it is for connections, a quarter for
// what waits to be put in order, and the rest for what they have in common.
func (o *Options) bounds() bounds {
	b := bounds{reassembly: shardBudget, silent: withoutData / shards, unpacked: unpackedAtMost}
	if o.MaxMemory > 0 {
		left := max(o.MaxMemory-reserved, 1<<20)
		b.reassembly = int(min(left/4, shardBudget*shards)) / shards
		b.connections = max(int(left/2/connectionCost)/shards, 1)
		b.silent = min(b.silent, max(b.connections/2, 1))
		b.evicted = max(b.connections*shards/4, leastEvicted)
		b.unpacked = min(b.unpacked, b.connections/8)
	}
	return b
}

// A queue has the connections that were new last, so that those which never
// carry anything can be forgotten.
type queue struct {
	conns []*conn
	next  int
}

// remove takes out the connections that are over.
func (q *queue) remove(over func(*conn) bool) {
	// The oldest comes first again.
	q.conns = slices.Concat(q.conns[q.next:], q.conns[:q.next])
	q.conns, q.next = slices.DeleteFunc(q.conns, over), 0
}

// admit takes a new connection. It reports false if there is no room for it.
func (d *shard) admit(c *conn) bool {
	q := &d.fresh
	if len(q.conns) < d.bounds.silent {
		if !d.room() {
			return false
		}
		q.conns = append(q.conns, c)
		return true
	}
	oldest := q.conns[q.next]
	if !oldest.empty() {
		if !d.room() {
			return false
		}
		d.all = append(d.all, oldest)
	} else {
		d.drop(oldest)
	}
	q.conns[q.next] = c
	q.next = (q.next + 1) % len(q.conns)
	return true
}

func (d *shard) room() bool {
	return d.bounds.connections == 0 || len(d.all)+len(d.fresh.conns) < d.bounds.connections
}

// settled returns all connections that are remembered.
func (d *shard) settled() []*conn { return append(d.all, d.fresh.conns...) }

// empty reports whether a connection carried nothing, as far as seen.
func (c *conn) empty() bool {
	if c.state == nil {
		return false // one that is empty is not packed
	}
	a, b := c.tcp.Stats(tcp.From0), c.tcp.Stats(tcp.From1)
	return c.damaged == 0 && a.Bytes+b.Bytes == 0 && a.End <= 0 && b.End <= 0 && a.Odd().StrayData+b.Odd().StrayData == 0
}

// drop forgets a connection.
func (d *shard) drop(c *conn) {
	d.unlist(c)
	if n := c.neighbours; n != nil {
		n.join(n.before, n.after)
	}
	a, b := c.tcp.Stats(tcp.From0), c.tcp.Stats(tcp.From1)
	d.left.count(&d.left.empty, c.first.Input, a.Packets+b.Packets)
	d.left.connections++
	if c.dropped = true; c.tracked != nil && c.tracked.handed {
		d.gone = append(d.gone, c.tracked.number)
	}
}

// unlist has no more segments join c.
func (d *shard) unlist(c *conn) {
	c.unlisted = true
	d.open.remove(c)
	if d.last == c {
		d.last = nil
	}
}

// release gives up a connection that is over.
func (d *shard) release(c *conn) {
	d.unlist(c)
	if n := c.neighbours; n != nil {
		n.join(nil, nil)
	}
}

// refuse leaves out a segment for whose connection there is no room.
func (d *shard) refuse(s *link.Segment) { d.left.count(&d.left.refused, s.Frame.Input, 1) }

// leftOut counts the packets that were left out, by input.
type leftOut struct {
	damaged, empty, refused map[uint32]uint64
	connections             uint64
}

func (l *leftOut) count(in *map[uint32]uint64, input uint32, n uint64) {
	if *in == nil {
		*in = make(map[uint32]uint64)
	}
	(*in)[input] += n
}

// leftOut adds up what the shards left out.
func (d *Decoder) leftOut() LeftOut {
	out := LeftOut{Damaged: make(map[uint32]uint64), Empty: make(map[uint32]uint64), Refused: make(map[uint32]uint64)}
	for i := range d.shards {
		l := &d.shards[i].left
		out.Connections += l.connections
		for _, x := range []struct{ to, from map[uint32]uint64 }{{out.Damaged, l.damaged}, {out.Empty, l.empty}, {out.Refused, l.refused}} {
			for input, n := range x.from {
				x.to[input] += n
			}
		}
	}
	return out
}

// LeftOut counts the packets that could be read, but were not used, by input.
type LeftOut struct {
	// Damaged are those whose TCP checksum is wrong, and Hidden those of them
	// that carried the only data of a connection: what it was is not known.
	Damaged map[uint32]uint64
	Hidden  uint64
	// Empty are those of Connections connections without data, which are beyond
	// what is remembered of these.
	Empty       map[uint32]uint64
	Connections uint64
	// Refused are those for whose connections there was no room.
	Refused map[uint32]uint64
}

// indexOf returns the place in Capture.Connections of the connection whose first
// segment has the given number; -1 if it is not there.
func (c *Capture) indexOf(number uint64) int {
	i := sort.Search(len(c.orders), func(i int) bool { return c.orders[i] >= number })
	if i == len(c.orders) || c.orders[i] != number {
		return -1
	}
	return i
}
