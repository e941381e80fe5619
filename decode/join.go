package decode

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"distproof/decode/epmd"
	"distproof/decode/fact"
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

	byAddress map[netip.AddrPort]string
}

// A Registration is a node's port as a port mapper knows it.
type Registration struct {
	// Node is the name's part before the @.
	Node string
	Host netip.Addr
	Port uint16
}

// A Node is an Erlang node that the capture names.
type Node struct {
	Name string
	// Basis is how the name is known: "handshake"; "epmd+sni": its port's name
	// is from EPMD and its host from the client's server_name; "epmd+host": its
	// host is that of its address in other connections.
	Basis     string
	Addresses []netip.Addr
	Ports     []uint16
	// AtLeast is the oldest OTP release that sets the node's flags; 0 if unknown.
	AtLeast int
}

// join puts together what connections tell of one another.
func (c *Capture) join(o Options) {
	c.readRegistry()
	for _, x := range c.Connections {
		c.announce(x, o)
	}
	c.linkSessions()
	c.nameNodes()
}

func (c *Capture) readRegistry() {
	r := &c.Registry
	r.Requests, r.byAddress = make(map[string]uint64), make(map[netip.AddrPort]string)
	names, clients := make(map[Registration]bool), make(map[netip.Addr]bool)
	for _, x := range c.Connections {
		if x.Protocol != EPMD {
			continue
		}
		for _, q := range x.EPMD[Client].Requests {
			r.Requests[q.Op]++
		}
		clients[x.Ends[Client].Address.Addr()] = true
		for _, e := range epmd.Entries(x.EPMD[Client], x.EPMD[Server]) {
			names[Registration{Node: e.Node, Host: x.Ends[Server].Address.Addr(), Port: e.Port}] = true
		}
	}
	r.Names = slices.SortedFunc(maps.Keys(names), func(a, b Registration) int {
		return cmp.Or(a.Host.Compare(b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Node, b.Node))
	})
	r.Clients = slices.SortedFunc(maps.Keys(clients), netip.Addr.Compare)
	for _, n := range r.Names {
		if at := netip.AddrPortFrom(n.Host, n.Port); r.byAddress[at] == "" {
			r.byAddress[at] = n.Node
		}
	}
}

// announced returns the name under which EPMD announced an address and port.
// What a port mapper says over loopback holds for every address of its host,
// which is not known.
func (r *Registry) announced(a netip.AddrPort) (string, bool) {
	for _, host := range []netip.Addr{a.Addr(), loopback4, loopback6} {
		if name, ok := r.byAddress[netip.AddrPortFrom(host, a.Port())]; ok {
			return name, true
		}
	}
	return "", false
}

var loopback4, loopback6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// announce turns a connection into one of distribution if EPMD or the user
// named its port. Which side is the server shows by the same.
func (c *Capture) announce(x *Connection, o Options) {
	if x.Protocol == EPMD {
		return
	}
	byEPMD := func(side int) bool { _, ok := c.Registry.announced(x.Ends[side].Address); return ok }
	byPort := func(side int) bool { return slices.Contains(o.Ports, x.Ends[side].Address.Port()) }
	guessed := x.RolesBasis == "port" || x.RolesBasis == rolesUnknown
	if guessed && !byEPMD(Server) && !byPort(Server) && (byEPMD(Client) || byPort(Client)) {
		x.swap()
	}
	named := false
	if byEPMD(Server) {
		x.ProtocolBasis = slices.Insert(x.ProtocolBasis, 0, ByEPMD)
		named = true
		if guessed {
			x.RolesBasis = "epmd"
		}
	}
	if byPort(Server) {
		x.ProtocolBasis = append(x.ProtocolBasis, ByPort)
		named = true
	}
	if named && x.Protocol == TLS && x.TLS.Begun() {
		x.Protocol = DistTLS
		if x.TLS.Ticks {
			x.addBasis(ByTicks)
		}
	}
	if x.Protocol == DistTLS && x.TLS.Shape.Exact && named && x.TLS.Established.Is() {
		x.Ends[Client].NodeLength, x.Ends[Server].NodeLength = x.TLS.Shape.ClientName, x.TLS.Shape.ServerName
	}
}

// swap exchanges client and server, where nothing but ports had told them apart.
func (c *Connection) swap() {
	swap(&c.Ends)
	swap(&c.TCP)
	swap(&c.Dist)
	swap(&c.EPMD)
	swap(&c.Unidentified)
	if c.TLS != nil {
		swap(&c.TLS.Foreign)
		swap(&c.TLS.Preamble)
		swap(&c.TLS.Records)
		swap(&c.TLS.Sealed)
	}
	switch c.Ending.ClosedBy {
	case tls.RoleClient:
		c.Ending.ClosedBy = tls.RoleServer
	case tls.RoleServer:
		c.Ending.ClosedBy = tls.RoleClient
	}
}

func swap[T any](p *[2]T) { p[0], p[1] = p[1], p[0] }

