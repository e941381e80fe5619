package tls

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/decode/fact"
	"distproof/decode/tcp"
)

// flight12 is a server's first flight before TLS 1.3, that asks for a certificate.
var flight12 = [][]byte{
	message(TypeServerHello, helloServer2),
	message(TypeCertificate, v24(v24(certificateOf("server")), v24(certificateOf("issuer")))),
	message(TypeServerKeyExchange, 3, u16(29), v8(zeros(32)), u16(0x0403), v16(zeros(70))),
	message(TypeCertificateRequest, v8(64), v16(u16(0x0403)), v16()),
	message(TypeServerHelloDone),
}

// answer12 is the client's.
var answer12 = [][]byte{
	message(TypeCertificate, v24(v24(certificateOf("client")))),
	message(TypeClientKeyExchange, v8(zeros(32))),
	message(TypeCertificateVerify, u16(0x0403), v16(zeros(70))),
}

var finishedRecord = record(TypeHandshake, zeros(40))

// records puts messages into records of at most n bytes each.
func records(n int, messages ...[]byte) []byte {
	var out []byte
	for b := bytes.Join(messages, nil); len(b) > 0; b = b[min(n, len(b)):] {
		out = append(out, record(TypeHandshake, b[:min(n, len(b))])...)
	}
	return out
}

// separate puts every message into a record of its own.
func separate(messages ...[]byte) []byte {
	var out []byte
	for _, m := range messages {
		out = append(out, record(TypeHandshake, m)...)
	}
	return out
}

// mutual12 is a connection before TLS 1.3 with both certificates.
func mutual12(t *talk, pack func(...[]byte) []byte) {
	t.say(client, pack(message(TypeClientHello, hello12)))
	t.say(server, pack(flight12...))
	t.say(client, pack(answer12...), changeCipherSpec, finishedRecord)
	t.say(server, changeCipherSpec, finishedRecord)
	t.lines(client, 54)
	t.lines(server, 31, 58)
	t.lines(client, 49)
	t.lines(server, 45)
}

// TestMessagesAndRecords: how messages are put into records, and those into
// segments, does not matter.
func TestMessagesAndRecords(t *testing.T) {
	for name, pack := range map[string]func(...[]byte) []byte{
		"a record each":        separate,
		"all in one":           func(m ...[]byte) []byte { return records(1<<14, m...) },
		"records of 100 bytes": func(m ...[]byte) []byte { return records(100, m...) },
		"records of 5 bytes":   func(m ...[]byte) []byte { return records(5, m...) },
		"records of one byte":  func(m ...[]byte) []byte { return records(1, m...) },
		"empty records too": func(m ...[]byte) []byte {
			return cat(record(TypeHandshake), bytes.ReplaceAll(records(200, m...), []byte{22, 3, 3, 0, 200}, cat(record(TypeHandshake), []byte{22, 3, 3, 0, 200})))
		},
	} {
		for _, pieces := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s, pieces of %d", name, pieces), func(t *testing.T) {
				x := newTalk()
				x.pieces = pieces
				mutual12(x, pack)
				f := x.end(RoleUnknown)
				c := f.ClientCertificate
				if f.Client == nil || f.Client.ServerName != "n2.lab" || f.Version != TLS12 || f.Suite != 0xc02c || f.Group != 29 {
					t.Fatalf("client %+v, %s, %s, group %d", f.Client, f.Version, f.Suite, f.Group)
				}
				if c.Status != Presented || c.Possession != fact.Observed || len(c.Chain) != 1 || !bytes.Equal(c.Chain[0], certificateOf("client")) || !c.Requested.Is() {
					t.Errorf("client certificate %+v", c)
				}
				if s := f.ServerCertificate; s.Possession != fact.Observed || len(s.Chain) != 2 || !bytes.Equal(s.Chain[1], certificateOf("issuer")) {
					t.Errorf("server certificate %+v", s)
				}
				if name != "records of one byte" && name != "records of 5 bytes" { // there the log is full before the Finished
					if !f.Established.Is() || !f.Distribution || f.Failure != nil {
						t.Errorf("established %+v, distribution %t, failure %v", f.Established, f.Distribution, f.Failure)
					}
				}
				if f.Foreign != [2]*Foreign{} || f.Unsynced != [2]bool{} {
					t.Errorf("foreign %v, unsynced %v", f.Foreign, f.Unsynced)
				}
			})
		}
	}
}

