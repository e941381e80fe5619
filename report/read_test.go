package report_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/internal/allocs"
	"distproof/internal/formatcheck"
	"distproof/report"
)

// What is not a whole document of this schema is refused, and says why.
func TestReadRefuses(t *testing.T) {
	whole := string(render(t, mixed(), "json", report.Options{}))
	without := func(name string) string {
		var v map[string]json.RawMessage
		if err := json.Unmarshal([]byte(whole), &v); err != nil {
			t.Fatal(err)
		}
		delete(v, name)
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	replaced := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("no %q to replace", old)
		}
		return strings.Replace(whole, old, new, 1)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", "nothing in it"},
		{"blanks", " \n", "nothing in it"},
		{"a capture", "\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "not a report of distproof"},
		{"a list", "[]", "not a report of distproof"},
		{"null", "null", `no "schema"`},
		{"an object", "{}", `no "schema"`},
		{"something else", `{"schema":"other/v1"}`, `its schema is "other/v1"`},
		{"schema of another type", `{"schema":1}`, `no "schema"`},
		{"a later schema", `{"schema":"distproof.report/v2"}`, `the schema "distproof.report/v2"; this version reads "distproof.report/v1"`},
		{"cut", whole[:len(whole)/2], "unexpected end of JSON input"},
		{"two", whole + whole, "after top-level value"},
		{"connections lost", without("connections"), `it has no "connections"`},
		{"findings lost", without("findings"), `it has no "findings"`},
		{"connections null", `{"schema":"distproof.report/v1","tool":{},"inputs":[],"summary":{},"nodes":[],"connections":null,"edges":[],"epmd":{},"findings":[]}`, `it has no "connections"`},
		{"a connection lost", replaced(`"cleartext": 1,`, `"cleartext": 2,`), "counts 7 connections between nodes, and it has 6"},
		{"unknown conclusion", replaced(`"conclusion": "fail"`, `"conclusion": "great"`), `unknown conclusion "great"`},
		{"unknown verdict", replaced(`"verdict": "mutual"`, `"verdict": "fine"`), `unknown verdict "fine"`},
		{"a finding of nothing", replaced(`"rule": "DP109"`, `"rule": ""`), "its finding #1 is of no rule"},
		{"unknown status", replaced(`"status": "open"`, `"status": "ope5"`), `unknown status "ope5", of its finding #1`},
		{"wrong type", replaced(`"first_frame": 10`, `"first_frame": "10"`), "not a report of distproof"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, _, err := report.Read(strings.NewReader(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if doc != nil {
				t.Error("a document all the same")
			}
		})
	}
}

// Fields of a later version are named, wherever they are.
func TestReadNamesUnknownFields(t *testing.T) {
	in := string(render(t, mixed(), "json", report.Options{}))
	for _, r := range [][2]string{
		{`"tool": {`, `"extra": {"a": 1}, "tool": {"build": 1,`},
		{`"records": {`, `"ech": true, "records": {`},
	} {
		in = strings.ReplaceAll(in, r[0], r[1])
	}
	doc, unknown, err := report.Read(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"connections[].tls.ech", "extra", "tool.build"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown fields %q, want %q", unknown, want)
	}
	if doc.Conclusion != "fail" {
		t.Errorf("conclusion %q", doc.Conclusion)
	}
}

// A document of an earlier version lacks fields that were added since. Its
// lists are then empty, not null.
func TestReadFillsWhatIsMissing(t *testing.T) {
	doc, _, err := report.Read(strings.NewReader(
		`{"schema":"distproof.report/v1","tool":{},"inputs":[],"summary":{},"nodes":[],"connections":[{"id":"c1","protocol":"other","verdict":null}],"edges":[],"epmd":{},"findings":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if out := string(render(t, doc, "json", report.Options{})); strings.Count(out, "null") != 1 {
		t.Errorf("nulls in %s", out)
	}
}

// FuzzRead: there is a document or an error; whatever a document says, every
// format stays what its readers take, what is written again is the same, and
// nothing of it is new or worse than itself.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"cleartext", "mutual", "empty"} {
		f.Add(render(f, fixtures()[name], "json", report.Options{}))
	}
	f.Add([]byte(`{"schema":"distproof.report/v1","tool":{},"inputs":[],"summary":{},"nodes":[],"connections":[],"edges":[],"epmd":{},"findings":[]}`))
	f.Add([]byte(`{"schema":"distproof.report/v1","tool":{},"inputs":[{"path":"\ud800"}],"summary":{},"nodes":[],"connections":[{"client":{"node":"\u202e"},"input":-1}],"edges":[{"from":"a"}],"epmd":{},"findings":[{"rule":"DP1","connections":["c9"],"evidence":[{"input":99}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var doc *report.Document
		var err error
		if n := allocs.Of(func() { doc, _, err = report.Read(bytes.NewReader(data)) }); n > uint64(4<<20+1000*len(data)) {
			t.Fatalf("%d bytes allocated for %d", n, len(data))
		}
		if (err == nil) != (doc != nil) {
			t.Fatalf("document %v, error %v", doc, err)
		}
		if doc == nil {
			return
		}
		out := map[string][]byte{}
		for _, format := range report.Formats() {
			out[format] = render(t, doc, format, report.Options{Width: 80})
		}
		if _, err := formatcheck.JUnit(out["junit"]); err != nil {
			t.Errorf("JUnit: %v\n%s", err, out["junit"])
		}
		if err := formatcheck.SARIF(out["sarif"]); err != nil {
			t.Errorf("SARIF: %v\n%s", err, out["sarif"])
		}
		if err := formatcheck.GitLab(out["gitlab"]); err != nil {
			t.Errorf("GitLab: %v\n%s", err, out["gitlab"])
		}
		again, unknown, err := report.Read(bytes.NewReader(out["json"]))
		if err != nil || len(unknown) > 0 {
			t.Fatalf("written again: %v, unknown %q", err, unknown)
		}
		if diff := cmp.Diff(string(out["json"]), string(render(t, again, "json", report.Options{}))); diff != "" {
			t.Errorf("changed by being read: %s", diff)
		}
		d, err := report.Compare(report.Tool{}, doc, doc)
		if err != nil || d.Outcome == "worse" || d.Outcome == "less-proven" {
			t.Errorf("compared with itself: %v, %+v", err, d)
		}
	})
}
