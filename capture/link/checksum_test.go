package link

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"distproof/capture"
)

// slowSum is the sum of RFC 1071 as it is described there.
func slowSum(parts ...[]byte) uint16 {
	var sum uint32
	b := join(parts...)
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// pseudo4 and pseudo6 are the pseudo-headers of the packets that ip4 and ip6
// make (RFC 9293, Section 3.1; RFC 8200, Section 8.1).
func pseudo4(length int) []byte {
	return join([]byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, []byte{0, ipTCP}, be16(length))
}

func pseudo6(length int) []byte {
	p := ip6(ipTCP, nil)
	return join(p[8:40], be32(length), []byte{0, 0, 0, ipTCP})
}

// withSum returns tcpHello with a payload and a checksum.
func withSum(payload []byte, checksum func(segment []byte) uint16) []byte {
	b := join(tcpHello()[:32], payload)
	binary.BigEndian.PutUint16(b[16:], 0)
	binary.BigEndian.PutUint16(b[16:], checksum(b))
	return b
}

func right(pseudo func(int) []byte) func([]byte) uint16 {
	return func(b []byte) uint16 { return ^slowSum(pseudo(len(b)), b) }
}

func TestDamaged(t *testing.T) {
	payload := []byte("some bytes of an odd number of bytes, which is here 57 !!")
	if len(payload) != 57 {
		t.Fatal(len(payload))
	}
	good := withSum(payload, right(pseudo4))
	packet := func(data []byte) *capture.Packet { return packetOf(228, data) }
	cut := packet(ip4(ipTCP, good))
	cut.Data, cut.Length = cut.Data[:len(cut.Data)-1], len(cut.Data)
	cut.Data[30]++ // also of the sequence number nothing is known then
	unsized := ip4(ipTCP, patch(good, 4, 9))
	copy(unsized[2:], be16(0))
	tests := []struct {
		name   string
		packet *capture.Packet
		want   bool
	}{
		{"right", packet(ip4(ipTCP, good)), false},
		{"right, IPv6", packetOf(229, ip6(ipTCP, withSum(payload, right(pseudo6)))), false},
		{"right, in a tunnel", packet(ip4(ipUDP, vxlanTo(4789, ether(0x0800, ip4(ipTCP, good))))), false},
		{"another last byte", packet(ip4(ipTCP, patch(good, len(good)-1, 0))), true},
		{"another byte, IPv6", packetOf(229, ip6(ipTCP, patch(withSum(payload, right(pseudo6)), 40, 1))), true},
		{"another sequence number", packet(ip4(ipTCP, patch(good, 4, 9))), true},
		{"another option", packet(ip4(ipTCP, patch(good, 31, 9))), true},
		{"another address", packet(patch(ip4(ipTCP, good), 15, 9)), true},
		{"another byte, in a tunnel", packet(ip4(ipUDP, vxlanTo(4789, ether(0x0800, ip4(ipTCP, patch(good, 40, 1)))))), true},
		{"offloaded: none", packet(ip4(ipTCP, withSum(payload, func([]byte) uint16 { return 0 }))), false},
		{"offloaded: of the pseudo-header", packet(ip4(ipTCP, withSum(payload, func(b []byte) uint16 { return slowSum(pseudo4(len(b))) }))), false},
		{"offloaded: without the length", packet(ip4(ipTCP, withSum(payload, func([]byte) uint16 { return slowSum(pseudo4(0)) }))), false},
		{"offloaded, IPv6", packetOf(229, ip6(ipTCP, withSum(payload, func(b []byte) uint16 { return slowSum(pseudo6(len(b))) }))), false},
		{"cut by the capture", cut, false},
		{"of a length that is not told", packet(unsized), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			segments := decodeAll(NewDecoder(Options{}), tt.packet)
			if len(segments) != 1 {
				t.Fatalf("%d segments", len(segments))
			}
			if got := segments[0].Damaged(); got != tt.want {
				t.Errorf("damaged: %t, want %t", got, tt.want)
			}
		})
	}
}

// TestDamagedAtAnyLength compares with the sum as RFC 1071 describes it, and
// flips one bit.
func TestDamagedAtAnyLength(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		b := withSum(payload, right(pseudo4))
		damaged := func(b []byte) bool {
			segments := decodeAll(NewDecoder(Options{}), packetOf(228, ip4(ipTCP, b)))
			return len(segments) == 1 && segments[0].Damaged()
		}
		if damaged(b) {
			t.Errorf("%d bytes: damaged", n)
		}
		if n == 0 {
			continue
		}
		if b[32+r.IntN(n)] ^= 1 << r.IntN(8); !damaged(b) {
			t.Errorf("%d bytes, one bit flipped: not damaged", n)
		}
	}
}
