package dist

import (
	"distproof/decode/dist/term"
)

// Tags ahead of control tuples.
const (
	tagDistHeader  = 68
	tagFirstFrag   = 69
	tagNextFrag    = 70
	tagPassThrough = 112
)

// A message is what is known of one message of the connected phase. What it
// refers to is valid until the next one is decoded, unless it was cloned.
type message struct {
	kind kind
	// op is the control operation; 0 if it was not read.
	op uint8
	// listed says that the list of atoms, if the form has one, was read whole.
	listed bool
	// named and spawns say that the operation carries the name that the message
	// is sent to, or the function that is spawned, resolved or not.
	named, spawns bool
	name          term.Atom
	spawned       call
	// call is what the message makes its receiver run; none if by is not set.
	call call
	// sequence and fragment are those of a fragment's header.
	sequence, fragment uint64
	// overhead is how many bytes stand ahead of the payload; valid if sized.
	overhead int
	sized    bool
	// short says that more of the message may tell more.
	short bool
	// text is the printed payload, if that is asked for; whole says that it is
	// all of it.
	text  string
	whole bool
}

// clone returns a copy of m that is independent of what it was decoded from.
func (m message) clone() message {
	own := func(a *term.Atom) { a.Text = append([]byte(nil), a.Text...) }
	own(&m.name)
	for _, c := range []*call{&m.spawned, &m.call} {
		own(&c.module)
		own(&c.function)
	}
	return m
}

// kind is the outer form of a message.
type kind uint8

const (
	kindOther      kind = iota // 131 and something unknown
	kindWhole                  // 131,68
	kindFirstFrag              // 131,69
	kindNextFrag               // 131,70
	kindPass                   // 112
	kindCompressed             // 131,80
)

// A decoder reads the heads of messages. It keeps the atom cache of its
// direction.
type decoder struct {
	tables  *Tables
	cache   atomCache
	refs    []term.Atom // of the message at hand, by position
	message message
	// show asks for the text of payloads.
	show bool
	// inflated and more are room for compressed terms, of which so many were
	// expanded.
	inflated, more []byte
	expanded       int
}

// decode reads the head of a message. It returns false if something in it is
// not as the protocol says, or if the control operation lies beyond the end of
// head; what was read until then is in the message, which is valid until the
// next call.
func (d *decoder) decode(head []byte) (*message, bool) {
	c := term.NewCursor(head, nil)
	m := &d.message
	*m = message{}
	ok := d.form(&c, m, len(head))
	m.short = m.short || c.State() == term.Short
	return m, ok
}

// form reads what stands ahead of the control tuple, and goes on.
func (d *decoder) form(c *term.Cursor, m *message, size int) bool {
	switch c.Byte() {
	case tagPassThrough:
		m.kind, m.listed = kindPass, true
		d.refs = d.refs[:0]
		if c.Byte() != term.Version {
			return false
		}
		return d.terms(c, m, size)
	case term.Version:
	default:
		return false
	}
	switch c.Peek() {
	case tagDistHeader:
		m.kind = kindWhole
	case tagFirstFrag:
		m.kind = kindFirstFrag
	case tagNextFrag:
		m.kind, m.listed = kindNextFrag, true
	case term.Compressed:
		m.kind = kindCompressed
		return d.terms(c, m, size)
	}
	if c.Byte(); m.kind == kindOther {
		return false
	}
	if m.kind != kindWhole && !m.readFragment(c) {
		return false
	}
	if m.kind == kindNextFrag {
		m.overhead, m.sized = size-c.Len(), true
		return true
	}
	m.listed = d.header(c)
	return m.listed && d.terms(c, m, size)
}

// maxFragments bounds the fragments of one message in a plausible header: at
// 64 KiB each, that is a terabyte.
const maxFragments = 1 << 24

// readFragment reads the sequence id and the fragment id, which counts down to
// 1 (OTP erl_ext_dist, "Distribution Header for fragmented messages").
func (m *message) readFragment(c *term.Cursor) bool {
	m.sequence, m.fragment = c.Uint64(), c.Uint64()
	return c.OK() && m.fragment >= 1 && m.fragment <= maxFragments
}

