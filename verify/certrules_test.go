package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tls"
)

// DER of object identifiers, to make certificates that x509 does not make.
var (
	oidSHA256RSA = []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11}
	oidSHA1RSA   = []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 5}
	oidMD5RSA    = []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 4}
	oidP256      = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
	oidP192      = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1}
)

// rsaSigner is slow to make.
var rsaSigner = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// rsaCertificate is for an RSA key of that many bits, signed by an RSA key.
func rsaCertificate(t testing.TB, bits int) []byte {
	t.Helper()
	signer, err := rsaSigner()
	if err != nil {
		t.Fatal(err)
	}
	key := signer
	if bits != key.N.BitLen() {
		if key, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
			t.Fatal(err)
		}
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "n2"}, DNSNames: []string{"n2.lab"}, NotBefore: year(2000), NotAfter: year(2100)}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// showing sets the server's chain.
func showing(chain ...[]byte) change {
	return func(c *decode.Connection) { c.TLS.ServerCertificate.Chain = chain }
}

// sending sets the client's chain.
func sending(chain ...[]byte) change {
	return func(c *decode.Connection) { c.TLS.ClientCertificate.Chain = chain }
}

// on sets when a connection began.
func on(at time.Time) change { return func(c *decode.Connection) { c.First = at.UnixNano() } }

// framed gives the connection's messages frames of their own, as a capture has.
func framed(c *decode.Connection) {
	record := func(kind tls.HandshakeType, number uint32, offset, acked int64) tls.Record {
		return tls.Record{Type: tls.TypeHandshake, Message: kind, Frame: frame(number), Offset: offset, Length: 95, Acked: acked}
	}
	finished := func(number uint32, offset, acked int64) tls.Record {
		r := record(0, number, offset, acked)
		r.Sealed = true
		return r
	}
	c.TLS.Records = [2]tls.Records{
		tls.NewRecords(record(tls.TypeClientHello, 11, 0, 0), record(tls.TypeCertificate, 18, 100, 300), record(tls.TypeClientKeyExchange, 18, 200, 300), finished(18, 300, 300)),
		tls.NewRecords(record(tls.TypeServerHello, 13, 0, 100), record(tls.TypeCertificate, 14, 100, 100), record(tls.TypeServerHelloDone, 14, 200, 100), finished(20, 300, 400)),
	}
	c.TLS.Flight = frame(18)
}

// only returns the one finding of a rule.
func only(t *testing.T, j *Judgement, rule Rule) Finding {
	t.Helper()
	var out []Finding
	for _, f := range j.Findings {
		if f.Rule == rule {
			out = append(out, f)
		}
	}
	if len(out) != 1 {
		t.Fatalf("%d findings of %s: %+v", len(out), rule, out)
	}
	return out[0]
}

