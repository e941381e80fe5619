package verify

import (
	"math/rand/v2"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// overTLSRows are connections of distribution over TLS.
var overTLSRows = []conclusionRow{
	{"mutual, TLS 1.2", mutual(), Mutual, Up, "both sides proved a certificate"},
	{"mutual, TLS 1.3", with(mutual(), as13), Mutual, Up, "inferred from record sizes"},
	{"not asked", oneWay(), OneWay, Up, "does not ask"},
	{"asked, empty, accepted", with(mutual(), certificate(tls.Empty)), OneWay, Up, "optional"},
	{"status unknown", with(mutual(), certificate(tls.StatusUnknown)), Inconclusive, Up, "unknown for the test"},
	{"client's key not proved", with(mutual(), func(c *decode.Connection) {
		c.TLS.ClientCertificate.Possession = fact.None
	}), Inconclusive, Up, "did not prove to have its key"},
	{"client's certificate is none", with(mutual(), func(c *decode.Connection) {
		c.TLS.ClientCertificate.Possession, c.TLS.ClientCertificate.Signature = fact.None, fact.UnknownBecause("malformed")
	}), Inconclusive, Up, "whose key cannot be read: malformed"},
	{"mutual, could be asked later", with(mutual(), as13, mayAskLater), Mutual, Up, "both sides"},
	{"one-way, could be asked later", with(oneWay(), as13, mayAskLater), Inconclusive, Up, "post_handshake_auth"},
	{"empty, could be asked later", with(mutual(), as13, certificate(tls.Empty), mayAskLater), Inconclusive, Up, "post_handshake_auth"},
	{"resumed from one-way, could be asked later", with(mutual(), as13, resumes(oneWay()), mayAskLater), Inconclusive, Up, "post_handshake_auth"},
	{"resumed from mutual, could be asked later", with(mutual(), as13, resumes(mutual()), mayAskLater), Mutual, Up, "resumed session; in its"},
	{"status unknown, could be asked later", with(mutual(), as13, certificate(tls.StatusUnknown), mayAskLater), Inconclusive, Up, "unknown for the test"},
	{"server's certificate not seen", with(mutual(), func(c *decode.Connection) {
		c.TLS.ServerCertificate = tls.ServerCertificate{}
	}), Inconclusive, Up, "the server's was not seen"},
	{"server's key not proved", with(mutual(), func(c *decode.Connection) {
		c.TLS.ServerCertificate.Possession = fact.None
	}), Inconclusive, Up, "did not prove to have its own key"},
	{"server's certificate empty", with(mutual(), func(c *decode.Connection) {
		c.TLS.ServerCertificate.Chain = nil
	}), Inconclusive, Up, "did not prove to have its own key"},
	{"acceptance not shown", with(mutual(), notAccepted), Inconclusive, Incomplete, "not shown to be accepted: the handshake's end is not in the capture"},
	{"decrypted, refused by status", with(mutual(), as13, decrypted("", dist.Facts{Handshake: dist.Handshake{Status: "not_allowed"}})), Mutual, DistRefused, "both sides proved a certificate (inferred from record sizes); then refused with status not_allowed"},
	{"decrypted, closed before the ack", with(mutual(), as13, closedBy(tls.RoleServer), decrypted("", dist.Facts{})), Mutual, DistRefused, "; then closed after the cookie's proof: wrong cookie, most likely"},
	{"one side decrypted, closed", with(mutual(), as13, closedBy(tls.RoleServer), decrypted("the handshake could not be opened", dist.Facts{})), Mutual, Up, ""},
	{"decrypted, acknowledged", with(mutual(), as13, decrypted("", dist.Facts{Handshake: dist.Handshake{Ack: true}})), Mutual, Up, ""},
	{"given up before the server spoke", with(mutual(), as13, notAccepted, func(c *decode.Connection) { c.TLS.Unanswered = true }), Refused, Incomplete, "given up, most likely because both nodes dialled at once"},
	{"given up, but in conflict", with(mutual(), as13, notAccepted, conflict(client, 0), func(c *decode.Connection) { c.TLS.Unanswered = true }), Inconclusive, Incomplete, "retransmissions with other bytes"},
	{"only the client finished", with(mutual(), func(c *decode.Connection) {
		c.TLS.Established, c.TLS.Finished = fact.UnknownBecause("x"), true
	}), Inconclusive, Incomplete, "not shown to be accepted"},

	{"client's bytes foreign", with(mutual(), foreign(client)), Inconclusive, Up, "the client sent bytes that are not TLS"},
	{"server's bytes foreign", with(mutual(), foreign(server)), Inconclusive, Up, "the server sent bytes that are not TLS"},
	{"foreign bytes after a refusal", with(refused(), foreign(server)), Inconclusive, TLSFailed, "bytes that are not TLS"},
	{"preamble", with(mutual(), func(c *decode.Connection) { c.TLS.Preamble[client] = 42 }), Inconclusive, Up, "the client sent 42 bytes in the clear before TLS"},
	{"preamble of a byte", with(mutual(), func(c *decode.Connection) { c.TLS.Preamble[server] = 1 }), Inconclusive, Up, "the server sent 1 byte in the clear"},
	{"server unidentified", with(mutual(), func(c *decode.Connection) { c.Unidentified[server] = true }), Inconclusive, Up, "what the server sent is not recognised as TLS"},
	{"client unsynced", with(mutual(), func(c *decode.Connection) { c.TLS.Unsynced[client] = true }), Inconclusive, Up, "after missing packets the client's bytes"},
	{"distribution in the clear inside", with(mutual(), func(c *decode.Connection) { c.InClear = true }), Cleartext, Up, "in the clear inside a TLS connection"},

	{"NULL suite", with(mutual(), suite(null12)), Cleartext, Up, "TLS without encryption"},
	{"integrity only", with(mutual(), as13, suite(integrity13)), Cleartext, Up, "TLS without encryption (TLS_SHA256_SHA256)"},
	{"NULL suite, one-way", with(oneWay(), suite(null12)), Cleartext, Up, "TLS without encryption"},
	{"NULL suite, resumed from mutual", with(mutual(), resumes(mutual()), suite(null12)), Cleartext, Up, "TLS without encryption"},
	{"NULL suite, not accepted", with(mutual(), suite(null12), notAccepted), Inconclusive, Incomplete, "not shown to be accepted"},
	{"NULL suite, refused", with(refused(), suite(null12)), Refused, TLSFailed, "unknown_ca"},
	{"unknown suite", with(mutual(), suite(unknown)), Inconclusive, Up, "cipher suite TLS_UNKNOWN_0x5A5A is not known"},
	{"pre-shared key", with(mutual(), suite(preShared)), Inconclusive, Up, "authenticated by a pre-shared key"},
	{"anonymous", with(oneWay(), suite(anonymous)), OneWay, Up, "anonymous cipher suite (TLS_DH_anon_WITH_AES_256_CBC_SHA256): neither side has a certificate"},
	{"anonymous, yet a certificate", with(mutual(), suite(anonymous)), Inconclusive, Up, "nobody is authenticated"},
	{"anonymous, resumed from mutual", with(mutual(), resumes(mutual()), suite(anonymous)), Inconclusive, Up, "nobody is authenticated"},
	{"renegotiated", with(mutual(), func(c *decode.Connection) { c.TLS.Renegotiated = true }), Inconclusive, Up, "renegotiated under encryption"},

	{"conflict in the handshake", with(mutual(), conflict(client, 500)), Inconclusive, Up, "retransmissions with other bytes"},
	{"conflict at its last byte", with(mutual(), conflict(server, 999)), Inconclusive, Up, "retransmissions with other bytes"},
	{"conflict behind it", with(mutual(), conflict(server, 1000)), Mutual, Up, ""},
	{"conflict where no record is", with(mutual(), conflict(server, 7), func(c *decode.Connection) { c.TLS.Records[server] = tls.Records{} }), Inconclusive, Up, "retransmissions with other bytes"},
	{"head lost", with(mutual(), headLost, unchecked(client, 5000)), Inconclusive, Up, "came again later"},
	{"head lost, nothing came again", with(mutual(), headLost), Mutual, Up, ""},
	{"the handshake came again unchecked", with(mutual(), unchecked(server, 999)), Inconclusive, Up, "came again later"},
	{"what follows came again unchecked", with(mutual(), unchecked(server, 1000)), Mutual, Up, ""},
	{"what follows the first records came again", with(mutual(), as13, records(server, 20, 100), unchecked(server, 8*105)), Mutual, Up, ""},
	{"the first records came again", with(mutual(), as13, records(server, 20, 100), unchecked(server, 8*105-1)), Inconclusive, Up, "came again later"},

	{"resumed, origin not captured", with(mutual(), resumes(nil)), Inconclusive, Up, "whose full handshake was not captured"},
	{"resumed in TLS 1.3, origin not known", with(mutual(), as13, resumes(nil)), Inconclusive, Up, "was not captured or cannot be told: TLS 1.3 encrypts"},
	{"resumed from mutual", with(mutual(), resumes(mutual())), Mutual, Up, "resumed session; in its full handshake: both sides proved"},
	{"resumed from one-way", with(mutual(), resumes(oneWay())), OneWay, Up, "resumed session; in its full handshake: the server does not ask"},
	{"resumed from nothing proven", with(mutual(), resumes(with(mutual(), notAccepted))), Inconclusive, Up, "whose full handshake proves nothing: not shown"},
	{"resumed from a disputed connection", with(mutual(), resumes(with(mutual(), disputed))), Inconclusive, Up, "proves nothing: segments that have no place"},
	{"disputed", with(mutual(), disputed), Inconclusive, Up, "segments that have no place in the connection"},
	{"disputed, one-way", with(oneWay(), disputed), OneWay, Up, ""},
	{"resumed from a refusal", with(mutual(), resumes(refused())), Inconclusive, Up, "proves nothing"},
	{"resumed from cleartext", with(mutual(), resumes(with(mutual(), suite(null12)))), Inconclusive, Up, "proves nothing"},
	{"resumed, not accepted", with(mutual(), resumes(mutual()), notAccepted), Inconclusive, Incomplete, "not shown to be accepted"},
	{"resumed, foreign bytes", with(mutual(), resumes(mutual()), foreign(server)), Inconclusive, Up, "bytes that are not TLS"},

	{"beginning not captured", with(mutual(), hidden), Inconclusive, Midstream, "handshake not captured"},
	{"beginning cut by the snaplen", with(mutual(), hidden, func(c *decode.Connection) {
		c.TCP[client].Start, c.TCP[server].Start = tcp.StartSYN, tcp.StartSYN
	}), Inconclusive, Incomplete, "the handshake is not whole"},
	{"one beginning known", with(mutual(), hidden, func(c *decode.Connection) {
		c.TCP[client].Start = tcp.StartSYN
	}), Inconclusive, Midstream, "handshake not captured"},
	{"one hello only", with(mutual(), notAccepted, func(c *decode.Connection) { c.TLS.Client = nil }), Inconclusive, Incomplete, "not shown to be accepted"},

	{"unknown_ca", refused(), Refused, TLSFailed, "the server refused with alert unknown_ca: it does not trust the CA of the client's certificate"},
	{"no certificate", with(mutual(), certificate(tls.Empty), refusedBy(tls.RoleServer, "certificate_required")), Refused, TLSFailed, "alert certificate_required: the client has no certificate, and the server insists on one"},
	{"handshake_failure after a certificate", with(mutual(), refusedBy(tls.RoleServer, "handshake_failure")), Refused, TLSFailed, "the client's certificate was not accepted"},
	{"bad_certificate by the client", with(mutual(), refusedBy(tls.RoleClient, "bad_certificate")), Refused, TLSFailed, "the client refused with alert bad_certificate: the server's certificate was not accepted, most likely"},
	{"handshake_failure by the client", with(mutual(), refusedBy(tls.RoleClient, "handshake_failure")), Refused, TLSFailed, ": the server's certificate was not accepted, most likely"},
	{"protocol_version", with(mutual(), refusedBy(tls.RoleServer, "protocol_version")), Refused, TLSFailed, "no TLS version in common"},
	{"encrypted alert", with(mutual(), refusedBy(tls.RoleServer, "handshake_failure"), func(c *decode.Connection) {
		c.TLS.Failure.Alert = &tls.SideAlert{From: tls.RoleServer, Basis: fact.Inferred}
	}), Refused, TLSFailed, "the server refused with an encrypted alert (inferred): the client's certificate was not accepted"},
	{"alert of a client without a hello", with(mutual(), refusedBy(tls.RoleClient, "internal_error"), func(c *decode.Connection) {
		c.TLS.Server = nil
	}), Refused, TLSFailed, "the client refused with alert internal_error"},
	{"closed by the server", with(mutual(), refusedBy(tls.RoleServer, "")), Refused, TLSFailed, "the server closed the connection during the client's handshake"},
	{"closed by the client", with(mutual(), refusedBy(tls.RoleClient, "")), Refused, TLSFailed, "the client closed the connection during the server's handshake"},
	{"server closed after the ClientHello", with(mutual(), refusedBy(tls.RoleServer, ""), func(c *decode.Connection) {
		c.TLS.Server = nil
	}), Refused, TLSFailed, "the server closed the connection after the ClientHello"},
	{"client gave up", with(mutual(), refusedBy(tls.RoleClient, ""), func(c *decode.Connection) {
		c.TLS.Server, c.TCP[server].End = nil, 0
	}), Refused, TLSFailed, "the server never answered the ClientHello"},
	{"refused, though it conflicts", with(refused(), conflict(server, 7)), Inconclusive, TLSFailed, "retransmissions with other bytes"},

	{"distribution refused by status", with(mutual(), closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.TLS.Shape = tls.Shape{Stage: tls.StageName, Refused: true, Exact: true}
	}), Mutual, DistRefused, "; then refused with status not_allowed (inferred): the server's node lets in others only (net_kernel:allow/1)"},
	{"both dialled at once", with(mutual(), closedBy(tls.RoleClient), func(c *decode.Connection) {
		c.TLS.Shape = tls.Shape{Stage: tls.StageName, Refused: true, Crossed: true, Exact: true}
	}), Mutual, DistRefused, "; then refused with status nok (inferred): both nodes dialled at once"},
	{"refused by a status of unknown size", with(mutual(), closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.TLS.Shape = tls.Shape{Stage: tls.StageName, Refused: true}
	}), Mutual, DistRefused, "; then closed before the distribution handshake was finished"},
	{"wrong cookie", with(mutual(), closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.TLS.Shape = tls.Shape{Stage: tls.StageReply}
		c.TLS.Sealed = [2]tls.Sealed{{Application: 5}, {Application: 7}}
	}), Mutual, DistRefused, "; then closed after the cookie's proof: wrong cookie, most likely"},
	{"one-way, wrong cookie", with(oneWay(), turned(tls.StageReply)), OneWay, DistRefused, "; then closed after the cookie's proof"},
	{"closed behind the name", with(mutual(), turned(tls.StageName)), Mutual, DistRefused, "; then closed by the server before it answered: its node lets in others only (net_kernel:allow/1), most likely"},
	{"closed by the client behind its name", with(mutual(), turned(tls.StageName), closedBy(tls.RoleClient)), Mutual, DistRefused, "; then closed before the distribution handshake was finished"},
	{"closed behind the status", with(mutual(), turned(tls.StageStatus)), Mutual, DistRefused, "; then closed before the distribution handshake was finished"},
	{"not proven, wrong cookie", with(mutual(), turned(tls.StageReply), certificate(tls.StatusUnknown)), Inconclusive, DistRefused, "unknown for the test"},
	{"closed, but the server went on in other sizes", with(mutual(), closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.TLS.Shape = tls.Shape{Stage: tls.StageChallenge, More: true}
		c.TLS.Sealed = [2]tls.Sealed{{Application: 5}, {Application: 7}}
	}), Mutual, Incomplete, ""},
	{"distribution not finished", with(mutual(), func(c *decode.Connection) {
		c.TLS.Shape = tls.Shape{Stage: tls.StageReply}
		c.TLS.Sealed = [2]tls.Sealed{{Application: 5}, {Application: 7}}
	}), Mutual, Incomplete, ""},
	{"shape not known, much sent", with(mutual(), func(c *decode.Connection) { c.TLS.Shape = tls.Shape{} }), Mutual, Up, ""},
}

