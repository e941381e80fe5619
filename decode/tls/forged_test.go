package tls

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	gotls "crypto/tls"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"distproof/decode/fact"
	"distproof/decode/secrets"
)

// A forger plays both sides of a TLS 1.3 connection with secrets of its own
// choice, so that they can say what no implementation does.
type forger struct {
	t          testing.TB
	r          conversation
	transcript []byte
	chain      gotls.Certificate
}

// The secrets of a forger, by side.
var forgedSecrets = [2]struct{ handshake, traffic []byte }{
	{[]byte(strings.Repeat("c", 48)), []byte(strings.Repeat("C", 48))},
	{[]byte(strings.Repeat("s", 48)), []byte(strings.Repeat("S", 48))},
}

func forgedLog() string {
	return fmt.Sprintf("CLIENT_HANDSHAKE_TRAFFIC_SECRET %[1]x %[2]x\nSERVER_HANDSHAKE_TRAFFIC_SECRET %[1]x %[3]x\nCLIENT_TRAFFIC_SECRET_0 %[1]x %[4]x\nSERVER_TRAFFIC_SECRET_0 %[1]x %[5]x\n",
		random, forgedSecrets[client].handshake, forgedSecrets[server].handshake, forgedSecrets[client].traffic, forgedSecrets[server].traffic)
}

func newForger(t testing.TB, chain gotls.Certificate, serverHello []byte) *forger {
	g := &forger{t: t, chain: chain}
	for side, m := range [2][]byte{message(TypeClientHello, hello13), message(TypeServerHello, serverHello)} {
		g.transcript = append(g.transcript, m...)
		g.say(side, record(TypeHandshake, m))
	}
	return g
}

// say has a side send bytes, after it received all that there is.
func (g *forger) say(side int, b []byte) {
	r := &g.r
	c := chunk{side: side, data: b}
	c.at.Offset, c.at.Acked = r.sent[side], r.sent[1-side]
	r.chunks = append(r.chunks, c)
	r.sent[side] += int64(len(b))
}

