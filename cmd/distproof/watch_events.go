package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"distproof/report"
	"distproof/watch"
)

// How many bytes of events wait to be written.
const (
	mostWaiting  = 64 << 20
	leastWaiting = 4 << 20
	// waitingShare is the part of --max-memory that they may take.
	waitingShare = 16
	// atOnce is how much is written at once: it is gone when it was taken.
	atOnce = 16 << 10
)

// outputPatience is for how long at the end nothing may be taken of what is still
// to be written.
const outputPatience = 10 * time.Second

// An eventWriter writes a line for each event, as soon as the output takes it. What
// waits for it is bounded: half of the bound is for those that matter more.
type eventWriter struct {
	w              io.Writer
	json, findings bool
	most           int
	patience       time.Duration
	// again is called when there is room after something was not taken.
	again func()

	more, room chan struct{} // something is to be written; was written
	mu         sync.Mutex
	lines      [][]byte
	waiting    int  // bytes, with those that are being written
	refused    bool // something was not taken, and there was no room since
	err        error
	// stuck says that the output took nothing in the end. Only the goroutine that
	// calls take uses it.
	stuck bool
}

// newEventWriter returns one that writes to w, in as much of --max-memory as is
// for it.
func newEventWriter(w io.Writer, json, findings bool, maxMemory int64) *eventWriter {
	most := mostWaiting
	if maxMemory > 0 {
		most = int(max(min(maxMemory/waitingShare, mostWaiting), leastWaiting))
	}
	return &eventWriter{w: w, json: json, findings: findings, most: most, patience: outputPatience, again: func() {}, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// start begins to write.
func (w *eventWriter) start(again func()) {
	w.again = again
	go func() {
		for range w.more {
			for w.writeSome() {
			}
		}
	}()
}

// quietEvents are written with --quiet: what is found, and what keeps from finding
// more.
func quietEvents() []string {
	return []string{watch.EventFinding, watch.EventResolved, watch.EventLoss, watch.EventBlind, watch.EventOmitted}
}

// take has e written. It reports false if there is no room for it; with last, it
// waits for that as long as the output takes something.
func (w *eventWriter) take(e *watch.Event, last bool) bool {
	if w.findings && !slices.Contains(quietEvents(), e.Event) {
		return true
	}
	most := w.most
	if !e.Matters() {
		most /= 2
	}
	if w.failure() != nil {
		return true
	}
	if !w.fits(most) && !(last && w.await(most)) {
		return false
	}
	var line bytes.Buffer
	if !w.json {
		line.WriteString(eventLine(e) + "\n")
	} else if err := report.WriteLine(&line, e); err != nil {
		w.fail(err)
		return true
	}
	w.mu.Lock()
	w.lines, w.waiting = append(w.lines, bytes.Clone(line.Bytes())), w.waiting+line.Len()
	w.mu.Unlock()
	nudge(w.more)
	return true
}

// fits reports whether less than most waits, or nothing is written any more. If
// not, something is refused.
func (w *eventWriter) fits(most int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	fits := w.waiting < most || w.err != nil
	w.refused = w.refused || !fits
	return fits
}

// await waits until less than most waits. It reports false if the output takes
// nothing: it is not waited for again.
func (w *eventWriter) await(most int) bool {
	for !w.stuck && !w.fits(most) {
		select {
		case <-w.room:
		case <-time.After(w.patience):
			w.stuck = true
		}
	}
	return !w.stuck
}

// writeSome writes the first lines. It reports false if there are none.
func (w *eventWriter) writeSome() bool {
	w.mu.Lock()
	var some []byte
	n := 0
	for n < len(w.lines) && (n == 0 || len(some)+len(w.lines[n]) <= atOnce) {
		some = append(some, w.lines[n]...)
		n++
	}
	clear(w.lines[:n])
	if w.lines = w.lines[n:]; len(w.lines) == 0 {
		w.lines = nil
	}
	w.mu.Unlock()
	if n == 0 {
		return false
	}
	if w.failure() == nil {
		if _, err := w.w.Write(some); err != nil {
			w.fail(err)
		}
	}
	w.mu.Lock()
	w.waiting -= len(some)
	again := w.refused && w.waiting <= w.most/4
	if again {
		w.refused = false
	}
	w.mu.Unlock()
	nudge(w.room)
	if again {
		w.again()
	}
	return true
}

// fail notes what went wrong first; after it nothing is written.
func (w *eventWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// failure is what went wrong with writing.
func (w *eventWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// finish waits until all is written.
func (w *eventWriter) finish() error {
	if !w.await(1) {
		return fmt.Errorf("the output took nothing for %v: the last ones were not written", w.patience)
	}
	return w.failure()
}

// nudge notes that something happened.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
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
func (w *watching) event(e watch.Event, last bool) (taken bool) {
	if w.screen != nil {
		w.screen.event(&e)
	}
	return w.events == nil || w.events.take(&e, last)
}
