package live

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"golang.org/x/net/bpf"

	"distproof/capture/link"
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

// IP protocols in which there may be TCP, or what hides it, beside TCP itself.
var (
	carriers4 = []uint32{4 /* IPv4 */, 41 /* IPv6 */, 47 /* GRE */, 50 /* ESP */, 51 /* AH */, 97 /* EtherIP */, 137 /* MPLS */}
	// With the extension headers, behind which anything may come.
	carriers6 = append(slices.Clone(carriers4), 0 /* hop by hop */, 43 /* routing */, 44 /* fragment */, 60, /* destination options */
		135 /* mobility */, 139 /* HIP */, 140 /* Shim6 */)
)

const (
	ipTCP = 6
	ipUDP = 17
)

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

// maxProgram is the longest filter that the kernel takes (BPF_MAXINSNS).
const maxProgram = 4096

// kernelFilter is the filter of a socket: with interfaces not nil, it takes only
// the packets of those.
func kernelFilter(interfaces []int, o *Options) ([]bpf.RawInstruction, error) {
	if n := len(tunnelPorts) + len(o.VXLANPorts); max(n, len(interfaces), len(o.Only.Ports)) > maxList {
		return nil, fmt.Errorf("a filter cannot have more than %d interfaces or ports", maxList)
	}
	begin, err := bpf.Assemble(join(onInterfaces(interfaces), withoutLoopbackCopies()))
	if err != nil {
		return nil, err
	}
	if o.Filter != nil {
		return fits(slices.Concat(begin, o.Filter))
	}
	w := wanted{tunnels: o.VXLANPorts, only: &o.Only}
	code, err := bpf.Assemble(w.whole())
	if len(begin)+len(code) > maxProgram {
		// What is not asked for is left out behind the kernel as well.
		w.only = new(link.Restriction)
		code, err = bpf.Assemble(w.whole())
	}
	if err != nil {
		return nil, err
	}
	return fits(slices.Concat(begin, code))
}

func fits(code []bpf.RawInstruction) ([]bpf.RawInstruction, error) {
	if len(code) > maxProgram {
		return nil, fmt.Errorf("the filter has %d instructions, of which %d are the program's own; the kernel takes %d", len(code), len(code)-maxProgram, maxProgram)
	}
	return code, nil
}

// wanted is what a filter takes: TCP of connections that are asked for, and what
// it may hide in.
type wanted struct {
	// tunnels are further UDP ports of tunnels.
	tunnels []uint16
	only    *link.Restriction
}

// whole decides on packets from where the link layer begins.
func (w *wanted) whole() program {
	return join(
		program{bpf.LoadExtension{Num: bpf.ExtLinkLayerType}},
		whenOneOf([]uint32{arphrdEther, arphrdLoopback}, w.packets(load(12, 2), 14)),
		whenOneOf(arphrdsOfIP, w.packets(bpf.LoadExtension{Num: bpf.ExtProto}, 0)),
		take, // who knows where the packet begins
	)
}