// log describes the records of a stream: type, length, and s if sealed.
func log(s *Stream) string {
	var out []string
	for _, r := range s.records() {
		text := fmt.Sprintf("%d:%d", r.Type, r.Length)
		if r.Sealed {
			text += "s"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// TestGaps loses a part of a server's stream before TLS 1.3:
//
//	22:81 (86 bytes with its header), 20:1, 22:40, 23:100, 23:200, 23:300
func TestGaps(t *testing.T) {
	hello := message(TypeServerHello, serverHello(0xc02c, ext(0xff01, zeros(33))))
	body := cat(handshake(TypeServerHello, hello[4:]), changeCipherSpec, finishedRecord, sealed(100), sealed(200), sealed(300))
	const (
		first = 0
		ccs   = 5 + 81
		fin   = ccs + 6
		app   = fin + 45
		app2  = app + 105
		app3  = app2 + 205
		end   = app3 + 305
	)
	if len(hello) != 81 || len(body) != end {
		t.Fatalf("hello of %d bytes, stream of %d", len(hello), len(body))
	}
	whole := "22:81 20:1 22:40s 23:100s 23:200s 23:300s"
	for name, r := range map[string]struct {
		from, to int
		log      string
		trusted  int
		damage   bool
		unsynced bool
	}{
		"nothing":                             {0, 0, whole, 6, false, false},
		"the first header":                    {0, 5, "20:1 22:40s 23:100s 23:200s 23:300s", 0, true, false},
		"in the hello":                        {first + 9, first + 40, whole, 6, true, false},
		"a byte of the hello":                 {first + 5, first + 6, whole, 6, true, false},
		"the hello's body":                    {first + 5, ccs, whole, 6, true, false},
		"the end of the hello":                {first + 60, ccs, whole, 6, true, false},
		"the hello's end and a header's part": {first + 60, ccs + 2, "22:81 22:40s 23:100s 23:200s 23:300s", 1, true, false},
		"a record between":                    {ccs, fin, "22:81 22:40s 23:100s 23:200s 23:300s", 1, true, false},
		"in a sealed record":                  {app + 5, app + 50, whole, 6, false, false},
		"the last byte of a sealed record":    {app2 - 1, app2, whole, 6, false, false},
		"the body of a sealed record":         {app + 5, app2, whole, 6, false, false},
		"a sealed record":                     {app, app2, "22:81 20:1 22:40s 23:200s 23:300s", 3, false, false},
		"a header":                            {app, app + 5, "22:81 20:1 22:40s 23:200s 23:300s", 3, false, false},
		"a header's end":                      {app + 2, app + 5, "22:81 20:1 22:40s 23:200s 23:300s", 3, false, false},
		"a header's beginning":                {app, app + 3, "22:81 20:1 22:40s 23:200s 23:300s", 3, false, false},
		"more than a record":                  {app + 50, app2 + 100, "22:81 20:1 22:40s 23:100s 23:300s", 4, false, false},
		"from a record into the last":         {app + 50, app3 + 100, "22:81 20:1 22:40s 23:100s", 4, false, true},
		"the rest":                            {app + 50, end, "22:81 20:1 22:40s 23:100s", 4, false, false},
		"all but the last byte":               {app, end - 1, "22:81 20:1 22:40s", 3, false, true},
	} {
		for _, pieces := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, pieces of %d", name, pieces), func(t *testing.T) {
				x := newTalk()
				x.pieces = pieces
				x.say(server, body[:r.from])
				if r.to > r.from {
					x.lose(server, body[r.from:r.to])
				}
				x.say(server, body[r.to:])
				s := x.streams[server]
				s.End()
				if got := log(s); got != r.log {
					t.Errorf("records %s, want %s", got, r.log)
				}
				if len(s.trusted()) != r.trusted {
					t.Errorf("%d records trusted, want %d", len(s.trusted()), r.trusted)
				}
				if (s.damage != "") != r.damage {
					t.Errorf("damage %q", s.damage)
				}
				if s.unsynced() != r.unsynced {
					t.Errorf("unsynced %t", s.unsynced())
				}
				if s.Status() != Synced || s.Foreign() != nil {
					t.Errorf("status %d, foreign %v", s.Status(), s.Foreign())
				}
				for _, r := range s.records() {
					if want := body[r.Offset:]; want[0] != byte(r.Type) || int(want[3])<<8|int(want[4]) != r.Length {
						t.Errorf("record %+v is not at its offset", r)
					}
				}
			})
		}
	}
}