// No node of OTP compresses messages, so that little is enough.
const (
	// maxInflated bounds what is expanded of a compressed term.
	maxInflated = maxHead
	// maxExpanded bounds the terms that are expanded in one direction: a term of
	// some bytes may cost the time of thousands.
	maxExpanded = 1024
)

// expand appends the beginning of a compressed term to dst. whole says that it
// is all.
func (d *decoder) expand(c *term.Cursor, dst []byte) (out []byte, whole bool) {
	c.Byte()
	if d.expanded == maxExpanded {
		c.Fail()
		return dst, false
	}
	d.expanded++
	return c.Inflate(dst, maxInflated)
}

// terms reads the control tuple and what is wanted of the payload.
func (d *decoder) terms(c *term.Cursor, m *message, size int) bool {
	if c.Peek() == term.Compressed {
		d.compressed(c, m, size)
		// No node sends this: it is no sign of distribution.
		return false
	}
	at := term.NewCursor(c.Rest(), d.refs)
	ok := d.control(&at, m)
	if at.OK() {
		m.overhead, m.sized = size-at.Len(), true
		d.payload(at.Rest(), m)
	}
	return ok
}

// compressed reads a control tuple that is compressed. The payload follows in
// the compressed data if all of the message is, and behind it otherwise.
func (d *decoder) compressed(c *term.Cursor, m *message, size int) {
	var whole bool
	d.inflated, whole = d.expand(c, d.inflated[:0])
	x := term.NewCursor(d.inflated, nil)
	if m.kind == kindCompressed {
		d.refs = d.refs[:0]
		m.listed = true
		if x.Peek() == tagDistHeader {
			x.Byte()
			m.listed = d.header(&x)
		}
	}
	at := term.NewCursor(x.Rest(), d.refs)
	d.control(&at, m)
	m.listed = m.listed && m.op != 0
	switch {
	case !at.OK():
	case m.kind == kindCompressed:
		d.payload(at.Rest(), m)
	case whole:
		m.overhead, m.sized = size-c.Len(), true
		d.payload(c.Rest(), m)
	}
}

// control reads the control tuple at c. It returns whether it begins with an
// operation that the protocol has.
func (d *decoder) control(c *term.Cursor, m *message) bool {
	if c.Len() > 0 && c.Peek() != term.SmallTuple {
		c.Fail()
		return false
	}
	arity, _ := c.Tuple()
	op, ok := c.Int()
	if !ok {
		m.short = m.short || c.State() == term.Short
		return false
	}
	if !known(op, arity) {
		c.Skip(arity - 1)
		return false
	}
	m.op = uint8(op)
	read := 1
	switch op {
	case opRegSend, opRegSendTT: // {Op, From, Unused, ToName, ...}
		c.Skip(2)
		m.named, read = true, 4
		m.name, _ = c.Atom()
	case opSpawnRequest, opSpawnRequestTT: // {Op, ReqId, From, GroupLeader, {M, F, A}, ...}
		c.Skip(3)
		m.spawns, read = true, 5
		m.spawned = spawned(c)
		m.call = m.spawned.meant()
	case opAltActSigSend: // {Op, Flags, From, To, ...}
		flags, _ := c.Int()
		c.Skip(1)
		if read = 3; flags&altActName != 0 {
			m.named, read = true, 4
			m.name, _ = c.Atom()
		}
	}
	c.Skip(arity - read)
	m.short = m.short || c.State() == term.Short
	return true
}

// spawned reads {Module, Function, Arity}.
func spawned(c *term.Cursor) call {
	f := call{by: BySpawn}
	n, ok := c.Tuple()
	if !ok || n != 3 {
		c.Fail()
		return f
	}
	f.module, _ = c.Atom()
	f.function, _ = c.Atom()
	f.arity, f.counted = c.Int()
	return f
}
