package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"distproof/report"
	"distproof/watch"
)

// An eventWriter writes a line for each event, at once.
type eventWriter struct {
	w              io.Writer
	json, findings bool

	mu  sync.Mutex
	err error // the first one; after it nothing is written
}

func newEventWriter(w io.Writer, json, findings bool) *eventWriter {
	return &eventWriter{w: w, json: json, findings: findings}
}

// quietEvents are written with --quiet: what is found, and what keeps from finding
// more.
func quietEvents() []string {
	return []string{watch.EventFinding, watch.EventResolved, watch.EventLoss, watch.EventBlind}
}

func (w *eventWriter) write(e *watch.Event) {
	if w.findings && !slices.Contains(quietEvents(), e.Event) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
	case w.json:
		w.err = report.WriteLine(w.w, e)
	default:
		_, w.err = io.WriteString(w.w, eventLine(e)+"\n")
	}
}

// failure is what went wrong with writing.
func (w *eventWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// eventLine is an event for people.
func eventLine(e *watch.Event) string {
	at := e.Time
	if t, err := time.Parse(time.RFC3339Nano, e.Time); err == nil {
		at = t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	line := fmt.Sprintf("%s %-9s ", at, e.Event)
	if e.Severity != "" && e.Severity != "info" {
		line += report.Escape(e.Severity) + ": "
	}
	return line + report.Escape(e.Message)
}

// event takes what the engine tells.
func (w *watching) event(e watch.Event) {
	if w.events != nil {
		w.events.write(&e)
	}
	if w.screen != nil {
		w.screen.event(&e)
	}
}
