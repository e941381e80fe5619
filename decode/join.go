package decode

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"distproof/decode/tls"
)

// A Registry is what the port mappers of the capture announced.
type Registry struct {
	// Names are the announcements, sorted and each once.
	Names []Registration
	// Requests counts requests by their name in OTP's documentation.
	Requests map[string]uint64
	// Clients are the addresses that asked, sorted.
	Clients []netip.Addr
	// Exchanges are what was asked, by whom, and with what result; ordered by
	// server, then by client.
	Exchanges []Exchange

	byAddress map[netip.AddrPort][]string
	// overLoopback has the names of what was announced over loopback, by port.
	overLoopback map[uint16][]string
	// hosts are the addresses whose own port mapper answered.
	hosts map[netip.Addr]bool
}

// A Registration is a node's port as a port mapper knows it.
type Registration struct {
	// Node is the name's part before the @.
	Node string
	Host netip.Addr
	Port uint16
}

// join puts together what connections tell of one another. swapped states the
// facts of a connection with client and server exchanged.
func (c *Capture) join(o Options, swapped func(int) *Connection) {
	c.readRegistry()
	for i, x := range c.Connections {
		if c.reversed(x, o) {
			c.Connections[i] = swapped(i)
		}
		c.announce(c.Connections[i], o)
	}
	c.atListeners(swapped)
	c.linkSessions()
	c.nameNodes()
	c.exchange(o)
}

func (c *Capture) readRegistry() {
	r := &c.Registry
	r.Requests, r.byAddress = make(map[string]uint64), make(map[netip.AddrPort][]string)
	r.overLoopback, r.hosts = make(map[uint16][]string), make(map[netip.Addr]bool)
	names, clients := make(map[Registration]bool), make(map[netip.Addr]bool)
	for _, x := range c.Connections {
		if x.Protocol != EPMD {
			continue
		}
		for _, q := range x.EPMD[Client].Requests {
			r.Requests[q.Op]++
		}
		clients[x.Ends[Client].Address.Addr()] = true
		for _, e := range x.Entries() {
			names[Registration{Node: e.Node, Host: x.Ends[Server].Address.Addr(), Port: e.Port}] = true
		}
	}
	r.Names = slices.SortedFunc(maps.Keys(names), func(a, b Registration) int {
		return cmp.Or(a.Host.Compare(b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Node, b.Node))
	})
	r.Clients = slices.SortedFunc(maps.Keys(clients), netip.Addr.Compare)
	for _, n := range r.Names {
		at := netip.AddrPortFrom(n.Host, n.Port)
		r.byAddress[at] = append(r.byAddress[at], n.Node)
		r.hosts[n.Host] = true
		if n.Host == loopback4 || n.Host == loopback6 {
			r.overLoopback[n.Port] = append(r.overLoopback[n.Port], n.Node)
		}
	}
}

var loopback4, loopback6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// announced reports whether EPMD announced an address and port. What a port
// mapper says over loopback holds for every address of its host, which is not
// known.
func (r *Registry) announced(a netip.AddrPort) bool {
	return len(r.byAddress[a]) > 0 || len(r.overLoopback[a.Port()]) > 0
}

// nodeOf returns the name of the node on the given host that listens at e; ""
// if EPMD announced none or several. Where record sizes tell the length of the
// name, it must fit; where the name was only announced over loopback, perhaps
// on another host, they must tell, and e's host must not have a port mapper
// that was asked itself.
func (r *Registry) nodeOf(e *End, host string) string {
	names := r.byAddress[e.Address]
	if len(names) == 0 && e.NodeLength != 0 && !r.hosts[e.Address.Addr()] {
		names = r.overLoopback[e.Address.Port()]
	}
	found := ""
	for _, short := range names {
		switch name := short + "@" + host; {
		case e.NodeLength != 0 && e.NodeLength != len(name):
		case found != "" && found != name:
			return ""
		default:
			found = name
		}
	}
	return found
}

// reversed reports whether x's client, so far as nothing but its port made it
// one, has a port on which EPMD or the user says that a node listens.
func (c *Capture) reversed(x *Connection, o Options) bool {
	listens := func(side int) bool {
		return c.Registry.announced(x.Ends[side].Address) || slices.Contains(o.Ports, x.Ends[side].Address.Port())
	}
	return x.Protocol != EPMD && x.guessed() && listens(Client) && !listens(Server)
}

// guessed reports whether nothing but ports told client and server apart.
func (c *Connection) guessed() bool {
	return c.RolesBasis == rolesByPort || c.RolesBasis == rolesUnknown
}

