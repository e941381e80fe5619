package link

import (
	"slices"
	"testing"

	"distproof/capture"
)

func TestDecode(t *testing.T) {
	pad := make([]byte, 7)
	tests := []struct {
		name string
		link capture.LinkType
		data []byte
		want []string // encapsulation
	}{
		{"Ethernet, IPv4", 1, ether(0x0800, hello4()), nil},
		{"Ethernet, IPv6", 1, ether(0x86dd, hello6()), nil},
		{"Ethernet with padding", 1, join(ether(0x0800, hello4()), pad), nil},
		{"Ethernet with padding, IPv6", 1, join(ether(0x86dd, hello6()), pad), nil},
		{"802.1Q", 1, ether(0x8100, join(
			be16(0x2064), // priority 1, VLAN 100
			be16(0x0800),
			hello4())), []string{"vlan 100"}},
		{"802.1ad", 1, ether(0x88a8, join(
			be16(7), be16(0x8100), // service VLAN 7
			be16(8), be16(0x86dd), // customer VLAN 8
			hello6())), []string{"vlan 7", "vlan 8"}},
		{"QinQ of old", 1, ether(0x9100, join(be16(7), be16(0x8100), be16(8), be16(0x0800), hello4())), []string{"vlan 7", "vlan 8"}},
		{"802.3 with SNAP", 1, ether(8+57, join(
			[]byte{0xaa, 0xaa, 3}, // LLC: SNAP, unnumbered information
			[]byte{0, 0, 0},       // an EtherType follows
			be16(0x0800), hello4(), pad)), nil},
		{"802.3 with SNAP, to a group, numbered", 1, ether(9+57, join(
			[]byte{0xab, 0xab, 0, 0}, []byte{0, 0, 0}, be16(0x0800), hello4(), pad)), nil},
		{"802.3 with SNAP in a VLAN", 1, ether(0x8100, join(be16(5), be16(8+57),
			[]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(0x0800), hello4(), pad)), []string{"vlan 5"}},
		{"802.3 with SNAP, IPv4 of unknown length", 1, ether(8+57, join(
			[]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(0x0800), patch(hello4(), 2, 0, 0), pad)), nil},
		{"802.3 with SNAP in a VLAN, IPv4 of unknown length", 1, ether(0x8100, join(be16(5), be16(8+57),
			[]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(0x0800), patch(hello4(), 2, 0, 0), pad)), []string{"vlan 5"}},
		{"Linux cooked", 113, join(
			be16(4), be16(1), be16(6), // sent by us; ARPHRD_ETHER; address of 6 bytes
			make([]byte, 8), be16(0x0800), hello4()), nil},
		{"Linux cooked, lying address length", 113, join(
			be16(4), be16(1), be16(0xffff), make([]byte, 8), be16(0x86dd), hello6()), nil},
		{"Linux cooked, VLAN", 113, join(
			be16(0), be16(1), be16(6), make([]byte, 8), be16(0x8100), be16(9), be16(0x0800), hello4()), []string{"vlan 9"}},
		{"Linux cooked, version 2", 276, join(
			be16(0x86dd), be16(0), // protocol, reserved
			be32(3), be16(1), // interface index, ARPHRD_ETHER
			[]byte{4, 6}, make([]byte, 8), // sent by us, address of 6 bytes
			hello6()), nil},
		{"NULL, little-endian", 0, join([]byte{2, 0, 0, 0}, hello4()), nil},
		{"NULL, big-endian", 0, join([]byte{0, 0, 0, 2}, hello4()), nil},
		{"NULL, IPv6 of Linux", 0, join([]byte{10, 0, 0, 0}, hello6()), nil},
		{"NULL, IPv6 of NetBSD", 0, join([]byte{24, 0, 0, 0}, hello6()), nil},
		{"NULL, IPv6 of FreeBSD", 0, join([]byte{28, 0, 0, 0}, hello6()), nil},
		{"NULL, IPv6 of macOS", 0, join([]byte{0, 0, 0, 30}, hello6()), nil},
		{"LOOP", 108, join([]byte{0, 0, 0, 24}, hello6()), nil},
		{"RAW, IPv4", 101, hello4(), nil},
		{"RAW, IPv6", 101, hello6(), nil},
		{"RAW of BSD", 12, hello4(), nil},
		{"RAW of OpenBSD", 14, hello6(), nil},
		{"IPV4", 228, hello4(), nil},
		{"IPV6", 229, hello6(), nil},
		{"PPP", 9, join([]byte{0xff, 3}, be16(0x0021), hello4()), nil},
		{"PPP, compressed fields", 9, join([]byte{0x57}, hello6()), nil},
		{"PPP, MPLS", 9, join(be16(0x0281), be32(16<<12|1<<8|64), hello4()), []string{"mpls 16"}},
		{"NFLOG", 239, join(
			[]byte{2, 0, 0, 0},                // AF_INET, version 0, resource 0
			[]byte{5, 0, 10, 0, 'x', 0, 0, 0}, // 5 bytes: prefix "x", padded to 8
			[]byte{61, 0, 9, 0}, hello4(),     // 61 bytes: payload
			pad[:3]), nil},
		{"NFLOG, IPv4 of unknown length", 239, join(
			[]byte{2, 0, 0, 0, 61, 0, 9, 0}, patch(hello4(), 2, 0, 0), pad[:3]), nil},
		{"NFLOG, big-endian", 239, join([]byte{10, 0, 0, 0}, []byte{0, 81, 0, 9}, hello6()), nil},
		{"PPPoE", 1, ether(0x8864, join(
			[]byte{0x11, 0}, be16(77), be16(2+57), // version 1, type 1; session data; session; length
			be16(0x0021), hello4(), pad)), []string{"pppoe 77"}},
		{"PPPoE, IPv4 of unknown length", 1, ether(0x8864, join(
			[]byte{0x11, 0}, be16(77), be16(2+57), be16(0x0021), patch(hello4(), 2, 0, 0), pad)), []string{"pppoe 77"}},
		{"PPP_ETHER", 51, join([]byte{0x11, 0}, be16(77), be16(2+77), be16(0x0057), hello6()), []string{"pppoe 77"}},

		{"IPv4 with options", 228, withOptions(), nil},
		{"IPv4 of unknown length, as captured before segmentation", 228, patch(hello4(), 2, 0, 0), nil},
		{"IPv6 of unknown length, as captured before segmentation", 229, patch(hello6(), 4, 0, 0), nil},
		{"IPv6 jumbogram, shorter than the frame", 1, ether(0x86dd, join(
			patch(ip6(ipHopByHop, join(
				[]byte{ipTCP, 0},            // next header, no further 8 bytes
				[]byte{0xc2, 4}, be32(8+37), // jumbo payload option
				tcpHello())), 4, 0, 0), pad)), nil},
		{"IPv6 with extension headers", 229, ip6(ipHopByHop, join(
			[]byte{ipDestination, 0, 5, 2, 0, 0, 1, 0},    // hop by hop: router alert, padding
			[]byte{ipRouting, 1, 1, 12}, make([]byte, 12), // destination options: padding
			[]byte{ipFragment, 0, 3, 0, 0, 0, 0, 0},  // routing, RPL, no segments left
			[]byte{ipAH, 0, 0, 0, 0, 0, 0, 1},        // atomic fragment
			[]byte{ipTCP, 1, 0, 0}, be32(1), be32(1), // AH of 12 bytes without check value
			tcpHello())), nil},
		{"AH in IPv4", 228, ip4(ipAH, join([]byte{ipTCP, 4, 0, 0}, be32(1), be32(1), make([]byte, 12), tcpHello())), nil},

		{"MPLS, IPv4", 1, ether(0x8847, join(
			be32(16<<12|64), be32(17<<12|1<<8|64), // labels 16, 17 (bottom); time to live 64
			hello4())), []string{"mpls 16", "mpls 17"}},
		{"MPLS, IPv6", 1, ether(0x8847, join(be32(2<<12|1<<8|64), hello6())), []string{"mpls 2"}},
		{"MPLS, Ethernet", 1, ether(0x8848, join(be32(18<<12|1<<8|64), ether(0x0800, hello4()))), []string{"mpls 18", "pseudowire"}},
		{"MPLS, Ethernet whose address looks like IPv4", 1, ether(0x8847, join(be32(18<<12|1<<8|64),
			patch(ether(0x0800, hello4()), 0, 0x45, 0, 0xff, 0xff))), []string{"mpls 18", "pseudowire"}},
		{"MPLS, control word, Ethernet", 1, ether(0x8847, join(be32(18<<12|1<<8|64),
			be32(5), ether(0x8100, join(be16(3), be16(0x86dd), hello6())))), []string{"mpls 18", "pseudowire", "vlan 3"}},
		{"VXLAN", 1, ether(0x0800, ip4(ipUDP, vxlanTo(4789, ether(0x0800, hello4())))), []string{"vxlan 42"}},
		{"VXLAN of Linux", 1, ether(0x0800, ip4(ipUDP, vxlanTo(8472, ether(0x86dd, hello6())))), []string{"vxlan 42"}},
		{"VXLAN on a further port, over IPv6", 1, ether(0x86dd, ip6(ipUDP, vxlanTo(7777, ether(0x0800, hello4())))), []string{"vxlan 42"}},
		{"VXLAN-GPE, IPv6", 228, ip4(ipUDP, udpTo(4790, join([]byte{0x0c, 0, 0, 2, 0, 0, 42, 0}, hello6()))), []string{"vxlan 42"}},
		{"Geneve with options", 228, ip4(ipUDP, udpTo(6081, join(
			[]byte{0x06, 0, 0x65, 0x58}, // version 0, options of 6 words; an Ethernet frame
			[]byte{0, 0, 9, 0},          // network identifier, reserved
			[]byte{1, 2, 3, 1}, be32(0), // class, type, one word
			[]byte{1, 2, 3, 3}, make([]byte, 12),
			ether(0x0800, hello4())))), []string{"geneve 9"}},
		{"Geneve, the longest options", 228, ip4(ipUDP, udpTo(6081, join(
			[]byte{0x3f, 0, 0x86, 0xdd, 0, 0, 9, 0}, make([]byte, 63*4), hello6()))), []string{"geneve 9"}},
		{"GTP-U with extension header", 228, ip4(ipUDP, udpTo(2152, join(
			[]byte{0x34, 0xff}, be16(8+57), be32(5), // version 1, extension; packet; length; tunnel
			[]byte{0, 0, 0, 0x85}, // no sequence number; next: PDU session container
			[]byte{1, 0, 9, 0},    // one word, no further one
			hello4()))), []string{"gtp-u 5"}},
		{"GRE", 228, ip4(ipGRE, join([]byte{0, 0, 0x08, 0}, hello4())), []string{"gre"}},
		{"GRE with checksum, key, sequence number", 228, ip4(ipGRE, join(
			[]byte{0xb0, 0, 0x86, 0xdd},
			be16(0xffff), be16(0), // checksum, reserved
			be32(31), be32(1), // key, sequence number
			hello6())), []string{"gre key 31"}},
		{"GRE, MPLS", 228, ip4(ipGRE, join([]byte{0, 0, 0x88, 0x47}, be32(16<<12|1<<8|64), hello4())), []string{"gre", "mpls 16"}},
		{"PPTP", 228, ip4(ipGRE, join(
			[]byte{0x30, 0x81, 0x88, 0x0b},        // key, sequence, acknowledgment; version 1; PPP
			be16(4+57), be16(3), be32(1), be32(1), // length, call, sequence, acknowledgment
			[]byte{0xff, 3}, be16(0x0021), hello4())), []string{"gre key 3997699"}},
		{"GRETAP with key, over IPv6", 229, ip6(ipGRE, join(
			[]byte{0x20, 0, 0x65, 0x58}, be32(8), ether(0x0800, hello4()))), []string{"gretap key 8"}},
		{"GRETAP, VLAN", 228, ip4(ipGRE, join([]byte{0, 0, 0x65, 0x58},
			ether(0x8100, join(be16(4), be16(0x0800), hello4())))), []string{"gretap", "vlan 4"}},
		{"ERSPAN I", 228, ip4(ipGRE, join([]byte{0, 0, 0x88, 0xbe}, ether(0x0800, hello4()))), []string{"erspan"}},
		{"ERSPAN II", 228, ip4(ipGRE, join(
			[]byte{0x10, 0, 0x88, 0xbe}, be32(7), // sequence number
			[]byte{0x10, 3, 0, 99}, // version 1, VLAN 3, session 99
			be32(0),                // index
			ether(0x0800, hello4()))), []string{"erspan 99"}},
		{"ERSPAN III with sub-header", 228, ip4(ipGRE, join(
			[]byte{0x10, 0, 0x22, 0xeb}, be32(7),
			[]byte{0x20, 3, 0, 99},    // version 2, VLAN 3, session 99
			be32(1), be16(0), be16(1), // timestamp, group tag, flags: sub-header
			make([]byte, 8),
			ether(0x86dd, hello6()))), []string{"erspan 99"}},
		{"ERSPAN III, IP", 228, ip4(ipGRE, join(
			[]byte{0x10, 0, 0x22, 0xeb}, be32(7), []byte{0x20, 3, 0, 99}, be32(1), be16(0), be16(2<<10), hello4())), []string{"erspan 99"}},
		{"EtherIP", 228, ip4(ipEtherIP, join([]byte{0x30, 0}, ether(0x0800, hello4()))), []string{"etherip"}},
		{"IPIP", 228, ip4(ipIPv4, hello4()), []string{"ipip"}},
		{"6in4", 228, ip4(ipIPv6, hello6()), []string{"6in4"}},
		{"4in6", 229, ip6(ipIPv4, hello4()), []string{"4in6"}},
		{"6in6", 229, ip6(ipDestination, join([]byte{ipIPv6, 0, 1, 4, 0, 0, 0, 0}, hello6())), []string{"6in6"}},
		{"MPLS in UDP", 228, ip4(ipUDP, udpTo(6635, join(be32(16<<12|1<<8|64), hello4()))), []string{"mpls 16"}},
		{"MPLS in IP", 228, ip4(ipMPLS, join(be32(16<<12|1<<8|64), hello4())), []string{"mpls 16"}},

		{"nested tunnels", 1, nestedTunnels(), []string{"vlan 100", "vxlan 42", "gretap", "vxlan 42", "6in4"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := NewDecoder(Options{VXLANPorts: []uint16{7777}})
			all := decodeAll(d, packetOf(test.link, test.data))
			d.Finish()
			if len(all) != 1 {
				t.Fatalf("no segment: %v", d.Undecoded(0))
			}
			wantHello(t, all[0])
			wantReasons(t, d, nil)
			if got := d.Encapsulation(all[0].Encapsulation); !slices.Equal(got, test.want) {
				t.Errorf("encapsulation %q, want %q", got, test.want)
			}
			if all[0].Time != 1 || all[0].Frame.Number != 1 {
				t.Errorf("time %d, frame %v", all[0].Time, all[0].Frame)
			}
		})
		t.Run(test.name+", cut", func(t *testing.T) { everyCut(t, test.link, test.data) })
	}
}

