package watch_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/internal/omission"
	"distproof/internal/recorded"
	"distproof/report"
	"distproof/verify"
	"distproof/watch"
)

// A file is a capture that is replayed.
type file struct {
	capture.Source
	stopped atomic.Bool
}

func (f *file) Stop() { f.stopped.Store(true) }

func (f *file) Next(p *capture.Packet) error {
	if f.stopped.Load() {
		return io.EOF
	}
	return f.Source.Next(p)
}

func open(tb testing.TB, path string) *file {
	tb.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { src.Close() })
	return &file{Source: src}
}

// keysOf returns the key log beside a capture; nil if there is none.
func keysOf(tb testing.TB, path string) func() *secrets.Log {
	tb.Helper()
	f, err := os.Open(strings.TrimSuffix(path, filepath.Ext(path)) + ".keylog")
	if err != nil {
		return nil
	}
	defer f.Close()
	log := new(secrets.Log)
	if _, err := log.Read(f, secrets.Options{}); err != nil {
		tb.Fatal(err)
	}
	return func() *secrets.Log { return log }
}

// verified is what verify says of a capture.
func verified(tb testing.TB, path string) *report.Document {
	tb.Helper()
	src := open(tb, path)
	links := link.NewDecoder(link.Options{})
	d := decode.NewDecoder(decode.Options{Secrets: keysOf(tb, path)})
	var p capture.Packet
	var s link.Segment
	for {
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		if links.Decode(&p, &s) {
			d.Segment(&s)
		}
	}
	links.Finish()
	inputs, facts := src.Inputs(), d.Finish(links.Encapsulation)
	left := omission.Of(links, len(inputs))
	return report.New(report.Tool{}, inputs, omission.Undecoded(left, &facts.LeftOut), facts,
		verify.Judge(facts, omission.Coverage(inputs, left, &facts.LeftOut), verify.Options{}))
}

func text(tb testing.TB, v any) string {
	tb.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// Whoever watches what is in a capture knows in the end what verify says of it.
func TestTheEndIsWhatVerifySays(t *testing.T) {
	for _, path := range recorded.Captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			var events []watch.Event
			e := watch.New(open(t, path), watch.Options{Keys: keysOf(t, path), Event: func(e watch.Event, _ bool) bool { events = append(events, e); return true }})
			s, err := e.Run(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := text(t, s.Document), text(t, verified(t, path)); got != want {
				t.Error(recorded.Difference(got, want))
			}
			if e.State() != s || len(s.Activity) != len(s.Document.Connections) {
				t.Errorf("%d activities of %d connections", len(s.Activity), len(s.Document.Connections))
			}
			checkEvents(t, s, events)
		})
	}
}

// checkEvents checks that events say what the State says that they led to.
func checkEvents(t *testing.T, s *watch.State, events []watch.Event) {
	t.Helper()
	if len(events) < 2 || events[0].Event != watch.EventStarted || events[len(events)-1].Event != watch.EventStopped {
		t.Fatalf("%d events, from %q to %q", len(events), events[0].Event, events[len(events)-1].Event)
	}
	verdicts, open, findings := make(map[string]string), make(map[string]bool), make(map[string]int)
	repeated := uint64(0) // attempts
	for _, e := range events {
		if e.Schema != watch.EventSchema || e.Message == "" || e.Severity == "" || e.Time == "" {
			t.Errorf("incomplete: %+v", e)
		}
		switch e.Event {
		case watch.EventOpened:
			if open[e.Connection.ID] || verdicts[e.Connection.ID] != "" {
				t.Errorf("%s is opened again", e.Connection.ID)
			}
			open[e.Connection.ID], verdicts[e.Connection.ID] = true, *e.Connection.Verdict
		case watch.EventVerdict:
			if e.Before != verdicts[e.Connection.ID] {
				t.Errorf("%s was %s, not %s", e.Connection.ID, verdicts[e.Connection.ID], e.Before)
			}
			verdicts[e.Connection.ID] = *e.Connection.Verdict
		case watch.EventClosed:
			if !open[e.Connection.ID] {
				t.Errorf("%s is closed, and was not opened", e.Connection.ID)
			}
			open[e.Connection.ID] = false
		case watch.EventRepeated:
			repeated += e.Repeated
		case watch.EventFinding:
			findings[e.Finding.Rule]++
		case watch.EventResolved:
			findings[e.Finding.Rule]--
		}
	}
	for i, c := range s.Document.Connections {
		switch {
		case c.Verdict != nil && *c.Verdict == "refused" && verdicts[c.ID] == "" && repeated > 0:
			repeated-- // it is counted
		case c.Verdict == nil && verdicts[c.ID] != "":
			t.Errorf("%s has no verdict, and was told to be %s", c.ID, verdicts[c.ID])
		case c.Verdict != nil && *c.Verdict != verdicts[c.ID]:
			t.Errorf("%s is %s, and was told to be %q", c.ID, *c.Verdict, verdicts[c.ID])
		case c.Verdict != nil && open[c.ID] != s.Activity[i].Open:
			t.Errorf("%s: open %t, and was told %t", c.ID, s.Activity[i].Open, open[c.ID])
		}
	}
	if repeated > 0 {
		t.Errorf("%d attempts more were told than there are", repeated)
	}
	for _, f := range s.Document.Findings {
		if findings[f.Rule] == 0 {
			t.Errorf("%s was not told: %s", f.Rule, f.Message)
		}
	}
}
