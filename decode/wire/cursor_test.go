package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCursorReadsFields(t *testing.T) {
	c := NewCursor([]byte{
		1,    // Uint8
		2, 3, // Uint16
		4, 5, 6, // Uint24
		7, 8, 9, 10, // Uint32
		11, 12, 13, 14, 15, 16, 17, 18, // Uint64
		0xff,          // skipped
		2, 0xa1, 0xa2, // Vector8
		0, 1, 0xb1, // Vector16
		0, 0, 2, 0xc1, 0xc2, // Vector24
		0xd1, 0xd2, // Bytes
		0xe1, 0xe2, 0xe3, // Rest
	})
	if v := c.Uint8("a"); v != 1 {
		t.Errorf("Uint8: %#x", v)
	}
	if v := c.Uint16("b"); v != 0x0203 {
		t.Errorf("Uint16: %#x", v)
	}
	if v := c.Uint24("c"); v != 0x040506 {
		t.Errorf("Uint24: %#x", v)
	}
	if v := c.Uint32("d"); v != 0x0708090a {
		t.Errorf("Uint32: %#x", v)
	}
	if v := c.Uint64("e"); v != 0x0b0c0d0e0f101112 {
		t.Errorf("Uint64: %#x", v)
	}
	c.Bytes("f", 1) // passed over
	for _, v := range []struct {
		got    Cursor
		want   []byte
		offset int
	}{
		{c.Vector8("g"), []byte{0xa1, 0xa2}, 20},
		{c.Vector16("h"), []byte{0xb1}, 24},
		{c.Vector24("i"), []byte{0xc1, 0xc2}, 28},
	} {
		if o := v.got.base; o != v.offset {
			t.Errorf("vector at offset %d, want %d", o, v.offset)
		}
		if n := v.got.Len(); n != len(v.want) {
			t.Errorf("vector of %d bytes, want %d", n, len(v.want))
		}
		if b := v.got.Rest(); !bytes.Equal(b, v.want) {
			t.Errorf("vector % x, want % x", b, v.want)
		}
	}
	if b := c.Bytes("j", 2); !bytes.Equal(b, []byte{0xd1, 0xd2}) || cap(b) != 2 {
		t.Errorf("Bytes: % x with room for %d", b, cap(b))
	}
	if c.Empty() || c.Len() != 3 || c.base != 32 {
		t.Errorf("empty %t, %d bytes left at %d", c.Empty(), c.Len(), c.base)
	}
	if b := c.Rest(); !bytes.Equal(b, []byte{0xe1, 0xe2, 0xe3}) {
		t.Errorf("Rest: % x", b)
	}
	c.End("k")
	if !c.Empty() || c.Err() != nil {
		t.Errorf("at the end: empty %t, %v", c.Empty(), c.Err())
	}
}

func TestCursorRefusesWhatIsShort(t *testing.T) {
	reads := map[string]struct {
		data   []byte
		read   func(c *Cursor) bool // reports whether the value is zero
		offset int
	}{
		"Uint8":    {nil, func(c *Cursor) bool { return c.Uint8("x") == 0 }, 0},
		"Uint16":   {[]byte{1}, func(c *Cursor) bool { return c.Uint16("x") == 0 }, 0},
		"Uint24":   {[]byte{1, 2}, func(c *Cursor) bool { return c.Uint24("x") == 0 }, 0},
		"Uint32":   {[]byte{1, 2, 3}, func(c *Cursor) bool { return c.Uint32("x") == 0 }, 0},
		"Uint64":   {[]byte{1, 2, 3, 4, 5, 6, 7}, func(c *Cursor) bool { return c.Uint64("x") == 0 }, 0},
		"Bytes":    {[]byte{1}, func(c *Cursor) bool { return c.Bytes("x", 2) == nil }, 0},
		"negative": {[]byte{1}, func(c *Cursor) bool { return c.Bytes("x", -1) == nil }, 0},
		"Vector8":  {[]byte{2, 1}, func(c *Cursor) bool { v := c.Vector8("x"); return v.Len() == 0 }, 1},
		"Vector16": {[]byte{0, 2, 1}, func(c *Cursor) bool { v := c.Vector16("x"); return v.Len() == 0 }, 2},
		"Vector24": {[]byte{0, 0, 2, 1}, func(c *Cursor) bool { v := c.Vector24("x"); return v.Len() == 0 }, 3},
	}
	for name, r := range reads {
		t.Run(name, func(t *testing.T) {
			c := NewCursor(r.data)
			if !r.read(&c) {
				t.Error("a value was read")
			}
			var e *Error
			if !errors.As(c.Err(), &e) || e.Field != "x" || e.Offset != r.offset {
				t.Fatalf("error %#v, want field x at %d", c.Err(), r.offset)
			}
			if !strings.Contains(e.Error(), "x: ") || !strings.Contains(e.Error(), "at offset") {
				t.Errorf("error text %q", e)
			}
			if !c.Empty() || c.Rest() != nil || c.Uint8("y") != 0 {
				t.Error("read on after an error")
			}
		})
	}
}

func TestCursorKeepsTheFirstError(t *testing.T) {
	c := NewCursor([]byte{3, 1, 2, 3, 9})
	v := c.Vector8("list")
	v.Uint8("first")
	v.Fail("second", "not liked")
	v.Fail("second", "not liked again")
	c.Uint8("third")
	c.End("whole")
	var e *Error
	if !errors.As(c.Err(), &e) || *e != (Error{Field: "second", Offset: 2, Reason: "not liked"}) {
		t.Errorf("error %#v", c.Err())
	}
	if !c.Empty() || !v.Empty() {
		t.Error("a cursor is not empty after an error in a part of it")
	}
}

func TestCursorEndRefusesTrailingBytes(t *testing.T) {
	c := NewCursor([]byte{1, 2, 3})
	c.Uint8("a")
	c.End("whole")
	if err := c.Err(); err == nil || err.Error() != "whole: 2 trailing bytes at offset 1" {
		t.Errorf("error %v", err)
	}
}
