package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"distproof/decode/fact"
	"distproof/decode/tls"
	"distproof/verify"
)

// A section is a mapping of the policy. That without a name is the policy
// itself.
type section struct {
	name string
	keys []key
}

// maxItems bounds lists of patterns, networks and files.
const maxItems = 1000

// sections are those that have keys of their own, in the order in which policies
// are written.
func sections() []section {
	return []section{
		{"distribution", []key{
			{"require", func(r *reader, n *yaml.Node) {
				if w, ok := r.word(n, "require", "mutual", "encrypted", "observe"); ok {
					r.options().Policy.Require = verify.Requirement(w)
				}
			}},
			{"basis", (*reader).basis},
			{"nodes", func(r *reader, n *yaml.Node) {
				r.options().AllowNodes = listOf(r, n, "nodes", maxItems, verify.ParseNodeGlob)
			}},
			{"networks", func(r *reader, n *yaml.Node) {
				r.options().AllowNetworks = listOf(r, n, "networks", maxItems, verify.ParseNetwork)
			}},
			{"ports", func(r *reader, n *yaml.Node) {
				r.options().AllowPorts = listOf(r, n, "ports", maxItems, verify.ParsePortRange)
			}},
		}},
		{"tls", []key{{"min_version", func(r *reader, n *yaml.Node) {
			if w, ok := r.word(n, "min_version", "1.2", "1.3"); ok {
				r.options().Policy.MinTLS = map[string]tls.Version{"1.2": tls.TLS12, "1.3": tls.TLS13}[w]
			}
		}}}},
		{"certificates", []key{
			{"cas", func(r *reader, n *yaml.Node) { r.file.CAs = r.paths(n, "cas") }},
			{"issuers", func(r *reader, n *yaml.Node) {
				r.options().Policy.Certificates.Issuers = listOf(r, n, "issuers", maxItems, func(s string) (string, error) { return s, nil })
			}},
			{"ca_fingerprints", func(r *reader, n *yaml.Node) {
				r.options().Policy.Certificates.CAs = listOf(r, n, "ca_fingerprints", maxItems, fingerprint)
			}},
			{"expires_within", func(r *reader, n *yaml.Node) {
				if days, ok := r.number(n, "expires_within", 0, 65535); ok {
					r.options().ExpiresWithin = time.Duration(days) * 24 * time.Hour
				}
			}},
			{"host_match", func(r *reader, n *yaml.Node) {
				if yes, ok := r.truth(n, "host_match"); ok {
					r.options().Policy.Certificates.AnyHost = !yes
				}
			}},
			{"min_rsa_bits", func(r *reader, n *yaml.Node) {
				if bits, ok := r.number(n, "min_rsa_bits", 2048, 16384); ok {
					r.options().Policy.Certificates.MinRSA = bits
				}
			}},
			{"min_ec_bits", func(r *reader, n *yaml.Node) {
				if bits, ok := r.number(n, "min_ec_bits", 224, 521); ok {
					r.options().Policy.Certificates.MinCurve = bits
				}
			}},
			{"unseen", func(r *reader, n *yaml.Node) {
				r.file.Unseen, _ = r.word(n, "unseen", unseenInconclusive, unseenAccept)
			}},
		}},
		{"epmd", []key{
			{"networks", func(r *reader, n *yaml.Node) {
				r.options().EPMDNetworks = listOf(r, n, "networks", maxItems, verify.ParseNetwork)
			}},
			{"ports", func(r *reader, n *yaml.Node) {
				r.options().Policy.EPMDPorts = listOf(r, n, "ports", maxItems, verify.ParsePortRange)
			}},
		}},
		{"expect", []key{
			{"nodes", func(r *reader, n *yaml.Node) {
				r.expect().Nodes = listOf(r, n, "nodes", maxNodes, verify.ParsePeer)
				r.items("expect.nodes", n)
			}},
			{"full_mesh", func(r *reader, n *yaml.Node) { r.expect().FullMesh, _ = r.truth(n, "full_mesh") }},
			{"edges", func(r *reader, n *yaml.Node) {
				r.each(n, "edges", maxEdges, func(_ int, n *yaml.Node) {
					if pair := r.pair(n, "an item of edges"); len(pair) == 2 {
						r.expect().Edges = append(r.expect().Edges, [2]verify.Peer(pair))
					}
				})
				r.items("expect.edges", n)
			}},
			{"connections", func(r *reader, n *yaml.Node) {
				r.expect().Connections, _ = r.number(n, "connections", 1, 1_000_000)
			}},
		}},
	}
}

