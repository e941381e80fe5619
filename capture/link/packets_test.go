package link

import (
	"encoding/binary"
	"slices"
	"testing"

	"distproof/capture"
)

// The packets of these tests are put together from headers, outermost first.

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// be16 and be32 are numbers in network byte order.
func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// tcpHello is a TCP segment with options and five bytes of payload.
func tcpHello() []byte {
	return join(
		be16(40000), be16(4369), // ports
		be32(0x01020304),                 // sequence number
		be32(0x0a0b0c0d),                 // acknowledgment number
		[]byte{0x80, 0x18},               // data offset 8 words; PSH, ACK
		be16(512), be16(0xbeef), be16(0), // window, checksum, urgent pointer
		[]byte{1, 1, 8, 10}, be32(100), be32(99), // no-op twice, timestamps
		[]byte("hello"),
	)
}

// ip4 puts an IPv4 header before payload, from 10.0.0.1 to 10.0.0.2.
func ip4(proto byte, payload []byte) []byte {
	return join(
		[]byte{0x45, 0},       // version 4, header of 5 words; no class
		be16(20+len(payload)), // total length
		be16(0x1234),          // identification
		be16(0x4000),          // don't fragment
		[]byte{64, proto},     // time to live, protocol
		be16(0),               // checksum, which nobody looks at
		[]byte{10, 0, 0, 1},   // source
		[]byte{10, 0, 0, 2},   // destination
		payload,
	)
}

// ip6 puts an IPv6 header before payload, from fd00::1 to fd00::2.
func ip6(next byte, payload []byte) []byte {
	return join(
		[]byte{0x60, 0, 0, 0}, // version 6, class, flow label
		be16(len(payload)),
		[]byte{next, 64}, // next header, hop limit
		[]byte{0xfd, 15: 1},
		[]byte{0xfd, 15: 2},
		payload,
	)
}

func ether(etherType int, payload []byte) []byte {
	return join(
		[]byte{2, 0, 0, 0, 0, 2}, // destination
		[]byte{2, 0, 0, 0, 0, 1}, // source
		be16(etherType),
		payload,
	)
}

func udpTo(port int, payload []byte) []byte {
	return join(be16(50000), be16(port), be16(8+len(payload)), be16(0), payload)
}

// vxlanTo is a frame in VXLAN network 42, in UDP.
func vxlanTo(port int, frame []byte) []byte {
	return udpTo(port, join(
		[]byte{0x08, 0, 0, 0}, // flags: network identifier is valid
		[]byte{0, 0, 42, 0},   // network identifier, reserved
		frame,
	))
}

func hello4() []byte { return ip4(ipTCP, tcpHello()) }
func hello6() []byte { return ip6(ipTCP, tcpHello()) }

// packetOf is a packet that was captured whole.
func packetOf(t capture.LinkType, data []byte) *capture.Packet {
	return &capture.Packet{
		Data: data, Length: len(data), LinkType: t, Time: 1,
		Frame: capture.Frame{Input: 0, Number: 1},
	}
}

// decodeAll decodes packets and returns the segments, with copies of their payloads.
func decodeAll(d *Decoder, packets ...*capture.Packet) []Segment {
	var all []Segment
	for _, p := range packets {
		var s Segment
		if d.Decode(p, &s) {
			s.Payload = slices.Clone(s.Payload)
			all = append(all, s)
		}
	}
	return all
}

// wantHello checks that s is tcpHello.
func wantHello(t *testing.T, s Segment) {
	t.Helper()
	if string(s.Payload) != "hello" || s.Length != 5 {
		t.Errorf("payload %q of %d bytes", s.Payload, s.Length)
	}
	if s.Seq != 0x01020304 || s.Ack != 0x0a0b0c0d || s.Flags != PSH|ACK {
		t.Errorf("sequence %x, acknowledgment %x, flags %b", s.Seq, s.Ack, s.Flags)
	}
	if s.Src.Port != 40000 || s.Dst.Port != 4369 {
		t.Errorf("ports %d, %d", s.Src.Port, s.Dst.Port)
	}
	from, to := s.Src.AddrPort().Addr().String(), s.Dst.AddrPort().Addr().String()
	if !(from == "10.0.0.1" && to == "10.0.0.2") && !(from == "fd00::1" && to == "fd00::2") {
		t.Errorf("addresses %s, %s", from, to)
	}
}

// wantReasons checks what was counted for input 0.
func wantReasons(t *testing.T, d *Decoder, want map[string]uint64) {
	t.Helper()
	got := d.Undecoded(0)
	for why, n := range want {
		if got[why] != n {
			t.Errorf("%q: %d packets, want %d", why, got[why], n)
		}
	}
	for why, n := range got {
		if _, ok := want[why]; !ok {
			t.Errorf("%q: %d packets, want none", why, n)
		}
	}
}
