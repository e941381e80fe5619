package dist

import (
	"strings"
	"unicode/utf8"

	"distproof/decode/wire"
)

// Tags of the external term format that occur ahead of and in control tuples.
const (
	tagVersion      = 131
	tagDistHeader   = 68
	tagFirstFrag    = 69
	tagNextFrag     = 70
	tagCompressed   = 80
	tagCacheRef     = 82
	tagNewPid       = 88
	tagNewerRef     = 90
	tagSmallInt     = 97
	tagInt          = 98
	tagAtom         = 100
	tagPid          = 103
	tagSmallTuple   = 104
	tagPassThrough  = 112
	tagNewRef       = 114
	tagSmallAtom    = 115
	tagAtomUTF8     = 118
	tagSmallAtomUTF = 119
)

// A message is what is known of one message of the connected phase.
type message struct {
	kind kind
	// op is the name of the control operation; empty if it was not read.
	op string
	// registered is the name that the message is sent to, if the operation has
	// one and it could be resolved.
	registered string
	// spawned is "module:function" of a spawn request.
	spawned string
	// listed says that the list of atoms, if the form has one, was read whole.
	listed bool
	// named and spawns say that the operation carries these, resolved or not.
	named, spawns bool
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

// A ref is an atom that a message's distribution header lists.
type ref struct {
	name  string
	known bool
}

// A decoder reads control parts. It keeps the atom cache of its direction.
type decoder struct {
	cache atomCache
	refs  []ref // of the message at hand, by position
}

// maxCachedBytes bounds the text of the atoms that are kept for one direction.
// An atom cache has 2048 slots (8 segments of 256); atoms are short: ERTS
// itself keeps no atom above 255 characters.
const maxCachedBytes = 64 << 10

// atomCache maps a slot, segment*256+index, to the atom's text. A slot that is
// missing is not known: its entry was not captured, or there was no room.
type atomCache struct {
	slots map[uint16]string
	bytes int
}

func (c *atomCache) set(slot uint16, name []byte) {
	if old, ok := c.slots[slot]; ok {
		if old == string(name) {
			return
		}
		c.bytes -= len(old)
		delete(c.slots, slot)
	}
	if c.bytes+len(name) > maxCachedBytes {
		return
	}
	if c.slots == nil {
		c.slots = make(map[uint16]string)
	}
	c.slots[slot] = string(name)
	c.bytes += len(name)
}

// forget drops all entries: after a gap, any of them may have been replaced.
func (c *atomCache) forget() { *c = atomCache{} }

// decode reads the head of a message's payload. It returns false if something
// in it is not as the protocol says, or if the control operation lies beyond
// the end of head; what was read until then is in the message.
func (d *decoder) decode(head []byte) (message, bool) {
	c := wire.NewCursor(head)
	var m message
	switch c.Uint8("tag") {
	case tagPassThrough:
		m.kind, m.listed = kindPass, true
		d.refs = d.refs[:0]
		if c.Uint8("version") != tagVersion {
			return m, false
		}
		ok := d.control(&c, &m)
		return m, ok
	case tagVersion:
	default:
		return m, false
	}
	switch c.Uint8("type") {
	case tagDistHeader:
		m.kind = kindWhole
	case tagFirstFrag:
		m.kind = kindFirstFrag
		if !fragment(&c) {
			return m, false
		}
	case tagNextFrag:
		m.kind, m.listed = kindNextFrag, true
		return m, fragment(&c)
	case tagCompressed:
		m.kind = kindCompressed
		return m, false
	default:
		return m, false
	}
	m.listed = d.header(&c)
	ok := m.listed && d.control(&c, &m)
	return m, ok
}

// maxFragments bounds the fragments of one message in a plausible header: at
// 64 KiB each, that is a terabyte.
const maxFragments = 1 << 24

// fragment reads the sequence id and the fragment id, which counts down to 1.
func fragment(c *wire.Cursor) bool {
	c.Uint64("sequence id")
	id := c.Uint64("fragment id")
	return c.Err() == nil && id >= 1 && id <= maxFragments
}

// header reads a distribution header after its tag: the list of atoms that the
// terms refer to by position ("Distribution Header").
func (d *decoder) header(c *wire.Cursor) bool {
	d.refs = d.refs[:0]
	n := int(c.Uint8("number of atom cache references"))
	if n == 0 {
		return c.Err() == nil
	}
	// Four bits for each reference, and four for all of them.
	flags := c.Bytes("flags", n/2+1)
	if flags == nil {
		return false
	}
	nibble := func(i int) byte { return flags[i/2] >> (i % 2 * 4) & 15 }
	long := nibble(n)&1 != 0
	for i := range n {
		slot := uint16(nibble(i)&7)<<8 | uint16(c.Uint8("internal segment index"))
		if nibble(i)&8 == 0 {
			name, ok := d.cache.slots[slot]
			d.refs = append(d.refs, ref{name, ok})
			continue
		}
		length := 0
		if long {
			length = int(c.Uint16("atom length"))
		} else {
			length = int(c.Uint8("atom length"))
		}
		text := c.Bytes("atom text", length)
		if c.Err() != nil || length > maxAtomBytes || !utf8.Valid(text) {
			return false
		}
		d.cache.set(slot, text)
		d.refs = append(d.refs, ref{string(text), true})
	}
	return c.Err() == nil
}

// maxAtomBytes is the length of 255 characters of UTF-8, the longest atom.
const maxAtomBytes = 255 * 4

// control reads the beginning of a control tuple.
func (d *decoder) control(c *wire.Cursor, m *message) bool {
	if c.Uint8("control tag") != tagSmallTuple {
		return false
	}
	arity := int(c.Uint8("control arity"))
	op := -1
	switch c.Uint8("operation tag") {
	case tagSmallInt:
		op = int(c.Uint8("operation"))
	case tagInt:
		op = int(int32(c.Uint32("operation")))
	}
	if c.Err() != nil {
		return false
	}
	o, ok := lookUp(op, arity)
	if !ok {
		return false
	}
	m.op = o.name
	switch op {
	case opRegSend, opRegSendTT: // {Op, From, Unused, ToName, ...}
		m.named = true
		if skipTerms(c, 2) {
			m.registered, _ = d.atom(c)
		}
	case opSpawnRequest, opSpawnRequestTT: // {Op, ReqId, From, GroupLeader, {M, F, A}, ...}
		m.spawns = true
		if skipTerms(c, 3) && c.Uint8("tag") == tagSmallTuple && c.Uint8("arity") == 3 {
			module, ok1 := d.atom(c)
			function, ok2 := d.atom(c)
			if ok1 && ok2 {
				m.spawned = module + ":" + function
			}
		}
	}
	return true
}

// atom reads an atom and returns its text in UTF-8, if it is known.
func (d *decoder) atom(c *wire.Cursor) (string, bool) {
	var text []byte
	latin1 := false
	switch c.Uint8("atom tag") {
	case tagCacheRef:
		i := int(c.Uint8("atom cache reference"))
		if c.Err() != nil || i >= len(d.refs) {
			return "", false
		}
		return d.refs[i].name, d.refs[i].known
	case tagSmallAtomUTF:
		text = c.Bytes("atom", int(c.Uint8("atom length")))
	case tagAtomUTF8:
		text = c.Bytes("atom", int(c.Uint16("atom length")))
	case tagSmallAtom:
		text, latin1 = c.Bytes("atom", int(c.Uint8("atom length"))), true
	case tagAtom:
		text, latin1 = c.Bytes("atom", int(c.Uint16("atom length"))), true
	default:
		return "", false
	}
	if c.Err() != nil || len(text) > maxAtomBytes {
		return "", false
	}
	if latin1 {
		return fromLatin1(text), true
	}
	return string(text), utf8.Valid(text)
}

func fromLatin1(b []byte) string {
	var s strings.Builder
	for _, x := range b {
		s.WriteRune(rune(x))
	}
	return s.String()
}

// skipTerms skips n terms.
func skipTerms(c *wire.Cursor, n int) bool {
	for range n {
		if !skipTerm(c) {
			return false
		}
	}
	return true
}

// skipTerm passes over an atom, a process identifier, a reference or a small
// integer: what stands ahead of the elements that are wanted. It reports false
// for anything else.
func skipTerm(c *wire.Cursor) bool {
	tag := c.Uint8("tag")
	switch tag {
	case tagNewPid: // node, id32, serial32, creation32
		return skipAtom(c, c.Uint8("node tag")) && skip(c, 12)
	case tagPid: // node, id32, serial32, creation8
		return skipAtom(c, c.Uint8("node tag")) && skip(c, 9)
	case tagNewerRef: // n16, node, creation32, n words
		n := int(c.Uint16("reference length"))
		return skipAtom(c, c.Uint8("node tag")) && skip(c, 4+4*n)
	case tagNewRef: // n16, node, creation8, n words
		n := int(c.Uint16("reference length"))
		return skipAtom(c, c.Uint8("node tag")) && skip(c, 1+4*n)
	case tagSmallInt:
		return skip(c, 1)
	case tagInt:
		return skip(c, 4)
	}
	return skipAtom(c, tag)
}

func skipAtom(c *wire.Cursor, tag uint8) bool {
	switch tag {
	case tagCacheRef:
		return skip(c, 1)
	case tagSmallAtomUTF, tagSmallAtom:
		return skip(c, int(c.Uint8("atom length")))
	case tagAtomUTF8, tagAtom:
		return skip(c, int(c.Uint16("atom length")))
	}
	return false
}

func skip(c *wire.Cursor, n int) bool {
	c.Skip("term", n)
	return c.Err() == nil
}
