package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"distproof/decode"
	"distproof/decode/tls"
)

// An authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func year(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }

// sign returns a certificate for template, signed by a; by itself if a is nil.
func (a *authority) sign(t testing.TB, c *x509.Certificate) *authority {
	t.Helper()
	key := newKey(t)
	parent, signer := c, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: year(2000), NotAfter: year(2100),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	return (*authority)(nil).sign(t, authorityTemplate(name))
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// A template is what matters of a node's certificate.
type template struct {
	client, server bool // extended key usages
	names          []string
	commonName     string
	from, to       int // years
}

func (a *authority) leaf(t testing.TB, p template) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: p.commonName}, DNSNames: p.names,
		NotBefore: year(p.from), NotAfter: year(p.to), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if p.client {
		c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if p.server {
		c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return a.sign(t, c).cert.Raw
}

func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	below := ca.sign(t, authorityTemplate("below"))
	good := template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2030}
	altered := func(f func(*template)) template { p := good; f(&p); return p }
	chain := func(der ...[]byte) [][]byte { return der }

	for _, row := range []struct {
		name           string
		chain          [][]byte
		when           time.Time
		client, server string // reasons; "" is ok, "-" not checked
		expired        string // part of
	}{
		{"good", chain(ca.leaf(t, good)), year(2026), "", "", ""},
		{"another CA", chain(other.leaf(t, good)), year(2026), "signed by unknown authority", "signed by unknown authority", ""},
		{"another host", chain(ca.leaf(t, altered(func(p *template) { p.names = []string{"n3.lab"} }))), year(2026), "", "certificate is valid for n3.lab, not n2.lab", ""},
		{"no names", chain(ca.leaf(t, altered(func(p *template) { p.names = nil }))), year(2026), "", "not valid for any names", ""},
		{"common name only", chain(ca.leaf(t, altered(func(p *template) { p.names, p.commonName = nil, "n2.lab" }))), year(2026), "", "legacy Common Name", ""},
		{"not for servers", chain(ca.leaf(t, altered(func(p *template) { p.server = false }))), year(2026), "", "incompatible key usage", ""},
		{"not for clients", chain(ca.leaf(t, altered(func(p *template) { p.client = false }))), year(2026), "incompatible key usage", "", ""},
		{"no extended usage", chain(ca.leaf(t, altered(func(p *template) { p.client, p.server = false, false }))), year(2026), "", "", ""},
		{"expired since, good then", chain(ca.leaf(t, altered(func(p *template) { p.from, p.to = 2010, 2012 }))), year(2011), "", "", ""},
		{"expired then", chain(ca.leaf(t, altered(func(p *template) { p.from, p.to = 2010, 2012 }))), year(2013), "expired", "expired", "expired at 2012-01-01T00:00:00Z"},
		{"good now, not yet then", chain(ca.leaf(t, good)), year(2024), "not yet valid", "not yet valid", "is valid from 2025-01-01T00:00:00Z on only"},
		{"by an intermediate", chain(below.leaf(t, good), below.cert.Raw), year(2026), "", "", ""},
		{"intermediate not sent", chain(below.leaf(t, good)), year(2026), "unknown authority", "unknown authority", ""},
		{"intermediate unparsable", chain(below.leaf(t, good), []byte("x")), year(2026), "unknown authority", "unknown authority", ""},
		{"unparsable", chain([]byte("not a certificate")), year(2026), "-cannot be parsed", "-cannot be parsed", ""},
		{"encrypted", nil, year(2026), "-not visible in the capture", "-not visible in the capture", ""},
		{"time not known", chain(ca.leaf(t, good)), time.Time{}, "", "", ""},
		{"time not known, expired since", chain(ca.leaf(t, altered(func(p *template) { p.from, p.to = 2010, 2012 }))), time.Time{}, "", "", ""},
		{"time not known, another CA", chain(other.leaf(t, good)), time.Time{}, "unknown authority", "unknown authority", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := with(mutual(), func(c *decode.Connection) {
				c.First = 0
				if !row.when.IsZero() {
					c.First = row.when.UnixNano()
				}
				c.TLS.ClientCertificate.Chain, c.TLS.ServerCertificate.Chain = row.chain, row.chain
			})
			got := checkCertificates(c, ca.pool())
			checkVerification(t, "client", got.Client, row.client)
			checkVerification(t, "server", got.Server, row.server)
			text := strings.Join(got.Expired, "; ")
			if row.expired == "" && text != "" || !strings.Contains(text, row.expired) {
				t.Errorf("expired: %q, want %q", text, row.expired)
			}
			if row.expired != "" && (len(got.Expired) != 2 || !strings.HasPrefix(text, "the client's certificate ") || !strings.Contains(text, "; the server's certificate ")) {
				t.Errorf("expired: %q", text)
			}
		})
	}
}

// checkVerification checks a result against what it should say: "" is ok, with
// "-" in front it is not checked, else it failed.
func checkVerification(t *testing.T, who string, got Verification, want string) {
	t.Helper()
	status := VerifyFailed
	rest, unchecked := strings.CutPrefix(want, "-")
	switch {
	case want == "":
		status = VerifyOK
	case unchecked:
		status = VerifyNotChecked
	}
	if got.Status != status || !strings.Contains(got.Reason, rest) || want == "" && got.Reason != "" {
		t.Errorf("%s: %+v, want %s %q", who, got, status, rest)
	}
}

func TestCertificatesNotChecked(t *testing.T) {
	ca := newAuthority(t, "ca")
	leaf := ca.leaf(t, template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2030})
	chained := func(c *decode.Connection) {
		c.TLS.ClientCertificate.Chain, c.TLS.ServerCertificate.Chain = [][]byte{leaf}, [][]byte{leaf}
	}
	if got := checkCertificates(with(mutual(), chained), nil); got.Client.Reason != "no CA given (--ca)" || got.Client.Status != VerifyNotChecked {
		t.Errorf("without CAs: %+v", got)
	}
	if got := checkCertificates(clear(), ca.pool()); got.Client != (Verification{}) || got.Server != (Verification{}) {
		t.Errorf("without TLS: %+v", got)
	}
	for _, s := range []tls.CertificateStatus{tls.NotRequested, tls.Empty} {
		got := checkCertificates(with(mutual(), certificate(s)), ca.pool())
		if got.Client != (Verification{VerifyNotChecked, "no client certificate"}) {
			t.Errorf("%s: %+v", s, got.Client)
		}
	}
	// Without a server_name there is no name to hold the certificate to.
	nameless := with(mutual(), chained, func(c *decode.Connection) { c.TLS.Client.ServerName = "" })
	if got := checkCertificates(nameless, ca.pool()); got.Server.Status != VerifyOK {
		t.Errorf("without a name: %+v", got.Server)
	}
	nameless.TLS.Client = nil
	if got := checkCertificates(nameless, ca.pool()); got.Server.Status != VerifyOK {
		t.Errorf("without a ClientHello: %+v", got.Server)
	}
}
