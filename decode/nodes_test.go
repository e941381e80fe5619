package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/decode/fact"
)

const (
	published = 1 << 0
	atomCache = 1 << 13
	nameMe    = 1 << 33
)

// A speaker is a node as it presents itself.
type speaker struct {
	name     string
	creation int
	flags    uint64
}

// erts is a node of Erlang's own runtime.
func erts(name string, creation int) speaker { return speaker{name, creation, flags25} }

func (s speaker) without(flags uint64) speaker { s.flags &^= flags; return s }

// meets plays distribution's handshake in the clear.
func (d *dialog) meets(a, b speaker) *dialog {
	d.sends(client, with16('N', u64(a.flags), u32(a.creation), with16(a.name)))
	d.sends(server, statusOK, with16('N', u64(b.flags), u32(0x0a0b0c0d), u32(b.creation), with16(b.name)))
	return d.sends(client, reply).sends(server, ack)
}

// described lists all that is claimed of nodes.
func described(c *decode.Capture) string {
	word := func(f fact.Fact, yes, no string) string {
		return map[fact.Value]string{fact.Yes: " " + yes, fact.No: " " + no}[f.Value]
	}
	var out []string
	for _, n := range c.Nodes {
		s := fmt.Sprintf("%s %s %v %v %v", n.Name, n.Basis, n.Addresses, n.Ports, n.Creations)
		s += word(n.Hidden, "hidden", "visible") + word(n.ERTS, "erts", "other")
		if n.Cleartext {
			s += " clear"
		}
		if n.TLS {
			s += " tls"
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

func TestNodes(t *testing.T) {
	a, b := erts("a@n1.lab", 5), erts("b@n2.lab", 6)
	for _, row := range []struct {
		name string
		play func(*talk)
		want string
	}{
		{"two nodes", func(t *talk) {
			t.dials(dialled, listening).meets(a, b)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear`},

		{"a restart", func(t *talk) {
			t.dials(dialled, listening).meets(a, b).closes(client)
			t.dials("10.1.0.1:40002", "10.1.0.2:9105").meets(a, erts("b@n2.lab", 7))
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100 9105] [6 7] visible erts clear`},

		// The first connection's end comes after the second's beginning.
		{"a restart that a peer notices late", func(t *talk) {
			first := t.dials(dialled, listening).meets(a, b)
			t.dials("10.1.0.1:40002", listening).meets(a, erts("b@n2.lab", 7))
			first.closes(client)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6 7] visible erts clear`},

		{"a restart elsewhere", func(t *talk) {
			t.dials(dialled, listening).meets(a, b).closes(client)
			t.dials("10.1.0.1:40002", "10.1.0.9:9100").meets(a, erts("b@n2.lab", 7))
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2 10.1.0.9] [9100] [6 7] visible erts clear`},

		{"two clusters with the same names at once", func(t *talk) {
			first := t.dials(dialled, listening).meets(a, b)
			t.dials("10.2.0.1:40002", "10.2.0.2:9100").meets(erts("a@n1.lab", 15), erts("b@n2.lab", 16)).closes(client)
			first.closes(client)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
a@n1.lab handshake [10.2.0.1] [] [15] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
b@n2.lab handshake [10.2.0.2] [9100] [16] visible erts clear`},

		// What was seen of the second b later belongs to it, and not to the first.
		{"two clusters, and a restart in the second", func(t *talk) {
			first := t.dials(dialled, listening).meets(a, b)
			t.dials("10.2.0.1:40002", "10.2.0.2:9100").meets(erts("c@n3.lab", 15), erts("b@n2.lab", 16)).closes(client)
			t.dials("10.2.0.1:40003", "10.2.0.2:9105").meets(erts("c@n3.lab", 15), erts("b@n2.lab", 17)).closes(client)
			first.closes(client)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
b@n2.lab handshake [10.2.0.2] [9100 9105] [16 17] visible erts clear
c@n3.lab handshake [10.2.0.1] [] [15] visible erts`},

		// Without a creation, the address tells which of the two it is.
		{"two clusters, and TLS in the second", func(t *talk) {
			t.asks("10.2.0.2:4369", "b", 9100)
			early := t.dials("10.2.0.1:40003", "10.2.0.2:9100").tls12(named("n2.lab", 8, 8))
			first := t.dials(dialled, listening).meets(a, b)
			t.dials("10.2.0.1:40002", "10.2.0.2:9100").meets(erts("c@n3.lab", 15), erts("b@n2.lab", 16)).closes(client)
			first.closes(client)
			early.closes(client)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
b@n2.lab handshake [10.2.0.2] [9100] [16] visible erts clear tls
c@n3.lab handshake [10.2.0.1] [] [15] visible erts`},

		{"IPv4 and IPv6", func(t *talk) {
			first := t.dials(dialled, listening).meets(a, b)
			t.dials("[fd00::1]:40002", "[fd00::2]:9100").meets(erts("c@n3.lab", 9), b)
			first.closes(client)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2 fd00::2] [9100] [6] visible erts clear
c@n3.lab handshake [fd00::1] [] [9] visible erts`},

		{"a client and a server", func(t *talk) {
			t.dials(dialled, listening).meets(a, b)
			t.dials("10.1.0.2:40002", "10.1.0.1:9200").meets(b, a)
		}, `
a@n1.lab handshake [10.1.0.1] [9200] [5] visible erts clear
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear`},

		{"a hidden node", func(t *talk) {
			t.dials(dialled, listening).meets(a.without(published), b)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] hidden erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear`},

		// net_kernel:hidden_connect_node/1
		{"a visible node that hides from one peer", func(t *talk) {
			t.dials(dialled, listening).meets(a, b)
			t.dials("10.1.0.1:40002", "10.1.0.3:9100").meets(a.without(published), erts("c@n3.lab", 9))
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
c@n3.lab handshake [10.1.0.3] [9100] [9] visible erts clear`},

		{"a C node", func(t *talk) {
			t.dials(dialled, listening).meets(erts("c17@n1.lab", 1).without(published|atomCache), b)
		}, `
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
c17@n1.lab handshake [10.1.0.1] [] [1] hidden other`},

		{"a name that is given", func(t *talk) {
			d := t.dials(dialled, listening)
			d.sends(client, with16('N', u64(flags25|nameMe), u32(0), with16("n1.lab")))
			d.sends(server, with16("snamed:", with16("X7@n1.lab"), u32(9)), challenge("b@n2.lab"))
			d.sends(client, reply).sends(server, ack)
		}, `
X7@n1.lab handshake [10.1.0.1] [] [9] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [8] visible erts clear`},

		{"a name that was asked for and refused", func(t *talk) {
			d := t.dials(dialled, listening)
			d.sends(client, with16('N', u64(flags25|nameMe), u32(0), with16("n1.lab")))
			d.sends(server, with16("snot_allowed")).closes(server)
		}, ""},

		{"a node that is not let in listens to nobody", func(t *talk) {
			d := t.dials(dialled, listening)
			d.sends(client, sendName("a@n1.lab")).closes(server)
		}, `
a@n1.lab handshake [10.1.0.1] [] [7] visible erts`},

		// Nothing shows that the other one speaks cleartext.
		{"a handshake in the clear with a TLS listener", func(t *talk) {
			t.asks(mapper, "b", 9100)
			d := t.dials(dialled, listening)
			d.sends(client, sendName("a@n1.lab")).sends(server, record(21, 2, 10)).closes(server)
			t.dials("10.1.0.1:40002", listening).tls12(named("n2.lab", 8, 8))
		}, `
a@n1.lab handshake [10.1.0.1] [] [7] visible erts
b@n2.lab epmd+sni [10.1.0.2] [9100] [] tls`},

		{"registered and never reached", func(t *talk) {
			t.dials(dialled, listening).meets(a, b)
			t.asks(mapper, "d", 9300)
			t.asks("10.1.0.3:4369", "e", 9300) // the host's name is not known
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
d@n2.lab epmd+host [10.1.0.2] [9300] []`},

		{"registered, and reached in vain", func(t *talk) {
			t.dials(dialled, listening).meets(a, b)
			t.asks(mapper, "d", 9300)
			t.dials(dialled, "10.1.0.2:9300").closes(server)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
d@n2.lab epmd+host [10.1.0.2] [9300] []`},

		{"EPMD tells another name than the node", func(t *talk) {
			t.asks(mapper, "liar", 9100)
			t.dials(dialled, listening).meets(a, b)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear`},

		{"EPMD tells a name of another length", func(t *talk) {
			t.asks(mapper, "liar", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, 8))
		}, ""},

		// Both listen on a port of their own, at the same time: one name, two nodes.
		{"all nodes are asked for the same host", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.asks("10.1.0.3:4369", "demo", 9200)
			first := t.dials(dialled, listening).tls12(named("lab", 8, 8))
			t.dials("10.1.0.1:40002", "10.1.0.3:9200").tls12(named("lab", 8, 8)).closes(client)
			first.closes(client)
		}, `
demo@lab epmd+sni [10.1.0.2] [9100] [] tls
demo@lab epmd+sni [10.1.0.3] [9200] [] tls`},

		{"both ways of speaking", func(t *talk) {
			t.asks(mapper, "b", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, 8))
			t.dials("10.1.0.1:40002", listening).meets(a, b)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear tls`},

		{"seen from the middle on", func(t *talk) {
			t.dials("10.1.0.3:40002", "10.1.0.2:9200").meets(erts("c@n3.lab", 9), b)
			t.asks(mapper, "d", 9100)
			t.joins(dialled, listening).sends(client, regSend(), regSend()).sends(server, regSend(), tick)
		}, `
b@n2.lab handshake [10.1.0.2] [9200] [6] visible erts clear
c@n3.lab handshake [10.1.0.3] [] [9] visible erts
d@n2.lab epmd+host [10.1.0.2] [9100] [] clear`},

		{"many nodes behind one address", func(t *talk) {
			t.dials(dialled, listening).meets(a, b)
			t.dials("10.1.0.1:40002", listening).meets(erts("d@n4.lab", 8), b)
			t.dials("10.1.0.1:40003", listening).meets(erts("e@n5.lab", 9), b)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2] [9100] [6] visible erts clear
d@n4.lab handshake [10.1.0.1] [] [8] visible erts
e@n5.lab handshake [10.1.0.1] [] [9] visible erts`},

		{"loopback and the network", func(t *talk) {
			first := t.dials(dialled, listening).meets(a, b)
			t.dials("127.0.0.1:40002", "127.0.0.1:9100").meets(erts("c@n2.lab", 9), b)
			first.closes(client)
		}, `
a@n1.lab handshake [10.1.0.1] [] [5] visible erts
b@n2.lab handshake [10.1.0.2 127.0.0.1] [9100] [6] visible erts clear
c@n2.lab handshake [127.0.0.1] [] [9] visible erts`},

		{"names that are none", func(t *talk) {
			t.dials(dialled, listening).meets(erts("nothing", 5), erts("\xff@n2.lab", 6))
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			if got, want := described(talk.finish(decode.Options{})), strings.TrimPrefix(row.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// shown returns session s with a client that has the given certificate.
func shown(n node, sni string) session {
	return mutualSession.but(func(s *session) { s.as, s.sni = &n, sni })
}

// TestHostsOfClients: the last connection is over TLS; what is said of its client.
func TestHostsOfClients(t *testing.T) {
	one, other := newNode("one", "n1.lab"), newNode("other", "n3.lab")
	several, wild := newNode("several", "n1.lab", "n3.lab"), newNode("wild", "*.lab")
	for _, row := range []struct {
		name string
		play func(*talk)
		want string
	}{
		{"a certificate for one host", func(t *talk) {
			t.dials(dialled, listening).tls12(shown(one, "n2.lab"))
		}, "n1.lab certificate"},
		{"the same certificate from two addresses", func(t *talk) {
			t.dials("10.1.0.7:40001", listening).tls12(shown(one, "n2.lab"))
			t.dials(dialled, listening).tls12(shown(one, "n2.lab"))
		}, " "},
		{"a certificate for several hosts", func(t *talk) {
			t.dials(dialled, listening).tls12(shown(several, "n2.lab"))
		}, " "},
		{"a certificate for all hosts", func(t *talk) {
			t.dials(dialled, listening).tls12(shown(wild, "n2.lab"))
		}, " "},
		{"a certificate without a host", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
		}, " "},
		{"what it said in the clear", func(t *talk) {
			t.dials("10.1.0.1:40009", "10.1.0.3:9100").meets(erts("a@n1.lab", 5), erts("b@n2.lab", 6))
			t.dials(dialled, listening).tls12(mutualSession)
		}, "n1.lab address"},
		{"a certificate that says the same", func(t *talk) {
			t.dials("10.1.0.1:40009", "10.1.0.3:9100").meets(erts("a@n1.lab", 5), erts("b@n2.lab", 6))
			t.dials(dialled, listening).tls12(shown(one, "n2.lab"))
		}, "n1.lab certificate"},
		{"a certificate that says something else", func(t *talk) {
			t.dials("10.1.0.1:40009", "10.1.0.3:9100").meets(erts("a@n1.lab", 5), erts("b@n2.lab", 6))
			t.dials(dialled, listening).tls12(shown(other, "n2.lab"))
		}, " "},
		{"another's certificate from the same address", func(t *talk) {
			t.dials("10.1.0.1:40009", "10.1.0.3:9100").meets(erts("a@n1.lab", 5), erts("b@n2.lab", 6))
			t.dials("10.1.0.1:40008", listening).tls12(shown(other, "n2.lab"))
			t.dials(dialled, listening).tls12(mutualSession)
		}, " "},
		{"two certificates from one address", func(t *talk) {
			t.dials("10.1.0.1:40009", listening).tls12(shown(one, "n2.lab"))
			t.dials(dialled, listening).tls12(shown(other, "n2.lab"))
		}, "n3.lab certificate"},
		{"many nodes behind one address", func(t *talk) {
			t.dials("10.1.0.1:40009", "10.1.0.3:9100").meets(erts("a@n1.lab", 5), erts("b@n2.lab", 6))
			t.dials("10.1.0.1:40008", "10.1.0.3:9100").meets(erts("d@n4.lab", 7), erts("b@n2.lab", 6))
			t.dials(dialled, listening).tls12(mutualSession)
		}, " "},
		{"a host that asked for a name", func(t *talk) {
			d := t.dials("10.1.0.1:40009", "10.1.0.3:9100")
			d.sends(client, with16('N', u64(flags25|nameMe), u32(0), with16("n1.lab")))
			d.sends(server, with16("snamed:", with16("X7@n1.lab"), u32(9)), challenge("b@n2.lab"))
			d.sends(client, reply).sends(server, ack)
			t.dials(dialled, listening).tls12(mutualSession)
		}, "n1.lab address"},
		{"its loopback", func(t *talk) {
			t.dials("127.0.0.1:40009", "127.0.0.1:9100").meets(erts("a@n1.lab", 5), erts("b@n1.lab", 6))
			t.dials("127.0.0.1:40008", "127.0.0.1:9200").tls12(mutualSession.but(func(s *session) { s.sni = "" }))
		}, "n1.lab address"},
		{"another machine's loopback", func(t *talk) {
			t.dials("127.0.0.1:40009", "127.0.0.1:9100").meets(erts("a@n1.lab", 5), erts("b@n1.lab", 6))
			t.input = 1
			t.dials("127.0.0.1:40008", "127.0.0.1:9200").tls12(mutualSession.but(func(s *session) { s.sni = "" }))
		}, " "},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			all := talk.finish(decode.Options{}).Connections
			last := all[len(all)-1]
			e := last.Ends[client]
			if got := e.Host + " " + e.HostBasis; got != row.want || e.Node != "" || last.Protocol != decode.DistTLS {
				t.Errorf("%q, want %q (%s, node %q)", got, row.want, last.Protocol, e.Node)
			}
		})
	}
}

// TestAskedForAnotherHost: a client that was refused may have been sent to the
// wrong place. What it asked for is then what the server is called, unless
// another host is known of the address.
func TestAskedForAnotherHost(t *testing.T) {
	refused := func(t *talk, host string) {
		d := t.dials("10.1.0.1:40002", listening)
		d.sends(client, named(host, 8, 11).clientHello(false)).sends(server, record(21, 2, 40)).closes(server)
	}
	for _, row := range []struct {
		name string
		play func(*talk)
		want string // name, its basis, host, its basis
	}{
		{"nothing else is known", func(t *talk) { t.asks(mapper, "demo", 9100); refused(t, "nx.lab") }, "demo@nx.lab epmd+sni  "},
		{"the host is another one", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, 11))
			refused(t, "nx.lab")
		}, "demo@n2.lab epmd+host  "},
		{"the host is another one, and not announced", func(t *talk) {
			t.dials(dialled, listening).tls12(named("n2.lab", 8, 11))
			refused(t, "nx.lab")
		}, "  n2.lab address"},
		{"the host is the same", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.dials(dialled, listening).tls12(named("n2.lab", 8, 11))
			refused(t, "n2.lab")
		}, "demo@n2.lab epmd+sni  "},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			c := talk.finish(decode.Options{})
			e := c.Connections[len(c.Connections)-1].Ends[server]
			if got := strings.Join([]string{e.Node, e.NodeBasis, e.Host, e.HostBasis}, " "); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
			for _, n := range c.Nodes {
				if n.Name == "demo@nx.lab" {
					t.Errorf("a node that nobody reached: %s", described(c))
				}
			}
		})
	}
}

// TestManyStarts: a name with more starts than there can be takes no time that
// grows with their square.
func TestManyStarts(t *testing.T) {
	const n = 3000
	talk := newTalk()
	for i := range n {
		talk.dials(fmt.Sprintf("10.%d.%d.1:40001", i/200, i%200), listening).meets(erts("a@n1.lab", i+1), erts("b@n2.lab", 6)).closes(client)
	}
	c := talk.finish(decode.Options{})
	if len(c.Nodes) != 2 || len(c.Nodes[0].Creations) != n || len(c.Nodes[0].Addresses) != n {
		t.Errorf("%d nodes", len(c.Nodes))
	}
}