func (r *reader) options() *verify.Options    { return &r.file.Options }
func (r *reader) expect() *verify.Expectation { return &r.file.Options.Policy.Expect }

// policy reads the whole.
func (r *reader) policy(root *yaml.Node) {
	places := r.options().Policy.Places
	found := make(map[string]*yaml.Node)
	see := func(prefix string) func(string, *yaml.Node) {
		return func(name string, at *yaml.Node) {
			found[prefix+name] = at
			places[prefix+name] = r.at(at)
		}
	}
	keys := []key{{"version", func(r *reader, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Value != fmt.Sprint(Version) {
			r.fail(n, "this program reads policies of version %d, not %s", Version, describe(n))
		}
	}}}
	for _, s := range sections() {
		keys = append(keys, key{s.name, func(r *reader, n *yaml.Node) { r.mapping(n, s.name, s.keys, see(s.name+".")) }})
	}
	severities := new(yaml.Node)
	keys = append(keys,
		key{"cookies", func(r *reader, n *yaml.Node) { r.file.Cookies = r.paths(n, "cookies") }},
		key{"severities", func(r *reader, n *yaml.Node) { severities = n }},
		key{"fail_on", func(r *reader, n *yaml.Node) {
			if w, ok := r.word(n, "fail_on", "high", "medium", "low"); ok {
				r.options().Policy.FailOn = verify.Severity(w)
			}
		}},
		key{"exceptions", func(r *reader, n *yaml.Node) { r.each(n, "exceptions", maxExceptions, r.exception) }})
	r.mapping(root, "the policy", keys, func(name string, at *yaml.Node) {
		found[name] = at
		if !slices.ContainsFunc(sections(), func(s section) bool { return s.name == name }) && name != "version" && name != "severities" {
			places[name] = r.at(at)
		}
	})
	if _, ok := found["version"]; !ok && root.Kind == yaml.MappingNode {
		r.fail(root, "version is missing: version: %d", Version)
	}
	if severities.Kind != 0 {
		r.severities(severities)
	}
	r.agree(found)
}

// agree refuses settings that contradict each other.
func (r *reader) agree(found map[string]*yaml.Node) {
	p := &r.options().Policy
	if at := found["distribution.basis"]; at != nil && p.Basis > fact.Inferred && p.Require != verify.RequireMutual {
		r.fail(at, "basis is about mutual TLS, and require is %s", p.Require)
	}
	if at := found["expect.full_mesh"]; at != nil && p.Expect.FullMesh && len(p.Expect.Nodes) < 2 {
		r.fail(at, "full_mesh is one of the nodes that expect.nodes lists, of which there are %d", len(p.Expect.Nodes))
	}
}

// basis reads the weakest basis of mutual TLS.
func (r *reader) basis(n *yaml.Node) {
	if w, ok := r.word(n, "basis", "inferred", "observed", "verified"); ok {
		r.options().Policy.Basis = map[string]fact.Basis{"inferred": fact.Inferred, "observed": fact.Observed, "verified": fact.Verified}[w]
	}
}

// paths reads a list of files.
func (r *reader) paths(n *yaml.Node, what string) []Ref {
	var out []Ref
	r.each(n, what, maxItems, func(_ int, n *yaml.Node) {
		switch s, ok := r.text(n, "an item of "+what); {
		case !ok:
		case strings.ContainsRune(s, 0):
			r.fail(n, "%q is no path of a file", short(s))
		default:
			out = append(out, Ref{s, r.at(n)})
		}
	})
	return out
}

// items notes where the items of a list are.
func (r *reader) items(setting string, n *yaml.Node) {
	for i, item := range n.Content {
		r.options().Policy.Places[fmt.Sprintf("%s[%d]", setting, i)] = r.at(item)
	}
}

// pair reads two peers.
func (r *reader) pair(n *yaml.Node, what string) []verify.Peer {
	if n.Kind != yaml.SequenceNode || len(n.Content) != 2 {
		got := describe(n)
		if n.Kind == yaml.SequenceNode {
			got = fmt.Sprintf("of %d", len(n.Content))
		}
		r.fail(n, "%s is a list of two nodes, as in [app@n1.example.org, app@n2.example.org], not %s", what, got)
		return nil
	}
	return listOf(r, n, what, 2, verify.ParsePeer)
}

