package link

import (
	"encoding/binary"
	"math/bits"
)

// The checksum of a TCP segment (RFC 9293, Section 3.1) is the complement of a
// sum of 16-bit words in which carries are added again (RFC 1071): the sum over a
// whole segment is all ones. It does not depend on the order of bytes in a word
// as long as that is the same everywhere; here it is the order that is cheap to
// read on most machines.

// header adds up what of the sum is not payload, if the checksum can be checked
// at all. On the host that sends, it often cannot be: the network card fills it
// in behind the point of capture. Until then there is zero, or the sum of the
// addresses, the protocol and the length, or the same without the length, which
// the card adds for each of the segments that it makes of a large one.
func (s *Segment) header(h, options []byte) {
	field, length := binary.LittleEndian.Uint16(h[16:]), len(h)+len(options)+s.Length
	pseudo := s.addresses()
	whole := pseudo + uint64(bits.ReverseBytes16(uint16(length))) + uint64(bits.ReverseBytes16(uint16(length>>16)))
	if s.summed = field != 0 && field != fold(pseudo) && field != fold(whole); !s.summed {
		return
	}
	sum, carry := bits.Add64(binary.LittleEndian.Uint64(h), binary.LittleEndian.Uint64(h[8:]), 0)
	sum, carry = bits.Add64(sum, uint64(binary.LittleEndian.Uint32(h[16:])), carry)
	s.sum = fold(add(plus(sum, carry+whole), options))
}

// addresses adds up the pseudo-header without the length, to less than 2^36.
func (s *Segment) addresses() uint64 {
	src, dst := &s.Src.Addr, &s.Dst.Addr
	sum, carry := bits.Add64(binary.LittleEndian.Uint64(src[:]), binary.LittleEndian.Uint64(src[8:]), 0)
	sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(dst[:]), carry)
	sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(dst[8:]), carry)
	return sum>>32 + sum&0xffffffff + carry + uint64(bits.ReverseBytes16(ipTCP))
}

// Damaged reports whether the checksum is wrong: what the receiver drops without
// a word. It is false if the checksum cannot be checked, since the capture has
// only a part of the segment, or it is left to the sender's network card.
func (s *Segment) Damaged() bool {
	return s.summed && len(s.Payload) == s.Length && fold(add(uint64(s.sum), s.Payload)) != 0xffff
}

// add adds the words of b to a sum. If b has an odd number of bytes, they come last.
func add(sum uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 64 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[24:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[32:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[40:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[48:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[56:]), carry)
		sum = plus(sum, carry)
		b = b[64:]
	}
	for ; len(b) >= 8; b = b[8:] {
		sum = plus(sum, binary.LittleEndian.Uint64(b))
	}
	if len(b) >= 4 {
		sum = plus(sum, uint64(binary.LittleEndian.Uint32(b)))
		b = b[4:]
	}
	var rest uint64
	for i := len(b) - 1; i >= 0; i-- {
		rest = rest<<8 | uint64(b[i])
	}
	return plus(sum, rest)
}

// plus adds with the carry around.
func plus(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	return sum + carry
}

// fold brings a sum down to 16 bits.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff // at most 18 bits
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}