// withOptions is hello4 with a router alert option.
func withOptions() []byte {
	b := hello4()
	return join([]byte{0x46, 0}, be16(61), b[4:20], []byte{0x94, 4, 0, 0}, b[20:])
}

// nestedTunnels is hello6 in 6in4 in VXLAN in GRETAP in VXLAN in a VLAN.
func nestedTunnels() []byte {
	b := ip4(ipIPv6, hello6())
	b = ip6(ipUDP, vxlanTo(8472, ether(0x0800, b)))
	b = ip4(ipGRE, join([]byte{0, 0, 0x65, 0x58}, ether(0x86dd, b)))
	b = ip4(ipUDP, vxlanTo(4789, ether(0x0800, b)))
	return ether(0x8100, join(be16(100), be16(0x0800), b))
}

// patch returns b with the bytes at offset replaced.
func patch(b []byte, at int, with ...byte) []byte {
	b = slices.Clone(b)
	copy(b[at:], with)
	return b
}

// everyCut checks that a packet cut anywhere by the capture is either the same
// segment with a part of the payload, or counted as cut.
func everyCut(t *testing.T, link capture.LinkType, data []byte) {
	for n := range data {
		d := NewDecoder(Options{VXLANPorts: []uint16{7777}})
		p := packetOf(link, data[:n:n])
		p.Length = len(data)
		var s Segment
		if d.Decode(p, &s) {
			if s.Length != 5 || string(s.Payload) != "hello"[:len(s.Payload)] || s.Seq != 0x01020304 {
				t.Errorf("cut to %d bytes: payload %q of %d bytes", n, s.Payload, s.Length)
			}
			continue
		}
		for why := range d.Undecoded(0) {
			if why != "truncated header (snaplen)" {
				t.Errorf("cut to %d bytes: %q", n, why)
			}
		}
	}
}

