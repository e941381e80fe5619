package live

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// The filter runs in the kernel, before a packet takes any room in the ring. It
// leaves out only what package capture/link neither finds a TCP segment in nor
// would report as unreadable or encrypted: a packet left out here is in no
// report. Where a packet is odd, it is let through.

// wholePacket is a filter's answer for "take it, and all of it": larger than
// what the kernel hands on at once (GRO, and "BIG TCP" beyond 64 KiB).
const wholePacket = 1 << 20

// EtherTypes, as in capture/link.
const (
	etherIPv4      = 0x0800
	etherVLAN      = 0x8100
	etherIPv6      = 0x86dd
	etherMPLS      = 0x8847
	etherMPLSMulti = 0x8848
	etherPPPoE     = 0x8864
	etherQinQ      = 0x88a8
	etherMACsec    = 0x88e5
	etherVLANOld   = 0x9100
	// minEtherType is the lowest EtherType; below are lengths (IEEE 802.3) and
	// the kernel's own names for frames of other kinds.
	minEtherType = 0x0600
)

// IP protocols in which there may be TCP, or what hides it.
var (
	carriers4 = []uint32{6 /* TCP */, 4 /* IPv4 */, 41 /* IPv6 */, 47 /* GRE */, 50 /* ESP */, 51 /* AH */, 97 /* EtherIP */, 137 /* MPLS */}
	// With the extension headers, behind which anything may come.
	carriers6 = append(slices.Clone(carriers4), 0 /* hop by hop */, 43 /* routing */, 44 /* fragment */, 60, /* destination options */
		135 /* mobility */, 139 /* HIP */, 140 /* Shim6 */)
)

const ipUDP = 17

// UDP ports of tunnels.
const portESP = 4500

var tunnelPorts = []uint16{2152 /* GTP-U */, 4789 /* VXLAN */, 4790 /* VXLAN-GPE */, 6081 /* Geneve */, 6635 /* MPLS */, 8472 /* VXLAN of Linux */}

// The kernel's numbers for kinds of interfaces, and for packets sent.
const (
	arphrdEther    = 1
	arphrdLoopback = 772
	packetOutgoing = 4
)

// arphrdsOfIP are interfaces without any link layer.
var arphrdsOfIP = []uint32{519 /* raw IP */, 768 /* IPIP */, 769 /* IPv6 tunnel */, 776 /* SIT */, 0xfffe /* none: TUN, WireGuard */}

// A program is a part of a filter. Those that decide end with an answer on
// every way; others fall through at their end.
type program []bpf.Instruction

var (
	take  = program{bpf.RetConstant{Val: wholePacket}}
	leave = program{bpf.RetConstant{Val: 0}}
)

// when runs then if the accumulator compares so, and goes on otherwise. Its
// jumps reach as far as they need to: conditional ones only reach 255 steps.
func when(cond bpf.JumpTest, val uint32, then program) program {
	return append(program{
		bpf.JumpIf{Cond: cond, Val: val, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(then))},
	}, then...)
}

// whenOneOf is when for a list of values, at most maxList.
func whenOneOf(values []uint32, then program) program {
	var p program
	for i, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipTrue: uint8(len(values) - i)})
	}
	return append(append(p, bpf.Jump{Skip: uint32(len(then))}), then...)
}

// maxList bounds the lists of ports and interfaces: as far as a jump reaches.
const maxList = 255

func load(offset, size int) bpf.Instruction {
	return bpf.LoadAbsolute{Off: uint32(offset), Size: size}
}

// whenShorter runs then for packets of fewer bytes.
func whenShorter(n int, then program) program {
	return append(program{bpf.LoadExtension{Num: bpf.ExtLen}}, when(bpf.JumpLessThan, uint32(n), then)...)
}

func join(parts ...program) program { return slices.Concat(parts...) }

// kernelFilter is the filter of a socket: with interfaces, it takes only the
// packets of those.
func kernelFilter(interfaces []int, ports []uint16) ([]bpf.RawInstruction, error) {
	if n := len(tunnelPorts) + len(ports); max(n, len(interfaces)) > maxList {
		return nil, fmt.Errorf("a filter cannot have more than %d interfaces or ports", maxList)
	}
	hardware := program{bpf.LoadExtension{Num: bpf.ExtLinkLayerType}}
	return bpf.Assemble(join(
		onInterfaces(interfaces),
		withoutLoopbackCopies(),
		hardware,
		whenOneOf([]uint32{arphrdEther, arphrdLoopback}, packets(load(12, 2), 14, ports)),
		whenOneOf(arphrdsOfIP, packets(bpf.LoadExtension{Num: bpf.ExtProto}, 0, ports)),
		take, // who knows where the packet begins
	))
}

