package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tcp"
)

// A conversation of crypto/tls with itself, and the key log of it.
type conversation struct {
	mu     sync.Mutex
	chunks []chunk
	sent   [2]int64
	log    bytes.Buffer
}

type chunk struct {
	side int
	at   tcp.Position
	data []byte
}

// A tap is one end of a connection that writes down what it sends.
type tap struct {
	net.Conn
	side int
	got  int64
	r    *conversation
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.r.mu.Lock()
	t.got += int64(n)
	t.r.mu.Unlock()
	return n, err
}

func (t *tap) Write(b []byte) (int, error) {
	t.r.mu.Lock()
	t.r.chunks = append(t.r.chunks, chunk{t.side, tcp.Position{Offset: t.r.sent[t.side], Acked: t.got}, bytes.Clone(b)})
	t.r.sent[t.side] += int64(len(b))
	t.r.mu.Unlock()
	return t.Conn.Write(b)
}

// certificateFor makes a certificate that signs itself.
func certificateFor(t testing.TB, name string) (gotls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return gotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// connected returns the ends of a connection over loopback.
func connected(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return client, server
}

// converse has both sides shake hands, and say something.
func converse(t *testing.T, clientConfig, serverConfig *gotls.Config) *conversation {
	t.Helper()
	r := &conversation{}
	clientConfig.KeyLogWriter = &r.log
	a, b := connected(t)
	clientEnd, serverEnd := gotls.Client(&tap{Conn: a, side: client, r: r}, clientConfig), gotls.Server(&tap{Conn: b, side: server, r: r}, serverConfig)
	var wait sync.WaitGroup
	wait.Go(func() {
		defer b.Close()
		if serverEnd.Handshake() != nil {
			return
		}
		if _, err := io.ReadFull(serverEnd, make([]byte, 4)); err == nil {
			serverEnd.Write([]byte("pong, at length"))
			serverEnd.Write([]byte("and once more"))
		}
	})
	wait.Go(func() {
		defer a.Close()
		if clientEnd.Handshake() != nil {
			return
		}
		clientEnd.Write([]byte("ping"))
		io.ReadFull(clientEnd, make([]byte, len("pong, at length")+len("and once more")))
	})
	wait.Wait()
	return r
}

// factsWith combines what was recorded, with a key log if it is not empty.
func (r *conversation) factsWith(t *testing.T, text string, o secrets.Options) *Facts {
	t.Helper()
	var log *secrets.Log
	if text != "" {
		log = new(secrets.Log)
		if _, err := log.Read(strings.NewReader(text), o); err != nil {
			t.Fatal(err)
		}
	}
	streams := [2]*Stream{NewStream(AtStart), NewStream(AtStart)}
	for _, s := range streams {
		s.Retain(log, nil)
	}
	for _, c := range r.chunks {
		streams[c.side].Data(c.at, c.data)
	}
	for _, s := range streams {
		s.End()
	}
	return Combine(streams[client], streams[server], Ending{Whole: true, ClosedBy: RoleServer})
}

func TestKeyLogOpensHandshakes(t *testing.T) {
	clientCert, clientCAs := certificateFor(t, "client")
	serverCert, serverCAs := certificateFor(t, "server")
	_, otherCAs := certificateFor(t, "other")
	with := func(change func(c, s *gotls.Config)) *conversation {
		c := &gotls.Config{ServerName: "server", RootCAs: serverCAs, Certificates: []gotls.Certificate{clientCert}, MinVersion: gotls.VersionTLS13}
		s := &gotls.Config{Certificates: []gotls.Certificate{serverCert}, ClientAuth: gotls.RequireAndVerifyClientCert, ClientCAs: clientCAs, MinVersion: gotls.VersionTLS13}
		change(c, s)
		return converse(t, c, s)
	}
	for name, row := range map[string]struct {
		change      func(c, s *gotls.Config)
		status      CertificateStatus
		possession  fact.Basis
		established fact.Value
		alert       string
	}{
		"mutual":         {func(_, _ *gotls.Config) {}, Presented, fact.Verified, fact.Yes, ""},
		"not asked":      {func(_, s *gotls.Config) { s.ClientAuth = gotls.NoClientCert }, NotRequested, fact.None, fact.Yes, ""},
		"empty":          {func(c, s *gotls.Config) { c.Certificates, s.ClientAuth = nil, gotls.RequestClientCert }, Empty, fact.None, fact.Yes, ""},
		"empty, refused": {func(c, _ *gotls.Config) { c.Certificates = nil }, Empty, fact.None, fact.No, "certificate_required"},
		"another CA":     {func(_, s *gotls.Config) { s.ClientCAs, s.ClientAuth = otherCAs, gotls.RequireAndVerifyClientCert }, Empty, fact.None, fact.No, "certificate_required"},
		"retried":        {func(_, s *gotls.Config) { s.CurvePreferences = []gotls.CurveID{gotls.CurveP521} }, Presented, fact.Verified, fact.Yes, ""},
		"client refuses": {func(c, _ *gotls.Config) { c.RootCAs = otherCAs }, StatusUnknown, fact.None, fact.Unknown, "bad_certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(row.change)
			f := r.factsWith(t, r.log.String(), secrets.Options{})
			c := f.ClientCertificate
			if f.KeyLog != "opened" || c.Status != row.status || c.Possession != row.possession || f.Established.Value != row.established {
				t.Errorf("%s: %s, possession %s, established %+v", f.KeyLog, c.Status, c.Possession, f.Established)
			}
			if row.status != StatusUnknown && c.Basis != fact.Decrypted || f.ServerCertificate.Possession != fact.Verified {
				t.Errorf("basis %s, server's possession %s", c.Basis, f.ServerCertificate.Possession)
			}
			if (row.status == Presented) != reflect.DeepEqual(c.Chain, clientCert.Certificate) || !reflect.DeepEqual(f.ServerCertificate.Chain, serverCert.Certificate) {
				t.Error("not the certificates that were sent")
			}
			if row.alert != "" && (len(f.Alerts) != 1 || f.Alerts[0].Name != row.alert || f.Alerts[0].Basis != fact.Decrypted || f.Failure == nil) {
				t.Errorf("alerts %+v, failure %+v", f.Alerts, f.Failure)
			}
		})
	}
}