// RolesUnknown reports whether nothing tells which end is the server.
func (c *Connection) RolesUnknown() bool { return c.RolesBasis == rolesUnknown }

// announce turns a connection into one of distribution if EPMD or the user
// named its port. Which side is the server shows by the same.
func (c *Capture) announce(x *Connection, o Options) {
	if x.Protocol == EPMD {
		return
	}
	guessed, named := x.guessed(), false
	if slices.Contains(o.Ports, x.Ends[Server].Address.Port()) {
		x.ProtocolBasis = basisOf(x.ProtocolBasis, []string{ByPort})
		named = true
		if guessed {
			x.RolesBasis = rolesByPort
		}
	}
	if c.Registry.announced(x.Ends[Server].Address) {
		x.ProtocolBasis = basisOf([]string{ByEPMD}, x.ProtocolBasis)
		named = true
		if guessed {
			x.RolesBasis = "epmd"
		}
	}
	if named && x.Protocol == TLS && x.TLS.Begun() {
		x.Protocol = DistTLS
		if x.TLS.Ticks {
			x.addBasis(ByTicks)
		}
	}
	if x.Protocol == DistTLS && x.TLS.Shape.Exact && x.TLS.Shape.Stage >= tls.StageReply && named && x.TLS.Established.Is() {
		x.Ends[Client].NodeLength, x.Ends[Server].NodeLength = x.TLS.Shape.ClientName, x.TLS.Shape.ServerName
	}
}

// linkSessions finds the full handshakes of resumed sessions. Only session state
// that was read counts, issued by the same server before: in the clear, or in
// TLS 1.3, where the session id means nothing, tickets that were decrypted.
func (c *Capture) linkSessions() {
	sessions := c.wantedSessions()
	if len(sessions.wanted) == 0 {
		return
	}
	for _, x := range c.Connections {
		if x.TLS == nil {
			continue
		}
		origin := x
		if !x.TLS.Resumed.Isnt() {
			origin = sessions.origin(x)
			x.ResumedFrom = origin
		}
		if origin != nil && x.TLS.Established.Is() {
			sessions.add(x, origin)
		}
	}
}

// sessions has the full handshakes behind session ids and tickets; nil where
// one stands for several. Those that nobody came with are left out: every full
// handshake issues one.
type sessions struct {
	origins map[sessionKey]*Connection
	wanted  map[sessionKey]bool
}

// wantedSessions returns sessions with what clients came with.
func (c *Capture) wantedSessions() sessions {
	s := sessions{make(map[sessionKey]*Connection), make(map[sessionKey]bool)}
	for _, x := range c.Connections {
		if x.TLS == nil || x.TLS.Resumed.Isnt() {
			continue
		}
		for _, t := range x.TLS.Offered {
			s.wanted[sessionKey{t, x.Ends[Server].Address}] = true
		}
		if h := x.TLS.Client; h != nil && h.Ticket != (tls.Ticket{}) {
			s.wanted[sessionKey{h.Ticket, x.Ends[Server].Address}] = true
		}
	}
	return s
}

type sessionKey struct {
	ticket tls.Ticket
	server netip.AddrPort
}

// origin returns the full handshake of the session that x resumed; nil if it is
// not known, or not beyond doubt.
func (s sessions) origin(x *Connection) *Connection {
	var found *Connection
	for _, t := range x.TLS.Offered {
		origin, known := s.origins[sessionKey{t, x.Ends[Server].Address}]
		switch {
		case !known:
		case origin == nil, found != nil && found != origin:
			return nil
		default:
			found = origin
		}
	}
	// A server goes by the ticket, if one is offered, and echoes any session id
	// beside it (RFC 5077, Section 3.4): the id may be somebody else's.
	if h := x.TLS.Client; h != nil && !x.TLS.Version.Is13() && h.Ticket != (tls.Ticket{}) && s.origins[sessionKey{h.Ticket, x.Ends[Server].Address}] == nil {
		return nil
	}
	if found != nil && !found.TLS.Continues(x.TLS) {
		return nil
	}
	return found
}

func (s sessions) add(x, origin *Connection) {
	for _, t := range x.TLS.Issued {
		key := sessionKey{t, x.Ends[Server].Address}
		known, again := s.origins[key]
		switch {
		case again && known != origin:
			s.origins[key] = nil
		case s.wanted[key]:
			s.origins[key] = origin
		}
	}
}
