package verify

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

func capture(c ...*decode.Connection) *decode.Capture { return &decode.Capture{Connections: c} }

func TestOutcome(t *testing.T) {
	unproven := func() *decode.Connection { return with(mutual(), hidden) }
	damaged := Coverage{Damaged: []string{"a.pcap: truncated at frame 7"}}
	for _, row := range []struct {
		name    string
		c       *decode.Capture
		cover   Coverage
		outcome Outcome
		reason  string
		rules   string // of the findings, in their order
	}{
		{"nothing at all", capture(), Coverage{}, Undecided, "nothing to verify: no connection between Erlang nodes was recognised", "DP301"},
		{"nothing of distribution", capture(bare(decode.EPMD), other()), Coverage{}, Undecided, "nothing to verify: no connection between Erlang nodes was recognised", "DP301"},
		{"only refused", capture(refused(), other()), Coverage{}, Undecided, "nothing to verify: no connection between Erlang nodes came up", "DP301 DP112"},
		{"one", capture(mutual(), other()), Coverage{}, Pass, "the distribution connection is mutual TLS", ""},
		{"two", capture(mutual(), with(mutual(), as13)), Coverage{}, Pass, "all 2 distribution connections are mutual TLS", ""},
		{"one, and a refusal", capture(mutual(), refused()), Coverage{}, Pass, "the distribution connection that came up is mutual TLS; 1 more came to nothing", "DP112"},
		{"two, and one without a session", capture(mutual(), with(mutual(), turned(tls.StageReply))), Coverage{}, Pass, "all 2 distribution connections are mutual TLS; in 1 of them no session came up", ""},
		{"one without a session", capture(with(mutual(), turned(tls.StageReply))), Coverage{}, Pass, "the distribution connection is mutual TLS; no session came up in it", ""},
		{"without a session, and a refusal", capture(refused(), with(mutual(), turned(tls.StageReply))), Coverage{}, Pass, "the distribution connection that came up is mutual TLS; no session came up in it; 1 more came to nothing", "DP112"},
		{"two, and refusals", capture(refused(), mutual(), refused(), mutual()), Coverage{}, Pass, "all 2 distribution connections that came up are mutual TLS; 2 more came to nothing", "DP112"},
		{"mutual, then distribution refused", capture(with(mutual(), closedBy(tls.RoleServer), func(c *decode.Connection) {
			c.TLS.Shape = tls.Shape{Refused: true}
		})), Coverage{}, Pass, "the distribution connection is mutual TLS; no session came up in it", ""},

		{"one in the clear", capture(clear()), Coverage{}, Fail, "the distribution connection is in the clear", "DP101 DP205"},
		{"one one-way", capture(oneWay()), Coverage{}, Fail, "the distribution connection is one-way TLS", "DP103"},
		{"one with optional certificates", capture(with(mutual(), certificate(tls.Empty))), Coverage{}, Fail, "the distribution connection is one-way TLS", "DP104"},
		{"one of two in the clear", capture(mutual(), clear()), Coverage{}, Fail, "1 of 2 distribution connections is not mutual TLS: 1 in the clear", "DP101 DP205"},
		{"two of two", capture(oneWay(), oneWay()), Coverage{}, Fail, "2 of 2 distribution connections are not mutual TLS: 2 one-way", "DP103"},
		{"everything", capture(mutual(), clear(), oneWay(), unproven(), refused()), Coverage{}, Fail,
			"2 of 5 distribution connections are not mutual TLS: 1 in the clear, 1 one-way", "DP101 DP103 DP205 DP109 DP112"},
		{"in the clear, and damaged", capture(clear()), damaged, Fail, "the distribution connection is in the clear", "DP101 DP205 DP302"},

		{"one not proven", capture(unproven()), Coverage{}, Undecided, "the distribution connection could not be proven mutual TLS", "DP109"},
		{"one of two not proven", capture(unproven(), mutual()), Coverage{}, Undecided, "1 of 2 distribution connections could not be proven mutual TLS", "DP109"},
		{"not proven, and a refusal", capture(unproven(), refused()), Coverage{}, Undecided, "1 of 2 distribution connections could not be proven mutual TLS", "DP109 DP112"},

		{"damaged", capture(mutual()), damaged, Undecided, "a part of the capture is missing: a.pcap: truncated at frame 7", "DP302"},
		{"a packet dropped", capture(mutual()), Coverage{Dropped: 1}, Undecided, "the capturing system lost 1 packet: connections may have been missed", "DP302"},
		{"packets dropped", capture(mutual()), Coverage{Dropped: 7}, Undecided, "the capturing system lost 7 packets: connections may have been missed", "DP302"},
		{"nothing, damaged", capture(), damaged, Undecided, "nothing to verify: no connection between Erlang nodes was recognised", "DP301 DP302"},
		{"a gap", capture(with(mutual(), gap(server)), mutual()), Coverage{}, Undecided, "1 distribution connection has missing packets", "DP302"},
		{"gaps", capture(with(mutual(), gap(server)), with(mutual(), gap(client))), Coverage{}, Undecided, "2 distribution connections have missing packets", "DP302"},
		{"a gap in something else", capture(with(other(), gap(server)), mutual()), Coverage{}, Pass, "the distribution connection is mutual TLS", ""},

		{"a lookup whose answer is missing", capture(mutual(), asks("10.1.0.1", request(epmd.PortPlease2Req, "demo"), "")), Coverage{}, Undecided,
			"1 connection has missing or contradictory packets that would show whether it is distribution", "DP302"},
		{"a lookup that EPMD closed on", capture(mutual(), asks("10.1.0.1", request(epmd.PortPlease2Req, "demo"), "", closedBy(tls.RoleServer))), Coverage{}, Pass, "the distribution connection is mutual TLS", ""},

		{"sizes like those of a node that got its name", capture(mutual(), with(mutual(), generic, shaped(tls.Shape{Stage: tls.StageAck, Named: true, Exact: true}))), Coverage{}, Undecided,
			"TLS with record sizes like those of distribution, which do not prove that it is: if it is, name the port (--port)", "DP109"},
		{"sizes like those of a wrong cookie", capture(mutual(), with(mutual(), generic, shaped(tls.Shape{Stage: tls.StageReply, Exact: true}))), Coverage{}, Undecided,
			"TLS with record sizes like those of distribution, which do not prove that it is: if it is, name the port (--port)", "DP109"},
		{"sizes like distribution's in blocks", capture(mutual(), with(mutual(), generic, shaped(tls.Shape{Stage: tls.StageAck}))), Coverage{}, Pass, "the distribution connection is mutual TLS", ""},
		{"sizes like distribution's, opened", capture(mutual(), with(mutual(), generic, shaped(tls.Shape{Stage: tls.StageAck, Named: true, Exact: true}), func(c *decode.Connection) {
			c.TLS.Opened = [2]tls.Opened{{Bytes: 5}, {Bytes: 5}}
		})), Coverage{}, Pass, "the distribution connection is mutual TLS", ""},

		{"obsolete TLS", capture(with(mutual(), func(c *decode.Connection) { c.TLS.Version = tls.TLS11 })), Coverage{}, Fail, "TLS 1.1 is obsolete (RFC 8996)", "DP107"},
		{"SSL", capture(with(mutual(), func(c *decode.Connection) { c.TLS.Version = tls.SSL30 })), Coverage{}, Fail, "SSL 3.0 is broken (RFC 7568)", "DP107"},
		{"obsolete TLS, refused", capture(with(refused(), func(c *decode.Connection) { c.TLS.Version = tls.TLS11 }), mutual()), Coverage{}, Pass, "the distribution connection that came up is mutual TLS; 1 more came to nothing", "DP112"},
		{"RC4", capture(with(mutual(), suite(rc4))), Coverage{}, Fail, "cipher suite TLS_ECDHE_RSA_WITH_RC4_128_SHA: RC4", "DP107"},
		{"CBC", capture(with(mutual(), suite(0xc00a))), Coverage{}, Pass, "the distribution connection is mutual TLS", "DP107"},
		{"no forward secrecy", capture(with(mutual(), suite(0x009d))), Coverage{}, Pass, "the distribution connection is mutual TLS", "DP107"},
		{"anonymous", capture(with(oneWay(), suite(anonymous))), Coverage{}, Fail, "the distribution connection is one-way TLS", "DP103 DP107 DP107"},
		{"no encryption", capture(with(mutual(), suite(null12))), Coverage{}, Fail, "the distribution connection is in the clear", "DP101 DP107"},

		{"foreign bytes", capture(with(mutual(), foreign(server))), Coverage{}, Fail, "bytes that are not TLS follow inside a TLS connection", "DP102 DP109"},
		{"foreign bytes in something else", capture(with(mutual(), generic, foreign(server)), mutual()), Coverage{}, Pass, "the distribution connection is mutual TLS", ""},
		{"resumed", capture(mutual(), with(mutual(), resumes(mutual()))), Coverage{}, Pass, "all 2 distribution connections are mutual TLS", "DP111"},
		{"resumed, origin not captured", capture(mutual(), with(mutual(), resumes(nil))), Coverage{}, Undecided, "1 of 2 distribution connections could not be proven mutual TLS", "DP109 DP111"},
		{"resumed where nobody is asked", capture(with(mutual(), resumes(oneWay()))), Coverage{}, Fail, "the distribution connection is one-way TLS", "DP103"},
		{"resumed where all are asked", capture(with(mutual(), resumes(with(mutual(), certificate(tls.Empty))))), Coverage{}, Fail, "the distribution connection is one-way TLS", "DP104 DP111"},
		{"resumed over TLS 1.3", capture(with(mutual(), as13, resumes(nil))), Coverage{}, Undecided, "the distribution connection could not be proven mutual TLS", "DP109 DP111"},
		{"both ways at one listener", capture(mutual(), clear()), Coverage{}, Fail, "1 of 2 distribution connections is not mutual TLS: 1 in the clear", "DP101 DP205"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.name != "both ways at one listener" {
				apart(row.c)
			} else {
				row.rules = "DP101 DP110 DP205"
			}
			j := Judge(row.c, row.cover, Options{})
			if j.Outcome != row.outcome || j.Reason != row.reason {
				t.Errorf("%s: %q\nwant %s: %q", j.Outcome, j.Reason, row.outcome, row.reason)
			}
			var rules []string
			for _, f := range j.Findings {
				rules = append(rules, string(f.Rule))
			}
			if got := strings.Join(rules, " "); got != row.rules {
				t.Errorf("findings %q, want %q", got, row.rules)
			}
			checkFindings(t, row.c, j)
		})
	}
}

