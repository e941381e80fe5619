package secrets

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// certify makes a self-signed certificate.
func certify(key crypto.Signer) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"}, DNSNames: []string{"node"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<34, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// certificates are one of each kind of key that crypto/tls can use.
var certificates = sync.OnceValue(func() map[string]tls.Certificate {
	all := make(map[string]tls.Certificate)
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		all[name] = certify(key)
	}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, key, err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	add("RSA", rsaKey, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	add("Ed25519", edKey, err)
	return all
})

// A tap records what a connection reads and writes. A pipe has no room for what
// both ends write at a time; a tap has.
type tap struct {
	net.Conn
	forward  chan []byte
	done     chan struct{}
	once     sync.Once
	mu       sync.Mutex
	in, out  bytes.Buffer
	injected []byte // is read instead of what the peer sends
	cut      bool   // what is written does not reach the peer
}

func newTap(c net.Conn) *tap {
	t := &tap{Conn: c, forward: make(chan []byte, 100), done: make(chan struct{})}
	go func() {
		for b := range t.forward {
			t.Conn.Write(b)
		}
		close(t.done)
	}()
	return t
}

func (c *tap) Close() error {
	c.once.Do(func() { close(c.forward) })
	<-c.done
	return c.Conn.Close()
}

func (c *tap) Read(b []byte) (int, error) {
	var n int
	var err error
	if c.cut {
		if n = copy(b, c.injected); n == 0 {
			err = io.EOF
		}
		c.injected = c.injected[n:]
	} else {
		n, err = c.Conn.Read(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.Write(b[:n])
	return n, err
}

func (c *tap) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.out.Write(b)
	c.mu.Unlock()
	if !c.cut {
		c.forward <- bytes.Clone(b)
	}
	return len(b), nil
}

// A recording is both streams of a connection and its key log.
type recording struct {
	client, server []byte
	log            *Log
}

func (r *recording) follow() (*followed, error) { return follow(r.client, r.server, r.log.Lookup) }

func readLog(t testing.TB, text []byte) *Log {
	t.Helper()
	l := new(Log)
	if st, err := l.Read(bytes.NewReader(text), Options{}); err != nil || st.Bad > 0 {
		t.Fatalf("%+v %v", st, err)
	}
	return l
}

// handshake connects a client and a server of crypto/tls, which greet each
// other. after, if any, goes on with the server's side alone.
func handshake(t testing.TB, client, server *tls.Config, after func(*tap, *tls.Conn, *Log)) *recording {
	t.Helper()
	a, b := net.Pipe()
	wire := newTap(b)
	for _, c := range []net.Conn{a, wire} {
		c.SetDeadline(time.Now().Add(10 * time.Second)) // of a test that fails
		defer c.Close()
	}
	var keys bytes.Buffer
	server, client = server.Clone(), client.Clone()
	client.InsecureSkipVerify, client.ServerName = true, "node"
	client.KeyLogWriter = &keys
	done := make(chan error, 1)
	s := tls.Server(wire, server)
	go func() {
		buf := make([]byte, 4)
		_, err := io.ReadFull(s, buf)
		if err == nil {
			_, err = s.Write([]byte("pong"))
		}
		if err == nil && after == nil {
			_, err = io.ReadAll(s)
			s.Close()
		}
		done <- err
	}()
	c := tls.Client(a, client)
	_, err := c.Write([]byte("ping"))
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 4))
	}
	if err == nil && after == nil {
		c.CloseWrite()
		_, _ = io.Copy(io.Discard, a)
	}
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	log := readLog(t, keys.Bytes())
	if after != nil {
		after(wire, s, log)
	}
	return &recording{wire.in.Bytes(), wire.out.Bytes(), log}
}

// check follows a recording and compares what was verified.
func (r *recording) check(t *testing.T, want string) {
	t.Helper()
	f, err := r.follow()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.verified, ", "); got != want {
		t.Errorf("verified %s\nwant     %s", got, want)
	}
	if !strings.HasPrefix(string(f.client.app), "ping") || !strings.HasPrefix(string(f.server.app), "pong") {
		t.Errorf("client %q server %q", f.client.app, f.server.app)
	}
}