// onInterfaces leaves out the packets of other interfaces.
func onInterfaces(indexes []int) program {
	if len(indexes) == 0 {
		return nil
	}
	var values []uint32
	for _, index := range indexes {
		values = append(values, uint32(index))
	}
	const leaving = 1 // instruction, over which the others jump
	return join(program{bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}}, whenOneOf(values, program{bpf.Jump{Skip: leaving}}), leave)
}

// withoutLoopbackCopies leaves out what is sent on the loopback interface: it
// comes in there, too.
func withoutLoopbackCopies() program {
	sent := append(program{bpf.LoadExtension{Num: bpf.ExtType}}, when(bpf.JumpEqual, packetOutgoing, leave)...)
	return append(program{bpf.LoadExtension{Num: bpf.ExtLinkLayerType}}, when(bpf.JumpEqual, arphrdLoopback, sent)...)
}

// packets decides on packets whose EtherType etherType loads, and whose bytes
// from base on it announces.
func packets(etherType bpf.Instruction, base int, ports []uint16) program {
	// A tag is in the bytes only if it is the second one, or on its way out
	// through a device that cannot add it: else the kernel holds it elsewhere.
	tagged := join(program{load(base+2, 2)}, network(base+4, ports, take))
	return join(whenShorter(base, take), program{etherType}, network(base, ports, tagged))
}

// network decides on packets whose EtherType was loaded; tagged decides on those
// with a VLAN tag.
func network(base int, ports []uint16, tagged program) program {
	return join(
		when(bpf.JumpEqual, etherIPv4, ipv4(base, ports)),
		when(bpf.JumpEqual, etherIPv6, ipv6(base, ports)),
		whenOneOf([]uint32{etherVLAN, etherQinQ, etherVLANOld}, join(whenShorter(base+4, take), tagged)),
		whenOneOf([]uint32{etherMPLS, etherMPLSMulti, etherPPPoE, etherMACsec}, take),
		when(bpf.JumpLessThan, minEtherType, take),
		leave,
	)
}

// ipv4 decides on packets with an IPv4 header at base (RFC 791, Section 3.1).
func ipv4(base int, ports []uint16) program {
	return join(
		whenShorter(base+20, take),
		program{load(base+6, 2)},
		when(bpf.JumpBitsSet, 0x3fff, take), // a fragment
		program{load(base, 1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}},
		when(bpf.JumpNotEqual, 0x40, take), // not IPv4
		program{load(base+9, 1)},
		whenOneOf(carriers4, take),
		when(bpf.JumpNotEqual, ipUDP, leave),
		program{load(base, 1)},
		when(bpf.JumpNotEqual, 0x45, take), // with options
		udp(base+20, ports),
	)
}

// ipv6 decides on packets with an IPv6 header at base (RFC 8200, Section 3).
func ipv6(base int, ports []uint16) program {
	return join(
		whenShorter(base+40, take),
		program{load(base, 1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}},
		when(bpf.JumpNotEqual, 0x60, take), // not IPv6
		program{load(base+6, 1)},
		whenOneOf(carriers6, take),
		when(bpf.JumpNotEqual, ipUDP, leave),
		udp(base+40, ports),
	)
}

// udp decides on packets with a UDP header at base.
func udp(base int, ports []uint16) program {
	var tunnels []uint32
	for _, port := range slices.Concat(tunnelPorts, ports) {
		tunnels = append(tunnels, uint32(port))
	}
	return join(
		whenShorter(base+12, take),
		program{load(base, 2)},
		when(bpf.JumpEqual, portESP, take),
		program{load(base+2, 2)},
		when(bpf.JumpEqual, portESP, take),
		whenOneOf(tunnels, take),
		// WireGuard, on whatever port: types 1 to 4, and three zero bytes.
		program{load(base+8, 4)},
		whenOneOf([]uint32{1 << 24, 2 << 24, 3 << 24, 4 << 24}, take),
		leave,
	)
}
