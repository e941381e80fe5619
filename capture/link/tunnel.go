package link

import (
	"encoding/binary"
	"slices"

	"github.com/google/gopacket/layers"
)

// UDP ports (Service Name and Port Number registry of IANA).
const (
	portGTP        = 2152
	portESP        = 4500
	portVXLAN      = 4789
	portVXLANGPE   = 4790
	portGeneve     = 6081
	portMPLS       = 6635
	portVXLANLinux = 8472 // not registered: older than the registration
)

// ipTunnel goes on with the IP protocols that carry packets.
func (d *Decoder) ipTunnel(proto byte, r rest, v6 bool) reason {
	switch proto {
	case ipIPv4:
		if why := d.path.push(outerIs(v6, layerIPIP, layer4in6)); why != found {
			return why
		}
		return d.ipv4(r)
	case ipIPv6:
		if why := d.path.push(outerIs(v6, layer6in4, layer6in6)); why != found {
			return why
		}
		return d.ipv6(r)
	case ipGRE:
		return d.gre(r)
	case ipEtherIP:
		return d.etherIP(r)
	case ipMPLS:
		return d.mpls(r)
	}
	return kindIPProtocol + reason(proto)
}

func outerIs(v6 bool, ifIPv4, ifIPv6 layer) layer {
	if v6 {
		return ifIPv6
	}
	return ifIPv4
}

// udp walks a UDP header (RFC 768), and goes on if a tunnel is below. The length
// field is not used: where segmentation is left to the network card it can be
// wrong, and the packets in tunnels tell their own length.
func (d *Decoder) udp(r rest) reason {
	h, why := r.take(8, protoUDP)
	if why != found {
		return why
	}
	from, to := binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	switch {
	case slices.Contains(d.vxlanPorts, to):
		return d.vxlan(r)
	case to == portVXLANGPE:
		return d.vxlanGPE(r)
	case to == portGeneve:
		return d.geneve(r)
	case to == portGTP:
		return d.gtp(r)
	case to == portMPLS:
		return d.mpls(r)
	case (to == portESP || from == portESP) && isESP(r):
		return reasonESPInUDP
	case isWireGuard(r):
		return reasonWireGuard
	}
	return reasonUDP
}

// isESP tells ESP in UDP from the other uses of its port: IKE begins with four
// zero bytes, a keep-alive has a single one (RFC 3948, Section 2).
func isESP(r rest) bool {
	const header = 8 // security parameters index, sequence number
	return r.wire > header && len(r.b) >= 4 && binary.BigEndian.Uint32(r.b) != 0
}

// isWireGuard recognises the four messages of WireGuard by their type, the three
// reserved bytes and their size (https://www.wireguard.com/protocol/). Its ports
// are freely chosen.
func isWireGuard(r rest) bool {
	if len(r.b) < 4 || r.b[1] != 0 || r.b[2] != 0 || r.b[3] != 0 {
		return false
	}
	switch r.b[0] {
	case 1: // handshake initiation
		return r.wire == 148
	case 2: // handshake response
		return r.wire == 92
	case 3: // cookie reply
		return r.wire == 64
	case 4: // transport data: header (16), padded packet, authentication tag (16)
		return r.wire >= 32 && r.wire%16 == 0
	}
	return false
}

// vxlan walks a VXLAN header (RFC 7348, Section 5), with the generic protocol
// extension or without. It is not gopacket's, which does not know the extension
// and takes as long as all other headers together.
func (d *Decoder) vxlan(r rest) reason {
	const valid, generic = 0x08, 0x04
	if len(r.b) > 0 && r.b[0]&generic != 0 {
		return d.vxlanGPE(r)
	}
	// flags (1), reserved (3), network identifier (3), reserved (1)
	h, why := r.take(8, protoVXLAN)
	if why != found {
		return why
	}
	if h[0]&valid == 0 {
		return malformed(protoVXLAN)
	}
	if why := d.path.push(layerVXLAN | layer(binary.BigEndian.Uint32(h[4:])>>8)); why != found {
		return why
	}
	return d.ethernet(r)
}

// vxlanGPE walks a VXLAN header with the generic protocol extension
// (draft-ietf-nvo3-vxlan-gpe-13, Section 3), which gopacket does not have.
func (d *Decoder) vxlanGPE(r rest) reason {
	const valid, typed = 0x08, 0x04
	// flags (1), reserved (2), next protocol (1), network identifier (3), reserved (1)
	h, why := r.take(8, protoVXLAN)
	if why != found {
		return why
	}
	if h[0]&(valid|typed) != valid|typed {
		return malformed(protoVXLAN)
	}
	vni := binary.BigEndian.Uint32(h[4:]) >> 8
	if why := d.path.push(layerVXLAN | layer(vni)); why != found {
		return why
	}
	switch h[3] {
	case 1:
		return d.ipv4(r)
	case 2:
		return d.ipv6(r)
	case 3:
		return d.ethernet(r)
	case 5:
		return d.mpls(r)
	}
	return malformed(protoVXLAN)
}