func TestDecodeFCS(t *testing.T) {
	// Without a length in IP, only the file tells that these are not payload.
	data := join(patch(ether(0x0800, hello4()), 16, 0, 0), []byte{0xde, 0xad, 0xbe, 0xef})
	p := packetOf(1, data)
	p.FCSLength = 4
	for _, captured := range []int{len(data), len(data) - 2, len(data) - 4} {
		p.Data = data[:captured]
		all := decodeAll(NewDecoder(Options{}), p)
		if len(all) != 1 {
			t.Fatalf("no segment with %d of %d bytes", captured, len(data))
		}
		wantHello(t, all[0])
	}
}

func TestDecodeLargeJumbogram(t *testing.T) {
	payload := make([]byte, 100_000)
	segment := join(tcpHello()[:32], payload)
	packet := patch(ip6(ipHopByHop, join(
		[]byte{ipTCP, 0}, []byte{0xc2, 4}, be32(8+len(segment)), segment)), 4, 0, 0)
	all := decodeAll(NewDecoder(Options{}), packetOf(229, packet))
	if len(all) != 1 || all[0].Length != len(payload) {
		t.Fatalf("got %d segments", len(all))
	}
}

// A packet that is shorter than IP says, though the capture did not cut it, is
// treated as cut: its bytes are missed, not overlooked.
func TestDecodeShorterThanIPSays(t *testing.T) {
	all := decodeAll(NewDecoder(Options{}), packetOf(228, patch(hello4(), 2, 0, 100)))
	if len(all) != 1 || string(all[0].Payload) != "hello" || all[0].Length != 48 {
		t.Fatalf("%+v", all)
	}
}

