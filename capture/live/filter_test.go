package live

import (
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"distproof/capture"
	"distproof/capture/link"
)

// extraPort carries VXLAN in these tests.
const extraPort = 7777

// vm returns the filter for Ethernet, or for Linux cooked packets of version 2
// as capture/link reads them, without what only the kernel knows of a packet.
func vm(t testing.TB, cooked bool) *bpf.VM {
	t.Helper()
	return vmOnly(t, cooked, link.Restriction{})
}

func vmOnly(t testing.TB, cooked bool, only link.Restriction) *bpf.VM {
	t.Helper()
	w := wanted{tunnels: []uint16{extraPort}, only: &only}
	p := w.packets(load(12, 2), 14)
	if cooked {
		// The kernel tells the protocol; here it is in the bytes.
		p = w.packets(load(0, 2), 20)
	}
	m, err := bpf.NewVM(p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t testing.TB, m *bpf.VM, data []byte) bool {
	t.Helper()
	n, err := m.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func bytesOf(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func ether(etherType int, payload []byte) []byte {
	return bytesOf(make([]byte, 12), be16(etherType), payload)
}

func ip4(proto byte, payload []byte) []byte {
	return bytesOf([]byte{0x45, 0}, be16(20+len(payload)), []byte{0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, payload)
}

func ip6(next byte, payload []byte) []byte {
	return bytesOf([]byte{0x60, 0, 0, 0}, be16(len(payload)), []byte{next, 64}, make([]byte, 32), payload)
}

func udp4(from, to int, payload ...byte) []byte { return ip4(17, udpBytes(from, to, payload)) }

func udpBytes(from, to int, payload []byte) []byte {
	return bytesOf(be16(from), be16(to), be16(8+len(payload)), be16(0), payload)
}

// with returns b with the bytes at offset replaced.
func with(b []byte, at int, values ...byte) []byte {
	copy(b[at:], values)
	return b
}

func TestFilter(t *testing.T) {
	tcp := make([]byte, 32)
	question := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0}
	tests := []struct {
		name      string
		etherType int
		data      []byte
		taken     bool
	}{
		{"TCP", 0x0800, ip4(6, tcp), true},
		{"TCP over IPv6", 0x86dd, ip6(6, tcp), true},
		{"TCP, IPv4 options", 0x0800, with(ip4(6, tcp), 0, 0x46), true},
		{"ICMP", 0x0800, ip4(1, tcp), false},
		{"ICMP, first fragment", 0x0800, with(ip4(1, tcp), 6, 0x20), true},
		{"ICMP, last fragment", 0x0800, with(ip4(1, tcp), 6, 0, 1), true},
		{"ICMP, not to be fragmented", 0x0800, with(ip4(1, tcp), 6, 0x40), false},
		{"ICMPv6", 0x86dd, ip6(58, tcp), false},
		{"SCTP", 0x0800, ip4(132, tcp), false},
		{"IPv6 fragment", 0x86dd, ip6(44, tcp), true},
		{"IPv6 hop-by-hop options", 0x86dd, ip6(0, tcp), true},
		{"IPv6 destination options", 0x86dd, ip6(60, tcp), true},
		{"IPv6 without payload", 0x86dd, ip6(59, tcp), false},
		{"GRE", 0x0800, ip4(47, tcp), true},
		{"GRE over IPv6", 0x86dd, ip6(47, tcp), true},
		{"IPIP", 0x0800, ip4(4, tcp), true},
		{"6in4", 0x0800, ip4(41, tcp), true},
		{"EtherIP", 0x0800, ip4(97, tcp), true},
		{"MPLS in IP", 0x86dd, ip6(137, tcp), true},
		{"ESP: the report says what it could not see", 0x0800, ip4(50, tcp), true},
		{"AH", 0x0800, ip4(51, tcp), true},
		{"DNS", 0x0800, udp4(5353, 53, question...), false},
		{"DNS over IPv6", 0x86dd, ip6(17, udpBytes(5353, 53, question)), false},
		{"a short UDP datagram", 0x0800, udp4(5353, 53, 1), true},
		{"UDP, IPv4 options", 0x0800, with(udp4(5353, 53, question...), 0, 0x46), true},
		{"VXLAN", 0x0800, udp4(5353, 4789, question...), true},
		{"VXLAN of Linux", 0x86dd, ip6(17, udpBytes(5353, 8472, question)), true},
		{"from the port of VXLAN", 0x0800, udp4(4789, 53, question...), false},
		{"VXLAN-GPE", 0x0800, udp4(5353, 4790, question...), true},
		{"VXLAN on a further port", 0x0800, udp4(5353, extraPort, question...), true},
		{"Geneve", 0x0800, udp4(5353, 6081, question...), true},
		{"GTP-U", 0x0800, udp4(5353, 2152, question...), true},
		{"MPLS in UDP", 0x0800, udp4(5353, 6635, question...), true},
		{"ESP in UDP", 0x0800, udp4(5353, 4500, question...), true},
		{"ESP in UDP, answered", 0x0800, udp4(4500, 5353, question...), true},
		{"WireGuard, initiation", 0x0800, udp4(1, 2, bytesOf([]byte{1, 0, 0, 0}, make([]byte, 144))...), true},
		{"WireGuard, data", 0x86dd, ip6(17, udpBytes(1, 2, bytesOf([]byte{4, 0, 0, 0}, make([]byte, 28)))), true},
		{"no type of WireGuard", 0x0800, udp4(1, 2, bytesOf([]byte{5, 0, 0, 0}, make([]byte, 144))...), false},
		{"not IPv4 behind its EtherType", 0x0800, with(ip4(1, tcp), 0, 0x55), true},
		{"not IPv6 behind its EtherType", 0x86dd, with(ip6(58, tcp), 0, 0x50), true},
		{"IPv4, short", 0x0800, ip4(1, nil)[:19], true},
		{"IPv6, short", 0x86dd, ip6(58, nil)[:39], true},
		{"ARP", 0x0806, make([]byte, 46), false},
		{"LLDP", 0x88cc, make([]byte, 46), false},
		{"IEEE 802.3", 0x0040, make([]byte, 46), true},
		{"MPLS", 0x8847, make([]byte, 46), true},
		{"MPLS multicast", 0x8848, make([]byte, 46), true},
		{"PPPoE", 0x8864, make([]byte, 46), true},
		{"PPPoE discovery", 0x8863, make([]byte, 46), false},
		{"MACsec", 0x88e5, make([]byte, 46), true},
		{"VLAN, TCP", 0x8100, bytesOf(be16(5), be16(0x0800), ip4(6, tcp)), true},
		{"VLAN, ICMP", 0x8100, bytesOf(be16(5), be16(0x0800), ip4(1, tcp)), false},
		{"VLAN, ARP", 0x88a8, bytesOf(be16(5), be16(0x0806), make([]byte, 46)), false},
		{"VLAN, VXLAN over IPv6", 0x9100, bytesOf(be16(5), be16(0x86dd), ip6(17, udpBytes(1, 8472, question))), true},
		{"VLAN, DNS", 0x8100, bytesOf(be16(5), be16(0x0800), udp4(5353, 53, question...)), false},
		{"VLAN, short", 0x8100, []byte{0, 5, 8}, true},
		{"three VLAN tags", 0x88a8, bytesOf(be16(5), be16(0x8100), be16(6), be16(0x0806), make([]byte, 46)), true},
	}
	for _, cooked := range []bool{false, true} {
		m := vm(t, cooked)
		for _, tt := range tests {
			data := ether(tt.etherType, tt.data)
			if cooked {
				data = bytesOf(be16(tt.etherType), make([]byte, 18), tt.data)
			}
			if got := run(t, m, data); got != tt.taken {
				t.Errorf("%s (cooked %t): taken %t, want %t", tt.name, cooked, got, tt.taken)
			}
		}
	}
	if !run(t, vm(t, false), make([]byte, 13)) {
		t.Error("a frame without an Ethernet header is left out")
	}
}

// checkHarmless fails if the filter leaves out a packet in which there is a
// segment, or which a report would have to mention.
func checkHarmless(t testing.TB, m *bpf.VM, p *capture.Packet) (taken bool) {
	t.Helper()
	if run(t, m, p.Data) {
		return true
	}
	d := link.NewDecoder(link.Options{VXLANPorts: []uint16{extraPort}})
	var s link.Segment
	if d.Decode(p, &s) || d.Waiting() {
		t.Errorf("left out, though it has a segment: % x", p.Data)
	}
	for why := range d.Sealed(0) {
		t.Errorf("left out: %s: % x", why, p.Data)
	}
	for why := range d.Unreadable(0) {
		// No IP stack takes these; the second has options that are not all there,
		// of a protocol that carries no TCP.
		if !strings.HasPrefix(why, "malformed IPv") && why != "truncated header (snaplen)" {
			t.Errorf("left out: %s: % x", why, p.Data)
		}
	}
	return false
}

// Of no recorded packet does the filter leave out what matters.
func TestFilterOnRecorded(t *testing.T) {
	src, err := capture.Open([]string{filepath.Join("..", "..", "pcaps")}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	machines := map[capture.LinkType]*bpf.VM{linkEthernet: vm(t, false), linkCooked: vm(t, true)}
	taken, left := 0, 0
	for {
		var p capture.Packet
		err := src.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m := machines[p.LinkType]; m != nil {
			if checkHarmless(t, m, &p) {
				taken++
			} else {
				left++
			}
		}
	}
	if taken < 500 {
		t.Errorf("%d packets taken, %d left out", taken, left)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(false, ether(0x0800, udp4(1, 53, make([]byte, 32)...)))
	f.Add(false, ether(0x8100, bytesOf(be16(5), be16(0x0800), udp4(1, 51820, 4, 0, 0, 0)))) // cut
	f.Add(true, bytesOf(be16(0x86dd), make([]byte, 18), ip6(58, make([]byte, 32))))
	f.Add(true, bytesOf(be16(0x0806), make([]byte, 46)))
	f.Add(false, ether(0x0800, with(ip4(1, make([]byte, 40)), 0, 0x4f)))
	f.Add(false, ether(0x0800, with(ip4(1, nil), 0, 0x4f, 0, 0, 60))) // options cut
	machines := map[bool]*bpf.VM{false: vm(f, false), true: vm(f, true)}
	f.Fuzz(func(t *testing.T, cooked bool, data []byte) {
		kind := linkEthernet
		if cooked {
			kind = linkCooked
		}
		checkHarmless(t, machines[cooked], &capture.Packet{Data: data, Length: len(data), LinkType: kind, Frame: capture.Frame{Number: 1}})
	})
}

// What the kernel is given can be assembled, also with all lists full.
func TestKernelFilter(t *testing.T) {
	many := make([]uint16, maxList-len(tunnelPorts))
	interfaces := make([]int, maxList)
	code, err := kernelFilter(interfaces, &Options{VXLANPorts: many})
	if err != nil || len(code) > 4096 {
		t.Errorf("%d instructions, %v", len(code), err)
	}
	if _, err := kernelFilter(nil, &Options{VXLANPorts: append(many, 1)}); err == nil {
		t.Error("one port more than a jump reaches over, and no error")
	}
}
