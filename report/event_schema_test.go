package report_test

import (
	"bytes"
	"maps"
	"reflect"
	"testing"

	"distproof/internal/formatcheck"
	"distproof/report"
	"distproof/watch"
)

const eventSchemaFile = "schema/distproof.event.v1.schema.json"

// The published schema is that of the Go types. Run with -update after a field or
// a kind of event was added.
func TestEventSchemaIsThatOfTheTypes(t *testing.T) {
	words := map[string][]any{
		"Event.schema": {watch.EventSchema},
		"Event.event": {
			watch.EventStarted, watch.EventStopped, watch.EventKnown, watch.EventOpened, watch.EventChanged, watch.EventVerdict, watch.EventClosed, watch.EventRepeated,
			watch.EventEPMD, watch.EventFinding, watch.EventResolved, watch.EventStalled, watch.EventTicking,
			watch.EventLoss, watch.EventInterface, watch.EventBlind, watch.EventPolicy, watch.EventOmitted,
		},
		"Event.severity": values()["Finding.severity"],
		"Event.before":   values()["Edge.verdict"],
	}
	all := values()
	maps.Copy(all, words)
	texts := comments(t, "document.go", "../watch/state.go")
	s := &schemaWriter{defs: map[string]any{}, comments: texts, values: all}
	s.golden(t, eventSchemaFile, watch.EventSchema, reflect.TypeFor[watch.Event]())
	for name := range words {
		if _, left := s.values[name]; left {
			t.Errorf("there is no field %s", name)
		}
	}
}

func TestEventsHoldToTheSchema(t *testing.T) {
	doc := fixtures()["mixed"]
	event := watch.Event{Schema: watch.EventSchema, Time: "2026-11-22T08:57:15.657755734Z", Event: watch.EventOpened, Message: "it was opened", Severity: "info"}
	whole := event
	whole.Before, whole.Connection, whole.Finding = "mutual", &doc.Connections[0], &doc.Findings[0]
	whole.Exchange = &report.EPMDExchange{Outcome: "accepted"}
	whole.Omitted, whole.Repeated = 4711, 17
	for _, e := range []watch.Event{event, whole} {
		if err := formatcheck.JSON(line(t, &e), eventSchemaFile); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
	for name, spoil := range map[string]func(e *watch.Event){
		"schema": func(e *watch.Event) { e.Schema = "distproof.event/v2" },
		"event":  func(e *watch.Event) { e.Event = "exploded" },
		"before": func(e *watch.Event) { e.Before = "good" },
	} {
		spoiled := event
		spoil(&spoiled)
		if formatcheck.JSON(line(t, &spoiled), eventSchemaFile) == nil {
			t.Errorf("the schema accepts another %s", name)
		}
	}
}

func line(t *testing.T, e *watch.Event) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.WriteLine(&out, e); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