// otherRows are all other connections.
var otherRows = []conclusionRow{
	{"TLS of something else", with(mutual(), generic), NoVerdict, Up, "not shown to be distribution"},
	{"TLS 1.2 of something else, finished", with(mutual(), generic, func(c *decode.Connection) {
		c.TLS.Established = fact.UnknownBecause("x")
	}), NoVerdict, Up, "not shown to be distribution"},
	{"an alert on a port of distribution", with(mutual(), generic, announced, func(c *decode.Connection) {
		c.TLS = &tls.Facts{Session: &tls.Session{Alerts: []tls.SideAlert{{From: tls.RoleServer, Fatal: true}}}}
	}), Inconclusive, Incomplete, "a TLS alert on a port of distribution"},
	{"less than a hello on a port of distribution", with(mutual(), generic, announced, func(c *decode.Connection) {
		c.TLS = &tls.Facts{Session: &tls.Session{}}
	}), Inconclusive, Incomplete, "no part of the handshake whole in the capture"},
	{"EPMD", bare(decode.EPMD), NoVerdict, Up, "Erlang port mapper"},
	{"something else", other(), NoVerdict, Up, "neither TLS nor distribution"},
	{"something else from the middle", with(other(), func(c *decode.Connection) { c.TCP[client].Start = tcp.StartUnknown }), NoVerdict, Midstream, ""},
	{"something else with a gap", with(other(), gap(client)), NoVerdict, Incomplete, ""},
	{"something else on a port of distribution", with(other(), announced), Inconclusive, Up, "in which neither TLS nor distribution is recognised"},
	{"a gap on a port of distribution", with(other(), announced, func(c *decode.Connection) {
		c.TCP[client].Bytes, c.TCP[server].Bytes = 0, 0
	}), Inconclusive, Incomplete, "none of which was captured"},
	{"something of which nothing was captured", with(other(), func(c *decode.Connection) {
		c.TCP[client].Bytes, c.TCP[server].Bytes = 0, 0
	}), NoVerdict, Incomplete, "none of which was captured"},
	{"nothing sent", silent(), NoVerdict, Incomplete, "no data"},
	{"nothing sent on a port of distribution", with(silent(), announced), Inconclusive, Incomplete, "nothing sent as far as captured"},
	{"nothing sent, closed by the server", with(silent(), announced, closedBy(tls.RoleServer)), Refused, Incomplete, "closed by the server before any byte"},
	{"nothing sent, closed by the client", with(silent(), announced, closedBy(tls.RoleClient)), Refused, Incomplete, "closed by the client before any byte"},
	{"nothing seen, closed, not whole", with(silent(), announced, closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.Ending.Whole = false
	}), Inconclusive, Incomplete, "nothing sent"},
	{"port closed", with(silent(), announced, closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.TCP[server].Start = tcp.StartUnknown
	}), NoVerdict, Incomplete, "no data"},

	{"in the clear", clear(), Cleartext, Up, "distribution in the clear"},
	{"in the clear, acknowledged only", with(clear(), func(c *decode.Connection) {
		c.Dist[client].Connected, c.Dist[server].Connected = false, false
	}), Cleartext, Up, ""},
	{"in the clear from the middle", with(clear(), midstream), Cleartext, Midstream, "from the middle on"},
	{"in the clear, its handshake in a gap", with(clear(), midstream, func(c *decode.Connection) {
		c.TCP[client].Start, c.TCP[server].Start = tcp.StartSYN, tcp.StartSYN
	}), Cleartext, Up, ""},
	{"in the clear, unfinished", with(clear(), unfinished), Cleartext, Incomplete, "not finished"},
	{"in the clear to TLS", with(clear(), unfinished, func(c *decode.Connection) {
		c.TLS = &tls.Facts{Session: &tls.Session{Alerts: []tls.SideAlert{{From: tls.RoleServer, Fatal: true, Name: "unexpected_message"}}}}
	}), Cleartext, DistRefused, "answered with the TLS alert unexpected_message"},
	{"in the clear, not allowed", with(clear(), unfinished, status("not_allowed")), Cleartext, DistRefused, "refused with status not_allowed"},
	{"in the clear, nok", with(clear(), unfinished, status("nok")), Cleartext, DistRefused, "refused with status nok: both nodes dialled at once"},
	{"in the clear, alive", with(clear(), unfinished, status("alive")), Cleartext, Incomplete, "not finished"},
	{"in the clear, dropped", with(clear(), unfinished, closedBy(tls.RoleServer)), Cleartext, DistRefused, "closed before it was finished"},
	{"in the clear, wrong cookie", with(clear(), unfinished, closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.Dist[client].Handshake.Reply = true
	}), Cleartext, DistRefused, "wrong cookie, most likely"},
	{"in the clear, with facts of mutual TLS", with(clear(), func(c *decode.Connection) { c.TLS = mutual().TLS }), Cleartext, Up, ""},
}