// TestAcceptedServerCertificates: what it shows of a client that it went on.
func TestAcceptedServerCertificates(t *testing.T) {
	ca := newAuthority(t, "ca")
	good := template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2030}
	leaf := func(f func(*template)) []byte { p := good; f(&p); return ca.leaf(t, p) }
	selfSigned := (*authority)(nil).leaf(t, good)
	unnamed := func(c *decode.Connection) {
		c.TLS.Client.ServerName, c.Ends[server].Node, c.Ends[server].NodeBasis = "", "b@n2.lab", "epmd"
	}
	const proven = "So the client runs verify_none, or has a custom verify_fun or customize_hostname_check"
	for _, r := range []struct {
		name     string
		c        *decode.Connection
		ca       bool
		severity Severity // "": no finding
		message  string   // parts, separated by |
	}{
		{"good", with(mutual(), showing(ca.leaf(t, good))), true, "", ""},
		{"good, no CA", with(mutual(), showing(ca.leaf(t, good))), false, "", ""},
		{"another name, no CA", with(mutual(), showing(leaf(func(p *template) { p.names = []string{"n9.lab"} }))), false, High, "it is for n9.lab, not for n2.lab (server_name)|" + proven},
		{"another name, the client sent none", with(mutual(), unnamed, showing(leaf(func(p *template) { p.names = []string{"n9.lab"} }))), false, Medium,
			"it is for n9.lab, not for n2.lab (host of b@n2.lab, by epmd)|it runs verify_none, or checks no names"},
		{"common name only", with(mutual(), showing(leaf(func(p *template) { p.names, p.commonName = nil, "n2.lab" }))), true, Low, "only its common name is n2.lab|This does not show verify_none: OTP accepted the common name before ssl-11.7.1"},
		{"expired", with(mutual(), on(year(2031)), showing(ca.leaf(t, good))), false, High, "it expired at 2030-01-01T00:00:00Z|" + proven},
		{"expired an hour before", with(mutual(), on(year(2030).Add(time.Hour)), showing(ca.leaf(t, good))), true, Medium, "So the client runs verify_none, or its clock differs"},
		{"not yet valid, by an hour", with(mutual(), on(year(2025).Add(-time.Hour)), showing(ca.leaf(t, good))), true, Medium, "is not valid before 2025-01-01T00:00:00Z"},
		{"for clients only", with(mutual(), showing(leaf(func(p *template) { p.server = false }))), false, High, "without serverAuth|" + proven},
		{"self-signed, no CA", with(mutual(), showing(selfSigned)), false, Medium, "it is self-signed, which OTP refuses even if it is in the cacertfile|or has a custom verify_fun that accepts this certificate"},
		{"self-signed, another CA", with(mutual(), showing(selfSigned)), true, High, "it is self-signed, and not one of the CAs given (--ca)|So the client runs verify_none, or its cacertfile has other CAs"},
		{"unknown CA", with(mutual(), showing(newAuthority(t, "x").leaf(t, good))), true, High, "unknown CA: its issuer CN=x|other CAs than those given here"},
		{"unknown CA, no CA given", with(mutual(), showing(newAuthority(t, "x").leaf(t, good))), false, "", ""},
		{"signed with SHA-1, not checked", with(mutual(), showing(bytes.ReplaceAll(rsaCertificate(t, 2048), oidSHA256RSA, oidSHA1RSA))), true, "", ""},
		{"refused by the server", with(mutual(), showing(leaf(func(p *template) { p.names = []string{"n9.lab"} })), refusedBy(tls.RoleServer, "unknown_ca")), true, "", ""},
		{"not seen to be accepted", with(mutual(), showing(leaf(func(p *template) { p.names = []string{"n9.lab"} })), notAccepted), true, "", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			o := Options{}
			if r.ca {
				o.CAs = ca.pool()
				sending(ca.leaf(t, template{client: true, from: 2000, to: 2100}))(r.c)
			}
			j := Judge(capture(with(r.c, framed)), Coverage{}, o)
			if r.severity == "" {
				if slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Rule == ServerCertNotVerifiable }) {
					t.Errorf("%+v", j.Findings)
				}
				return
			}
			f := only(t, j, ServerCertNotVerifiable)
			if f.Severity != r.severity {
				t.Errorf("severity %s, want %s", f.Severity, r.severity)
			}
			for part := range strings.SplitSeq(r.message, "|") {
				if !strings.Contains(f.Message, part) {
					t.Errorf("%q is not in %q", part, f.Message)
				}
			}
		})
	}
}

// TestReasoning: the steps are in the evidence, each with its frame.
func TestReasoning(t *testing.T) {
	ca := newAuthority(t, "ca")
	wrong := ca.leaf(t, template{server: true, names: []string{"n9.lab"}, from: 2025, to: 2030})
	c := with(mutual(), framed, showing(wrong), sending(wrong))
	j := Judge(capture(c), Coverage{}, Options{})
	want := []Evidence{
		{frame(11), "the client asked for n2.lab"},
		{frame(14), "the server's certificate: it is for n9.lab, not for n2.lab (server_name)"},
		{frame(18), "the client continued the handshake nevertheless"},
	}
	if got := only(t, j, ServerCertNotVerifiable).Evidence; !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	want = []Evidence{
		{frame(18), "the client's certificate: its extended key usage is serverAuth, without clientAuth"},
		{frame(20), "seen (observed)"},
	}
	f := only(t, j, ClientCertNotVerifiable)
	if !slices.Equal(f.Evidence, want) || f.Severity != High || !strings.HasSuffix(f.Message, "So the server has a custom verify_fun that accepts this") {
		t.Errorf("%+v\nwant %+v", f, want)
	}
}

