package serve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// An identity is a certificate and its key, in files and as it is.
type identity struct {
	certFile, keyFile string
	pair              tls.Certificate
}

// newIdentity makes one that issuer signs, or itself if that is nil.
func newIdentity(t *testing.T, name string, issuer *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: issuer == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.pair.Leaf, issuer.pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	i := &identity{}
	dir := t.TempDir()
	i.certFile = writeFile(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	i.keyFile = writeFile(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	if i.pair, err = tls.LoadX509KeyPair(i.certFile, i.keyFile); err != nil {
		t.Fatal(err)
	}
	return i
}

func writeFile(t *testing.T, path string, content []byte, mode os.FileMode) string {
	t.Helper()
	// Into its place, as those that renew certificates and secrets do.
	if err := os.WriteFile(path+".new", content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask returns the status, or the error.
func ask(t *testing.T, url string, config *tls.Config, authorization string) (int, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: time.Minute}
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	answer, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	answer.Body.Close()
	return answer.StatusCode, nil
}

func TestTLS(t *testing.T) {
	ca, otherCA := newIdentity(t, "ca", nil), newIdentity(t, "other ca", nil)
	server, client, stranger := newIdentity(t, "server", ca), newIdentity(t, "client", ca), newIdentity(t, "stranger", otherCA)
	roots := x509.NewCertPool()
	roots.AddCert(ca.pair.Leaf)
	trusting := func(certificates ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: roots, Certificates: certificates}
	}
	// Sends its certificate even if the server names other issuers.
	insisting := trusting()
	insisting.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger.pair, nil }
	old := trusting(client.pair)
	old.MaxVersion = tls.VersionTLS12

	s := newServer(t, Options{CertFile: server.certFile, KeyFile: server.keyFile, ClientCAFile: ca.certFile})
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Fatal(s.URL())
	}
	for name, config := range map[string]*tls.Config{"no certificate": trusting(), "of another CA": insisting, "TLS 1.2": old} {
		if status, err := ask(t, s.URL(), config, ""); err == nil {
			t.Errorf("%s: served: %d", name, status)
		}
	}
	if status, err := ask(t, s.URL(), trusting(client.pair), ""); status != 200 || err != nil {
		t.Errorf("with a certificate: %d, %v", status, err)
	}
	if answer, _ := get(t, "GET", strings.Replace(s.URL(), "https", "http", 1), nil); answer.StatusCode != 400 {
		t.Errorf("without TLS: %s", answer.Status)
	}

	open := newServer(t, Options{CertFile: server.certFile, KeyFile: server.keyFile})
	if status, err := ask(t, open.URL(), trusting(), ""); status != 200 || err != nil {
		t.Errorf("without --client-ca: %d, %v", status, err)
	}
}

func TestToken(t *testing.T) {
	const token = "0123456789abcdef"
	ca := newIdentity(t, "ca", nil)
	server := newIdentity(t, "server", ca)
	roots := x509.NewCertPool()
	roots.AddCert(ca.pair.Leaf)
	file := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte(token+"\n"), 0o640)
	s := newServer(t, Options{Listen: "127.0.0.1:0", CertFile: server.certFile, KeyFile: server.keyFile, TokenFile: file})
	for authorization, want := range map[string]int{
		"Bearer " + token: 200, "bearer  " + token + " ": 200,
		"": 401, token: 401, "Bearer": 401, "Bearer ": 401, "Bearer " + token[:15]: 401, "Bearer " + token + "0": 401,
		"Basic " + token: 401, "Bearer " + strings.ToUpper(token): 401,
	} {
		for _, path := range []string{"", "healthz", "metrics", "api/v1/report", "nothing"} {
			want := want
			if want == 200 && path == "nothing" {
				want = 404
			}
			if status, err := ask(t, s.URL()+path, &tls.Config{RootCAs: roots}, authorization); status != want || err != nil {
				t.Errorf("/%s, %q: %d, %v; want %d", path, authorization, status, err, want)
			}
		}
	}
}

