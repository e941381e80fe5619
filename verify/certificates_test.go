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
	ended := authorityTemplate("old")
	ended.NotAfter = year(2020)
	old := ca.sign(t, ended)
	forClients := authorityTemplate("narrow")
	forClients.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	narrow := ca.sign(t, forClients)
	alone := (*authority)(nil).sign(t, &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "n2"}, DNSNames: []string{"n2.lab"}, NotBefore: year(2025), NotAfter: year(2030)})
	good := template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2030}
	altered := func(f func(*template)) template { p := good; f(&p); return p }
	chain := func(der ...[]byte) [][]byte { return der }

	for _, row := range []struct {
		name           string
		chain          [][]byte
		when           time.Time
		client, server string // reasons; "" is ok, "-" not checked
	}{
		{"good", chain(ca.leaf(t, good)), year(2026), "", ""},
		{"another CA", chain(other.leaf(t, good)), year(2026), "unknown CA: its issuer CN=other is not one", "unknown CA: its issuer CN=other is not one"},
		{"another CA of that name", chain(newAuthority(t, "ca").leaf(t, good)), year(2026), "not signed by the CA given (--ca) as CN=ca", "not signed by the CA given (--ca) as CN=ca"},
		{"another host", chain(ca.leaf(t, altered(func(p *template) { p.names = []string{"n3.lab"} }))), year(2026), "", "it is for n3.lab, not for n2.lab (server_name)"},
		{"no names", chain(ca.leaf(t, altered(func(p *template) { p.names = nil }))), year(2026), "", "it is for nobody (no subjectAltName), not for n2.lab"},
		{"common name only", chain(ca.leaf(t, altered(func(p *template) { p.names, p.commonName = nil, "n2.lab" }))), year(2026), "", "only its common name is n2.lab (server_name), and that does not count"},
		{"another common name only", chain(ca.leaf(t, altered(func(p *template) { p.names, p.commonName = nil, "n3.lab" }))), year(2026), "", `it is for nobody (no subjectAltName; common name "n3.lab")`},
		{"common name beside others", chain(ca.leaf(t, altered(func(p *template) { p.names, p.commonName = []string{"n3.lab"}, "n2.lab" }))), year(2026), "", "it is for n3.lab, not for n2.lab"},
		{"not for servers", chain(ca.leaf(t, altered(func(p *template) { p.server = false }))), year(2026), "", "its extended key usage is clientAuth, without serverAuth"},
		{"not for clients", chain(ca.leaf(t, altered(func(p *template) { p.client = false }))), year(2026), "its extended key usage is serverAuth, without clientAuth", ""},
		{"no extended usage", chain(ca.leaf(t, altered(func(p *template) { p.client, p.server = false, false }))), year(2026), "", ""},
		{"expired since, good then", chain(ca.leaf(t, altered(func(p *template) { p.from, p.to = 2010, 2012 }))), year(2011), "", ""},
		{"expired then", chain(ca.leaf(t, altered(func(p *template) { p.from, p.to = 2010, 2012 }))), year(2013), "it expired at 2012-01-01T00:00:00Z", "it expired at 2012-01-01T00:00:00Z"},
		{"good now, not yet then", chain(ca.leaf(t, good)), year(2024), "it is not valid before 2025-01-01T00:00:00Z", "it is not valid before 2025-01-01T00:00:00Z"},
		{"all that is wrong", chain(other.leaf(t, template{client: true, names: []string{"n3.lab"}, from: 2010, to: 2012})), year(2013),
			"it expired at 2012-01-01T00:00:00Z; unknown CA: its issuer CN=other is not one of the CAs given (--ca)",
			"it is for n3.lab, not for n2.lab (server_name); its extended key usage is clientAuth, without serverAuth; it expired at 2012-01-01T00:00:00Z; unknown CA: its issuer CN=other is not one of the CAs given (--ca)"},
		{"by an intermediate", chain(below.leaf(t, good), below.cert.Raw), year(2026), "", ""},
		{"intermediate not sent", chain(below.leaf(t, good)), year(2026), "unknown CA: its issuer CN=below", "unknown CA: its issuer CN=below"},
		{"intermediate unparsable", chain(below.leaf(t, good), []byte("x")), year(2026), "unknown CA", "unknown CA"},
		{"intermediate expired", chain(old.leaf(t, good), old.cert.Raw), year(2026), "the CA's certificate CN=old was not valid at the time", "the CA's certificate CN=old was not valid at the time"},
		{"intermediate for clients only", chain(narrow.leaf(t, good), narrow.cert.Raw), year(2026), "", "a CA's certificate in its chain does not allow the usage"},
		{"self-signed, unknown", chain(alone.cert.Raw), year(2026), "it is self-signed, and not one of the CAs given", "it is self-signed, and not one of the CAs given"},
		{"self-signed, one of the CAs", chain(ca.cert.Raw), year(2026), "self-signed, which OTP refuses even if it is in the cacertfile", "it is for nobody"},
		{"unparsable", chain([]byte("not a certificate")), year(2026), "-cannot be parsed", "-cannot be parsed"},
		{"encrypted", nil, year(2026), "-not visible in the capture", "-not visible in the capture"},
		{"time not known", chain(ca.leaf(t, good)), time.Time{}, "", ""},
		{"time not known, expired since", chain(ca.leaf(t, altered(func(p *template) { p.from, p.to = 2010, 2012 }))), time.Time{}, "", ""},
		{"time not known, another CA", chain(other.leaf(t, good)), time.Time{}, "unknown CA", "unknown CA"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := with(mutual(), func(c *decode.Connection) {
				c.First = 0
				if !row.when.IsZero() {
					c.First = row.when.UnixNano()
				}
				c.TLS.ClientCertificate.Chain, c.TLS.ServerCertificate.Chain = row.chain, row.chain
			})
			got := newExaminer(ca.pool()).examine(c)
			checkVerification(t, "client", got.Client, row.client)
			checkVerification(t, "server", got.Server, row.server)
		})
	}
}

