package link

import (
	"encoding/binary"
	"math/bits"
)

// IP protocol numbers (Protocol Numbers registry of IANA).
const (
	ipHopByHop     = 0
	ipICMP         = 1
	ipIGMP         = 2
	ipIPv4         = 4
	ipTCP          = 6
	ipUDP          = 17
	ipIPv6         = 41
	ipRouting      = 43
	ipFragment     = 44
	ipGRE          = 47
	ipESP          = 50
	ipAH           = 51
	ipICMPv6       = 58
	ipNoNextHeader = 59
	ipDestination  = 60
	ipEtherIP      = 97
	ipSCTP         = 132
	ipMobility     = 135
	ipMPLS         = 137
	ipHIP          = 139
	ipShim6        = 140
)

// ipv4 walks an IPv4 header (RFC 791, Section 3.1).
func (d *Decoder) ipv4(r rest) reason {
	h, why := r.take(20, protoIPv4)
	if why != found {
		return why
	}
	size, total := int(h[0]&0x0f)*4, int(binary.BigEndian.Uint16(h[2:]))
	offload := total == 0
	d.unsized = offload
	if offload {
		// Captured before segmentation by the network card, or longer than the
		// field can say (Linux "BIG TCP"): the packet ends where the frame does.
		total = r.wire + len(h)
	}
	if h[0]>>4 != 4 || size < len(h) || total < size {
		return malformed(protoIPv4)
	}
	r.limit(total - len(h))
	if _, why := r.take(size-len(h), protoIPv4); why != found {
		return why
	}
	d.ipID = binary.BigEndian.Uint16(h[4:])
	setMapped(&d.seg.Src.Addr, h[12:16])
	setMapped(&d.seg.Dst.Addr, h[16:20])
	fragment := binary.BigEndian.Uint16(h[6:])
	if fragment&0x3fff == 0 { // neither offset nor "more fragments"
		return d.transport(h[9], r, false)
	}
	if offload {
		return malformed(protoFragment)
	}
	return d.fragment(fragmentHeader{
		id:     uint32(d.ipID),
		proto:  h[9],
		offset: int(fragment&0x1fff) * 8,
		more:   fragment&0x2000 != 0,
	}, r)
}

// setMapped sets e to a in IPv4-mapped form. It is written in the pieces in which
// it is read soon after: a processor has to wait for others.
func setMapped(e *[16]byte, a []byte) {
	binary.LittleEndian.PutUint64(e[:8], 0)
	binary.LittleEndian.PutUint64(e[8:], uint64(binary.LittleEndian.Uint32(a))<<32|0xffff<<16)
}

// ipv6 walks an IPv6 header (RFC 8200, Section 3) and its extension headers.
func (d *Decoder) ipv6(r rest) reason {
	h, why := r.take(40, protoIPv6)
	if why != found {
		return why
	}
	if h[0]>>4 != 6 {
		return malformed(protoIPv6)
	}
	d.ipID = 0
	d.seg.Src.Addr = [16]byte(h[8:24])
	d.seg.Dst.Addr = [16]byte(h[24:40])
	size := int(binary.BigEndian.Uint16(h[4:]))
	next := h[6]
	d.unsized = size == 0
	switch {
	case size != 0:
		r.limit(size)
	case next == ipHopByHop:
		n := jumboLength(r.b)
		if n > r.wire {
			return malformed(protoIPv6)
		}
		if n > 0 {
			r.limit(n)
		}
	}
	// Otherwise the length is zero as above in IPv4: the packet ends where the
	// frame does.
	if next == ipTCP {
		return d.tcp(r)
	}
	return d.extensions(next, r)
}

// jumboLength returns the length of a jumbogram (RFC 2675, Section 2), which
// Linux also uses for TCP segments that the network card is to cut ("BIG TCP");
// zero if the hop-by-hop options b have none.
func jumboLength(b []byte) int {
	const pad1, jumbo = 0, 0xc2
	if len(b) < 2 {
		return 0
	}
	options := b[2:min(len(b), (int(b[1])+1)*8)]
	for len(options) > 0 {
		if options[0] == pad1 {
			options = options[1:]
			continue
		}
		if len(options) < 2 || len(options) < 2+int(options[1]) {
			return 0
		}
		if options[0] == jumbo && options[1] == 4 {
			n := binary.BigEndian.Uint32(options[2:])
			return int(min(n, 1<<31-1)) // int has 32 bits on some systems
		}
		options = options[2+int(options[1]):]
	}
	return 0
}

// maxExtensions limits the IPv6 extension headers in one packet, tunnels
// included. RFC 8200, Section 4.1, has use for seven; a hostile packet could hold
// thousands.
const maxExtensions = 32

// extensions walks IPv6 extension headers (RFC 8200, Section 4).
func (d *Decoder) extensions(next byte, r rest) reason {
	for ; d.extensionHeaders < maxExtensions; d.extensionHeaders++ {
		switch next {
		case ipHopByHop, ipRouting, ipDestination, ipMobility, ipHIP, ipShim6:
			whole := r
			h, why := r.take(8, protoExtension)
			if why != found {
				return why
			}
			// The length field counts what follows the first eight bytes.
			if _, why := r.take(int(h[1])*8, protoExtension); why != found {
				return why
			}
			if next == ipRouting {
				d.finalDestination(whole.b[:8+int(h[1])*8])
			}
			next = h[0]
		case ipAH:
			var why reason
			if next, why = authentication(&r); why != found {
				return why
			}
		case ipFragment:
			return d.fragment6(r)
		default:
			return d.transport(next, r, true)
		}
	}
	return reasonExtensionHeaders
}

