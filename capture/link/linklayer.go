package link

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"

	"distproof/capture"
)

// Link types of https://www.tcpdump.org/linktypes.html.
const (
	linkNull     capture.LinkType = 0
	linkEthernet capture.LinkType = 1
	linkPPP      capture.LinkType = 9
	linkRawBSD   capture.LinkType = 12
	linkRawOBSD  capture.LinkType = 14
	linkPPPHDLC  capture.LinkType = 50
	linkPPPoE    capture.LinkType = 51
	linkRaw      capture.LinkType = 101
	linkLoop     capture.LinkType = 108
	linkCooked   capture.LinkType = 113
	linkIPv4     capture.LinkType = 228
	linkIPv6     capture.LinkType = 229
	linkNFLOG    capture.LinkType = 239
	linkCooked2  capture.LinkType = 276
)

// EtherTypes (IEEE 802 Numbers registry of IANA).
const (
	etherIPv4      = 0x0800
	etherARP       = 0x0806
	etherTEB       = 0x6558 // transparent Ethernet bridging: an Ethernet frame
	etherRARP      = 0x8035
	etherVLAN      = 0x8100
	etherIPv6      = 0x86dd
	etherMPLS      = 0x8847
	etherMPLSMulti = 0x8848
	etherPPPoEDisc = 0x8863
	etherPPPoE     = 0x8864
	etherPPTP      = 0x880b // PPP in GRE (RFC 2637)
	etherQinQ      = 0x88a8
	etherERSPAN    = 0x88be
	etherLLDP      = 0x88cc
	etherMACsec    = 0x88e5
	etherERSPAN3   = 0x22eb
	etherVLANOld   = 0x9100 // QinQ before IEEE 802.1ad

	// minEtherType is the lowest EtherType; below it, the field is the length
	// of an IEEE 802.3 frame.
	minEtherType = 0x0600
)

func (d *Decoder) linkLayer(t capture.LinkType, r rest) reason {
	switch t {
	case linkEthernet:
		return d.ethernet(r)
	case linkCooked:
		return d.cooked(r)
	case linkCooked2:
		return d.cooked2(r)
	case linkNull, linkLoop:
		return d.loopback(r)
	case linkRaw, linkRawBSD, linkRawOBSD:
		return d.rawIP(r)
	case linkIPv4:
		return d.ipv4(r)
	case linkIPv6:
		return d.ipv6(r)
	case linkPPP, linkPPPHDLC:
		return d.ppp(r)
	case linkPPPoE:
		return d.pppoe(r)
	case linkNFLOG:
		return d.nflog(r)
	}
	return kindLinkType + reason(t)
}

// ethernet walks an Ethernet II or IEEE 802.3 frame.
func (d *Decoder) ethernet(r rest) reason {
	h, why := r.take(14, protoEthernet)
	if why != found {
		return why
	}
	t := binary.BigEndian.Uint16(h[12:])
	if t < minEtherType {
		r.limit(min(r.wire, int(t)))
		return d.llc(r)
	}
	return d.network(t, r)
}

// llc walks an IEEE 802.2 header. IP is below it only with a SNAP header whose
// organisation says that an EtherType follows (RFC 1042). This is gopacket's,
// but for the organisation, which its SNAP layer does not look at.
func (d *Decoder) llc(r rest) reason {
	const snap = 0xaa
	if !safely(&d.llcLayer, r.b) {
		return r.refused(4, protoLLC)
	}
	if d.llcLayer.DSAP != snap || d.llcLayer.SSAP != snap {
		return reasonLLC
	}
	if _, why := r.take(len(d.llcLayer.Contents), protoLLC); why != found {
		return why
	}
	if !safely(&d.snapLayer, r.b) {
		return r.refused(5, protoLLC)
	}
	if string(d.snapLayer.OrganizationalCode) != "\x00\x00\x00" {
		return reasonLLC
	}
	if _, why := r.take(len(d.snapLayer.Contents), protoLLC); why != found {
		return why
	}
	return d.network(uint16(d.snapLayer.Type), r)
}

// network goes on with what an EtherType announces.
func (d *Decoder) network(etherType uint16, r rest) reason {
	tagged := false
	for ; isVLAN(etherType); tagged = true {
		h, why := r.take(4, protoVLAN)
		if why != found {
			return why
		}
		tag := binary.BigEndian.Uint16(h)
		if why := d.path.push(layerVLAN | layer(tag&0x0fff)); why != found {
			return why
		}
		etherType = binary.BigEndian.Uint16(h[2:])
	}
	switch etherType {
	case etherIPv4:
		return d.ipv4(r)
	case etherIPv6:
		return d.ipv6(r)
	}
	if tagged && etherType < minEtherType {
		r.limit(min(r.wire, int(etherType)))
		return d.llc(r)
	}
	return d.rareNetwork(etherType, r)
}

func isVLAN(etherType uint16) bool {
	return etherType == etherVLAN || etherType == etherQinQ || etherType == etherVLANOld
}

func (d *Decoder) rareNetwork(etherType uint16, r rest) reason {
	switch etherType {
	case etherMPLS, etherMPLSMulti:
		return d.mpls(r)
	case etherPPPoE:
		return d.pppoe(r)
	case etherPPPoEDisc:
		return reasonPPPoEDiscovery
	case etherARP, etherRARP:
		return reasonARP
	case etherLLDP:
		return reasonLLDP
	case etherMACsec:
		return reasonMACsec
	}
	return kindEtherType + reason(etherType)
}

// The ARPHRD types of a cooked header whose protocol field is no EtherType
// (https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html).
const (
	arphrdNetlink = 824
	// protocolLLC is the Linux kernel's ETH_P_802_2.
	protocolLLC = 4
)

