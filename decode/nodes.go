package decode

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"distproof/decode/dist"
	"distproof/decode/fact"
)

// How the name of a node is known, in [Node.Basis] and [End.NodeBasis], from the
// surest on: it said so itself, in the clear or inside TLS; EPMD knows the first
// part of the name by the port, and the host was asked for by the client
// (server_name), or is that of the address in other connections.
const (
	FromHandshake = "handshake"
	FromInside    = "decrypted"
	FromSNI       = "epmd+sni"
	FromHost      = "epmd+host"
)

// How the host part of a node's name is known, in [End.HostBasis].
const (
	// HostFromSNI: the client asked for it.
	HostFromSNI = "sni"
	// HostFromCertificate: the node proved to have the key of a certificate for
	// this name and no other.
	HostFromCertificate = "certificate"
	// HostFromAddress: that of the address in other connections.
	HostFromAddress = "address"
)

// A Node is an Erlang node that the capture names.
type Node struct {
	Name string
	// Basis is the surest way in which the name is known.
	Basis     string
	Addresses []netip.Addr
	// Ports are those on which it listens.
	Ports []uint16
	// Creations are the incarnations that it told, in the order in which they
	// were seen: another one for each start.
	Creations []uint32
	// AtLeast is the oldest OTP release that sets the node's flags; 0 if unknown.
	// AtLeastBasis is how they are known; None if they are not.
	AtLeast      int
	AtLeastBasis fact.Basis
	// Hidden: it does not publish itself to the cluster.
	Hidden fact.Fact
	// ERTS: it is a node of Erlang's own runtime. A C node, or one of another
	// implementation, keeps no atom cache.
	ERTS fact.Fact
	// Cleartext and TLS say how its listener was seen to speak distribution.
	Cleartext, TLS bool
}

// A sighting is a place where a node was named.
type sighting struct {
	name, basis string
	at          netip.AddrPort
	listens     bool // at is where the node listens
	first, last int64
	// handshake is what the node said of itself, known by flags; nil if it did not.
	handshake *dist.Handshake
	flags     fact.Basis
	clear     bool // distribution in the clear; otherwise TLS
	came      bool // the session was established, or so it seems
}

// naming gathers what names nodes.
type naming struct {
	sightings []sighting
	hosts     map[netip.Addr]string // "" if an address has several
}

// nameNodes gives names to the ends of connections and lists the nodes.
func (c *Capture) nameNodes() {
	n := naming{hosts: make(map[netip.Addr]string)}
	for _, x := range c.Connections {
		if x.InClear {
			n.fromHandshake(x, &x.Dist, FromHandshake, fact.Observed)
		}
		if x.IsDecrypted {
			n.fromHandshake(x, &x.Decrypted, FromInside, fact.Decrypted)
		}
	}
	for _, x := range c.Connections {
		if x.Protocol == DistTLS {
			c.nameServer(x, &n)
		}
	}
	certificates := c.soleHosts()
	for _, x := range c.Connections {
		if x.Protocol == DistTLS || x.Protocol == Dist || x.Announced() {
			for side := range x.Ends {
				n.host(&x.Ends[side])
			}
			c.nameByRegistry(x, &n)
			certificates.host(x)
		}
	}
	c.nameRegistered(&n)
	c.Nodes = n.nodes()
}

// fromHandshake takes the names that two nodes told each other.
func (n *naming) fromHandshake(x *Connection, sides *[2]dist.Facts, basis string, flags fact.Basis) {
	for side := range sides {
		h := &sides[side].Handshake
		name := h.Name
		if side == Client && h.NameIsHost {
			name = sides[Server].Handshake.GivenName
		}
		if name == "" || !utf8.ValidString(name) || !strings.Contains(name, "@") {
			continue
		}
		x.Ends[side].Node, x.Ends[side].NodeBasis = name, basis
		s := x.sighting(name, basis, side)
		s.handshake, s.flags = h, flags
		s.clear, s.came = flags == fact.Observed, sides[Server].Handshake.Version != 0
		n.add(s)
	}
}

// sighting returns that of a node at a side of x.
func (c *Connection) sighting(name, basis string, side int) sighting {
	return sighting{
		name: name, basis: basis, at: c.Ends[side].Address, listens: side == Server,
		first: c.First, last: c.Last, came: c.TLS != nil && c.TLS.Established.Is(),
	}
}

