package verify

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

var today = time.Date(2027, 3, 15, 12, 0, 0, 0, time.UTC)

func day(s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return d
}

func peers(t *testing.T, names ...string) []Peer {
	t.Helper()
	var out []Peer
	for _, name := range names {
		p, err := ParsePeer(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// held judges connections, each with a listener of its own, by a policy.
func held(p Policy, c ...*decode.Connection) *Judgement {
	p.Now = today
	x := capture(c...)
	for i, conn := range c {
		if conn.Ends[server].Address.String() == "10.1.0.2:9100" {
			at(fmt.Sprintf("10.1.0.2:%d", 9100+i))(conn)
		}
	}
	return Judge(x, Coverage{}, Options{Policy: p})
}

// effects lists the findings, each with what it does.
func effects(j *Judgement) string {
	var out []string
	for _, f := range j.Findings {
		out = append(out, fmt.Sprintf("%s %s %s ×%d", f.Rule, f.Severity, f.Effect, len(f.Connections)))
	}
	return strings.Join(out, ", ")
}

// rpc returns distribution in the clear with a remote call.
func rpc() *decode.Connection {
	c := clear()
	c.Dist[server].Calls = map[dist.Call]dist.Uses{{Means: dist.ByRPC, Function: "os:cmd/1"}: {Count: 1, First: tcp.Position{Frame: frame(9)}}}
	return c
}

func TestRequirements(t *testing.T) {
	unproven := func() *decode.Connection { return with(mutual(), hidden) }
	lost := func() *decode.Connection { return with(mutual(), resumes(nil)) }
	for _, row := range []struct {
		name    string
		require Requirement
		c       []*decode.Connection
		outcome Outcome
		reason  string
		effects string
	}{
		{"encrypted: all kinds", RequireEncrypted, []*decode.Connection{mutual(), oneWay(), with(mutual(), certificate(tls.Empty))}, Pass,
			"all 3 distribution connections are encrypted", "DP103 info noted ×1, DP104 info noted ×1"},
		{"encrypted: one", RequireEncrypted, []*decode.Connection{oneWay()}, Pass, "the distribution connection is encrypted", "DP103 info noted ×1"},
		{"encrypted: a refusal", RequireEncrypted, []*decode.Connection{oneWay(), refused()}, Pass, "the distribution connection that came up is encrypted; 1 more came to nothing", "DP103 info noted ×1, DP112 info noted ×1"},
		{"encrypted: in the clear", RequireEncrypted, []*decode.Connection{oneWay(), clear()}, Fail, "1 of 2 distribution connections is not encrypted: 1 in the clear", "DP101 critical violates ×1, DP205 high violates ×1, DP103 info noted ×1"},
		{"encrypted: encrypts nothing", RequireEncrypted, []*decode.Connection{with(mutual(), suite(null12))}, Fail, "the distribution connection is in the clear", "DP101 critical violates ×1, DP107 high violates ×1"},
		{"encrypted: handshake not seen", RequireEncrypted, []*decode.Connection{unproven()}, Undecided, "the distribution connection could not be proven encrypted", "DP109 medium undecided ×1"},
		{"encrypted: resumed from a session not seen", RequireEncrypted, []*decode.Connection{lost()}, Pass, "the distribution connection is encrypted", "DP111 info noted ×1"},
		{"encrypted: what else comes", RequireEncrypted, []*decode.Connection{with(mutual(), foreign(server))}, Fail, "bytes that are not TLS follow inside a TLS connection", "DP102 critical violates ×1, DP109 medium undecided ×1"},
		{"encrypted: renegotiated", RequireEncrypted, []*decode.Connection{with(mutual(), func(c *decode.Connection) { c.TLS.Renegotiated = true })}, Undecided, "the distribution connection could not be proven encrypted", "DP109 medium undecided ×1, DP107 low noted ×1"},
		{"encrypted: disputed", RequireEncrypted, []*decode.Connection{with(mutual(), func(c *decode.Connection) { c.Disputed = true })}, Undecided, "the distribution connection could not be proven encrypted", "DP109 medium undecided ×1"},
		{"encrypted: one-way, disputed", RequireEncrypted, []*decode.Connection{with(oneWay(), func(c *decode.Connection) { c.Disputed = true })}, Undecided,
			"TLS, but not shown to be encrypted throughout: segments that have no place in the connection came with its addresses and ports", "DP109 medium undecided ×1, DP103 info noted ×1"},
		{"encrypted: suite not known", RequireEncrypted, []*decode.Connection{with(mutual(), suite(unknown))}, Undecided, "the distribution connection could not be proven encrypted", "DP109 medium undecided ×1"},

		{"observe: all kinds", RequireNothing, []*decode.Connection{mutual(), oneWay(), clear(), unproven(), refused()}, Pass,
			"the policy asks nothing of 5 distribution connections: 1 mutual TLS, 1 one-way TLS, 1 in the clear, 1 not proven mutual TLS, 1 refused",
			"DP101 critical noted ×1, DP103 high noted ×1, DP205 high noted ×1, DP109 medium noted ×1, DP112 info noted ×1"},
		{"observe: nothing", RequireNothing, nil, Undecided, "nothing to verify: no connection between Erlang nodes was recognised", "DP301 medium undecided ×0"},
	} {
		j := held(Policy{Require: row.require}, row.c...)
		if j.Outcome != row.outcome || j.Reason != row.reason || effects(j) != row.effects {
			t.Errorf("%s: %s: %s\n%s\nwant %s: %s\n%s", row.name, j.Outcome, j.Reason, effects(j), row.outcome, row.reason, row.effects)
		}
	}
}

// TestEncryptedNeedsProof: what makes a mutual connection doubtful makes an
// encrypted one doubtful, but for what is about who is at its ends.
func TestEncryptedNeedsProof(t *testing.T) {
	for name, c := range map[string]*decode.Connection{
		"not accepted": with(mutual(), notAccepted), "foreign": with(mutual(), foreign(client)), "hidden": with(mutual(), hidden),
		"conflicts":    with(mutual(), func(c *decode.Connection) { conflict(server, 10)(c) }),
		"unidentified": with(mutual(), func(c *decode.Connection) { c.Unidentified[client] = true }),
		"in the clear": clear(), "refused": refused(), "renegotiated": with(mutual(), func(c *decode.Connection) { c.TLS.Renegotiated = true }),
	} {
		if encrypted(c) {
			t.Errorf("%s counts as encrypted", name)
		}
	}
	for name, c := range map[string]*decode.Connection{"mutual": mutual(), "one-way": oneWay(), "1.3": with(mutual(), as13), "pre-shared": with(mutual(), suite(preShared))} {
		if !encrypted(c) {
			t.Errorf("%s does not count as encrypted", name)
		}
	}
}

func TestObserveHoldsToWhatItNames(t *testing.T) {
	o := Options{AllowPorts: []PortRange{{9999, 9999}}, Policy: Policy{Require: RequireNothing, Places: map[string]Place{"distribution.ports": {"p", 4}, "distribution.require": {"p", 2}}}}
	j := Judge(capture(clear()), Coverage{Dropped: 1}, o)
	if got, want := effects(j), "DP101 critical noted ×1, DP204 high violates ×1, DP205 high noted ×1, DP302 medium undecided ×0"; got != want || j.Outcome != Fail || j.Reason != "port 9100 is outside the allowed ports" {
		t.Errorf("%s: %s\n%s", j.Outcome, j.Reason, got)
	}
	if at := j.Findings[1].Place; at != (Place{"p", 4}) {
		t.Errorf("demanded by %v", at)
	}
}

func TestSeveritiesOfRules(t *testing.T) {
	weak := func() *decode.Connection { return with(mutual(), suite(0xc00a)) } // CBC: low
	for _, row := range []struct {
		name    string
		p       Policy
		c       *decode.Connection
		outcome Outcome
		effects string
	}{
		{"their own", Policy{}, weak(), Pass, "DP107 low noted ×1"},
		{"raised", Policy{Severities: map[Rule]Severity{WeakTLS: High}}, weak(), Fail, "DP107 high violates ×1"},
		{"fail on low", Policy{FailOn: Low}, weak(), Fail, "DP107 low violates ×1"},
		{"fail on medium", Policy{FailOn: Medium}, weak(), Pass, "DP107 low noted ×1"},
		{"off", Policy{Severities: map[Rule]Severity{WeakTLS: Off}, FailOn: Low}, weak(), Pass, "DP403 info noted ×0"},
		{"off, of something else", Policy{Severities: map[Rule]Severity{MixedListener: Off}}, weak(), Pass, "DP107 low noted ×1"},
		{"critical ones stay", Policy{Severities: map[Rule]Severity{CleartextDistribution: Off, RemoteExecutionExposed: Off, CookieDigestExposed: Off}}, rpc(), Fail,
			"DP101 critical violates ×1, DP207 critical violates ×1, DP403 info noted ×0"},
		{"doubt does not fail", Policy{FailOn: Low}, with(mutual(), hidden), Undecided, "DP109 medium undecided ×1"},
		{"unless it is told to", Policy{Severities: map[Rule]Severity{NotProven: High}}, with(mutual(), hidden), Fail, "DP109 high violates ×1"},
		{"low doubt is doubt", Policy{Severities: map[Rule]Severity{NotProven: Low}}, with(mutual(), hidden), Undecided, "DP109 low undecided ×1"},
	} {
		j := held(row.p, row.c)
		if j.Outcome != row.outcome || effects(j) != row.effects {
			t.Errorf("%s: %s: %s\nwant %s: %s", row.name, j.Outcome, effects(j), row.outcome, row.effects)
		}
	}
}

// TestSilenceIsRefused: no severity that a policy may set keeps a report from
// saying that what is required is not so, or was not seen.
func TestSilenceIsRefused(t *testing.T) {
	all := []Severity{Critical, High, Medium, Low, Info, Off}
	for rule, least := range map[Rule]Severity{
		CleartextDistribution: High, CleartextInsideTLS: High, NoClientCertificate: High, OptionalClientCert: High, KnownCookie: High, RemoteExecutionExposed: High,
		NotProven: Low, NothingToVerify: Low, LossyCapture: Low, NotSeen: Low, ExceptionExpired: Low,
	} {
		for _, s := range all {
			refused := rule.MayBe(s, RequireMutual) != ""
			if want := s.Compare(least) > 0 || s == Off; refused != want {
				t.Errorf("%s may be %s: %t", rule, s, !refused)
			}
		}
	}
	if NoClientCertificate.MayBe(Off, RequireEncrypted) != "" || WeakTLS.MayBe(Off, RequireMutual) != "" {
		t.Error("what is not required cannot be off")
	}
}

func TestExceptions(t *testing.T) {
	couch := func() *decode.Connection { return with(clear(), nodes("couchdb@db1.lab", "clouseau@db1.lab")) }
	calls := func() *decode.Connection { return with(rpc(), nodes("couchdb@db1.lab", "clouseau@db1.lab")) }
	exception := func(rules []Rule, names ...string) Exception {
		return Exception{Rules: rules, Peers: peers(t, names...), Reason: "why", Owner: "who", Expires: day("2027-03-15"), Place: Place{"p", 7}}
	}
	expired := func(e Exception) Exception { e.Expires = day("2027-03-14"); return e }
	critical := func(e Exception) Exception { e.AllowCritical = true; return e }
	in := func(e Exception, cidr string) Exception { e.Networks = networks(cidr); return e }
	both := []Rule{CleartextDistribution, CookieDigestExposed}
	edge := []string{"clouseau@db1.lab", "couchdb@*"}
	const (
		waived = "DP101 critical waived ×1, DP205 high waived ×1"
		open   = "DP101 critical violates ×1, DP205 high violates ×1"
		idle   = ", DP402 info noted ×0"
		passed = "1 of 2 distribution connections is mutual TLS; the policy lets the others pass: 1 in the clear"
		failed = "1 of 2 distribution connections is not mutual TLS: 1 in the clear"
	)
	for _, row := range []struct {
		name    string
		e       Exception
		c       *decode.Connection
		outcome Outcome
		reason  string
		effects string
	}{
		{"an edge, the other way round", exception(both, edge...), couch(), Pass, passed, waived},
		{"a node", exception(both, "clouseau@db1.lab"), couch(), Pass, passed, waived},
		{"a node of another host", exception(both, "clouseau@db2.lab"), couch(), Fail, failed, open + idle},
		{"an address", exception(both, "10.1.0.2"), couch(), Pass, passed, waived},
		{"another address", exception(both, "10.1.0.3"), couch(), Fail, failed, open + idle},
		{"an edge of which one end is another", exception(both, "clouseau@db1.lab", "evil@*"), couch(), Fail, failed, open + idle},
		{"an edge from a node to itself", exception(both, "clouseau@db1.lab", "clouseau@db1.lab"), couch(), Fail, failed, open + idle},
		{"rules alone", exception(both), couch(), Pass, passed, waived},
		{"all rules", exception(nil, edge...), couch(), Pass, passed, waived},
		{"one of the rules", exception(both[:1], edge...), couch(), Fail, "the cookie's digest crossed in the clear: whoever saw it can guess cookies offline", "DP101 critical waived ×1, DP205 high violates ×1"},
		{"in its networks", in(exception(both, edge...), "10.1.0.0/24"), couch(), Pass, passed, waived},
		{"outside them", in(exception(both, edge...), "127.0.0.0/8"), couch(), Fail, failed, open + idle},
		{"outside them, with the same name", in(exception(both), "10.1.0.2/32"), couch(), Fail, failed, open + idle},
		{"a name that is not known", exception(both, edge...), with(clear(), nodes("", "clouseau@db1.lab")), Fail, failed, open + idle},

		{"expired", expired(exception(both, edge...)), couch(), Fail, failed, open + ", DP401 medium noted ×1"},
		{"expired and idle", expired(exception(both, "x@y")), couch(), Fail, failed, open + idle},
		{"not needed", exception(both, "x@y"), mutual(), Pass, "all 2 distribution connections are mutual TLS", "DP402 info noted ×0"},

		{"calls are not covered", exception(nil, edge...), calls(), Fail, "messages that make other nodes run code crossed in the clear",
			"DP101 critical waived ×1, DP207 critical violates ×1, DP205 high waived ×1" + idle},
		{"unless it says so", critical(exception(nil, edge...)), calls(), Pass, passed, "DP101 critical waived ×1, DP207 critical waived ×1, DP205 high waived ×1"},
		{"what is not proven", exception([]Rule{NotProven}), with(mutual(), hidden), Pass, "1 of 2 distribution connections is mutual TLS; the policy lets the others pass: 1 not proven mutual TLS", "DP109 medium waived ×1"},
	} {
		j := held(Policy{Exceptions: []Exception{row.e}}, mutual(), row.c)
		if j.Outcome != row.outcome || j.Reason != row.reason || effects(j) != row.effects {
			t.Errorf("%s: %s: %s\n%s\nwant %s: %s\n%s", row.name, j.Outcome, j.Reason, effects(j), row.outcome, row.reason, row.effects)
		}
		for _, f := range j.Findings {
			about := f.Effect == Waived || f.Rule == ExceptionExpired || f.Rule == ExceptionIdle
			if about != (f.Place == Place{"p", 7}) || (f.Waiver != nil) != (f.Effect == Waived) {
				t.Errorf("%s: %s is demanded by %v", row.name, f.Rule, f.Place)
			}
		}
	}
}

func TestWordsOfExceptions(t *testing.T) {
	e := Exception{Rules: []Rule{RemoteExecutionExposed, CleartextDistribution}, Peers: peers(t, "a@n1.lab", "10.1.0.0/24"), Networks: networks("10.0.0.0/8"), Reason: "old", Owner: "team", Expires: day("2027-03-14")}
	for _, row := range []struct {
		e    Exception
		c    *decode.Connection
		want string
	}{
		{e, mutual(), "the exception for DP207, DP101 between a@n1.lab and 10.1.0.0/24 in 10.0.0.0/8 (old; team) expired at the end of 2027-03-14, and there is nothing for it to cover"},
		{Exception{Rules: []Rule{CleartextDistribution}, Reason: "old", Owner: "team", Expires: day("2027-03-14")}, clear(), "the exception for DP101 (old; team) expired at the end of 2027-03-14: what it covered counts again"},
		{Exception{Peers: peers(t, "10.1.0.2"), Reason: "r", Owner: "o", Expires: day("2027-03-15")}, rpc(), "the exception for all rules at 10.1.0.2 (r; o) does not cover DP207: that needs allow_critical: true"},
		{Exception{Rules: []Rule{WeakTLS}, Reason: "r", Owner: "o", Expires: day("2027-03-15")}, mutual(), "the exception for DP107 (r; o) is not used: there is nothing for it to cover"},
	} {
		j := held(Policy{Exceptions: []Exception{row.e}}, row.c)
		if !slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Message == row.want }) {
			t.Errorf("no %q in %+v", row.want, j.Findings)
		}
	}
}

// TestExceptionsSplitFindings: of connections with the same finding, an
// exception lets only its own pass.
func TestExceptionsSplitFindings(t *testing.T) {
	a, b := with(oneWay(), nodes("a@n1.lab", "b@n2.lab")), with(oneWay(), nodes("a@n1.lab", "c@n3.lab"))
	j := held(Policy{Exceptions: []Exception{{Peers: peers(t, "b@n2.lab"), Expires: today}}}, a, b)
	if len(j.Findings) != 2 || j.Outcome != Fail || j.Reason != "1 of 2 distribution connections is not mutual TLS: 1 one-way; the policy lets 1 more pass" {
		t.Fatalf("%s: %s: %s", j.Outcome, j.Reason, effects(j))
	}
	for i, want := range []*decode.Connection{a, b} {
		f := j.Findings[i]
		if len(f.Connections) != 1 || f.Connections[0] != want || len(f.Evidence) != 1 || (f.Effect == Waived) != (want == a) {
			t.Errorf("%+v", f)
		}
	}
}

// TestNothingLeft: exceptions do not make a pass of a capture in which nothing
// else is.
func TestNothingLeft(t *testing.T) {
	e := Exception{Rules: []Rule{CleartextDistribution, CookieDigestExposed}, Expires: today}
	for _, c := range [][]*decode.Connection{{clear()}, {clear(), refused()}} {
		if j := held(Policy{Exceptions: []Exception{e}}, c...); j.Outcome != Undecided || j.Reason != "nothing to verify: exceptions cover all connections between Erlang nodes" {
			t.Errorf("%s: %s", j.Outcome, j.Reason)
		}
	}
	lossy := Judge(capture(mutual()), Coverage{Dropped: 1}, Options{Policy: Policy{Now: today, Exceptions: []Exception{{Expires: today}}}})
	if lossy.Outcome != Undecided {
		t.Errorf("an exception covers lost packets: %s", lossy.Reason)
	}
}

func TestBasisOfMutual(t *testing.T) {
	verified := func() *decode.Connection {
		return with(mutual(), func(c *decode.Connection) {
			c.TLS.ClientCertificate.Possession, c.TLS.ServerCertificate.Possession = fact.Verified, fact.Verified
		})
	}
	opened := with(verified(), as13, func(c *decode.Connection) {
		c.TLS.ClientCertificate.Basis, c.TLS.ClientCertificate.Possession = fact.Decrypted, fact.Verified
		c.TLS.ServerCertificate = tls.ServerCertificate{Basis: fact.Decrypted, Possession: fact.Verified, Chain: [][]byte{{2}}}
		c.TLS.Established = fact.YesBy(fact.Verified, "x")
	})
	sizes := with(mutual(), as13)
	const only = "mutual TLS is proven only by what is "
	for _, row := range []struct {
		name  string
		c     *decode.Connection
		least fact.Basis
		want  string
	}{
		{"sizes, any", sizes, fact.Inferred, ""},
		{"sizes, by default", sizes, fact.None, ""},
		{"sizes", sizes, fact.Observed, only + "inferred (the client's certificate); the policy takes nothing weaker than observed"},
		{"messages", mutual(), fact.Observed, ""},
		{"messages, not signatures", mutual(), fact.Verified, only + "observed (the client's proof of its key); the policy takes nothing weaker than verified"},
		{"signatures", verified(), fact.Verified, ""},
		{"the server's not", with(verified(), func(c *decode.Connection) { c.TLS.ServerCertificate.Possession = fact.Observed }), fact.Verified, only + "observed (the server's proof of its key); the policy takes nothing weaker than verified"},
		{"opened", opened, fact.Verified, ""},
		{"acceptance by size", with(verified(), func(c *decode.Connection) { c.TLS.Established = fact.YesBy(fact.Inferred, "x") }), fact.Observed, only + "inferred (the server's acceptance); the policy takes nothing weaker than observed"},
		{"resumed", with(mutual(), resumes(sizes)), fact.Observed, only + "inferred (the client's certificate); the policy takes nothing weaker than observed"},
		{"resumed, verified", with(mutual(), resumes(verified())), fact.Verified, ""},
	} {
		j := held(Policy{Basis: row.least}, row.c)
		got := ""
		for _, f := range j.Findings {
			if f.Rule == NotProven {
				got = f.Message
				if f.Fix != unseenFix { // to connect again proves no more than before
					t.Errorf("%s: fix %q", row.name, f.Fix)
				}
			}
		}
		if got != row.want || (j.Outcome == Pass) != (row.want == "") || row.want != "" && j.Reason != row.want {
			t.Errorf("%s: %s: %s\ngot  %q\nwant %q", row.name, j.Outcome, j.Reason, got, row.want)
		}
		if ProvenBy(row.c, row.least) != (row.want == "") {
			t.Errorf("%s: ProvenBy disagrees", row.name)
		}
	}
	if j := held(Policy{Basis: fact.Verified}, oneWay()); strings.Contains(effects(j), "DP109") {
		t.Errorf("one-way: %s", effects(j))
	}
}

func TestFloor(t *testing.T) {
	for _, row := range []struct {
		name  string
		c     *decode.Connection
		least tls.Version
		want  string
	}{
		{"new enough", with(mutual(), as13), tls.TLS13, "pass"},
		{"old", mutual(), tls.TLS13, "fail: TLS 1.2 is older than the policy takes: TLS 1.3 is the least"},
		{"old, and good enough", mutual(), tls.TLS12, "pass"},
		{"obsolete is told once", with(mutual(), func(c *decode.Connection) { c.TLS.Version = tls.TLS11 }), tls.TLS13, "fail: TLS 1.1 is obsolete (RFC 8996)"},
		{"refused", refused(), tls.TLS13, "inconclusive: nothing to verify: no connection between Erlang nodes came up"},
		{"not known", with(mutual(), hidden), tls.TLS13, "inconclusive: the distribution connection could not be proven mutual TLS"},
	} {
		j := held(Policy{MinTLS: row.least}, row.c)
		if got := strings.TrimSuffix(fmt.Sprintf("%s: %s", j.Outcome, j.Reason), ": the distribution connection is mutual TLS"); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestExpectations(t *testing.T) {
	ab, bc := with(mutual(), nodes("a@n1.lab", "b@n2.lab")), with(mutual(), nodes("c@n3.lab", "b@n2.lab"))
	ghost := with(refused(), nodes("d@n4.lab", "a@n1.lab"))
	hiddenName := with(mutual(), nodes("@n9.lab", "a@n1.lab"), from("10.9.0.1:40009"))
	pair := func(a, b string) [2]Peer { return [2]Peer(peers(t, a, b)) }
	for _, row := range []struct {
		name string
		e    Expectation
		want string
	}{
		{"all there", Expectation{Nodes: peers(t, "a@n1.lab", "b@*", "*@n3.lab", "10.9.0.1"), Connections: 3}, ""},
		{"a node that was refused", Expectation{Nodes: peers(t, "d@n4.lab")}, "the expected node d@n4.lab is not seen in any connection that came up"},
		{"a node whose name is hidden", Expectation{Nodes: peers(t, "x@n9.lab")}, "the expected node x@n9.lab is not seen in any connection that came up"},
		{"all nodes of its host", Expectation{Nodes: peers(t, "*@n9.lab")}, ""},
		{"too few", Expectation{Connections: 4}, "3 connections between nodes came up, and the policy expects at least 4"},
		{"edges, either way", Expectation{Edges: [][2]Peer{pair("a@n1.lab", "b@n2.lab"), pair("b@n2.lab", "a@n1.lab"), pair("10.9.0.0/16", "a@*")}}, ""},
		{"no edge", Expectation{Edges: [][2]Peer{pair("a@n1.lab", "c@n3.lab")}}, "no connection between a@n1.lab and c@n3.lab came up in the capture"},
		{"an edge that was refused", Expectation{Edges: [][2]Peer{pair("a@n1.lab", "d@n4.lab")}}, "no connection between a@n1.lab and d@n4.lab came up in the capture"},
		{"a mesh", Expectation{Nodes: peers(t, "a@n1.lab", "b@n2.lab"), FullMesh: true}, ""},
		{"a mesh with a hole", Expectation{Nodes: peers(t, "a@n1.lab", "b@n2.lab", "c@n3.lab"), FullMesh: true}, "no connection between a@n1.lab and c@n3.lab came up in the capture"},
		{"two alike", Expectation{Nodes: peers(t, "a@*", "a@n1.lab"), FullMesh: true}, "no connection between a@* and a@n1.lab came up in the capture"},
	} {
		j := held(Policy{Expect: row.e, Places: map[string]Place{"expect.nodes[0]": {"p", 5}, "expect.edges[0]": {"p", 6}, "expect.connections": {"p", 7}, "expect.full_mesh": {"p", 8}}}, ab, bc, ghost, hiddenName)
		var got []string
		for _, f := range j.Findings {
			if f.Rule != NotSeen {
				continue
			}
			got = append(got, f.Message)
			if f.Severity != Medium || f.Effect != Undecides || f.Place.Line < 5 {
				t.Errorf("%s: %+v", row.name, f)
			}
		}
		if text := strings.Join(got, "|"); text != row.want || (j.Outcome == Undecided) != (row.want != "") {
			t.Errorf("%s: %s: %q, want %q", row.name, j.Outcome, text, row.want)
		}
	}
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("x%d@y", i))
	}
	j := held(Policy{Expect: Expectation{Nodes: peers(t, many...), FullMesh: true}}, mutual())
	if n := len(j.Findings); n != 30+maxMissing+1 || !strings.HasPrefix(j.Findings[n-1].Message, "415 connections more of the full mesh") {
		t.Errorf("%d findings, the last %q", n, j.Findings[n-1].Message)
	}
}

func TestCertificatesByPolicy(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	leaf := func(ca *authority) []byte {
		return ca.leaf(t, template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2040})
	}
	shown := func(clientChain, serverChain [][]byte) *decode.Connection {
		return with(mutual(), func(c *decode.Connection) {
			c.TLS.ClientCertificate.Chain, c.TLS.ServerCertificate.Chain = clientChain, serverChain
		})
	}
	chain := func(ca *authority) [][]byte { return [][]byte{leaf(ca), ca.cert.Raw} }
	print := func(ca *authority) [32]byte { return sha256.Sum256(ca.cert.Raw) }
	good := shown(chain(ours), chain(ours))
	const (
		notNamed  = "DP105 the client's certificate was issued by CN=theirs, which the policy does not name"
		notSigned = "DP105 the client's certificate is not signed by a CA whose fingerprint the policy names"
		unseen    = "DP109 what the policy asks of the client's certificate cannot be checked: "
	)
	for _, row := range []struct {
		name string
		p    CertificatePolicy
		c    *decode.Connection
		want string
	}{
		{"the issuer", CertificatePolicy{Issuers: []string{"CN=ours"}, Seen: true}, good, ""},
		{"another issuer", CertificatePolicy{Issuers: []string{"CN=ours"}}, shown(chain(theirs), chain(ours)), notNamed},
		{"the CA", CertificatePolicy{CAs: [][32]byte{print(ours)}, Seen: true}, good, ""},
		{"another CA", CertificatePolicy{CAs: [][32]byte{print(ours)}}, shown(chain(theirs), chain(ours)), notSigned},
		{"the CA beside another's certificate", CertificatePolicy{CAs: [][32]byte{print(ours)}}, shown([][]byte{leaf(theirs), ours.cert.Raw, theirs.cert.Raw}, chain(ours)), notSigned},
		{"the CA's certificate itself", CertificatePolicy{CAs: [][32]byte{print(ours)}}, shown([][]byte{ours.cert.Raw}, chain(ours)), notSigned},
		{"the CA not sent", CertificatePolicy{CAs: [][32]byte{print(ours)}}, shown([][]byte{leaf(ours)}, chain(ours)),
			"DP109 whether the client's certificate is signed by a CA whose fingerprint the policy names cannot be told: the certificate of CN=ours was not sent"},
		{"a key that is small enough", CertificatePolicy{MinCurve: 256}, good, ""},
		{"a key that is too small", CertificatePolicy{MinCurve: 384}, good, "DP107 the client's certificate without a subject has a smaller key than the policy allows: ECDSA P-256, under 384 bits"},
		{"not seen", CertificatePolicy{Seen: true}, with(mutual(), as13), unseen + "not visible: TLS 1.3 encrypts certificates, and no key log opened this handshake (--keylog)"},
		{"not seen, nothing asked", CertificatePolicy{}, with(mutual(), as13), ""},
		{"no client certificate", CertificatePolicy{Seen: true}, with(shown(nil, chain(ours)), certificate(tls.NotRequested)), ""},
		{"resumed", CertificatePolicy{Seen: true}, with(mutual(), resumes(good)), ""},
	} {
		j := held(Policy{Certificates: row.p}, row.c)
		got := ""
		for _, f := range j.Findings {
			if slices.Contains([]Rule{ClientCertNotVerifiable, NotProven, WeakTLS}, f.Rule) && strings.Contains(f.Message, "client's cert") && !strings.Contains(f.Message, "self-signed") {
				got = fmt.Sprintf("%s %s", f.Rule, f.Message)
				if f.Effect == Noted || len(f.Evidence) == 0 || strings.HasPrefix(got, unseen) && f.Fix != unseenFix {
					t.Errorf("%s: %+v", row.name, f)
				}
			}
		}
		if !strings.HasPrefix(got, row.want) || (got == "") != (row.want == "") {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	other := with(good, func(c *decode.Connection) { c.TLS.Client = &tls.ClientHello{ServerName: "n7.lab"} })
	for any, want := range map[bool]Outcome{false: Fail, true: Pass} {
		j := Judge(capture(other), Coverage{}, Options{CAs: ours.pool(), Policy: Policy{Certificates: CertificatePolicy{AnyHost: any}}})
		if j.Outcome != want {
			t.Errorf("any host %t: %s: %s", any, j.Outcome, j.Reason)
		}
		if reason := j.Certificates[0].Server.Reason; any && !strings.HasSuffix(reason, "; its names were not checked: the policy accepts any (host_match)") {
			t.Errorf("%q", reason)
		}
	}
}

// TestPolicyNeverStrengthens: nothing that a policy asks for besides makes an
// outcome better; only exceptions, severities and another requirement do, and
// those say so.
func TestPolicyNeverStrengthens(t *testing.T) {
	rank := map[Outcome]int{Pass: 0, Undecided: 1, Fail: 2}
	for name, p := range map[string]Policy{
		"basis": {Basis: fact.Verified}, "floor": {MinTLS: tls.TLS13}, "seen": {Certificates: CertificatePolicy{Seen: true, MinCurve: 384, Issuers: []string{"CN=x"}}},
		"expect": {Expect: Expectation{Nodes: peers(t, "x@y"), Connections: 9}}, "low": {FailOn: Low}, "exception": {Exceptions: []Exception{{Peers: peers(t, "x@y"), Expires: today}}},
		"ports": {EPMDPorts: []PortRange{{1, 1}}},
	} {
		for _, make := range []func() *decode.Connection{mutual, clear, oneWay, refused, other, rpc, func() *decode.Connection { return with(mutual(), hidden) }} {
			base, got := held(Policy{}, make()), held(p, make())
			if rank[got.Outcome] < rank[base.Outcome] {
				t.Errorf("%s: %s: %s, and without: %s: %s", name, got.Outcome, got.Reason, base.Outcome, base.Reason)
			}
			if got.Outcome == Pass && strings.Contains(got.Reason, "all") && !strings.Contains(base.Reason, "mutual TLS") {
				t.Errorf("%s: %s", name, got.Reason)
			}
		}
	}
}

// TestPassSaysWhatHolds: an outcome that is a pass without exceptions has nothing
// that the policy lets pass.
func TestPassSaysWhatHolds(t *testing.T) {
	changes := map[string]change{
		"as it is": func(*decode.Connection) {}, "1.3": as13, "disputed": func(c *decode.Connection) { c.Disputed = true }, "renegotiated": func(c *decode.Connection) { c.TLS.Renegotiated = true },
		"foreign": foreign(server), "no encryption": suite(null12), "anonymous": suite(anonymous), "unknown suite": suite(unknown), "pre-shared": suite(preShared),
		"conflicts": func(c *decode.Connection) { conflict(server, 0)(c) }, "unidentified": func(c *decode.Connection) { c.Unidentified[client] = true },
		"preamble": func(c *decode.Connection) { c.TLS.Preamble[client] = 3 }, "not accepted": notAccepted, "hidden": hidden, "resumed": resumes(nil),
		"resumed from one-way": resumes(oneWay()), "resumed from a disputed one": resumes(with(mutual(), func(c *decode.Connection) { c.Disputed = true })),
		"empty": certificate(tls.Empty), "not asked": certificate(tls.NotRequested), "refused": refusedBy(tls.RoleServer, "unknown_ca"),
	}
	for first, a := range changes {
		for second, b := range changes {
			for _, require := range []Requirement{RequireMutual, RequireEncrypted} {
				j := held(Policy{Require: require}, with(mutual(), a, b), mutual())
				if j.Outcome == Pass && strings.Contains(j.Reason, "lets the others pass") {
					t.Errorf("%s, %s, %s: %s", require, first, second, j.Reason)
				}
			}
		}
	}
}