// schemeOf is the scheme that crypto/tls chooses for a kind of key.
func schemeOf(key string, version uint16) string {
	switch {
	case version < tls.VersionTLS12 && key == "RSA":
		return "rsa_pkcs1_md5_sha1"
	case version < tls.VersionTLS12:
		return "ecdsa_sha1"
	case version < tls.VersionTLS13 && key[0] == 'P':
		return "ecdsa_secp256r1_sha256" // there it stands for any curve
	}
	return map[string]string{
		"RSA": "rsa_pss_rsae_sha256", "P-256": "ecdsa_secp256r1_sha256", "P-384": "ecdsa_secp384r1_sha384",
		"P-521": "ecdsa_secp521r1_sha512", "Ed25519": "ed25519",
	}[key]
}

// Every suite of crypto/tls, with every kind of client certificate.
func TestGoHandshakes(t *testing.T) {
	t.Setenv("GODEBUG", "tlsrsakex=1,tls3des=1,tls10server=1,tlssha1=1")
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		for _, version := range suite.SupportedVersions {
			keys := []string{"RSA", "P-256", "P-384", "P-521", "Ed25519", "none", "empty"}
			if version < tls.VersionTLS12 {
				keys = []string{"RSA", "P-256", "none", "empty"}
			}
			for _, key := range keys {
				t.Run(fmt.Sprintf("%s/%s/%s", suite.Name, tls.VersionName(version), key), func(t *testing.T) {
					goHandshake(t, suite, version, key)
				})
			}
		}
	}
}

func goHandshake(t *testing.T, suite *tls.CipherSuite, version uint16, key string) {
	serverKey := "RSA"
	if strings.Contains(suite.Name, "ECDSA") || version == tls.VersionTLS13 {
		serverKey = "P-256"
	}
	server := &tls.Config{
		MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite.ID},
		Certificates: []tls.Certificate{certificates()[serverKey]},
	}
	client := &tls.Config{MinVersion: version, MaxVersion: version, CipherSuites: server.CipherSuites}
	var want []string
	switch {
	case strings.HasPrefix(suite.Name, "TLS_RSA"):
	case version == tls.VersionTLS13:
		want = append(want, "server CertificateVerify "+schemeOf(serverKey, version), "server Finished")
	default:
		want = append(want, "server KeyExchange "+schemeOf(serverKey, version))
	}
	switch key {
	case "none":
	case "empty":
		server.ClientAuth = tls.RequestClientCert
		want = append(want, "client empty Certificate")
	default:
		server.ClientAuth = tls.RequireAnyClientCert
		client.Certificates = []tls.Certificate{certificates()[key]}
		want = append(want, "client CertificateVerify "+schemeOf(key, version))
	}
	want = append(want, "client Finished")
	if version < tls.VersionTLS13 {
		want = append(want, "server Finished")
	}
	r := handshake(t, client, server, nil)
	if f, _ := r.follow(); version < tls.VersionTLS13 && f.suite != suite.ID {
		t.Fatalf("suite %04x", f.suite)
	}
	r.check(t, strings.Join(want, ", "))
}

func TestGoRetryAndResumption(t *testing.T) {
	for version, want := range map[uint16][2]string{
		tls.VersionTLS12: {
			"server KeyExchange ecdsa_secp256r1_sha256, client Finished, server Finished",
			"server Finished, resumed, client Finished",
		},
		tls.VersionTLS13: {
			"retry, server CertificateVerify ecdsa_secp256r1_sha256, server Finished, client Finished",
			"retry, server Finished, client Finished",
		},
	} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server := &tls.Config{
				MaxVersion: version, CurvePreferences: []tls.CurveID{tls.CurveP256},
				Certificates: []tls.Certificate{certificates()["P-256"]},
			}
			// One configuration for both, for its ticket keys.
			server.SetSessionTicketKeys([][32]byte{{1}})
			client := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			var first *Secrets
			for _, verified := range want {
				r := handshake(t, client, server, nil)
				f, err := r.follow()
				if first == nil {
					first = f.secrets
				} else if f.secrets == nil && version < tls.VersionTLS13 {
					// crypto/tls logs nothing here; it is the secret of the
					// first handshake.
					r.log.byRandom = map[[32]byte]*Secrets{f.clientRandom: first}
				} else if err != nil {
					t.Fatal(err)
				}
				r.check(t, verified)
			}
		})
	}
}

