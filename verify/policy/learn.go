package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tls"
	"distproof/verify"
)

// ephemeral is the first of the ports that systems give out themselves (Linux;
// others begin later): such a port is another one at the node's next start.
const ephemeral = 32768

// A Sample is a capture of a cluster that is well, from which a policy is learnt.
type Sample struct {
	// Names are those of the files.
	Names   []string
	Capture *decode.Capture
	Cover   verify.Coverage
	Require verify.Requirement
	Now     time.Time
}

// Learn writes a policy that the sample keeps. It is an error if the sample does
// not meet the requirement itself.
func Learn(s Sample) ([]byte, error) {
	base := verify.Judge(s.Capture, s.Cover, verify.Options{ExpiresWithin: ExpiresWithin, Policy: verify.Policy{Require: s.Require, Now: s.Now}})
	if base.Outcome != verify.Pass {
		return nil, fmt.Errorf("the capture is no good example (%s): %s", base.Outcome, base.Reason)
	}
	l := learner{Sample: s, base: base}
	l.look()
	if len(l.up) == 0 {
		return nil, fmt.Errorf("the capture is no good example: no session between nodes came up (%s)", base.Reason)
	}
	l.write()
	text := []byte(l.out.String())
	f, err := Parse(text, Name)
	if err != nil {
		return nil, fmt.Errorf("what was learnt is no policy: %w", err)
	}
	f.Options.Policy.Now = s.Now
	if j := verify.Judge(s.Capture, s.Cover, f.Options); j.Outcome != verify.Pass {
		return nil, fmt.Errorf("the capture does not keep what was learnt from it (%s): %s", j.Outcome, j.Reason)
	}
	return text, nil
}

// A learner looks at a sample and writes what it saw.
type learner struct {
	Sample
	base *verify.Judgement
	out  strings.Builder

	// up are the connections that came up, by their place in the capture.
	up    []int
	nodes map[string]string // patterns, and how they are known
	// hidden says that names of nodes that dialled are. unnamed are the addresses of
	// those of which the host is not known either, or only because somebody else
	// dialled it, which may not be so at the next start.
	hidden    bool
	unnamed   []string
	addresses map[netip.Addr]bool
	ports     []uint16
	guessed   bool                    // a port may be the client's
	edges     map[[2]string][2]string // pairs, and how their ends were seen first
	// tools says that some ends are command-line tools, and toolPorts on which ports
	// tools of RabbitMQ may listen.
	tools     bool
	toolPorts []string
	version   tls.Version
	cas       map[string]string // fingerprints, and whose they are
	hiddenCA  string            // why not all CAs are known; "" if they are
	epmdPorts []uint16
}

func (l *learner) look() {
	l.nodes, l.cas = make(map[string]string), make(map[string]string)
	l.addresses, l.edges = make(map[netip.Addr]bool), make(map[[2]string][2]string)
	for i, c := range l.Capture.Connections {
		k := l.base.Conclusions[i]
		if c.Protocol == decode.EPMD {
			l.epmdPorts = add(l.epmdPorts, c.Ends[decode.Server].Address.Port())
		}
		if k.Verdict == verify.NoVerdict || k.Verdict == verify.Refused || k.State != verify.Up && k.State != verify.Midstream {
			continue
		}
		l.up = append(l.up, i)
		l.lookAt(c, l.base.Certificates[i])
	}
	if l.hidden {
		l.nodes = byHost(l.nodes)
	}
	slices.Sort(l.ports)
	slices.Sort(l.epmdPorts)
	slices.Sort(l.unnamed)
}