func shaped(s tls.Shape) change { return func(c *decode.Connection) { c.TLS.Shape = s } }

// apart gives every connection a listener of its own.
func apart(c *decode.Capture) {
	for i, x := range c.Connections {
		at(fmt.Sprintf("10.1.0.2:%d", 9100+i))(x)
	}
}

// checkFindings checks what holds for all findings.
func checkFindings(t *testing.T, c *decode.Capture, j *Judgement) {
	t.Helper()
	if len(j.Conclusions) != len(c.Connections) || len(j.Certificates) != len(c.Connections) {
		t.Errorf("%d conclusions and %d certificates of %d connections", len(j.Conclusions), len(j.Certificates), len(c.Connections))
	}
	sorted := slices.IsSortedFunc(j.Findings, func(a, b Finding) int { return a.Severity.Compare(b.Severity) })
	if !sorted {
		t.Error("findings are not ordered by severity")
	}
	for _, f := range j.Findings {
		if f.Message == "" || f.Rule.Title() == "" || f.Rule.Fix() == "" {
			t.Errorf("%s: message %q, title %q, fix %q", f.Rule, f.Message, f.Rule.Title(), f.Rule.Fix())
		}
		capturewide := f.Rule == NothingToVerify || f.Rule == LossyCapture
		if !capturewide && (len(f.Connections) == 0 || len(f.Evidence) == 0) {
			t.Errorf("%s: %d connections, %d pieces of evidence", f.Rule, len(f.Connections), len(f.Evidence))
		}
		for i, x := range f.Connections {
			if !slices.Contains(c.Connections, x) || slices.Contains(f.Connections[:i], x) {
				t.Errorf("%s: connection %d is not of the capture, or there twice", f.Rule, i)
			}
		}
		for _, e := range f.Evidence {
			if e.Frame.Number == 0 || e.Text == "" {
				t.Errorf("%s: evidence %+v", f.Rule, e)
			}
		}
	}
}

