package mutate

import (
	"bytes"
	"slices"

	"distproof/capture"
)

// UDP ports of tunnels.
const (
	portVXLAN      = 4789 // RFC 7348
	portGeneve     = 6081 // RFC 8926
	portVXLANLinux = 8472 // Linux's default before the assignment; flannel
)

// Address families that NULL and LOOP headers begin with. That of IPv6 depends
// on the system that captured.
const (
	familyIPv4        = 2
	familyIPv6OpenBSD = 24
	familyIPv6FreeBSD = 28
	familyIPv6Darwin  = 30
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

// ethernetAddresses are destination and source. They are from the range of
// locally administered addresses.
func ethernetAddresses(reversed bool) []byte {
	a, b := []byte{0x02, 0, 0, 0, 0, 1}, []byte{0x02, 0, 0, 0, 0, 2}
	if reversed {
		a, b = b, a
	}
	return slices.Concat(b, a)
}

func word(value int) []byte { return []byte{byte(value >> 8), byte(value)} }

func ethernetLink(u unit) []byte {
	return u.behind(0, ethernetAddresses(u.reversed), word(u.etherType)).data
}

// trailedEthernetLink adds bytes behind the packet, as interfaces that pad, or
// switches that stamp times, do. They are not zero, so that they show if they
// are taken for payload.
func trailedEthernetLink(u unit) []byte {
	data := ethernetLink(u)
	if u.missing == 0 {
		data = append(data, "\x83\x68\x02trailer"...)
	}
	return data
}

func rawLink(u unit) []byte { return u.data }

// cookedLink is LINKTYPE_LINUX_SLL.
func cookedLink(u unit) []byte {
	return u.behind(0, []byte{
		0, 0, // packet type: to us
		0, 1, // ARPHRD_ETHER
		0, 6, // length of the address
		0x02, 0, 0, 0, 0, 1, 0, 0, // address
	}, word(u.etherType)).data
}

// cooked2Link is LINKTYPE_LINUX_SLL2, from an interface with the given index.
func cooked2Link(index byte) func(unit) []byte {
	return func(u unit) []byte {
		return u.behind(0, word(u.etherType), []byte{
			0, 0, // reserved
			0, 0, 0, index,
			0, 1, // ARPHRD_ETHER
			0,                         // packet type: to us
			6,                         // length of the address
			0x02, 0, 0, 0, 0, 1, 0, 0, // address
		}).data
	}
}

// nullLink is LINKTYPE_NULL and LINKTYPE_LOOP: the address family, in 32 bits.
func nullLink(bigEndian bool, ipv6 byte) func(unit) []byte {
	return func(u unit) []byte {
		family := byte(familyIPv4)
		if u.isIPv6() {
			family = ipv6
		}
		header := []byte{family, 0, 0, 0}
		if bigEndian {
			slices.Reverse(header)
		}
		return u.behind(0, header).data
	}
}

// vlan adds a tag (IEEE 802.1Q). It has to be among the last wraps.
func vlan(tag, id int) wrap {
	return func(u unit) []unit {
		return []unit{u.behind(tag, word(id), word(u.etherType))}
	}
}

// mpls adds a label stack (RFC 3032), the top label last.
func mpls(labels ...int) wrap {
	return func(u unit) []unit {
		bottom := byte(1)
		for _, label := range labels {
			u = u.behind(etherMPLS, []byte{byte(label >> 12), byte(label >> 4), byte(label<<4) | bottom, 64})
			bottom = 0
		}
		return []unit{u}
	}
}

// pppoe is a PPPoE session packet (RFC 2516) with a PPP header.
func pppoe(u unit) []unit {
	protocol := 0x0021 // IPv4
	if u.isIPv6() {
		protocol = 0x0057
	}
	return []unit{u.behind(etherPPPoE, []byte{
		0x11,       // version and type
		0,          // code: session data
		0x12, 0x34, // session
	}, word(u.length()+2), word(protocol))}
}

// ipv4Options adds options to the packet's own header: Router Alert (RFC 2113)
// and padding.
func ipv4Options(u unit) []unit {
	options := []byte{0x94, 4, 0, 0, 1, 1, 1, 0}
	end := ipv4HeaderLength(u.data)
	if !u.isIPv4() || end+len(options) > 60 {
		return []unit{u}
	}
	data := slices.Concat(u.data[:end], options, u.data[end:])
	data[0] += byte(len(options) / 4)
	u.data = data
	put16(u.data, 2, u.length())
	sealIPv4(u.data)
	return []unit{u}
}

// ipv6Extensions adds extension headers to the packet's own header (RFC 8200,
// Section 4): hop-by-hop options, a routing header that has been used up, and
// destination options.
func ipv6Extensions(u unit) []unit {
	if !u.isIPv6() {
		return []unit{u}
	}
	extensions := []byte{
		protoRouting, 0, // next, length in 8 bytes less 1
		1, 4, 0, 0, 0, 0, // PadN
		protoDestOptions, 2,
		4, 0, // segment routing (RFC 8754), no segments left
		0, 0, 0, 0, // last entry, flags, tag
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		u.data[6], 1,
		1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // PadN
	}
	u.data = slices.Concat(u.data[:ipv6Header], extensions, u.data[ipv6Header:])
	u.data[6] = protoHopByHop
	put16(u.data, 4, u.length()-ipv6Header)
	return []unit{u}
}

// fragments splits an IP packet into three (RFC 791, Section 3.2; RFC 8200,
// Section 4.5), in order or in reverse.
func fragments(reverse bool) wrap {
	return func(u unit) []unit {
		header := ipv6Header
		if u.isIPv4() {
			header = ipv4HeaderLength(u.data)
		}
		// Fragments begin at multiples of 8 bytes.
		size := ((len(u.data)-header+2)/3 + 7) &^ 7
		if u.missing > 0 || size == 0 || u.isFragment() {
			return []unit{u} // what was not captured cannot be split
		}
		var out []unit
		for from := header; from < len(u.data); from += size {
			to := min(from+size, len(u.data))
			out = append(out, u.fragment(header, from, to))
		}
		if reverse {
			slices.Reverse(out)
		}
		return out
	}
}

// fragment returns the part of u from one offset to another, behind u's header.
func (u unit) fragment(header, from, to int) unit {
	offset, more := from-header, 0
	if to < len(u.data) {
		more = 1
	}
	part := u
	if u.isIPv4() {
		part.data = slices.Concat(u.data[:header], u.data[from:to])
		put16(part.data, 2, len(part.data))
		put16(part.data, 6, more<<13|offset/8)
		if be16(part.data, 4) == 0 {
			// Only packets that are never fragmented may go without a number
			// (RFC 6864, Section 4.1).
			put16(part.data, 4, int(identification(u.data)&0xffff))
		}
		sealIPv4(part.data)
		return part
	}
	id := make([]byte, 4)
	put32(id, 0, identification(u.data))
	part.data = slices.Concat(u.data[:header],
		[]byte{u.data[6], 0}, word(offset|more), id, u.data[from:to])
	part.data[6] = protoFragment
	put16(part.data, 4, len(part.data)-ipv6Header)
	return part
}

// identification numbers packets that have no number of their own to keep. It
// is made of the bytes (FNV-1a), so that copies of a packet have the same.
func identification(data []byte) uint32 {
	hash := uint32(2166136261)
	for _, b := range data {
		hash = (hash ^ uint32(b)) * 16777619
	}
	return hash
}

// bridged puts the packet into an inner Ethernet frame.
func bridged(u unit) []unit {
	return []unit{u.behind(etherBridging, ethernetAddresses(u.reversed), word(u.etherType))}
}

// Until an outer IP header is around it, a unit's etherType says what is
// in the outer IP packet: udp, gre and ipInIP leave one of these marks.
const (
	markUDP = 1<<16 | protoUDP
	markGRE = 1<<16 | protoGRE
	markIP4 = 1<<16 | protoIPv4
	markIP6 = 1<<16 | protoIPv6
)

// udp puts the unit into a UDP packet. A checksum is added by outer IPv6.
func (u unit) udp(port int, header []byte) []unit {
	length := udpHeader + len(header) + u.length()
	return []unit{u.behind(markUDP, word(50000), word(port), word(length), word(0), header)}
}

// vxlan expects a bridged unit.
func vxlan(port int) wrap {
	return func(u unit) []unit {
		return u.udp(port, []byte{
			0x08, 0, 0, 0, // the identifier is valid
			0, 0, 1, 0, // identifier 1
		})
	}
}

// geneve carries bridged units, and IP packets as they are (RFC 8926).
func geneve(u unit) []unit {
	return u.udp(portGeneve, slices.Concat([]byte{
		3, // version 0; length of the options in 4 bytes
		0, // neither control nor critical
	}, word(u.etherType), []byte{
		0, 0, 1, 0, // identifier 1
		0xff, 0xf0, 1, 2, // option: class, type, length in 4 bytes
		0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef,
	}))
}

// greHeader says which optional fields a GRE header has (RFC 2784, RFC 2890).
type greHeader struct{ checksum, key, sequence bool }

func gre(has greHeader) wrap {
	return func(u unit) []unit {
		header := slices.Concat(word(0), word(u.etherType))
		if has.checksum {
			header[0] |= 0x80
			header = append(header, 0, 0, 0, 0)
		}
		if has.key {
			header[0] |= 0x20
			header = append(header, 0, 0, 0, 42)
		}
		if has.sequence {
			header[0] |= 0x10
			header = append(header, 0, 0, 0, 1)
		}
		u = u.behind(markGRE, header)
		if has.checksum && u.missing == 0 {
			put16(u.data, 4, int(^fold(sum(u.data))))
		}
		return []unit{u}
	}
}

// erspan is the header of ERSPAN Type II, which goes into GRE with a sequence
// number (draft-foschiano-erspan).
func erspan(u unit) []unit {
	return []unit{u.behind(etherERSPAN, []byte{
		0x10, 1, // version 1 is Type II; VLAN 1
		0, 5, // session 5
		0, 0, 0, 9, // port index 9
	})}
}

// ipInIP carries IP directly in IP (RFC 2003, RFC 4213, RFC 2473).
func ipInIP(u unit) []unit {
	if u.isIPv6() {
		return []unit{u.behind(markIP6)}
	}
	return []unit{u.behind(markIP4)}
}

// outer is an outer IP header's version.
type outer int

const (
	outerIPv4 outer = 4
	outerIPv6 outer = 6
)

// carry puts a marked unit into an IP packet.
func (version outer) carry(u unit) []unit {
	proto := u.etherType & 0xff
	if version == outerIPv6 {
		u = u.behind(etherIPv6, outerIPv6Header(u, proto))
		if proto == protoUDP && u.missing == 0 {
			sealTransport(u.data[ipv6Header:], 6, u.data, proto)
		}
		return []unit{u}
	}
	return []unit{u.behind(etherIPv4, outerIPv4Header(u, proto))}
}

func outerIPv4Header(u unit, proto int) []byte {
	header := []byte{
		0x45, 0, // version and header length, service
		0, 0, // total length
		0, 0, 0, 0, // identification, flags, fragment offset
		64, byte(proto), 0, 0, // time to live, protocol, checksum
		192, 0, 2, 1, // source
		192, 0, 2, 2, // destination
	}
	if u.reversed {
		header[15], header[19] = 2, 1
	}
	put16(header, 2, ipv4Header+u.length())
	put16(header, 4, int(identification(u.data)&0xffff))
	sealIPv4(header)
	return header
}

func outerIPv6Header(u unit, proto int) []byte {
	header := []byte{
		0x60, 0, 0, 0, // version, traffic class, flow label
		0, 0, byte(proto), 64, // payload length, next header, hop limit
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // source
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // destination
	}
	if u.reversed {
		header[23], header[39] = 2, 1
	}
	put16(header, 4, u.length())
	return header
}
