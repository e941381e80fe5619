// Package mutate rewrites captures for tests: the same conversations, carried
// differently. A tool that judges captures has to say the same about every
// rewriting that keeps the bytes of the connections ([All], [Formats], [Mix]),
// and may never say something stronger or different about one that loses
// packets ([Losses]) or adds forged ones ([Attacks]).
//
// Packets are rewritten, not invented: lengths and checksums are made right
// again, acknowledgements and SACK blocks go on naming the bytes they named.
// A capture that was taken with checksum offloading, whose own checksums are
// wrong, therefore leaves with right ones, where a packet was changed.
//
// Everything is deterministic. No function changes the packets it is given,
// but results may share their bytes: treat Data as read-only.
package mutate

import (
	"fmt"

	"distproof/capture"
)

// A Packet is one captured packet, on its own: unlike [capture.Packet] it
// knows no file and stays valid.
type Packet struct {
	// Data holds the captured bytes, starting at the link layer.
	Data []byte
	// Length is the packet's length on the wire in bytes, at least len(Data).
	Length int
	// Time is in nanoseconds since 1970-01-01 UTC.
	Time int64
	// LinkType says how Data begins.
	LinkType capture.LinkType
}

// missing is the number of bytes at the end that were not captured.
func (p Packet) missing() int { return p.Length - len(p.Data) }

// A Mutation is one way to rewrite a capture.
type Mutation struct {
	Name string
	// Apply returns the rewritten capture. It is nil if the mutation finds
	// nothing to work on, such as IPv6 extension headers in an IPv4 capture.
	Apply func([]Packet) []Packet
	// Equal is set if the rewritten capture has the same connections with the
	// same bytes, so that a report about it may differ only in what describes
	// packets: frame numbers, counts of packets, encapsulation, and by
	// microseconds the times.
	Equal bool
}

// All lists the mutations of the packets themselves. For those of the file
// around them see [Formats].
func All() []Mutation {
	all := []Mutation{
		{Name: "resegment 1", Apply: resegment(1), Equal: true},
		{Name: "resegment 7", Apply: resegment(7), Equal: true},
		{Name: "coalesce", Apply: Coalesce, Equal: true},
		{Name: "duplicate", Apply: Duplicate, Equal: true},
		{Name: "retransmit", Apply: Retransmit, Equal: true},
		{Name: "swap even neighbours", Apply: swapNeighbours(0), Equal: true},
		{Name: "swap odd neighbours", Apply: swapNeighbours(1), Equal: true},
		{Name: "wrap", Apply: Wrap, Equal: true},
		{Name: "any interfaces", Apply: AnyInterfaces, Equal: true},
	}
	for _, e := range Encapsulations() {
		all = append(all, Mutation{Name: e.Name, Apply: e.Apply, Equal: true})
	}
	return append(all,
		chain("wrap, resegment 7, swap even neighbours", Wrap, resegment(7), swapNeighbours(0)),
		chain("resegment 7, duplicate, swap odd neighbours", resegment(7), Duplicate, swapNeighbours(1)),
		chain("coalesce, any interfaces", Coalesce, AnyInterfaces),
	)
}

// chain applies several mutations that keep the bytes, one after the other.
func chain(name string, steps ...func([]Packet) []Packet) Mutation {
	return Mutation{Name: name, Equal: true, Apply: func(packets []Packet) []Packet {
		for _, step := range steps {
			if packets = step(packets); packets == nil {
				return nil
			}
		}
		return packets
	}}
}

func resegment(n int) func([]Packet) []Packet {
	return func(packets []Packet) []Packet { return Resegment(packets, n) }
}

func swapNeighbours(first int) func([]Packet) []Packet {
	return func(packets []Packet) []Packet { return SwapNeighbours(packets, first) }
}

// A Variant is one of many rewritings of a capture of one kind.
type Variant struct {
	Name    string
	Packets []Packet
}

func variant(packets []Packet, format string, args ...any) Variant {
	return Variant{Name: fmt.Sprintf(format, args...), Packets: packets}
}
