package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tls"
)

// by sets how the alert is known.
func by(b fact.Basis) change {
	return func(c *decode.Connection) { c.TLS.Failure.Alert.Basis = b }
}

func withoutServerHello(c *decode.Connection) { c.TLS.Server = nil }

// TestFailures: what is said of a handshake that failed, and the fix.
func TestFailures(t *testing.T) {
	ca := newAuthority(t, "ca")
	good := template{client: true, server: true, names: []string{"n2.lab"}, from: 2000, to: 2100}
	leaf := func(f func(*template)) []byte { p := good; f(&p); return ca.leaf(t, p) }
	elsewhere := showing(leaf(func(p *template) { p.names = []string{"n9.lab"} }))
	serverSays := func(alert string) change { return refusedBy(tls.RoleServer, alert) }
	clientSays := func(alert string) change { return refusedBy(tls.RoleClient, alert) }
	offers := func(v ...tls.Version) change { return func(c *decode.Connection) { c.TLS.Client.Versions = v } }
	encrypted := func(c *decode.Connection) {
		c.TLS.Failure.Alert.Name, c.TLS.Failure.Alert.Basis = "", fact.Inferred
	}
	for _, r := range []struct {
		name   string
		c      *decode.Connection
		want   string
		fix    string
		atZero bool // the evidence is the first packet
	}{
		{"unknown CA of the client", with(mutual(), sending(newAuthority(t, "x").leaf(t, good)), serverSays("unknown_ca")), "the server refused with alert unknown_ca: it does not trust the CA of the client's certificate (CN=x)", serverTrustFix, false},
		{"unknown CA of the server, decrypted", with(mutual(), as13, clientSays("unknown_ca"), by(fact.Decrypted)), "the client refused with alert unknown_ca (decrypted): it does not trust the CA of the server's certificate", clientTrustFix, false},
		{"no certificate", with(mutual(), certificate(tls.Empty), serverSays("handshake_failure")), "the server refused with alert handshake_failure: the client has no certificate, and the server insists on one", certificateFix, false},
		{"no certificate, TLS 1.3", with(mutual(), as13, certificate(tls.Empty), serverSays("x"), encrypted), "the server refused with an encrypted alert (inferred): the client has no certificate, and the server insists on one, most likely", certificateFix, false},
		{"certificate not accepted, TLS 1.3", with(mutual(), as13, serverSays("x"), encrypted), "the server refused with an encrypted alert (inferred): the client's certificate was not accepted, most likely", turnedDownFix, false},
		{"certificate required, status unknown", with(mutual(), certificate(tls.StatusUnknown), serverSays("certificate_required"), by(fact.Decrypted)), "the server refused with alert certificate_required (decrypted): the client has no certificate, and the server insists on one", certificateFix, false},
		{"status unknown", with(mutual(), certificate(tls.StatusUnknown), serverSays("handshake_failure")), "the server refused with alert handshake_failure", refusedFix, false},
		{"host name, OTP 25", with(mutual(), elsewhere, clientSays("handshake_failure")), "the client refused with alert handshake_failure: host name mismatch: the certificate is for n9.lab, the client asked for n2.lab", hostFix, false},
		{"host name, OTP 27", with(mutual(), elsewhere, clientSays("bad_certificate")), "the client refused with alert bad_certificate: host name mismatch: the certificate is for n9.lab, the client asked for n2.lab", hostFix, false},
		{"host name, common name only", with(mutual(), showing(leaf(func(p *template) { p.names, p.commonName = nil, "n2.lab" })), clientSays("bad_certificate")), `the client refused with alert bad_certificate: host name mismatch: the certificate is for nobody (no subjectAltName; common name "n2.lab"), the client asked for n2.lab`, hostFix, false},
		{"host name, certificate not visible", with(mutual(), as13, clientSays("handshake_failure"), by(fact.Decrypted)), "the client refused with alert handshake_failure (decrypted): the server's certificate is not for the host that the client asked for, most likely", hostFix, false},
		{"unknown CA outweighs the name", with(mutual(), elsewhere, clientSays("unknown_ca")), "the client refused with alert unknown_ca: it does not trust the CA of the server's certificate (CN=ca)", clientTrustFix, false},
		{"encrypted alert of the client", with(mutual(), as13, clientSays("x"), encrypted), "the client refused with an encrypted alert (inferred): the server's certificate was not accepted, most likely", refusedFix, false},
		{"self-signed", with(mutual(), showing((*authority)(nil).leaf(t, good)), clientSays("bad_certificate")), "the client refused with alert bad_certificate: the server's certificate is self-signed", selfSignedFix, false},
		{"expired", with(mutual(), on(year(2101)), sending(ca.leaf(t, good)), serverSays("certificate_expired")), "the server refused with alert certificate_expired: the client's certificate has expired, or is not valid yet, by the server's clock: it expired at 2100-01-01T00:00:00Z", expiredFix, false},
		{"expired by the peer's clock", with(mutual(), sending(ca.leaf(t, good)), serverSays("certificate_expired")), "the server refused with alert certificate_expired: the client's certificate has expired, or is not valid yet, by the server's clock", expiredFix, false},
		{"wrong usage", with(mutual(), sending(leaf(func(p *template) { p.client = false })), serverSays("unsupported_certificate")), "the server refused with alert unsupported_certificate: the client's certificate is not for this use, or of a kind that the server does not know: its extended key usage is serverAuth, without clientAuth", usageFix, false},
		{"wrong usage, vague alert", with(mutual(), sending(leaf(func(p *template) { p.client = false })), serverSays("handshake_failure")), "the server refused with alert handshake_failure: the client's certificate was not accepted, most likely: its extended key usage is serverAuth, without clientAuth", usageFix, false},
		{"revoked", with(mutual(), serverSays("certificate_revoked")), "the server refused with alert certificate_revoked: the client's certificate is revoked", newCertificateFix, false},
		{"wrong signature", with(mutual(), serverSays("decrypt_error")), "the server refused with alert decrypt_error: a signature or the handshake's checksum did not verify: the key may not belong to the certificate", refusedFix, false},
		{"no version", with(mutual(), withoutServerHello, offers(0x5a5a, tls.TLS13, tls.TLS12), serverSays("protocol_version")), "the server refused with alert protocol_version: no TLS version in common (the client offers 1.3, 1.2)", versionsFix, false},
		{"no version, old hello", with(mutual(), withoutServerHello, func(c *decode.Connection) { c.TLS.Client.LegacyVersion = tls.TLS11 }, serverSays("protocol_version")), "the server refused with alert protocol_version: no TLS version in common (the client offers 1.1 at most)", versionsFix, false},
		{"no version, no hello", with(mutual(), func(c *decode.Connection) { c.TLS.Client = nil }, clientSays("protocol_version")), "the client refused with alert protocol_version: no TLS version in common", versionsFix, false},
		{"no suite", with(mutual(), withoutServerHello, serverSays("handshake_failure")), "the server refused with alert handshake_failure: no cipher suite, group or signature algorithm in common", ciphersFix, false},
		{"no suite, OTP", with(mutual(), withoutServerHello, serverSays("insufficient_security")), "the server refused with alert insufficient_security: no cipher suite, group or signature algorithm in common", ciphersFix, false},
		{"unknown name", with(mutual(), withoutServerHello, serverSays("unrecognized_name")), `the server refused with alert unrecognized_name: the server has no certificate for "n2.lab", the host that the client asked for`, hostFix, false},
		{"something else", with(mutual(), serverSays("internal_error")), "the server refused with alert internal_error", refusedFix, false},
		{"not TLS", with(mutual(), withoutServerHello, clientSays(""), gaveUpAfter(7*time.Second)), "the server never answered the ClientHello: not a TLS listener, or a node that hangs, most likely", noTLSFix, true},
		{"given up early", with(mutual(), withoutServerHello, clientSays(""), gaveUpAfter(2*time.Second)), "the client gave up before the server answered the ClientHello", givenUpFix, true},
		{"closed at once", with(mutual(), withoutServerHello, serverSays("")), "the server closed the connection after the ClientHello: it does not speak TLS, or its ssl_dist_optfile is not valid, most likely", noTLSFix, true},
		{"closed in between", with(mutual(), clientSays("")), "the client closed the connection during the server's handshake", givenUpFix, true},
		{"closed in between by the server", with(mutual(), serverSays("")), "the server closed the connection during the client's handshake", refusedFix, true},
		{"closed behind the handshake", with(mutual(), as13, func(c *decode.Connection) { c.TLS.Unanswered, c.Ending.ClosedBy = true, tls.RoleClient }), "closed by the client after the TLS handshake, before the server sent anything of distribution: given up, most likely because both nodes dialled at once", givenUpFix, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			j := Judge(capture(r.c, mutual()), Coverage{}, Options{})
			if got := j.Conclusions[0]; got.Verdict != Refused || got.Reason != r.want {
				t.Errorf("%s: %s\nwant %s", got.Verdict, got.Reason, r.want)
			}
			f := only(t, j, HandshakeRefused)
			want := frame(9)
			if r.atZero {
				want = frame(1)
			}
			if f.Severity != Info || f.Message != r.want || f.Fix != r.fix || f.Evidence[0].Frame != want {
				t.Errorf("%+v\nwant fix %s", f, r.fix)
			}
			if j.Outcome != Pass {
				t.Errorf("a refused connection is a violation: %s %s", j.Outcome, j.Reason)
			}
		})
	}
}

