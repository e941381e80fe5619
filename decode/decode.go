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
	"runtime"
	"slices"
	"sync"

	"distproof/capture"
	"distproof/capture/link"
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
	// Secrets returns the key log with which TLS is to be opened; nil if there
	// is none so far. It is asked for every connection, and may be filled until
	// [Decoder.Finish]: what a connection carries before its secrets are there is
	// kept up to a limit.
	Secrets func() *secrets.Log
}

// A Decoder takes the segments of a capture. It is not safe for concurrent use.
type Decoder struct {
	options Options
	budget  *tcp.Budget
	open    map[flow]*conn
	all     []*conn
	silent  bool
}

// A flow is a pair of endpoints, the lesser one first.
type flow struct{ a, b link.Endpoint }

// NewDecoder returns a Decoder that has seen nothing.
func NewDecoder(o Options) *Decoder {
	return &Decoder{options: o, budget: tcp.NewBudget(0), open: make(map[flow]*conn)}
}

// A conn is a connection while its segments come in.
type conn struct {
	ends    [2]link.Endpoint // in the order in which they first sent
	tcp     *tcp.Conn
	streams [2]stream
	// opener is the direction whose SYN, or the other's SYN+ACK, was seen.
	opener     tcp.Dir
	openerSeen string // how; "" if not
	encaps     []uint16
	first      capture.Frame
	epmdPort   bool
	unlocked   bool    // the key log need not be asked any more
	closing    [2]bool // a FIN or RST was sent
	forgotten  bool
	// before is the connection that had the same addresses and ports; nil if
	// there was none.
	before   *conn
	disputed bool
	// index is the place in Capture.Connections. A silent connection is only
	// followed, see Follower.
	index  int
	silent bool
}

// handshakeHead is the part of each direction in which retransmissions are
// compared with what came first. The largest handshakes of OTP, with
// post-quantum keys and chains of RSA certificates, take half of it.
const handshakeHead = 16 << 10

// maxEncapsulations bounds the ways on which one connection is seen to travel.
const maxEncapsulations = 8

// Segment takes the next segment.
func (d *Decoder) Segment(s *link.Segment) { d.segment(s) }

// segment returns the connection to which s belongs.
func (d *Decoder) segment(s *link.Segment) *conn {
	key := flow{s.Src, s.Dst}
	if compare(s.Src, s.Dst) > 0 {
		key = flow{s.Dst, s.Src}
	}
	c := d.open[key]
	var before *conn
	if c != nil && c.tcp.Reuses(c.dir(s), s) {
		c.tcp.Flush(c)
		before, c = c, nil
	}
	if c == nil {
		c = d.newConn(s)
		c.before, c.index = before, len(d.all)
		d.open[key] = c
		d.all = append(d.all, c)
	}
	dir := c.dir(s)
	c.note(dir, s)
	c.tcp.Segment(dir, s, c)
	c.forget(dir, s)
	return c
}

func compare(a, b link.Endpoint) int {
	if c := slices.Compare(a.Addr[:], b.Addr[:]); c != 0 {
		return c
	}
	return int(a.Port) - int(b.Port)
}

func (d *Decoder) newConn(s *link.Segment) *conn {
	c := &conn{ends: [2]link.Endpoint{s.Src, s.Dst}, tcp: tcp.New(tcp.Limits{Head: handshakeHead}, d.budget), first: s.Frame}
	c.silent = d.silent
	c.epmdPort = d.isEPMD(s.Src.Port) || d.isEPMD(s.Dst.Port)
	for side := range c.streams {
		c.streams[side].options.Payload = d.options.Payload
	}
	if d.options.Secrets != nil {
		log := d.options.Secrets()
		c.streams[0].secrets, c.streams[1].secrets = log, log
	}
	return c
}

func (d *Decoder) isEPMD(port uint16) bool {
	return port == EPMDPort || slices.Contains(d.options.EPMDPorts, port)
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
	if s.Flags.Has(link.SYN) && c.openerSeen != "syn" {
		if s.Flags.Has(link.ACK) {
			c.opener, c.openerSeen = dir.Other(), "syn-ack"
		} else {
			c.opener, c.openerSeen = dir, "syn"
		}
	}
	if s.Encapsulation != 0 && !slices.Contains(c.encaps, s.Encapsulation) && len(c.encaps) < maxEncapsulations {
		c.encaps = append(c.encaps, s.Encapsulation)
	}
}

// forget gives up comparing retransmissions once the connection is over: what
// comes again of it then is read by nobody.
func (c *conn) forget(dir tcp.Dir, s *link.Segment) {
	if c.forgotten {
		return
	}
	if s.Flags.Has(link.FIN) || s.Flags.Has(link.RST) {
		c.closing[dir] = true
	}
	if c.closing == [2]bool{true, true} {
		c.tcp.Forget()
		c.forgotten = true
	}
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

// unlock opens what the streams hold, once the key log has secrets for it.
func (c *conn) unlock() {
	a, b := c.streams[0].tls, c.streams[1].tls
	switch {
	case c.streams[0].secrets == nil:
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
	for _, c := range d.all {
		if d.open[key(c)] == c {
			c.tcp.Flush(c)
		}
		for i := range c.streams {
			c.streams[i].end(c.epmdPort)
		}
	}
	d.dispute()
	out.Connections = d.facts(encapsulation)
	out.join(d.options, func(i int) *Connection { return d.all[i].swapped(encapsulation) })
	return out
}

// facts states the facts of every connection by itself. Checking signatures
// takes most of the time, so all processors share the work.
func (d *Decoder) facts(encapsulation func(uint16) []string) []*Connection {
	out := make([]*Connection, len(d.all))
	workers := runtime.GOMAXPROCS(0)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(d.all); i += workers {
				out[i] = d.all[i].facts(encapsulation)
			}
		})
	}
	wait.Wait()
	return out
}

// dispute finds the connections of which it is uncertain what belongs to them:
// those with data that has no place in them, and those before them, whose end a
// forged SYN may have been.
func (d *Decoder) dispute() {
	for _, c := range slices.Backward(d.all) {
		a, b := c.tcp.Stats(tcp.From0), c.tcp.Stats(tcp.From1)
		own := a.StrayData+b.StrayData > 0
		c.disputed = c.disputed || own
		if empty := a.Bytes+b.Bytes == 0; c.before != nil && c.disputed && (own || empty) {
			c.before.disputed = true
		}
	}
}

func key(c *conn) flow {
	if compare(c.ends[0], c.ends[1]) > 0 {
		return flow{c.ends[1], c.ends[0]}
	}
	return flow{c.ends[0], c.ends[1]}
}
