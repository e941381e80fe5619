package mutate

import (
	"bytes"

	"distproof/capture"
)

// A unit is a network-layer packet on its way into other headers.
type unit struct {
	etherType int
	data      []byte
	// missing is the number of bytes at the end that were not captured.
	missing int
	// reversed tells the two directions of a conversation apart.
	reversed bool
}

// length is the unit's length on the wire in bytes.
func (u unit) length() int { return len(u.data) + u.missing }

// behind returns u with headers before it, as a packet of the given type.
func (u unit) behind(etherType int, headers ...[]byte) unit {
	u.etherType = etherType
	u.data = append(bytes.Join(headers, nil), u.data...)
	return u
}

func (u unit) isIPv4() bool { return u.etherType == etherIPv4 }
func (u unit) isIPv6() bool { return u.etherType == etherIPv6 }

func (u unit) isFragment() bool {
	return u.isIPv4() && be16(u.data, 6)&0x3fff != 0 || u.isIPv6() && u.data[6] == protoFragment
}

// A wrap puts a unit into one more header, or splits it.
type wrap func(unit) []unit

// maxEnclosed is the longest IP packet that more headers are put around: what
// the length of an IPv4 header can say, less room for nested tunnels.
const maxEnclosed = 0xffff - 256

// An Encapsulation is a way to carry IP packets: a link layer, and below it
// tunnels and the like.
type Encapsulation struct {
	Name string
	// LinkType is that of the packets that Apply returns.
	LinkType capture.LinkType
	// wraps are applied in this order, so the innermost comes first.
	wraps []wrap
	link  func(unit) []byte
	// only limits the encapsulation to captures of one IP version, given as
	// an EtherType: the others cannot be carried so, or would not change.
	only int
}

// Encapsulations lists the ways to carry packets that [Encapsulation.Apply] knows.
func Encapsulations() []Encapsulation {
	ethernet := func(name string, wraps ...wrap) Encapsulation {
		return Encapsulation{Name: name, LinkType: linkEthernet, wraps: wraps, link: ethernetLink}
	}
	raw := func(name string, linkType capture.LinkType, only int) Encapsulation {
		return Encapsulation{Name: name, LinkType: linkType, link: rawLink, only: only}
	}
	v4only := func(e Encapsulation) Encapsulation { e.only = etherIPv4; return e }
	v6only := func(e Encapsulation) Encapsulation { e.only = etherIPv6; return e }
	overIPv4, overIPv6 := wrap(outerIPv4.carry), wrap(outerIPv6.carry)

	return []Encapsulation{
		ethernet("ethernet"),
		{Name: "ethernet with trailer", LinkType: linkEthernet, link: trailedEthernetLink},
		ethernet("802.1Q", vlan(etherVLAN, 100)),
		ethernet("QinQ", vlan(etherVLAN, 100), vlan(etherQinQ, 200)),
		ethernet("MPLS", mpls(16001, 24002)),
		ethernet("PPPoE", pppoe),
		ethernet("PPPoE in 802.1Q", pppoe, vlan(etherVLAN, 7)),
		{Name: "linux cooked v1", LinkType: linkCooked, link: cookedLink},
		{Name: "linux cooked v1 with 802.1Q", LinkType: linkCooked, link: cookedLink, wraps: []wrap{vlan(etherVLAN, 100)}},
		{Name: "linux cooked v2", LinkType: linkCooked2, link: cooked2Link(2)},
		{Name: "null little-endian", LinkType: linkNull, link: nullLink(false, familyIPv6Darwin)},
		{Name: "null big-endian", LinkType: linkNull, link: nullLink(true, familyIPv6FreeBSD)},
		{Name: "loop", LinkType: linkLoop, link: nullLink(true, familyIPv6OpenBSD)},
		raw("raw", linkRaw, 0),
		raw("raw 12", linkRawBSD, 0),
		raw("ipv4", linkIPv4, etherIPv4),
		raw("ipv6", linkIPv6, etherIPv6),

		v4only(ethernet("IPv4 options", ipv4Options)),
		v6only(ethernet("IPv6 extension headers", ipv6Extensions)),
		ethernet("fragments", fragments(false)),
		ethernet("fragments reversed", fragments(true)),

		ethernet("VXLAN", bridged, vxlan(portVXLAN), overIPv4),
		ethernet("VXLAN 8472", bridged, vxlan(portVXLANLinux), overIPv4),
		ethernet("VXLAN over IPv6", bridged, vxlan(portVXLAN), overIPv6),
		ethernet("VXLAN with inner 802.1Q", vlan(etherVLAN, 100), bridged, vxlan(portVXLAN), overIPv4),
		ethernet("VXLAN fragmented", bridged, vxlan(portVXLAN), overIPv4, fragments(false)),
		ethernet("Geneve with options", bridged, geneve, overIPv4),
		ethernet("Geneve of IP", geneve, overIPv4),
		ethernet("GRE", gre(greHeader{}), overIPv4),
		ethernet("GRE with key", gre(greHeader{key: true}), overIPv4),
		ethernet("GRE with checksum, key and sequence", gre(greHeader{checksum: true, key: true, sequence: true}), overIPv4),
		ethernet("GRE over IPv6", gre(greHeader{}), overIPv6),
		ethernet("GRETAP", bridged, gre(greHeader{}), overIPv4),
		ethernet("ERSPAN II", bridged, erspan, gre(greHeader{sequence: true}), overIPv4),
		ethernet("IP in IPv4", ipInIP, overIPv4), // IPIP, or 6in4
		ethernet("IP in IPv6", ipInIP, overIPv6),
		ethernet("VXLAN in GRE in 802.1Q", bridged, vxlan(portVXLAN), overIPv4, gre(greHeader{}), overIPv4, vlan(etherVLAN, 100)),
		ethernet("IP in Geneve in IPv6 in MPLS", geneve, overIPv4, ipInIP, overIPv6, mpls(100)),
	}
}

