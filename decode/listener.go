package decode

import (
	"net/netip"
	"slices"
)

// atListeners turns connections into ones of distribution whose server is one
// in another connection, which shows it by itself: what reaches the same
// address and port is distribution too, even where its own bytes do not tell.
func (c *Capture) atListeners(swapped func(int) *Connection) {
	listeners := make(map[netip.AddrPort]bool)
	for _, x := range c.Connections {
		if x.ShowsListener() {
			listeners[x.Ends[Server].Address] = true
		}
	}
	for i, x := range c.Connections {
		if x.Protocol == EPMD || len(x.ProtocolBasis) > 0 {
			continue
		}
		if x.guessed() && listeners[x.Ends[Client].Address] && !listeners[x.Ends[Server].Address] {
			x = swapped(i)
			c.Connections[i] = x
		}
		if !listeners[x.Ends[Server].Address] {
			continue
		}
		x.addBasis(ByListener)
		if x.guessed() {
			x.RolesBasis = ByListener
		}
		if x.Protocol == TLS && x.TLS.Begun() {
			x.Protocol = DistTLS
		}
	}
}

// ShowsListener reports whether the connection shows beyond doubt that its
// server listens for distribution: by the whole handshake in sizes or in the
// clear, or by the server's part of it.
func (c *Connection) ShowsListener() bool {
	switch {
	case c.guessed():
		return false
	case c.Protocol == Dist:
		return c.Dist[Server].Handshake.Version != 0
	}
	return c.Protocol == DistTLS && slices.Contains(c.ProtocolBasis, ByRecordSizes)
}
