package decode

import (
	"cmp"
	"net/netip"
	"slices"

	"distproof/decode/epmd"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// NoRequest stands for the request where a connection to a port mapper was
// opened, or tried, and nothing was asked.
const NoRequest = "none"

// An Exchange is what a client asked a port mapper, with how often it did and
// had the same result. Of a connection in which nothing was asked, the outcome
// is that of opening it.
type Exchange struct {
	Client  netip.Addr
	Server  netip.AddrPort
	Request string
	Node    string
	Outcome epmd.Outcome
	Count   uint64
	// First is the frame of the first of them.
	First Frame
}

// exchange finds the connections to port mappers, and lists what was asked.
func (c *Capture) exchange(o Options) {
	index := make(map[Exchange]int)
	all := &c.Registry.Exchanges
	for _, x := range c.Connections {
		x.ToEPMD = x.reachesEPMD(o)
		for _, e := range x.Exchanges() {
			key := Exchange{
				Client: x.Ends[Client].Address.Addr(), Server: x.Ends[Server].Address,
				Request: e.Op, Node: e.Node, Outcome: e.Outcome,
			}
			i, known := index[key]
			if !known {
				i = len(*all)
				index[key] = i
				key.First = e.At.Frame
				*all = append(*all, key)
			}
			(*all)[i].Count++
		}
	}
	slices.SortFunc(*all, func(a, b Exchange) int {
		return cmp.Or(a.Server.Compare(b.Server), a.Client.Compare(b.Client), cmp.Compare(a.Request, b.Request),
			cmp.Compare(a.Node, b.Node), cmp.Compare(a.Outcome, b.Outcome))
	})
}

// reachesEPMD reports whether somebody dialled a port mapper: what is spoken
// there tells, or a port of EPMD on which nothing else is recognised.
func (c *Connection) reachesEPMD(o Options) bool {
	port := c.Ends[Server].Address.Port()
	switch {
	case c.Protocol == EPMD:
		return true
	case c.Protocol != None && c.Protocol != Other || c.guessed() || c.Announced():
		return false
	}
	return port == EPMDPort || slices.Contains(o.EPMDPorts, port)
}

// Exchanges returns what the connection asked a port mapper, at least one if it
// reached one, and none otherwise.
func (c *Connection) Exchanges() []epmd.Exchange {
	if !c.ToEPMD {
		return nil
	}
	var out []epmd.Exchange
	if c.Protocol == EPMD {
		out = epmd.Exchanges(c.EPMD[Client], c.EPMD[Server])
	}
	if len(out) == 0 {
		out = append(out, c.nothingAsked())
	}
	for i := range out {
		if out[i].Outcome == epmd.Unanswered && c.ClosedUnanswered() {
			out[i].Outcome = epmd.Refused
		}
	}
	return out
}

// ClosedUnanswered reports whether a port mapper closed the connection without
// an answer, as EPMD does on requests that it takes from its own host only
// (epmd_srv.c).
func (c *Connection) ClosedUnanswered() bool {
	return c.TCP[Server].End == 0 && c.Ending.Whole && c.Ending.ClosedBy == tls.RoleServer
}

// Entries returns what the connection tells of who listens on which port of the
// server's host; nothing if it is none to a port mapper. Nodes keep a connection
// open as long as they are registered: one that the port mapper closed, and
// answered nothing that was captured, registered none.
func (c *Connection) Entries() []epmd.Entry {
	if c.Protocol != EPMD || c.Ending.ClosedBy == tls.RoleServer && len(c.EPMD[Server].Replies)+len(c.EPMD[Server].Names) == 0 {
		return nil
	}
	return epmd.Entries(c.EPMD[Client], c.EPMD[Server])
}

// nothingAsked describes a connection without a request: whether it came up.
func (c *Connection) nothingAsked() epmd.Exchange {
	e := epmd.Exchange{Op: NoRequest, At: tcp.Position{Frame: c.FirstFrame, Time: c.First}}
	client, server := c.TCP[Client], c.TCP[Server]
	switch {
	case client.End+server.End > 0:
		e.Op = epmd.Unknown
		e.Answered = server.End > 0
	case server.Start == tcp.StartSYN:
		e.Outcome = epmd.Accepted
	case server.RST:
		e.Outcome = epmd.Refused
	}
	return e
}
