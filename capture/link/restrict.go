package link

import (
	"net/netip"
	"slices"
)

// A Restriction names the connections that are of interest. The zero value names
// all.
type Restriction struct {
	// Nets restricts to connections of which an end has an address in one of
	// these networks, and Ports to those of which an end has one of these ports.
	// Addresses and ports are those of TCP itself, inside of all tunnels. An
	// empty list restricts nothing.
	Nets  []netip.Prefix
	Ports []uint16
}

// IsZero reports whether r names all connections.
func (r *Restriction) IsZero() bool { return len(r.Nets) == 0 && len(r.Ports) == 0 }

// Allows reports whether r names the connection between two ends.
func (r *Restriction) Allows(a, b netip.AddrPort) bool {
	return r.allowsPort(a.Port(), b.Port()) && (len(r.Nets) == 0 || r.within(a.Addr()) || r.within(b.Addr()))
}

// allows reports whether a segment is of a connection that r names.
func (r *Restriction) allows(s *Segment) bool {
	return r.allowsPort(s.Src.Port, s.Dst.Port) && (len(r.Nets) == 0 || r.within(s.Src.AddrPort().Addr()) || r.within(s.Dst.AddrPort().Addr()))
}

func (r *Restriction) allowsPort(a, b uint16) bool {
	return len(r.Ports) == 0 || slices.Contains(r.Ports, a) || slices.Contains(r.Ports, b)
}

func (r *Restriction) within(address netip.Addr) bool {
	return slices.ContainsFunc(r.Nets, func(n netip.Prefix) bool { return n.Contains(address) })
}