// gaveUpAfter has the client close at that time, without an answer.
func gaveUpAfter(d time.Duration) change {
	return func(c *decode.Connection) {
		c.TCP[server].End = 0
		c.TCP[client].FIN = true
		c.Last = c.First + int64(d)
	}
}

// TestClosedBeforeAnyByte: there is no handshake to explain, but what to do.
func TestClosedBeforeAnyByte(t *testing.T) {
	c := with(bare(decode.None), closedBy(tls.RoleServer), func(c *decode.Connection) {
		c.ProtocolBasis = []string{decode.ByEPMD}
	})
	j := Judge(capture(c, mutual()), Coverage{}, Options{})
	if f := only(t, j, HandshakeRefused); f.Fix != badOptionsFix || f.Message != "closed by the server before any byte was sent" || j.Outcome != Pass {
		t.Errorf("%+v", f)
	}
}

// A ClientHello that has no answer yet is no gap in the capture.
func TestWaiting(t *testing.T) {
	unanswered := func() *decode.Connection {
		return with(mutual(), notAccepted, func(c *decode.Connection) { c.TLS.Server, c.TCP[server].Bytes, c.TCP[server].End = nil, 0, 0 })
	}
	const why = "the server has not answered the ClientHello, as far as captured"
	j := Judge(capture(unanswered()), Coverage{}, Options{})
	if f := only(t, j, NotProven); f.Fix != waitingFix || f.Message != why || j.Outcome != Undecided {
		t.Errorf("%+v", f)
	}
	for name, change := range map[string]change{
		"the server's packets are missing": func(c *decode.Connection) { c.Ending.Whole = false },
		"the server answered":              func(c *decode.Connection) { c.TCP[server].End = 7 },
		"no ClientHello":                   func(c *decode.Connection) { c.TLS.Client = nil },
		"closed":                           closedBy(tls.RoleClient),
	} {
		c := with(unanswered(), change)
		if k := Conclude(c); k.Reason == why || waiting(c) {
			t.Errorf("%s: %s", name, k.Reason)
		}
	}
}

