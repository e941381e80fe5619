package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
)

// A guard decides who is served.
type guard struct {
	// tls and token are nil without.
	tls   *rereader[*tls.Config]
	token *rereader[[sha256.Size]byte]
	// hosts are the names by which a browser may call this server; nil if any.
	hosts []string
}

func newGuard(o *Options, at *address) (*guard, error) {
	g := &guard{}
	var err error
	if o.CertFile != "" {
		files := slices.DeleteFunc(o.Files(), func(path string) bool { return path == o.TokenFile })
		if g.tls, err = newRereader(o.Log, files, func() (*tls.Config, error) { return readTLS(o) }); err != nil {
			return nil, err
		}
	}
	if o.TokenFile != "" {
		if g.token, err = newRereader(o.Log, []string{o.TokenFile}, func() ([sha256.Size]byte, error) { return readToken(o.TokenFile) }); err != nil {
			return nil, err
		}
	}
	if at.network != "unix" && o.ClientCAFile == "" && o.TokenFile == "" {
		g.hosts = []string{"localhost", at.host}
	}
	return g, nil
}

// listener puts TLS around l if there is any.
func (g *guard) listener(l net.Listener) net.Listener {
	if g.tls == nil {
		return l
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.tls.get(), nil },
	})
}

// wrap lets through to h what may pass.
func (g *guard) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		switch {
		case !g.calledByName(r.Host):
			header.Set("Connection", "close") // there are not many, and others may ask
			http.Error(w, "this name is not one of mine", http.StatusMisdirectedRequest)
		case !g.knows(r.Header.Get("Authorization")):
			header.Set("Connection", "close")
			header.Set("WWW-Authenticate", `Bearer realm="distproof"`)
			http.Error(w, "a token is needed: Authorization: Bearer TOKEN", http.StatusUnauthorized)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// calledByName is false for the names of other hosts. A page from elsewhere can
// have a browser on this host ask under its own name, whose address it changed to
// 127.0.0.1 (DNS rebinding), and read the answer.
func (g *guard) calledByName(host string) bool {
	if g.hosts == nil {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return host != "" && slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// knows compares in constant time.
func (g *guard) knows(authorization string) bool {
	if g.token == nil {
		return true
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), g.token.get()
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// readTLS reads the files of the server's side of TLS. There are no session
// tickets: whom the CAs do not vouch for any more is to fail at once.
func readTLS(o *Options) (*tls.Config, error) {
	certificate, _, err := readFile("--tls-cert", o.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := readSecret("--tls-key", o.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, &OptionError{fmt.Sprintf("--tls-cert %s, --tls-key %s: %v", o.CertFile, o.KeyFile, err), "a certificate (and those of its issuers) and its private key, as PEM"}
	}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{pair},
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
	}
	if o.ClientCAFile == "" {
		return config, nil
	}
	roots, _, err := readFile("--client-ca", o.ClientCAFile)
	if err != nil {
		return nil, err
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(roots) {
		return nil, &OptionError{"--client-ca " + o.ClientCAFile + ": no certificate in it", "the certificates of the CAs, as PEM"}
	}
	return config, nil
}

// The sizes of tokens, in bytes: fewer can be guessed, more do not fit into a
// header.
const (
	minToken = 16
	maxToken = 4 << 10
)

// readToken returns the hash of the token in a file.
func readToken(path string) (hash [sha256.Size]byte, err error) {
	content, err := readSecret("--token-file", path)
	if err != nil {
		return hash, err
	}
	token := strings.TrimSpace(string(content))
	visible := func(r rune) bool { return r > ' ' && r <= '~' }
	if len(token) < minToken || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return !visible(r) }) {
		return hash, &OptionError{
			fmt.Sprintf("--token-file %s: a token is a line of %d to %d visible characters of ASCII", path, minToken, maxToken),
			"(umask 077; openssl rand -hex 32 > " + path + ")",
		}
	}
	return sha256.Sum256([]byte(token)), nil
}

// maxFile is far more than certificates take.
const maxFile = 1 << 20

// readSecret reads what only the user, and perhaps a group, may read.
func readSecret(flag, path string) ([]byte, error) {
	content, mode, err := readFile(flag, path)
	if err != nil {
		return nil, err
	}
	// Windows has no such bits.
	if mode.Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, &OptionError{fmt.Sprintf("%s %s: every user of this host can read or change it", flag, path), "chmod o= " + path}
	}
	return content, nil
}

// readFile reads a file that a flag names.
func readFile(flag, path string) ([]byte, os.FileMode, error) {
	content, mode, err := readRegular(path)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s %s: %w", flag, path, err)
	}
	return content, mode, nil
}

func readRegular(path string) ([]byte, os.FileMode, error) {
	// Before opening: that would wait for who writes into a pipe.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file, which could be read again")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = errors.New("too large")
	}
	return content, info.Mode(), err
}

// Files returns the files that are read again while it is served.
func (o *Options) Files() []string {
	return slices.DeleteFunc([]string{o.CertFile, o.KeyFile, o.ClientCAFile, o.TokenFile}, func(path string) bool { return path == "" })
}
