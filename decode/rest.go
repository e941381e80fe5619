package decode

import (
	"bytes"
	"slices"
	"sync"

	"distproof/decode/dist"
	"distproof/decode/pack"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// unpackedAtMost is how many connections of a shard that came to rest are not packed.
// With fewer connections, none is ever packed: to unpack and pack one takes as long as
// ten segments.
const unpackedAtMost = 2048

// unpackedLive is that for a Live decoder: connections stay for weeks there, and ticks
// are far apart.
const unpackedLive = 128

// A summary has what is asked of a connection while it is packed.
type summary struct {
	closed     [2]bool
	tls, clear bool
}

const (
	// recent is how many connections that were unpacked last are not packed: more may
	// come of them at once.
	recent = 128
	// renewal is how many connections are packed for each one of those that are
	// unpacked for the longest time.
	renewal = 8
)

// rested says that c came to rest, or was unpacked to go on. For it, another one is
// packed that was not.
func (d *shard) rested(c *conn) {
	// One that cannot be packed now is tried again later.
	for tries := 2; tries > 0 && len(d.unpacked) >= max(d.bounds.unpacked, 1); tries-- {
		if x := d.next(); !x.unlisted && !d.pack(x) {
			d.unpacked = append(d.unpacked, x)
		}
	}
	d.unpacked = append(d.unpacked, c)
	if len(d.unpacked) >= d.bounds.unpacked {
		d.unpacked[d.candidate(d.packs+1)].ask()
	}
}

// next takes out the connection that is packed next.
func (d *shard) next() *conn {
	d.packs++
	i := d.candidate(d.packs)
	x := d.unpacked[i]
	d.unpacked = slices.Delete(d.unpacked, i, i+1)
	return x
}

// candidate returns the index of the connection that is packed as the n-th. Nodes tick
// in turn: if it were always the oldest one and there are too many, each would be
// packed by the time when it ticks again. So most of the old ones stay, and only from
// time to time one of them makes room.
func (d *shard) candidate(n uint) int {
	if n%renewal == 0 {
		return 0
	}
	return len(d.unpacked) - min(recent, len(d.unpacked)/2) - 1
}

// pack packs c. It reports false if that is not possible now.
func (d *shard) pack(c *conn) bool {
	if !c.atRest() {
		return false
	}
	c.tcp.Pause(d.clock)
	c.summary = c.summarise()
	d.packer = pack.Writer(d.packer.Packed()[:0])
	c.state.pack(&d.packer, c.shared)
	if packed := d.packer.Packed(); len(packed) <= cap(c.packed) {
		c.packed = append(c.packed[:0], packed...)
	} else {
		c.packed = bytes.Clone(packed)
	}
	c.state, d.spare = nil, c.state
	return true
}

// unpack has c as it was before it was packed.
func (d *shard) unpack(c *conn) {
	if c.state != nil {
		return
	}
	room := d.spare
	if d.spare = nil; room == nil {
		room = newState(d.budget)
	}
	c.unpackTo(room, &d.unpacker)
	d.rested(c)
}

func newState(b *tcp.Budget) *state {
	s := new(state)
	s.tcp.Init(tcp.Limits{Head: handshakeHead, LongHead: longHandshakeHead}, b)
	return s
}

// unpackTo has the state of c in s, whose room it uses. p is room, too.
func (c *conn) unpackTo(s *state, p *pack.Packer) {
	*p = pack.Reader(c.packed)
	s.pack(p, c.shared)
	s.settled = true // or it would not have been packed
	c.state = s
}

// atEnd calls f with c as it is at the end of the capture. If it is packed, it has
// its state for no longer than that.
func (c *conn) atEnd(rooms *sync.Pool, f func(*conn)) {
	if c.state != nil {
		f(c)
		return
	}
	room := rooms.Get().(*state)
	defer rooms.Put(room)
	x := *c
	x.unpackTo(room, new(pack.Packer))
	x.end()
	f(&x)
}

func (c *conn) atRest() bool {
	return !c.empty() && c.tcp.AtRest() && c.streams[0].atRest() && c.streams[1].atRest()
}

func (s *stream) atRest() bool {
	return s.shared.keys == nil && s.epmd == nil && s.decrypted == nil &&
		(s.tls == nil || s.tls.AtRest()) && (s.dist == nil || s.dist.AtRest()) && (s.inside == nil || s.inside.AtRest())
}

func (s *state) pack(p *pack.Packer, c *shared) {
	p.Frame(&s.first)
	s.tcp.Pack(p, &c.tables.tcp)
	for i := range s.streams {
		p.Return()
		s.streams[i].pack(p, c)
	}
	pack.Pair(p, &s.opener, &s.openerSeen)
	rare := s.damaged > 0 || len(s.encaps) > 0
	p.Flags(&s.epmdPort, &s.closing[0], &s.closing[1], &s.over, &rare)
	if !rare {
		s.damaged, s.encaps = 0, nil
		return
	}
	pack.Uint(p, &s.damaged)
	pack.Slice(p, &s.encaps, func(e *uint16, p *pack.Packer) { pack.Uint(p, e) })
}

func (s *stream) pack(p *pack.Packer, c *shared) {
	if p.Reading() {
		*s = stream{shared: c, tls: s.tls, dist: s.dist, inside: s.inside}
	}
	first, isTLS, isDist, inside := s.first != nil, s.tls != nil, s.dist != nil, s.inside != nil
	p.Flags(&s.known, &s.fromStart, &s.preamble, &first, &isTLS, &isDist, &inside)
	pack.If(p, first, &s.first, (*firstBytes).pack)
	pack.If(p, isTLS, &s.tls, func(s *tls.Stream, p *pack.Packer) { s.Pack(p, c.tls) })
	pack.If(p, isDist, &s.dist, func(s *dist.Stream, p *pack.Packer) { s.Pack(p, &c.dist) })
	pack.If(p, inside, &s.inside, func(s *dist.Stream, p *pack.Packer) { s.Pack(p, &c.dist) })
}

func (f *firstBytes) pack(p *pack.Packer) {
	p.Bytes(&f.b)
	pack.Slice(p, &f.pieces, (*piece).pack)
}

func (x *piece) pack(p *pack.Packer) {
	x.at.Pack(p)
	pack.Int(p, &x.n)
}

// summarise returns what is asked of c.
func (c *conn) summarise() summary {
	if c.state == nil {
		return c.summary
	}
	out := summary{closed: c.closed()}
	for i := range c.streams {
		s := &c.streams[i]
		out.tls = out.tls || s.tls != nil
		out.clear = out.clear || s.dist != nil && s.dist.Recognised()
	}
	return out
}