// What dials a node and speaks neither TLS nor distribution is no gap in the capture.
func TestForeignClient(t *testing.T) {
	alert := tls.SideAlert{From: tls.RoleServer, Fatal: true, Name: "unexpected_message", Basis: fact.Observed}
	onTLS := func(changes ...change) *decode.Connection {
		return with(with(mutual(), generic, announced, func(c *decode.Connection) {
			c.TLS.Client, c.TLS.Server, c.TLS.Established = nil, nil, fact.UnknownBecause("x")
			c.TLS.Alerts, c.Unidentified[client] = []tls.SideAlert{alert}, true
		}), changes...)
	}
	notWhole := func(c *decode.Connection) { c.Ending.Whole = false }
	const answered = "the client sent bytes that are neither TLS nor distribution, and the server answered with the TLS alert unexpected_message"
	for name, r := range map[string]struct {
		c        *decode.Connection
		why, fix string
	}{
		"the server has TLS":     {onTLS(), answered, foreignFix},
		"it has not":             {with(bare(decode.Other), announced), "neither TLS nor distribution is recognised", foreignFix},
		"its beginning missing":  {onTLS(notWhole), "nothing that it answers", ""},
		"both beginnings":        {with(bare(decode.Other), announced, notWhole), "neither TLS nor distribution is recognised", ""},
		"the client sent alerts": {onTLS(func(c *decode.Connection) { c.TLS.Alerts[0].From = tls.RoleClient }), "nothing that it answers", ""},
	} {
		j := Judge(capture(r.c), Coverage{}, Options{})
		if f := only(t, j, NotProven); f.Fix != r.fix || !strings.Contains(f.Message, r.why) || j.Outcome != Undecided {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestEveryFixCanBePasted is TestFixesCanBePasted for what is not a rule's.
func TestEveryFixCanBePasted(t *testing.T) {
	for _, fix := range []string{newCertificateFix, sharedKeyFix, signatureFix, rabbitMQFix, notDialledFix, notRunningFix, givenUpFix, refusedFix, turnedDownFix, noTLSFix, badOptionsFix, waitingFix, foreignFix, unseenFix, versionsFix, ciphersFix,
		certificateFix, serverTrustFix, clientTrustFix, hostFix, selfSignedFix, expiredFix, usageFix} {
		if problem := unbalanced(fix); problem != "" || fix == "" {
			t.Errorf("%s in %s", problem, fix)
		}
		if strings.Contains(fix, "{") && !slices.ContainsFunc([]string{"{client, [", "{server, [", "{versions, [", "{ciphers, …}"}, func(s string) bool { return strings.Contains(fix, s) }) {
			t.Errorf("no option that is known in %s", fix)
		}
	}
}

// TestRefusedAgain: what is the same for many refused connections is found out once.
func TestRefusedAgain(t *testing.T) {
	ca := newAuthority(t, "ca")
	leaf := ca.leaf(t, template{client: true, server: true, names: []string{"n9.lab"}, from: 2000, to: 2100})
	judging := func(n int) float64 {
		var all []*decode.Connection
		for i := range n {
			by := tls.RoleServer
			if i%2 == 0 {
				by = tls.RoleClient
			}
			all = append(all, with(mutual(), showing(leaf), sending(leaf), refusedBy(by, "bad_certificate")))
		}
		return testing.AllocsPerRun(5, func() { Judge(capture(all...), Coverage{}, Options{}) })
	}
	const more = 100
	if each := (judging(2+more) - judging(2)) / more; each > 40 {
		t.Errorf("to judge another one allocates %.0f times", each)
	}
}