func TestFinalDestination(t *testing.T) {
	a, b := []byte{0xfd, 15: 7}, []byte{0xfd, 15: 8}
	tests := []struct {
		name string
		h    []byte
		want string
	}{
		{"type 0", join([]byte{ipTCP, 4, 0, 1}, be32(0), a, b), "fd00::8"},
		{"type 0, none left", join([]byte{ipTCP, 4, 0, 0}, be32(0), a, b), "fd00::2"},
		{"type 2", join([]byte{ipTCP, 2, 2, 1}, be32(0), a), "fd00::7"},
		{"type 4", join([]byte{ipTCP, 4, 4, 1}, be32(0), a, b), "fd00::7"},
		{"type 3", join([]byte{ipTCP, 4, 3, 1}, be32(0), a, b), "fd00::2"},
		{"no address", []byte{ipTCP, 0, 0, 1, 0, 0, 0, 0}, "fd00::2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := decodeAll(NewDecoder(Options{}), packetOf(229, ip6(ipRouting, join(test.h, tcpHello()))))
			if len(all) != 1 {
				t.Fatal("no segment")
			}
			if got := all[0].Dst.AddrPort().Addr().String(); got != test.want {
				t.Errorf("destination %s, want %s", got, test.want)
			}
		})
	}
}