// seal13 seals a record for the tests.
func seal13(t testing.TB, suite uint16, secret []byte, seq byte, kind uint8, content []byte, padding int) []byte {
	t.Helper()
	key, iv, err := trafficKeys(suites13[suite], secret)
	if err != nil {
		t.Fatal(err)
	}
	var seal cipher.AEAD
	if suite == 0x1303 {
		seal, err = chacha20poly1305.New(key)
	} else {
		block, _ := aes.NewCipher(key)
		seal, err = cipher.NewGCM(block)
	}
	if err != nil {
		t.Fatal(err)
	}
	iv[11] ^= seq
	inner := append(append(bytes.Clone(content), kind), make([]byte, padding)...)
	n := len(inner) + seal.Overhead()
	header := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return seal.Seal(header, iv, inner, header)
}

// A server of crypto/tls that is asked for a key update answers with one: what
// it sends next has the next keys.
func TestGoKeyUpdate(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{certificates()["P-256"]}, MinVersion: tls.VersionTLS13}
	r := handshake(t, &tls.Config{}, server, func(wire *tap, s *tls.Conn, log *Log) {
		f, err := follow(wire.in.Bytes(), wire.out.Bytes(), log.Lookup)
		if err != nil {
			t.Fatal(err)
		}
		// KeyUpdate with update_requested, then data with the next keys.
		wire.injected = seal13(t, f.suite, f.secrets.ClientTraffic, 1, 22, []byte{24, 0, 0, 1, 1}, 0)
		next, err := nextSecret(suites13[f.suite].prf, f.secrets.ClientTraffic)
		if err != nil {
			t.Fatal(err)
		}
		wire.injected = append(wire.injected, seal13(t, f.suite, next, 0, 23, []byte("more"), 100)...)
		wire.cut = true
		b := make([]byte, 4)
		if _, err := io.ReadFull(s, b); err != nil || string(b) != "more" {
			t.Fatalf("%q %v", b, err)
		}
		s.Write([]byte("after"))
	})
	r.check(t, "server CertificateVerify ecdsa_secp256r1_sha256, server Finished, client Finished, client KeyUpdate, server KeyUpdate")
	f, _ := r.follow()
	if string(f.client.app) != "pingmore" || string(f.server.app) != "pongafter" {
		t.Errorf("client %q server %q", f.client.app, f.server.app)
	}
}

// mutual returns a recording with certificates on both sides.
func mutual(t testing.TB, version uint16) *recording {
	t.Helper()
	return handshake(t,
		&tls.Config{MaxVersion: version, Certificates: []tls.Certificate{certificates()["P-256"]}},
		&tls.Config{MaxVersion: version, Certificates: []tls.Certificate{certificates()["P-256"]}, ClientAuth: tls.RequireAnyClientCert}, nil)
}

// One bit that is another in any handshake message or sealed record is noticed.
func TestFlippedStream(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := mutual(t, version)
			if _, err := r.follow(); err != nil {
				t.Fatal(err)
			}
			for _, stream := range [][]byte{r.client, r.server} {
				sealed := false
				for at := 0; at < len(stream); {
					kind, n := stream[at], int(stream[at+3])<<8|int(stream[at+4])
					// The header of a record in the clear is protected by nothing.
					i := at + 5
					if sealed {
						i = at
					}
					for ; i < at+5+n && kind != 20; i++ {
						stream[i] ^= 1 << (i % 8)
						if _, err := r.follow(); err == nil {
							t.Errorf("byte %d of record at %d, type %d: not noticed", i-at, at, kind)
						}
						stream[i] ^= 1 << (i % 8)
					}
					sealed = sealed || kind == 20 && version < tls.VersionTLS13 || kind == 23
					at += 5 + n
				}
			}
		})
	}
}