// nameServer names the server of a TLS connection: EPMD knows the name of its
// port, and the client asked for its host. If the record lengths tell another
// length of the name, something is amiss, and nothing is claimed.
func (c *Capture) nameServer(x *Connection, n *naming) {
	if x.TLS.Client == nil || x.Ends[Server].Node != "" {
		return
	}
	end, host := &x.Ends[Server], x.TLS.Client.ServerName
	tooLong := end.NodeLength != 0 && end.NodeLength < len("x@")+len(host)
	if host == "" || strings.Contains(host, "@") || tooLong {
		return
	}
	if end.Node = c.Registry.nodeOf(end, host); end.Node != "" {
		end.NodeBasis = FromSNI
	} else {
		end.Host, end.HostBasis = host, HostFromSNI
	}
	if !x.TLS.Established.Is() {
		return // the client may have asked for another server: nothing follows for others
	}
	n.seeHost(end.Address.Addr(), host)
	if end.Node != "" {
		n.add(x.sighting(end.Node, end.NodeBasis, Server))
	}
}

// nameByRegistry names a server whose host is known from other connections.
func (c *Capture) nameByRegistry(x *Connection, n *naming) {
	end := &x.Ends[Server]
	if end.Node != "" || end.Host == "" {
		return
	}
	if end.Node = c.Registry.nodeOf(end, end.Host); end.Node == "" {
		return
	}
	end.NodeBasis, end.Host, end.HostBasis = FromHost, "", ""
	n.add(x.sighting(end.Node, end.NodeBasis, Server))
}

// nameRegistered names the nodes that EPMD announced and nobody reached, where
// the host of the address is known.
func (c *Capture) nameRegistered(n *naming) {
	reached := make(map[netip.AddrPort]bool)
	for _, x := range c.Connections {
		reached[x.Ends[Server].Address] = true
	}
	for _, r := range c.Registry.Names {
		at := netip.AddrPortFrom(r.Host, r.Port)
		if host := n.hosts[r.Host]; host != "" && !reached[at] {
			n.add(sighting{name: r.Node + "@" + host, basis: FromHost, at: at, listens: true})
		}
	}
}

func (n *naming) add(s sighting) {
	n.sightings = append(n.sightings, s)
	_, host, _ := strings.Cut(s.name, "@")
	n.seeHost(s.at.Addr(), host)
}

func (n *naming) seeHost(a netip.Addr, host string) {
	if known, ok := n.hosts[a]; ok && known != host {
		host = ""
	}
	n.hosts[a] = host
}

// host fills in the host of an end whose node is not known.
func (n *naming) host(e *End) {
	if host := n.hosts[e.Address.Addr()]; e.Node == "" && e.Host == "" && host != "" {
		e.Host, e.HostBasis = host, HostFromAddress
	}
}

// soleHosts has the names of certificates that are for one host and were shown
// from one address.
type soleHosts map[[32]byte]soleHost

type soleHost struct {
	name string // "" if there is no name, or several
	from netip.Addr
}

// soleHosts reads the clients' certificates whose key was proved.
func (c *Capture) soleHosts() soleHosts {
	out := make(soleHosts)
	for _, x := range c.Connections {
		key, ok := x.provedCertificate()
		if !ok {
			continue
		}
		from := x.Ends[Client].Address.Addr()
		known, seen := out[key]
		switch {
		case !seen:
			out[key] = soleHost{soleName(x.TLS.ClientCertificate.Chain[0]), from}
		case known.from != from:
			out[key] = soleHost{}
		}
	}
	return out
}

// provedCertificate returns the sum of the certificate whose key the client of a
// connection between nodes proved to have.
func (c *Connection) provedCertificate() (sum [32]byte, ok bool) {
	if c.Protocol != DistTLS || !c.TLS.Established.Is() || !c.TLS.ClientCertificate.Signature.Is() || len(c.TLS.ClientCertificate.Chain) == 0 {
		return sum, false
	}
	return sha256.Sum256(c.TLS.ClientCertificate.Chain[0]), true
}

// soleName returns the one host that a certificate is for; "" if there are none
// or several.
func soleName(der []byte) string {
	cert, err := x509.ParseCertificate(der)
	if err != nil || len(cert.DNSNames) != 1 || strings.ContainsAny(cert.DNSNames[0], "*@") {
		return ""
	}
	return cert.DNSNames[0]
}

// host names the client's host by its certificate, if nothing else does.
func (h soleHosts) host(x *Connection) {
	end := &x.Ends[Client]
	if key, ok := x.provedCertificate(); ok && end.Node == "" && end.Host == "" && h[key].name != "" {
		end.Host, end.HostBasis = h[key].name, HostFromCertificate
	}
}

