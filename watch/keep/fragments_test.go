package keep

import (
	"encoding/binary"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
)

// fragment is the n-th packet, with a part of the datagram with the given number.
func fragment(n, datagram, from, size int, more bool) *capture.Packet {
	p := packet(n, 20+size)
	p.LinkType = 101 // raw IP
	b := p.Data
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], uint16(datagram))
	binary.BigEndian.PutUint16(b[6:], uint16(from/8))
	if more {
		b[6] |= 0x20
	}
	copy(b[12:], []byte{10, 0, byte(datagram >> 16), 1, 10, 0, 0, 2})
	if from == 0 {
		b[20+12] = 0x50 // the length of a TCP header
	}
	return p
}

// Fragments are held as long as there is room, and until their segment is whole.
func TestFragments(t *testing.T) {
	f := newFragments(link.Options{})
	const size = 800
	for n := range 10_000 {
		if parts, missing := f.take(fragment(n, n, 0, size, true), 0); len(parts)+missing > 0 {
			t.Fatalf("%d and %d parts of a datagram of which there is one", len(parts), missing)
		}
		if f.bytes > mostFragments || len(f.held) > mostFragments/size || len(f.order) > 2*mostFragments/size {
			t.Fatalf("%d fragments with %d bytes are held", len(f.held), f.bytes)
		}
	}
	last := 9_999
	if parts, missing := f.take(fragment(10_000, last, size, size, false), 1); len(parts) != 1 || missing != 0 {
		t.Errorf("%d parts, %d are missing", len(parts), missing)
	}
	if parts, missing := f.take(fragment(10_001, last-1, size, size, false), 0); len(parts) != 1 || missing != 0 { // nobody's
		t.Errorf("%d parts, %d are missing", len(parts), missing)
	}
	for n := range f.held { // as if there had been no room
		f.release(n)
	}
	f.hold(packet(10_001, 1))
	if parts, missing := f.take(fragment(10_002, last-2, size, size, false), 1); len(parts) != 0 || missing != 1 {
		t.Errorf("%d parts, %d are missing", len(parts), missing)
	}
	f.take(packet(10_000+61_000, 100), 1)
	if len(f.held)+len(f.order)+f.bytes > 0 {
		t.Errorf("%d fragments with %d bytes are held after a minute", len(f.held), f.bytes)
	}
}
