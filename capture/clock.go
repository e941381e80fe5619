package capture

import (
	"math"
	"math/bits"
)

// A clock turns the time stamps of a pcapng interface into nanoseconds, exactly
// and rounding down. Section 4.2 of the specification: if_tsresol is a negative
// power of 10, or of 2 if the upper bit is set; if_tsoffset is in seconds.
type clock struct {
	exponent uint8
	binary   bool
	// scale is 10^|9-exponent| if that fits into 64 bits, else 0.
	scale  uint64
	offset int64
}

// microseconds is the resolution of an interface that names none.
var microseconds = newClock(6, 0)

func newClock(tsresol uint8, offset int64) clock {
	c := clock{exponent: tsresol & 0x7f, binary: tsresol&0x80 != 0, offset: offset}
	if !c.binary {
		c.scale = power10(max(9, c.exponent) - min(9, c.exponent))
	}
	return c
}

func power10(n uint8) uint64 {
	if n > 19 {
		return 0
	}
	p := uint64(1)
	for ; n > 0; n-- {
		p *= 10
	}
	return p
}

// time returns nanoseconds since 1970, or 0 for "no time" if the stamp is out
// of the range of 64-bit nanoseconds: before 1677 or after 2262.
func (c *clock) time(ticks uint64) int64 {
	var hi, ns uint64
	switch {
	case c.binary:
		hi, ns = bits.Mul64(ticks, 1e9)
		hi, ns = shiftRight(hi, ns, c.exponent)
	case c.exponent <= 9:
		hi, ns = bits.Mul64(ticks, c.scale)
	case c.scale != 0:
		ns = ticks / c.scale
	}
	if c.offset == 0 {
		if hi != 0 || ns > math.MaxInt64 {
			return 0
		}
		return int64(ns)
	}
	return addSeconds(hi, ns, c.offset)
}

// shiftRight shifts a 128-bit number by n < 128 bits.
func shiftRight(hi, lo uint64, n uint8) (uint64, uint64) {
	if n >= 64 {
		return 0, hi >> (n - 64)
	}
	return hi >> n, lo>>n | hi<<(64-n)
}

// addSeconds adds an offset to 128-bit nanoseconds. The sum of a large stamp
// and a large negative offset can be in range although neither is.
func addSeconds(hi, lo uint64, seconds int64) int64 {
	// |seconds| * 1e9 is below 2^93, hi below 2^30: neither overflows 127 bits.
	magnitude := uint64(seconds)
	if seconds < 0 {
		magnitude = -magnitude
	}
	offHi, offLo := bits.Mul64(magnitude, 1e9)
	var carry uint64
	if seconds < 0 {
		lo, carry = bits.Sub64(lo, offLo, 0)
		hi, _ = bits.Sub64(hi, offHi, carry)
	} else {
		lo, carry = bits.Add64(lo, offLo, 0)
		hi, _ = bits.Add64(hi, offHi, carry)
	}
	ns := int64(lo)
	// In range if the upper half is just the sign of the lower.
	if hi != uint64(ns>>63) {
		return 0
	}
	return ns
}
