// Package pack turns what is known of a connection into few bytes, and back:
// there may be a million connections of which nothing comes for a while.
//
// A structure is described once, for both ways, so that one is the exact
// opposite of the other:
//
//	func (s *span) pack(p *pack.Packer) {
//		pack.Uint(p, &s.length)
//		p.Flags(&s.lost, &s.cut)
//	}
//
// Numbers take as many bytes as they need, most times, offsets and frames by
// their distance from the one before. The bytes are for the same process only:
// they are not checked.
package pack

import (
	"encoding/binary"

	"distproof/capture"
)

// A Packer writes what it is given, or reads into it what was written before in
// the same order.
type Packer struct {
	b       []byte
	reading bool
	// The last of each kind.
	time, offset int64
	frame        capture.Frame
}

// Writer returns a Packer that appends to b.
func Writer(b []byte) Packer { return Packer{b: b} }

// Reader returns a Packer that reads what another one wrote. It keeps no reference
// to b.
func Reader(b []byte) Packer { return Packer{b: b, reading: true} }

// Reading reports whether p reads.
func (p *Packer) Reading() bool { return p.reading }

// Packed returns what was written, or what is still to be read.
func (p *Packer) Packed() []byte { return p.b }

// Uint is for numbers that are small for the most part.
func Uint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](p *Packer, v *T) {
	if !p.reading {
		p.b = binary.AppendUvarint(p.b, uint64(*v))
		return
	}
	n, size := binary.Uvarint(p.b)
	*v, p.b = T(n), p.b[size:]
}

// Int is for numbers that are near zero for the most part.
func Int[T ~int | ~int32 | ~int64](p *Packer, v *T) {
	if !p.reading {
		p.b = binary.AppendVarint(p.b, int64(*v))
		return
	}
	n, size := binary.Varint(p.b)
	*v, p.b = T(n), p.b[size:]
}

// near is for a number that is near last for the most part, which it then is.
func near[T ~int | ~int32 | ~int64](p *Packer, v, last *T) {
	distance := *v - *last
	Int(p, &distance)
	*last += distance
	*v = *last
}

// Time is for a time in nanoseconds.
func (p *Packer) Time(v *int64) { near(p, v, &p.time) }

// Offset is for the offset of a stream.
func (p *Packer) Offset(v *int64) { near(p, v, &p.offset) }

// Frame is for a packet of the capture.
func (p *Packer) Frame(v *capture.Frame) {
	number, input := int64(v.Number)-int64(p.frame.Number), int64(v.Input)-int64(p.frame.Input)
	// Most captures have one input: whether it is another one takes a bit.
	number <<= 1
	if input != 0 {
		number |= 1
	}
	if Int(p, &number); number&1 != 0 {
		Int(p, &input)
		p.frame.Input += uint32(input)
	}
	p.frame.Number += uint32(number >> 1)
	*v = p.frame
}

// Flags is for up to eight flags.
func (p *Packer) Flags(flags ...*bool) {
	var b byte
	for i, f := range flags {
		if *f {
			b |= 1 << i
		}
	}
	Uint8(p, &b)
	for i, f := range flags {
		*f = b>>i&1 != 0
	}
}

// Uint8 is for bytes.
func Uint8[T ~uint8](p *Packer, v *T) {
	if !p.reading {
		p.b = append(p.b, byte(*v))
		return
	}
	*v, p.b = T(p.b[0]), p.b[1:]
}

// Pair is for two numbers below 16.
func Pair[A, B ~uint8](p *Packer, a *A, b *B) {
	both := byte(*a)<<4 | byte(*b)
	Uint8(p, &both)
	*a, *b = A(both>>4), B(both&15)
}

// Uint32 is for numbers of any size.
func Uint32(p *Packer, v *uint32) {
	if !p.reading {
		p.b = binary.LittleEndian.AppendUint32(p.b, *v)
		return
	}
	*v, p.b = binary.LittleEndian.Uint32(p.b), p.b[4:]
}

// Fixed is for bytes whose number is known.
func (p *Packer) Fixed(b []byte) {
	if !p.reading {
		p.b = append(p.b, b...)
		return
	}
	p.b = p.b[copy(b, p.b):]
}

// Length is for the length of what follows.
func (p *Packer) Length(n int) int {
	size := uint64(n)
	Uint(p, &size)
	return int(size)
}

// Bytes is for any number of bytes. Reading uses the room that they have.
func (p *Packer) Bytes(b *[]byte) {
	*b = resized(p, *b, p.Length(len(*b)))
	p.Fixed(*b)
}

// Text is for text.
func (p *Packer) Text(s *string) {
	n := p.Length(len(*s))
	if !p.reading {
		p.b = append(p.b, *s...)
		return
	}
	*s, p.b = string(p.b[:n]), p.b[n:]
}

// Slice is for any number of elements, each of which is described by each. Reading
// uses the room that they have.
func Slice[S ~[]T, T any](p *Packer, s *S, each func(*T, *Packer)) {
	*s = resized(p, *s, p.Length(len(*s)))
	for i := range *s {
		each(&(*s)[i], p)
	}
}

// resized returns s with room for n elements to be read, or as it is.
func resized[S ~[]T, T any](p *Packer, s S, n int) S {
	switch {
	case !p.reading:
		return s
	case n == 0:
		return nil
	case n <= cap(s):
		return s[:n]
	}
	return make(S, n)
}

// Some is for what is mostly not there, and described by fields if it is. Reading
// uses the room that is there.
func Some[T any](p *Packer, v **T, fields func(*T, *Packer)) {
	is := *v != nil
	p.Flags(&is)
	if !is {
		*v = nil
		return
	}
	if *v == nil {
		*v = new(T)
	}
	fields(*v, p)
}
