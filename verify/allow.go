package verify

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"distproof/decode"
)

// A NodeGlob is a pattern of node names: those of package path, in which "*"
// stands for any characters.
type NodeGlob struct {
	whole string
	// name and host are the parts beside the "@"; valid iff split.
	name, host string
	split      bool
}

// String returns the pattern as it was written.
func (g NodeGlob) String() string { return strings.ReplaceAll(g.whole, "\x00", "/") }

// noSlash hides slashes from [path.Match], to which they are special.
var noSlash = strings.NewReplacer("/", "\x00")

// ParseNodeGlob reads a pattern.
func ParseNodeGlob(s string) (NodeGlob, error) {
	g := NodeGlob{whole: noSlash.Replace(s)}
	if _, err := path.Match(g.whole, ""); err != nil || s == "" {
		return g, fmt.Errorf("%q is not a pattern of node names like app@*.example.org", s)
	}
	if !strings.ContainsAny(s, "@*?[") {
		return g, fmt.Errorf("%q can be no node: a name has an @, as in %s@*", s, s)
	}
	if strings.Count(s, "@") == 1 && !strings.ContainsAny(s, `[\`) {
		g.name, g.host, g.split = strings.Cut(g.whole, "@")
	}
	return g, nil
}

// matches reports whether a name fits; the pattern was checked before.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, noSlash.Replace(name))
	return ok && err == nil
}

// allows tells whether a node whose name or host is known is allowed. One of them
// may be "", which is unknown: then undecided says that it depends on it.
func (g NodeGlob) allows(name, host string) (allowed, undecided bool) {
	switch {
	case name != "" && host != "":
		return matches(g.whole, name+"@"+host), false
	case g.whole == "*":
		return true, false
	case !g.split || name+host == "":
		return false, true
	case name != "":
		fits := matches(g.name, name)
		return fits && g.host == "*", fits && g.host != "*"
	}
	fits := matches(g.host, host)
	return fits && g.name == "*", fits && g.name != "*"
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ From, To uint16 }

func (r PortRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(int(r.From))
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// ParsePortRange reads a port, or two with a hyphen.
func ParsePortRange(s string) (PortRange, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return PortRange{}, fmt.Errorf("%q is not a port or a range like 9100-9105", s)
	}
	return PortRange{uint16(a), uint16(b)}, nil
}

func inRanges(ranges []PortRange, port uint16) bool {
	return slices.ContainsFunc(ranges, func(r PortRange) bool { return r.From <= port && port <= r.To })
}

// allowLists has the rules about who may take part.
func (r *ruler) allowLists() {
	if len(r.options.AllowNodes)+len(r.options.AllowNetworks)+len(r.options.AllowPorts) == 0 {
		return
	}
	for i, c := range r.capture.Connections {
		k := r.judgement.Conclusions[i]
		if k.Verdict == NoVerdict && !(c.Announced() && c.Protocol == decode.None) {
			continue
		}
		if len(r.options.AllowNodes) > 0 && c.Protocol != decode.None {
			r.allowNodes(c, k)
		}
		r.allowNetworks(c, k)
		r.allowPorts(c, k)
	}
	if len(r.options.AllowNodes) > 0 {
		r.allowRegistered()
	}
}

// gravityOf is high for connections between nodes that came up, and medium for
// those of which that is not known, or that came to nothing.
func gravityOf(k Conclusion) Severity {
	if k.State == Up || k.State == Midstream {
		return High
	}
	return Medium
}

// attempt says that a connection came to nothing, so far as is known.
func attempt(k Conclusion) string {
	switch {
	case gravityOf(k) == High:
		return ""
	case k.Verdict == NoVerdict || k.Verdict == Refused || k.State == DistRefused:
		return " (tried, and refused)"
	}
	return " (not shown to have come up)"
}

// allowNodes judges the nodes at both ends by their names.
func (r *ruler) allowNodes(c *decode.Connection, k Conclusion) {
	unknown := false
	for _, e := range c.Ends {
		name, host := e.Node, ""
		if before, after, ok := strings.Cut(e.Node, "@"); ok {
			name, host = before, after
		} else {
			host = e.Host
		}
		allowed, undecided := r.allowsNode(name, host)
		switch {
		case allowed:
		case undecided:
			unknown = true
		default:
			r.add(NodeNotAllowed, gravityOf(k), c, fmt.Sprintf("%s is not on the list of allowed nodes%s", describe(name, host), attempt(k)),
				Evidence{c.FirstFrame, r.text("the first packet of the connection; the node is at %s", e.Address.Addr().String())})
		}
	}
	// Of an attempt that came to nothing it does not matter whose it was.
	if unknown && attempt(k) != " (tried, and refused)" {
		r.undecided(NodeNotAllowed, c, "a node's name is not known, so it cannot be told whether the node is allowed",
			Evidence{c.FirstFrame, "the connection's first packet"})
	}
}

// describe writes the name of a node of which a part may be unknown.
func describe(name, host string) string {
	return fmt.Sprintf("%q", cmp.Or(name, "?")+"@"+cmp.Or(host, "?"))
}

func (r *ruler) allowsNode(name, host string) (allowed, undecided bool) {
	for _, g := range r.options.AllowNodes {
		yes, maybe := g.allows(name, host)
		if yes {
			return true, false
		}
		undecided = undecided || maybe
	}
	return false, undecided
}

// allowRegistered judges the nodes that port mappers announce: of their names
// only the first part is known.
func (r *ruler) allowRegistered() {
	for _, n := range r.capture.Registry.Names {
		if allowed, undecided := r.allowsNode(n.Node, ""); !allowed && !undecided && n.Node != "" {
			message := fmt.Sprintf("%s is registered with EPMD at %s and is not on the list of allowed nodes", describe(n.Node, ""), n.Host)
			r.add(NodeNotAllowed, Medium, nil, message, r.registeredAt(n)...)
		}
	}
}

// registeredAt finds where the name was first seen, if it was registered or
// looked up.
func (r *ruler) registeredAt(n decode.Registration) []Evidence {
	for _, e := range r.capture.Registry.Exchanges {
		if e.Node == n.Node && e.Server.Addr() == n.Host {
			return []Evidence{{e.First, fmt.Sprintf("%s named it to EPMD (%s)", e.Client, e.Request)}}
		}
	}
	return nil
}

// allowNetworks judges the addresses of both ends. Loopback is no network that
// anybody could come from.
func (r *ruler) allowNetworks(c *decode.Connection, k Conclusion) {
	if len(r.options.AllowNetworks) == 0 {
		return
	}
	for side, who := range [2]string{"client", "server"} {
		a := c.Ends[side].Address.Addr().Unmap()
		if a.IsLoopback() || r.options.AllowNetworks.Has(a) {
			continue
		}
		r.add(NotWhereAllowed, gravityOf(k), c, fmt.Sprintf("%s is outside the allowed networks%s", a, attempt(k)),
			Evidence{c.FirstFrame, r.text("it is the %s of the connection that begins here", who)})
	}
}

// allowPorts judges the server's port. Where it is not known who is the server,
// both must be wrong to be wrong.
func (r *ruler) allowPorts(c *decode.Connection, k Conclusion) {
	if len(r.options.AllowPorts) == 0 {
		return
	}
	port := c.Ends[decode.Server].Address.Port()
	other := c.Ends[decode.Client].Address.Port()
	allowed, otherAllowed := inRanges(r.options.AllowPorts, port), inRanges(r.options.AllowPorts, other)
	if c.RolesUnknown() && allowed != otherAllowed {
		r.undecided(NotWhereAllowed, c, "it is not known which side listens, so it cannot be told whether the port is allowed",
			Evidence{c.FirstFrame, r.text("ports %s and %s", strconv.Itoa(int(other)), strconv.Itoa(int(port)))}).by("distribution.ports")
		return
	}
	if !allowed {
		r.add(NotWhereAllowed, gravityOf(k), c, fmt.Sprintf("port %d is outside the allowed ports%s", port, attempt(k)),
			Evidence{c.FirstFrame, r.text("a connection to %s begins here", c.Ends[decode.Server].Address.String())}).by("distribution.ports")
	}
}

// undecided files that a rule cannot be decided.
func (r *ruler) undecided(rule Rule, c *decode.Connection, message string, e Evidence) *Finding {
	f := r.add(rule, Medium, c, message, e)
	f.Unproven = true
	return f
}
