package mutate

import (
	"bytes"
	"encoding/binary"

	"distproof/capture"
)

// Link types of https://www.tcpdump.org/linktypes.html.
const (
	linkNull     capture.LinkType = 0
	linkEthernet capture.LinkType = 1
	linkRawBSD   capture.LinkType = 12 // DLT_RAW, written as such by some systems
	linkRaw      capture.LinkType = 101
	linkLoop     capture.LinkType = 108
	linkCooked   capture.LinkType = 113
	linkIPv4     capture.LinkType = 228
	linkIPv6     capture.LinkType = 229
	linkCooked2  capture.LinkType = 276
)

// EtherTypes of the IANA registry "IEEE 802 Numbers".
const (
	etherIPv4     = 0x0800
	etherBridging = 0x6558 // Transparent Ethernet Bridging
	etherVLAN     = 0x8100
	etherIPv6     = 0x86dd
	etherMPLS     = 0x8847
	etherPPPoE    = 0x8864
	etherQinQ     = 0x88a8
	etherERSPAN   = 0x88be
)

// IP protocol numbers of the IANA registry "Protocol Numbers".
const (
	protoHopByHop    = 0
	protoIPv4        = 4
	protoTCP         = 6
	protoUDP         = 17
	protoIPv6        = 41
	protoRouting     = 43
	protoFragment    = 44
	protoGRE         = 47
	protoICMPv6      = 58
	protoDestOptions = 60
)

// TCP flags (RFC 9293, Section 3.1).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
	flagURG
)

// Sizes of headers without options.
const (
	etherHeader   = 14
	cookedHeader  = 16
	cooked2Header = 20
	ipv4Header    = 20
	ipv6Header    = 40
	tcpHeader     = 20
	udpHeader     = 8
	vxlanHeader   = 8
)

// A layer is a header whose lengths and checksums depend on what is in it.
type layer struct {
	proto  int // protoIPv4, protoIPv6, protoUDP or protoTCP
	offset int // in the packet's Data
}

// A frame is a packet in which the TCP segment was found, also inside VXLAN.
// The packet's own bytes up to the TCP header are its shell: a new segment is
// put into the old shell.
type frame struct {
	packet  Packet
	layers  []layer // outermost first; the last one is TCP
	src     string  // address and port, as bytes
	dst     string
	payload int // where the TCP payload begins
	end     int // where the captured payload ends; only padding follows
	length  int // of the TCP payload on the wire, in bytes
}

// parse finds the TCP segment of a packet. It is false for everything that is
// not TCP, for IP fragments, and if the capture cut the TCP header.
func parse(p Packet) (frame, bool) {
	f := frame{packet: p}
	etherType, offset, ok := peel(p)
	if !ok {
		return f, false
	}
	return f, f.network(etherType, offset, p.Length)
}

// peel says where a packet's network layer begins and of which kind it is, as
// an EtherType.
func peel(p Packet) (etherType, offset int, ok bool) {
	switch p.LinkType {
	case linkEthernet:
		return ethernetType(p.Data, 0)
	case linkCooked:
		return typeAt(p.Data, 14, cookedHeader)
	case linkCooked2:
		return typeAt(p.Data, 0, cooked2Header)
	case linkNull, linkLoop:
		return ipVersion(p.Data, 4)
	case linkRaw, linkRawBSD, linkIPv4, linkIPv6:
		return ipVersion(p.Data, 0)
	}
	return 0, 0, false
}

// ethernetType reads an Ethernet header at offset, and VLAN tags behind it.
func ethernetType(data []byte, offset int) (etherType, next int, ok bool) {
	etherType, next, ok = typeAt(data, offset+12, offset+etherHeader)
	for ok && (etherType == etherVLAN || etherType == etherQinQ) {
		etherType, next, ok = typeAt(data, next+2, next+4)
	}
	return etherType, next, ok
}

func typeAt(data []byte, at, next int) (int, int, bool) {
	if len(data) < next {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint16(data[at:])), next, true
}