// TestKeyLogsThatDoNotFit: with a key log that opens nothing, the facts are
// those without one, but for the reason.
func TestKeyLogsThatDoNotFit(t *testing.T) {
	cert, cas := certificateFor(t, "server")
	talk := func() *conversation {
		return converse(t, &gotls.Config{ServerName: "server", RootCAs: cas, Certificates: []gotls.Certificate{cert}, MinVersion: gotls.VersionTLS13},
			&gotls.Config{Certificates: []gotls.Certificate{cert}, ClientAuth: gotls.RequireAnyClientCert, MinVersion: gotls.VersionTLS13})
	}
	r, other := talk(), talk()
	want := r.factsWith(t, "", secrets.Options{})
	lines := strings.SplitAfter(r.log.String(), "\n")
	handshake := strings.Join(lines[:2], "")
	flip := func(s string) string {
		b := []byte(s)
		i := len(b) - 2
		b[i] ^= 1 // another hexadecimal digit, or none
		return string(b)
	}
	for name, text := range map[string]string{
		"another connection's":   other.log.String(),
		"one side's alone":       lines[0],
		"a wrong byte":           flip(lines[0]) + lines[1],
		"a wrong byte, server's": lines[0] + flip(lines[1]),
		"no key log at all":      "hello\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := r.factsWith(t, text, secrets.Options{})
			if got.KeyLog == "" || got.KeyLog == "opened" {
				t.Errorf("the key log is said to be %q", got.KeyLog)
			}
			got.KeyLog, got.Opened, got.Client, got.Server = "", [2]Opened{}, got.Client.intern(NewTables()), got.Server.intern(NewTables())
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
	for name, text := range map[string]string{"handshake secrets": handshake, "CRLF and comments": "# a comment\r\n" + strings.ReplaceAll(r.log.String(), "\n", "\r\n")} {
		if f := r.factsWith(t, text, secrets.Options{HandshakeOnly: true}); f.KeyLog != "opened" || f.ClientCertificate.Possession != fact.Verified || !f.Established.Is() {
			t.Errorf("%s: %s, %s, %+v", name, f.KeyLog, f.ClientCertificate.Possession, f.Established)
		}
	}
}