type conclusionRow struct {
	name    string
	c       *decode.Connection
	verdict Verdict
	state   State
	reason  string // a part of it
}

func TestConclude(t *testing.T) {
	names := make(map[string]bool)
	for _, row := range append(overTLSRows, otherRows...) {
		if names[row.name] {
			t.Errorf("two rows %q", row.name)
		}
		names[row.name] = true
		t.Run(row.name, func(t *testing.T) {
			got := Conclude(row.c)
			if got.Verdict != row.verdict || got.State != row.state || !strings.Contains(got.Reason, row.reason) || got.Reason == "" {
				t.Errorf("%+v\nwant %s, %s, %q", got, row.verdict, row.state, row.reason)
			}
		})
	}
}

func mayAskLater(c *decode.Connection) { c.TLS.MayAskLater = true }

func foreign(side int) change {
	return func(c *decode.Connection) {
		c.TLS.Foreign[side] = &tls.Foreign{Offset: 3000, Frame: frame(30), Bytes: 12}
	}
}

func conflict(side int, offset int64) change {
	return func(c *decode.Connection) {
		r := rare(c, side)
		r.Conflicts, r.ConflictOffset = 1, offset
	}
}

func rare(c *decode.Connection, side int) *tcp.Rare {
	if c.TCP[side].Rare == nil {
		c.TCP[side].Rare = new(tcp.Rare)
	}
	return c.TCP[side].Rare
}

