package link

import "fmt"

// A reason says why a packet yields no TCP segment: a kind in the upper 16 bits,
// and for some kinds a number in the lower ones. It is small so that counting
// needs no allocation; texts are made on demand.
type reason uint32

// The kinds of reasons.
const (
	kindFound reason = iota << 16
	kindPending
	kindFixed
	kindMalformed
	kindLinkType
	kindEtherType
	kindIPProtocol
	kindPPP
	kindFamily
	kindOther
	kindMask = 0xffff << 16
)

const (
	// found is the absence of a reason: there is a segment.
	found = kindFound
	// pending is a fragment of a datagram that may still be completed.
	pending = kindPending
)

// Reasons without a number; indexes of fixedReasons.
const (
	reasonSnapped = kindFixed + iota
	reasonARP
	reasonICMP
	reasonICMPv6
	reasonIGMP
	reasonSCTP
	reasonUDP
	reasonLLC
	reasonLLDP
	reasonNetlink
	reasonNoNextHeader
	reasonESP
	reasonESPInUDP
	reasonWireGuard
	reasonMACsec
	reasonMPLS
	reasonPPPoEDiscovery
	reasonGTPControl
	reasonPPTPAck
	reasonTooDeep
	reasonExtensionHeaders
	reasonIncomplete
	reasonFragmentLimit
	reasonFragmentConflict
	reasonFragmentRepeated
	reasonNotAsked
)

var fixedReasons = [...]string{
	reasonSnapped - kindFixed:          "truncated header (snaplen)",
	reasonARP - kindFixed:              "arp",
	reasonICMP - kindFixed:             "icmp",
	reasonICMPv6 - kindFixed:           "icmpv6",
	reasonIGMP - kindFixed:             "igmp",
	reasonSCTP - kindFixed:             "sctp",
	reasonUDP - kindFixed:              "udp",
	reasonLLC - kindFixed:              "802.2 LLC",
	reasonLLDP - kindFixed:             "lldp",
	reasonNetlink - kindFixed:          "netlink",
	reasonNoNextHeader - kindFixed:     "IPv6 without payload",
	reasonESP - kindFixed:              "ESP: encrypted below: not visible",
	reasonESPInUDP - kindFixed:         "ESP in UDP: encrypted below: not visible",
	reasonWireGuard - kindFixed:        "WireGuard: encrypted below: not visible",
	reasonMACsec - kindFixed:           "MACsec: encrypted below: not visible",
	reasonMPLS - kindFixed:             "MPLS payload not recognised",
	reasonPPPoEDiscovery - kindFixed:   "PPPoE discovery",
	reasonGTPControl - kindFixed:       "GTP-U control message",
	reasonPPTPAck - kindFixed:          "PPTP acknowledgement",
	reasonTooDeep - kindFixed:          "too many nested encapsulations",
	reasonExtensionHeaders - kindFixed: "too many IPv6 extension headers",
	reasonIncomplete - kindFixed:       "IP fragment incomplete",
	reasonFragmentLimit - kindFixed:    "IP fragment incomplete (limit of unfinished datagrams)",
	reasonFragmentConflict - kindFixed: "IP fragments contradict each other",
	reasonFragmentRepeated - kindFixed: "IP fragment repeated",
	reasonNotAsked - kindFixed:         "TCP of a connection that was not asked for",
}

// A protocol names a header in a "malformed" reason.
type protocol uint16

// The headers that can be malformed; indexes of protocolNames.
const (
	protoEthernet protocol = iota
	protoVLAN
	protoCooked
	protoLoopback
	protoNFLOG
	protoLLC
	protoIPv4
	protoIPv6
	protoExtension
	protoAH
	protoFragment
	protoTCP
	protoUDP
	protoMPLS
	protoPPPoE
	protoPPP
	protoGRE
	protoERSPAN
	protoEtherIP
	protoVXLAN
	protoGeneve
	protoGTP
)

var protocolNames = [...]string{
	protoEthernet:  "Ethernet",
	protoVLAN:      "VLAN",
	protoCooked:    "Linux cooked",
	protoLoopback:  "loopback",
	protoNFLOG:     "NFLOG",
	protoLLC:       "802.2 LLC",
	protoIPv4:      "IPv4",
	protoIPv6:      "IPv6",
	protoExtension: "IPv6 extension",
	protoAH:        "AH",
	protoFragment:  "IP fragment",
	protoTCP:       "TCP",
	protoUDP:       "UDP",
	protoMPLS:      "MPLS",
	protoPPPoE:     "PPPoE",
	protoPPP:       "PPP",
	protoGRE:       "GRE",
	protoERSPAN:    "ERSPAN",
	protoEtherIP:   "EtherIP",
	protoVXLAN:     "VXLAN",
	protoGeneve:    "Geneve",
	protoGTP:       "GTP-U",
}

