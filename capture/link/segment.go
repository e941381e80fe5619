package link

import (
	"net/netip"

	"distproof/capture"
)

// An Endpoint is one end of a TCP connection. IPv4 addresses are held in
// IPv4-mapped form (RFC 4291, Section 2.5.5.2), so that an Endpoint is a small
// comparable value.
type Endpoint struct {
	Addr [16]byte
	Port uint16
}

// AddrPort returns e in the standard library's form.
func (e Endpoint) AddrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(e.Addr).Unmap(), e.Port)
}

// Flags are the flags of a TCP header (RFC 9293, Section 3.1).
type Flags uint8

// The flags that reassembly needs.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// Has reports whether all of g are set in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

// A Segment is one TCP segment, with everything around it peeled off.
type Segment struct {
	Src, Dst Endpoint
	Seq, Ack uint32
	Flags    Flags
	summed   bool
	// Payload holds the captured part of the payload. It is valid until the
	// next call of [Decoder.Decode].
	Payload []byte
	// Length is the payload's length on the wire in bytes. Above len(Payload),
	// the rest was cut off by the capture.
	Length int
	// Time and Frame are those of the packet, of the last fragment if it was
	// fragmented.
	Time  int64
	Frame capture.Frame
	// Identity is equal for copies of one packet seen on several interfaces,
	// inside or outside of a tunnel, and differs, but for chance, between a
	// packet and its retransmission. It covers the IPv4 identification and the TCP header with
	// its options.
	Identity uint32
	// Encapsulation is an index for [Decoder.Encapsulation]; zero is none.
	Encapsulation uint16
	// sum is the sum of all but the payload, valid if summed; see
	// [Segment.Damaged].
	sum uint16
}