// cooked walks a Linux cooked header, version 1. gopacket's layer slices by a
// length from the packet, and panics.
func (d *Decoder) cooked(r rest) reason {
	// packet type (2), ARPHRD type (2), address length (2), address (8), protocol (2)
	h, why := r.take(16, protoCooked)
	if why != found {
		return why
	}
	return d.cookedProtocol(binary.BigEndian.Uint16(h[2:]), binary.BigEndian.Uint16(h[14:]), r)
}

// cooked2 walks a Linux cooked header, version 2. gopacket has no such layer.
func (d *Decoder) cooked2(r rest) reason {
	// protocol (2), reserved (2), interface (4), ARPHRD type (2), packet type (1),
	// address length (1), address (8)
	h, why := r.take(20, protoCooked)
	if why != found {
		return why
	}
	return d.cookedProtocol(binary.BigEndian.Uint16(h[8:]), binary.BigEndian.Uint16(h), r)
}

func (d *Decoder) cookedProtocol(arphrd, protocol uint16, r rest) reason {
	switch {
	case arphrd == arphrdNetlink:
		return reasonNetlink
	case protocol == protocolLLC:
		return d.llc(r)
	case protocol < minEtherType:
		return kindEtherType + reason(protocol)
	}
	return d.network(protocol, r)
}

// loopback walks the header of BSD's loopback interface: an address family in
// the byte order of the capturing host, for LINKTYPE_LOOP in network byte order.
// The values for IPv6 differ between systems. gopacket's layer is not used, as
// the common path on macOS leads through here.
func (d *Decoder) loopback(r rest) reason {
	h, why := r.take(4, protoLoopback)
	if why != found {
		return why
	}
	family := binary.LittleEndian.Uint32(h)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(h)
	}
	switch family {
	case 2: // AF_INET
		return d.ipv4(r)
	case 10, 24, 28, 30: // AF_INET6 of Linux; NetBSD and OpenBSD; FreeBSD; macOS
		return d.ipv6(r)
	}
	if family > 0xffff {
		return malformed(protoLoopback)
	}
	return kindFamily + reason(family)
}

// rawIP walks an IP packet without any link layer.
func (d *Decoder) rawIP(r rest) reason {
	if len(r.b) == 0 {
		return r.short(1, protoIPv4)
	}
	if r.b[0]>>4 == 6 {
		return d.ipv6(r)
	}
	return d.ipv4(r)
}

// nflog walks a packet logged by Linux netfilter
// (https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html). gopacket has no such
// layer.
func (d *Decoder) nflog(r rest) reason {
	const payload = 9 // NFULA_PAYLOAD
	h, why := r.take(4, protoNFLOG)
	if why != found {
		return why
	}
	family := h[0]
	for {
		h, why := r.take(4, protoNFLOG)
		if why != found {
			return why
		}
		size, kind := nflogTLV(h, r)
		if size < 4 {
			return malformed(protoNFLOG)
		}
		if kind == payload {
			r.limit(size - 4)
			return d.nflogPayload(family, r)
		}
		// Values are padded to four bytes.
		if _, why := r.take((size+3)&^3-4, protoNFLOG); why != found {
			return why
		}
	}
}

func (d *Decoder) nflogPayload(family byte, r rest) reason {
	switch family {
	case 2: // AF_INET of Linux
		return d.ipv4(r)
	case 10: // AF_INET6 of Linux
		return d.ipv6(r)
	}
	return kindFamily + reason(family)
}

// nflogTLV reads the length and the type of a value. They are in the byte order
// of the capturing host, which the packet does not tell: it is little-endian
// unless the length would then lie outside of the packet.
func nflogTLV(h []byte, r rest) (size, kind int) {
	size, kind = int(binary.LittleEndian.Uint16(h)), int(binary.LittleEndian.Uint16(h[2:]))
	if size-4 > r.wire {
		size, kind = int(binary.BigEndian.Uint16(h)), int(binary.BigEndian.Uint16(h[2:]))
	}
	return size, kind
}

// ppp walks a PPP header (RFC 1661, Section 2), with or without the address and
// control field of HDLC framing (RFC 1662).
func (d *Decoder) ppp(r rest) reason {
	l, ok := single(layers.LayerTypePPP, r.b).(*layers.PPP)
	if !ok {
		return r.refused(4, protoPPP)
	}
	if _, why := r.take(len(r.b)-len(l.Payload), protoPPP); why != found {
		return why
	}
	switch l.PPPType {
	case layers.PPPTypeIPv4:
		return d.ipv4(r)
	case layers.PPPTypeIPv6:
		return d.ipv6(r)
	case layers.PPPTypeMPLSUnicast, layers.PPPTypeMPLSMulticast:
		return d.mpls(r)
	}
	return kindPPP + reason(l.PPPType)
}

// pppoe walks a PPPoE session header (RFC 2516, Section 4). gopacket's layer
// slices by the length field, and so cannot read a packet that was cut.
func (d *Decoder) pppoe(r rest) reason {
	const session = 0
	// version and type (1), code (1), session (2), length (2)
	h, why := r.take(6, protoPPPoE)
	if why != found {
		return why
	}
	if h[0] != 0x11 {
		return malformed(protoPPPoE)
	}
	if h[1] != session {
		return reasonPPPoEDiscovery
	}
	if why := d.path.push(layerPPPoE | layer(binary.BigEndian.Uint16(h[2:]))); why != found {
		return why
	}
	r.limit(min(r.wire, int(binary.BigEndian.Uint16(h[4:]))))
	return d.ppp(r)
}