// TestRenewedCA: a certificate expired before its CA was renewed, with the same key. The
// CA is good when it is shown.
func TestRenewedCA(t *testing.T) {
	young := authorityTemplate("ca")
	young.NotBefore = year(2020)
	ca := (*authority)(nil).sign(t, young)
	for name, r := range map[string]struct {
		from, to int
		when     time.Time
		want     string
	}{
		"expired":               {2010, 2012, year(2026), "it expired at 2012-01-01T00:00:00Z"},
		"not valid yet":         {2120, 2130, year(2026), "it is not valid before 2120-01-01T00:00:00Z"},
		"before the CA":         {2010, 2030, year(2015), "the CA's certificate CN=ca was not valid at the time"},
		"expired, as is the CA": {2050, 2060, year(2110), "it expired at 2060-01-01T00:00:00Z; the CA's certificate CN=ca was not valid at the time"},
	} {
		c := with(mutual(), func(c *decode.Connection) {
			c.First = r.when.UnixNano()
			c.TLS.ClientCertificate.Chain = [][]byte{ca.leaf(t, template{client: true, from: r.from, to: r.to})}
		})
		if got := newExaminer(ca.pool()).examine(c).Client; got.Reason != r.want || got.Status != VerifyFailed {
			t.Errorf("%s: %s: %s; want %s", name, got.Status, got.Reason, r.want)
		}
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
	if got.Status != status || !strings.Contains(got.Reason, rest) || want == "" && !strings.HasPrefix(got.Reason, "chain to CN=ca; valid at the time; ") || (status == VerifyFailed) != (len(got.Problems) > 0) {
		t.Errorf("%s: %+v, want %s %q", who, got, status, rest)
	}
}

func TestCertificatesNotChecked(t *testing.T) {
	ca := newAuthority(t, "ca")
	leaf := ca.leaf(t, template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2030})
	chained := func(c *decode.Connection) {
		c.TLS.ClientCertificate.Chain, c.TLS.ServerCertificate.Chain = [][]byte{leaf}, [][]byte{leaf}
	}
	if got := newExaminer(nil).examine(with(mutual(), chained)); got.Client.Reason != "no CA given (--ca); the packets alone show nothing wrong" || got.Client.Status != VerifyNotChecked {
		t.Errorf("without CAs: %+v", got)
	}
	if got := newExaminer(ca.pool()).examine(clear()); got.Client.Status != "" || got.Server.Status != "" {
		t.Errorf("without TLS: %+v", got)
	}
	for _, s := range []tls.CertificateStatus{tls.NotRequested, tls.Empty} {
		got := newExaminer(ca.pool()).examine(with(mutual(), certificate(s)))
		if got.Client.Status != VerifyNotChecked || got.Client.Reason != "no client certificate" {
			t.Errorf("%s: %+v", s, got.Client)
		}
	}
	// Without a server_name, nor the server's name, there is none to hold the
	// certificate to.
	nameless := with(mutual(), chained, func(c *decode.Connection) { c.TLS.Client.ServerName = "" })
	const unnamed = "its names were not checked: the server's host is not known"
	if got := newExaminer(ca.pool()).examine(nameless); got.Server.Status != VerifyOK || !strings.HasSuffix(got.Server.Reason, unnamed) {
		t.Errorf("without a name: %+v", got.Server)
	}
	nameless.TLS.Client = nil
	if got := newExaminer(ca.pool()).examine(nameless); got.Server.Status != VerifyOK || !strings.HasSuffix(got.Server.Reason, unnamed) {
		t.Errorf("without a ClientHello: %+v", got.Server)
	}
}

// TestNotVisible: what is encrypted is not checked, and never well.
func TestNotVisible(t *testing.T) {
	ca := newAuthority(t, "ca")
	for name, row := range map[string]struct {
		c    *decode.Connection
		want string
	}{
		"TLS 1.3 without keys": {with(mutual(), as13), "not visible: TLS 1.3 encrypts certificates"},
		"resumed":              {with(mutual(), resumes(nil)), "not visible: in a resumed session"},
		"not captured":         {with(mutual(), hidden), "not visible in the capture"},
	} {
		j := Judge(capture(row.c), Coverage{}, Options{CAs: ca.pool(), ExpiresWithin: time.Hour})
		for _, v := range []Verification{j.Certificates[0].Client, j.Certificates[0].Server} {
			if v.Status != VerifyNotChecked || !strings.HasPrefix(v.Reason, row.want) {
				t.Errorf("%s: %+v", name, v)
			}
		}
		for _, f := range j.Findings {
			if f.Rule == ClientCertNotVerifiable || f.Rule == ServerCertNotVerifiable || f.Rule == CertificateExpired || f.Rule == WeakTLS {
				t.Errorf("%s: %s %s", name, f.Rule, f.Message)
			}
		}
	}
}