func (l *learner) lookAt(c *decode.Connection, v *verify.Certificates) {
	var patterns, addresses [2]string
	hidden, tools := false, false
	for side, e := range c.Ends {
		pattern, how, tool := pattern(e)
		address := e.Address.Addr().Unmap().WithZone("")
		patterns[side], addresses[side] = pattern, address.String()
		hidden, tools = hidden || e.Node == "" || how == "", tools || tool
		if how == "" {
			patterns[side] = address.String()
		} else {
			l.nodes[pattern] = how
		}
		if how == "" || e.HostBasis == decode.HostFromAddress {
			l.unnamed = add(l.unnamed, address.String())
		}
		if !address.IsLoopback() {
			l.addresses[address] = true
		}
	}
	switch {
	case tools:
		l.tools = true
	case hidden && addresses[0] != addresses[1]:
		// Which end dials, and so is the one whose name is hidden, may be another at the
		// next start: only addresses stay.
		l.expectEdge(addresses, patterns)
	default:
		l.expectEdge(patterns, patterns)
	}
	l.hidden = l.hidden || hidden
	l.lookAtPort(c.Ends[decode.Server])
	l.guessed = l.guessed || c.RolesUnknown()
	if c.TLS == nil {
		return
	}
	if l.version == 0 || c.TLS.Version < l.version {
		l.version = c.TLS.Version
	}
	if c.TLS.ClientCertificate.Status == tls.Resumed {
		return
	}
	l.lookAtCA(v.ServerChain, v.Server)
	if c.TLS.ClientCertificate.Status == tls.Presented {
		l.lookAtCA(v.ClientChain, v.Client)
	}
}