func TestFilesRefused(t *testing.T) {
	one, two := newIdentity(t, "one", nil), newIdentity(t, "two", nil)
	dir := t.TempDir()
	token := func(name, content string, mode os.FileMode) string {
		return writeFile(t, filepath.Join(dir, name), []byte(content), mode)
	}
	const good = "0123456789abcdef"
	readable, err := os.ReadFile(one.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"no token file":        {Options{TokenFile: filepath.Join(dir, "none")}, "--token-file " + filepath.Join(dir, "none") + ": no such file or directory"},
		"readable by all":      {Options{TokenFile: token("all", good, 0o604)}, "every user of this host"},
		"writable by all":      {Options{TokenFile: token("writable", good, 0o602)}, "every user of this host"},
		"short":                {Options{TokenFile: token("short", good[1:]+"\n", 0o600)}, "a token is a line of 16 to"},
		"empty":                {Options{TokenFile: token("empty", "", 0o600)}, "a token is a line of 16 to"},
		"two lines":            {Options{TokenFile: token("lines", good+"\n"+good, 0o600)}, "a token is a line of 16 to"},
		"not ASCII":            {Options{TokenFile: token("bytes", good+"\xff", 0o600)}, "a token is a line of 16 to"},
		"long":                 {Options{TokenFile: token("long", strings.Repeat("x", maxToken+1), 0o600)}, "a token is a line of 16 to"},
		"endless":              {Options{TokenFile: token("endless", strings.Repeat("x", maxFile+1), 0o600)}, "too large"},
		"a folder":             {Options{TokenFile: dir}, "not a regular file"},
		"a device":             {Options{TokenFile: os.DevNull}, "not a regular file"},
		"key readable by all":  {Options{CertFile: one.certFile, KeyFile: token("key", string(readable), 0o644)}, "--tls-key"},
		"key of another":       {Options{CertFile: one.certFile, KeyFile: two.keyFile}, "private key does not match"},
		"no certificate":       {Options{CertFile: one.keyFile, KeyFile: one.keyFile}, "--tls-cert"},
		"no CA":                {Options{CertFile: one.certFile, KeyFile: one.keyFile, ClientCAFile: one.keyFile}, "no certificate in it"},
		"CA file that is gone": {Options{CertFile: one.certFile, KeyFile: one.keyFile, ClientCAFile: "none"}, "--client-ca none: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(name, "by all") {
				t.Skip("Windows has no such rights")
			}
			tt.o.Listen, tt.o.Log = "127.0.0.1:0", testLog(t)
			s, err := New(tt.o)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestFilesChange checks that what is renewed counts, and what cannot be used does
// not take away what was there.
func TestFilesChange(t *testing.T) {
	var logged bytes.Buffer
	one, two := newIdentity(t, "one", nil), newIdentity(t, "two", nil)
	file := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte("first-first-first"), 0o600)
	o := &Options{CertFile: one.certFile, KeyFile: one.keyFile, ClientCAFile: one.certFile, TokenFile: file, Log: slog.New(slog.NewTextHandler(&logged, nil))}
	g, err := newGuard(o, &address{network: "tcp"})
	if err != nil {
		t.Fatal(err)
	}
	h := g.wrap(http.NotFoundHandler())
	knows := func(token string) bool {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code != http.StatusUnauthorized
	}
	steps := []struct {
		name    string
		content string
		mode    os.FileMode
		want    string // the token that counts
		warned  bool
	}{
		{"renewed", "second-second-second", 0o600, "second-second-second", false},
		{"readable by all", "third-third-third", 0o644, "second-second-second", true},
		{"mended", "third-third-third", 0o600, "third-third-third", false},
		{"emptied", "", 0o600, "third-third-third", true},
	}
	for _, step := range steps {
		writeFile(t, file, []byte(step.content), step.mode)
		g.token.checked = time.Time{}
		logged.Reset()
		if !knows(step.want) {
			t.Errorf("%s: %q does not count", step.name, step.want)
		}
		if step.want != step.content && knows(step.content) {
			t.Errorf("%s: %q counts", step.name, step.content)
		}
		if warned := strings.Contains(logged.String(), "WARN"); warned != step.warned {
			t.Errorf("%s: logged %s", step.name, &logged)
		}
		if strings.Contains(logged.String(), "third") || strings.Contains(logged.String(), "second") {
			t.Errorf("%s: the token is in the log: %s", step.name, &logged)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	g.token.checked = time.Time{}
	if !knows("third-third-third") {
		t.Error("removed: the last token does not count")
	}

	// A certificate is renewed in two steps.
	copyFile := func(from, to string, mode os.FileMode) {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, to, content, mode)
	}
	served := func() string {
		g.tls.checked = time.Time{}
		return g.tls.get().Certificates[0].Leaf.Subject.CommonName
	}
	copyFile(two.certFile, one.certFile, 0o644)
	if got := served(); got != "one" {
		t.Errorf("with half of it renewed, %q is served", got)
	}
	copyFile(two.keyFile, one.keyFile, 0o600)
	if got := served(); got != "two" {
		t.Errorf("renewed, %q is served", got)
	}
}

func TestFiles(t *testing.T) {
	o := Options{CertFile: "cert", KeyFile: "key", TokenFile: "token"}
	if got := strings.Join(o.Files(), " "); got != "cert key token" {
		t.Error(got)
	}
}
