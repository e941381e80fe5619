package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"distproof/report"
	"distproof/watch"
)

const index = `distproof watch

/metrics        for Prometheus
/healthz        200 while the network is seen, else 503 and why
/api/v1/report  the report so far (JSON, distproof.report/v1)
`

// newHandler returns what answers those who may ask.
func newHandler(o *Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, index) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { serveHealth(w, o.health()) })
	mux.Handle("GET /metrics", metricsHandler(o))
	mux.Handle("GET /api/v1/report", patient(compressed(&reportHandler{o.State, o.Log, make(chan struct{}, maxReports)})))
	return mux
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // who asked may be gone
}

func serveHealth(w http.ResponseWriter, trouble string) {
	if trouble != "" {
		text(w, http.StatusServiceUnavailable, report.Escape(trouble)+"\n")
		return
	}
	text(w, http.StatusOK, "ok\n")
}

func metricsHandler(o *Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(o), collectors.NewGoCollector(), newProcess())
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(o.Log.Handler(), slog.LevelError),
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})
}

// compressed has h's answers compressed for those who want that.
func compressed(h http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(false))
	if err != nil {
		panic(err) // the options are ours
	}
	return wrap(h)
}

// patient lets h write for as long as somebody reads.
func patient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&patientWriter{w, http.NewResponseController(w), time.Now().Add(reportTimeout)}, r)
	})
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	end     time.Time
}

func (w *patientWriter) Write(p []byte) (int, error) {
	deadline := time.Now().Add(stallTimeout)
	if deadline.After(w.end) {
		deadline = w.end
	}
	if err := w.control.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

type reportHandler struct {
	state   func() *watch.State
	log     *slog.Logger
	running chan struct{}
}

// ServeHTTP writes the document as -o json does.
func (h *reportHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := h.state()
	// Weak, as it is the same for all encodings. Numbers begin anew with a watch.
	tag := fmt.Sprintf(`W/"%x-%d"`, state.Started.UnixNano(), state.Number)
	header := w.Header()
	header.Set("ETag", tag)
	header.Set("Cache-Control", "private, no-cache")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", "application/json")
	if r.Method == http.MethodHead {
		return
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	default:
		header.Del("ETag")
		header.Set("Retry-After", "1")
		text(w, http.StatusServiceUnavailable, "others are reading the report\n")
		return
	}
	out := bufio.NewWriterSize(w, 64<<10)
	err := report.Render(out, state.Document, "json", report.Options{})
	if err = errors.Join(err, out.Flush()); err != nil {
		h.log.Debug("a report was not served to its end", "error", err)
		panic(http.ErrAbortHandler) // half a document is not to look like a whole one
	}
}

// matches reports whether an If-None-Match has the tag: RFC 9110, section 13.1.2.
func matches(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
