// Package live reads packets from network interfaces. It is for Linux: packets
// come through a ring shared with the kernel (AF_PACKET, TPACKET_V3), and a
// filter in the kernel leaves out what cannot matter.
//
// Packets that the kernel lost are counted, so that nobody takes a capture with
// holes for a whole one.
package live

import (
	"net"
	"strings"

	"distproof/capture"
)

// Any stands for all interfaces of the namespace, also those that come later.
const Any = "any"

// Options of [Open].
type Options struct {
	// Interfaces are the names of interfaces, or [Any] alone.
	Interfaces []string
	// Namespace is the network namespace to capture in: a name below /run/netns,
	// the id of a process, or a path. Empty is the namespace of this process.
	Namespace string
	// Promiscuous asks for packets to other hosts, too, which a switch may send.
	Promiscuous bool
	// VXLANPorts are UDP ports that carry VXLAN beside the usual ones.
	VXLANPorts []uint16
	// Buffer is the size of the ring in bytes; zero is [DefaultBuffer].
	Buffer int
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
	for _, name := range o.Interfaces {
		if name == Any && len(o.Interfaces) > 1 {
			return &capture.Error{Path: Any, Reason: "has all interfaces already; name no others"}
		}
	}
	return nil
}

// adviceInterfaces lists what there is.
func adviceInterfaces(all []net.Interface) string {
	var names []string
	for _, i := range all {
		name := i.Name
		if i.Flags&net.FlagUp == 0 {
			name += " (down)"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "there is none"
	}
	return "the interfaces are " + strings.Join(names, ", ") + ", and any for all of them"
}
