package tls

import (
	"strings"
	"testing"

	"distproof/decode/fact"
)

// TestEstablished13 has the server's flight, with and without a request, and
// the client's, and looks at what follows.
func TestEstablished13(t *testing.T) {
	const asked, plain = "s 23 142 1027 97 69, c 1027 96 69", "s 23 1027 97 69, c 69"
	const far = 1 << 20 // behind all that the server sends
	for name, r := range map[string]struct {
		script string
		end    Ending
		want   fact.Value
		reason string // a part
		failed Role
	}{
		"nothing":                               {asked, Ending{Whole: true}, unknown, "no record of the server after", 0},
		"status":                                {asked + ", c 47, s 24", Ending{Whole: true}, yes, "24 bytes", 0},
		"tickets":                               {asked + ", s 250 250", Ending{Whole: true}, yes, "250 bytes", 0},
		"tickets, then an alert":                {asked + ", s 250 250 19", Ending{Whole: true, ClosedBy: RoleServer}, yes, "", 0},
		"alert, and closed":                     {asked + ", c 47, s 19", Ending{Whole: true, ClosedBy: RoleServer}, no, "alert's size", RoleServer},
		"alert, and closed, not whole":          {asked + ", c 47, s 19", Ending{ClosedBy: RoleServer}, no, "alert's size", 0},
		"alert, and the capture ends":           {asked + ", c 47, s 19", Ending{Whole: true}, unknown, "connection's end", 0},
		"alert, but others follow":              {asked + ", c 47, s 19 24", Ending{Whole: true, ClosedBy: RoleServer}, unknown, "others follow", 0},
		"alert, but the client closed":          {asked + ", c 47, s 19", Ending{Whole: true, ClosedBy: RoleClient}, unknown, "client closed", 0},
		"alert, and the client closed on it":    {asked + ", c 47, s 19", Ending{Whole: true, ClosedBy: RoleClient, ClientHad: far}, no, "alert's size", RoleServer},
		"alerts of both, and the client closed": {asked + ", C 47, s 19, C 19", Ending{Whole: true, ClosedBy: RoleClient, ClientHad: far}, unknown, "client closed", 0},
		"alert, and the client's answer":        {asked + ", s 19, c 19", Ending{Whole: true, ClosedBy: RoleClient, ClientHad: far}, no, "alert's size", RoleServer},
		"alert, an answer to the client's":      {asked + ", c 19, s 19", Ending{Whole: true, ClosedBy: RoleServer}, unknown, "client closed", 0},
		"alert, the client's came too late":     {asked + ", C 47, s 19, C 19", Ending{Whole: true, ClosedBy: RoleServer}, no, "alert's size", RoleServer},
		"a record before the client's Finished": {plain + ", S 24", Ending{Whole: true}, unknown, "no record of the server after", 0},
		"one before and an alert after":         {plain + ", S 24, s 19", Ending{Whole: true, ClosedBy: RoleServer}, no, "alert's size", RoleServer},
		"an alert before, and nothing after":    {plain + ", S 19", Ending{Whole: true, ClosedBy: RoleServer}, unknown, "", 0},
		"an alert before, and more after":       {plain + ", S 19, s 24", Ending{Whole: true}, yes, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := &outline{suite: 0x1302}
			// S and C are deaf since the client's flight.
			w.play(r.script)
			f := w.facts(r.end)
			if f.Established.Value != r.want || !strings.Contains(f.Established.Reason, r.reason) {
				t.Errorf("%d: %s; want %d: %s", f.Established.Value, f.Established.Reason, r.want, r.reason)
			}
			if (f.Failure != nil) != (r.failed != 0) || f.Failure != nil && (f.Failure.By != r.failed || f.Failure.Basis != fact.Inferred || f.Failure.Alert == nil) {
				t.Errorf("failure %+v", f.Failure)
			}
		})
	}
}

