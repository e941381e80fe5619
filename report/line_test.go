package report_test

import (
	"bytes"
	"testing"

	"distproof/report"
)

func TestWriteLine(t *testing.T) {
	var out bytes.Buffer
	v := &struct {
		Node  string          `json:"node"`
		Inner *report.Finding `json:"inner,omitempty"`
	}{Node: "a\xff<b>\x1b[2J\u202e##[x", Inner: nil}
	if err := report.WriteLine(&out, v); err != nil {
		t.Fatal(err)
	}
	const want = `{"node":"a\\xff<b>\u001b[2J\u202e#\u0023[x"}` + "\n"
	if out.String() != want {
		t.Errorf("%s want %s", &out, want)
	}
	if v.Node != "a\xff<b>\x1b[2J\u202e##[x" {
		t.Error("what was given has changed")
	}
}