// expand is HKDF-Expand-Label (RFC 8446, Section 7.1) with SHA-384.
func (g *forger) expand(secret []byte, label string, n int) []byte {
	info := cat(u16(n), v8("tls13 ", label), v8())
	out, err := hkdf.Expand(sha512.New384, secret, string(info), n)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// seal returns a record of TLS_AES_256_GCM_SHA384.
func (g *forger) seal(secret []byte, seq uint64, kind ContentType, content []byte) []byte {
	block, err := aes.NewCipher(g.expand(secret, "key", 32))
	if err != nil {
		g.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		g.t.Fatal(err)
	}
	nonce := g.expand(secret, "iv", 12)
	low := nonce[4:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^seq)
	header := cat([]byte{byte(TypeApplicationData), 3, 3}, u16(len(content)+1+16))
	return cat(header, aead.Seal(nil, nonce, cat(content, []byte{byte(kind)}), header))
}

// The messages that a forged flight is made of.
const (
	encryptedExtensions = "EncryptedExtensions"
	certificateRequest  = "CertificateRequest"
	certificate         = "Certificate"
	noCertificate       = "empty Certificate"
	compressed          = "CompressedCertificate"
	certificateVerify   = "CertificateVerify"
	wrongVerify         = "wrong CertificateVerify"
	finished            = "Finished"
	wrongFinished       = "wrong Finished"
	joined              = "+" // the next message is in the same record
	strayAlert          = "alert"
)

// flight sends messages, each in a record of its own unless joined.
func (g *forger) flight(side int, messages ...string) {
	var out, content []byte
	seq := uint64(0)
	for i, name := range messages {
		if name == joined {
			continue
		}
		kind := TypeHandshake
		if name == strayAlert {
			kind, content = TypeAlert, []byte{2, 48}
		} else {
			m := g.message(side, name)
			g.transcript = append(g.transcript, m...)
			content = append(content, m...)
		}
		if i+1 < len(messages) && messages[i+1] == joined {
			continue
		}
		out = append(out, g.seal(forgedSecrets[side].handshake, seq, kind, content)...)
		content, seq = nil, seq+1
	}
	g.say(side, out)
}

func (g *forger) message(side int, name string) []byte {
	switch name {
	case encryptedExtensions:
		return message(TypeEncryptedExtensions, v16())
	case certificateRequest:
		return message(TypeCertificateRequest, v8(), v16(ext(extSignatureAlgorithms, v16(u16s(0x0403)))))
	case certificate:
		return message(TypeCertificate, v8(), v24(v24(g.chain.Certificate[0]), v16()))
	case noCertificate:
		return message(TypeCertificate, v8(), v24())
	case compressed: // RFC 8879
		return message(25, u16(1), u24(400), v24(zeros(300)))
	case certificateVerify, wrongVerify:
		return message(TypeCertificateVerify, u16(0x0403), v16(g.sign(side, name == wrongVerify)))
	case finished, wrongFinished:
		digest := sha512.Sum384(g.transcript)
		mac := hmac.New(sha512.New384, g.expand(forgedSecrets[side].handshake, "finished", 48))
		mac.Write(digest[:])
		sum := mac.Sum(nil)
		if name == wrongFinished {
			sum[0] ^= 1
		}
		return message(TypeFinished, sum)
	}
	g.t.Fatal(name)
	return nil
}

func (g *forger) sign(side int, wrong bool) []byte {
	digest := sha512.Sum384(g.transcript)
	who := [2]string{"client", "server"}[side]
	content := cat(strings.Repeat(" ", 64), "TLS 1.3, "+who+" CertificateVerify", 0, digest[:])
	if wrong {
		content[0] ^= 1
	}
	hash := crypto.SHA256.New()
	hash.Write(content)
	signature, err := ecdsa.SignASN1(rand.Reader, g.chain.PrivateKey.(*ecdsa.PrivateKey), hash.Sum(nil))
	if err != nil {
		g.t.Fatal(err)
	}
	return signature
}

// traffic sends a record behind the handshake.
func (g *forger) traffic(side int, seq uint64, kind ContentType, content ...any) {
	g.say(side, g.seal(forgedSecrets[side].traffic, seq, kind, cat(content...)))
}

var (
	asking    = []string{encryptedExtensions, certificateRequest, certificate, certificateVerify, finished}
	answering = []string{certificate, certificateVerify, finished}
)

// TestForgedFlights: a flight in which messages are where they do not belong is
// none, though its Finished is right: nobody knows what the peer made of it.
func TestForgedFlights(t *testing.T) {
	chain, _ := certificateFor(t, "forger")
	for name, row := range map[string]struct {
		server, client []string
		keyLog         string
		status         CertificateStatus // if opened
		possession     fact.Basis
	}{
		"mutual":                  {asking, answering, opened, Presented, fact.Verified},
		"in one record":           {[]string{encryptedExtensions, joined, certificateRequest, joined, certificate, joined, certificateVerify, joined, finished}, []string{certificate, joined, certificateVerify, joined, finished}, opened, Presented, fact.Verified},
		"wrong signature":         {asking, []string{certificate, wrongVerify, finished}, opened, Presented, fact.None},
		"server's is wrong":       {[]string{encryptedExtensions, certificateRequest, certificate, wrongVerify, finished}, answering, opened, Presented, fact.Verified},
		"empty":                   {asking, []string{noCertificate, finished}, opened, Empty, fact.None},
		"wrong Finished":          {asking, []string{certificate, certificateVerify, wrongFinished}, "client's handshake: wrong Finished message", 0, 0},
		"server's Finished":       {[]string{encryptedExtensions, certificateRequest, certificate, certificateVerify, wrongFinished}, answering, "server's handshake: wrong Finished message", 0, 0},
		"behind the Finished":     {asking, []string{noCertificate, finished, joined, certificate, joined, certificateVerify}, "client's handshake: a message of type 11 where it does not belong", 0, 0},
		"two certificates":        {asking, []string{certificate, certificate, certificateVerify, finished}, "client's handshake: a message of type 11 where it does not belong", 0, 0},
		"no signature":            {asking, []string{certificate, finished}, "client's handshake: a message of type 20 where it does not belong", 0, 0},
		"signature of nothing":    {asking, []string{noCertificate, certificateVerify, finished}, "client's handshake: a message of type 15 where it does not belong", 0, 0},
		"signature first":         {asking, []string{certificateVerify, certificate, finished}, "client's handshake: a message of type 15 where it does not belong", 0, 0},
		"no answer":               {asking, []string{finished}, "client's handshake: it does not answer whether a certificate was asked for", 0, 0},
		"not asked":               {[]string{encryptedExtensions, certificate, certificateVerify, finished}, answering, "client's handshake: it does not answer whether a certificate was asked for", 0, 0},
		"compressed":              {[]string{encryptedExtensions, certificateRequest, compressed, certificateVerify, finished}, answering, "server's handshake: a message of type 25 where it does not belong", 0, 0},
		"client's compressed":     {asking, []string{compressed, certificateVerify, finished}, "client's handshake: a message of type 25 where it does not belong", 0, 0},
		"asked twice":             {[]string{encryptedExtensions, certificateRequest, certificateRequest, certificate, certificateVerify, finished}, answering, "server's handshake: a message of type 13 where it does not belong", 0, 0},
		"nothing but a Finished":  {[]string{finished}, []string{finished}, "server's handshake: a message of type 20 where it does not belong", 0, 0},
		"neither PSK nor key":     {[]string{encryptedExtensions, finished}, []string{finished}, "server's handshake: it has a certificate beside a pre-shared key, or neither", 0, 0},
		"server's empty":          {[]string{encryptedExtensions, certificateRequest, noCertificate, finished}, answering, "server's handshake: a message of type 20 where it does not belong", 0, 0},
		"an alert of the server":  {[]string{encryptedExtensions, certificateRequest, strayAlert}, nil, "server's handshake: an alert inside it", 0, 0},
		"an alert in the middle":  {asking, []string{certificate, strayAlert}, opened, StatusUnknown, fact.None},
		"asked behind the end":    {[]string{encryptedExtensions, certificate, certificateVerify, finished, joined, certificateRequest}, answering, "server's handshake: a message of type 13 where it does not belong", 0, 0},
		"data before the end":     {asking, []string{certificate, certificateVerify}, "client's handshake: " + secrets.ErrTag.Error(), 0, 0},
		"nothing from the client": {asking, nil, opened, StatusUnknown, fact.None},
	} {
		t.Run(name, func(t *testing.T) {
			g := newForger(t, chain, helloServer)
			g.flight(server, row.server...)
			if row.client != nil {
				g.flight(client, row.client...)
			}
			if name != "nothing from the client" {
				g.traffic(client, 0, TypeApplicationData, "ping")
				g.traffic(server, 0, TypeApplicationData, "pong")
			}
			f, _ := g.r.opened(t, forgedLog(), inOrder)
			if f.KeyLog != row.keyLog {
				t.Errorf("key log %q, want %q", f.KeyLog, row.keyLog)
			}
			if row.keyLog == opened {
				if c := f.ClientCertificate; c.Status != row.status || c.Possession != row.possession {
					t.Errorf("%s, possession %s, %s", c.Status, c.Possession, c.Reason)
				}
				if wrong := name == "server's is wrong"; f.ServerCertificate.Signature.Is() == wrong || (f.ServerCertificate.Possession == fact.Verified) == wrong {
					t.Errorf("server's possession %s", f.ServerCertificate.Possession)
				}
				return
			}
			g.r.unchanged(t, f)
		})
	}
}

// unchanged tests that f is what the conversation shows without a key log, but
// for what became of that.
func (r *conversation) unchanged(t *testing.T, f *Facts) {
	t.Helper()
	without, _ := r.opened(t, "", inOrder)
	got := *f
	got.KeyLog, got.Opened, got.Client, got.Server = "", [2]Opened{}, got.Client.intern(NewTables()), got.Server.intern(NewTables())
	if !reflect.DeepEqual(&got, without) {
		t.Errorf("with the key log (%s)\n%+v\nwithout\n%+v", f.KeyLog, got, *without)
	}
}

// TestFirstAnswers: what the server's first record after the client's Finished
// is shows only inside.
func TestFirstAnswers(t *testing.T) {
	chain, _ := certificateFor(t, "forger")
	for name, row := range map[string]struct {
		kind        ContentType
		content     []byte
		established fact.Value
		alert       string
	}{
		"data":                     {TypeApplicationData, []byte("pong"), fact.Yes, ""},
		"data of an alert's size":  {TypeApplicationData, []byte("ok"), fact.Yes, ""},
		"no data":                  {TypeApplicationData, nil, fact.Yes, ""},
		"a ticket":                 {TypeHandshake, message(TypeNewSessionTicket, zeros(8), v8(0), v16("ticket"), v16()), fact.Yes, ""},
		"refused":                  {TypeAlert, []byte{2, 116}, fact.No, "certificate_required"},
		"closed":                   {TypeAlert, []byte{1, 0}, fact.Unknown, "close_notify"},
		"two alerts in one record": {TypeAlert, []byte{2, 42, 2, 42}, fact.Unknown, ""},
		"an alert of nothing":      {TypeAlert, nil, fact.Unknown, ""},
		"what does not exist":      {99, []byte("ok"), fact.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newForger(t, chain, helloServer)
			g.flight(server, asking...)
			g.flight(client, answering...)
			g.traffic(server, 0, row.kind, row.content)
			f, _ := g.r.opened(t, forgedLog(), inOrder)
			name := ""
			if len(f.Alerts) > 0 {
				name = f.Alerts[0].Name
			}
			if f.KeyLog != opened || f.Established.Value != row.established || name != row.alert || len(f.Alerts) > 1 {
				t.Errorf("%s: established %+v, alerts %+v", f.KeyLog, f.Established, f.Alerts)
			}
			if row.alert == "" && len(f.Alerts) > 0 {
				t.Errorf("alerts %+v", f.Alerts)
			}
		})
	}
}

