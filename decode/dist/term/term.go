// Package term walks terms of Erlang's external term format without building
// them: a [Cursor] passes over a term, or opens it one level at a time.
//
// Nothing here recurses, and nothing allocates by a number that the input
// states: every step consumes at least one byte.
//
// Source: OTP erl_ext_dist. Where what a receiver reads differs from the
// documentation, erts/emulator/beam/external.c decides.
package term

import (
	"encoding/binary"
	"unicode/utf8"
)

// The tags of the external term format.
const (
	Version = 131 // ahead of a term, or of a distribution header

	Record         = 67 // native record, OTP 29
	NewFloat       = 70
	BitBinary      = 77
	Compressed     = 80
	AtomCacheRef   = 82
	NewPid         = 88
	NewPort        = 89
	NewerReference = 90
	SmallInteger   = 97
	Integer        = 98
	Float          = 99
	AtomLatin1     = 100
	Reference      = 101
	Port           = 102
	Pid            = 103
	SmallTuple     = 104
	LargeTuple     = 105
	Nil            = 106
	String         = 107
	List           = 108
	Binary         = 109
	SmallBig       = 110
	LargeBig       = 111
	NewFun         = 112
	Export         = 113
	NewReference   = 114
	SmallAtomLatin = 115
	Map            = 116
	Fun            = 117
	AtomUTF8       = 118
	SmallAtomUTF8  = 119
	V4Port         = 120
	Local          = 121
)

// An Atom is the text of an atom, in UTF-8. Known is false if the atom stands
// in a cache of which that entry was not seen; then Text is empty.
type Atom struct {
	Text  []byte
	Known bool
}

// Is reports whether a is known to be the atom s.
func (a Atom) Is(s string) bool { return a.Known && string(a.Text) == s }

// MaxAtom is the length of the longest atom: 255 characters of UTF-8.
const MaxAtom = 255 * 4

// A State says how far a cursor got.
type State uint8

// The states.
const (
	// OK: all that was read was there.
	OK State = iota
	// Short: the bytes end before the term does.
	Short
	// Malformed: something is not what the format allows, or not what was
	// asked for.
	Malformed
)

// A Cursor reads terms, one after another. After a read that failed all others
// fail and return zero values, so that a caller can ask once, with
// [Cursor.State]. The texts that it returns are parts of the slice that it was
// made with.
type Cursor struct {
	b     []byte
	atoms []Atom
	state State
}

// NewCursor returns a cursor over b. ATOM_CACHE_REF terms refer to atoms by
// their index.
func NewCursor(b []byte, atoms []Atom) Cursor { return Cursor{b: b, atoms: atoms} }

// State returns what has happened until now.
func (c *Cursor) State() State { return c.state }

// OK reports whether no read has failed.
func (c *Cursor) OK() bool { return c.state == OK }

// Len returns the number of bytes that are left.
func (c *Cursor) Len() int { return len(c.b) }

// Rest returns the bytes that are left.
func (c *Cursor) Rest() []byte { return c.b }

// Peek returns the tag of the next term, 0 if there is none.
func (c *Cursor) Peek() byte {
	if len(c.b) == 0 {
		return 0
	}
	return c.b[0]
}

func (c *Cursor) fail(s State) {
	if c.state == OK {
		c.state = s
	}
	c.b = nil
}

