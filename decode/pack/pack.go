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
	"slices"

	"distproof/capture"
)

// A Packer writes what it is given, or reads into it what was written before in
// the same order.
type Packer struct {
	b       []byte
	reading bool
	// The last of each kind, and what they were at the anchor.
	last, anchor last
}

type last struct {
	time, offset, acked int64
	frame               capture.Frame
}

// Writer returns a Packer that appends to b.
func Writer(b []byte) Packer { return Packer{b: b} }

// Reader returns a Packer that reads what another one wrote. It keeps no reference
// to b.
func Reader(b []byte) Packer { return Packer{b: b, reading: true} }

// Reading reports whether p reads.
func (p *Packer) Reading() bool { return p.reading }

// Anchor has what follows the next calls of Return told by its distance from the
// place where p is now.
func (p *Packer) Anchor() { p.anchor = p.last }

// Return goes back to the anchor: another part follows that begins there.
func (p *Packer) Return() { p.last = p.anchor }

// Packed returns what was written, or what is still to be read.
func (p *Packer) Packed() []byte { return p.b }

// Fold replaces what was written from a place in Packed on by the number under which
// a [Table] has it. If that is 0, it stays as it is, behind the 0.
func (p *Packer) Fold(from int, number uint32) {
	if number == 0 {
		p.b = slices.Insert(p.b, from, 0)
		return
	}
	p.b = binary.AppendUvarint(p.b[:from], uint64(number))
}

// Uint is for numbers that are small for the most part.
func Uint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](p *Packer, v *T) {
	if !p.reading {
		p.b = binary.AppendUvarint(p.b, uint64(*v))
		return
	}
	n, size := uvarint(p.b)
	*v, p.b = T(n), p.b[size:]
}

// uvarint is [binary.Uvarint], where most numbers take one byte.
func uvarint(b []byte) (n uint64, size int) {
	if b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}

// Int is for numbers that are near zero for the most part.
func Int[T ~int | ~int32 | ~int64](p *Packer, v *T) {
	if !p.reading {
		p.b = binary.AppendVarint(p.b, int64(*v))
		return
	}
	n, size := uvarint(p.b)
	*v, p.b = T(unzigzag(n)), p.b[size:]
}

// near is for a number that is near last for the most part, which it then is.
func near[T ~int | ~int32 | ~int64](p *Packer, v, last *T) {
	distance := *v - *last
	Int(p, &distance)
	*last += distance
	*v = *last
}

// Time is for a time in nanoseconds. Most captures have microseconds: these take a
// byte less. The lowest bit tells them apart.
func (p *Packer) Time(v *int64) {
	const far = 1 // a number that is no distance: 0 is one in microseconds
	distance, n := *v-p.last.time, uint64(far)
	if distance%1000 == 0 {
		n = zigzag(distance/1000) << 1
	} else if z := zigzag(distance); z < 1<<63 {
		n = z<<1 | 1
	}
	switch Uint(p, &n); {
	case n == far:
		Int(p, &distance)
	case n&1 == 0:
		distance = 1000 * unzigzag(n>>1)
	default:
		distance = unzigzag(n >> 1)
	}
	p.last.time += distance
	*v = p.last.time
}

// zigzag has numbers near zero become small ones, and unzigzag the same again.
func zigzag(n int64) uint64   { return uint64(n<<1 ^ n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// Offset is for the offset of a stream.
func (p *Packer) Offset(v *int64) { near(p, v, &p.last.offset) }

// Place is for where bytes of a stream came from: their offset, how much of the
// opposite stream was acknowledged, and the time and the packet. What is the same as
// of the place before takes no room.
func (p *Packer) Place(offset, acked, time *int64, frame *capture.Frame) {
	none := *offset == 0 && *acked == 0 && *time == 0 && *frame == capture.Frame{}
	o, a, t, f := *offset != p.last.offset, *acked != p.last.acked, *time != p.last.time, *frame != p.last.frame
	if p.Flags(&none, &o, &a, &t, &f); none {
		*offset, *acked, *time, *frame = 0, 0, 0, capture.Frame{}
		return
	}
	if o {
		p.Offset(offset)
	}
	if a {
		near(p, acked, &p.last.acked)
	}
	if t {
		p.Time(time)
	}
	if f {
		p.Frame(frame)
	}
	*offset, *acked, *time, *frame = p.last.offset, p.last.acked, p.last.time, p.last.frame
}

// Frame is for a packet of the capture.
func (p *Packer) Frame(v *capture.Frame) {
	number, input := int64(v.Number)-int64(p.last.frame.Number), int64(v.Input)-int64(p.last.frame.Input)
	// Most captures have one input: whether it is another one takes a bit.
	number <<= 1
	if input != 0 {
		number |= 1
	}
	if Int(p, &number); number&1 != 0 {
		Int(p, &input)
		p.last.frame.Input += uint32(input)
	}
	p.last.frame.Number += uint32(number >> 1)
	*v = p.last.frame
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
	*b = Resized(p, *b, p.Length(len(*b)))
	p.Fixed(*b)
}

// View is for bytes that are not kept: what is read is part of what p reads from.
func (p *Packer) View(b []byte) []byte {
	n := p.Length(len(b))
	if !p.reading {
		p.b = append(p.b, b...)
		return b
	}
	b, p.b = p.b[:n:n], p.b[n:]
	return b
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
	*s = Resized(p, *s, p.Length(len(*s)))
	for i := range *s {
		each(&(*s)[i], p)
	}
}

// Resized returns s with n elements that are to be read, in the room that it has if
// that is enough; nil for none. When p writes, it returns s as it is.
func Resized[S ~[]T, T any](p *Packer, s S, n int) S {
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
	If(p, is, v, fields)
}

// If is [Some] where it was told before whether it is there.
func If[T any](p *Packer, is bool, v **T, fields func(*T, *Packer)) {
	if !is {
		*v = nil
		return
	}
	if *v == nil {
		*v = new(T)
	}
	fields(*v, p)
}