// TestFalseResynchronisation: what looks like a header within a record is not
// followed for long, and leaves no record behind.
func TestFalseResynchronisation(t *testing.T) {
	fake := cat([]byte{23, 3, 3, 0, 20}, bytes.Repeat([]byte{0xee}, 60)) // a header, and no other 20 bytes on
	for _, pieces := range []int{0, 1, 2} {
		x := newTalk()
		x.pieces = pieces
		x.say(server, handshake(TypeServerHello, helloServer), changeCipherSpec)
		x.lose(server, zeros(100))
		x.say(server, zeros(50), fake, zeros(30), fake, sealed(111), sealed(222), sealed(333))
		s := x.streams[server]
		s.End()
		if got := log(s); got != "22:90 20:1 23:111s 23:222s 23:333s" {
			t.Errorf("pieces of %d: records %s", pieces, got)
		}
		if s.Foreign() != nil || s.unsynced() || s.Status() != Synced {
			t.Errorf("pieces of %d: foreign %v, unsynced %t", pieces, s.Foreign(), s.unsynced())
		}
		if n := s.records()[2].Offset; n != 95+6+100+50+65+30+65 {
			t.Errorf("pieces of %d: found at offset %d", pieces, n)
		}
	}
}

// TestRecordEndsElsewhereAfterGap: if no header follows where a record with a
// gap ends, the gap was not what it seemed, and nothing is called foreign.
func TestRecordEndsElsewhereAfterGap(t *testing.T) {
	x := newTalk()
	x.say(server, handshake(TypeServerHello, helloServer), changeCipherSpec, sealed(100)[:50])
	x.lose(server, zeros(20))
	x.say(server, zeros(200), sealed(111), sealed(222), sealed(333))
	s := x.streams[server]
	s.End()
	if s.Foreign() != nil || s.unsynced() {
		t.Errorf("foreign %v, unsynced %t", s.Foreign(), s.unsynced())
	}
	if got := log(s); got != "22:90 20:1 23:100s 23:111s 23:222s 23:333s" {
		t.Errorf("records %s", got)
	}
}

func TestForeignBytes(t *testing.T) {
	head := cat(handshake(TypeServerHello, helloServer), changeCipherSpec, sealed(23))
	tick := zeros(4)
	for name, r := range map[string]struct {
		foreign []byte
		want    bool
	}{
		"a tick":                     {tick, true},
		"one byte":                   {tick[:1], true},
		"text":                       {[]byte("GET / HTTP/1.1\r\n"), true},
		"a record's type, no more":   {[]byte{23}, false}, // its rest may be to come
		"type and half a version":    {[]byte{23, 3}, false},
		"a wrong major version":      {[]byte{23, 0}, true},
		"a wrong minor version":      {[]byte{23, 3, 5}, true},
		"a header, not complete":     {[]byte{23, 3, 3, 0xff}, false},
		"too long a record":          {[]byte{23, 3, 3, 0x48, 1}, true},
		"the longest record":         {cat(23, 3, 3, u16(maxRecord), zeros(10)), false},
		"type before ChangeCipher":   {[]byte{19, 3, 3, 0, 1, 0}, true},
		"type behind heartbeat":      {[]byte{25, 3, 3, 0, 1, 0}, true},
		"records behind the foreign": {cat(tick, sealed(20), sealed(30)), true},
	} {
		for _, pieces := range []int{0, 1, 2} {
			x := newTalk()
			x.pieces = pieces
			x.say(server, head)
			x.say(server, r.foreign)
			s := x.streams[server]
			s.End()
			want := &Foreign{Offset: int64(len(head)), Frame: capture.Frame{Number: 2}, Bytes: uint64(len(r.foreign))}
			if !r.want {
				want = nil
			}
			if got := s.Foreign(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, pieces of %d: %+v, want %+v", name, pieces, got, want)
			}
			if len(s.records()) != 3 || s.Status() != Synced {
				t.Errorf("%s, pieces of %d: records %s, status %d", name, pieces, log(s), s.Status())
			}
			x.lose(server, tick)
			if got := s.Foreign(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, pieces of %d: after a gap %+v", name, pieces, got)
			}
		}
	}
}