func disputed(c *decode.Connection) { c.Disputed = true }

func headLost(c *decode.Connection) { c.TCP[client].HeadLost = true }

func unchecked(side int, offset int64) change {
	return func(c *decode.Connection) {
		r := rare(c, side)
		r.Unchecked, r.UncheckedOffset = 1, offset
	}
}

// records gives a side n encrypted records of the given length.
func records(side, n, length int) change {
	return func(c *decode.Connection) {
		var all []tls.Record
		for i := range n {
			all = append(all, tls.Record{Sealed: true, Length: length, Offset: int64(i * (length + 5))})
		}
		c.TLS.Records[side] = tls.NewRecords(all...)
	}
}

func gap(side int) change {
	return func(c *decode.Connection) { c.TCP[side].Gap, c.Ending.Whole = 100, false }
}

func closedBy(r tls.Role) change { return func(c *decode.Connection) { c.Ending.ClosedBy = r } }

// turned closes a distribution handshake inside TLS that came to a stage and no further.
func turned(s tls.Stage) change {
	return func(c *decode.Connection) {
		c.Ending.ClosedBy = tls.RoleServer
		c.TLS.Shape = tls.Shape{Stage: s}
		c.TLS.Sealed = [2]tls.Sealed{{Application: 5}, {Application: 7}}
	}
}