// TestStaticRSANeedsTheServersFinished: the client's own Finished does not show
// that the server could read the premaster secret.
func TestStaticRSANeedsTheServersFinished(t *testing.T) {
	r := readConversations(t, "tls12-rsa-aes128-gcm")[0]
	f, _ := r.opened(t, r.log.String(), inOrder)
	if f.ServerCertificate.Possession != fact.Verified {
		t.Fatalf("possession %s", f.ServerCertificate.Possession)
	}
	r.chunks = r.chunks[:3] // the hellos, the server's flight and the client's
	if r.chunks[2].side != client {
		t.Fatal("not the client's flight")
	}
	f, _ = r.opened(t, r.log.String(), inOrder)
	if f.KeyLog != opened || f.ServerCertificate.Possession != fact.None || f.Established.Is() {
		t.Errorf("%s: possession %s, established %+v", f.KeyLog, f.ServerCertificate.Possession, f.Established)
	}
}

// fragments sends messages cut into records of n bytes of content.
func (g *forger) fragments(side, n int, messages ...[]byte) {
	var all, out []byte
	for _, m := range messages {
		g.transcript = append(g.transcript, m...)
		all = append(all, m...)
	}
	for seq := uint64(0); len(all) > 0; seq++ {
		m := min(n, len(all))
		out = append(out, g.seal(forgedSecrets[side].handshake, seq, TypeHandshake, all[:m])...)
		all = all[m:]
	}
	g.say(side, out)
}