func TestExpiring(t *testing.T) {
	ca := newAuthority(t, "ca")
	leaf := ca.leaf(t, template{server: true, client: true, names: []string{"n2.lab"}, from: 2025, to: 2030})
	ending := authorityTemplate("below")
	ending.NotAfter = year(2028)
	below := ca.sign(t, ending)
	longer := below.leaf(t, template{server: true, client: true, names: []string{"n2.lab"}, from: 2025, to: 2099})
	const day = 24 * time.Hour
	for _, r := range []struct {
		name     string
		chain    [][]byte
		at       time.Time
		within   time.Duration
		severity Severity
		message  string
	}{
		{"in time", [][]byte{leaf}, year(2029), 30 * day, "", ""},
		{"31 days before", [][]byte{leaf}, year(2030).Add(-31 * day), 30 * day, "", ""},
		{"29 days before", [][]byte{leaf}, year(2030).Add(-29 * day), 30 * day, Medium, "the server's certificate without a subject expires at 2030-01-01T00:00:00Z, within 30 days of its use"},
		{"29 days before, not asked", [][]byte{leaf}, year(2030).Add(-29 * day), 0, "", ""},
		{"a second after", [][]byte{leaf}, year(2030).Add(time.Second), 0, High, "the server's certificate without a subject expired at 2030-01-01T00:00:00Z"},
		{"the CA's", [][]byte{longer, below.cert.Raw}, year(2028).Add(-day), 7 * day, Medium, "the CA certificate CN=below, which the server sent, expires at 2028-01-01T00:00:00Z, within 7 days"},
		{"a root does not matter", [][]byte{leaf, ca.cert.Raw}, year(2101), 0, High, "the server's certificate without a subject expired"},
		{"no time", [][]byte{leaf}, time.Unix(0, 0), 30 * day, "", ""},
	} {
		j := Judge(capture(with(mutual(), showing(r.chain...), on(r.at))), Coverage{}, Options{ExpiresWithin: r.within})
		if r.severity == "" {
			if found(j, CertificateExpired, High) || found(j, CertificateExpired, Medium) {
				t.Errorf("%s: %+v", r.name, j.Findings)
			}
			continue
		}
		if f := only(t, j, CertificateExpired); f.Severity != r.severity || !strings.HasPrefix(f.Message, r.message) {
			t.Errorf("%s: %s %s", r.name, f.Severity, f.Message)
		}
	}
}

// Certificates may expire while a connection is open.
func TestCertificatesExpireInUse(t *testing.T) {
	leaf := newAuthority(t, "ca").leaf(t, template{server: true, client: true, names: []string{"n2.lab"}, from: 2025, to: 2030})
	const day = 24 * time.Hour
	for _, r := range []struct {
		used    time.Time
		message string
	}{
		{time.Time{}, ""},
		{year(2030).Add(-31 * day), ""},
		{year(2030).Add(-29 * day), "the server's certificate without a subject expires at 2030-01-01T00:00:00Z, within 30 days of its use"},
		{year(2031), "the server's certificate without a subject expired at 2030-01-01T00:00:00Z, while the connection was open"},
	} {
		o := Options{ExpiresWithin: 30 * day, Used: func(*decode.Connection) time.Time { return r.used }}
		j := Judge(capture(with(mutual(), showing(leaf), on(year(2027)))), Coverage{}, o)
		if r.message == "" {
			if found(j, CertificateExpired, Medium) {
				t.Errorf("used until %v: %+v", r.used, j.Findings)
			}
			continue
		}
		if f := only(t, j, CertificateExpired); f.Severity != Medium || !strings.HasPrefix(f.Message, r.message) {
			t.Errorf("used until %v: %s %s", r.used, f.Severity, f.Message)
		}
	}
}