func generic(c *decode.Connection) { c.Protocol, c.ProtocolBasis = decode.TLS, nil }

func announced(c *decode.Connection) { c.ProtocolBasis = []string{decode.ByPort} }

func silent() *decode.Connection {
	return with(bare(decode.None), func(c *decode.Connection) {
		for i := range c.TCP {
			c.TCP[i].Bytes, c.TCP[i].End = 0, 0
		}
	})
}

// midstream is distribution in the clear whose handshake was not captured.
func midstream(c *decode.Connection) {
	for i := range c.Dist {
		c.TCP[i].Start = tcp.StartUnknown
		c.Dist[i].Handshake, c.Dist[i].Recognition = dist.Handshake{}, dist.ByFraming
	}
}

// unfinished leaves the client's name of a handshake in the clear.
func unfinished(c *decode.Connection) {
	c.Dist[client].Connected, c.Dist[server] = false, dist.Facts{}
	c.Dist[client].Handshake.Reply = false
}

func status(s string) change {
	return func(c *decode.Connection) { c.Dist[server].Handshake.Status = s }
}

// TestOnlyProofMakesMutual: whatever the facts are, Mutual is concluded if and
// only if they have all that the design asks for.
func TestOnlyProofMakesMutual(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	claimed := 0
	for range 300_000 {
		c := randomFacts(rng, 2)
		got, want := Conclude(c).Verdict == Mutual, provenMutual(c)
		if got != want {
			t.Fatalf("mutual %t, want %t: %+v\n%+v", got, want, c, c.TLS)
		}
		if got {
			claimed++
		}
	}
	if claimed < 1000 {
		t.Errorf("only %d of the random facts are mutual", claimed)
	}
}