func TestPreamble(t *testing.T) {
	for name, before := range map[string][]byte{
		"STARTTLS":    []byte("220 ready\r\n"),
		"PROXY":       []byte("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
		"a false one": cat([]byte{22, 3, 1, 0, 4, 1}, "no hello"),
	} {
		for _, pieces := range []int{0, 1} {
			x := newTalk()
			x.pieces = pieces
			x.streams[client] = NewStream(Preamble)
			x.say(client, before)
			x.say(client, handshake(TypeClientHello, hello13))
			s := x.streams[client]
			s.End()
			f := Combine(s, nil, Ending{})
			if s.Status() != Synced || f.Preamble != [2]int64{int64(len(before)), 0} || s.Role() != RoleClient || f.Client == nil || len(s.trusted()) != 1 {
				t.Errorf("%s, pieces of %d: status %d, preamble %d, role %d, records %s", name, pieces, s.Status(), f.Preamble, s.Role(), log(s))
			}
		}
	}
	x := newTalk()
	x.streams[client] = NewStream(Preamble)
	x.say(client, sealed(30), sealed(40), sealed(50)) // no hello: it is not shown to be TLS
	s := x.streams[client]
	s.End()
	if s.Status() == Synced {
		t.Error("synced without a hello")
	}
}

func TestMidstream(t *testing.T) {
	for _, pieces := range []int{0, 1} {
		x := newTalk()
		x.pieces = pieces
		x.streams[server] = NewStream(Midstream)
		x.say(server, zeros(70), sealed(30), sealed(40))
		s := x.streams[server]
		if s.Status() != Searching {
			t.Errorf("status %d after two records", s.Status())
		}
		x.say(server, sealed(50))
		if s.Status() != Synced || s.Role() != RoleUnknown || log(s) != "23:30s 23:40s 23:50s" || s.sealed.Application != 3 {
			t.Errorf("status %d, role %d, records %s, %d sealed", s.Status(), s.Role(), log(s), s.sealed.Application)
		}
		// What was found is not trusted, nor is it once more is missing.
		x.lose(server, zeros(10))
		x.say(server, sealed(60), sealed(70), sealed(80))
		s.End()
		if n := len(s.trusted()); n != 0 {
			t.Errorf("%d records trusted", n)
		}
	}
}

func TestEndBelievesWhatEndsWell(t *testing.T) {
	for name, r := range map[string]struct {
		start Start
		body  []byte
		want  Status
	}{
		"one record, whole":        {AtStart, record(TypeAlert, 2, 70), Synced},
		"one record, cut":          {AtStart, sealed(30)[:20], NotTLS},
		"two headers":              {AtStart, cat(sealed(30), sealed(30)[:20]), Synced},
		"a record and no header":   {AtStart, cat(sealed(30), "text"), NotTLS},
		"found, whole":             {Midstream, cat(zeros(9), sealed(30)), Synced},
		"found, cut":               {Midstream, cat(zeros(9), sealed(30)[:20]), NotTLS},
		"found, half a header":     {Midstream, cat(zeros(9), sealed(30), sealed(30)[:3]), NotTLS},
		"found, two headers":       {Midstream, cat(zeros(9), sealed(30), sealed(30)[:20]), Synced},
		"nothing":                  {Midstream, zeros(100), Searching},
		"nothing at all":           {AtStart, nil, NotTLS},
		"searched to the bound":    {Midstream, cat(zeros(maxSearch), sealed(30), sealed(30), sealed(30)), NotTLS},
		"just within the bound":    {Midstream, cat(zeros(maxSearch-6), sealed(30), sealed(30), sealed(30)), Synced},
		"the smallest that counts": {Midstream, cat(zeros(9), sealed(9), sealed(9), sealed(9)), Synced},
	} {
		s := NewStream(r.start)
		s.Data(tcp.Position{}, r.body)
		s.End()
		if s.Status() != r.want {
			t.Errorf("%s: status %d, want %d", name, s.Status(), r.want)
		}
		if r.want != Synced && len(s.trusted()) > 0 && r.start != AtStart {
			t.Errorf("%s: %d records trusted", name, len(s.trusted()))
		}
	}
}

func TestAlerts(t *testing.T) {
	warning, fatal := record(TypeAlert, 1, 0), record(TypeAlert, 2, 48)
	sealedAlert := record(TypeAlert, zeros(26))
	for name, r := range map[string]struct {
		body []byte
		want string
		log  string
	}{
		"fatal":   {fatal, "unknown_ca!", "21:2"},
		"warning": {warning, "close_notify", "21:2"},
		"two":     {cat(warning, fatal), "close_notify unknown_ca!", "21:2 21:2"},
		"sealed":  {cat(changeCipherSpec, finishedRecord, sealedAlert), "", "20:1 22:40s 21:26s"},
		"within a message": {cat(record(TypeHandshake, 2, 0, 0), fatal, record(TypeHandshake, 9)), "unknown_ca!",
			"22:3 21:2 22:1"},
	} {
		for _, pieces := range []int{0, 1} {
			x := newTalk()
			x.pieces = pieces
			x.say(server, handshake(TypeServerHello, helloServer2))
			x.say(server, r.body)
			s := x.streams[server]
			var got []string
			for _, a := range s.alerts {
				text := a.Name()
				if a.Fatal {
					text += "!"
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != r.want {
				t.Errorf("%s, pieces of %d: alerts %s, want %s", name, pieces, text, r.want)
			}
			if text := strings.TrimPrefix(strings.TrimPrefix(log(s), "22:44"), " "); text != r.log {
				t.Errorf("%s, pieces of %d: records %s, want %s", name, pieces, text, r.log)
			}
		}
	}
}

// TestSealedAlertIsNoMessage: an encrypted alert does not get into the message
// behind it.
func TestSealedAlertIsNoMessage(t *testing.T) {
	x := newTalk()
	x.say(server, record(TypeAlert, zeros(26)), handshake(TypeServerHello, helloServer2))
	if s := x.streams[server]; s.server == nil || len(s.alerts) > 0 {
		t.Errorf("hello %v, alerts %v", s.server, s.alerts)
	}
}

// TestGapInAlert: what is left of an alert is not read, and does not get into
// the message behind it.
func TestGapInAlert(t *testing.T) {
	x := newTalk()
	x.say(server, record(TypeAlert, 1)[:0], []byte{21, 3, 3, 0, 2})
	x.lose(server, []byte{1})
	x.say(server, []byte{48}, handshake(TypeServerHello, helloServer2))
	s := x.streams[server]
	s.End()
	if len(s.alerts) != 0 || s.server == nil || s.Status() != Synced {
		t.Errorf("alerts %v, hello %v, status %d", s.alerts, s.server, s.Status())
	}
}

// TestHelloRetry: TLS 1.3's compatibility mode puts a ChangeCipherSpec before
// the second hello.
func TestHelloRetry(t *testing.T) {
	second := clientHello(offers13, ext(extServerName, v16(0, v16("second"))))
	for name, ccs := range map[string][]byte{"with ChangeCipherSpec": changeCipherSpec, "without": nil} {
		for _, pieces := range []int{0, 1} {
			x := newTalk()
			x.pieces = pieces
			x.say(client, handshake(TypeClientHello, hello13))
			x.say(server, handshake(TypeServerHello, helloRetry), ccs)
			if f := Combine(x.streams[client], x.streams[server], Ending{}); f.Server != nil || !f.Retried || f.Version != 0 {
				t.Errorf("%s: before the second hello: server %v, retried %t", name, f.Server, f.Retried)
			}
			x.say(client, ccs, handshake(TypeClientHello, second))
			x.say(server, handshake(TypeServerHello, helloServer))
			x.lines(server, 23, 470, 96, 69)
			x.lines(client, 69)
			x.lines(server, 24)
			f := x.end(RoleUnknown)
			if !f.Retried || f.Client.ServerName != "second" || f.Server == nil || f.Server.Retry || f.Version != TLS13 {
				t.Errorf("%s, pieces of %d: retried %t, client %+v, server %+v", name, pieces, f.Retried, f.Client, f.Server)
			}
			if f.ClientCertificate.Status != NotRequested || !f.Established.Is() {
				t.Errorf("%s, pieces of %d: client certificate %+v, established %+v", name, pieces, f.ClientCertificate, f.Established)
			}
		}
	}
}

// TestHelloRetryAfterEarlyData: the early data of the first hello is among the
// client's records, though the second hello does not offer it.
func TestHelloRetryAfterEarlyData(t *testing.T) {
	x := newTalk()
	x.say(client, handshake(TypeClientHello, clientHello(offers13, ext(extEarlyData), ext(extPreSharedKey, zeros(40)))), changeCipherSpec, sealed(69))
	x.say(server, handshake(TypeServerHello, helloRetry), changeCipherSpec)
	x.say(client, handshake(TypeClientHello, hello13))
	x.say(server, handshake(TypeServerHello, helloServer))
	x.lines(server, 23, 470, 96, 69)
	x.lines(client, 25, 69)
	x.lines(server, 24)
	if f := x.end(RoleUnknown); f.ClientCertificate.Status != StatusUnknown || f.Established.Value != fact.Unknown ||
		!strings.Contains(f.ClientCertificate.Reason, "early data") {
		t.Errorf("client certificate %+v, established %+v", f.ClientCertificate, f.Established)
	}
}

// TestHellosBehindChangeCipherSpec: a second hello is read if it is whole, and
// the stream was followed up to it.
func TestHellosBehindChangeCipherSpec(t *testing.T) {
	second := message(TypeClientHello, clientHello(ext(extServerName, v16(0, v16("second")))))
	for name, r := range map[string]struct {
		lost, behind []byte
		after        []byte
		want         string
		retried      bool
	}{
		"whole":                    {nil, nil, record(TypeHandshake, second), "second", true},
		"among others":             {nil, nil, record(TypeHandshake, second, zeros(9)), "n2.lab", false},
		"in two records":           {nil, nil, records(60, second), "n2.lab", false},
		"behind a gap":             {sealed(60), nil, cat(record(TypeHandshake, second), sealed(30), sealed(40)), "n2.lab", false},
		"behind a gap in a record": {zeros(100), u16(100 + len(second)), second, "n2.lab", false},
	} {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello13), changeCipherSpec)
		if r.behind != nil {
			x.say(client, 22, 3, 3, r.behind)
		}
		if r.lost != nil {
			x.lose(client, r.lost)
		}
		x.say(client, r.after)
		f := Combine(x.streams[client], nil, Ending{})
		if f.Client.ServerName != r.want || f.Retried != r.retried {
			t.Errorf("%s: name %s, retried %t", name, f.Client.ServerName, f.Retried)
		}
	}
}

func TestOversize(t *testing.T) {
	t.Run("message", func(t *testing.T) {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello12))
		x.say(server, separate(flight12[0]), record(TypeHandshake, byte2(TypeCertificate), u24(maxMessage+1), zeros(1000)))
		for range 20 {
			x.say(server, record(TypeHandshake, zeros(16000)))
		}
		x.say(server, separate(flight12[2:]...))
		s := x.streams[server]
		f := x.end(RoleUnknown)
		if !strings.Contains(f.ClientCertificate.Reason, "longer than the limit") || f.Established.Value != fact.Unknown || len(s.message) > 0 {
			t.Errorf("client certificate %+v, established %+v, %d bytes held", f.ClientCertificate, f.Established, len(s.message))
		}
	})
	t.Run("largest message", func(t *testing.T) {
		x := newTalk()
		x.say(server, records(1<<14, flight12[0], message(TypeCertificate, v24(v24(zeros(maxMessage-6)))), flight12[4]))
		s := x.streams[server]
		if chain := s.chain.certificates; len(chain) != 1 || len(chain[0]) != maxMessage-6 || s.damage != "" {
			t.Errorf("%d certificates, damage %q", len(chain), s.damage)
		}
	})
	t.Run("record", func(t *testing.T) {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello13), sealed(maxRecord), cat(23, 3, 3, u16(maxRecord+1), zeros(maxRecord+1)))
		s := x.streams[client]
		if s.sealed.Application != 1 || s.Foreign() == nil {
			t.Errorf("%d records, foreign %v", s.sealed.Application, s.Foreign())
		}
	})
	t.Run("records of length 0", func(t *testing.T) {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello13), sealed(0), record(TypeAlert), record(TypeHandshake), record(TypeHeartbeat), sealed(9))
		if got := log(x.streams[client]); got != fmt.Sprintf("22:%d 23:0s 21:0s 22:0 24:0 23:9s", 4+len(hello13)) {
			t.Errorf("records %s", got)
		}
	})
	t.Run("heartbeat", func(t *testing.T) {
		x := newTalk()
		x.say(client, handshake(TypeClientHello, hello13), record(TypeHeartbeat, 1, 0, 3, "abc", zeros(16)), sealed(9))
		if s := x.streams[client]; s.Foreign() != nil || len(s.records()) != 3 {
			t.Errorf("records %s, foreign %v", log(s), s.Foreign())
		}
	})
}