// onInterfaces leaves out the packets of other interfaces.
func onInterfaces(indexes []int) program {
	if indexes == nil {
		return nil
	}
	if len(indexes) == 0 {
		return leave
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
func (w *wanted) packets(etherType bpf.Instruction, base int) program {
	// A tag is in the bytes only if it is the second one, or on its way out
	// through a device that cannot add it: else the kernel holds it elsewhere.
	tagged := join(program{load(base+2, 2)}, w.network(base+4, take))
	return join(whenShorter(base, take), program{etherType}, w.network(base, tagged))
}

// network decides on packets whose EtherType was loaded; tagged decides on those
// with a VLAN tag.
func (w *wanted) network(base int, tagged program) program {
	return join(
		when(bpf.JumpEqual, etherIPv4, w.ipv4(base)),
		when(bpf.JumpEqual, etherIPv6, w.ipv6(base)),
		whenOneOf([]uint32{etherVLAN, etherQinQ, etherVLANOld}, join(whenShorter(base+4, take), tagged)),
		whenOneOf([]uint32{etherMPLS, etherMPLSMulti, etherPPPoE, etherMACsec}, take),
		when(bpf.JumpLessThan, minEtherType, take),
		leave,
	)
}

// ipv4 decides on packets with an IPv4 header at base (RFC 791, Section 3.1).
func (w *wanted) ipv4(base int) program {
	return join(
		whenShorter(base+20, take),
		program{load(base+6, 2)},
		when(bpf.JumpBitsSet, 0x3fff, take), // a fragment
		program{load(base, 1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}},
		when(bpf.JumpNotEqual, 0x40, take), // not IPv4
		program{load(base+9, 1)},
		when(bpf.JumpEqual, ipTCP, w.tcp4(base)),
		whenOneOf(carriers4, take),
		when(bpf.JumpNotEqual, ipUDP, leave),
		program{load(base, 1)},
		when(bpf.JumpNotEqual, 0x45, take), // with options
		w.udp(base+20),
	)
}

// ipv6 decides on packets with an IPv6 header at base (RFC 8200, Section 3).
func (w *wanted) ipv6(base int) program {
	return join(
		whenShorter(base+40, take),
		program{load(base, 1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}},
		when(bpf.JumpNotEqual, 0x60, take), // not IPv6
		program{load(base+6, 1)},
		when(bpf.JumpEqual, ipTCP, w.tcp6(base)),
		whenOneOf(carriers6, take),
		when(bpf.JumpNotEqual, ipUDP, leave),
		w.udp(base+40),
	)
}

// tcp4 decides on TCP behind an IPv4 header at base.
func (w *wanted) tcp4(base int) program {
	var hosts []test
	for _, n := range w.only.Nets {
		if a := n.Addr(); a.Is4() {
			hosts = append(hosts, inNet(base+12, a.AsSlice(), n.Bits()), inNet(base+16, a.AsSlice(), n.Bits()))
		}
	}
	return join(
		w.hosts(hosts),
		w.ports(join(program{load(base, 1)}, when(bpf.JumpNotEqual, 0x45, take) /* with options */, w.portsAt(base+20))),
		take,
	)
}

// tcp6 decides on TCP right behind an IPv6 header at base.
func (w *wanted) tcp6(base int) program {
	var hosts []test
	for _, n := range w.only.Nets {
		if a := n.Addr(); a.Is6() {
			hosts = append(hosts, inNet(base+8, a.AsSlice(), n.Bits()), inNet(base+24, a.AsSlice(), n.Bits()))
		}
	}
	return join(w.hosts(hosts), w.ports(w.portsAt(base+40)), take)
}

// hosts leaves out what passes none of the tests, if there is a restriction to
// networks.
func (w *wanted) hosts(tests []test) program {
	if len(w.only.Nets) == 0 {
		return nil
	}
	return oneOf(tests)
}

// ports is p if there is a restriction to ports.
func (w *wanted) ports(p program) program {
	if len(w.only.Ports) == 0 {
		return nil
	}
	return p
}

// portsAt decides on the ports of a TCP header at base.
func (w *wanted) portsAt(base int) program {
	var wanted []uint32
	for _, port := range w.only.Ports {
		wanted = append(wanted, uint32(port))
	}
	return join(
		whenShorter(base+4, take),
		program{load(base, 2)}, whenOneOf(wanted, take),
		program{load(base+2, 2)}, whenOneOf(wanted, take),
		leave,
	)
}

// A test holds if all its words have the values.
type test []word

type word struct {
	offset      int
	mask, value uint32
}

// inNet tests whether the address at offset is in a network.
func inNet(offset int, address []byte, bits int) test {
	var t test
	for ; bits > 0; bits, offset, address = bits-32, offset+4, address[4:] {
		mask := uint32(math.MaxUint32) << (32 - min(bits, 32))
		t = append(t, word{offset, mask, binary.BigEndian.Uint32(address) & mask})
	}
	return t
}

// oneOf goes on if one of the tests holds, and leaves the packet out otherwise.
func oneOf(tests []test) program {
	p := leave
	for _, t := range slices.Backward(tests) {
		holds := program{bpf.Jump{Skip: uint32(len(p))}}
		for _, w := range slices.Backward(t) {
			holds = join(program{
				load(w.offset, 4),
				bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: w.mask},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: w.value, SkipTrue: uint8(len(holds))},
			}, holds)
		}
		p = join(holds, p)
	}
	return p
}

// udp decides on packets with a UDP header at base.
func (w *wanted) udp(base int) program {
	var tunnels []uint32
	for _, port := range slices.Concat(tunnelPorts, w.tunnels) {
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