// TestBoundsOfFlights: what is longer than any handshake is not opened.
func TestBoundsOfFlights(t *testing.T) {
	chain, _ := certificateFor(t, "long")
	long := message(TypeCertificate, v8(), v24(v24(zeros(300<<10)), v16()))
	for name, row := range map[string]struct {
		size   int
		second []byte
		keyLog string
	}{
		"many records":    {3, nil, "more than 32 records of handshake"},
		"a long message":  {16 << 10, long, "server's handshake: longer than the limit of 256 KiB"},
		"not too many":    {70, nil, opened},
		"a single record": {16 << 10, nil, opened},
	} {
		t.Run(name, func(t *testing.T) {
			g := newForger(t, chain, helloServer)
			certificate := cmp.Or(string(row.second), string(g.message(server, certificate)))
			// The signature and the Finished cover what is before them, so they
			// are made once that is in the transcript.
			before := len(g.transcript)
			var messages [][]byte
			for _, m := range []string{encryptedExtensions, "", certificateVerify, finished} {
				raw := []byte(certificate)
				if m != "" {
					raw = g.message(server, m)
				}
				messages, g.transcript = append(messages, raw), append(g.transcript, raw...)
			}
			g.transcript = g.transcript[:before]
			g.fragments(server, row.size, messages...)
			g.flight(client, finished)
			g.traffic(client, 0, TypeApplicationData, "ping")
			g.traffic(server, 0, TypeApplicationData, "pong")
			f, _ := g.r.opened(t, forgedLog(), inOrder)
			if f.KeyLog != row.keyLog {
				t.Errorf("key log %q", f.KeyLog)
			}
			if row.keyLog != opened {
				g.r.unchanged(t, f)
			}
			// With the traffic secrets alone, the data is looked for behind what
			// may be a handshake.
			lines := strings.SplitAfter(forgedLog(), "\n")
			_, said := g.r.opened(t, strings.Join(lines[2:], ""), inOrder)
			if found := said[server] == "pong"; found == (name == "many records" || name == "a long message") || said[client] != "ping" {
				t.Errorf("said %q", said)
			}
		})
	}
}