func byte2(k HandshakeType) []byte { return []byte{byte(k)} }

// TestBounds: a peer cannot make a stream hold much.
func TestBounds(t *testing.T) {
	x := newTalk()
	x.say(server, separate(flight12[0]))
	for i := range 2000 {
		x.say(server,
			handshake(TypeNewSessionTicket, zeros(4), v16(fmt.Sprint("ticket ", i))),
			handshake(HandshakeType(i%256), zeros(3)),
			record(TypeAlert, 1, 0),
			record(TypeHandshake, 11, u24(1<<17), zeros(16)), // never complete
			record(TypeHandshake, zeros(1<<14)))
	}
	s := x.streams[server]
	if len(s.records()) != MaxRecords || len(s.alerts) != maxAlerts || len(s.tickets) > 4 || len(s.messages) > 256 {
		t.Errorf("%d records, %d alerts, %d tickets, %d messages", len(s.records()), len(s.alerts), len(s.tickets), len(s.messages))
	}
	if n := cap(s.message); n > 2*maxMessage {
		t.Errorf("a buffer of %d bytes", n)
	}
	x = newTalk()
	x.say(client, handshake(TypeClientHello, hello12), changeCipherSpec)
	for range 100 {
		x.say(client, record(TypeHandshake, zeros(maxRecord)))
	}
	if n := cap(x.streams[client].message); n > 2*maxRecord {
		t.Errorf("a buffer of %d bytes for encrypted records", n)
	}
}