func TestUndecoded(t *testing.T) {
	wireGuard := func(kind byte, size int) []byte { return append([]byte{kind, 0, 0, 0}, make([]byte, size-4)...) }
	tests := []struct {
		name string
		link capture.LinkType
		data []byte
		want string
	}{
		{"link type", 253, []byte{1}, "unsupported link type 253"},
		{"Ethernet, short", 1, make([]byte, 13), "malformed Ethernet header"},
		{"ARP", 1, ether(0x0806, nil), "arp"},
		{"LLDP", 1, ether(0x88cc, nil), "lldp"},
		{"MACsec", 1, ether(0x88e5, hello4()), "MACsec: encrypted below: not visible"},
		{"another EtherType", 1, ether(0x9000, nil), "ethertype 0x9000"},
		{"an Ethernet frame in Ethernet", 1, ether(0x6558, ether(0x0800, hello4())), "ethertype 0x6558"},
		{"STP", 1, ether(3, []byte{0x42, 0x42, 3}), "802.2 LLC"},
		{"CDP", 1, ether(8, []byte{0xaa, 0xaa, 3, 0, 0, 0xc, 0x20, 0}), "802.2 LLC"},
		{"LLC, short", 1, ether(2, []byte{0x42, 0x42}), "malformed 802.2 LLC header"},
		{"LLC, short, numbered", 1, ether(3, []byte{0xaa, 0xaa, 0}), "malformed 802.2 LLC header"},
		{"SNAP, short", 1, ether(6, []byte{0xaa, 0xaa, 3, 0, 0, 0}), "malformed 802.2 LLC header"},
		{"VLAN, short", 1, ether(0x8100, []byte{0, 1, 8}), "malformed VLAN header"},
		{"netlink", 113, join(be16(4), be16(824), make([]byte, 10), be16(0), []byte{1}), "netlink"},
		{"cooked, short", 276, make([]byte, 19), "malformed Linux cooked header"},
		{"loopback, another family", 0, []byte{16, 0, 0, 0, 1}, "loopback address family 16"},
		{"loopback, no family", 0, []byte{1, 2, 3, 4, 5}, "malformed loopback header"},
		{"RAW, empty", 101, nil, "malformed IPv4 header"},
		{"NFLOG, short value", 239, []byte{2, 0, 0, 0, 3, 0, 9, 0}, "malformed NFLOG header"},
		{"NFLOG, no payload", 239, []byte{2, 0, 0, 0}, "malformed NFLOG header"},
		{"IPv4, another version", 228, patch(hello4(), 0, 0x55), "malformed IPv4 header"},
		{"IPv4, short header length", 228, patch(hello4(), 0, 0x44), "malformed IPv4 header"},
		{"IPv4, total below header length", 228, patch(hello4(), 2, 0, 19), "malformed IPv4 header"},
		{"IPv4, options beyond the total", 228, patch(hello4(), 0, 0x4f), "malformed IPv4 header"},
		{"IPv4, total ends in the TCP header", 228, patch(hello4(), 2, 0, 39), "malformed TCP header"},
		{"IPv6, another version", 229, patch(hello6(), 0, 0x40), "malformed IPv6 header"},
		{"IPv6, no payload", 229, ip6(ipNoNextHeader, []byte("junk")), "IPv6 without payload"},
		{"IPv6, extension beyond the packet", 229, ip6(ipHopByHop, []byte{ipTCP, 9, 0, 0, 0, 0, 0, 0}), "malformed IPv6 extension header"},
		{"IPv6, jumbogram beyond the packet", 229, patch(ip6(ipHopByHop, join(
			[]byte{ipTCP, 0, 0xc2, 4}, be32(100_000), tcpHello())), 4, 0, 0), "malformed IPv6 header"},
		{"IPv6, endless extension headers", 229, ip6(ipDestination, repeat(1000, ipDestination, 0, 1, 4, 0, 0, 0, 0)), "too many IPv6 extension headers"},
		{"IPv6, endless atomic fragments", 229, ip6(ipFragment, repeat(1000, ipFragment, 0, 0, 0, 0, 0, 0, 1)), "too many IPv6 extension headers"},
		{"AH, short length", 228, ip4(ipAH, append([]byte{ipTCP, 0}, make([]byte, 30)...)), "malformed AH header"},
		{"AH in AH", 228, ip4(ipAH, join(repeat(100, ipAH, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1),
			[]byte{ipTCP, 1, 0, 0}, be32(1), be32(1), tcpHello())), "malformed AH header"},
		{"TCP, short data offset", 228, ip4(ipTCP, patch(tcpHello(), 12, 0x40)), "malformed TCP header"},
		{"TCP, data offset beyond the packet", 228, ip4(ipTCP, patch(tcpHello(), 12, 0xf0)), "malformed TCP header"},
		{"an ICMP error that quotes TCP", 228, ip4(ipICMP, join([]byte{3, 3, 0, 0, 0, 0, 0, 0}, hello4())), "icmp"},
		{"ICMPv6", 229, ip6(ipICMPv6, join([]byte{1, 4, 0, 0, 0, 0, 0, 0}, hello6())), "icmpv6"},
		{"IGMP", 228, ip4(ipIGMP, nil), "igmp"},
		{"SCTP", 228, ip4(ipSCTP, nil), "sctp"},
		{"OSPF", 228, ip4(89, nil), "IP protocol 89"},
		{"UDP", 228, ip4(ipUDP, udpTo(53, []byte("question"))), "udp"},
		{"UDP, short", 228, ip4(ipUDP, []byte{0, 53, 0, 53}), "malformed UDP header"},
		{"ESP", 228, ip4(ipESP, make([]byte, 40)), "ESP: encrypted below: not visible"},
		{"ESP in UDP", 228, ip4(ipUDP, udpTo(4500, join(be32(0x1001), be32(1), make([]byte, 32)))), "ESP in UDP: encrypted below: not visible"},
		{"IKE on the port of ESP", 228, ip4(ipUDP, udpTo(4500, make([]byte, 40))), "udp"},
		{"NAT keep-alive on the port of ESP", 228, ip4(ipUDP, udpTo(4500, []byte{0xff})), "udp"},
		{"WireGuard, initiation", 228, ip4(ipUDP, udpTo(51820, wireGuard(1, 148))), "WireGuard: encrypted below: not visible"},
		{"WireGuard, response", 228, ip4(ipUDP, udpTo(51820, wireGuard(2, 92))), "WireGuard: encrypted below: not visible"},
		{"WireGuard, cookie", 228, ip4(ipUDP, udpTo(51820, wireGuard(3, 64))), "WireGuard: encrypted below: not visible"},
		{"WireGuard, keep-alive", 228, ip4(ipUDP, udpTo(1, wireGuard(4, 32))), "WireGuard: encrypted below: not visible"},
		{"WireGuard, data", 229, ip6(ipUDP, udpTo(1, wireGuard(4, 128))), "WireGuard: encrypted below: not visible"},
		{"WireGuard by type but not by size", 228, ip4(ipUDP, udpTo(51820, wireGuard(1, 147))), "udp"},
		{"WireGuard data of no valid size", 228, ip4(ipUDP, udpTo(51820, wireGuard(4, 129))), "udp"},
		{"VXLAN without identifier", 228, ip4(ipUDP, udpTo(4789, patch(vxlanTo(1, ether(0x0800, hello4()))[8:], 0, 0))), "malformed VXLAN header"},
		{"VXLAN, short", 228, ip4(ipUDP, udpTo(4789, []byte{8, 0, 0, 0})), "malformed VXLAN header"},
		{"VXLAN-GPE, NSH", 228, ip4(ipUDP, udpTo(4790, []byte{0x0c, 0, 0, 4, 0, 0, 1, 0})), "malformed VXLAN header"},
		{"Geneve, another version", 228, ip4(ipUDP, udpTo(6081, []byte{0x40, 0, 0x65, 0x58, 0, 0, 1, 0})), "malformed Geneve header"},
		{"Geneve, options beyond the packet", 228, ip4(ipUDP, udpTo(6081, []byte{0x3f, 0, 0x65, 0x58, 0, 0, 1, 0})), "malformed Geneve header"},
		{"GTP-U, echo", 228, ip4(ipUDP, udpTo(2152, []byte{0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0})), "GTP-U control message"},
		{"GTP-U, extension of no length", 228, ip4(ipUDP, udpTo(2152, []byte{0x34, 0xff, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})), "malformed GTP-U header"},
		{"GRE, short", 228, ip4(ipGRE, []byte{0xb0, 0, 8, 0, 0}), "malformed GRE header"},
		{"GRE, endless routes", 228, ip4(ipGRE, join([]byte{0x40, 0, 8, 0}, be32(0), repeat(100, 8, 0, 0, 4, 10, 0, 0, 9))), "malformed GRE header"},
		{"GRE, keep-alive", 228, ip4(ipGRE, []byte{0, 0, 0, 0}), "ethertype 0x0000"},
		{"GRE, another version", 228, ip4(ipGRE, []byte{0, 2, 8, 0}), "malformed GRE header"},
		{"PPTP, acknowledgment only", 228, ip4(ipGRE, join([]byte{0x20, 0x81, 0x88, 0x0b}, be32(1), be32(1))), "PPTP acknowledgement"},
		{"ERSPAN II, short", 228, ip4(ipGRE, join([]byte{0x10, 0, 0x88, 0xbe}, be32(7), []byte{0x10, 0, 0})), "malformed ERSPAN header"},
		{"EtherIP, another version", 228, ip4(ipEtherIP, join([]byte{0x40, 0}, ether(0x0800, hello4()))), "malformed EtherIP header"},
		{"PPPoE discovery", 1, ether(0x8863, []byte{0x11, 9, 0, 0, 0, 0}), "PPPoE discovery"},
		{"PPPoE, no session data", 1, ether(0x8864, join([]byte{0x11, 0xa7}, be16(77), be16(59), be16(0x0021), hello4())), "PPPoE discovery"},
		{"PPPoE, another version", 1, ether(0x8864, []byte{0x21, 0, 0, 0, 0, 0}), "malformed PPPoE header"},
		{"PPP, no valid protocol", 9, []byte{0xff, 3, 0, 0}, "malformed PPP header"},
		{"LCP", 9, []byte{0xff, 3, 0xc0, 0x21}, "PPP protocol 0xc021"},
		{"MPLS, short", 1, ether(0x8847, []byte{0, 1, 0}), "malformed MPLS header"},
		{"MPLS, something else", 1, ether(0x8847, join(be32(16<<12|1<<8|64), make([]byte, 40))), "MPLS payload not recognised"},
		{"MPLS, no control word", 1, ether(0x8847, join(be32(16<<12|1<<8|64), be32(1<<28), ether(0x0800, hello4()))), "MPLS payload not recognised"},
		{"MPLS, endless labels", 1, ether(0x8847, make([]byte, 4000)), "too many nested encapsulations"},
		{"endless VLAN tags", 1, ether(0x8100, repeat(1000, 0, 1, 0x81, 0)), "too many nested encapsulations"},
		{"endless IPIP", 228, endlessIPIP(), "too many nested encapsulations"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := NewDecoder(Options{})
			if all := decodeAll(d, packetOf(test.link, test.data)); len(all) != 0 {
				t.Errorf("a segment: %+v", all[0])
			}
			wantReasons(t, d, map[string]uint64{test.want: 1})
		})
	}
}

