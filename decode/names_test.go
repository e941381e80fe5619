package decode_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"distproof/decode"
)

const mapper = "10.1.0.2:4369"

// nodesOf lists what is claimed of nodes.
func nodesOf(c *decode.Capture) string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, fmt.Sprintf("%s %s %v %v", n.Name, n.Basis, n.Addresses, n.Ports))
	}
	return strings.Join(out, "; ")
}

// named returns session s between nodes with names of these lengths.
func named(host string, clientName, serverName int) session {
	return mutualSession.but(func(s *session) { s.sni, s.names = host, [2]int{clientName, serverName} })
}

func TestNamesOfTLSServers(t *testing.T) {
	const long = len("demo@n2.lab")
	for _, row := range []struct {
		name string
		play func(*talk)
		node string // of the last connection's server
		host string
	}{
		{"PORT2_RESP", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"TLS 1.3", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls13(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"NAMES", func(t *talk) {
			t.dials("10.1.0.9:50000", mapper).sends(client, with16('n')).sends(server, cat(u32(4369), "name other at port 9101\nname demo at port 9100\n")).closes(server)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"ALIVE2", func(t *talk) {
			t.dials("10.1.0.2:50000", mapper).sends(client, alive2(9100, "demo")).sends(server, alive2Resp)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"ALIVE2 refused", func(t *talk) {
			t.dials("10.1.0.2:50000", mapper).sends(client, alive2(9100, "demo")).sends(server, cat('v', 1, u32(99)))
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"ALIVE2, closed without an answer", func(t *talk) {
			t.dials("10.1.0.9:50000", mapper).sends(client, alive2(9100, "demo")).closes(server)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"ALIVE2, seen from the middle on, closed", func(t *talk) {
			t.joins("10.1.0.9:50000", mapper).sends(client, alive2(9100, "demo")).closes(server)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"ALIVE2, answer not captured", func(t *talk) {
			t.dials("10.1.0.2:50000", mapper).sends(client, alive2(9100, "demo")).misses(server, 10)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"ALIVE2 over loopback", func(t *talk) {
			t.dials("127.0.0.1:50000", "127.0.0.1:4369").sends(client, alive2(9100, "demo")).sends(server, alive2Resp)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"ALIVE2 over loopback, IPv6", func(t *talk) {
			t.dials("[::1]:50000", "[::1]:4369").sends(client, alive2(9100, "demo")).sends(server, alive2Resp)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"ALIVE2 over another host's loopback", func(t *talk) {
			t.dials("127.0.0.1:50000", "127.0.0.1:4369").sends(client, alive2(9100, "orders")).sends(server, alive2Resp)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"ALIVE2 over loopback, length not known", func(t *talk) {
			t.dials("127.0.0.1:50000", "127.0.0.1:4369").sends(client, alive2(9100, "demo")).sends(server, alive2Resp)
			t.dials(dialled, listening).tls12(named("n2.lab", 0, 0))
		}, "", "n2.lab"},
		{"the host's own mapper counts more than a loopback", func(t *talk) {
			t.dials("127.0.0.1:50000", "127.0.0.1:4369").sends(client, alive2(9100, "oops")).sends(server, alive2Resp)
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"another port of the host", func(t *talk) {
			t.asks(mapper, "demo", 9101)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"another host's mapper", func(t *talk) {
			t.asks("10.1.0.3:4369", "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"a stale name of another length", func(t *talk) {
			t.asks(mapper, "stale_name", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"two names of which one fits", func(t *talk) {
			t.asks(mapper, "a", 9100)
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "demo@n2.lab", ""},
		{"two names that fit", func(t *talk) {
			t.asks(mapper, "abcd", 9100)
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
		}, "", "n2.lab"},
		{"two names, length not known", func(t *talk) {
			t.asks(mapper, "a", 9100)
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 0, 0))
		}, "", "n2.lab"},
		{"one name, length not known", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 0, 0))
		}, "demo@n2.lab", ""},
		{"no name that could be in the room", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("a.very.long.host.name.lab", 8, 9))
		}, "", ""},
		{"no name of a host", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("demo@n2.lab", 8, len("demo@demo@n2.lab")))
		}, "", ""},
		{"a host known from another connection", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.asks(mapper, "second", 9200)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
			t.dials("10.1.0.1:40002", "10.1.0.2:9200").tls12(named("", 8, len("second@n2.lab")))
		}, "second@n2.lab", ""},
		{"a host that was refused is none", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.asks(mapper, "second", 9200)
			t.dials(dialled, listening).sends(client, named("nx.lab", 8, long).clientHello(false)).sends(server, record(21, 2, 40)).closes(server)
			t.dials("10.1.0.1:40002", "10.1.0.2:9200").tls12(named("", 8, len("second@n2.lab")))
		}, "", ""},
		{"two hosts at an address", func(t *talk) {
			t.asks(mapper, "second", 9200)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, long))
			t.dials("10.1.0.1:40003", listening).tls12(named("n3.lab", 8, long))
			t.dials("10.1.0.1:40002", "10.1.0.2:9200").tls12(named("", 8, len("second@n2.lab")))
		}, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			c := talk.finish(decode.Options{})
			last := c.Connections[len(c.Connections)-1]
			if e := last.Ends[server]; e.Node != row.node || e.Host != row.host {
				t.Errorf("node %q, host %q, want %q, %q (length %d, protocol %s)", e.Node, e.Host, row.node, row.host, e.NodeLength, last.Protocol)
			}
			named := slices.ContainsFunc(c.Nodes, func(n *decode.Node) bool { return n.Name == row.node })
			if named != (row.node != "") {
				t.Errorf("nodes: %s", nodesOf(c))
			}
		})
	}
}

// TestNameLearntLater: the port mapper may be asked after the connection.
func TestNameLearntLater(t *testing.T) {
	talk := newTalk()
	talk.dials(dialled, listening).tls12(named("n2.lab", 0, 0))
	talk.asks(mapper, "demo", 9100)
	c := talk.finish(decode.Options{}).Connections[0]
	if c.Ends[server].Node != "demo@n2.lab" || c.Protocol != decode.DistTLS {
		t.Errorf("%+v %s", c.Ends[server], c.Protocol)
	}
}

func TestTwoNodesOnOneHost(t *testing.T) {
	talk := newTalk()
	talk.asks(mapper, "one", 9100)
	talk.asks(mapper, "two", 9200)
	talk.dials(dialled, "10.1.0.2:9200").tls12(named("n2.lab", 8, len("two@n2.lab")))
	talk.dials("10.1.0.1:40002", listening).tls13(named("n2.lab", 8, len("one@n2.lab")))
	talk.dials("10.1.0.2:40003", "10.1.0.1:9100").connects("two@n2.lab", "a@n1.lab")
	c := talk.finish(decode.Options{})
	want := "a@n1.lab handshake [10.1.0.1] [9100]; one@n2.lab epmd+sni [10.1.0.2] [9100]; two@n2.lab handshake [10.1.0.2] [9200]"
	if got := nodesOf(c); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if n := c.Nodes[0]; n.AtLeast != 25 {
		t.Errorf("%s is of OTP %d or later", n.Name, n.AtLeast)
	}
	// The client of TLS is a node of that host, but which one does not show.
	if e := c.Connections[2].Ends[client]; e.Node != "" || e.Host != "n1.lab" || e.NodeLength != 8 {
		t.Errorf("client %+v", e)
	}
}

func TestRegistry(t *testing.T) {
	talk := newTalk()
	talk.asks(mapper, "demo", 9100)
	talk.asks(mapper, "demo", 9100)
	talk.asks("10.1.0.1:4369", "zeta", 9100)
	talk.dials("10.1.0.8:50000", mapper).sends(client, with16('n')).sends(server, cat(u32(4369), "name demo at port 9100\nname abc at port 9100\n")).closes(server)
	talk.dials("10.1.0.7:50000", mapper).sends(client, portPlease("nobody")).sends(server, cat('w', 1)).closes(server)
	r := talk.finish(decode.Options{}).Registry
	if got, want := fmt.Sprint(r.Names), "[{zeta 10.1.0.1 9100} {abc 10.1.0.2 9100} {demo 10.1.0.2 9100}]"; got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(r.Requests), "map[NAMES_REQ:1 PORT_PLEASE2_REQ:4]"; got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(r.Clients), "[10.1.0.7 10.1.0.8 10.1.0.9]"; got != want {
		t.Errorf("clients %s, want %s", got, want)
	}
}

func TestEPMDPorts(t *testing.T) {
	names := func(play func(*talk), o decode.Options) (decode.Protocol, int) {
		talk := newTalk()
		play(talk)
		c := talk.finish(o)
		return c.Connections[0].Protocol, len(c.Registry.Names)
	}
	ask := func(t *talk) { t.asks("10.1.0.2:5369", "demo", 9100) }
	notFound := func(t *talk) {
		t.dials("10.1.0.9:50000", "10.1.0.2:5369").sends(client, portPlease("demo")).sends(server, cat('w', 1)).closes(server)
	}
	if p, n := names(ask, decode.Options{}); p != decode.EPMD || n != 1 {
		t.Errorf("by content: %s, %d names", p, n)
	}
	if p, n := names(notFound, decode.Options{}); p != decode.Other || n != 0 {
		t.Errorf("what proves nothing: %s, %d names", p, n)
	}
	if p, n := names(notFound, decode.Options{EPMDPorts: []uint16{5369}}); p != decode.EPMD || n != 0 {
		t.Errorf("by option: %s, %d names", p, n)
	}
	if p, n := names(func(t *talk) { t.asks("10.1.0.2:4369", "demo", 9100) }, decode.Options{EPMDPorts: []uint16{5369}}); p != decode.EPMD || n != 1 {
		t.Errorf("4369 beside the option: %s, %d names", p, n)
	}
}

// TestClientsNameGivenByServer: a node that asks for a name is called by the one
// that it gets.
func TestClientsNameGivenByServer(t *testing.T) {
	const nameMe = 1 << 33
	talk := newTalk()
	d := talk.dials(dialled, listening)
	d.sends(client, with16('N', u64(flags25|nameMe), u32(0), with16("n1.lab")))
	d.sends(server, with16("snamed:", with16("X7@n1.lab"), u32(9)), challenge("b@n2.lab"))
	d.sends(client, reply).sends(server, ack)
	c := talk.only(t, decode.Options{})
	if c.Ends[client].Node != "X7@n1.lab" || c.Ends[server].Node != "b@n2.lab" {
		t.Errorf("%+v", c.Ends)
	}
}
