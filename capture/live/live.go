// Package live reads packets from network interfaces. It is for Linux: packets
// come through a ring shared with the kernel (AF_PACKET, TPACKET_V3), and a
// filter in the kernel leaves out what cannot matter.
//
// Packets that the kernel lost are counted, so that nobody takes a capture with
// holes for a whole one.
package live

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/bpf"

	"distproof/capture"
	"distproof/capture/link"
)

// Any stands for all interfaces of the namespace, also those that come later.
const Any = "any"

// Options of [Open].
type Options struct {
	// Interfaces are the names of interfaces, or [Any] alone. One that goes away
	// is captured on again when there is one of that name.
	Interfaces []string
	// Wait takes interfaces that are down, or not there at first.
	Wait bool
	// Namespace is the network namespace to capture in: a name below /run/netns,
	// the id of a process, or a path. Empty is the namespace of this process.
	Namespace string
	// Promiscuous asks for packets to other hosts, too, which a switch may send.
	Promiscuous bool
	// HardwareTime takes the times at which network cards say that packets came.
	// They are right only if the cards' clocks are kept in UTC. Packets of
	// interfaces that tell none have the kernel's.
	HardwareTime bool
	// VXLANPorts are UDP ports that carry VXLAN beside the usual ones.
	VXLANPorts []uint16
	// Only restricts what is captured. The kernel decides by it on plain TCP; it
	// lets through what is fragmented, tunnelled or otherwise unusual, on which
	// whoever decodes the packets has to decide: see [link.Options.Only].
	Only link.Restriction
	// Filter takes the place of the filter that leaves out what carries no TCP
	// and what Only does not name; see [ParseFilter].
	Filter []bpf.RawInstruction
	// Buffer is the size of the ring in bytes; zero is [DefaultBuffer].
	Buffer int
}

// InterfaceState says how an interface that is captured on does.
type InterfaceState struct {
	Name string
	// Up says that it is there and can carry packets.
	Up bool
	// Vanished counts how often it was no longer up.
	Vanished uint64
	// Missing says so, and which one may be meant, if there was no interface of
	// this name so far; else it is empty.
	Missing string
}

const (
	// DefaultBuffer is the size of the ring. At 10 Gbit/s it fills in 50 ms.
	DefaultBuffer = 64 << 20
	// MinBuffer and MaxBuffer bound [Options.Buffer].
	MinBuffer = 2 << 20
	MaxBuffer = 2 << 30
)

// check finds options that make no sense.
func (o *Options) check() error {
	if len(o.Interfaces) == 0 {
		return &capture.Error{Reason: "no interface to capture on", Advice: "name interfaces, or any"}
	}
	for i, name := range o.Interfaces {
		if name == Any && len(o.Interfaces) > 1 {
			return &capture.Error{Path: Any, Reason: "has all interfaces already; name no others"}
		}
		if slices.Contains(o.Interfaces[:i], name) {
			return &capture.Error{Path: name, Reason: "named twice"}
		}
	}
	return nil
}

// describe names what is captured, for reports.
func (o *Options) describe() string {
	var only []string
	for _, n := range o.Only.Nets {
		if n.IsSingleIP() {
			only = append(only, "host "+n.Addr().String())
		} else {
			only = append(only, "net "+n.String())
		}
	}
	for _, p := range o.Only.Ports {
		only = append(only, fmt.Sprintf("port %d", p))
	}
	if o.Filter != nil {
		only = append(only, "what a filter takes")
	}
	text := strings.Join(o.Interfaces, ",")
	if len(only) > 0 {
		text += " (only " + strings.Join(only, ", ") + ")"
	}
	return text
}