func TestWeakCertificates(t *testing.T) {
	weak192 := bytes.ReplaceAll(newAuthority(t, "ca").leaf(t, template{names: []string{"n2.lab"}, from: 2000, to: 2100}), oidP256, oidP192)
	strong := rsaCertificate(t, 2048)
	for _, r := range []struct {
		name     string
		der      []byte
		severity Severity
		message  string
	}{
		{"RSA 2048, SHA-256", strong, "", ""},
		{"RSA 1024", rsaCertificate(t, 1024), High, "the server's certificate CN=n2 has a weak key: RSA 1024, under 2048 bits"},
		{"P-192, which x509 refuses", weak192, High, "has a weak key: ECDSA secp192r1, under 224 bits"},
		{"SHA-1", bytes.ReplaceAll(strong, oidSHA256RSA, oidSHA1RSA), Medium, "the server's certificate CN=n2 is signed with SHA-1"},
		{"MD5", bytes.ReplaceAll(strong, oidSHA256RSA, oidMD5RSA), High, "the server's certificate CN=n2 is signed with MD5"},
	} {
		j := Judge(capture(with(mutual(), showing(r.der))), Coverage{}, Options{})
		if r.severity == "" {
			if len(j.Findings) > 0 {
				t.Errorf("%s: %+v", r.name, j.Findings)
			}
			continue
		}
		f := only(t, j, WeakTLS)
		if f.Severity != r.severity || !strings.Contains(f.Message, r.message) || f.Fix != newCertificateFix {
			t.Errorf("%s: %+v", r.name, f)
		}
	}
}

// TestRootsSignature: that of a root proves nothing, whatever its hash.
func TestRootsSignature(t *testing.T) {
	cert := readCertificate(newAuthority(t, "ca").cert.Raw)
	if !cert.SelfSigned || cert.Signature != "ECDSA-SHA256" {
		t.Fatalf("%+v", cert)
	}
	cert.Signature = "SHA1-RSA"
	r := ruler{}
	r.weakCertificate(mutual(), server, cert, true)
	if len(r.findings) > 0 {
		t.Errorf("%+v", r.findings)
	}
}

func TestWeakKey(t *testing.T) {
	for _, r := range []struct {
		key  Key
		want Severity // Info: not weak
	}{
		{Key{Name: "RSA", Bits: 2048}, Info}, {Key{Name: "RSA", Bits: 2047}, High}, {Key{Name: "RSA-PSS", Bits: 1024}, High}, {Key{Name: "RSA"}, Info},
		{Key{Name: "ECDSA", Curve: "P-224", Bits: 224}, Info}, {Key{Name: "ECDSA", Curve: "sect163k1", Bits: 163}, High}, {Key{Name: "ECDSA", Curve: "1.2.3"}, Info},
		{Key{Name: "DSA", Bits: 2048}, Medium}, {Key{Name: "Ed25519", Bits: 256}, Info}, {Key{Name: "ML-DSA-44"}, Info}, {Key{}, Info},
	} {
		if got, why := weakKey(r.key); got != r.want || (why == "") != (got == Info) {
			t.Errorf("%s: %s %q", r.key, got, why)
		}
	}
}