// geneve walks a Geneve header (RFC 8926, Section 3.4). gopacket's layer reads
// four of the five bits of an option's length, counts in eight bits, and keeps
// the options of all earlier packets.
func (d *Decoder) geneve(r rest) reason {
	// version and options length (1), flags (1), protocol (2), network identifier (3), reserved (1)
	h, why := r.take(8, protoGeneve)
	if why != found {
		return why
	}
	if h[0]>>6 != 0 { // version
		return malformed(protoGeneve)
	}
	if _, why := r.take(int(h[0]&0x3f)*4, protoGeneve); why != found {
		return why
	}
	vni := binary.BigEndian.Uint32(h[4:]) >> 8
	if why := d.path.push(layerGeneve | layer(vni)); why != found {
		return why
	}
	return d.tunnelled(binary.BigEndian.Uint16(h[2:]), r)
}

// tunnelled goes on with what a tunnel announces by an EtherType, which may be a
// whole Ethernet frame. Outside of a tunnel, that is not valid: frames nested in
// frames without anything between them could nest without limit.
func (d *Decoder) tunnelled(etherType uint16, r rest) reason {
	if etherType == etherTEB {
		return d.ethernet(r)
	}
	return d.network(etherType, r)
}

// gtp walks a GTP-U header (3GPP TS 29.281, Section 5). gopacket's layer computes
// lengths in 16 bits that wrap, keeps extension headers of earlier packets, and
// prints to standard output.
func (d *Decoder) gtp(r rest) reason {
	const extended, anyOptional, packet = 0x04, 0x07, 0xff
	// flags (1), message type (1), length (2), tunnel (4)
	h, why := r.take(8, protoGTP)
	if why != found {
		return why
	}
	if h[0]>>4 != 3 { // version 1, protocol type GTP
		return malformed(protoGTP)
	}
	if h[1] != packet {
		return reasonGTPControl
	}
	if why := d.path.push(layerGTP | layer(binary.BigEndian.Uint32(h[4:]))); why != found {
		return why
	}
	if h[0]&anyOptional != 0 {
		// sequence number (2), N-PDU number (1), next extension (1)
		o, why := r.take(4, protoGTP)
		if why != found {
			return why
		}
		if h[0]&extended != 0 {
			if why := skipGTPExtensions(o[3], &r); why != found {
				return why
			}
		}
	}
	return d.rawIP(r)
}

// skipGTPExtensions consumes extension headers: a length in units of four bytes,
// the content, and the type of the next one.
func skipGTPExtensions(next byte, r *rest) reason {
	for next != 0 {
		h, why := r.take(4, protoGTP)
		if why != found {
			return why
		}
		if h[0] == 0 {
			return malformed(protoGTP)
		}
		next = h[3]
		if h[0] > 1 {
			if h, why = r.take(int(h[0])*4-4, protoGTP); why != found {
				return why
			}
			next = h[len(h)-1]
		}
	}
	return found
}

// gre walks a GRE header (RFC 2784, RFC 2890; version 1 is RFC 2637).
func (d *Decoder) gre(r rest) reason {
	g := &d.greLayer
	if !safely(g, r.b) {
		return r.refused(20, protoGRE)
	}
	if g.Version > 1 {
		return malformed(protoGRE)
	}
	if _, why := r.take(len(g.Contents), protoGRE); why != found {
		return why
	}
	switch uint16(g.Protocol) {
	case etherERSPAN:
		return d.erspan(r, g.SeqPresent)
	case etherERSPAN3:
		return d.erspan3(r)
	}
	if why := d.path.push(greName(g)); why != found {
		return why
	}
	if uint16(g.Protocol) == etherPPTP {
		if r.wire == 0 {
			return reasonPPTPAck
		}
		return d.ppp(r)
	}
	return d.tunnelled(uint16(g.Protocol), r)
}

func greName(g *layers.GRE) layer {
	bridged := uint16(g.Protocol) == etherTEB
	switch {
	case bridged && g.KeyPresent:
		return layerGRETAPKey | layer(g.Key)
	case bridged:
		return layerGRETAP
	case g.KeyPresent:
		return layerGREKey | layer(g.Key)
	}
	return layerGRE
}

// erspan walks what ERSPAN puts between GRE and the mirrored frame: a header if
// GRE has a sequence number (type II), nothing otherwise (type I;
// draft-foschiano-erspan-03, Section 4).
func (d *Decoder) erspan(r rest, sequenced bool) reason {
	if !sequenced {
		if why := d.path.push(layerERSPAN1); why != found {
			return why
		}
		return d.ethernet(r)
	}
	if !safely(&d.erspanLayer, r.b) {
		return r.refused(8, protoERSPAN)
	}
	if d.erspanLayer.Version != layers.ERSPANIIVersion {
		return malformed(protoERSPAN)
	}
	if _, why := r.take(len(d.erspanLayer.Contents), protoERSPAN); why != found {
		return why
	}
	if why := d.path.push(layerERSPAN | layer(d.erspanLayer.SessionID)); why != found {
		return why
	}
	return d.ethernet(r)
}