// A connection that was closed before the server spoke carried no session, if
// nothing of it is missing.
func TestUnanswered(t *testing.T) {
	const asked = "s 23 142 1027 97 69, c 1027 96 69"
	for name, r := range map[string]struct {
		script string
		end    Ending
		want   bool
	}{
		"given up":                      {asked, Ending{Whole: true, ClosedBy: RoleClient, Orderly: true}, true},
		"by the server":                 {asked + ", c 47", Ending{Whole: true, ClosedBy: RoleServer, Orderly: true}, true},
		"with close_notify":             {asked + ", c 47 19, s 19", Ending{Whole: true, ClosedBy: RoleClient, Orderly: true}, true},
		"on the server's alert":         {asked + ", c 47, s 19", Ending{Whole: true, ClosedBy: RoleClient, Orderly: true, ClientHad: 1 << 20}, false},
		"something is missing":          {asked, Ending{ClosedBy: RoleClient, Orderly: true}, false},
		"the capture ends":              {asked, Ending{Whole: true}, false},
		"a RST, or one FIN":             {asked, Ending{Whole: true, ClosedBy: RoleClient}, false},
		"the server spoke":              {asked + ", c 47, s 24", Ending{Whole: true, ClosedBy: RoleClient, Orderly: true}, false},
		"it may have spoken before":     {"s 23 1027 97 69, c 69, S 24", Ending{Whole: true, ClosedBy: RoleClient, Orderly: true}, false},
		"it spoke, and the client left": {asked + ", S 24, c 19, s 19", Ending{Whole: true, ClosedBy: RoleClient, Orderly: true}, false},
		"the handshake is not known":    {"s 23 142 1027 97 69, c 1027 96", Ending{Whole: true, ClosedBy: RoleClient, Orderly: true}, false},
	} {
		w := &outline{suite: 0x1302}
		w.play(r.script)
		if f := w.facts(r.end); f.Unanswered != r.want {
			t.Errorf("%s: %t; established %+v", name, f.Unanswered, f.Established)
		}
	}
}

// TestClientBeforeTheServer: what the client sent before it had the server's
// flight is not its answer to that.
func TestClientBeforeTheServer(t *testing.T) {
	w := &outline{suite: 0x1302}
	w.play("c 25 69, s 23 142 1027 97 69" + up)
	f := w.facts(Ending{Whole: true})
	if c := f.ClientCertificate; c.Status != StatusUnknown || c.Requested.Value != unknown || f.Established.Value != unknown || f.Distribution {
		t.Errorf("client certificate %+v, established %+v", c, f.Established)
	}
}

// TestMissingAcknowledgements: where it is not known what the peer had, nothing
// is said to follow.
func TestMissingAcknowledgements(t *testing.T) {
	w := &outline{suite: 0x1302}
	w.play("s 23 142 1027 97 69, c 1027 96 69" + up)
	for i := range w.records[server] {
		w.records[server][i].Acked = -1
	}
	if f := w.facts(Ending{Whole: true}); f.Established.Value != unknown || f.Distribution {
		t.Errorf("established %+v, distribution %t", f.Established, f.Distribution)
	}
}

func TestFailure13(t *testing.T) {
	const hellos = "s 23 142 1027 97 69"
	for name, r := range map[string]struct {
		script string
		end    Ending
		by     Role
		alert  bool
	}{
		"the client answers with an alert":    {hellos + ", c 19", Ending{Whole: true, ClosedBy: RoleClient}, RoleClient, true},
		"not whole":                           {hellos + ", c 19", Ending{ClosedBy: RoleClient}, 0, false},
		"not closed":                          {hellos + ", c 19", Ending{Whole: true}, 0, false},
		"the client closes without a word":    {hellos, Ending{Whole: true, ClosedBy: RoleClient}, RoleClient, false},
		"the server closes without a word":    {hellos, Ending{Whole: true, ClosedBy: RoleServer}, RoleServer, false},
		"closed after both flights":           {hellos + ", c 1027 96 69", Ending{Whole: true, ClosedBy: RoleServer}, 0, false},
		"flights of unknown sizes, and data":  {"s 1300, c 1200 50, s 60", Ending{Whole: true, ClosedBy: RoleClient}, 0, false},
		"flights of unknown sizes, all there": {"s 1300, c 77", Ending{Whole: true, ClosedBy: RoleServer}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &outline{suite: 0x1302}
			w.play(r.script)
			f := w.facts(r.end)
			if (f.Failure != nil) != (r.by != 0) || f.Failure != nil && (f.Failure.By != r.by || (f.Failure.Alert != nil) != r.alert) {
				t.Errorf("failure %+v", f.Failure)
			}
		})
	}
}

