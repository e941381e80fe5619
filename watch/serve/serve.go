// Package serve shows over HTTP what a watch knows: metrics for Prometheus, its
// health, and the report.
//
// All of it is made from the newest [watch.State] when somebody asks, and never
// makes the engine wait.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"distproof/watch"
	"distproof/watch/keep"
)

// What one who asks may take.
const (
	maxConnections = 64
	maxHeader      = 8 << 10
	maxScrapes     = 4
	// A report is written on all processors, which are there to capture.
	maxReports = 2

	headerTimeout = 5 * time.Second
	// answerTimeout is for all but reports, which may be large: stallTimeout is
	// for each piece of theirs, and reportTimeout for the whole.
	answerTimeout = 20 * time.Second
	stallTimeout  = 30 * time.Second
	reportTimeout = 10 * time.Minute
	idleTimeout   = 2 * time.Minute
	// partingTime is how long Close waits for answers under way.
	partingTime = 500 * time.Millisecond
)

// Options say what is served, where, and to whom.
type Options struct {
	// Listen is HOST:PORT, or unix:PATH. Without a host it is this host alone
	// that is served: 127.0.0.1.
	Listen string
	// CertFile and KeyFile (PEM) switch TLS on. They, and the files below, are
	// read anew when they change.
	CertFile, KeyFile string
	// ClientCAFile has the CAs (PEM) of those who may connect; empty if no client
	// certificate is asked for.
	ClientCAFile string
	// TokenFile has the token that is to be sent along; empty for none.
	TokenFile string
	// State returns the newest State.
	State func() *watch.State
	// Packets counts the packets read so far, which State may not have yet; nil if
	// that is not known.
	Packets func() uint64
	// Saved returns what became of packets that are to be saved; nil if none are.
	Saved func() keep.Counters
	// Version is that of the program.
	Version string
	Log     *slog.Logger
}

// An OptionError says what is wrong with Options, and what would be right.
type OptionError struct{ text, hint string }

func (e *OptionError) Error() string { return e.text }

// Hint says what would be right, a line for each advice.
func (e *OptionError) Hint() string { return e.hint }

// A Server serves from the moment it is made.
type Server struct {
	url  string
	http *http.Server
	done chan struct{}
}

// New binds the address and begins to serve. Its files are read once before, so
// that what is wrong with them is said at once.
func New(o Options) (*Server, error) {
	at, err := o.address()
	if err != nil {
		return nil, err
	}
	guard, err := newGuard(&o, at)
	if err != nil {
		return nil, err
	}
	listener, err := at.listen()
	if err != nil {
		return nil, cannotListen(o.Listen, err)
	}
	s := &Server{
		url:  at.url(listener.Addr(), guard.tls != nil),
		done: make(chan struct{}),
		http: &http.Server{
			Handler:           guard.wrap(newHandler(&o)),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       headerTimeout,
			WriteTimeout:      answerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			// Whoever scans ports fails to shake hands, as often as they like.
			ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		},
	}
	go func() {
		defer close(s.done)
		err := s.http.Serve(guard.listener(netutil.LimitListener(listener, maxConnections)))
		if !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("metrics, health and report are not served any more", "listen", o.Listen, "error", err)
		}
	}()
	return s, nil
}

// URL is where the index is; for a Unix socket unix: and its path.
func (s *Server) URL() string { return s.url }

// Close stops serving. Answers under way have half a second to get through.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), partingTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}

// An address is where to listen.
type address struct {
	network, address string
	// host is what the user wrote, without the port.
	host string
	// local says that other hosts cannot reach it.
	local bool
}

func (a *address) url(bound net.Addr, secure bool) string {
	switch {
	case a.network == "unix":
		return "unix:" + a.address
	case secure:
		return "https://" + bound.String() + "/"
	}
	return "http://" + bound.String() + "/"
}
