package report_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distproof/decode"
	"distproof/report"
	"distproof/verify"
)

// certificateWithAll has every field that the document shows.
func certificateWithAll(t *testing.T) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(0xabcd), Subject: pkix.Name{CommonName: "n1"},
		NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		DNSNames: []string{"n1.lab", "n1"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1), net.ParseIP("fd00::1")},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "lab", Path: "/n1"}}, EmailAddresses: []string{"ops@lab"},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageCRLSign | x509.KeyUsageDecipherOnly,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3, 4}},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err = x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func TestCertificateFields(t *testing.T) {
	der, key := certificateWithAll(t)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	c := overTLS(1)
	c.TLS.ServerCertificate.Chain = [][]byte{der}
	got := build(&decode.Capture{Connections: []*decode.Connection{c}}).Connections[0].ServerCertificate.Chain
	want := []report.Certificate{{
		Subject: "CN=n1", Issuer: "CN=n1", Serial: "abcd", NotBefore: "2026-01-02T03:04:05Z", NotAfter: "2027-01-02T03:04:05Z",
		DNSNames: []string{"n1.lab", "n1"}, IPAddresses: []string{"10.0.0.1", "fd00::1"}, URIs: []string{"spiffe://lab/n1"}, EmailAddresses: []string{"ops@lab"},
		Key: "ECDSA P-256", SignatureAlgorithm: "ECDSA-SHA256",
		KeyUsage:         []string{"digitalSignature", "nonRepudiation", "cRLSign", "decipherOnly"},
		ExtendedKeyUsage: []string{"serverAuth", "clientAuth", "1.2.3.4"},
		IsCA:             true, SelfSigned: true, SHA256: sum(der), SPKISHA256: sum(spki),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRefusedCertificates: what x509 refuses is kept as it is.
func TestRefusedCertificates(t *testing.T) {
	der, _ := certificateWithAll(t)
	prime256v1 := []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
	prime192v1 := []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1}
	for name, r := range map[string]struct {
		der                     []byte
		problem, key, algorithm string
	}{
		"another curve": {bytes.ReplaceAll(der, prime256v1, prime192v1), "unsupported elliptic curve", "ECDSA secp192r1", "1.2.840.10045.4.3.2"},
		"nonsense":      {[]byte("nonsense"), "malformed", "", ""},
		"cut":           {der[:len(der)-1], "malformed", "", ""},
		"empty":         {nil, "malformed", "", ""},
	} {
		c := overTLS(1)
		c.TLS.ServerCertificate.Chain = [][]byte{r.der}
		server := build(&decode.Capture{Connections: []*decode.Connection{c}}).Connections[0].ServerCertificate
		got, sum := server.Chain[0], sha256.Sum256(r.der)
		if !strings.Contains(got.Problem, r.problem) || got.Key != r.key || got.SignatureAlgorithm != r.algorithm || got.SHA256 != hex.EncodeToString(sum[:]) || (got.SPKISHA256 == "") != (r.key == "") {
			t.Errorf("%s: %+v", name, got)
		}
		if raw, err := base64.StdEncoding.DecodeString(got.Raw); err != nil || !bytes.Equal(raw, r.der) {
			t.Errorf("%s: raw %s", name, got.Raw)
		}
		if server.Verification.Status != "not-checked" || !strings.HasPrefix(server.Verification.Reason, "the certificate cannot be parsed: ") {
			t.Errorf("%s: %+v", name, server.Verification)
		}
	}
}

// TestVerificationInDocument: all that is wrong is listed, and shown in the
// wide table.
func TestVerificationInDocument(t *testing.T) {
	der, _ := certificateWithAll(t)
	c := overTLS(1)
	c.First = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	c.TLS.Client.ServerName = "n9.lab"
	c.TLS.ServerCertificate.Chain = [][]byte{der}
	doc := build(&decode.Capture{Connections: []*decode.Connection{c}})
	want := report.Verification{Status: "failed", Problems: []string{
		"it is for n1.lab, n1, 10.0.0.1, fd00::1, not for n9.lab (server_name)",
		"it expired at 2027-01-02T03:04:05Z",
		"it is self-signed, which OTP refuses even if it is in the cacertfile",
	}}
	want.Reason = strings.Join(want.Problems, "; ")
	if diff := cmp.Diff(want, doc.Connections[0].ServerCertificate.Verification); diff != "" {
		t.Error(diff)
	}
	var out bytes.Buffer
	if err := report.Render(&out, doc, "wide", report.Options{}); err != nil || !strings.Contains(out.String(), "CN=n1 (failed)") {
		t.Errorf("%v:\n%s", err, &out)
	}
}

// TestOwnFix: a finding may have a fix of its own.
func TestOwnFix(t *testing.T) {
	c := overTLS(1)
	j := verify.Judge(&decode.Capture{Connections: []*decode.Connection{c}}, verify.Coverage{}, verify.Options{})
	j.Findings = []verify.Finding{{Rule: verify.WeakTLS, Severity: verify.Low, Fix: "its own"}, {Rule: verify.WeakTLS, Severity: verify.Low}}
	doc := report.New(tool, nil, nil, &decode.Capture{Connections: []*decode.Connection{c}}, j)
	if doc.Findings[0].Fix != "its own" || doc.Findings[1].Fix != verify.WeakTLS.Fix() {
		t.Errorf("%+v", doc.Findings)
	}
}