func TestWeakHandshakes(t *testing.T) {
	signed := func(client, server uint16) change {
		return func(c *decode.Connection) {
			c.TLS.ClientCertificate.Scheme, c.TLS.ServerCertificate.Scheme = secrets.Scheme(client), secrets.Scheme(server)
		}
	}
	for _, r := range []struct {
		name     string
		c        *decode.Connection
		severity Severity
		message  string
	}{
		{"SHA-256", with(mutual(), signed(0x0403, 0x0804)), "", ""},
		{"SHA-1 by the server", with(mutual(), signed(0x0403, 0x0203)), Low, "the server signs the handshake with SHA-1 (ecdsa_sha1), which is obsolete (RFC 9155); OTP 25 does so in TLS 1.2"},
		{"SHA-1 by the client", with(mutual(), signed(0x0201, 0x0403)), Low, "the client signs the handshake with SHA-1 (rsa_pkcs1_sha1)"},
		{"SHA-1 by both", with(mutual(), signed(0x0203, 0x0203)), Low, "both sides sign the handshake with SHA-1 (ecdsa_sha1)"},
		{"SHA-1 before TLS 1.2, where the version is reported", with(mutual(), signed(0x0203, 0x0203), func(c *decode.Connection) { c.TLS.Version = tls.TLS11 }), High, "TLS 1.1 is obsolete"},
		{"MD5", with(mutual(), signed(0x0403, 0x0101)), High, "the server signs the handshake with MD5 (rsa_pkcs1_md5)"},
		{"SHA-1, not accepted", with(mutual(), signed(0x0203, 0x0203), notAccepted), "", ""},
		{"compression", with(mutual(), func(c *decode.Connection) { c.TLS.Server.Compression = 1 }), Medium, "TLS compression"},
		{"renegotiation", with(mutual(), func(c *decode.Connection) { c.TLS.Renegotiated = true }), Low, "renegotiated; which side began is encrypted"},
		{"static RSA", with(mutual(), suite(0x009d)), Low, "TLS_RSA_WITH_AES_256_GCM_SHA384: no forward secrecy (static RSA: whoever"},
		{"static ECDH", with(mutual(), suite(0xc02e)), Low, "TLS_ECDH_ECDSA_WITH_AES_256_GCM_SHA384: no forward secrecy"},
	} {
		j := Judge(capture(r.c), Coverage{}, Options{})
		if r.severity == "" {
			if slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Rule == WeakTLS }) {
				t.Errorf("%s: %+v", r.name, j.Findings)
			}
			continue
		}
		if f := only(t, j, WeakTLS); f.Severity != r.severity || !strings.Contains(f.Message, r.message) {
			t.Errorf("%s: %s %s", r.name, f.Severity, f.Message)
		}
	}
}