// take consumes n bytes; nil if they are not there.
func (c *Cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail(Short)
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// skip consumes n bytes that nobody wants.
func (c *Cursor) skip(n int) bool {
	if n < 0 || n > len(c.b) {
		c.fail(Short)
		return false
	}
	c.b = c.b[n:]
	return true
}

// Byte reads one byte that is not a term, such as a version.
func (c *Cursor) Byte() byte {
	if len(c.b) == 0 {
		c.fail(Short)
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

// Bytes reads n bytes that are not a term; nil if they are not there.
func (c *Cursor) Bytes(n int) []byte { return c.take(n) }

// Uint64 reads eight bytes that are not a term.
func (c *Cursor) Uint64() uint64 {
	high, low := c.uint32(), c.uint32()
	return uint64(high)<<32 | uint64(low)
}

// Fail makes all further reads fail: what was read is not what it should be.
func (c *Cursor) Fail() { c.fail(Malformed) }

func (c *Cursor) uint16() int {
	b := c.take(2)
	if b == nil {
		return 0
	}
	return int(binary.BigEndian.Uint16(b))
}

func (c *Cursor) uint32() uint32 {
	b := c.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// size reads a 4-byte length, as an int that is not negative.
func (c *Cursor) size() int {
	n := c.uint32()
	if uint64(n) > uint64(maxInt) {
		c.fail(Short)
		return 0
	}
	return int(n)
}

const maxInt = int(^uint(0) >> 1)

// Tuple opens a tuple: its elements follow.
func (c *Cursor) Tuple() (arity int, ok bool) {
	switch c.Byte() {
	case SmallTuple:
		arity = int(c.Byte())
	case LargeTuple:
		arity = c.size()
	default:
		c.fail(Malformed)
	}
	return arity, c.OK()
}

// List opens a list that has elements: they follow, and then the tail.
func (c *Cursor) List() (n int, ok bool) {
	if c.Byte() != List {
		c.fail(Malformed)
		return 0, false
	}
	n = c.size()
	return n, c.OK()
}

// ListLength reads the head of a list of any encoding and returns how many
// elements it has. It leaves the cursor somewhere inside of it.
func (c *Cursor) ListLength() (n int, ok bool) {
	switch c.Byte() {
	case Nil:
	case String:
		n = c.uint16()
	case List:
		n = c.size()
	default:
		c.fail(Malformed)
	}
	return n, c.OK()
}

// Int reads an integer of up to 32 bits.
func (c *Cursor) Int() (int, bool) {
	n := 0
	switch c.Byte() {
	case SmallInteger:
		n = int(c.Byte())
	case Integer:
		n = int(int32(c.uint32()))
	default:
		c.fail(Malformed)
	}
	return n, c.OK()
}

// Atom reads an atom.
func (c *Cursor) Atom() (Atom, bool) {
	tag := c.Byte()
	var text []byte
	switch tag {
	case AtomCacheRef:
		i := int(c.Byte())
		if c.OK() && i >= len(c.atoms) {
			c.fail(Malformed)
		}
		if !c.OK() {
			return Atom{}, false
		}
		return c.atoms[i], true
	case SmallAtomUTF8, SmallAtomLatin:
		text = c.take(int(c.Byte()))
	case AtomUTF8, AtomLatin1:
		text = c.take(c.uint16())
	default:
		c.fail(Malformed)
	}
	if tag == SmallAtomLatin || tag == AtomLatin1 {
		text = fromLatin1(text)
	} else if !utf8.Valid(text) {
		c.fail(Malformed)
	}
	if len(text) > MaxAtom {
		c.fail(Malformed)
	}
	if !c.OK() {
		return Atom{}, false
	}
	return Atom{text, true}, true
}

// fromLatin1 converts text to UTF-8. ASCII is that already.
func fromLatin1(b []byte) []byte {
	for i, x := range b {
		if x >= utf8.RuneSelf {
			out := append(make([]byte, 0, 2*len(b)), b[:i]...)
			for _, y := range b[i:] {
				out = utf8.AppendRune(out, rune(y))
			}
			return out
		}
	}
	return b
}

// skipAtom passes over the atom that begins other terms.
func (c *Cursor) skipAtom() bool {
	switch c.Byte() {
	case AtomCacheRef:
		return c.skip(1)
	case SmallAtomUTF8, SmallAtomLatin:
		return c.skip(int(c.Byte()))
	case AtomUTF8, AtomLatin1:
		return c.skip(c.uint16())
	}
	c.fail(Malformed)
	return false
}

// Skip passes over n terms.
func (c *Cursor) Skip(n int) bool {
	for open := uint64(max(n, 0)); open > 0; {
		// A term takes at least one byte.
		if c.OK() && open > uint64(len(c.b)) {
			c.fail(Short)
		}
		if !c.OK() {
			return false
		}
		if n := simple(c.b); n > 0 {
			c.b = c.b[n:]
			open--
			continue
		}
		open += c.step() - 1
	}
	return c.OK()
}

// simple returns the length of the term at the beginning of b if it is one of
// those that most control tuples consist of, and whole; 0 for all others.
func simple(b []byte) int {
	n := 2
	switch {
	case len(b) < 2:
		return 0
	case b[0] == AtomCacheRef, b[0] == SmallInteger:
	case b[0] == NewPid && b[1] == AtomCacheRef:
		n = 3 + 12
	case b[0] == NewerReference && len(b) > 3 && b[3] == AtomCacheRef:
		n = 5 + 4 + 4*int(binary.BigEndian.Uint16(b[1:]))
	default:
		return 0
	}
	if n > len(b) {
		return 0
	}
	return n
}

// step passes over one term, or the head of one, and returns how many terms
// follow that belong to it.
func (c *Cursor) step() uint64 {
	switch c.Peek() {
	case AtomCacheRef, SmallAtomUTF8, SmallAtomLatin, AtomUTF8, AtomLatin1:
		c.skipAtom()
		return 0
	}
	switch c.Byte() {
	case SmallInteger:
		c.skip(1)
	case Integer:
		c.skip(4)
	case NewFloat:
		c.skip(8)
	case Float:
		c.skip(floatText)
	case Nil:
	case String:
		c.skip(c.uint16())
	case Binary:
		c.skip(c.size())
	case BitBinary:
		n := c.size()
		c.skip(1)
		c.skip(n)
	case SmallBig:
		n := int(c.Byte())
		c.skip(1)
		c.skip(n)
	case LargeBig:
		n := c.size()
		c.skip(1)
		c.skip(n)
	case NewPid: // node, id32, serial32, creation32
		_ = c.skipAtom() && c.skip(12)
	case Pid: // node, id32, serial32, creation8
		_ = c.skipAtom() && c.skip(9)
	case NewPort: // node, id32, creation32
		_ = c.skipAtom() && c.skip(8)
	case Port, Reference: // node, id32, creation8
		_ = c.skipAtom() && c.skip(5)
	case V4Port: // node, id64, creation32
		_ = c.skipAtom() && c.skip(12)
	case NewerReference: // number of words, node, creation32, words
		n := c.uint16()
		_ = c.skipAtom() && c.skip(4+4*n)
	case NewReference: // number of words, node, creation8, words
		n := c.uint16()
		_ = c.skipAtom() && c.skip(1+4*n)
	case SmallTuple:
		return uint64(c.Byte())
	case LargeTuple:
		return uint64(c.uint32())
	case List: // elements and tail
		return uint64(c.uint32()) + 1
	case Map: // keys and values
		return 2 * uint64(c.uint32())
	case Record: // number of fields, flags; module, name, names and values of the fields
		n := uint64(c.uint32())
		c.skip(1)
		return 2 + 2*n
	case Export: // module, function, arity
		return 3
	case NewFun: // see openFun
		return 4 + c.openFun()
	case Fun: // number of free variables; pid, module, index, uniq, free variables
		return 4 + uint64(c.uint32())
	default:
		// LOCAL_EXT among others: only its sender knows where it ends.
		c.fail(Malformed)
	}
	return 0
}

// floatText is the length of the text in FLOAT_EXT.
const floatText = 31

// openFun reads a NEW_FUN_EXT after its tag up to where its module, old index,
// old uniq, pid and free variables follow, and returns the number of the last.
// The size that it states is not used: ERTS does not either.
func (c *Cursor) openFun() uint64 {
	const size, arity, uniq, index = 4, 1, 16, 4
	c.skip(size + arity + uniq + index)
	return uint64(c.uint32())
}
