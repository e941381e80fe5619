package mutate

import (
	"bytes"
	"net/netip"
	"slices"
)

// A Renaming says which address of a capture became which in [Mix].
type Renaming map[netip.Addr]netip.Addr

// Mix merges captures into one, as if all had begun at the time of the first.
// Every address of every capture gets a new one that no other has, outside and
// inside of tunnels, but payloads stay as they are: what EPMD or a certificate
// says of addresses is not renamed. Broadcast and multicast addresses stay,
// and so do packets that are not IP.
//
// The Renamings are those of the captures, in their order.
func Mix(captures ...[]Packet) ([]Packet, []Renaming) {
	var start int64
	var mixed []Packet
	var book addressBook
	renamings := make([]Renaming, len(captures))
	for i, packets := range captures {
		renamings[i] = Renaming{}
		if len(packets) == 0 {
			continue
		}
		if start == 0 {
			start = packets[0].Time
		}
		for _, p := range packets {
			moved := sealed(book.rename(p, renamings[i]))
			moved.Time += start - packets[0].Time
			mixed = append(mixed, moved)
		}
	}
	return byTime(mixed), renamings
}

// An addressBook hands out addresses from 10.0.0.0/8 (RFC 1918) and fd00::/8
// (RFC 4193).
type addressBook struct{ last uint32 }

func (b *addressBook) next(like netip.Addr) netip.Addr {
	b.last++
	if like.Is4() {
		data := []byte{10, 0, 0, 0}
		put32(data, 0, 10<<24|b.last&0xffffff)
		return netip.AddrFrom4([4]byte(data))
	}
	data := [16]byte{0: 0xfd}
	put32(data[:], 12, b.last)
	return netip.AddrFrom16(data)
}

// rename changes the addresses of all IP headers of a packet. Checksums are
// corrected by the difference, so that it works for any part of a packet.
func (b *addressBook) rename(p Packet, names Renaming) Packet {
	etherType, offset, ok := peel(p)
	if !ok {
		return p
	}
	p.Data = bytes.Clone(p.Data)
	b.renameIP(etherType, p.Data[offset:], names)
	return p
}

func (b *addressBook) renameIP(etherType int, ip []byte, names Renaming) {
	proto, header, first := 0, 0, true
	switch {
	case etherType == etherIPv4 && len(ip) >= ipv4Header && len(ip) >= ipv4HeaderLength(ip):
		proto, header = int(ip[9]), ipv4HeaderLength(ip)
		first = be16(ip, 6)&0x1fff == 0
	case etherType == etherIPv6 && len(ip) >= ipv6Header:
		proto, header = int(ip[6]), ipv6Header
	default:
		return
	}
	pair := addresses(ip)
	before := sum(pair)
	half := len(pair) / 2
	b.replace(pair[:half], names)
	b.replace(pair[half:], names)
	if etherType == etherIPv4 {
		sealIPv4(ip)
	}
	if first {
		b.renameInside(proto, ip[header:], before, sum(pair), names)
	}
}

// renameInside corrects the checksum of what is in an IP packet whose
// addresses had another sum before, and renames what is inside of VXLAN.
func (b *addressBook) renameInside(proto int, data []byte, before, after uint64, names Renaming) {
	at := map[int]int{protoTCP: 16, protoUDP: 6, protoICMPv6: 2}[proto]
	if at == 0 || len(data) < at+2 {
		return
	}
	if proto == protoUDP && len(data) > udpHeader+vxlanHeader && isVXLAN(be16(data, 2)) {
		// The checksum covers the inner packet, which is about to change.
		put16(data, 6, 0)
		if etherType, next, ok := ethernetType(data, udpHeader+vxlanHeader); ok {
			b.renameIP(etherType, data[next:], names)
		}
		return
	}
	if proto == protoUDP && be16(data, at) == 0 {
		return
	}
	// RFC 1624, Section 3: HC' = ~(~HC + ~m + m').
	put16(data, at, int(^fold(uint64(^uint16(be16(data, at)))+uint64(^fold(before))+uint64(fold(after)))))
}

func (b *addressBook) replace(data []byte, names Renaming) {
	addr, _ := netip.AddrFromSlice(data)
	if addr.IsMulticast() || addr.IsUnspecified() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return
	}
	name, ok := names[addr]
	if !ok {
		name = b.next(addr)
		names[addr] = name
	}
	copy(data, name.AsSlice())
}

// Renumber gives a capture the addresses that [Mix] would give it.
func Renumber(packets []Packet) ([]Packet, Renaming) {
	out, names := Mix(slices.Clone(packets))
	return out, names[0]
}
