package main

import (
	"log/slog"

	"github.com/spf13/pflag"

	"distproof/watch"
	"distproof/watch/keep"
	"distproof/watch/serve"
)

// serveSettings are the flags of what is served over HTTP.
type serveSettings struct {
	listen, certFile, keyFile, clientCAFile, tokenFile string
	// packets counts the packets read so far; nil if that is not known.
	packets func() uint64
	// saved is what became of packets that are to be saved; nil if none are.
	saved func() keep.Counters
}

func serveFlags(f *pflag.FlagSet, s *serveSettings) {
	f.StringVar(&s.listen, "listen", "", "serve metrics for Prometheus, health and the report over HTTP on `ADDR`: HOST:PORT, unix:PATH, or :PORT for this host alone")
	f.StringVar(&s.certFile, "tls-cert", "", "serve over TLS with the certificate chain in `FILE` (PEM)")
	f.StringVar(&s.keyFile, "tls-key", "", "the private key of --tls-cert, in `FILE` (PEM)")
	f.StringVar(&s.clientCAFile, "client-ca", "", "serve only clients with a certificate from the CAs in `FILE` (PEM)")
	f.StringVar(&s.tokenFile, "token-file", "", "serve only clients that send the token in `FILE` (Authorization: Bearer)")
}

func (s *serveSettings) options() serve.Options {
	return serve.Options{
		Listen: s.listen, CertFile: s.certFile, KeyFile: s.keyFile, ClientCAFile: s.clientCAFile, TokenFile: s.tokenFile,
		Packets: s.packets, Saved: s.saved,
	}
}

// check finds what makes no sense, without reading or binding anything.
func (s *serveSettings) check() error {
	o := s.options()
	return o.Check()
}

// files returns the files that are read again while it runs.
func (s *serveSettings) files() []string {
	o := s.options()
	return o.Files()
}

// start serves until stop is called, which waits for half a second at most. It
// binds and reads its files at once, so that what was possible before privileges
// are dropped stays possible. Without --listen it does nothing, and addr is empty.
func (s *serveSettings) start(log *slog.Logger, state func() *watch.State, tool string) (stop func(), addr string, err error) {
	if err := s.check(); err != nil || s.listen == "" {
		return func() {}, "", err
	}
	o := s.options()
	o.Log, o.State, o.Version = log, state, tool
	server, err := serve.New(o)
	if err != nil {
		return nil, "", err
	}
	return server.Close, server.URL(), nil
}