// TestHandshake12 plays handshakes before TLS 1.3.
func TestHandshake12(t *testing.T) {
	hello, done := message(TypeClientHello, hello12), flight12[4]
	certificate, exchange := answer12[0], answer12[1]
	empty := message(TypeCertificate, v24())
	ticket := message(TypeNewSessionTicket, zeros(4), v16("ticket"))
	fin := cat(changeCipherSpec, finishedRecord)
	static := cat(message(TypeServerHello, serverHello(0x009d)))
	old := message(TypeServerHello, 3, 0, random, v8(), u16(0x0005), 0)
	var none []byte
	for name, r := range map[string]struct {
		server1, client, server2 []byte
		closed                   Role
		status                   CertificateStatus
		requested                fact.Value
		possession               fact.Basis
		serverPossession         fact.Basis
		established, resumed     fact.Value
		failed                   Role
	}{
		"mutual": {separate(flight12...), cat(separate(answer12...), fin), fin, 0,
			Presented, yes, fact.Observed, fact.Observed, yes, no, 0},
		"without CertificateVerify": {separate(flight12...), cat(separate(certificate, exchange), fin), fin, 0,
			Presented, yes, fact.None, fact.Observed, yes, no, 0},
		"empty": {separate(flight12...), cat(separate(empty, exchange), fin), fin, 0,
			Empty, yes, fact.None, fact.Observed, yes, no, 0},
		"empty, refused": {separate(flight12...), cat(separate(empty, exchange), fin), record(TypeAlert, 2, 40), RoleServer,
			Empty, yes, fact.None, fact.Observed, unknown, no, RoleServer},
		"refused under encryption": {separate(flight12...), cat(separate(answer12...), fin), cat(changeCipherSpec, record(TypeAlert, zeros(26))), RoleServer,
			Presented, yes, fact.Observed, fact.Observed, unknown, no, RoleServer},
		"refused without a word": {separate(flight12...), cat(separate(answer12...), fin), none, RoleServer,
			Presented, yes, fact.Observed, fact.Observed, unknown, no, RoleServer},
		"not asked": {separate(flight12[0], flight12[1], flight12[2], done), cat(separate(exchange), fin), fin, 0,
			NotRequested, no, fact.None, fact.Observed, yes, no, 0},
		"with a ticket": {separate(flight12...), cat(separate(answer12...), fin), cat(separate(ticket), fin), 0,
			Presented, yes, fact.Observed, fact.Observed, yes, no, 0},
		"static RSA": {separate(static, flight12[1], done), cat(separate(exchange), fin), fin, 0,
			NotRequested, no, fact.None, fact.Observed, yes, no, 0},
		"static RSA, not finished": {separate(static, flight12[1], done), cat(separate(exchange), fin), none, 0,
			NotRequested, no, fact.None, fact.None, unknown, no, 0},
		"anonymous": {separate(flight12[0], flight12[2], done), cat(separate(exchange), fin), fin, 0,
			NotRequested, no, fact.None, fact.None, yes, no, 0},
		"SSL 3.0, no certificate": {separate(old, flight12[1], flight12[3], done), cat(record(TypeAlert, 1, 41), separate(exchange), fin), fin, 0,
			Empty, yes, fact.None, fact.Observed, yes, no, 0},
		"abbreviated": {cat(separate(flight12[0]), fin), fin, sealed(31), 0,
			Resumed, no, fact.None, fact.None, yes, yes, 0},
		"abbreviated, with a new ticket": {cat(separate(flight12[0], ticket), fin), fin, sealed(31), 0,
			Resumed, no, fact.None, fact.None, yes, yes, 0},
		"abbreviated, and nothing more of the server": {cat(separate(flight12[0]), fin), cat(fin, sealed(54)), none, 0,
			Resumed, no, fact.None, fact.None, unknown, yes, 0},
		"abbreviated, the client's Finished missing": {cat(separate(flight12[0]), fin), none, sealed(31), 0,
			Resumed, no, fact.None, fact.None, unknown, yes, 0},
		"the ServerHello, no more": {separate(flight12[0]), none, none, 0,
			StatusUnknown, unknown, fact.None, fact.None, unknown, unknown, 0},
		"Certificate and Finished, no ServerHelloDone": {cat(separate(flight12[:2]...), fin), fin, none, 0,
			StatusUnknown, unknown, fact.None, fact.None, unknown, no, 0},
		"no ServerHelloDone": {separate(flight12[:4]...), none, none, 0,
			StatusUnknown, yes, fact.None, fact.Observed, unknown, no, 0},
		"no request, nor ServerHelloDone": {separate(flight12[:3]...), none, none, 0,
			StatusUnknown, unknown, fact.None, fact.Observed, unknown, no, 0},
		"asked, and nothing of the client": {separate(flight12...), none, none, RoleClient,
			StatusUnknown, yes, fact.None, fact.Observed, unknown, no, RoleClient},
		"no certificate in the client's Certificate": {separate(flight12...), cat(separate(message(TypeCertificate, v24(v24("key"))), answer12[1], answer12[2]), fin), fin, 0,
			Presented, yes, fact.None, fact.Observed, yes, no, 0},
		"no certificate in the server's Certificate": {separate(flight12[0], message(TypeCertificate, v24(v24("key"))), flight12[2], flight12[3], done), cat(separate(answer12...), fin), fin, 0,
			Presented, yes, fact.Observed, fact.None, yes, no, 0},
		"no certificate, static RSA": {separate(static, message(TypeCertificate, v24(v24("key"))), done), cat(separate(exchange), fin), fin, 0,
			NotRequested, no, fact.None, fact.None, yes, no, 0},
		"more records than are logged": {cat(records(6, flight12...)), cat(separate(empty, exchange), fin), cat(fin), RoleClient,
			Empty, yes, fact.None, fact.Observed, unknown, no, 0},
		"more records than are logged, and an encrypted alert": {cat(records(6, flight12...)), cat(separate(answer12...), fin, record(TypeAlert, zeros(26))), cat(fin), RoleClient,
			Presented, yes, fact.Observed, fact.Observed, unknown, no, 0},
		"a wrong Certificate": {separate(flight12[0], message(TypeCertificate, u24(9)), done), cat(separate(exchange), fin), fin, 0,
			StatusUnknown, unknown, fact.None, fact.None, unknown, unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTalk()
			x.say(client, separate(hello))
			x.say(server, r.server1)
			x.say(client, r.client)
			x.say(server, r.server2)
			f := x.end(r.closed)
			c := f.ClientCertificate
			if c.Status != r.status || c.Requested.Value != r.requested || c.Possession != r.possession {
				t.Errorf("client certificate %+v", c)
			}
			if f.ServerCertificate.Possession != r.serverPossession {
				t.Errorf("server certificate %+v", f.ServerCertificate)
			}
			if f.Established.Value != r.established || f.Resumed.Value != r.resumed {
				t.Errorf("established %+v, resumed %+v", f.Established, f.Resumed)
			}
			if (f.Failure != nil) != (r.failed != 0) || f.Failure != nil && f.Failure.By != r.failed {
				t.Errorf("failure %+v", f.Failure)
			}
			if c.Status != StatusUnknown && c.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

// TestFinishedBeforeTheClients: in a full handshake the server's Finished is an
// answer to the client's, or the client was not yet accepted.
func TestFinishedBeforeTheClients(t *testing.T) {
	x := newTalk()
	x.say(client, handshake(TypeClientHello, hello12))
	x.say(server, separate(flight12...))
	x.say(client, separate(answer12...), changeCipherSpec, finishedRecord)
	x.deaf(server, changeCipherSpec, finishedRecord)
	f := x.end(RoleUnknown)
	if f.Established.Value != unknown || !strings.Contains(f.Established.Reason, "did not follow") || f.ClientCertificate.Status != Presented {
		t.Errorf("established %+v, client certificate %+v", f.Established, f.ClientCertificate)
	}
}

func TestRenegotiation(t *testing.T) {
	for name, r := range map[string]struct {
		client, server []byte
		want           bool
	}{
		"none":              {nil, nil, false},
		"HelloRequest only": {nil, record(TypeHandshake, zeros(28)), false},
		"another handshake": {record(TypeHandshake, zeros(200)), record(TypeHandshake, zeros(100)), true},
	} {
		x := newTalk()
		mutual12(x, separate)
		x.say(server, r.server)
		x.say(client, r.client)
		if f := x.end(RoleUnknown); f.Renegotiated != r.want {
			t.Errorf("%s: renegotiated %t", name, f.Renegotiated)
		}
	}
}

func TestSessionTickets(t *testing.T) {
	x := newTalk()
	x.say(client, handshake(TypeClientHello, cat(3, 3, random, v8("offered id"), v16(u16s(0xc02c)), v8(0), v16(ext(extSessionTicket, "offered ticket")))))
	x.say(server, handshake(TypeServerHello, 3, 3, random, v8("issued id"), u16(0xc02c), 0), separate(flight12[1:]...))
	x.say(client, separate(answer12...), changeCipherSpec, finishedRecord)
	x.say(server, handshake(TypeNewSessionTicket, zeros(4), v16("issued ticket")), changeCipherSpec, finishedRecord)
	f := x.end(RoleUnknown)
	of := func(s string) Ticket { return ticketOf([]byte(s)) }
	if len(f.Offered) != 2 || f.Offered[0] != of("offered id") || f.Offered[1] != of("offered ticket") {
		t.Errorf("offered %x", f.Offered)
	}
	if len(f.Issued) != 2 || f.Issued[0] != of("issued id") || f.Issued[1] != of("issued ticket") {
		t.Errorf("issued %x", f.Issued)
	}
}

// TestGapsBeforeTLS13: what is missing of the messages is not taken for what
// was not sent.
func TestGapsBeforeTLS13(t *testing.T) {
	fin := cat(changeCipherSpec, finishedRecord)
	for side, name := range []string{"client", "server"} {
		flight := [][]byte{separate(answer12...), separate(flight12...)}[side]
		for from := range len(flight) {
			for _, n := range []int{1, 5, 30, 90, 200} {
				to := min(from+n, len(flight))
				x := newTalk()
				x.say(client, handshake(TypeClientHello, hello12))
				say := func(s int) {
					if s != side {
						x.say(s, [][]byte{separate(answer12...), separate(flight12...)}[s])
						return
					}
					x.say(s, flight[:from])
					x.lose(s, flight[from:to])
					x.say(s, flight[to:])
				}
				say(server)
				say(client)
				x.say(client, fin)
				x.say(server, fin)
				x.lines(client, 54)
				x.lines(server, 31, 58)
				x.lines(client, 49)
				x.lines(server, 45)
				f := x.combine(Ending{ClosedBy: RoleServer})
				if c := f.ClientCertificate; c.Status != StatusUnknown || f.Established.Value != unknown || f.Resumed.Value == yes || c.Requested.Value != unknown {
					t.Errorf("%s without bytes %d to %d: %s (%s), established %d, resumed %d, requested %d", name, from, to, c.Status, c.Reason, f.Established.Value, f.Resumed.Value, c.Requested.Value)
				}
				if f.Failure != nil || f.Foreign != [2]*Foreign{} {
					t.Errorf("%s without bytes %d to %d: failure %v, foreign %v", name, from, to, f.Failure, f.Foreign)
				}
			}
		}
	}
}

// TestClientSeenFromTheMiddle: a client whose Certificate came before the
// capture did not send an empty one.
func TestClientSeenFromTheMiddle(t *testing.T) {
	x := newTalk()
	x.streams[client] = NewStream(Midstream)
	x.say(server, separate(flight12...))
	x.say(client, separate(answer12[0])[10:], separate(answer12[1:]...), changeCipherSpec, finishedRecord)
	x.say(server, changeCipherSpec, finishedRecord)
	f := x.combine(Ending{})
	if c := f.ClientCertificate; c.Status != StatusUnknown || !c.Requested.Is() || f.Established.Value != unknown {
		t.Errorf("client certificate %+v, established %+v", c, f.Established)
	}
}

func TestOtherVersions(t *testing.T) {
	for _, version := range []int{0x0200, 0x0305, 0x7e02} {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello13))
		x.say(server, handshake(TypeServerHello, serverHello(0x1302, ext(extSupportedVersions, u16(version)))), changeCipherSpec, finishedRecord)
		x.say(client, changeCipherSpec, finishedRecord)
		x.lines(server, 23, 142, 1027, 97, 69)
		f := x.end(RoleUnknown)
		c := f.ClientCertificate
		if c.Status != StatusUnknown || c.Requested.Value != unknown || f.Established.Value != unknown || f.Resumed.Value != unknown || f.Failure != nil {
			t.Errorf("version %#x: client certificate %+v, established %+v, resumed %+v", version, c, f.Established, f.Resumed)
		}
	}
	x := newTalk() // a draft, as the last servers spoke it
	x.say(client, handshake(TypeClientHello, hello13))
	x.say(server, handshake(TypeServerHello, serverHello(0x1302, ext(extSupportedVersions, 0x7f, 28))))
	x.lines(server, 23, 142, 1027, 97, 69)
	x.lines(client, 1027, 96, 69)
	if f := x.end(RoleUnknown); f.Version.String() != "1.3-draft28" || f.ClientCertificate.Status != Presented {
		t.Errorf("%s: client certificate %+v", f.Version, f.ClientCertificate)
	}
}

func TestBegun(t *testing.T) {
	x := newTalk()
	x.say(server, record(TypeAlert, 2, 10))
	if f := x.end(RoleServer); f.Begun() || f.Alerts[0].Name != "unexpected_message" || f.Alerts[0].From != RoleServer || !f.Alerts[0].Fatal {
		t.Errorf("begun %t, alerts %+v", f.Begun(), f.Alerts)
	}
	x = newTalk()
	x.say(client, handshake(TypeClientHello, hello13))
	if f := x.end(RoleServer); !f.Begun() || f.Failure == nil || f.Failure.By != RoleServer {
		t.Errorf("begun %t, failure %+v", f.Begun(), f.Failure)
	}
	if f := Combine(nil, nil, Ending{}); f.Begun() || f.Failure != nil {
		t.Errorf("begun %t, failure %+v", f.Begun(), f.Failure)
	}
}

// TestRefusedInClear: alerts that cross before anything is encrypted.
func TestRefusedInClear(t *testing.T) {
	for _, side := range []int{client, server} {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello13))
		if side == client {
			x.say(server, handshake(TypeServerHello, helloServer))
			x.lines(server, 23, 1027, 97, 69)
		}
		x.say(side, record(TypeAlert, 2, 48))
		role := Role(side + 1)
		f := x.end(role)
		if f.Failure == nil || f.Failure.By != role || f.Failure.Alert.Name != "unknown_ca" || f.Failure.Basis != fact.Observed {
			t.Errorf("side %d: failure %+v", side, f.Failure)
		}
		if f := x.combine(Ending{ClosedBy: role}); f.Failure != nil {
			t.Errorf("side %d: failure %+v of a connection that is not whole", side, f.Failure)
		}
	}
}
