package term

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"distproof/internal/octets"
)

var cat = octets.Cat

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// cached are the atoms that ATOM_CACHE_REF terms refer to.
var cached = []Atom{{[]byte("a@h"), true}, {}}

// terms has one term of each tag, and how it is printed.
var terms = []struct {
	name string
	b    []byte
	text string
}{
	{"ATOM_CACHE_REF", cat(82, 0), "a@h"},
	{"ATOM_CACHE_REF of an atom that was not seen", cat(82, 1), "?"},
	{"SMALL_INTEGER_EXT", cat(97, 255), "255"},
	{"INTEGER_EXT", cat(98, 0xff, 0xff, 0xff, 0xfe), "-2"},
	{"FLOAT_EXT", cat(99, "1.50000000000000000000e+00", make([]byte, 5)), "1.5"},
	{"NEW_FLOAT_EXT", cat(70, 0x40, 0x10, 0, 0, 0, 0, 0, 0), "4.0"},
	{"NEW_FLOAT_EXT with an exponent", cat(70, 0x7f, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "1.7976931348623157e+308"},
	{"NEW_FLOAT_EXT that is none", cat(70, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), "…"},
	{"ATOM_EXT", cat(100, u16(2), "o", 0xe9), "'oé'"},
	{"SMALL_ATOM_EXT", cat(115, 2, "ok"), "ok"},
	{"ATOM_UTF8_EXT", cat(118, u16(3), "o", 0xc3, 0xa9), "'oé'"},
	{"SMALL_ATOM_UTF8_EXT", cat(119, 2, "Ok"), "'Ok'"},
	{"empty atom", cat(119, 0), "''"},
	{"atom with a quote", cat(119, 3, `a'\`), `'a\'\\'`},
	{"atom that acts on a terminal", cat(119, 4, "\x1b[2J"), `'\x{1b}[2J'`},
	{"REFERENCE_EXT", cat(101, 82, 0, u32(7), 1), "#Ref<a@h.7>"},
	{"NEW_REFERENCE_EXT", cat(114, u16(2), 82, 0, 1, u32(1), u32(2)), "#Ref<a@h.1.2>"},
	{"NEWER_REFERENCE_EXT", cat(90, u16(3), 82, 0, u32(9), u32(1), u32(2), u32(3)), "#Ref<a@h.1.2.3>"},
	{"PORT_EXT", cat(102, 82, 0, u32(5), 1), "#Port<a@h.5>"},
	{"NEW_PORT_EXT", cat(89, 82, 0, u32(5), u32(9)), "#Port<a@h.5>"},
	{"V4_PORT_EXT", cat(120, 82, 0, u32(1), u32(0), u32(9)), "#Port<a@h.4294967296>"},
	{"PID_EXT", cat(103, 82, 0, u32(54), u32(1), 3), "<a@h.54.1>"},
	{"NEW_PID_EXT", cat(88, 119, 3, "b@h", u32(54), u32(0), u32(9)), "<b@h.54.0>"},
	{"SMALL_TUPLE_EXT", cat(104, 2, 97, 1, 104, 0), "{1,{}}"},
	{"LARGE_TUPLE_EXT", cat(105, u32(2), 97, 1, 97, 2), "{1,2}"},
	{"NIL_EXT", cat(106), "[]"},
	{"STRING_EXT of text", cat(107, u16(3), `a"b`), `"a\"b"`},
	{"STRING_EXT of bytes", cat(107, u16(2), 1, 2), "[1,2]"},
	{"STRING_EXT of many bytes", cat(107, u16(16), make([]byte, 16)), "[…]"},
	{"LIST_EXT", cat(108, u32(2), 97, 1, 119, 1, "x", 106), "[1,x]"},
	{"LIST_EXT with a tail", cat(108, u32(1), 119, 1, "a", 119, 1, "b"), "[a|b]"},
	{"LIST_EXT with a list as tail", cat(108, u32(1), 119, 1, "a", 108, u32(1), 119, 1, "b", 106), "[a|[b]]"},
	{"LIST_EXT of characters", cat(108, u32(2), 97, 'a', 98, u32(0x43f), 106), `"aп"`},
	{"LIST_EXT of integers", cat(108, u32(2), 97, 1, 97, 2, 106), "[1,2]"},
	{"LIST_EXT of many integers", cat(108, u32(9), strings.Repeat("\x61\x01", 9), 106), "[…]"},
	{"MAP_EXT", cat(116, u32(2), 119, 1, "a", 97, 1, 119, 1, "b", 97, 2), "#{a => 1,b => 2}"},
	{"BINARY_EXT of text", cat(109, u32(2), "hi"), `<<"hi">>`},
	{"BINARY_EXT of bytes", cat(109, u32(2), 0, 1), "<<_:16>>"},
	{"BINARY_EXT without bytes", cat(109, u32(0)), "<<>>"},
	{"BIT_BINARY_EXT", cat(77, u32(2), 3, 0xff, 0xe0), "<<_:11>>"},
	{"SMALL_BIG_EXT", cat(110, 5, 1, 0, 0, 0, 0, 1), "-4294967296"},
	{"LARGE_BIG_EXT", cat(111, u32(5), 0, 0, 0, 0, 0, 1), "4294967296"},
	{"SMALL_BIG_EXT of a key's size", cat(110, 16, 0, make([]byte, 16)), hidden},
	{"EXPORT_EXT", cat(113, 119, 5, "lists", 119, 3, "map", 97, 2), "fun lists:map/2"},
	{"NEW_FUN_EXT", cat(112,
		u32(0),           // size, which ERTS does not use
		1,                // arity
		make([]byte, 16), // uniq
		u32(0), u32(1),   // index, number of free variables
		119, 1, "m", 97, 0, 97, 0, // module, old index, old uniq
		103, 82, 0, u32(1), u32(0), 1, // pid
		97, 7), "#Fun<m>"},
	{"FUN_EXT", cat(117, u32(1), 103, 82, 0, u32(1), u32(0), 1, 119, 1, "m", 97, 0, 97, 0, 97, 7), "#Fun<m>"},
	{"native record", cat(67,
		u32(2), 0, // number of fields, flags
		119, 1, "m", 119, 1, "r", // module and name
		119, 1, "a", 119, 1, "b", // names of fields
		97, 1, 104, 1, 97, 2), // values
		"#m:r{a = 1,b = {2}}"},
}

// TestTags skips and prints one term of each tag.
func TestTags(t *testing.T) {
	for _, x := range terms {
		t.Run(x.name, func(t *testing.T) {
			c := NewCursor(cat(x.b, 42), cached)
			if !c.Skip(1) || c.Len() != 1 {
				t.Errorf("skipped to %d of 1 bytes, %v", c.Len(), c.State())
			}
			if text, _ := Print(x.b, cached, 1000, false); text != x.text {
				t.Errorf("printed %s, want %s", text, x.text)
			}
			if text, whole := Print(x.b, cached, 1000, true); text != hidden || whole {
				t.Errorf("printed %s as a secret", text)
			}
		})
	}
}

// TestPrefixes cuts terms: none may pass for one, and none is refused for
// another reason.
func TestPrefixes(t *testing.T) {
	for _, x := range terms {
		for n := range x.b {
			c := NewCursor(x.b[:n], cached)
			if c.Skip(1) || c.State() != Short {
				t.Errorf("%s: %d of %d bytes are %v", x.name, n, len(x.b), c.State())
			}
			if text, whole := Print(x.b[:n], cached, 1000, false); whole || !strings.HasSuffix(text, ellipsis) {
				t.Errorf("%s: %d of %d bytes are printed as %q", x.name, n, len(x.b), text)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, x := range []struct {
		name string
		b    []byte
	}{
		{"LOCAL_EXT, of which only the sender knows where it ends", cat(121, 1, 2, 3, 4, make([]byte, 50))},
		{"unknown tag", cat(1, 2, 3)},
		{"a version inside", cat(131, 97, 1)},
		{"compressed inside", cat(104, 1, 80, u32(3), make([]byte, 20))},
		{"pid of no node", cat(103, 97, 1, u32(1), u32(1), 1, 0, 0)},
		{"reference of no node", cat(114, u16(1), 104, 0, 1, u32(1), 0, 0)},
	} {
		c := NewCursor(x.b, nil)
		if c.Skip(1) || c.State() != Malformed {
			t.Errorf("%s: %v", x.name, c.State())
		}
	}
}

// TestSizes states sizes that are not there: no read may go by them.
func TestSizes(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff}
	for _, b := range [][]byte{
		cat(105, huge, 97, 1), cat(108, huge, 97, 1), cat(116, huge, 97, 1), cat(67, huge, 0, 97, 1), cat(109, huge, 1),
		cat(77, huge, 8, 1), cat(111, huge, 0, 1), cat(117, huge, 97, 1), cat(112, make([]byte, 25), huge, 97, 1),
		cat(107, 0xff, 0xff, 1), cat(118, 0xff, 0xff, 1), cat(114, 0xff, 0xff, 82, 0, 1, 1),
	} {
		if n := testing.AllocsPerRun(10, func() {
			c := NewCursor(b, cached)
			if c.Skip(1) || c.State() != Short {
				t.Errorf("% x: %v", b, c.State())
			}
		}); n > 0 {
			t.Errorf("% x: %v allocations", b, n)
		}
		if text, whole := Print(b, cached, 100, false); whole || len(text) > 100 {
			t.Errorf("% x: %q", b, text)
		}
	}
}

// TestDepth nests terms as deep as it goes: neither stack nor text may follow.
func TestDepth(t *testing.T) {
	const depth = 1 << 20
	for name, b := range map[string][]byte{
		"tuples":  []byte(strings.Repeat("\x68\x01", depth) + "\x6a"),
		"lists":   []byte(strings.Repeat("\x6c\x00\x00\x00\x01", depth) + strings.Repeat("\x6a", depth+1)),
		"tails":   []byte(strings.Repeat("\x6c\x00\x00\x00\x01\x6a", depth) + "\x6a"),
		"maps":    []byte(strings.Repeat("\x74\x00\x00\x00\x01\x6a", depth) + "\x6a"),
		"records": []byte(strings.Repeat("\x43\x00\x00\x00\x01\x00\x77\x00\x77\x00\x77\x00", depth) + "\x6a"),
	} {
		c := NewCursor(b, nil)
		if !c.Skip(1) || c.Len() != 0 {
			t.Errorf("%s: %d bytes left, %v", name, c.Len(), c.State())
		}
		if text, whole := Print(b, nil, 1000, false); whole || len(text) > 200 {
			t.Errorf("%s: %d bytes of text, whole %v", name, len(text), whole)
		}
	}
}

// TestOpen reads a term one level at a time.
func TestOpen(t *testing.T) {
	c := NewCursor(cat(104, 4, 119, 1, "a", 98, u32(300), 108, u32(1), 97, 1, 106, 107, u16(3), "abc"), nil)
	arity, _ := c.Tuple()
	a, _ := c.Atom()
	n, _ := c.Int()
	elements, _ := c.List()
	c.Skip(elements + 1)
	length, ok := c.ListLength()
	if arity != 4 || !a.Is("a") || n != 300 || elements != 1 || length != 3 || !ok {
		t.Errorf("read %d, %s, %d, %d, %d, %v", arity, a.Text, n, elements, length, ok)
	}
	for name, read := range map[string]func(c *Cursor) bool{
		"tuple":  func(c *Cursor) bool { _, ok := c.Tuple(); return ok },
		"list":   func(c *Cursor) bool { _, ok := c.List(); return ok },
		"length": func(c *Cursor) bool { _, ok := c.ListLength(); return ok },
		"int":    func(c *Cursor) bool { _, ok := c.Int(); return ok },
		"atom":   func(c *Cursor) bool { _, ok := c.Atom(); return ok },
	} {
		c := NewCursor(cat(70, make([]byte, 8)), nil)
		if read(&c) || c.State() != Malformed || c.Len() != 0 || c.Skip(1) {
			t.Errorf("%s of a float: %v", name, c.State())
		}
	}
	for name, b := range map[string][]byte{
		"atom that is no text":         cat(119, 2, 0xff, 0xfe),
		"atom that is too long":        cat(118, u16(MaxAtom+1), strings.Repeat("x", MaxAtom+1)),
		"atom that the list lacks":     cat(82, 2),
		"latin1 atom that is too long": cat(100, u16(600), strings.Repeat("\xe9", 600)),
	} {
		c := NewCursor(b, cached)
		if a, ok := c.Atom(); ok || a.Known || c.State() != Malformed {
			t.Errorf("%s: %v, %v", name, a, c.State())
		}
	}
}

// An encoder makes terms at random, and writes down how they are printed.
type encoder struct {
	*rand.Rand
	b    []byte
	text strings.Builder
}

func (e *encoder) put(text string, parts ...any) {
	e.b = append(e.b, cat(parts...)...)
	e.text.WriteString(text)
}

func (e *encoder) term(depth int) {
	kinds := 10
	if depth == 0 {
		kinds = 6
	}
	switch e.IntN(kinds) {
	case 0:
		n := e.IntN(256)
		e.put(fmt.Sprint(n), 97, n)
	case 1:
		n := int32(e.Uint32())
		e.put(fmt.Sprint(n), 98, u32(int(n)))
	case 2:
		n := e.Uint64() | 1<<63
		e.put(fmt.Sprint(n), 110, 8, 0, binary.LittleEndian.AppendUint64(nil, n))
	case 3:
		text := "xyz"[:1+e.IntN(3)]
		e.put(text, 119, len(text), text)
	case 4:
		n := e.IntN(1000)
		e.put(fmt.Sprintf("%d.5", n), 70, binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(n)+.5)))
	case 5:
		n := e.IntN(1000)
		e.put(fmt.Sprintf("<a@h.%d.0>", n), 88, 82, 0, u32(n), u32(0), u32(1))
	case 6:
		e.many("{", "}", depth, e.IntN(4), 104)
	case 7:
		// Never only integers: those may be a text.
		n := e.IntN(4)
		e.put("[[]", 108, u32(n+1), 106)
		for range n {
			e.put(",")
			e.term(depth - 1)
		}
		e.put("]", 106)
	case 8:
		n := e.IntN(3)
		e.put("#{", 116, u32(n))
		for i := range n {
			if i > 0 {
				e.put(",")
			}
			e.term(depth - 1)
			e.put(" => ")
			e.term(depth - 1)
		}
		e.put("}")
	case 9:
		e.put(`<<"text">>`, 109, u32(4), "text")
	}
}

func (e *encoder) many(open, end string, depth, n, tag int) {
	e.put(open, tag, n)
	for i := range n {
		if i > 0 {
			e.put(",")
		}
		e.term(depth - 1)
	}
	e.put(end)
}

// TestRoundTrip skips and prints random terms.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(3000) {
		e := &encoder{Rand: rand.New(rand.NewPCG(seed, 1))}
		e.term(5)
		c := NewCursor(cat(e.b, 42), cached)
		if !c.Skip(1) || c.Len() != 1 {
			t.Fatalf("seed %d: %d bytes left of % x", seed, c.Len(), e.b)
		}
		if text, whole := Print(e.b, cached, 1<<20, false); text != e.text.String() || !whole {
			t.Fatalf("seed %d: printed %s, want %s", seed, text, e.text.String())
		}
		for n := range e.b {
			if c := NewCursor(e.b[:n], cached); c.Skip(1) || c.State() != Short {
				t.Fatalf("seed %d: %d of %d bytes are enough", seed, n, len(e.b))
			}
		}
	}
}