func ipVersion(data []byte, offset int) (int, int, bool) {
	if len(data) <= offset {
		return 0, 0, false
	}
	switch data[offset] >> 4 {
	case 4:
		return etherIPv4, offset, true
	case 6:
		return etherIPv6, offset, true
	}
	return 0, 0, false
}

// network reads an IP header at offset and what is in it. wire is where the
// packet ends on the wire, counted like offset.
func (f *frame) network(etherType, offset, wire int) bool {
	data := f.packet.Data[offset:]
	switch etherType {
	case etherIPv4:
		if len(data) < ipv4Header || len(data) < ipv4HeaderLength(data) || ipv4HeaderLength(data) < ipv4Header {
			return false
		}
		if be16(data, 6)&0x3fff != 0 { // more fragments, or not the first one
			return false
		}
		// A length of zero is what segmentation offloading leaves behind.
		if total := be16(data, 2); total != 0 {
			wire = min(wire, offset+total)
		}
		f.layers = append(f.layers, layer{protoIPv4, offset})
		f.src, f.dst = string(data[12:16]), string(data[16:20])
		return f.transport(int(data[9]), offset+ipv4HeaderLength(data), wire)
	case etherIPv6:
		if len(data) < ipv6Header {
			return false
		}
		if length := be16(data, 4); length != 0 {
			wire = min(wire, offset+ipv6Header+length)
		}
		f.layers = append(f.layers, layer{protoIPv6, offset})
		f.src, f.dst = string(data[8:24]), string(data[24:40])
		return f.transport(int(data[6]), offset+ipv6Header, wire)
	}
	return false
}

func (f *frame) transport(proto, offset, wire int) bool {
	data := f.packet.Data[offset:]
	switch {
	case proto == protoTCP && len(data) >= tcpHeader:
		header := int(data[12]>>4) * 4
		if header < tcpHeader || len(data) < header || wire < offset+header {
			return false
		}
		f.layers = append(f.layers, layer{protoTCP, offset})
		f.src += string(data[0:2])
		f.dst += string(data[2:4])
		f.payload = offset + header
		f.end = min(wire, len(f.packet.Data))
		f.length = wire - f.payload
		return true
	case proto == protoUDP && len(data) >= udpHeader+vxlanHeader && isVXLAN(be16(data, 2)):
		f.layers = append(f.layers, layer{protoUDP, offset})
		etherType, next, ok := ethernetType(f.packet.Data, offset+udpHeader+vxlanHeader)
		return ok && f.network(etherType, next, wire)
	}
	return false
}

func isVXLAN(port int) bool { return port == portVXLAN || port == portVXLANLinux }

// tcp is the offset of the TCP header.
func (f *frame) tcp() int { return f.layers[len(f.layers)-1].offset }

func (f *frame) seq() uint32 { return be32(f.packet.Data, f.tcp()+4) }
func (f *frame) ack() uint32 { return be32(f.packet.Data, f.tcp()+8) }
func (f *frame) flags() byte { return f.packet.Data[f.tcp()+13] }
func (f *frame) data() []byte {
	return f.packet.Data[f.payload:f.end]
}

// whole reports whether all of the payload was captured.
func (f *frame) whole() bool { return len(f.data()) == f.length }

// header returns a copy of the TCP header with its options.
func (f *frame) header() []byte { return bytes.Clone(f.packet.Data[f.tcp():f.payload]) }

// eachOption calls visit for each TCP option (RFC 9293, Section 3.1) in header:
// its kind, and the bytes behind kind and length.
func eachOption(header []byte, visit func(kind byte, value []byte)) {
	options := header[tcpHeader:]
	for len(options) > 0 {
		switch {
		case options[0] == 0: // end of list
			return
		case options[0] == 1: // no operation
			options = options[1:]
			continue
		case len(options) < 2 || options[1] < 2 || int(options[1]) > len(options):
			return
		}
		visit(options[0], options[2:options[1]])
		options = options[options[1]:]
	}
}