// fingerprint reads a SHA-256 as openssl or sha256sum write it.
func fingerprint(s string) (out [32]byte, err error) {
	bare := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(s), "sha256:"), ":", "")
	data, err := hex.DecodeString(bare)
	if err != nil || len(data) != len(out) {
		return out, fmt.Errorf("%q is no SHA-256 fingerprint: 64 hexadecimal digits, colons allowed (openssl x509 -noout -fingerprint -sha256)", short(s))
	}
	return [32]byte(data), nil
}

// severityWords are the severities that a rule can be given.
var severityWords = []string{"critical", "high", "medium", "low", "info", "off"}

// severities reads those of rules.
func (r *reader) severities(n *yaml.Node) {
	p := &r.options().Policy
	var keys []key
	for _, rule := range verify.Rules() {
		keys = append(keys, key{string(rule), func(r *reader, n *yaml.Node) {
			w, ok := r.word(n, string(rule), severityWords...)
			if !ok {
				return
			}
			if why := rule.MayBe(verify.Severity(w), p.Require); why != "" {
				r.fail(n, "%s", why)
				return
			}
			p.Severities[rule] = verify.Severity(w)
		}})
	}
	p.Severities = make(map[verify.Rule]verify.Severity)
	r.mapping(n, "severities", keys, func(name string, at *yaml.Node) { p.Places["severities."+name] = r.at(at) })
}

// exception reads one.
func (r *reader) exception(_ int, n *yaml.Node) {
	p := &r.options().Policy
	e := verify.Exception{Place: r.at(n)}
	found := make(map[string]*yaml.Node)
	before := len(r.errors)
	r.mapping(n, "an exception", r.exceptionKeys(&e), func(name string, at *yaml.Node) { found[name] = at })
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, name := range []string{"reason", "owner", "expires"} {
		if found[name] == nil {
			r.fail(n, "the exception has no %s", name)
		}
	}
	switch {
	case found["node"] != nil && found["edge"] != nil:
		r.fail(found["edge"], "an exception is about a node or about an edge, not about both")
	case found["node"] == nil && found["edge"] == nil && found["rules"] == nil:
		r.fail(n, "the exception is about everything: name a node, an edge or rules")
	}
	for _, rule := range e.Rules {
		if rule.Protected(verify.Low) && !e.AllowCritical {
			r.fail(found["rules"], "%s (%s) can be let pass only with allow_critical: true", rule, rule.Title())
		}
	}
	if len(r.errors) == before {
		p.Exceptions = append(p.Exceptions, e)
	}
}

func (r *reader) exceptionKeys(e *verify.Exception) []key {
	return []key{
		{"node", func(r *reader, n *yaml.Node) {
			s, ok := r.text(n, "node")
			if !ok {
				return
			}
			peer, err := verify.ParsePeer(s)
			if err != nil {
				r.fail(n, "%v", err)
				return
			}
			e.Peers = []verify.Peer{peer}
		}},
		{"edge", func(r *reader, n *yaml.Node) { e.Peers = r.pair(n, "edge") }},
		{"networks", func(r *reader, n *yaml.Node) {
			e.Networks = listOf(r, n, "networks", maxItems, verify.ParseNetwork)
		}},
		{"rules", func(r *reader, n *yaml.Node) { e.Rules = listOf(r, n, "rules", maxItems, exceptable) }},
		{"reason", func(r *reader, n *yaml.Node) { e.Reason, _ = r.text(n, "reason") }},
		{"owner", func(r *reader, n *yaml.Node) { e.Owner, _ = r.text(n, "owner") }},
		{"expires", func(r *reader, n *yaml.Node) {
			day, err := time.Parse(time.DateOnly, n.Value)
			if n.Kind != yaml.ScalarNode || err != nil {
				r.fail(n, "expires is a day like 2027-01-31, not %s", describe(n))
				return
			}
			e.Expires = day
		}},
		{"allow_critical", func(r *reader, n *yaml.Node) { e.AllowCritical, _ = r.truth(n, "allow_critical") }},
	}
}

// exceptable reads a rule that exceptions may name.
func exceptable(s string) (verify.Rule, error) {
	rule := verify.Rule(s)
	if rule.Title() == "" {
		return "", fmt.Errorf("%q is no rule: distproof explain lists them", short(s))
	}
	if why := rule.CanBeExcepted(); why != "" {
		return "", fmt.Errorf("%s", why)
	}
	return rule, nil
}
