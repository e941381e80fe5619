// Package link peels packets down to TCP segments: link layers, VLAN tags,
// tunnels and IP fragments.
//
// The common path is the package's own header walk: Ethernet, Linux cooked,
// BSD loopback or raw IP, VLAN tags, IPv4 or IPv6, TCP. It does not allocate.
// Rare headers are decoded by gopacket's layers where those are right; where
// they are wrong or missing, a comment says so beside the code that stands in.
//
// Every packet either yields a segment, or is part of a fragmented one, or is
// counted under a reason. Nothing is dropped silently.
package link

import (
	"slices"

	"github.com/google/gopacket/layers"

	"distproof/capture"
)

// Options adjust a Decoder. The zero value is useful.
type Options struct {
	// VXLANPorts are UDP destination ports that carry VXLAN, beside 4789
	// (RFC 7348, Section 5) and 8472 (the Linux kernel's own, used by flannel).
	VXLANPorts []uint16
	// Only restricts what is found. Segments of other connections are counted as
	// not asked for.
	Only Restriction
}

// A Decoder finds the TCP segments in packets. It keeps the fragments of
// unfinished IP datagrams, and counts what it could not decode. It must not be
// used by several goroutines at once.
type Decoder struct {
	vxlanPorts []uint16
	only       Restriction
	restricted bool
	encaps     encapsulations
	fragments  fragments
	counts     counts
	// ahead says that packets come ahead of their turn, see [Decoder.Ahead], and
	// left that the last one was left to it.
	ahead, left bool

	// The state of one call of Decode.
	packet *capture.Packet
	seg    *Segment
	path   path
	ipID   uint16 // identification of the innermost IPv4 header; 0 for IPv6
	// unsized says that the innermost IP header does not tell the length.
	unsized bool
	// extensionHeaders counts those of IPv6 in this packet.
	extensionHeaders int
	// joined are the packets, beside this one, whose fragments this packet
	// completed. They share its fate.
	joined []share
	// parts are those packets by number, waiting that this one waits itself.
	parts   []capture.Frame
	waiting bool

	// Layers are kept here so that decoding them needs no allocation.
	greLayer     layers.GRE
	erspanLayer  layers.ERSPANII
	etherIPLayer layers.EtherIP
	llcLayer     layers.LLC
	snapLayer    layers.SNAP
}

// NewDecoder returns a Decoder without any history.
func NewDecoder(o Options) *Decoder {
	ports := slices.Concat([]uint16{portVXLAN, portVXLANLinux}, o.VXLANPorts)
	return &Decoder{vxlanPorts: ports, only: o.Only, restricted: !o.Only.IsZero(), encaps: newEncapsulations(), fragments: newFragments()}
}

// Decode looks for a TCP segment in p. If there is one, it fills s and returns
// true. Otherwise the contents of s are undefined, and the packet is counted for
// [Decoder.Undecoded], unless it is a fragment of a datagram that may still be
// completed.
func (d *Decoder) Decode(p *capture.Packet, s *Segment) bool {
	d.packet, d.seg = p, s
	d.path.n = 0
	d.extensionHeaders = 0
	d.joined, d.parts = d.joined[:0], d.parts[:0]
	why := d.linkLayer(p.LinkType, packetBytes(p))
	if d.ahead {
		if d.left = why == pending || why.numbered(); d.left {
			return false
		}
	}
	d.waiting = why == pending
	if why == found && d.restricted && !d.only.allows(s) {
		why = reasonNotAsked
	}
	if why == found {
		return true
	}
	d.countPacket(why)
	return false
}

// Waiting reports whether the packet that Decode took last has a fragment of a
// datagram that may still be completed.
func (d *Decoder) Waiting() bool { return d.waiting }

// Parts returns the packets before the last one that had the other fragments of
// its segment. There are none if it came whole. The result is valid until the
// next call of Decode, and has at most [MaxParts] packets.
func (d *Decoder) Parts() []capture.Frame { return d.parts }

// Ahead returns a Decoder for another goroutine, which takes packets before those
// that come before them, and leaves to d what depends on those: fragments, ways
// through tunnels that were not seen before, and what is counted by numbers up to
// a limit. It may be used while d is.
func (d *Decoder) Ahead() *Decoder {
	return &Decoder{vxlanPorts: d.vxlanPorts, only: d.only, restricted: d.restricted, ahead: true, encaps: d.encaps.ahead()}
}

// Left reports whether the last packet was left to the Decoder of which this one
// is ahead. It has to take it in its turn.
func (d *Decoder) Left() bool { return d.left }

// Join counts for d what a counted, now that it is the turn of the packets that a
// took; Drop forgets it.
func (d *Decoder) Join(a *Decoder) {
	d.counts.join(&a.counts)
	a.Drop()
}

// Drop forgets what was counted.
func (d *Decoder) Drop() { d.counts.clear() }

// packetBytes returns p without its frame check sequence. Of a packet that was
// cut by the capture, the frame check sequence is missing wholly or in part.
func packetBytes(p *capture.Packet) rest {
	wire := max(p.Length, len(p.Data)) - int(p.FCSLength)
	r := rest{b: p.Data, wire: len(p.Data)}
	r.limit(max(wire, 0))
	return r
}

// Finish counts the fragments that were never completed. Call it after the last
// packet, before [Decoder.Undecoded].
func (d *Decoder) Finish() {
	for d.fragments.oldest() != nil {
		d.evict(d.fragments.oldest(), reasonIncomplete)
	}
}

// Undecoded returns how many packets of an input yielded no TCP segment, by
// reason in words. The texts are stable. Fragments are included after
// [Decoder.Finish] only.
func (d *Decoder) Undecoded(input uint32) map[string]uint64 {
	return d.counts.texts(input)
}

// Unreadable returns those of [Decoder.Undecoded] that may have been TCP, but
// are cut, incomplete, malformed or in a format that is not known.
func (d *Decoder) Unreadable(input uint32) map[string]uint64 {
	return d.counts.ofKind(input, unreadable)
}

// Sealed returns those of [Decoder.Undecoded] that may have been TCP, encrypted
// as a whole.
func (d *Decoder) Sealed(input uint32) map[string]uint64 {
	return d.counts.ofKind(input, sealed)
}

// Encapsulation returns what [Segment.Encapsulation] stands for: the VLAN tags
// and tunnels around a segment, outermost first, such as "vlan 100", "vxlan 1".
// It is empty for zero. There are at most [MaxEncapsulations] different ones;
// further ones are all "other". The result must not be changed.
func (d *Decoder) Encapsulation(i uint16) []string {
	return d.encaps.texts(i)
}