// nodes puts the sightings of each node together. Several nodes have the same
// name if incarnations of it were there at the same time at different addresses.
func (n *naming) nodes() []*Node {
	slices.SortStableFunc(n.sightings, func(a, b sighting) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.first, b.first))
	})
	var out []*Node
	for rest := n.sightings; len(rest) > 0; {
		end := 1
		for end < len(rest) && rest[end].name == rest[0].name {
			end++
		}
		for _, group := range apart(rest[:end]) {
			out = append(out, newNode(group))
		}
		rest = rest[end:]
	}
	return out
}

// An incarnation is a node between two starts.
type incarnation struct {
	creation    uint32
	first, last int64
	sightings   []sighting
}

func (i *incarnation) has(a netip.Addr) bool {
	return slices.ContainsFunc(i.sightings, func(s sighting) bool { return s.at.Addr() == a })
}

// excludes reports whether i and j cannot be the same node: both were there at
// the same time, with no address in common. Without the latter, the one may be
// the other's successor, whose peers have not noticed yet.
func (i *incarnation) excludes(j *incarnation) bool {
	shared := slices.ContainsFunc(i.sightings, func(s sighting) bool { return j.has(s.at.Addr()) })
	return !shared && i.first <= j.last && j.first <= i.last
}

// apart tells the nodes of one name apart by their incarnations.
func apart(all []sighting) [][]sighting {
	var known []*incarnation
	var others []sighting
	for _, s := range all {
		creation := s.creation()
		if creation == 0 {
			others = append(others, s)
			continue
		}
		i := slices.IndexFunc(known, func(x *incarnation) bool { return x.creation == creation })
		if i < 0 {
			i = len(known)
			known = append(known, &incarnation{creation: creation, first: s.first})
		}
		known[i].last = max(known[i].last, s.last)
		known[i].sightings = append(known[i].sightings, s)
	}
	groups := grouped(known)
	if len(groups) == 0 {
		return [][]sighting{others}
	}
	out := make([][]sighting, len(groups))
	for i, g := range groups {
		for _, x := range g {
			out[i] = append(out[i], x.sightings...)
		}
	}
	for _, s := range others {
		i := slices.IndexFunc(groups, func(g []*incarnation) bool {
			return slices.ContainsFunc(g, func(x *incarnation) bool { return x.has(s.at.Addr()) })
		})
		out[max(i, 0)] = append(out[max(i, 0)], s)
	}
	return out
}

// grouped puts incarnations together that may be those of one node.
func grouped(all []*incarnation) [][]*incarnation {
	var groups [][]*incarnation
	for _, x := range all {
		i := slices.IndexFunc(groups, func(g []*incarnation) bool {
			return !slices.ContainsFunc(g, x.excludes)
		})
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], x)
	}
	return groups
}

// creation returns the incarnation that the node told; 0 if it did not.
func (s *sighting) creation() uint32 {
	if s.handshake == nil {
		return 0
	}
	return s.handshake.Creation
}

// sureness orders the ways in which a name is known.
var sureness = []string{FromHandshake, FromInside, FromSNI, FromHost}

func newNode(sightings []sighting) *Node {
	n := &Node{Name: sightings[0].name}
	best := len(sureness)
	for _, s := range sightings {
		if i := slices.Index(sureness, s.basis); i < best {
			n.Basis, best = s.basis, i
		}
		n.Addresses = appendNew(n.Addresses, s.at.Addr())
		if s.listens {
			n.Ports = appendNew(n.Ports, s.at.Port())
			n.Cleartext = n.Cleartext || s.came && s.clear
			n.TLS = n.TLS || s.came && !s.clear
		}
		if s.handshake != nil {
			n.describe(s.handshake, s.flags)
		}
	}
	slices.SortFunc(n.Addresses, netip.Addr.Compare)
	slices.Sort(n.Ports)
	return n
}

// describe takes what the node said of itself.
func (n *Node) describe(h *dist.Handshake, basis fact.Basis) {
	if h.Creation != 0 {
		n.Creations = appendNew(n.Creations, h.Creation)
	}
	if h.Version == 0 {
		return
	}
	if at := h.Flags.AtLeast(); at > n.AtLeast {
		n.AtLeast, n.AtLeastBasis = at, basis
	}
	n.Hidden, n.ERTS = fact.YesBy(basis, "flag PUBLISHED is not set"), fact.YesBy(basis, "flag DIST_HDR_ATOM_CACHE is set")
	if !h.Flags.Hidden() {
		n.Hidden = fact.NoBy(basis, "flag PUBLISHED is set")
	}
	if !h.Flags.Has(dist.FlagDistHdrAtomCache) {
		n.ERTS = fact.NoBy(basis, "flag DIST_HDR_ATOM_CACHE is not set")
	}
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