func malformed(p protocol) reason { return kindMalformed + reason(p) }

// String returns the stable text of r.
func (r reason) String() string {
	n := uint16(r)
	switch r & kindMask {
	case kindFixed:
		return fixedReasons[n]
	case kindMalformed:
		return "malformed " + protocolNames[n] + " header"
	case kindLinkType:
		return fmt.Sprintf("unsupported link type %d", n)
	case kindEtherType:
		return fmt.Sprintf("ethertype 0x%04x", n)
	case kindIPProtocol:
		return fmt.Sprintf("IP protocol %d", n)
	case kindPPP:
		return fmt.Sprintf("PPP protocol 0x%04x", n)
	case kindFamily:
		return fmt.Sprintf("loopback address family %d", n)
	default:
		return "other protocols"
	}
}

// numbered reports whether r's number comes from the packet.
func (r reason) numbered() bool { return r&kindMask >= kindLinkType && r&kindMask < kindOther }

// A blindness says whether a packet that yields no TCP segment may carry one.
type blindness uint8

const (
	// carriesNone: it is of another protocol.
	carriesNone blindness = iota
	// unreadable: it may, but is cut, incomplete, malformed or in a format that
	// is not known.
	unreadable
	// sealed: it may, encrypted.
	sealed
)

func (r reason) blindness() blindness {
	switch r {
	case reasonSnapped, reasonMPLS, reasonTooDeep, reasonExtensionHeaders, reasonIncomplete, reasonFragmentLimit, reasonFragmentConflict:
		return unreadable
	case reasonESP, reasonESPInUDP, reasonWireGuard, reasonMACsec:
		return sealed
	case malformed(protoUDP), malformed(protoLLC):
		return carriesNone
	}
	switch r & kindMask {
	case kindMalformed, kindLinkType:
		return unreadable
	}
	return carriesNone
}

// maxNumbered limits how many different numbers of protocols are counted one by
// one for an input. Real captures have a handful; a hostile file could name
// 65536 ethertypes, and they would all show in the report.
const maxNumbered = 64

// counts holds packet counts by input and reason.
type counts struct {
	inputs map[uint32]*inputCounts
	// last is the input counted last, to spare a map access per packet.
	last      *inputCounts
	lastInput uint32
}

type inputCounts struct {
	packets  map[reason]uint64
	numbered int
}

func (c *counts) add(input uint32, why reason, n uint64) {
	i := c.of(input)
	if why.numbered() {
		if _, known := i.packets[why]; !known {
			if i.numbered == maxNumbered {
				why = kindOther
			} else {
				i.numbered++
			}
		}
	}
	i.packets[why] += n
}

func (c *counts) of(input uint32) *inputCounts {
	if c.last != nil && c.lastInput == input {
		return c.last
	}
	i := c.inputs[input]
	if i == nil {
		i = &inputCounts{packets: make(map[reason]uint64)}
		if c.inputs == nil {
			c.inputs = make(map[uint32]*inputCounts)
		}
		c.inputs[input] = i
	}
	c.last, c.lastInput = i, input
	return i
}

// join adds what was counted elsewhere.
func (c *counts) join(more *counts) {
	for input, i := range more.inputs {
		for why, n := range i.packets {
			c.add(input, why, n)
		}
	}
}

func (c *counts) clear() {
	for _, i := range c.inputs {
		clear(i.packets)
		i.numbered = 0
	}
}

func (c *counts) texts(input uint32) map[string]uint64 {
	m := make(map[string]uint64)
	if i := c.inputs[input]; i != nil {
		for why, n := range i.packets {
			m[why.String()] += n
		}
	}
	return m
}

// ofKind is texts for the reasons of one blindness.
func (c *counts) ofKind(input uint32, kind blindness) map[string]uint64 {
	m := make(map[string]uint64)
	if i := c.inputs[input]; i != nil {
		for why, n := range i.packets {
			if why.blindness() == kind {
				m[why.String()] += n
			}
		}
	}
	return m
}

// A share is a number of packets of one input.
type share struct {
	input   uint32
	packets uint64
}

// countPacket counts the current packet, and the fragments it completed.
func (d *Decoder) countPacket(why reason) {
	if why == pending {
		return
	}
	d.counts.add(d.packet.Frame.Input, why, 1)
	d.countShares(d.joined, why)
}

func (d *Decoder) countShares(s []share, why reason) {
	for _, s := range s {
		d.counts.add(s.input, why, s.packets)
	}
}