// finalDestination puts the last address of a routing header in place of the
// next one on the way: it is the one that TCP is spoken with. Types 0 (RFC 2460,
// Section 4.4) and 2 (RFC 6275, Section 6.4) list addresses in the order of the
// way, type 4 (RFC 8754, Section 2) in reverse.
func (d *Decoder) finalDestination(h []byte) {
	kind, left := h[2], h[3]
	if left == 0 || len(h) < 8+16 {
		return
	}
	switch kind {
	case 0, 2:
		last := 8 + (len(h)-8)/16*16 - 16
		d.seg.Dst.Addr = [16]byte(h[last:])
	case 4:
		d.seg.Dst.Addr = [16]byte(h[8:])
	}
}

// authentication consumes an AH header (RFC 4302, Section 2). What follows is in
// the clear.
func authentication(r *rest) (next byte, why reason) {
	h, why := r.take(12, protoAH)
	if why != found {
		return 0, why
	}
	// The length field counts 32-bit words, minus two.
	size := (int(h[1]) + 2) * 4
	if size < len(h) {
		return 0, malformed(protoAH)
	}
	_, why = r.take(size-len(h), protoAH)
	return h[0], why
}

// fragment6 walks an IPv6 fragment header (RFC 8200, Section 4.5).
func (d *Decoder) fragment6(r rest) reason {
	// next header (1), reserved (1), offset and flags (2), identification (4)
	h, why := r.take(8, protoFragment)
	if why != found {
		return why
	}
	field := binary.BigEndian.Uint16(h[2:])
	f := fragmentHeader{
		id:     binary.BigEndian.Uint32(h[4:]),
		proto:  h[0],
		offset: int(field &^ 7),
		more:   field&1 != 0,
		v6:     true,
	}
	d.extensionHeaders++
	if f.offset == 0 && !f.more { // an atomic fragment (RFC 6946) is whole
		return d.extensions(f.proto, r)
	}
	return d.fragment(f, r)
}

// transport goes on with what an IP header announces. v6 says that this was IPv6.
func (d *Decoder) transport(proto byte, r rest, v6 bool) reason {
	switch proto {
	case ipTCP:
		return d.tcp(r)
	case ipUDP:
		return d.udp(r)
	case ipICMP:
		// Also if it quotes a TCP header: that is no segment of its own.
		return reasonICMP
	case ipICMPv6:
		return reasonICMPv6
	case ipIGMP:
		return reasonIGMP
	case ipSCTP:
		return reasonSCTP
	case ipESP:
		return reasonESP
	case ipNoNextHeader:
		return reasonNoNextHeader
	case ipAH:
		next, why := authentication(&r)
		if why != found {
			return why
		}
		if next == ipAH {
			return malformed(protoAH)
		}
		return d.transport(next, r, v6)
	}
	return d.ipTunnel(proto, r, v6)
}

// tcp fills the segment from a TCP header (RFC 9293, Section 3.1).
func (d *Decoder) tcp(r rest) reason {
	h, why := r.take(20, protoTCP)
	if why != found {
		return why
	}
	size := int(h[12]>>4)*4 - len(h)
	if size < 0 || size > r.wire {
		return malformed(protoTCP)
	}
	// Options that the capture cut are no obstacle: the sequence number and the
	// length are known, so that the bytes are missed rather than overlooked.
	options := r.b[:min(size, len(r.b))]
	r.b, r.wire = r.b[len(options):], r.wire-size

	s := d.seg
	s.Src.Port = binary.BigEndian.Uint16(h)
	s.Dst.Port = binary.BigEndian.Uint16(h[2:])
	s.Seq = binary.BigEndian.Uint32(h[4:])
	s.Ack = binary.BigEndian.Uint32(h[8:])
	s.Flags = Flags(h[13])
	s.Payload = r.b
	s.Length = r.wire
	s.Time = d.packet.Time
	s.Frame = d.packet.Frame
	s.Identity = identity(d.ipID, h, options, r.wire)
	if s.Encapsulation = d.encaps.index(&d.path); s.Encapsulation == unknownEncapsulation {
		return pending
	}
	s.summed = false
	if len(options) == size && !d.unsized {
		s.header(h, options)
	}
	return found
}

// identity hashes what stays the same when a packet is forwarded, translated or
// tunnelled. The checksum is left out: with offload it differs between the
// interfaces of one host. Addresses and ports are left out as translation changes
// them.
func identity(ipID uint16, h, options []byte, length int) uint32 {
	x := mix(binary.LittleEndian.Uint64(h[4:]), uint64(binary.LittleEndian.Uint32(h[12:]))|uint64(ipID)<<32)
	x ^= mix(uint64(length), uint64(binary.LittleEndian.Uint16(h[18:])))
	for len(options) >= 12 { // as many as nearly all segments have
		x = mix(x^binary.LittleEndian.Uint64(options), uint64(binary.LittleEndian.Uint32(options[8:])))
		options = options[12:]
	}
	for len(options) >= 4 {
		x = mix(x, uint64(binary.LittleEndian.Uint32(options)))
		options = options[4:]
	}
	for _, c := range options { // a rest is there only if the capture cut it
		x = mix(x, uint64(c))
	}
	return uint32(x ^ x>>32)
}

// mix folds two words into one by a full multiplication, so that every bit of
// them reaches both halves of the result.
func mix(x, v uint64) uint64 {
	const k1, k2 = 0x9e3779b97f4a7c15, 0xe7037ed1a0b428db // odd, without pattern
	hi, lo := bits.Mul64(x^k1, v^k2)
	return hi ^ lo
}
