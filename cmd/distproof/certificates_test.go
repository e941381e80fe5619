package main

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/capture"
	"distproof/decode/secrets"
	"distproof/report"
	"distproof/verify"
)

// judgedBy judges a capture with CAs, and the key log beside it if that is asked for.
func judgedBy(t *testing.T, data []byte, cas *x509.CertPool, keyLog string) *report.Document {
	t.Helper()
	src, err := capture.NewReader(bytes.NewReader(data), "test")
	if err != nil {
		t.Fatal(err)
	}
	o := analyzeOptions{Judge: true, CAs: cas, Expect: verify.Options{ExpiresWithin: 30 * 24 * time.Hour}}
	if keyLog != "" {
		o.Keys = keyringOf(readLog(t, secrets.Options{}, keyLog))
	}
	doc, err := analyze(src, o)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// overTLS returns the connections between nodes that came as far as TLS.
func overTLS(doc *report.Document) []report.Connection {
	return slices.DeleteFunc(slices.Clone(doc.Connections), func(c report.Connection) bool {
		return c.Verdict == nil || c.ServerCertificate == nil
	})
}

// TestCertificatesOfRealNodes: what is said of certificates with --ca.
func TestCertificatesOfRealNodes(t *testing.T) {
	const (
		hidden   = "not visible: TLS 1.3 encrypts certificates"
		none     = "no client certificate"
		unknown  = "unknown CA: its issuer"
		verifies = "chain to CN="
	)
	for _, r := range []struct {
		name, ca       string
		keyLog         bool
		client, server string // status: the start of the reason
		rules          string // DP105 and DP106 that are found
		reason         string // part of the connection's
	}{
		{name: "mutual_tls12", ca: "ca.pem", client: "ok:" + verifies, server: "ok:" + verifies},
		{name: "mutual_tls13", ca: "ca.pem", client: "not-checked:" + hidden, server: "not-checked:" + hidden},
		{name: "oneway_tls12", ca: "ca.pem", client: "not-checked:" + none, server: "ok:" + verifies},
		{name: "oneway_tls13", ca: "ca.pem", client: "not-checked:" + none, server: "not-checked:" + hidden},
		{name: "other_ca_rejected_tls12", ca: "ca.pem", client: "failed:" + unknown, server: "ok:" + verifies, reason: "the server refused with alert unknown_ca: it does not trust the CA of the client's certificate (CN="},
		{name: "empty_rejected_tls13", ca: "ca.pem", client: "not-checked:" + none, server: "not-checked:" + hidden, reason: "(inferred): the client has no certificate, and the server insists on one, most likely"},
		{name: "tls_to_plain", ca: "ca.pem", client: "not-checked:not visible in the capture", server: "not-checked:not visible in the capture", reason: "the server never answered the ClientHello: not a TLS listener, or a node that hangs, most likely"},

		{name: "otp25_tls12_enc_selfsigned", ca: "ca.crt", client: "not-checked:" + none, server: "failed:it is for nobody", rules: "DP106"},
		{name: "otp27_tls12_enc_selfsigned", ca: "ca.crt", client: "not-checked:" + none, server: "failed:it is for nobody", rules: "DP106"},
		{name: "otp25_tls12_enc_wrongname", ca: "ca.crt", client: "not-checked:" + none, server: "failed:it is for server, not for n2.lab (server_name)", rules: "DP106"},
		{name: "otp27_tls12_enc_wrongname", ca: "ca.crt", client: "not-checked:" + none, server: "failed:it is for server, not for n2.lab (server_name)", rules: "DP106"},
		{name: "otp27_tls12_enc_wrongname", client: "not-checked:" + none, server: "failed:it is for server, not for n2.lab (server_name)", rules: "DP106"},
		{name: "otp25_tls13_enc_wrongname", ca: "ca.crt", client: "not-checked:" + none, server: "not-checked:" + hidden},
		{name: "otp25_tls12_srvauth", ca: "ca.crt", client: "not-checked:" + none, server: "ok:" + verifies},
		{name: "otp27_tls12_srvauth", ca: "ca.crt", client: "not-checked:" + none, server: "ok:" + verifies},
		{name: "otp25_tls12_mutual_int", ca: "ca.crt", client: "ok:" + verifies, server: "ok:" + verifies},
		{name: "otp25_tls12_mutual", ca: "otherca.crt", client: "failed:" + unknown, server: "failed:" + unknown, rules: "DP105 DP106"},
		{name: "otp27_tls12_mutual_rsa", ca: "otherca.crt", client: "failed:" + unknown, server: "failed:" + unknown, rules: "DP105 DP106"},
		{name: "otp25_tls13_mutual", ca: "otherca.crt", client: "not-checked:" + hidden, server: "not-checked:" + hidden},
		{name: "otp25_13_mutual_keylog", ca: "ca.crt", keyLog: true, client: "ok:" + verifies, server: "ok:" + verifies},
		{name: "otp27_13_mutual_keylog", ca: "otherca.crt", keyLog: true, client: "failed:" + unknown, server: "failed:" + unknown, rules: "DP105 DP106"},
		{name: "otp25_tls12_reject_otherca", ca: "ca.crt", client: "failed:" + unknown, server: "ok:" + verifies, reason: "alert unknown_ca: it does not trust the CA of the client's certificate (CN=other CA,O=elsewhere)"},
		{name: "otp25_tls12_reject_nocert", ca: "ca.crt", client: "not-checked:" + none, server: "ok:" + verifies, reason: "the client has no certificate, and the server insists on one"},
		{name: "otp25_tls12_srvauth_wrongname", ca: "ca.crt", client: "not-checked:" + none, server: "failed:it is for server", reason: "alert handshake_failure: host name mismatch: the certificate is for server, the client asked for n2.lab"},
		{name: "otp27_tls12_srvauth_wrongname", ca: "ca.crt", client: "not-checked:" + none, server: "failed:it is for server", reason: "alert bad_certificate: host name mismatch: the certificate is for server, the client asked for n2.lab"},
	} {
		t.Run(strings.Join([]string{r.name, r.ca}, " "), func(t *testing.T) {
			dir := pcapsDir
			data, err := os.ReadFile(filepath.Join(dir, r.name+".pcap"))
			if err != nil {
				dir = sharedDir
				if data, err = os.ReadFile(filepath.Join(dir, r.name+".pcap")); err != nil {
					t.Skip("an additional capture, which is not here")
				}
			}
			var paths []string
			if r.ca != "" {
				paths = []string{filepath.Join(dir, r.ca)}
			}
			cas, err := loadCAs(refs(paths...))
			if err != nil {
				t.Fatal(err)
			}
			keyLog := ""
			if r.keyLog {
				keyLog = filepath.Join(dir, r.name+".keylog")
			}
			doc := judgedBy(t, data, cas, keyLog)
			conns := overTLS(doc)
			if len(conns) == 0 {
				t.Fatal("no connection over TLS")
			}
			for _, c := range conns {
				checkResult(t, "client", c.ClientCertificate.Verification, r.client)
				checkResult(t, "server", c.ServerCertificate.Verification, r.server)
				if !strings.Contains(c.Reason, r.reason) {
					t.Errorf("reason %q, want %q", c.Reason, r.reason)
				}
			}
			var rules []string
			for _, f := range doc.Findings {
				if f.Rule == "DP105" || f.Rule == "DP106" {
					rules = append(rules, f.Rule)
				}
			}
			if got := strings.Join(rules, " "); got != r.rules {
				t.Errorf("findings %q, want %q", got, r.rules)
			}
		})
	}
}

func checkResult(t *testing.T, who string, got report.Verification, want string) {
	t.Helper()
	status, reason, _ := strings.Cut(want, ":")
	if got.Status != status || !strings.HasPrefix(got.Reason, reason) {
		t.Errorf("%s: %s %q, want %s %q", who, got.Status, got.Reason, status, reason)
	}
}

// TestClientThatAskedForAnotherHost: the packets alone show that it verifies nothing.
func TestClientThatAskedForAnotherHost(t *testing.T) {
	data, err := os.ReadFile(pcapsDir + "/oneway_tls12.pcap")
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("\x00\x00\x06n2.lab") // host_name, length (RFC 6066, Section 3)
	if bytes.Count(data, name) != 1 {
		t.Fatalf("%d server names in the capture", bytes.Count(data, name))
	}
	doc := judgedBy(t, bytes.Replace(data, name, []byte("\x00\x00\x06n9.lab"), 1), nil, "")
	i := slices.IndexFunc(doc.Findings, func(f report.Finding) bool { return f.Rule == "DP106" })
	if i < 0 {
		t.Fatalf("%+v", doc.Findings)
	}
	f := doc.Findings[i]
	if f.Severity != "high" || !strings.Contains(f.Message, "not for n9.lab (server_name). So the client runs verify_none") || len(f.Evidence) != 3 {
		t.Errorf("%+v", f)
	}
	for j := 1; j < len(f.Evidence); j++ {
		if f.Evidence[j].Frame <= f.Evidence[j-1].Frame {
			t.Errorf("steps that are not in the order of frames: %+v", f.Evidence)
		}
	}
}

// TestSignatureSchemesOfReleases: OTP 25 signs with SHA-1 in TLS 1.2, OTP 27
// does not. Runs where these captures are.
func TestSignatureSchemesOfReleases(t *testing.T) {
	for name, want := range map[string]bool{"otp25_tls12_mutual": true, "otp25_tls12_mutual_rsa": true, "otp27_tls12_mutual": false, "otp27_tls12_mutual_rsa": false} {
		data, err := os.ReadFile(filepath.Join(sharedDir, name+".pcap"))
		if err != nil {
			continue
		}
		doc := judgedBy(t, data, nil, "")
		got := slices.ContainsFunc(doc.Findings, func(f report.Finding) bool {
			return f.Rule == "DP107" && f.Severity == "low" && strings.Contains(f.Message, "both sides sign the handshake with SHA-1")
		})
		if got != want {
			t.Errorf("%s: SHA-1 reported: %t, want %t", name, got, want)
		}
		if doc.Conclusion != "pass" {
			t.Errorf("%s: %s: %s", name, doc.Conclusion, doc.Reason)
		}
	}
}