// with returns the frame's packet with another TCP header and payload in it.
// Padding behind the payload is gone.
func (f *frame) with(header, payload []byte) Packet {
	p := f.packet
	p.Data = bytes.Join([][]byte{f.packet.Data[:f.tcp()], header, payload}, nil)
	p.Length = len(p.Data)
	seal(p.Data, f.layers)
	return p
}

// withHeader returns the frame's packet with another TCP header of the same
// length. Unlike with, it works for packets that were not captured whole. The
// checksum of those is left as it was: nobody can check it.
func (f *frame) withHeader(header []byte) Packet {
	if f.whole() {
		return f.with(header, f.data())
	}
	p := f.packet
	p.Data = bytes.Clone(p.Data)
	copy(p.Data[f.tcp():], header)
	return p
}

// seal sets the lengths and checksums of all layers, from the inside out.
func seal(data []byte, layers []layer) {
	for i := len(layers) - 1; i >= 0; i-- {
		at := data[layers[i].offset:]
		switch layers[i].proto {
		case protoIPv4:
			put16(at, 2, len(at))
			sealIPv4(at)
		case protoIPv6:
			put16(at, 4, len(at)-ipv6Header)
		case protoUDP:
			put16(at, 4, len(at))
			// Over IPv4, zero says that there is no checksum (RFC 768). VXLAN
			// is allowed to do without one over IPv6 as well (RFC 7348, Section 5).
			if be16(at, 6) != 0 {
				sealTransport(at, 6, data[layers[i-1].offset:], protoUDP)
			}
		case protoTCP:
			sealTransport(at, 16, data[layers[i-1].offset:], protoTCP)
		}
	}
}

// sealed returns p with lengths and checksums made right, if it has a TCP
// segment that was captured whole. What is behind the segment stays.
func sealed(p Packet) Packet {
	if f, ok := parse(p); ok && f.whole() {
		p.Data = bytes.Clone(p.Data)
		seal(p.Data[:f.end], f.layers)
	}
	return p
}

// sealIPv4 sets the checksum of an IPv4 header (RFC 791, Section 3.1).
func sealIPv4(header []byte) {
	put16(header, 10, 0)
	put16(header, 10, int(^fold(sum(header[:ipv4HeaderLength(header)]))))
}

// sealTransport sets the checksum, at offset at, of a TCP or UDP packet that
// reaches to the end of segment. ip begins with the IP header around it, of
// which the checksum covers a part, the pseudo-header (RFC 9293, Section 3.1;
// RFC 8200, Section 8.1).
func sealTransport(segment []byte, at int, ip []byte, proto int) {
	put16(segment, at, 0)
	total := uint64(proto) + uint64(len(segment)) + sum(addresses(ip)) + sum(segment)
	checksum := ^fold(total)
	if checksum == 0 && proto == protoUDP {
		checksum = 0xffff // zero would say that there is none
	}
	put16(segment, at, int(checksum))
}

// addresses returns source and destination of an IP header.
func addresses(ip []byte) []byte {
	if ip[0]>>4 == 4 {
		return ip[12:20]
	}
	return ip[8:40]
}

// sum adds up 16-bit words for the Internet checksum (RFC 1071).
func sum(data []byte) uint64 {
	var total uint64
	for ; len(data) >= 2; data = data[2:] {
		total += uint64(data[0])<<8 | uint64(data[1])
	}
	if len(data) == 1 {
		total += uint64(data[0]) << 8
	}
	return total
}

func fold(total uint64) uint16 {
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

func ipv4HeaderLength(header []byte) int { return int(header[0]&0x0f) * 4 }

func be16(data []byte, at int) int            { return int(binary.BigEndian.Uint16(data[at:])) }
func be32(data []byte, at int) uint32         { return binary.BigEndian.Uint32(data[at:]) }
func put16(data []byte, at, value int)        { binary.BigEndian.PutUint16(data[at:], uint16(value)) }
func put32(data []byte, at int, value uint32) { binary.BigEndian.PutUint32(data[at:], value) }