// TestBoundsBehindTheHandshake: tickets are kept up to a bound, and key updates
// that cannot be read end the reading.
func TestBoundsBehindTheHandshake(t *testing.T) {
	chain, _ := certificateFor(t, "tickets")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	for i := range 20 {
		g.traffic(server, uint64(i), TypeHandshake, message(TypeNewSessionTicket, zeros(8), v8(0), v16("ticket", i), v16()))
	}
	g.traffic(server, 20, TypeHandshake, []byte{byte(TypeNewSessionTicket), 255, 255, 255})
	f, _ := g.r.opened(t, forgedLog(), inOrder)
	if len(f.Issued) != maxIssued || f.Opened[server].Stopped != "a handshake message longer than the limit of 256 KiB" {
		t.Errorf("%d tickets, stopped by %q", len(f.Issued), f.Opened[server].Stopped)
	}
}

// TestContradictoryHellos: another ServerHello later on is not what was opened.
func TestContradictoryHellos(t *testing.T) {
	chain, _ := certificateFor(t, "two")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	g.say(server, changeCipherSpec)
	g.say(server, handshake(TypeServerHello, serverHello(0x1301, takes13, ext(extKeyShare, u16(29), v16(zeros(32))))))
	f, _ := g.r.opened(t, forgedLog(), inOrder)
	if f.KeyLog != "not tried: server: a second ServerHello in the clear" {
		t.Errorf("key log %q", f.KeyLog)
	}
	g.r.unchanged(t, f)
}

// TestHandshakeSecretsHoldNothing: once it is clear that no more can be opened,
// nothing is kept of what follows.
func TestHandshakeSecretsHoldNothing(t *testing.T) {
	chain, _ := certificateFor(t, "handshake")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	for i := range 3 {
		g.traffic(server, uint64(i), TypeApplicationData, "not with this secret")
	}
	log := logOf(t, forgedLog()[:strings.LastIndex(forgedLog(), "SERVER")]+fmt.Sprintf("SERVER_TRAFFIC_SECRET_0 %x %x\n", random, forgedSecrets[client].handshake), secrets.Options{})
	streams := [2]*Stream{NewStream(AtStart), NewStream(AtStart)}
	for _, s := range streams {
		s.Retain(log, nil)
	}
	for _, c := range g.r.chunks {
		streams[c.side].Data(c.at, c.data)
		Unlock(streams[client], streams[server])
	}
	if s := streams[server]; cap(s.holding) > 0 || s.held != nil || s.unheld == "" {
		t.Errorf("holds %d bytes, %q", cap(s.holding), s.unheld)
	}
}

// TestWrongCertificateInTheClear: a certificate before TLS 1.3 that is not the
// one that was sent shows in the Finished, even where nothing is signed.
func TestWrongCertificateInTheClear(t *testing.T) {
	r := readConversations(t, "tls12-rsa-aes256-sha")[0]
	der := r.certificate(t)
	der[len(der)/2] ^= 1
	f, _ := r.opened(t, r.log.String(), inOrder)
	if f.KeyLog != "client's handshake: wrong Finished message" || f.Established.Value != fact.Unknown || f.ServerCertificate.Basis != fact.Observed {
		t.Errorf("%s: established %+v, server certificate by %s", f.KeyLog, f.Established, f.ServerCertificate.Basis)
	}
	r = readConversations(t, "tls12-ecdhe-aes256-gcm")[0]
	der = r.certificate(t)
	der[len(der)-1] ^= 1
	if f, _ = r.opened(t, r.log.String(), inOrder); f.KeyLog == opened || f.Established.Is() {
		t.Errorf("%s: established %+v", f.KeyLog, f.Established)
	}
}

// certificate returns the bytes of the server's certificate, in the clear.
func (r *conversation) certificate(t *testing.T) []byte {
	t.Helper()
	f, _ := r.opened(t, "", inOrder)
	der := f.ServerCertificate.Chain[0]
	for _, c := range r.chunks {
		if i := bytes.Index(c.data, der); i >= 0 && c.side == server {
			return c.data[i : i+len(der)]
		}
	}
	t.Fatal("no certificate")
	return nil
}