// erspan3 walks an ERSPAN type III header (draft-foschiano-erspan-03, Section
// 4.3), which gopacket does not have.
func (d *Decoder) erspan3(r rest) reason {
	const ethernet, ip, subheader = 0, 2, 0x01
	// version, VLAN, flags, session (4), timestamp (4), group tag (2), flags (2)
	h, why := r.take(12, protoERSPAN)
	if why != found {
		return why
	}
	if h[0]>>4 != 2 { // the version of type III
		return malformed(protoERSPAN)
	}
	if h[11]&subheader != 0 {
		if _, why := r.take(8, protoERSPAN); why != found {
			return why
		}
	}
	session := binary.BigEndian.Uint16(h[2:]) & 0x03ff
	if why := d.path.push(layerERSPAN | layer(session)); why != found {
		return why
	}
	switch h[10] >> 2 & 0x1f { // frame type
	case ethernet:
		return d.ethernet(r)
	case ip:
		return d.rawIP(r)
	}
	return malformed(protoERSPAN)
}

// etherIP walks an EtherIP header (RFC 3378, Section 3).
func (d *Decoder) etherIP(r rest) reason {
	if !safely(&d.etherIPLayer, r.b) {
		return r.refused(2, protoEtherIP)
	}
	if d.etherIPLayer.Version != 3 {
		return malformed(protoEtherIP)
	}
	if _, why := r.take(len(d.etherIPLayer.Contents), protoEtherIP); why != found {
		return why
	}
	if why := d.path.push(layerEtherIP); why != found {
		return why
	}
	return d.ethernet(r)
}

// mpls walks a label stack (RFC 3032, Section 2.1).
func (d *Decoder) mpls(r rest) reason {
	for {
		l, ok := single(layers.LayerTypeMPLS, r.b).(*layers.MPLS)
		if !ok {
			return r.refused(4, protoMPLS)
		}
		if _, why := r.take(len(l.Contents), protoMPLS); why != found {
			return why
		}
		if why := d.path.push(layerMPLS | layer(l.Label)); why != found {
			return why
		}
		if l.StackBottom {
			return d.mplsPayload(r)
		}
	}
}

// mplsPayload guesses what is below a label stack, which nothing announces. An IP
// header is recognised by its version and a length that fits (RFC 4928, Section
// 3). An Ethernet pseudowire (RFC 4448) may begin with a control word, whose
// first four bits are zero, and is taken for one only if an IP header is below
// its Ethernet header. gopacket guesses by the first byte alone, and would read
// an Ethernet address for an IP header.
func (d *Decoder) mplsPayload(r rest) reason {
	// What the guess looks at: control word, Ethernet header, two VLAN tags, IP header.
	const guessed = 4 + 14 + 2*4 + 20
	if plausibleIP(r) {
		return d.rawIP(r)
	}
	for _, skip := range []int{0, 4} { // without and with control word
		if len(r.b) < skip || skip > 0 && r.b[0]>>4 != 0 {
			continue
		}
		frame := rest{b: r.b[skip:], wire: r.wire - skip}
		if plausibleEthernet(frame) {
			if why := d.path.push(layerPseudowire); why != found {
				return why
			}
			return d.ethernet(frame)
		}
	}
	if len(r.b) < r.wire && len(r.b) < guessed {
		return reasonSnapped
	}
	return reasonMPLS
}

// plausibleEthernet reports whether r is an Ethernet frame, with VLAN tags or
// not, with an IP packet in it.
func plausibleEthernet(r rest) bool {
	if _, why := r.take(12, protoEthernet); why != found {
		return false
	}
	for range maxDepth {
		h, why := r.take(2, protoEthernet)
		if why != found {
			return false
		}
		switch t := binary.BigEndian.Uint16(h); {
		case isVLAN(t):
			if _, why := r.take(2, protoVLAN); why != found {
				return false
			}
		case t == etherIPv4:
			return plausibleIP(r) && r.b[0]>>4 == 4
		case t == etherIPv6:
			return plausibleIP(r) && r.b[0]>>4 == 6
		default:
			return false
		}
	}
	return false
}

// plausibleIP reports whether r begins with an IP header whose lengths fit.
func plausibleIP(r rest) bool {
	if len(r.b) < 20 {
		return false
	}
	switch r.b[0] >> 4 {
	case 4:
		size, total := int(r.b[0]&0x0f)*4, int(binary.BigEndian.Uint16(r.b[2:]))
		return size >= 20 && (total == 0 || total >= size && total <= r.wire)
	case 6:
		return int(binary.BigEndian.Uint16(r.b[4:]))+40 <= r.wire
	}
	return false
}
