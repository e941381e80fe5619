// Package decode finds out what crossed every TCP connection of a capture: it
// gathers the segments of each, has them reassembled and decoded, and states
// what they show as facts. It does not judge them.
//
// Each connection is decoded by itself; what one tells of another (EPMD's
// answers, resumed sessions, names of nodes) is put together at the end, so
// that the facts depend neither on the order of the connections nor on how they
// were interleaved.
package decode

import (
	"cmp"
	"slices"
	"sync"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// EPMDPort is the registered port of the Erlang port mapper daemon.
const EPMDPort = 4369

// Options say what the user knows of the cluster.
type Options struct {
	// Ports are ports on which nodes listen for distribution.
	Ports []uint16
	// EPMDPorts are ports of EPMD, beside 4369.
	EPMDPorts []uint16
	// Payload keeps the first terms that cross in the clear, as text.
	Payload bool
	// AnyChecksum takes segments whose TCP checksum is wrong for what they are:
	// of captures whose addresses were changed afterwards.
	AnyChecksum bool
	// MaxMemory is how much memory a run is to take, in bytes; 0 is as much as it
	// takes. It bounds the connections that are remembered, and what is held of
	// each; see [LeftOut].
	MaxMemory int64
	// Workers is the number of goroutines that state the facts; 0 is one for
	// each processor.
	Workers int
	// Hurry says that segments are lost that are not taken in time, as of a network.
	// More of them may wait for a [Pool], and while they do, what can be done later is.
	Hurry bool
	// Secrets returns the key log with which TLS is to be opened; nil if there
	// is none so far. It is asked for every connection, and may be filled until
	// [Decoder.Finish]: what a connection carries before its secrets are there is
	// kept up to a limit.
	Secrets func() *secrets.Log
}

// A Decoder takes the segments of a capture. It is not safe for concurrent use.
type Decoder struct {
	shards [shards]shard
	// segments counts those that were taken.
	segments uint64
	options  Options
	tables   generations
}

// NewDecoder returns a Decoder that has seen nothing.
func NewDecoder(o Options) *Decoder {
	d := &Decoder{options: o}
	d.tables.begin()
	for i := range d.shards {
		d.shards[i] = newShard(&d.options, &d.tables)
	}
	return d
}

// A conn is a connection while its segments come in. There may be a million that are
// packed: what is not needed of these is in the state.
type conn struct {
	ends [2]link.Endpoint // in the order in which they first sent
	// unlisted says that no more segments join it, dropped that it was forgotten.
	unlisted, dropped bool
	// A silent connection is only followed, see Follower; index is its place in
	// Capture.Connections.
	silent   bool
	unlocked bool // the key log need not be asked any more
	index    int32
	summary  summary // valid iff the connection is packed
	// order is the number of the connection's first segment in the capture.
	order       uint64
	*neighbours // nil if there are none
	shared      *shared
	// tracked is nil unless the decoder is a Live one.
	tracked *tracked
	// state is nil iff the connection is packed, see [shard.rested].
	*state
	packed []byte
}

// The neighbours of a connection are those with the same addresses and ports that
// came before and after it; nil if there are none.
type neighbours struct{ before, after *conn }

// follow has x be the one before c.
func (c *conn) follow(x *conn) {
	if x.neighbours == nil {
		x.neighbours = new(neighbours)
	}
	c.neighbours, x.after = &neighbours{before: x}, c
}

// join has the connection behind these come behind another one, and the one before
// them come before another one.
func (n *neighbours) join(before, after *conn) {
	if n.after != nil {
		n.after.before = before
	}
	if n.before != nil {
		n.before.after = after
	}
}

// previous returns the connection before c, which may be nil; nil if there is none.
func (c *conn) previous() *conn {
	if c == nil || c.neighbours == nil {
		return nil
	}
	return c.before
}

// A state is what was found out of a connection.
type state struct {
	tcp     tcp.Conn
	streams [2]stream
	// opener is the direction whose SYN, or the other's SYN+ACK, was seen.
	opener     tcp.Dir
	openerSeen opener // how
	encaps     []uint16
	first      capture.Frame
	epmdPort   bool
	closing    [2]bool // a FIN or RST was sent
	over       bool    // both sides did
	settled    bool    // it was quiet, and is not among the shard's young any more
	// unchecked says that it was condensed but for signatures, which are still to be
	// checked.
	unchecked bool
	// damaged counts segments with data whose checksum is wrong.
	damaged uint32
}

// An opener says how it is known which side opened a connection.
type opener uint8

const (
	byNothing opener = iota
	bySYN
	bySYNACK
)

// The words are those of [Connection.RolesBasis].
func (o opener) String() string { return [...]string{"", "syn", "syn-ack"}[o] }

// handshakeHead is the part of each direction in which retransmissions are
// compared with what came first. The largest handshakes of OTP, with
// post-quantum keys and chains of RSA certificates, take half of it.
const handshakeHead = 16 << 10

// longHandshakeHead is that part as long as the handshake of TLS goes on: a chain of
// certificates may take more than usual.
const longHandshakeHead = 64 << 10

// maxEncapsulations bounds the ways on which one connection is seen to travel.
const maxEncapsulations = 8

// Segment takes the next segment.
func (d *Decoder) Segment(s *link.Segment) { d.segment(s) }

// segment returns the connection to which s belongs.
func (d *Decoder) segment(s *link.Segment) *conn {
	c := d.shards[shardOf(s)].segment(s, d.segments)
	d.segments++
	return c
}

// dir returns the direction in which s was sent.
func (c *conn) dir(s *link.Segment) tcp.Dir {
	if s.Src == c.ends[0] {
		return tcp.From0
	}
	return tcp.From1
}

// note records what a segment tells beside its bytes.
func (c *conn) note(dir tcp.Dir, s *link.Segment) {
	if s.Flags.Has(link.SYN) && c.openerSeen != bySYN {
		if s.Flags.Has(link.ACK) {
			c.opener, c.openerSeen = dir.Other(), bySYNACK
		} else {
			c.opener, c.openerSeen = dir, bySYN
		}
	}
	if s.Encapsulation != 0 && !slices.Contains(c.encaps, s.Encapsulation) && len(c.encaps) < maxEncapsulations {
		c.encaps = append(c.encaps, s.Encapsulation)
	}
}

// ended notes that a side ended its stream. It reports whether the connection is
// over with that.
func (c *conn) ended(dir tcp.Dir, s *link.Segment) bool {
	if c.over || !s.Flags.Has(link.FIN) && !s.Flags.Has(link.RST) {
		return false
	}
	c.closing[dir] = true
	c.over = c.closing == [2]bool{true, true}
	return c.over
}

// Data implements [tcp.Sink].
func (c *conn) Data(d tcp.Dir, at tcp.Position, b []byte) {
	if c.silent {
		return
	}
	fromStart := at.Offset == 0 && c.tcp.Start(d) != tcp.StartUnknown
	c.streams[d].data(at, b, fromStart, c.epmdPort)
	if !c.unlocked {
		c.unlock()
	}
}

// Interest implements [tcp.Chooser].
func (c *conn) Interest(d tcp.Dir) tcp.Interest {
	s := &c.streams[d]
	if !s.known {
		return tcp.Long
	}
	if s.tls == nil {
		return tcp.Usual
	}
	switch s.tls.Handshaking() {
	case fact.Yes:
		return tcp.Long
	case fact.No:
		return tcp.NoMore
	}
	return tcp.Usual
}

// unlock opens what the streams hold, once the key log has secrets for it.
func (c *conn) unlock() {
	a, b := c.streams[0].tls, c.streams[1].tls
	switch {
	case c.shared.keys == nil:
		c.unlocked = true
	case a != nil && b != nil:
		c.unlocked = tls.Unlock(a, b)
	}
}

// Gap implements [tcp.Sink].
func (c *conn) Gap(d tcp.Dir, at tcp.Position, n int64) {
	if c.silent {
		return
	}
	c.streams[d].gap(at, n, c.epmdPort)
}

// Finish ends the capture and states the facts. encapsulation is
// [link.Decoder.Encapsulation]. The Decoder takes no more segments.
func (d *Decoder) Finish(encapsulation func(uint16) []string) *Capture {
	out := &Capture{}
	d.inParallel(len(d.shards), func(i int) { d.shards[i].end() })
	out.LeftOut, out.options = d.leftOut(), d.options
	all := d.connections()
	for i, c := range all {
		out.orders, c.index = append(out.orders, c.order), int32(i)
	}
	out.Connections = make([]*Connection, len(all))
	damaged := make([]uint32, len(all))
	rooms := sync.Pool{New: func() any { return newState(nil) }}
	// Checking signatures takes most of the time.
	d.inParallel(len(all), func(i int) {
		all[i].atEnd(&rooms, func(c *conn) { out.Connections[i], damaged[i] = c.facts(encapsulation), c.damaged })
		switch c := all[i]; {
		case out.Connections[i].guessed(): // somebody may ask for it the other way round
		case c.previous() != nil:
			c.state, c.packed = nil, nil
		default:
			all[i] = nil
		}
	})
	out.LeftOut.Hidden = out.dispute(all, damaged)
	out.join(d.options, func(i int) (x *Connection) {
		all[i].atEnd(&rooms, func(c *conn) { x = c.swapped(encapsulation) })
		x.Disputed = out.Connections[i].Disputed
		return x
	})
	for i, c := range out.Connections {
		c.Number = uint64(i + 1)
	}
	return out
}

// connections returns all connections, in the order of their first segments.
func (d *Decoder) connections() []*conn {
	var all []*conn
	for i := range d.shards {
		all = append(all, d.shards[i].settled()...)
		d.shards[i] = shard{}
	}
	slices.SortFunc(all, func(a, b *conn) int { return cmp.Compare(a.order, b.order) })
	return all
}

// inParallel calls f with 0 to n-1, on several processors.
func (d *Decoder) inParallel(n int, f func(int)) { inParallel(n, d.options.Workers, f) }

// dispute finds the connections of which it is uncertain what belongs to them:
// those with data that has no place in them, and those before them, whose end a
// forged SYN may have been. It returns how many damaged segments there are of
// connections of which nothing else was seen.
func (out *Capture) dispute(all []*conn, damaged []uint32) (hidden uint64) {
	for i, c := range slices.Backward(all) {
		x := out.Connections[i]
		a, b := &x.TCP[Client], &x.TCP[Server]
		own, empty := a.Odd().StrayData+b.Odd().StrayData > 0, a.Bytes+b.Bytes == 0
		x.Disputed = x.Disputed || own
		if before := c.previous(); before != nil && x.Disputed && (own || empty) {
			out.Connections[before.index].Disputed = true
		}
		if empty {
			hidden += uint64(damaged[i])
		}
	}
	return hidden
}
