package decode

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"maps"
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
	creation  uint32 // 0 if it was not told
	clear     bool   // distribution in the clear; otherwise TLS
	came      bool   // the session was established, or so it seems
}

// naming gathers what names nodes.
type naming struct {
	sightings []sighting
	hosts     map[netip.Addr]string // "" if an address has several
	// loopbacks says that several inputs have connections over loopback: its
	// addresses may be those of several machines.
	loopbacks bool
}

// nameNodes gives names to the ends of connections and lists the nodes.
func (c *Capture) nameNodes() {
	n := naming{hosts: make(map[netip.Addr]string), loopbacks: c.severalLoopbacks()}
	for _, x := range c.Connections {
		if x.InClear {
			n.fromHandshake(x, x.Dist, FromHandshake, fact.Observed)
		}
		if x.IsDecrypted {
			n.fromHandshake(x, x.Decrypted, FromInside, fact.Decrypted)
		}
	}
	for _, x := range c.Connections {
		if x.Protocol == DistTLS {
			c.nameServer(x, &n)
		}
	}
	c.hostsFromCertificates(&n)
	for _, x := range c.Connections {
		if x.Protocol == DistTLS || x.Protocol == Dist || x.Announced() {
			c.correctName(x, &n)
			for side := range x.Ends {
				n.host(&x.Ends[side])
			}
			c.nameByRegistry(x, &n)
		}
	}
	c.nameRegistered(&n)
	c.Nodes = n.nodes()
}

// severalLoopbacks reports whether more than one input has connections over
// loopback.
func (c *Capture) severalLoopbacks() bool {
	first := int64(-1)
	for _, x := range c.Connections {
		if !x.Ends[Server].Address.Addr().IsLoopback() {
			continue
		}
		input := int64(x.FirstFrame.Input)
		if first >= 0 && input != first {
			return true
		}
		first = input
	}
	return false
}

// fromHandshake takes the names that two nodes told each other.
func (n *naming) fromHandshake(x *Connection, sides *[2]dist.Facts, basis string, flags fact.Basis) {
	for side := range sides {
		h := &sides[side].Handshake
		name, creation := h.Name, h.Creation
		if side == Client && h.NameIsHost {
			name, creation = sides[Server].Handshake.GivenName, sides[Server].Handshake.GivenCreation
		}
		if name == "" || !utf8.ValidString(name) || !strings.Contains(name, "@") {
			continue
		}
		x.Ends[side].Node, x.Ends[side].NodeBasis = name, basis
		s := x.sighting(name, basis, side)
		s.handshake, s.flags, s.creation = h, flags, creation
		s.clear, s.came = flags == fact.Observed, sides[Server].Handshake.Version != 0
		n.add(s)
	}
}