// Apply carries the capture's IP packets in e, whatever link layer they had.
// Of their own headers only the link layer is taken off, so a capture of VXLAN
// stays one of VXLAN, inside e. Packets that are not IP are left out.
//
// It is nil if e is for one IP version and the capture has another, or if a
// packet is too long for further headers.
func (e Encapsulation) Apply(packets []Packet) []Packet {
	var out []Packet
	for _, p := range packets {
		u, ok := unwrap(sealed(p))
		if !ok {
			continue
		}
		if e.only != 0 && u.etherType != e.only || len(e.wraps) > 0 && u.length() > maxEnclosed {
			return nil
		}
		for _, u := range e.enclose(u) {
			data := e.link(u)
			out = append(out, Packet{Data: data, Length: len(data) + u.missing, Time: p.Time, LinkType: e.LinkType})
		}
	}
	return out
}

func (e Encapsulation) enclose(u unit) []unit {
	units := []unit{u}
	for _, w := range e.wraps {
		var next []unit
		for _, u := range units {
			next = append(next, w(u)...)
		}
		units = next
	}
	return units
}

// unwrap takes the link layer off an IP packet, and padding behind it.
func unwrap(p Packet) (unit, bool) {
	etherType, offset, ok := peel(p)
	if !ok {
		return unit{}, false
	}
	u := unit{etherType: etherType, data: p.Data[offset:], missing: p.missing()}
	switch {
	case u.isIPv4() && len(u.data) >= ipv4Header:
		u.trim(0, be16(u.data, 2))
	case u.isIPv6() && len(u.data) >= ipv6Header:
		u.trim(ipv6Header, be16(u.data, 4))
	default:
		return unit{}, false
	}
	pair := addresses(u.data)
	half := len(pair) / 2
	u.reversed = bytes.Compare(pair[:half], pair[half:]) > 0
	return u, true
}

// trim cuts off what is behind an IP packet whose length, as its header says
// it, does not count the given number of bytes. A length of zero is what
// segmentation offloading left behind, and says nothing.
func (u *unit) trim(uncounted, length int) {
	end := uncounted + length
	if length == 0 || end >= u.length() {
		return
	}
	u.data = u.data[:min(end, len(u.data))]
	u.missing = end - len(u.data)
}
