package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"distproof/watch"
	"distproof/watch/view"
)

// A screen is the table on the terminal. While it is shown, nothing else may be
// written there: what is said on stderr is shown in it, and comes after it.
type screen struct {
	keys  *os.File
	out   io.Writer
	color bool
	notes chan view.Note

	stderr io.Writer // where what was said goes in the end
	mu     sync.Mutex
	held   bytes.Buffer
	ended  bool
}

// maxHeld bounds what is said on stderr after the table.
const maxHeld = 64 << 10

// newScreen returns nil if there is no terminal for keys.
func newScreen(out, stderr io.Writer, color bool) *screen {
	keys, err := view.Terminal()
	if err != nil {
		return nil
	}
	const many = 64
	return &screen{keys: keys, out: out, color: color, notes: make(chan view.Note, many), stderr: stderr}
}

// show shows the engine until the user ends it, or ctx does.
func (s *screen) show(ctx context.Context, engine *watch.Engine) error {
	defer s.release()
	defer s.keys.Close()
	return view.Run(ctx, engine, view.Options{In: s.keys, Out: s.out, Color: s.color, Notes: s.notes})
}

// Write takes what comes on stderr after the table.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return s.stderr.Write(p)
	}
	if s.held.Len() < maxHeld {
		s.held.Write(p)
	}
	return len(p), nil
}

// release says what was held back.
func (s *screen) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		_, _ = s.stderr.Write(s.held.Bytes())
	}
}

// note has a note shown. If many come at once, some are left out: they must not
// make what they come from wait.
func (s *screen) note(n view.Note) {
	select {
	case s.notes <- n:
	default:
	}
}

func (s *screen) event(e *watch.Event) {
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	if err != nil {
		at = time.Now()
	}
	s.note(view.Note{Time: at, Severity: e.Severity, Text: e.Message})
}

// newLog says on stderr what watch does, and while there is a table on that
// terminal, in it.
func newLog(stderr io.Writer, s *screen, format string, quiet bool) *slog.Logger {
	shown := s != nil && isTerminal(stderr)
	if shown {
		stderr = s
	}
	o := &slog.HandlerOptions{}
	if quiet {
		o.Level = slog.LevelWarn
	}
	var h slog.Handler = slog.NewTextHandler(stderr, o)
	if format == "json" {
		h = slog.NewJSONHandler(stderr, o)
	}
	if shown {
		h = noteHandler{h, s}
	}
	return slog.New(h)
}

// A noteHandler also shows what is logged.
type noteHandler struct {
	slog.Handler
	screen *screen
}

// Handle implements [slog.Handler].
func (h noteHandler) Handle(ctx context.Context, r slog.Record) error {
	n := view.Note{Time: r.Time, Text: r.Message}
	if r.Level >= slog.LevelWarn {
		n.Severity = "warning"
	}
	r.Attrs(func(a slog.Attr) bool {
		n.Text += " " + a.String()
		return true
	})
	h.screen.note(n)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h noteHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return noteHandler{h.Handler.WithAttrs(attrs), h.screen}
}

// WithGroup implements [slog.Handler].
func (h noteHandler) WithGroup(name string) slog.Handler {
	return noteHandler{h.Handler.WithGroup(name), h.screen}
}