// sighting returns that of a node at a side of x.
func (c *Connection) sighting(name, basis string, side int) sighting {
	s := sighting{
		name: name, basis: basis, at: c.Ends[side].Address, listens: side == Server,
		first: c.First, last: c.Last, came: c.TLS != nil && c.TLS.Established.Is(),
	}
	if c.InClear {
		s.clear, s.came = true, c.Dist[Server].Handshake.Version != 0 || c.Dist[Server].Connected
	}
	return s
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

// correctName takes the name away from a server whose client asked for a host
// that is not the one known of the address, and was refused, or refused itself:
// most likely it had been sent to the wrong place.
func (c *Capture) correctName(x *Connection, n *naming) {
	end := &x.Ends[Server]
	asked := end.Host
	switch {
	case end.NodeBasis == FromSNI:
		_, asked, _ = strings.Cut(end.Node, "@")
	case end.HostBasis != HostFromSNI:
		return
	}
	if known := n.hosts[end.Address.Addr()]; known != "" && known != asked && !x.TLS.Established.Is() {
		end.Node, end.NodeBasis, end.Host, end.HostBasis = "", "", "", ""
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
	if len(c.Registry.Names) == 0 {
		return
	}
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
	if a.IsLoopback() && n.loopbacks {
		return
	}
	if known, ok := n.hosts[a]; ok && known != host {
		host = ""
	}
	n.hosts[a] = host
}

// host fills in the host of an end whose node is not known.
func (n *naming) host(e *End) {
	if e.Node != "" || e.Host != "" {
		return
	}
	if host := n.hosts[e.Address.Addr()]; host != "" {
		e.Host, e.HostBasis = host, HostFromAddress
	}
}

// A proof is that the client of a connection between nodes has the key of a
// certificate.
type proof struct {
	by *Connection
	of *soleHost
}

func (p proof) from() netip.Addr { return p.by.Ends[Client].Address.Addr() }

// A soleHost has the name of a certificate that is for one host and was shown from
// one address; "" if there is no name, or several, or it was shown from several.
type soleHost struct {
	name string
	from netip.Addr
}

// clientProofs finds the clients that proved to have the key of a certificate.
func (c *Capture) clientProofs() []proof {
	var out []proof
	bySum := make(map[[sha256.Size]byte]*soleHost)
	byPlace := make(map[*[]byte]*soleHost) // connections share chains
	for _, x := range c.Connections {
		if !x.provesCertificate() {
			continue
		}
		der := &x.TLS.ClientCertificate.Chain[0]
		host := byPlace[der]
		if host == nil {
			sum := sha256.Sum256(*der)
			if host = bySum[sum]; host == nil {
				host = &soleHost{soleName(*der), x.Ends[Client].Address.Addr()}
				bySum[sum] = host
			}
			byPlace[der] = host
		}
		p := proof{x, host}
		if p.from() != host.from {
			host.name = ""
		}
		out = append(out, p)
	}
	return slices.DeleteFunc(out, func(p proof) bool { return p.of.name == "" })
}

// provesCertificate reports whether c is between nodes and its client proved to
// have a certificate's key.
func (c *Connection) provesCertificate() bool {
	return c.Protocol == DistTLS && c.TLS.Established.Is() && c.TLS.ClientCertificate.Signature.Is() && len(c.TLS.ClientCertificate.Chain) > 0
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

// hostsFromCertificates names the hosts of clients by their certificates, if
// nothing else does. Where other connections tell another host of the address,
// it has several, or the certificate is not for a host: nothing is claimed then.
func (c *Capture) hostsFromCertificates(n *naming) {
	proofs := c.clientProofs()
	disputed := make(map[netip.Addr]bool)
	for _, p := range proofs {
		if known := n.hosts[p.from()]; known != "" && known != p.of.name {
			disputed[p.from()] = true
		}
	}
	for a := range disputed {
		n.hosts[a] = ""
	}
	for _, p := range proofs {
		end := &p.by.Ends[Client]
		if end.Node == "" && end.Host == "" && !disputed[p.from()] {
			end.Host, end.HostBasis = p.of.name, HostFromCertificate
		}
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

// An incarnation is a node between two starts, as far as sightings tell: those
// with the same creation or, if none was told, at the same address and port.
type incarnation struct {
	first, last int64
	addresses   map[netip.Addr]bool
	ports       map[uint16]bool // on which it listens
	told        bool            // its creation was
	sightings   []sighting
}

// shares reports whether i and j have an address in common.
func (i *incarnation) shares(j *incarnation) bool { return common(i.addresses, j.addresses) }

func common[T comparable](a, b map[T]bool) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for x := range a {
		if b[x] {
			return true
		}
	}
	return false
}

// excludes reports whether i and j cannot be the same node: both were there at
// the same time, with no address in common, and told different creations or
// listen on different ports. With a common address, the one may be the other's
// successor, whose peers have not noticed yet.
func (i *incarnation) excludes(j *incarnation) bool {
	if i.shares(j) || i.first > j.last || j.first > i.last {
		return false
	}
	if i.told && j.told {
		return true
	}
	return len(i.ports) > 0 && len(j.ports) > 0 && !common(i.ports, j.ports)
}

// An identity is what sightings of an incarnation have in common.
type identity struct {
	creation uint32
	at       netip.AddrPort // valid if there is no creation
}

// apart tells the nodes of one name apart by their incarnations.
func apart(all []sighting) [][]sighting {
	index := make(map[identity]*incarnation)
	var order []*incarnation
	for _, s := range all {
		id := identity{creation: s.creation}
		switch {
		case s.creation != 0:
		case s.listens:
			id.at = s.at
		default:
			id.at = netip.AddrPortFrom(s.at.Addr(), 0)
		}
		i := index[id]
		if i == nil {
			i = &incarnation{first: s.first, last: s.last, told: s.creation != 0, addresses: make(map[netip.Addr]bool), ports: make(map[uint16]bool)}
			index[id] = i
			order = append(order, i)
		}
		i.last = max(i.last, s.last)
		i.addresses[s.at.Addr()] = true
		if s.listens {
			i.ports[s.at.Port()] = true
		}
		i.sightings = append(i.sightings, s)
	}
	// What told its creation is surer.
	known := make([]*incarnation, 0, len(order))
	for _, told := range []bool{true, false} {
		for _, i := range order {
			if i.told == told {
				known = append(known, i)
			}
		}
	}
	return grouped(known)
}

// maxCompared bounds the incarnations of one name that are told apart. What
// has more starts than that is made up.
const maxCompared = 1000

// grouped puts the sightings of incarnations together that may be those of one
// node: first of those with which they share an address.
func grouped(all []*incarnation) [][]sighting {
	var groups [][]*incarnation
	var out [][]sighting
	for n, x := range all {
		at := -1
		for i, g := range groups {
			if n >= maxCompared {
				at = 0
				break
			}
			if slices.ContainsFunc(g, x.excludes) {
				continue
			}
			if at < 0 {
				at = i
			}
			if slices.ContainsFunc(g, x.shares) {
				at = i
				break
			}
		}
		if at < 0 {
			at = len(groups)
			groups, out = append(groups, nil), append(out, nil)
		}
		if n < maxCompared {
			groups[at] = append(groups[at], x)
		}
		out[at] = append(out[at], x.sightings...)
	}
	return out
}

// sureness orders the ways in which a name is known.
var sureness = []string{FromHandshake, FromInside, FromSNI, FromHost}

func newNode(sightings []sighting) *Node {
	slices.SortStableFunc(sightings, func(a, b sighting) int { return cmp.Compare(a.first, b.first) })
	n := &Node{Name: sightings[0].name}
	best := len(sureness)
	addresses, ports, creations := make(map[netip.Addr]bool), make(map[uint16]bool), make(map[uint32]bool)
	for _, s := range sightings {
		if i := slices.Index(sureness, s.basis); i < best {
			n.Basis, best = s.basis, i
		}
		addresses[s.at.Addr()] = true
		if s.listens {
			ports[s.at.Port()] = true
			n.Cleartext = n.Cleartext || s.came && s.clear
			n.TLS = n.TLS || s.came && !s.clear
		}
		if s.creation != 0 && !creations[s.creation] {
			creations[s.creation] = true
			n.Creations = append(n.Creations, s.creation)
		}
		if s.handshake != nil {
			n.describe(s.handshake, s.flags)
		}
	}
	n.Addresses = slices.SortedFunc(maps.Keys(addresses), netip.Addr.Compare)
	n.Ports = slices.Sorted(maps.Keys(ports))
	return n
}

// describe takes what the node said of itself. A node that publishes itself to
// one peer is no hidden one: it may hide from others, if it is told to.
func (n *Node) describe(h *dist.Handshake, basis fact.Basis) {
	if h.Version == 0 {
		return
	}
	if at := h.Flags.AtLeast(); at > n.AtLeast {
		n.AtLeast, n.AtLeastBasis = at, basis
	}
	switch {
	case !h.Flags.Hidden():
		n.Hidden = fact.NoBy(basis, "flag PUBLISHED is set")
	case n.Hidden.Value == fact.Unknown:
		n.Hidden = fact.YesBy(basis, "flag PUBLISHED is not set")
	}
	n.ERTS = fact.YesBy(basis, "flag DIST_HDR_ATOM_CACHE is set")
	if !h.Flags.Has(dist.FlagDistHdrAtomCache) {
		n.ERTS = fact.NoBy(basis, "flag DIST_HDR_ATOM_CACHE is not set")
	}
}