func TestRaw(t *testing.T) {
	for name, r := range map[string]struct {
		b               string
		match, possible bool
	}{
		"nothing":                   {"", false, true},
		"a handshake's type":        {"\x16", false, true},
		"type and version":          {"\x16\x03\x01\x00\x40", false, true},
		"an alert's type":           {"\x15\x03", false, true},
		"ClientHello":               {"\x16\x03\x01\x00\x40\x01", true, false},
		"ServerHello":               {"\x16\x03\x03\x00\x40\x02", true, false},
		"another message":           {"\x16\x03\x03\x00\x40\x0b", false, false},
		"version 3.5":               {"\x16\x03\x05\x00\x40\x01", false, false},
		"too short a hello":         {"\x16\x03\x01\x00\x03\x01", false, false},
		"too long a record":         {"\x16\x03\x01\x48\x01\x01", false, false},
		"fatal alert":               {"\x15\x03\x03\x00\x02\x02", true, false},
		"warning":                   {"\x15\x03\x03\x00\x02\x01", true, false},
		"no level":                  {"\x15\x03\x03\x00\x02\x03", false, false},
		"an alert of three bytes":   {"\x15\x03\x03\x00\x03\x02", false, false},
		"application data":          {"\x17\x03\x03\x00\x40\x01", false, false},
		"a distribution handshake":  {"\x00\x1eN", false, false},
		"a handshake's type, alone": {"\x16\x02", false, false},
	} {
		if match, possible := Raw([]byte(r.b)); match != r.match || possible != r.possible {
			t.Errorf("%s: match %t, possible %t", name, match, possible)
		}
	}
}