// byHost makes patterns of nodes ones of their hosts: any node may be the one that
// dials, and so has its name hidden.
func byHost(nodes map[string]string) map[string]string {
	out := make(map[string]string)
	for _, pattern := range slices.Sorted(maps.Keys(nodes)) {
		name, host, _ := strings.Cut(pattern, "@")
		if host == "" || strings.ContainsAny(host, `\`) {
			out[pattern] = nodes[pattern]
			continue
		}
		all := "*@" + host
		switch {
		case name == "*":
			if out[all] == "" {
				out[all] = nodes[pattern]
			}
		case strings.HasPrefix(out[all], "seen: "):
			out[all] += ", " + pattern
		default:
			out[all] = "seen: " + pattern
		}
	}
	return out
}

// expectEdge takes a pair in, with how its ends were seen.
func (l *learner) expectEdge(edge, seen [2]string) {
	if edge[0] > edge[1] {
		edge[0], edge[1] = edge[1], edge[0]
		seen[0], seen[1] = seen[1], seen[0]
	}
	if _, known := l.edges[edge]; !known {
		l.edges[edge] = seen
	}
}

// lookAtPort takes the port on which a node listens. A tool of RabbitMQ takes the
// first that is free of eleven.
func (l *learner) lookAtPort(e decode.End) {
	port := e.Address.Port()
	if t, ok := decode.ToolOf(e.Node); ok && t.OfRabbitMQ() {
		const first, more = 10_000, 10 // beyond the node's
		for _, node := range l.Capture.Connections {
			p := node.Ends[decode.Server].Address.Port()
			if low := int(p) + first; int(port) >= low && int(port) <= low+more && (node.Protocol == decode.DistTLS || node.Protocol == decode.Dist) {
				l.toolPorts = add(l.toolPorts, fmt.Sprintf("%d-%d", low, low+more))
				return
			}
		}
	}
	l.ports = add(l.ports, port)
}

func (l *learner) lookAtCA(chain []*verify.Certificate, v verify.Verification) {
	switch ca := verify.CAOf(chain); {
	case len(chain) == 0:
		l.hiddenCA = v.Reason
	case ca == nil:
		l.hiddenCA = "a node did not send its CA's certificate"
	default:
		l.cas[fmt.Sprintf("%x", ca.SHA256)] = fmt.Sprintf("%s, until %s", ca.X509.Subject, ca.X509.NotAfter.UTC().Format(time.DateOnly))
	}
}

// pattern names the node at an end as well as is known, and says how; "" if
// neither its name nor its host is. A command-line tool has another name each time.
func pattern(e decode.End) (pattern, how string, tool bool) {
	literal := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)
	name, at, whole := strings.Cut(e.Node, "@")
	t, tool := decode.ToolOf(e.Node)
	switch {
	case tool:
		pattern, how = literal.Replace(t.Before)+"*"+literal.Replace(t.After), "command-line tools, with another name each time; known by "+e.NodeBasis
	case name != "" && at != "":
		pattern, how = literal.Replace(e.Node), "known by "+e.NodeBasis
	case !whole && e.Host != "" && literal.Replace(e.Host) == e.Host: // else no pattern tells the host alone
		pattern, how = "*@"+e.Host, "TLS hides the node's name; its host is known by "+e.HostBasis
	}
	if _, err := verify.ParseNodeGlob(pattern); err != nil {
		return "", "", false
	}
	return pattern, how, tool
}

func add[T comparable](list []T, x T) []T {
	if slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}

func (l *learner) line(format string, args ...any) { fmt.Fprintf(&l.out, format+"\n", args...) }

func (l *learner) write() {
	var names []string
	for _, name := range l.Names {
		names = append(names, escape(name))
	}
	l.line("# yaml-language-server: $schema=%s", SchemaName)
	l.line("#")
	l.line("# Written by distproof policy init, from %s:", strings.Join(names, ", "))
	l.line("# %s.", escape(l.base.Reason))
	l.line("# Read every line: it says what was there, not what should be. What could not be")
	l.line("# known is a comment.")
	l.line("version: %d", Version)
	l.distribution()
	if l.version >= tls.TLS12 {
		l.line("")
		l.line("tls:")
		l.line("  # The oldest version that was used.")
		l.line("  min_version: %s", quote(l.version.String()))
	}
	l.certificates()
	l.epmd()
	l.expect()
	l.rest()
}

func (l *learner) distribution() {
	l.line("")
	l.line("distribution:")
	l.line("  require: %s", l.require())
	if l.require() == verify.RequireMutual {
		basis := l.basis()
		l.line("  # What the proof of mutual TLS rests on: inferred is from the sizes of encrypted")
		l.line("  # records; verified is by signatures, which TLS 1.2 shows, and TLS 1.3 with a key log.")
		l.line("  basis: %s", basis)
	}
	l.line("")
	if len(l.unnamed) > 0 {
		l.line("  # Which nodes may take part. TLS hides the names of those that dial. Of these addresses")
		l.line("  # not even the host is known, unless somebody dials it, so that with a list it could not")
		l.line("  # be told at each start whether they may:")
		for _, a := range l.unnamed {
			l.line("  #   %s", a)
		}
		l.list("nodes", l.nodes, true)
	} else {
		l.line("  # Which nodes may take part.")
		l.list("nodes", l.nodes, false)
	}
	if len(l.addresses) > 0 {
		l.line("  # From where to where. Networks (10.20.0.0/16) are good, too.")
		l.line("  networks:")
		for _, a := range slices.SortedFunc(maps.Keys(l.addresses), netip.Addr.Compare) {
			l.line("    - %s", scalar(a.String()))
		}
	}
	l.writePorts()
}

func (l *learner) require() verify.Requirement { return cmp.Or(l.Require, verify.RequireMutual) }

// list writes patterns with how they are known.
func (l *learner) list(key string, patterns map[string]string, comment bool) {
	prefix := "  "
	if comment {
		prefix = "  # "
	}
	if len(patterns) == 0 {
		return
	}
	l.line("%s%s:", prefix, key)
	var sorted []string
	for p := range patterns {
		sorted = append(sorted, p)
	}
	slices.Sort(sorted)
	for _, p := range sorted {
		l.line("%s  - %s  # %s", prefix, quote(p), escape(patterns[p]))
	}
}

func (l *learner) writePorts() {
	prefix := "  "
	switch {
	case len(l.ports) == 0:
		return
	case l.guessed:
		prefix = "  # "
		l.line("  # On which ports nodes listen. Of some connections the beginning was not captured, so")
		l.line("  # that it is not certain which end listens.")
	case l.ports[len(l.ports)-1] >= ephemeral:
		prefix = "  # "
		l.line("  # On which ports nodes listen. These are others at each start; to have them fixed:")
		l.line("  # -kernel inet_dist_listen_min 9100 inet_dist_listen_max 9105")
	default:
		l.line("  # On which ports nodes listen.")
	}
	l.line("%sports:", prefix)
	for _, p := range l.ports {
		l.line("%s  - %d", prefix, p)
	}
	for _, p := range l.toolPorts {
		l.line("%s  - %s  # command-line tools of RabbitMQ", prefix, p)
	}
}

// basis is the strongest that all connections have.
func (l *learner) basis() fact.Basis {
	for _, b := range []fact.Basis{fact.Verified, fact.Observed} {
		if !slices.ContainsFunc(l.up, func(i int) bool { return !verify.ProvenBy(l.Capture.Connections[i], b) }) {
			return b
		}
	}
	return fact.Inferred
}

func (l *learner) certificates() {
	l.line("")
	if l.hiddenCA != "" || len(l.cas) == 0 {
		l.line("# certificates:")
		l.line("#   The CAs could not be learnt: %s.", escape(cmp.Or(l.hiddenCA, "no certificate was seen")))
		l.line("#   Name their files, which distproof then checks chains against, where it sees them:")
		l.line("#   cas: [ca.pem]")
		l.line("#   unseen: accept")
		return
	}
	l.line("certificates:")
	l.line("  # The CAs that signed the nodes' certificates (SHA-256). A connection whose certificates")
	l.line("  # cannot be seen (TLS 1.3 without a key log) is inconclusive, unless unseen is accept.")
	l.list("ca_fingerprints", l.cas, false)
	l.line("  # With the CAs' files, chains are checked, too:")
	l.line("  # cas: [ca.pem]")
}

func (l *learner) epmd() {
	l.line("")
	if len(l.epmdPorts) == 0 {
		l.line("# epmd:")
		l.line("#   No EPMD was seen. Unless told otherwise, it may be reached from private networks.")
		return
	}
	l.line("epmd:")
	l.line("  # From where EPMD may be reached, besides its own host.")
	l.line("  networks:")
	clients := slices.Clone(l.Capture.Registry.Clients)
	slices.SortFunc(clients, netip.Addr.Compare)
	for _, a := range clients {
		l.line("    - %s", scalar(a.Unmap().WithZone("").String()))
	}
	l.line("  ports:")
	for _, p := range l.epmdPorts {
		l.line("    - %d", p)
	}
}

func (l *learner) expect() {
	l.line("")
	l.line("# What must be there: a capture without it proves nothing of it.")
	if l.tools {
		l.line("# Command-line tools come and go: their connections are not expected.")
	}
	if len(l.edges) == 0 {
		l.line("# expect: there were no other connections.")
		return
	}
	l.line("expect:")
	if len(l.edges) > maxEdges {
		l.line("  # There are more pairs than a policy takes.")
		l.line("  connections: %d", len(l.up))
		return
	}
	l.line("  # Pairs of nodes, whoever dials. Every node with every other one: nodes, full_mesh.")
	for pair, seen := range l.edges {
		if pair != seen {
			l.line("  # Where TLS hides the name of the one that dialled, pairs of addresses: who dials may")
			l.line("  # be another one at the next start.")
			break
		}
	}
	l.line("  edges:")
	byName := func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }
	for _, e := range slices.SortedFunc(maps.Keys(l.edges), byName) {
		comment := ""
		if seen := l.edges[e]; seen != e {
			comment = fmt.Sprintf("  # seen as %s, %s", escape(seen[0]), escape(seen[1]))
		}
		l.line("    - [%s, %s]%s", quote(e[0]), quote(e[1]), comment)
	}
}

// rest has what else a policy may say, and what was found besides.
func (l *learner) rest() {
	l.line("")
	l.line("# What fails the run: high (and critical), medium or low.")
	l.line("fail_on: high")
	l.line("")
	l.line("# What is let pass, until a day, and why:")
	l.line("# exceptions:")
	l.line("#   - edge: [app@n1.example.org, legacy@n2.example.org]")
	l.line("#     rules: [DP101, DP205]")
	l.line("#     reason: legacy has no TLS yet")
	l.line("#     owner: team-x")
	l.line("#     expires: %s", l.Now.AddDate(0, 3, 0).Format(time.DateOnly))
	if len(l.base.Findings) == 0 {
		return
	}
	l.line("")
	l.line("# The capture keeps this policy, and shows this besides:")
	for i, f := range l.base.Findings {
		if i == 20 {
			l.line("#   and %d more", len(l.base.Findings)-i)
			break
		}
		l.line("#   %s %s: %s", f.Rule, f.Severity, escape(f.Message))
	}
}