func repeat(n int, b ...byte) []byte { return slices.Repeat(b, n) }

func endlessIPIP() []byte {
	b := hello4()
	for range maxDepth + 1 {
		b = ip4(ipIPv4, b)
	}
	return b
}

// A hostile input cannot make the report long.
func TestUndecodedLimit(t *testing.T) {
	d := NewDecoder(Options{})
	for i := range 1000 {
		decodeAll(d, packetOf(1, ether(0xa000+i, nil)))
	}
	decodeAll(d, packetOf(1, ether(0x0806, nil)))
	got := d.Undecoded(0)
	if len(got) != maxNumbered+2 || got["other protocols"] != 1000-maxNumbered || got["arp"] != 1 {
		t.Errorf("%d reasons, %d other", len(got), got["other protocols"])
	}
}

func TestUndecodedPerInput(t *testing.T) {
	d := NewDecoder(Options{})
	for input := range 3 {
		for range input {
			p := packetOf(1, ether(0x0806, nil))
			p.Frame.Input = uint32(input)
			decodeAll(d, p)
		}
	}
	for input := range 3 {
		if got := d.Undecoded(uint32(input))["arp"]; got != uint64(input) {
			t.Errorf("input %d: %d", input, got)
		}
	}
}

func TestEncapsulationLimit(t *testing.T) {
	d := NewDecoder(Options{})
	seen := make(map[uint16]bool)
	for i := range 3 * MaxEncapsulations {
		frame := vxlanTo(4789, ether(0x0800, hello4()))
		copy(frame[12:], be32(i<<8)) // network identifier
		all := decodeAll(d, packetOf(228, ip4(ipUDP, frame)))
		if len(all) != 1 {
			t.Fatal("no segment")
		}
		seen[all[0].Encapsulation] = true
	}
	if len(seen) > MaxEncapsulations {
		t.Errorf("%d encapsulations", len(seen))
	}
	// What was known before the limit is still told apart, plain packets too.
	for _, test := range []struct {
		data []byte
		want []string
	}{
		{ip4(ipUDP, vxlanTo(4789, ether(0x0800, hello4()))), []string{"vxlan 42"}},
		{ip4(ipIPv4, hello4()), []string{"other"}},
		{hello4(), nil},
	} {
		all := decodeAll(d, packetOf(228, test.data))
		if got := d.Encapsulation(all[0].Encapsulation); !slices.Equal(got, test.want) {
			t.Errorf("encapsulation %q, want %q", got, test.want)
		}
	}
}

