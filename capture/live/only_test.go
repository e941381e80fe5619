package live

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
)

// tcpBytes is a TCP header.
func tcpBytes(from, to int) []byte {
	return bytesOf(be16(from), be16(to), make([]byte, 8), []byte{0x50, 0x10}, make([]byte, 6))
}

// between4 is a packet of TCP over IPv4, between6 one over IPv6.
func between4(from, to string, ports ...int) []byte {
	b := ip4(6, tcpBytes(ports[0], ports[1]))
	copy(b[12:], netip.MustParseAddr(from).AsSlice())
	copy(b[16:], netip.MustParseAddr(to).AsSlice())
	return b
}

func between6(from, to string, ports ...int) []byte {
	b := ip6(6, tcpBytes(ports[0], ports[1]))
	copy(b[8:], netip.MustParseAddr(from).AsSlice())
	copy(b[24:], netip.MustParseAddr(to).AsSlice())
	return b
}

func nets(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range list {
		out = append(out, netip.MustParsePrefix(n))
	}
	return out
}

// What is asked for comes through the kernel's filter and through the decoder,
// and of plain TCP nothing else through either.
func TestFilterOnly(t *testing.T) {
	inVXLAN := func(frame []byte) []byte {
		return udp4(5353, 4789, bytesOf([]byte{8, 0, 0, 0, 0, 0, 7, 0}, frame)...)
	}
	for _, tt := range []struct {
		name          string
		only          link.Restriction
		etherType     int
		data          []byte
		kernel, found bool
	}{
		{"nothing asked", link.Restriction{}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), true, true},
		{"from the host", link.Restriction{Nets: nets("10.0.0.1/32")}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), true, true},
		{"to the host", link.Restriction{Nets: nets("10.0.0.2/32")}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), true, true},
		{"another host", link.Restriction{Nets: nets("10.0.0.3/32")}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), false, false},
		{"the second of two", link.Restriction{Nets: nets("10.0.0.3/32", "10.0.0.1/32")}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), true, true},
		{"in the net", link.Restriction{Nets: nets("10.128.0.0/9")}, 0x0800, between4("10.0.0.1", "10.200.0.2", 1, 2), true, true},
		{"out of the net", link.Restriction{Nets: nets("10.128.0.0/9")}, 0x0800, between4("10.0.0.1", "10.127.255.255", 1, 2), false, false},
		{"all of IPv4", link.Restriction{Nets: nets("0.0.0.0/0")}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), true, true},
		{"IPv6, all of IPv4", link.Restriction{Nets: nets("0.0.0.0/0")}, 0x86dd, between6("fd00::1", "fd00::2", 1, 2), false, false},
		{"IPv6 host", link.Restriction{Nets: nets("fd00::1/128")}, 0x86dd, between6("fd00::1", "fd00::2", 1, 2), true, true},
		{"another IPv6 host", link.Restriction{Nets: nets("fd00::3/128")}, 0x86dd, between6("fd00::1", "fd00::2", 1, 2), false, false},
		{"IPv6 net", link.Restriction{Nets: nets("fd00:0:0:12::/62")}, 0x86dd, between6("fd00::1", "fd00:0:0:13::2", 1, 2), true, true},
		{"another IPv6 net", link.Restriction{Nets: nets("fd00:0:0:14::/62")}, 0x86dd, between6("fd00::1", "fd00:0:0:13::2", 1, 2), false, false},
		{"IPv4, all of IPv6", link.Restriction{Nets: nets("::/0")}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), false, false},
		{"from the port", link.Restriction{Ports: []uint16{9100}}, 0x0800, between4("10.0.0.1", "10.0.0.2", 9100, 2), true, true},
		{"to the second port", link.Restriction{Ports: []uint16{9101, 9100}}, 0x86dd, between6("fd00::1", "fd00::2", 2, 9100), true, true},
		{"another port", link.Restriction{Ports: []uint16{9100}}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), false, false},
		{"another port, IPv6", link.Restriction{Ports: []uint16{9100}}, 0x86dd, between6("fd00::1", "fd00::2", 1, 2), false, false},
		{"host and port", link.Restriction{Nets: nets("10.0.0.1/32"), Ports: []uint16{2}}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), true, true},
		{"the port of another host", link.Restriction{Nets: nets("10.0.0.3/32"), Ports: []uint16{2}}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), false, false},
		{"another port of the host", link.Restriction{Nets: nets("10.0.0.1/32"), Ports: []uint16{3}}, 0x0800, between4("10.0.0.1", "10.0.0.2", 1, 2), false, false},
		{"VLAN, the host", link.Restriction{Nets: nets("10.0.0.1/32")}, 0x8100, bytesOf(be16(5), be16(0x0800), between4("10.0.0.1", "10.0.0.2", 1, 2)), true, true},
		{"VLAN, another host", link.Restriction{Nets: nets("10.0.0.3/32")}, 0x8100, bytesOf(be16(5), be16(0x0800), between4("10.0.0.1", "10.0.0.2", 1, 2)), false, false},
		// What the kernel cannot decide it lets through.
		{"the host, in VXLAN", link.Restriction{Nets: nets("192.0.2.1/32")}, 0x0800, inVXLAN(ether(0x0800, between4("192.0.2.1", "10.0.0.2", 1, 2))), true, true},
		{"another host, in VXLAN", link.Restriction{Nets: nets("192.0.2.3/32")}, 0x0800, inVXLAN(ether(0x0800, between4("192.0.2.1", "10.0.0.2", 1, 2))), true, false},
		{"the host of the tunnel", link.Restriction{Nets: nets("10.0.0.1/32")}, 0x0800, inVXLAN(ether(0x0800, between4("192.0.2.1", "192.0.2.2", 1, 2))), true, false},
		{"the port, in 6in4", link.Restriction{Ports: []uint16{9100}}, 0x0800, ip4(41, between6("fd00::1", "fd00::2", 1, 9100)), true, true},
		{"IPv4 options, another port", link.Restriction{Ports: []uint16{9100}}, 0x0800, withOption(between4("10.0.0.1", "10.0.0.2", 1, 2)), true, false},
		{"IPv4 options, the port", link.Restriction{Ports: []uint16{9100}}, 0x0800, withOption(between4("10.0.0.1", "10.0.0.2", 1, 9100)), true, true},
	} {
		for _, cooked := range []bool{false, true} {
			data, kind := ether(tt.etherType, tt.data), linkEthernet
			if cooked {
				data, kind = bytesOf(be16(tt.etherType), make([]byte, 18), tt.data), linkCooked
			}
			if got := run(t, vmOnly(t, cooked, tt.only), data); got != tt.kernel {
				t.Errorf("%s (cooked %t): taken %t, want %t", tt.name, cooked, got, tt.kernel)
			}
			d := link.NewDecoder(link.Options{Only: tt.only})
			var s link.Segment
			p := capture.Packet{Data: data, Length: len(data), LinkType: kind, Frame: capture.Frame{Number: 1}}
			if got := d.Decode(&p, &s); got != tt.found || len(d.Unreadable(0))+len(d.Sealed(0)) > 0 {
				t.Errorf("%s (cooked %t): found %t, want %t; %v", tt.name, cooked, got, tt.found, d.Undecoded(0))
			}
			if n := d.Undecoded(0)["TCP of a connection that was not asked for"]; n != map[bool]uint64{false: 1, true: 0}[tt.found] {
				t.Errorf("%s: %d not asked for", tt.name, n)
			}
		}
	}
}

// withOption gives an IPv4 packet an option of four bytes.
func withOption(b []byte) []byte {
	out := bytesOf(b[:20], []byte{1, 1, 1, 1}, b[20:])
	out[0] = 0x46
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	return out
}

// A restriction that is too long for the kernel is left to the decoder.
func TestFilterOnlyTooLong(t *testing.T) {
	o := Options{}
	for i := range 200 {
		o.Only.Nets = append(o.Only.Nets, netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), 128))
	}
	long, err := kernelFilter([]int{1}, &o)
	if err != nil || len(long) > maxProgram {
		t.Fatalf("%d instructions, %v", len(long), err)
	}
	plain, err := kernelFilter([]int{1}, &Options{})
	if err != nil || len(plain) != len(long) {
		t.Errorf("%d instructions, want %d; %v", len(long), len(plain), err)
	}
}