// TestViolationsOutweigh: adding a connection that breaks the policy never
// leaves it unbroken, and adding one that proves nothing never makes a pass.
func TestViolationsOutweigh(t *testing.T) {
	all := map[Outcome][]func() *decode.Connection{
		Pass:      {mutual, refused, other},
		Undecided: {func() *decode.Connection { return with(mutual(), hidden) }},
		Fail:      {clear, oneWay, func() *decode.Connection { return with(mutual(), foreign(client)) }},
	}
	rank := map[Outcome]int{Pass: 0, Undecided: 1, Fail: 2}
	for o1, first := range all {
		for o2, second := range all {
			for _, a := range first {
				for _, b := range second {
					c := capture(mutual(), a(), b())
					apart(c)
					want := max(rank[o1], rank[o2])
					if got := Judge(c, Coverage{}, Options{}).Outcome; rank[got] != want {
						t.Errorf("%s and %s make %s", o1, o2, got)
					}
				}
			}
		}
	}
}

func TestFindingsAreGrouped(t *testing.T) {
	a, b := oneWay(), oneWay()
	b.TLS.Flight = frame(77)
	strange := with(mutual(), hidden)
	j := Judge(capture(a, mutual(), b, strange), Coverage{}, Options{})
	if len(j.Findings) != 2 {
		t.Fatalf("%d findings, want 2: %+v", len(j.Findings), j.Findings)
	}
	want := Finding{
		Rule: NoClientCertificate, Severity: High, Connections: []*decode.Connection{a, b},
		Message:  "the server does not ask for a client certificate: whoever reaches the port and knows the cookie gets in",
		Evidence: []Evidence{{frame(5), "not-requested for the test (observed)"}, {frame(77), "not-requested for the test (observed)"}},
		Effect:   Violates,
	}
	if !reflect.DeepEqual(j.Findings[0], want) {
		t.Errorf("%+v\nwant %+v", j.Findings[0], want)
	}
	other := with(mutual(), as13, suite(unknown))
	if j := Judge(capture(strange, other), Coverage{}, Options{}); len(j.Findings) != 2 {
		t.Errorf("different reasons are one finding: %+v", j.Findings)
	}
}