// linkSessions finds the full handshakes of resumed sessions. Only session state
// that crossed in the clear, issued by the same server before, counts.
func (c *Capture) linkSessions() {
	type key struct {
		ticket tls.Ticket
		server netip.AddrPort
	}
	issued := make(map[key]*Connection)
	for _, x := range c.Connections {
		if x.TLS == nil || !x.TLS.Established.Is() {
			continue
		}
		server := x.Ends[Server].Address
		if x.TLS.Resumed.Is() {
			for _, t := range x.TLS.Offered {
				if origin := issued[key{t, server}]; origin != nil {
					x.ResumedFrom = origin
				}
			}
		}
		origin := x
		if x.TLS.Resumed.Value != fact.No {
			origin = x.ResumedFrom
		}
		if origin == nil {
			continue
		}
		for _, t := range x.TLS.Issued {
			if _, known := issued[key{t, server}]; !known {
				issued[key{t, server}] = origin
			}
		}
	}
}

// nameNodes gives names to the ends of connections and lists the nodes.
func (c *Capture) nameNodes() {
	names := nodeNames{byName: make(map[string]*Node), hosts: make(map[netip.Addr]string)}
	for _, x := range c.Connections {
		if x.InClear {
			names.fromHandshake(x)
		}
	}
	for _, x := range c.Connections {
		if x.Protocol == DistTLS {
			c.nameServer(x, &names)
		}
	}
	for _, x := range c.Connections {
		if x.Protocol == DistTLS || x.Protocol == Dist || x.Announced() {
			for side := range x.Ends {
				names.host(&x.Ends[side])
			}
			c.nameByRegistry(x, &names)
		}
	}
	c.Nodes = names.sorted()
}

type nodeNames struct {
	byName map[string]*Node
	hosts  map[netip.Addr]string // "" if an address has several
}

func (n *nodeNames) fromHandshake(x *Connection) {
	for side := range x.Dist {
		h := x.Dist[side].Handshake
		name := h.Name
		if side == Client && h.NameIsHost {
			name = x.Dist[Server].Handshake.GivenName
		}
		if name == "" || !utf8.ValidString(name) || !strings.Contains(name, "@") {
			continue
		}
		x.Ends[side].Node, x.Ends[side].NodeBasis = name, "handshake"
		node := n.add(name, "handshake", x.Ends[side].Address, side == Server)
		node.AtLeast = max(node.AtLeast, h.Flags.AtLeast())
	}
}

// nameServer names the server of a TLS connection: EPMD knows the name of its
// port, and the client asked for its host. If the record lengths tell another
// length of the name, something is amiss, and nothing is claimed.
func (c *Capture) nameServer(x *Connection, names *nodeNames) {
	if x.TLS.Client == nil || x.TLS.Client.ServerName == "" {
		return
	}
	end := &x.Ends[Server]
	host := x.TLS.Client.ServerName
	names.seeHost(end.Address.Addr(), host)
	short, ok := c.Registry.announced(end.Address)
	if !ok || end.NodeLength != 0 && end.NodeLength != len(short)+1+len(host) {
		end.Host = host
		return
	}
	end.Node, end.NodeBasis = short+"@"+host, "epmd+sni"
	names.add(end.Node, end.NodeBasis, end.Address, true)
}

// nameByRegistry names a server whose host is known from other connections.
func (c *Capture) nameByRegistry(x *Connection, names *nodeNames) {
	end := &x.Ends[Server]
	short, ok := c.Registry.announced(end.Address)
	if end.Node != "" || end.Host == "" || !ok || end.NodeLength != 0 && end.NodeLength != len(short)+1+len(end.Host) {
		return
	}
	end.Node, end.NodeBasis, end.Host = short+"@"+end.Host, "epmd+host", ""
	names.add(end.Node, end.NodeBasis, end.Address, true)
}

func (n *nodeNames) add(name, basis string, at netip.AddrPort, server bool) *Node {
	node := n.byName[name]
	if node == nil {
		node = &Node{Name: name, Basis: basis}
		n.byName[name] = node
	}
	if !slices.Contains(node.Addresses, at.Addr()) {
		node.Addresses = append(node.Addresses, at.Addr())
	}
	if server && !slices.Contains(node.Ports, at.Port()) {
		node.Ports = append(node.Ports, at.Port())
	}
	_, host, _ := strings.Cut(name, "@")
	n.seeHost(at.Addr(), host)
	return node
}

func (n *nodeNames) seeHost(a netip.Addr, host string) {
	if known, ok := n.hosts[a]; ok && known != host {
		host = ""
	}
	n.hosts[a] = host
}

// host fills in the host of an end whose node is not known.
func (n *nodeNames) host(e *End) {
	if e.Node == "" && e.Host == "" {
		e.Host = n.hosts[e.Address.Addr()]
	}
}

func (n *nodeNames) sorted() []*Node {
	var out []*Node
	for _, node := range n.byName {
		slices.SortFunc(node.Addresses, netip.Addr.Compare)
		slices.Sort(node.Ports)
		out = append(out, node)
	}
	slices.SortFunc(out, func(a, b *Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