// TestNothingIsReadBehindDamage: what follows a message that cannot be read is
// not read either, in the same segment or the next.
func TestNothingIsReadBehindDamage(t *testing.T) {
	bad := message(TypeCertificate, u24(9), "short")
	for name, behind := range map[string][]byte{
		"a request":         flight12[3],
		"an oversize one":   cat([]byte{byte(TypeCertificate)}, u24(maxMessage+1), zeros(100)),
		"another damaged":   message(TypeCertificate, u24(1)),
		"a whole one":       flight12[1],
		"the hello's twin":  message(TypeServerHello, helloServer),
		"a ClientHello too": message(TypeClientHello, hello13),
	} {
		for _, pieces := range []int{0, 1} {
			x := newTalk()
			x.pieces = pieces
			x.say(server, record(TypeHandshake, flight12[0], bad, behind))
			s := x.streams[server]
			if want := "certificate_list: 9 bytes needed, 5 left at offset 3"; s.damage != want {
				t.Errorf("%s, pieces of %d: damage %q", name, pieces, s.damage)
			}
			requested := s.messages.has(TypeCertificateRequest)
			if requested || len(s.chain.certificates) > 0 || s.hello != nil || s.server.Version != TLS12 || s.role != RoleServer {
				t.Errorf("%s, pieces of %d: read on", name, pieces)
			}
		}
	}
}