func TestClearEvidence(t *testing.T) {
	for _, row := range []struct {
		name string
		c    *decode.Connection
		want []Evidence
	}{
		{"names", clear(), []Evidence{{frame(4), `the client's name "a@n1.lab" in the clear`}, {frame(7), `the server's name "b@n2.lab" in the clear`}}},
		{"no names", with(clear(), midstream), []Evidence{{frame(4), "the client's distribution messages in the clear"}, {frame(6), "the server's distribution messages in the clear"}}},
		{"one direction", with(clear(), func(c *decode.Connection) { c.Dist[client] = dist.Facts{} }), []Evidence{{frame(7), `the server's name "b@n2.lab" in the clear`}}},
		{"a status that proves nothing by itself", with(clear(), func(c *decode.Connection) {
			c.Dist[server] = dist.Facts{Tentative: true, Bytes: 6, First: tcp.Position{Frame: frame(9)}, Handshake: dist.Handshake{Status: "nok"}}
		}), []Evidence{{frame(4), `the client's name "a@n1.lab" in the clear`}, {frame(9), "the server's part of the handshake in the clear"}}},
		{"nothing encrypted", with(mutual(), suite(null12)), []Evidence{{frame(1), "the cipher suite TLS_ECDHE_ECDSA_WITH_NULL_SHA encrypts nothing"}}},
		{"a name that is none", with(clear(), func(c *decode.Connection) {
			c.Dist[client].Handshake.Name = "a\x1b[31m@b"
			c.Dist[server] = dist.Facts{}
		}), []Evidence{{frame(4), `the client's name "a\x1b[31m@b" in the clear`}}},
	} {
		j := Judge(capture(row.c), Coverage{}, Options{})
		if f := j.Findings[0]; f.Rule != CleartextDistribution || f.Severity != Critical || !reflect.DeepEqual(f.Evidence, row.want) {
			t.Errorf("%s: %s %s %+v", row.name, f.Rule, f.Severity, f.Evidence)
		}
	}
}

