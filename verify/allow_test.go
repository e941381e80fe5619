package verify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/decode/tls"
)

func globs(t *testing.T, patterns ...string) []NodeGlob {
	t.Helper()
	var out []NodeGlob
	for _, p := range patterns {
		g, err := ParseNodeGlob(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

func TestNodeGlobs(t *testing.T) {
	for _, row := range []struct {
		pattern, name, host string
		want                string // allowed, not or undecided
	}{
		{"app@n1.lab", "app", "n1.lab", "allowed"},
		{"app@n1.lab", "app", "n2.lab", "not"},
		{"app@n1.lab", "App", "n1.lab", "not"},
		{"app@*", "app", "n1.lab", "allowed"},
		{"app@*", "app2", "n1.lab", "not"},
		{"app@*.lab", "app", "a.b.lab", "allowed"},
		{"app?@n[12].lab", "app7", "n2.lab", "allowed"},
		{"app?@n[12].lab", "app7", "n3.lab", "not"},
		{"*", "a/b", "n1.lab", "allowed"},
		{"a*@n1.lab", "a/b", "n1.lab", "allowed"},
		{"a?b@n1.lab", "a/b", "n1.lab", "allowed"},
		{"a/b@n1.lab", "a/b", "n1.lab", "allowed"},
		{`a\*@n1.lab`, "a*", "n1.lab", "allowed"},
		{`a\*@n1.lab`, "ab", "n1.lab", "not"},
		{"app*", "app", "n1.lab", "allowed"},
		{"*lab", "app", "n1.lab", "allowed"},
		// Of which only the host is known.
		{"*@n1.lab", "", "n1.lab", "allowed"},
		{"*@n*.lab", "", "n1.lab", "allowed"},
		{"*@n1.lab", "", "n2.lab", "not"},
		{"app@n1.lab", "", "n1.lab", "undecided"},
		{"app@n1.lab", "", "n2.lab", "not"},
		{"*", "", "n1.lab", "allowed"},
		{"app*", "", "n1.lab", "undecided"},
		{"*lab", "", "n1.lab", "undecided"},
		{"[a]@n1.lab", "", "n2.lab", "undecided"},
		// Of which only the name is known.
		{"app@*", "app", "", "allowed"},
		{"app@n1.lab", "app", "", "undecided"},
		{"app@n1.lab", "evil", "", "not"},
		// Of which nothing is known.
		{"app@*", "", "", "undecided"},
		{"*", "", "", "allowed"},
	} {
		allowed, undecided := globs(t, row.pattern)[0].allows(row.name, row.host)
		got := map[[2]bool]string{{true, false}: "allowed", {false, true}: "undecided", {false, false}: "not"}[[2]bool{allowed, undecided}]
		if got != row.want {
			t.Errorf("%s of %s@%s: %q, want %q", row.pattern, row.name, row.host, got, row.want)
		}
	}
	for pattern, want := range map[string]string{
		"":        `"" is not a pattern of node names like app@*.example.org`,
		"app[@n1": `"app[@n1" is not a pattern of node names like app@*.example.org`,
		`app@n1\`: `"app@n1\\" is not a pattern of node names like app@*.example.org`,
		"app":     `"app" can be no node: a name has an @, as in app@*`,
	} {
		if _, err := ParseNodeGlob(pattern); err == nil || err.Error() != want {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestParsePortRange(t *testing.T) {
	for text, want := range map[string]PortRange{"9100": {9100, 9100}, "9100-9105": {9100, 9105}, "1-65535": {1, 65535}} {
		if got, err := ParsePortRange(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "65536", "9105-9100", "9100-", "-9100", "a-b", "1-2-3", "+1", " 1"} {
		if got, err := ParsePortRange(text); err == nil || err.Error() != fmt.Sprintf("%q is not a port or a range like 9100-9105", text) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// nodes names both ends; a name that begins with "@" is a host alone.
func nodes(clientName, serverName string) change {
	return func(c *decode.Connection) {
		for side, name := range [2]string{clientName, serverName} {
			if host, alone := strings.CutPrefix(name, "@"); alone {
				c.Ends[side].Host = host
			} else {
				c.Ends[side].Node = name
			}
		}
	}
}

// from sets the client's address.
func from(address string) change {
	return func(c *decode.Connection) { c.Ends[client].Address = netip.MustParseAddrPort(address) }
}

func roles(basis string) change { return func(c *decode.Connection) { c.RolesBasis = basis } }

func TestAllowNodes(t *testing.T) {
	const undecided = "DP203 medium ×1: a node's name is not known, so it cannot be told whether the node is allowed"
	for _, row := range []struct {
		name    string
		c       *decode.Connection
		want    string
		outcome Outcome
	}{
		{"both allowed", with(mutual(), nodes("app@n1.lab", "app@n2.lab")), "", Pass},
		{"the client not", with(mutual(), nodes("evil@n1.lab", "app@n2.lab")), `DP203 high ×1: "evil@n1.lab" is not on the list of allowed nodes`, Fail},
		{"the server not", with(mutual(), nodes("app@n1.lab", "evil@n2.lab")), `DP203 high ×1: "evil@n2.lab" is not on the list of allowed nodes`, Fail},
		{"an attempt", with(refused(), nodes("app@n1.lab", "evil@n2.lab")), `DP203 medium ×1: "evil@n2.lab" is not on the list of allowed nodes (tried, and refused)`, Undecided},
		{"the client not known", with(mutual(), nodes("", "app@n2.lab")), undecided, Undecided},
		{"neither known", with(mutual(), nodes("", "")), undecided, Undecided},
		{"not known, and refused", with(refused(), nodes("", "app@n2.lab")), "", Undecided},
		{"a host that is allowed whatever the node", with(mutual(), nodes("@tools.lab", "app@n2.lab")), "", Pass},
		{"a host of which one node is allowed", with(mutual(), nodes("@n1.lab", "app@n2.lab")), undecided, Undecided},
		{"a host of which none is", with(mutual(), nodes("@n9.org", "app@n2.lab")), `DP203 high ×1: "?@n9.org" is not on the list of allowed nodes`, Fail},
		{"not distribution", with(other(), nodes("evil@n1.lab", "evil@n2.lab")), "", Undecided},
	} {
		j := Judge(capture(row.c), Coverage{}, Options{AllowNodes: globs(t, "app@*.lab", "*@tools.lab")})
		if got := about(j, NodeNotAllowed); got != row.want || j.Outcome != row.outcome {
			t.Errorf("%s: %s\ngot  %s\nwant %s", row.name, j.Outcome, got, row.want)
		}
	}
	if got := about(Judge(capture(with(mutual(), nodes("evil@n1.lab", ""))), Coverage{}, Options{}), NodeNotAllowed); got != "" {
		t.Errorf("without a list: %s", got)
	}
}

// TestAllowRegistered: of nodes that EPMD announces only the name's first part
// is known.
func TestAllowRegistered(t *testing.T) {
	c := capture(with(mutual(), nodes("app@n1.lab", "app@n2.lab")))
	host := netip.MustParseAddr("10.1.0.2")
	c.Registry.Names = []decode.Registration{{Node: "app", Host: host, Port: 9100}, {Node: "evil", Host: host, Port: 9101}, {Node: "tool", Host: host, Port: 9102}}
	c.Registry.Exchanges = []decode.Exchange{
		{Client: netip.MustParseAddr("10.1.0.1"), Server: netip.AddrPortFrom(host, 4369), Request: "PORT_PLEASE2_REQ", Node: "evil", First: frame(3)},
	}
	j := Judge(c, Coverage{}, Options{AllowNodes: globs(t, "app@*", "tool@n1.lab")})
	if got, want := about(j, NodeNotAllowed), `DP203 medium ×0: "evil@?" is registered with EPMD at 10.1.0.2 and is not on the list of allowed nodes`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if e := j.Findings[0].Evidence; len(e) != 1 || e[0] != (Evidence{frame(3), "10.1.0.1 named it to EPMD (PORT_PLEASE2_REQ)"}) {
		t.Errorf("evidence %+v", e)
	}
}

func TestAllowNetworksAndPorts(t *testing.T) {
	const undecided = "DP204 medium ×1: it is not known which side listens, so it cannot be told whether the port is allowed"
	lost := func(c *decode.Connection) { hidden(c) }
	for _, row := range []struct {
		name string
		c    *decode.Connection
		want string
	}{
		{"allowed", mutual(), ""},
		{"mapped", with(mutual(), from("[::ffff:10.1.0.1]:40001")), ""},
		{"loopback", with(mutual(), from("127.0.0.1:40001"), at("127.0.0.1:9100")), ""},
		{"the client elsewhere", with(mutual(), from("10.9.0.1:40001")), "DP204 high ×1: 10.9.0.1 is outside the allowed networks"},
		{"mapped, elsewhere", with(mutual(), from("[::ffff:10.9.0.1]:40001")), "DP204 high ×1: 10.9.0.1 is outside the allowed networks"},
		{"the server elsewhere", with(mutual(), at("10.9.0.2:9100")), "DP204 high ×1: 10.9.0.2 is outside the allowed networks"},
		{"another port", with(mutual(), at("10.1.0.2:9106")), "DP204 high ×1: port 9106 is outside the allowed ports"},
		{"in the clear", with(clear(), at("10.1.0.2:9106")), "DP204 high ×1: port 9106 is outside the allowed ports"},
		{"already up", with(mutual(), lost, at("10.1.0.2:9106")), "DP204 high ×1: port 9106 is outside the allowed ports"},
		{"TLS refused", with(refused(), from("10.9.0.1:40001")), "DP204 medium ×1: 10.9.0.1 is outside the allowed networks (tried, and refused)"},
		{"cookie refused", with(mutual(), from("10.9.0.1:40001"), closedBy(tls.RoleServer), func(c *decode.Connection) { c.TLS.Shape = tls.Shape{Refused: true} }),
			"DP204 medium ×1: 10.9.0.1 is outside the allowed networks (tried, and refused)"},
		{"not shown to be accepted", with(mutual(), notAccepted, from("10.9.0.1:40001")), "DP204 medium ×1: 10.9.0.1 is outside the allowed networks (not shown to have come up)"},
		{"a SYN that is refused", with(dials("10.9.0.1", "10.1.0.2:9100", "rst"), announced), "DP204 medium ×1: 10.9.0.1 is outside the allowed networks (tried, and refused)"},
		{"a SYN that nobody answers", with(dials("10.9.0.1", "10.1.0.2:9100", ""), announced), "DP204 medium ×1: 10.9.0.1 is outside the allowed networks (tried, and refused)"},
		{"a SYN to a port that nobody announced", dials("10.9.0.1", "10.1.0.2:9100", "rst"), ""},
		{"other protocols", with(other(), from("10.9.0.1:40001"), at("10.9.0.2:80")), ""},
		{"roles not known, one port allowed", with(mutual(), lost, roles("unknown"), from("10.1.0.1:9101"), at("10.1.0.2:4000")), undecided},
		{"roles not known, the other allowed", with(mutual(), lost, roles("unknown"), from("10.1.0.1:4000"), at("10.1.0.2:9101")), undecided},
		{"roles not known, neither", with(mutual(), lost, roles("unknown"), from("10.1.0.1:4000"), at("10.1.0.2:4001")), "DP204 high ×1: port 4001 is outside the allowed ports"},
		{"roles not known, both", with(mutual(), lost, roles("unknown"), from("10.1.0.1:9100"), at("10.1.0.2:9101")), ""},
	} {
		o := Options{AllowNetworks: networks("10.1.0.0/16", "fd00::/8"), AllowPorts: []PortRange{{9100, 9105}}}
		j := Judge(capture(row.c), Coverage{}, o)
		if got := about(j, NotWhereAllowed); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
		for _, f := range j.Findings {
			if f.Rule == NotWhereAllowed && f.Unproven != (row.want == undecided) {
				t.Errorf("%s: unproven: %v", row.name, f.Unproven)
			}
		}
		if got := about(Judge(capture(row.c), Coverage{}, Options{}), NotWhereAllowed); got != "" {
			t.Errorf("%s: without lists: %s", row.name, got)
		}
	}
}
