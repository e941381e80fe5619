// Package wire has the cursor with which all parsers of foreign bytes read:
// every read consumes and is checked, a length opens another cursor of just
// that length, and an error names the field and where it was. A [Match] is what
// those answer who tell one protocol from another.
package wire

import (
	"encoding/binary"
	"fmt"
)

// A Cursor reads big-endian fields off a byte slice. After the first failed
// read every further one fails too and returns zero values, so that a parser
// can read a whole structure and ask once, with [Cursor.Err].
type Cursor struct {
	data []byte
	base int // offset of data[0] in the outermost slice
	err  *error
}

// An Error says which field could not be read, and where.
type Error struct {
	Field  string
	Offset int
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s at offset %d", e.Field, e.Reason, e.Offset)
}

// NewCursor returns a cursor over b.
func NewCursor(b []byte) Cursor { return Cursor{data: b, err: new(error)} }

// Err returns the first error of c or of any cursor opened from it.
func (c *Cursor) Err() error { return *c.err }

// Len returns the number of bytes not yet read.
func (c *Cursor) Len() int { return len(c.data) }

// Empty reports whether nothing is left to read, or a read has failed: it ends
// the loop over a list in both cases.
func (c *Cursor) Empty() bool { return len(c.data) == 0 || *c.err != nil }

// Fail records an error at the current offset, unless one is recorded already.
func (c *Cursor) Fail(field, reason string) {
	if *c.err == nil {
		*c.err = &Error{Field: field, Offset: c.base, Reason: reason}
	}
	c.data = nil
}

// Bytes reads n bytes. They are a part of the slice that the cursor was made
// with, not a copy.
func (c *Cursor) Bytes(field string, n int) []byte {
	if *c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.data) {
		c.Fail(field, fmt.Sprintf("%d bytes needed, %d left", n, len(c.data)))
		return nil
	}
	b := c.data[:n:n]
	c.data = c.data[n:]
	c.base += n
	return b
}

// Rest reads everything that is left.
func (c *Cursor) Rest() []byte { return c.Bytes("rest", len(c.data)) }

// Uint8 reads one byte.
func (c *Cursor) Uint8(field string) uint8 {
	if b := c.Bytes(field, 1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads two bytes.
func (c *Cursor) Uint16(field string) uint16 {
	if b := c.Bytes(field, 2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint24 reads three bytes.
func (c *Cursor) Uint24(field string) uint32 {
	if b := c.Bytes(field, 3); b != nil {
		return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	}
	return 0
}

// Uint32 reads four bytes.
func (c *Cursor) Uint32(field string) uint32 {
	if b := c.Bytes(field, 4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads eight bytes.
func (c *Cursor) Uint64(field string) uint64 {
	if b := c.Bytes(field, 8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Sub opens a cursor over the next n bytes and passes over them.
func (c *Cursor) Sub(field string, n int) Cursor {
	base := c.base
	return Cursor{data: c.Bytes(field, n), base: base, err: c.err}
}

// Vector8 opens a cursor over a vector with a one-byte length
// (RFC 8446, Section 3.4).
func (c *Cursor) Vector8(field string) Cursor { return c.Sub(field, int(c.Uint8(field))) }

// Vector16 opens a cursor over a vector with a two-byte length.
func (c *Cursor) Vector16(field string) Cursor { return c.Sub(field, int(c.Uint16(field))) }

// Vector24 opens a cursor over a vector with a three-byte length.
func (c *Cursor) Vector24(field string) Cursor { return c.Sub(field, int(c.Uint24(field))) }

// End records an error if something is left to read.
func (c *Cursor) End(field string) {
	if *c.err == nil && len(c.data) > 0 {
		c.Fail(field, fmt.Sprintf("%d trailing bytes", len(c.data)))
	}
}