func TestRemoteExecution(t *testing.T) {
	at := func(first uint32, count uint64) dist.Uses {
		return dist.Uses{Count: count, First: tcp.Position{Frame: frame(first)}}
	}
	many := make(map[dist.Call]dist.Uses)
	for i := range 20 {
		many[dist.Call{Means: dist.ByERPC, Function: fmt.Sprintf("m:f%02d/1", i)}] = at(uint32(10+i), 1)
	}
	for _, row := range []struct {
		names   map[string]uint64
		calls   map[dist.Call]dist.Uses
		unnamed uint64
		want    string
	}{
		{nil, nil, 0, ""},
		{map[string]uint64{"net_kernel": 4}, nil, 0, ""},
		{map[string]uint64{"rex": 1}, nil, 0, "6 from here on, by the server: 1 message to rex"},
		{map[string]uint64{"rex": 3}, map[dist.Call]dist.Uses{{Means: dist.ByRPC, Function: "os:getenv/1"}: at(9, 3), {Means: dist.BySpawn, Function: "a:b/0"}: at(8, 1)}, 0,
			"8 by the server: spawn a:b/0 (once)|9 by the server: rpc os:getenv/1 (3 times)"},
		{nil, nil, 2, "6 from here on, by the server: 2 calls whose name is not known"},
		{nil, many, 0, "10 by the server: erpc m:f00/1 (once)|11 by the server: erpc m:f01/1 (once)|12 by the server: erpc m:f02/1 (once)|" +
			"13 by the server: erpc m:f03/1 (once)|14 by the server: erpc m:f04/1 (once)|15 by the server: erpc m:f05/1 (once)|" +
			"16 by the server: erpc m:f06/1 (once)|17 by the server: erpc m:f07/1 (once)|18 by the server: 12 functions more from here on"},
	} {
		c := clear()
		c.Dist[server].RegisteredNames, c.Dist[server].Calls, c.Dist[server].UnnamedCalls = row.names, row.calls, row.unnamed
		var got []string
		for _, f := range Judge(capture(c), Coverage{}, Options{}).Findings {
			if f.Rule == RemoteExecutionExposed {
				for _, e := range f.Evidence {
					got = append(got, fmt.Sprint(e.Frame.Number, " ", e.Text))
				}
				if f.Severity != Critical {
					t.Errorf("%+v", f)
				}
			}
		}
		if text := strings.Join(got, "|"); text != row.want {
			t.Errorf("%v, %v: %q, want %q", row.names, row.calls, text, row.want)
		}
	}
}