// Copies of a packet are equal, whatever changes on the way; other packets are not.
func TestIdentity(t *testing.T) {
	identityOf := func(link capture.LinkType, data []byte) uint32 {
		t.Helper()
		all := decodeAll(NewDecoder(Options{}), packetOf(link, data))
		if len(all) != 1 {
			t.Fatal("no segment")
		}
		return all[0].Identity
	}
	base := identityOf(228, hello4())
	const tcp = 20 // where the TCP header begins
	for name, data := range map[string][]byte{
		"time to live":     patch(hello4(), 8, 63),
		"IP checksum":      patch(hello4(), 10, 1, 2),
		"source address":   patch(hello4(), 12, 192, 0, 2, 1),
		"source port":      patch(hello4(), tcp, 9, 9),
		"TCP checksum":     patch(hello4(), tcp+16, 1, 2),
		"class of service": patch(hello4(), 1, 3),
	} {
		if identityOf(228, data) != base {
			t.Errorf("%s: identity differs", name)
		}
	}
	if identityOf(1, ether(0x0800, ip4(ipUDP, vxlanTo(4789, ether(0x0800, hello4()))))) != base {
		t.Error("in a tunnel: identity differs")
	}
	if identityOf(229, hello6()) != identityOf(228, ip4(ipIPv6, hello6())) {
		t.Error("in 6in4: identity differs")
	}
	seen := map[uint32]string{base: "the packet"}
	for name, data := range map[string][]byte{
		"identification": patch(hello4(), 4, 0x12, 0x35),
		"sequence":       patch(hello4(), tcp+7, 5),
		"acknowledgment": patch(hello4(), tcp+11, 5),
		"flags":          patch(hello4(), tcp+13, 0x19),
		"window":         patch(hello4(), tcp+15, 1),
		"urgent pointer": patch(hello4(), tcp+19, 1),
		"timestamp":      patch(hello4(), tcp+27, 101),
		"length":         ip4(ipTCP, append(tcpHello(), '!')),
		"IPv6":           nil,
	} {
		id := uint32(0)
		if data == nil {
			id = identityOf(229, hello6())
		} else {
			id = identityOf(228, data)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%s: identity is that of %s", name, other)
		}
		seen[id] = name
	}
}

