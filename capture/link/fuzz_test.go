package link

import (
	"testing"

	"distproof/capture"
	"distproof/internal/allocs"
)

// FuzzDecode takes its input for packets, each a link type (2 bytes), the bytes
// that the capture cut off (1), a length (1) and the data: every packet is a
// segment, a part of one or counted with its reason, and what is held is bounded.
func FuzzDecode(f *testing.F) {
	seed := func(link capture.LinkType, packets ...[]byte) {
		var all []byte
		for _, p := range packets {
			all = append(all, join(be16(int(link)), []byte{0, byte(len(p))}, p)...)
		}
		f.Add(all)
	}
	seed(1, ether(0x0800, hello4()))
	seed(1, ether(0x8100, join(be16(1), be16(0x86dd), hello6())))
	seed(113, join(make([]byte, 14), be16(0x0800), hello4()))
	seed(276, join(be16(0x0800), make([]byte, 18), hello4()))
	seed(0, join([]byte{2, 0, 0, 0}, hello4()))
	seed(239, join([]byte{2, 0, 0, 0, 61, 0, 9, 0}, hello4()))
	for _, raw := range []capture.LinkType{linkRaw, linkRawBSD, linkRawOBSD} {
		seed(raw, hello4(), hello6())
	}
	seed(228, hello4())
	seed(229, hello6())
	seed(108, join([]byte{0, 0, 0, 30}, hello6()))
	seed(9, join([]byte{0xff, 3}, be16(0x0057), hello6()))
	seed(50, join([]byte{0x0f, 0}, be16(0x0021), hello4()))
	seed(1, ether(40, join([]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(0x0800), hello4())))
	seed(147, hello4()) // no link type that is known
	seed(51, join([]byte{0x11, 0}, be16(77), be16(59), be16(0x0021), hello4()))
	seed(101, fragment4(1, longTCP(), 0, 48), fragment4(1, longTCP(), 48, 100))
	seed(101, fragment6of(1, longTCP(), 48, 100), fragment6of(1, longTCP(), 0, 48))
	seed(228, ip4(ipUDP, vxlanTo(4789, ether(0x0800, hello4()))))
	seed(228, ip4(ipUDP, udpTo(6081, join([]byte{1, 0, 0x65, 0x58, 0, 0, 9, 0}, be32(0), ether(0x0800, hello4())))))
	seed(228, ip4(ipUDP, udpTo(2152, join([]byte{0x34, 0xff}, be16(65), be32(5), be32(0x85), []byte{1, 0, 9, 0}, hello4()))))
	seed(228, ip4(ipGRE, join([]byte{0x10, 0, 0x88, 0xbe}, be32(7), []byte{0x10, 3, 0, 99}, be32(0), ether(0x0800, hello4()))))
	seed(228, ip4(ipGRE, join([]byte{0xf8, 0, 0x08, 0}, be32(0), be32(1), be32(2), []byte{1, 2, 3, 4}, hello4())))
	seed(1, ether(0x8847, join(be32(18<<12|1<<8), be32(5), ether(0x0800, hello4()))))
	seed(229, ip6(ipHopByHop, join([]byte{ipRouting, 0, 5, 2, 0, 0, 1, 0}, []byte{ipTCP, 2, 4, 1}, make([]byte, 20), tcpHello())))

	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(Options{VXLANPorts: []uint16{7777}})
		packets, segments := uint64(0), uint64(0)
		used := allocs.Of(func() {
			for len(data) >= 4 {
				link, cut, n := capture.LinkType(data[0])<<8|capture.LinkType(data[1]), int(data[2]), int(data[3])
				data = data[4:]
				n = min(n, len(data))
				p := packetOf(link, data[:n:n])
				p.Length += cut
				data = data[n:]
				packets++
				var s Segment
				if d.Decode(p, &s) {
					segments++
					checkSegment(t, d, p, s)
				}
				if len(d.fragments.byKey) > maxDatagrams || d.fragments.bytes > maxDatagramBytes {
					t.Errorf("%d datagrams, %d bytes", len(d.fragments.byKey), d.fragments.bytes)
				}
			}
		})
		// A fragment may be the last one of a long datagram.
		if used > 1<<20+2*maxDatagram*packets {
			t.Errorf("%d bytes allocated for %d packets", used, packets)
		}
		d.Finish()
		counted := uint64(0)
		for why, n := range d.Undecoded(0) {
			if why == "" || n == 0 {
				t.Errorf("%q: %d packets", why, n)
			}
			counted += n
		}
		// A segment of several fragments takes several packets.
		if counted+segments > packets || segments == 0 && counted != packets {
			t.Errorf("%d packets: %d segments, %d counted", packets, segments, counted)
		}
	})
}

// checkSegment checks what holds for every segment.
func checkSegment(t *testing.T, d *Decoder, p *capture.Packet, s Segment) {
	if s.Length < len(s.Payload) {
		t.Errorf("payload of %d bytes, length %d", len(s.Payload), s.Length)
	}
	if s.Length > max(maxDatagram, p.Length) {
		t.Errorf("length %d in a packet of %d bytes", s.Length, p.Length)
	}
	if len(d.Encapsulation(s.Encapsulation)) > maxDepth {
		t.Errorf("encapsulation %q", d.Encapsulation(s.Encapsulation))
	}
	if len(s.Payload) == 0 || within(s.Payload, p.Data) {
		return
	}
	for _, g := range d.fragments.byKey {
		if within(s.Payload, g.buf) {
			return
		}
	}
	t.Error("the payload is neither in the packet nor in a datagram")
}

// within reports whether a is a part of the memory of b.
func within(a, b []byte) bool {
	for i := range b {
		if &b[i] == &a[0] {
			return i+len(a) <= len(b)
		}
	}
	return false
}