func TestMixedListener(t *testing.T) {
	mixed := func(c ...*decode.Connection) bool {
		for _, f := range Judge(capture(c...), Coverage{}, Options{}).Findings {
			if f.Rule == MixedListener {
				return len(f.Connections) == 2 && f.Severity == High && f.Message == "10.1.0.2:9100 accepts distribution in the clear and over TLS"
			}
		}
		return false
	}
	turnedAway := func() *decode.Connection { return with(clear(), unfinished, status("nok")) }
	for _, row := range []struct {
		name string
		c    []*decode.Connection
		want bool
	}{
		{"both", []*decode.Connection{clear(), mutual()}, true},
		{"both, TLS first, one-way", []*decode.Connection{oneWay(), clear()}, true},
		{"another port", []*decode.Connection{clear(), with(mutual(), at("10.1.0.2:9101"))}, false},
		{"another host", []*decode.Connection{clear(), with(mutual(), at("10.1.0.3:9100"))}, false},
		{"cleartext turned away", []*decode.Connection{turnedAway(), mutual()}, false},
		{"TLS turned away", []*decode.Connection{clear(), refused()}, false},
		{"TLS that is no distribution", []*decode.Connection{clear(), with(mutual(), generic)}, false},
	} {
		if got := mixed(row.c...); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
}

// TestOneWayEvidence: a resumed session's evidence is in the connection that
// made it.
func TestOneWayEvidence(t *testing.T) {
	origin := with(oneWay(), func(c *decode.Connection) { c.TLS.Flight = frame(3) })
	j := Judge(capture(with(mutual(), resumes(origin))), Coverage{}, Options{})
	if f := j.Findings[0]; f.Rule != NoClientCertificate || f.Evidence[0].Frame != frame(3) {
		t.Errorf("%+v", f)
	}
}

// TestJudgeIsDeterministic: the same facts make the same judgement.
func TestJudgeIsDeterministic(t *testing.T) {
	noisy := clear()
	noisy.Dist[client].RegisteredNames = map[string]uint64{"rex": 1, "b": 2, "c": 3}
	noisy.Dist[client].Spawned = map[string]uint64{"a:a": 1, "b:b": 2, "c:c": 3}
	c := capture(noisy, mutual(), oneWay(), refused(), with(mutual(), hidden), with(mutual(), suite(anonymous)),
		with(mutual(), foreign(server)), with(mutual(), resumes(nil)), with(mutual(), gap(client)), with(mutual(), at("10.9.9.9:1")), with(clear(), at("10.9.9.9:1")))
	cover := Coverage{Damaged: []string{"x", "y"}, Dropped: 3}
	want := Judge(c, cover, Options{})
	if len(want.Findings) < 8 {
		t.Fatalf("only %d findings", len(want.Findings))
	}
	for range 100 {
		if got := Judge(c, cover, Options{}); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\nthen %+v", want, got)
		}
	}
}

func TestObserveJudgesNothing(t *testing.T) {
	j := Observe(capture(clear(), mutual()), Options{})
	if j.Outcome != "" || j.Reason != "" || len(j.Findings) > 0 {
		t.Errorf("%+v", j)
	}
	if j.Conclusions[0].Verdict != Cleartext || j.Conclusions[1].Verdict != Mutual {
		t.Errorf("%+v", j.Conclusions)
	}
}

func TestSeverities(t *testing.T) {
	order := []Severity{Critical, High, Medium, Low, Info}
	for i, s := range order {
		if effect := new(Policy).effectOf(&Finding{Severity: s}); (effect == Violates) != (i < 2) {
			t.Errorf("%s: %s", s, effect)
		}
		for j, u := range order {
			if got := s.Compare(u); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s and %s compare as %d", s, u, got)
			}
		}
	}
}

// TestExpiredWithoutCA: an expired certificate is a finding whether its CA is
// known or not, but not if the handshake came to nothing.
func TestExpiredWithoutCA(t *testing.T) {
	ca := newAuthority(t, "lab")
	old := ca.leaf(t, template{server: true, names: []string{"n2.lab"}, from: 2020, to: 2021})
	c := with(mutual(), func(c *decode.Connection) { c.TLS.ServerCertificate.Chain = [][]byte{old} })
	j := Judge(capture(c), Coverage{}, Options{})
	if j.Outcome != Fail || !strings.Contains(j.Reason, "yet the client accepted it: it expired at 2021-01-01T00:00:00Z. So the client runs verify_none") || !found(j, CertificateExpired, High) {
		t.Errorf("%s: %s", j.Outcome, j.Reason)
	}
	c.TLS.Established = fact.UnknownBecause("x")
	if j := Judge(capture(c), Coverage{}, Options{}); j.Outcome != Undecided {
		t.Errorf("not accepted, yet %s: %s", j.Outcome, j.Reason)
	}
}

// found reports whether there is a finding of that rule and severity.
func found(j *Judgement, rule Rule, s Severity) bool {
	return slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Rule == rule && f.Severity == s })
}

