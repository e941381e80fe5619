package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/internal/formatcheck"
	"distproof/verify"
	"distproof/verify/policy"
)

func yes() fact.Fact { return fact.YesBy(fact.Observed, "seen") }

// mutual returns a connection that is mutual TLS 1.2, between these.
func mutual(client, server decode.End) *decode.Connection {
	sent := tcp.Stats{Packets: 10, Bytes: 4000, End: 4000, Start: tcp.StartSYN}
	return &decode.Connection{
		Protocol: decode.DistTLS, ProtocolBasis: []string{decode.ByRecordSizes}, Ends: [2]decode.End{client, server}, RolesBasis: "syn",
		First: 1_790_000_000_000_000_000, TCP: [2]tcp.Stats{sent, sent}, Ending: tls.Ending{Whole: true},
		TLS: &tls.Facts{
			Client: &tls.ClientHello{}, Server: &tls.ServerHello{}, Sealed: [2]tls.Sealed{{Application: 20}, {Application: 20}},
			Session: &tls.Session{
				Version: tls.TLS12, Suite: 0xc02c,
				Resumed: fact.NoBy(fact.Observed, "seen"), Established: yes(), Finished: true,
				ClientCertificate: tls.ClientCertificate{Status: tls.Presented, Basis: fact.Observed, Requested: yes(), Possession: fact.Observed},
				ServerCertificate: tls.ServerCertificate{Basis: fact.Inferred, Possession: fact.Observed},
				Shape:             tls.Shape{Stage: tls.StageAck, Exact: true},
			},
		},
	}
}

func end(address, node, host string) decode.End {
	return decode.End{Address: netip.MustParseAddrPort(address), Node: node, NodeBasis: "test", Host: host, HostBasis: "test"}
}

// Names come off the wire: whatever they are, what is learnt is a policy that the
// capture keeps, and says no more than it showed.
func TestLearnHostileNames(t *testing.T) {
	names := []string{
		"app@n1.lab", "a\nb: c@n1.lab", "a # b@n1.lab", "*@n1.lab", "a?[b]\\@n1.lab", "a/b@n1.lab", "\x1b[31m\u202e@n1.lab", `"'@n1.lab`, "\xff\xfe@n1.lab", "é☃@n1.lab", "@", "a@b@c", "no", "", "- x@y", strings.Repeat("x", 255) + "@n",
	}
	for _, name := range names {
		for _, host := range []string{"", "n1.lab", "*", "h\nx"} {
			c := &decode.Capture{Connections: []*decode.Connection{mutual(end("10.1.0.1:40000", name, host), end("[fd00::2%eth0]:9100", "b@n2.lab", ""))}}
			text, err := policy.Learn(policy.Sample{Names: []string{"a\nb.pcap"}, Capture: c, Now: time.Unix(0, 0)})
			if err != nil {
				// A name that is not UTF-8 has no way into YAML.
				if name != "\xff\xfe@n1.lab" {
					t.Errorf("%q, %q: %v", name, host, err)
				}
				continue
			}
			for line := range strings.Lines(string(text)) {
				if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%q: %q", name, line)
				}
			}
			if err := formatcheck.YAML(text, "schema.json"); err != nil {
				t.Errorf("%q: %v\n%s", name, err, text)
			}
			f, err := policy.Parse(text, "p")
			if err != nil {
				t.Fatal(err)
			}
			// Another node in its place is not allowed, or not expected.
			other := &decode.Capture{Connections: []*decode.Connection{mutual(end("10.1.0.9:40000", "evil@n9.lab", ""), end("[fd00::2%eth0]:9100", "b@n2.lab", ""))}}
			if j := verify.Judge(other, verify.Coverage{}, f.Options); j.Outcome != verify.Fail {
				t.Errorf("%q, %q: another node passes: %s\n%s", name, host, j.Reason, text)
			}
		}
	}
}