// The common path does not allocate, nor does VXLAN, nor counting.
func TestDecodeAllocates(t *testing.T) {
	d := NewDecoder(Options{})
	var s Segment
	for name, p := range map[string]*capture.Packet{
		"Ethernet, IPv4":   packetOf(1, ether(0x0800, hello4())),
		"Ethernet, IPv6":   packetOf(1, ether(0x86dd, hello6())),
		"VLAN":             packetOf(1, ether(0x8100, join(be16(1), be16(0x0800), hello4()))),
		"cooked, UDP":      packetOf(113, join(make([]byte, 14), be16(0x0800), ip4(ipUDP, udpTo(53, nil)))),
		"cooked 2":         packetOf(276, join(be16(0x0800), make([]byte, 18), hello4())),
		"loopback":         packetOf(0, join([]byte{2, 0, 0, 0}, hello4())),
		"extension header": packetOf(229, ip6(ipDestination, join([]byte{ipTCP, 0, 1, 4, 0, 0, 0, 0}, tcpHello()))),
		"VXLAN":            packetOf(1, ether(0x0800, ip4(ipUDP, vxlanTo(4789, ether(0x0800, hello4()))))),
		"Geneve":           packetOf(228, ip4(ipUDP, udpTo(6081, join([]byte{0, 0, 0x65, 0x58, 0, 0, 9, 0}, ether(0x0800, hello4()))))),
		"GRE":              packetOf(228, ip4(ipGRE, join([]byte{0, 0, 8, 0}, hello4()))),
	} {
		want := d.Decode(p, &s) // the first of its kind may allocate
		if want != (name != "cooked, UDP") {
			t.Errorf("%s: %v", name, want)
		}
		n := testing.AllocsPerRun(100, func() {
			if d.Decode(p, &s) != want {
				t.Errorf("%s: not %v any more", name, want)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bench := range []struct {
		name string
		p    *capture.Packet
	}{
		{"IPv4", packetOf(1, ether(0x0800, hello4()))},
		{"IPv6", packetOf(1, ether(0x86dd, hello6()))},
		{"VLAN", packetOf(1, ether(0x8100, join(be16(1), be16(0x0800), hello4())))},
		{"VXLAN", packetOf(1, ether(0x0800, ip4(ipUDP, vxlanTo(4789, ether(0x0800, hello4())))))},
		{"UDP", packetOf(1, ether(0x0800, ip4(ipUDP, udpTo(53, nil))))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			d := NewDecoder(Options{})
			var s Segment
			for b.Loop() {
				d.Decode(bench.p, &s)
			}
		})
	}
}