// provenMutual is the definition of the verdict, written down as it stands in
// the design: TLS in both directions to the end of what was seen; the client
// sent a certificate and proved its key; the server accepted. That it encrypts
// and that the server proved itself too goes with the word.
func provenMutual(c *decode.Connection) bool {
	return c.Protocol == decode.DistTLS && bothAuthenticated(c)
}

// bothAuthenticated also asks for no more of a session's first handshake, which
// need not have carried distribution.
func bothAuthenticated(c *decode.Connection) bool {
	if c.InClear || c.Disputed {
		return false
	}
	f := c.TLS
	for i := range 2 {
		onlyTLS := f.Foreign[i] == nil && f.Preamble[i] == 0 && !f.Unsynced[i] && !c.Unidentified[i]
		s := c.TCP[i]
		certain := s.Odd().Conflicts == 0 && (s.Odd().Unchecked == 0 || !s.HeadLost && s.Odd().UncheckedOffset >= 1000)
		if !onlyTLS || !certain {
			return false
		}
	}
	encrypts := f.Suite == good12 || f.Suite == good13 || f.Suite == rc4
	accepted := f.Established.Value == fact.Yes && f.Failure == nil && !f.Renegotiated
	if !encrypts || !accepted || f.Server == nil {
		return false
	}
	if f.ClientCertificate.Status == tls.Resumed {
		return c.ResumedFrom != nil && bothAuthenticated(c.ResumedFrom)
	}
	return f.ClientCertificate.Status == tls.Presented &&
		f.ClientCertificate.Possession != fact.None && f.ServerCertificate.Possession != fact.None &&
		(f.ServerCertificate.Basis == fact.Inferred || len(f.ServerCertificate.Chain) > 0)
}