// What cannot be known is told in a comment.
func TestLearnSaysWhatIsNotKnown(t *testing.T) {
	fixed := mutual(end("10.1.0.1:40000", "", ""), end("10.1.0.2:9100", "b@n2.lab", ""))
	guess := mutual(end("10.1.0.1:40000", "a@n1.lab", ""), end("10.1.0.2:50000", "b@n2.lab", ""))
	for _, row := range []struct {
		c    *decode.Connection
		want []string
	}{
		{fixed, []string{"#   10.1.0.1\n", "  # nodes:\n  #   - \"*@n2.lab\"  # seen: b@n2.lab", "  ports:\n    - 9100\n", "#   The CAs could not be learnt", "# epmd:\n#   No EPMD was seen", "    - [\"10.1.0.1\", \"10.1.0.2\"]  # seen as 10.1.0.1, b@n2.lab\n"}},
		{guess, []string{"  nodes:\n    - \"a@n1.lab\"  # known by test\n    - \"b@n2.lab\"", "others at each start", "  # ports:\n  #   - 50000\n", "  basis: inferred"}},
	} {
		text, err := policy.Learn(policy.Sample{Names: []string{"x.pcap"}, Capture: &decode.Capture{Connections: []*decode.Connection{row.c}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range row.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// Many nodes are learnt, and quickly enough.
func TestLearnManyNodes(t *testing.T) {
	var all []*decode.Connection
	for i := range 60 {
		for k := range i {
			a, b := fmt.Sprintf("n%d@h%d", i, i), fmt.Sprintf("n%d@h%d", k, k)
			all = append(all, mutual(end(fmt.Sprintf("10.1.%d.1:40000", i), a, ""), end(fmt.Sprintf("10.1.%d.1:9100", k), b, "")))
		}
	}
	text, err := policy.Learn(policy.Sample{Capture: &decode.Capture{Connections: all}})
	if n := strings.Count(string(text), "    - ["); err != nil || n != 60*59/2 {
		t.Errorf("%d edges, %v", n, err)
	}
}

// Of sessions that were refused behind TLS, for the cookie, nothing is learnt.
func TestLearnNothingFromRefusedSessions(t *testing.T) {
	c := mutual(end("10.1.0.1:40000", "a@n1.lab", ""), end("10.1.0.2:9100", "b@n2.lab", ""))
	c.TLS.Shape, c.TLS.Sealed = tls.Shape{Refused: true}, [2]tls.Sealed{}
	c.Ending.ClosedBy = tls.RoleServer
	text, err := policy.Learn(policy.Sample{Capture: &decode.Capture{Connections: []*decode.Connection{c}}})
	if want := "the capture is no good example: no session between nodes came up (the distribution connection is mutual TLS; no session came up in it)"; err == nil || err.Error() != want {
		t.Errorf("%v\n%s", err, text)
	}
}

// TLS hides the name of the end that dials. The same cluster keeps what was learnt
// also when others dial at its next start.
func TestLearnWhoeverDials(t *testing.T) {
	const a, b = "10.1.0.1:25672", "10.1.0.2:25672"
	one := mutual(end("10.1.0.1:40000", "", "mq1"), end(b, "rabbit@mq2", ""))
	other := mutual(end("10.1.0.2:40000", "", "mq2"), end(a, "rabbit@mq1", ""))
	for _, row := range [][2]*decode.Connection{{one, other}, {other, one}} {
		text, err := policy.Learn(policy.Sample{Capture: &decode.Capture{Connections: row[:1]}})
		if err != nil {
			t.Fatal(err)
		}
		f, err := policy.Parse(text, "p")
		if err != nil {
			t.Fatal(err)
		}
		if j := verify.Judge(&decode.Capture{Connections: row[1:]}, verify.Coverage{}, f.Options); j.Outcome != verify.Pass {
			t.Errorf("%s: %s\n%s", j.Outcome, j.Reason, text)
		}
	}
}

// Command-line tools have other names the next time, and are not there always.
func TestLearnTools(t *testing.T) {
	node := mutual(end("10.1.0.1:40000", "rabbit@mq1", ""), end("10.1.0.2:25672", "rabbit@mq2", ""))
	tool := mutual(end("10.1.0.1:40001", "rabbit@mq1", ""), end("10.1.0.2:35672", "rabbitmqcli-126-rabbit@mq2", ""))
	text, err := policy.Learn(policy.Sample{Capture: &decode.Capture{Connections: []*decode.Connection{node, tool}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    - \"rabbitmqcli-*-rabbit@mq2\"  # command-line tools, with another name each time; known by test\n",
		"  ports:\n    - 25672\n    - 35672-35682  # command-line tools of RabbitMQ\n",
		"  edges:\n    - [\"rabbit@mq1\", \"rabbit@mq2\"]\n\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	f, err := policy.Parse(text, "p")
	if err != nil {
		t.Fatal(err)
	}
	later := mutual(end("10.1.0.1:40001", "rabbit@mq1", ""), end("10.1.0.2:35673", "rabbitmqcli-7-rabbit@mq2", ""))
	for _, row := range []struct {
		connections []*decode.Connection
		want        verify.Outcome
	}{
		{[]*decode.Connection{node}, verify.Pass},
		{[]*decode.Connection{node, later}, verify.Pass},
		{[]*decode.Connection{later}, verify.Undecided},
		{[]*decode.Connection{node, mutual(end("10.1.0.1:40001", "rabbitmqcli-7-other@mq1", ""), end("10.1.0.2:25672", "rabbit@mq2", ""))}, verify.Fail},
	} {
		if j := verify.Judge(&decode.Capture{Connections: row.connections}, verify.Coverage{}, f.Options); j.Outcome != row.want {
			t.Errorf("%s, want %s: %s", j.Outcome, row.want, j.Reason)
		}
	}

	// Where there is nothing else, nothing is expected.
	text, err = policy.Learn(policy.Sample{Capture: &decode.Capture{Connections: []*decode.Connection{tool}}})
	if err != nil || !strings.Contains(string(text), "# expect: there were no other connections.\n") {
		t.Errorf("%v\n%s", err, text)
	}
}
