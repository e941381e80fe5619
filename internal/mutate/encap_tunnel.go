package mutate

import "slices"

// UDP ports of tunnels.
const (
	portVXLAN      = 4789 // RFC 7348
	portGeneve     = 6081 // RFC 8926
	portVXLANLinux = 8472 // Linux's default before the assignment; flannel
)

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