// randomFacts are facts of which some are amiss; depth bounds the sessions that
// are resumed from one another.
func randomFacts(rng *rand.Rand, depth int) *decode.Connection {
	seldom := func() bool { return rng.IntN(12) == 0 }
	pick := func(n int) int { return rng.IntN(n) }
	c := mutual()
	c.Dist = new([2]dist.Facts) // whatever the protocol
	if pick(2) == 0 {
		as13(c)
	}
	f := c.TLS
	if seldom() {
		c.Protocol = []decode.Protocol{decode.Dist, decode.TLS, decode.EPMD, decode.Other, decode.None}[pick(5)]
	}
	if pick(4) == 0 {
		f.Suite = []tls.Suite{good12, good13, rc4, null12, integrity13, anonymous, preShared, unknown, 0}[pick(9)]
	}
	if pick(3) == 0 {
		f.ClientCertificate.Status = tls.CertificateStatus(pick(5))
	}
	bases := []fact.Basis{fact.None, fact.Inferred, fact.Observed, fact.Decrypted, fact.Verified}
	if seldom() {
		f.ClientCertificate.Possession = bases[pick(5)]
	}
	if seldom() {
		f.ClientCertificate.Requested = []fact.Fact{yes(), no(), {}}[pick(3)]
	}
	if seldom() {
		f.ServerCertificate.Possession, f.ServerCertificate.Basis = bases[pick(5)], bases[pick(5)]
	}
	if seldom() {
		f.ServerCertificate.Chain = nil
	}
	if seldom() {
		f.Established = []fact.Fact{no(), {}, fact.UnknownBecause("x")}[pick(3)]
	}
	if seldom() {
		f.Failure = &tls.Failure{By: tls.Role(1 + pick(2))}
	}
	c.InClear, c.Disputed, f.Renegotiated = seldom(), seldom(), seldom()
	for i := range 2 {
		if seldom() {
			f.Foreign[i] = &tls.Foreign{}
		}
		f.Preamble[i] = int64(max(0, pick(20)-18))
		f.Unsynced[i], c.Unidentified[i], c.TCP[i].HeadLost = pick(100) == 0, pick(100) == 0, seldom()
		if seldom() {
			conflict(i, int64(pick(1000)))(c)
		}
		if seldom() {
			unchecked(i, int64(pick(2000)))(c)
		}
	}
	if seldom() {
		f.Client = nil
	}
	if seldom() { // then nothing of what a ServerHello tells is known
		f.Server, f.Suite, f.Version = nil, 0, 0
	}
	if f.ClientCertificate.Status == tls.Resumed && depth > 0 && pick(4) > 0 {
		c.ResumedFrom = randomFacts(rng, depth-1)
	}
	return c
}

func TestWorse(t *testing.T) {
	order := []Verdict{NoVerdict, Mutual, Refused, Inconclusive, OneWay, Cleartext}
	for i, v := range order {
		for j, w := range order {
			if v.Worse(w) != (i > j) {
				t.Errorf("%q worse than %q: %t", v, w, v.Worse(w))
			}
		}
	}
}
