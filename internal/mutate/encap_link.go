package mutate

import "slices"

// Address families that NULL and LOOP headers begin with. That of IPv6 depends
// on the system that captured.
const (
	familyIPv4        = 2
	familyIPv6OpenBSD = 24
	familyIPv6FreeBSD = 28
	familyIPv6Darwin  = 30
)

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
