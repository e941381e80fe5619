package mutate

import (
	"iter"
	"slices"
)

// Snap lengths that [Losses] tries: from just the headers of an Ethernet
// capture to well into the first messages.
const (
	minSnaplen  = 54
	maxSnaplen  = 200
	snaplenStep = 7
)

// DropPacket removes packet i.
func DropPacket(packets []Packet, i int) []Packet {
	return slices.Delete(slices.Clone(packets), i, i+1)
}

// DropFirst removes the first k packets: the capture was started late.
func DropFirst(packets []Packet, k int) []Packet { return packets[k:] }

// DropLast removes the last k packets: the capture was stopped early.
func DropLast(packets []Packet, k int) []Packet { return packets[:len(packets)-k] }

// A Direction names one direction of a connection.
type Direction int

const (
	// FirstSeen is the direction of the connection's first packet in the capture.
	FirstSeen Direction = iota
	// Other is the opposite one.
	Other
)

func (d Direction) String() string {
	if d == FirstSeen {
		return "first seen"
	}
	return "other"
}

// DropDirection removes one direction of every TCP connection: a route that
// bypasses the capture point.
func DropDirection(packets []Packet, which Direction) []Packet {
	first := map[[2]string]bool{} // source and destination
	var out []Packet
	for _, p := range packets {
		f, ok := parse(p)
		if !ok {
			out = append(out, p)
			continue
		}
		flow := [2]string{f.src, f.dst}
		if !first[[2]string{f.dst, f.src}] {
			first[flow] = true
		}
		if first[flow] != (which == FirstSeen) {
			out = append(out, p)
		}
	}
	return out
}

// Snaplen keeps at most n bytes of every packet, and its length on the wire.
func Snaplen(packets []Packet, n int) []Packet {
	out := slices.Clone(packets)
	for i := range out {
		out[i].Data = out[i].Data[:min(n, len(out[i].Data))]
	}
	return out
}

// Losses enumerates captures that lost something: each single packet, either
// direction, the first or the last K packets for every K, and all that is
// behind a snap length. There are about three times as many as packets.
func Losses(packets []Packet) iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		for _, which := range []Direction{FirstSeen, Other} {
			if !yield(variant(DropDirection(packets, which), "without the direction %v", which)) {
				return
			}
		}
		for n := minSnaplen; n <= maxSnaplen; n += snaplenStep {
			if !yield(variant(Snaplen(packets, n), "snaplen %d", n)) {
				return
			}
		}
		for i := range packets {
			if !yield(variant(DropPacket(packets, i), "without packet %d", i+1)) ||
				!yield(variant(DropFirst(packets, i+1), "without the first %d packets", i+1)) ||
				!yield(variant(DropLast(packets, i+1), "without the last %d packets", i+1)) {
				return
			}
		}
	}
}