// TestWrongCA: certificates that do not verify were accepted nevertheless.
func TestWrongCA(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	c := with(mutual(), func(c *decode.Connection) {
		c.TLS.ClientCertificate.Chain = [][]byte{theirs.leaf(t, template{client: true, from: 2025, to: 2030})}
		c.TLS.ServerCertificate.Chain = [][]byte{theirs.leaf(t, template{server: true, names: []string{"n2.lab"}, from: 2025, to: 2030})}
	})
	j := Judge(capture(c), Coverage{}, Options{CAs: ours.pool()})
	if j.Outcome != Fail || len(j.Findings) != 2 || j.Findings[0].Rule != ClientCertNotVerifiable || j.Findings[1].Rule != ServerCertNotVerifiable {
		t.Errorf("%s: %+v", j.Outcome, j.Findings)
	}
	if want := "the client's certificate does not verify, yet the server accepted it: unknown CA: its issuer CN=theirs is not one of the CAs given (--ca). So the server's cacertfile has other CAs"; !strings.HasPrefix(j.Reason, want) {
		t.Errorf("%q", j.Reason)
	}
	if j := Judge(capture(c), Coverage{}, Options{CAs: theirs.pool()}); j.Outcome != Pass {
		t.Errorf("%s: %s", j.Outcome, j.Reason)
	}
	if j := Judge(capture(c), Coverage{}, Options{}); j.Outcome != Pass {
		t.Errorf("without --ca: %s: %s", j.Outcome, j.Reason)
	}
	refusedBy(tls.RoleServer, "unknown_ca")(c)
	if j := Judge(capture(c, mutual()), Coverage{}, Options{CAs: ours.pool()}); j.Outcome != Fail && j.Outcome != Pass {
		t.Errorf("refused: %s: %s", j.Outcome, j.Reason)
	} else {
		for _, f := range j.Findings {
			if slices.Contains(f.Connections, c) && f.Severity != Info {
				t.Errorf("a refused certificate counts as accepted: %+v", f)
			}
		}
	}
}

// TestNothingButEPMD: a client that asked EPMD for a node meant to dial it.
func TestNothingButEPMD(t *testing.T) {
	lookup := func(op string, o epmd.Outcome) decode.Exchange {
		return decode.Exchange{Request: op, Outcome: o, Count: 1}
	}
	accepted, refused := lookup(epmd.PortPlease2Req, epmd.Accepted), lookup(epmd.PortPlease2Req, epmd.Refused)
	for name, row := range map[string]struct {
		asked []decode.Exchange
		fix   string
	}{
		"told the port":        {[]decode.Exchange{accepted}, notDialledFix},
		"told one of two":      {[]decode.Exchange{refused, accepted}, notDialledFix},
		"not registered":       {[]decode.Exchange{refused}, notRunningFix},
		"no answer":            {[]decode.Exchange{lookup(epmd.PortPlease2Req, epmd.Unanswered)}, ""},
		"asked for all names":  {[]decode.Exchange{lookup(epmd.NamesReq, epmd.Accepted)}, ""},
		"a node was announced": {[]decode.Exchange{lookup(epmd.Alive2Req, epmd.Accepted)}, ""},
	} {
		c := capture(with(bare(decode.EPMD), at("10.1.0.2:4369")))
		c.Registry.Exchanges = row.asked
		if f := only(t, Judge(c, Coverage{}, Options{}), NothingToVerify); f.Fix != row.fix {
			t.Errorf("%s: %s", name, f.Fix)
		}
	}
}

// TestNothingButRabbitMQ: nobody needs to know which port RabbitMQ's nodes have.
func TestNothingButRabbitMQ(t *testing.T) {
	for _, row := range []struct {
		name string
		c    *decode.Connection
		fix  string
	}{
		{"to its port", with(mutual(), generic, at("10.1.0.2:25672")), rabbitMQFix},
		{"to another", with(mutual(), generic, at("10.1.0.2:5671")), ""},
		{"no TLS", with(bare(decode.Other), at("10.1.0.2:25672")), ""},
	} {
		if f := only(t, Judge(capture(row.c), Coverage{}, Options{}), NothingToVerify); f.Fix != row.fix {
			t.Errorf("%s: %s", row.name, f.Fix)
		}
	}
}