func TestSharedKeys(t *testing.T) {
	ca := newAuthority(t, "ca")
	fresh := func() []byte {
		return ca.leaf(t, template{client: true, server: true, names: []string{"n2.lab"}, from: 2000, to: 2100})
	}
	one := fresh()
	// renewed has the key of one in another certificate.
	renewed := func() []byte {
		cert, err := x509.ParseCertificate(one)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(9), NotBefore: year(2000), NotAfter: year(2100), DNSNames: []string{"n2.lab"}}, ca.cert, cert.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}()
	many := func(n int) (out []*decode.Connection) {
		for i := range n {
			out = append(out, with(oneWay(), showing(one), func(c *decode.Connection) { c.Ends[server].Node = fmt.Sprintf("n%03d@lab", i) }))
		}
		return out
	}
	node := func(side int, name string) change { return func(c *decode.Connection) { c.Ends[side].Node = name } }
	from := func(address string) change {
		return func(c *decode.Connection) { c.Ends[client].Address = netip.MustParseAddrPort(address) }
	}
	for _, r := range []struct {
		name string
		c    []*decode.Connection
		want string // the start of the message; "": no finding
	}{
		{"each its own", []*decode.Connection{with(mutual(), sending(fresh()), showing(one))}, ""},
		{"the same node again", []*decode.Connection{with(oneWay(), showing(one)), with(oneWay(), showing(one))}, ""},
		{"both ends", []*decode.Connection{with(mutual(), sending(one), showing(one))}, "the same key serves 2 nodes, and whoever has one has all: 10.1.0.1, 10.1.0.2 (certificate "},
		{"both ends on one host", []*decode.Connection{with(mutual(), sending(one), showing(one), from("10.1.0.2:5000"))}, "the same key serves 2 nodes, and whoever has one has all: 10.1.0.2, a node on the same host (certificate "},
		{"two servers", []*decode.Connection{with(oneWay(), showing(one)), with(oneWay(), showing(one), at("10.1.0.3:9100"))}, "the same key serves 2 nodes, and whoever has one has all: 10.1.0.2, 10.1.0.3"},
		{"two nodes on one host", []*decode.Connection{with(oneWay(), showing(one), node(server, "a@n2.lab")), with(oneWay(), showing(one), node(server, "b@n2.lab"))}, "the same key serves 2 nodes, and whoever has one has all: a@n2.lab, b@n2.lab"},
		{"a node and a command-line tool", []*decode.Connection{with(oneWay(), showing(one), node(server, "rabbit@mq2")), with(oneWay(), showing(one), node(server, "rabbitmqcli-334-rabbit@mq2"))}, ""},
		{"command-line tools on two hosts", []*decode.Connection{with(oneWay(), showing(one), node(server, "rabbitmqcli-334-rabbit@mq2")), with(oneWay(), showing(one), node(server, "rabbitmqcli-334-rabbit@mq3"), at("10.1.0.3:35672"))}, "the same key serves 2 nodes, and whoever has one has all: 10.1.0.2, 10.1.0.3"},
		{"one node with two addresses", []*decode.Connection{with(oneWay(), showing(one), node(server, "a@n2.lab")), with(oneWay(), showing(one), node(server, "a@n2.lab"), at("10.9.0.2:1"))}, ""},
		{"named as a server, not as a client", []*decode.Connection{with(oneWay(), showing(one), node(server, "a@n2.lab")), with(mutual(), sending(one), showing(fresh()), from("10.1.0.2:5000"), at("10.1.0.3:1"))}, ""},
		{"the key in another certificate", []*decode.Connection{with(mutual(), sending(renewed), showing(one))}, "the same key serves 2 nodes"},
		{"many", many(100), "the same key serves 100 nodes, and whoever has one has all: n000@lab, n001@lab, n002@lab, n003@lab, n004@lab, n005@lab and 94 more (certificate "},
		{"not between nodes", []*decode.Connection{with(mutual(), sending(one), showing(one), generic), mutual()}, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			j := Judge(capture(r.c...), Coverage{}, Options{})
			if r.want == "" {
				if slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Rule == WeakTLS }) {
					t.Errorf("%+v", j.Findings)
				}
				return
			}
			f := only(t, j, WeakTLS)
			if f.Severity != Low || f.Fix != sharedKeyFix || !strings.HasPrefix(f.Message, r.want) || len(f.Connections) != len(r.c) || len(f.Evidence) == 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestPossessionReason(t *testing.T) {
	known := func(basis fact.Basis, signature fact.Fact) change {
		return func(c *decode.Connection) {
			c.TLS.ServerCertificate.Possession, c.TLS.ServerCertificate.Signature = basis, signature
		}
	}
	verified := fact.YesBy(fact.Verified, "the signature verifies")
	for name, r := range map[string]struct {
		c    *decode.Connection
		want string
	}{
		"verified":         {with(mutual(), known(fact.Verified, verified), func(c *decode.Connection) { c.TLS.ServerCertificate.Scheme = 0x0403 }), "the signature in the ServerKeyExchange verifies (ecdsa_secp256r1_sha256)"},
		"opened":           {with(mutual(), as13, known(fact.Verified, verified)), "the signature in the CertificateVerify verifies"},
		"inferred":         {with(mutual(), as13), "a record has the size of a CertificateVerify"},
		"wrong":            {with(mutual(), known(fact.None, fact.NoBy(fact.Verified, "ed25519: wrong signature"))), "ed25519: wrong signature"},
		"none":             {with(mutual(), known(fact.None, fact.Fact{})), ""},
		"static RSA":       {with(mutual(), suite(0x009d), known(fact.Observed, fact.Fact{})), "nothing is signed with this cipher suite; but only who has the certificate's key could have made the Finished, which the client accepted"},
		"unsupported":      {with(mutual(), known(fact.Observed, fact.UnknownBecause("Ed448 key: not supported"))), "there is a ServerKeyExchange, whose signature was not checked: Ed448 key: not supported"},
		"nothing was kept": {mutual(), "there is a ServerKeyExchange, whose signature was not checked"},
	} {
		if got := PossessionReason(r.c, server); got != r.want {
			t.Errorf("%s: %q, want %q", name, got, r.want)
		}
	}
	if got, want := PossessionReason(mutual(), client), "there is a CertificateVerify, whose signature was not checked"; got != want {
		t.Errorf("client: %q, want %q", got, want)
	}
	if got := PossessionReason(oneWay(), client); got != "" {
		t.Errorf("no certificate: %q", got)
	}
}
