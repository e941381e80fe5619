package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"distproof/internal/formatcheck"
	"distproof/report"
)

// attacks has every name that could break out of a format, wherever a document
// has text from the wire.
func attacks() *report.Document {
	names := []string{
		"]]></failure></testcase><x a='", "\x1b]0;title\x07\x1b[2J", "line\r\nfeed\u2028\u0085", "\u202eimda\u2066", "\ufeff\u200b",
		"a,b;c\td", `"quoted" 'twice' \" \`, "a|b||", "`code` ``` ````", "\xff\xfe\xc3", strings.Repeat("n", 127) + "@" + strings.Repeat("h", 127),
		"=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "::error file=x::boo", "x ##[error]boo", "%0A::error::boo", "::stop-commands::t",
		"<script>alert(1)</script>", "&lt;b&gt;&#x22;", "[link](https://evil.example)", "![i](javascript:1)", "www.evil.example", "$x$", "%%{init: {}}%%", "end", "#quot;",
		"../../etc/passwd", "http://evil.example/x", `\N \G`, "", "\x00", "\U000e0041",
	}
	d := document("-", 7)
	d.Inputs[0].Path = "/abs/" + strings.Join(names[:8], "")
	d.Inputs[0].Damage = names[0] + names[1]
	d.Tool.Version, d.Policy = names[0]+names[6], names[1]+names[7]
	for i, name := range names {
		c := add(d, name, names[len(names)-1-i], "cleartext", "because of "+name)
		c.Cleartext = &report.Cleartext{Calls: []report.Call{}, Payloads: []report.Payload{}, Messages: map[string]uint64{name: 1}, RegisteredNames: map[string]uint64{name: 2, "\xff": 1, `\xff`: 2}}
		d.Edges = append(d.Edges, report.Edge{From: name, To: names[len(names)-1-i], Verdict: "cleartext", Connections: 1})
		d.Nodes = append(d.Nodes, report.Node{Name: name, Basis: "observed", Addresses: []string{}, Ports: []uint16{}, Creations: []uint32{}})
		d.Findings = append(d.Findings, report.Finding{
			Rule: "DP101", Severity: []string{"critical", "high", "medium", "low", "info", "odd"}[i%6], Title: "Cleartext " + name,
			Connections: []string{c.ID}, Message: "text " + name, Status: []string{"open", "waived"}[i%2],
			Evidence: []report.Evidence{{Frame: 3, Text: name}, {Text: name}}, Fix: "Do:\n  " + name + "\n```\n",
		})
	}
	d.Conclusion, d.Reason = "fail", "because "+strings.Join(names, " ")
	return d
}

// documents are all that the formats are tried with.
func documents() map[string]*report.Document {
	all := fixtures()
	all["attacks"] = attacks()
	return all
}

// Whatever the names are, no format passes on what acts on a terminal, a
// reader's eye, or the runner of a pipeline.
func TestFormatsAreInert(t *testing.T) {
	commands := regexp.MustCompile(`(?m)##\[|^\s*::`)
	for _, format := range report.Formats() {
		out := string(render(t, attacks(), format, report.Options{Width: 80}))
		for _, r := range out {
			if r < ' ' && r != '\n' || r == 0x7f || strings.ContainsRune("\u202e\u2066\u2028\u0085\ufeff\u200b\ufffd\U000e0041", r) {
				t.Errorf("%s: output has %U", format, r)
			}
		}
		if hits := commands.FindAllString(out, -1); len(hits) > 0 && format != "github" {
			t.Errorf("%s: the runner may take for a command: %q", format, hits)
		}
	}
}

// A saved document says in every format what the run itself said.
func TestSavedDocumentsRenderTheSame(t *testing.T) {
	docs := documents()
	delete(docs, "many") // says nothing new
	for name, doc := range docs {
		saved, unknown, err := report.Read(bytes.NewReader(render(t, doc, "json", report.Options{})))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(unknown) > 0 {
			t.Errorf("%s: unknown fields %q", name, unknown)
		}
		for _, format := range report.Formats() {
			for _, opt := range []report.Options{{}, {Width: 133, Color: true}} {
				if diff := cmp.Diff(string(render(t, doc, format, opt)), string(render(t, saved, format, opt))); diff != "" {
					t.Errorf("%s: %s differs (-run +saved):\n%s", name, format, diff)
				}
			}
		}
	}
}

// Everything is in the order of the document or of names, never of maps.
func TestFormatsAreDeterministic(t *testing.T) {
	times := 100
	if testing.Short() {
		times = 10
	}
	for name, doc := range map[string]*report.Document{"mixed": mixed(), "attacks": attacks()} {
		for _, format := range report.Formats() {
			want := render(t, doc, format, report.Options{})
			for range times {
				if !bytes.Equal(want, render(t, doc, format, report.Options{})) {
					t.Fatalf("%s: %s differs from run to run", name, format)
				}
			}
		}
	}
}

func TestFormatsGolden(t *testing.T) {
	for _, format := range []string{"ndjson", "csv", "junit", "sarif", "gitlab", "github", "markdown", "matrix", "dot", "mermaid"} {
		t.Run(format, func(t *testing.T) {
			doc := mixed()
			for _, c := range doc.Connections {
				doc.Edges = append(doc.Edges, report.Edge{From: c.Client.Label(), To: c.Server.Label(), Verdict: *c.Verdict, Connections: 1})
			}
			golden(t, "testdata/mixed."+format, render(t, doc, format, report.Options{}))
		})
	}
}

// Lines of NDJSON are objects, and together they are the document.
func TestNDJSON(t *testing.T) {
	doc := mixed()
	got := map[string]int{}
	for line := range bytes.Lines(render(t, doc, "ndjson", report.Options{})) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		kind := v["type"].(string)
		got[kind]++
		if kind == "summary" && (v["schema"] != report.Schema || v["conclusion"] != "fail" || v["connections"] != nil) {
			t.Errorf("summary line: %s", line)
		}
		if kind == "finding" && int(v["number"].(float64)) != got[kind] {
			t.Errorf("finding %d has the number %v", got[kind], v["number"])
		}
	}
	want := map[string]int{"input": 1, "connection": 6, "finding": 3, "summary": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCSV(t *testing.T) {
	for name, doc := range documents() {
		rows, err := csv.NewReader(bytes.NewReader(render(t, doc, "csv", report.Options{}))).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", name, err) // also if a row has more or fewer cells
			continue
		}
		if len(rows) != len(doc.Connections)+1 {
			t.Errorf("%s: %d rows for %d connections", name, len(rows), len(doc.Connections))
		}
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
					t.Errorf("%s: a spreadsheet computes %q", name, cell)
				}
			}
		}
	}
}

func TestJUnit(t *testing.T) {
	for name, doc := range documents() {
		t.Run(name, func(t *testing.T) {
			root, err := formatcheck.JUnit(render(t, doc, "junit", report.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			suite := root.Children[0]
			n := map[string]int{}
			names := map[string]bool{}
			for _, tc := range suite.Children {
				n["tests"]++
				for _, result := range tc.Children {
					n[result.XMLName.Local]++
				}
				key := tc.Attr("classname") + tc.Attr("name")
				if names[key] {
					t.Errorf("two test cases %q", key)
				}
				names[key] = true
			}
			// What is shown as green must be green.
			red := n["failure"]+n["error"] > 0
			if red != (doc.Conclusion == "fail" || doc.Conclusion == "inconclusive") {
				t.Errorf("conclusion %q, %d failures, %d errors", doc.Conclusion, n["failure"], n["error"])
			}
			if doc.Conclusion == "" && n["skipped"] != n["tests"] {
				t.Errorf("nothing was judged, and %d of %d tests are skipped", n["skipped"], n["tests"])
			}
		})
	}
}

// SARIF says whether the run came to a conclusion.
func TestSARIF(t *testing.T) {
	for name, doc := range documents() {
		t.Run(name, func(t *testing.T) {
			data := render(t, doc, "sarif", report.Options{})
			if err := formatcheck.SARIF(data); err != nil {
				t.Fatal(err)
			}
			log, err := sarif.FromBytes(data)
			if err != nil {
				t.Fatal(err)
			}
			want := doc.Conclusion == "pass" || doc.Conclusion == "fail"
			if got := *log.Runs[0].Invocations[0].ExecutionSuccessful; got != want {
				t.Errorf("conclusion %q, successful %t", doc.Conclusion, got)
			}
		})
	}
}

// What is the same problem in the next run has the same fingerprint, though
// frames, ports, times and the order of things have changed.
func TestFingerprintsAreStable(t *testing.T) {
	fingerprints := func(d *report.Document) []string {
		log, err := sarif.FromBytes(render(t, d, "sarif", report.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range log.Runs[0].Results {
			out = append(out, *r.RuleID+" "+r.PartialFingerprints["distproofEdge/v1"])
		}
		slices.Sort(out)
		return out
	}
	changed := mixed()
	for i := range changed.Connections {
		c := &changed.Connections[i]
		c.Client.Port, c.FirstFrame, c.FirstSeen = c.Client.Port+1000, c.FirstFrame*7, "2027-01-01T00:00:00Z"
	}
	slices.Reverse(changed.Findings)
	for i := range changed.Findings {
		changed.Findings[i].Evidence = []report.Evidence{{Frame: 999, Text: "other"}}
		changed.Findings[i].Message += " 42"
	}
	if diff := cmp.Diff(fingerprints(mixed()), fingerprints(changed)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestSARIFShowsWaivers(t *testing.T) {
	doc := mixed()
	doc.Findings[1].Status = "waived"
	log, err := sarif.FromBytes(render(t, doc, "sarif", report.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range log.Runs[0].Results {
		if waived := *r.RuleID == doc.Findings[1].Rule; waived != (len(r.Suppressions) > 0) {
			t.Errorf("%s has %d suppressions", *r.RuleID, len(r.Suppressions))
		}
	}
	// GitHub takes no notice of suppressions: there it is a note.
	for _, rule := range log.Runs[0].Tool.Driver.Rules {
		if severity := fmt.Sprint(rule.Properties.Properties["security-severity"]); (severity == "0.0") != (*rule.ID == doc.Findings[1].Rule) {
			t.Errorf("%s has the severity %s", *rule.ID, severity)
		}
	}
	for _, r := range log.Runs[0].Results {
		if len(r.Suppressions) > 0 && r.Level != "note" {
			t.Errorf("%s is waived, and %v", *r.RuleID, r.Level)
		}
	}
}

// GitHub takes 25,000 results and no more.
func TestSARIFIsCapped(t *testing.T) {
	doc := document("many.pcap", 1)
	ids := []string{}
	for i := range 26000 {
		ids = append(ids, add(doc, fmt.Sprintf("n%d@h", i), "m@h", "cleartext", "").ID)
	}
	doc.Conclusion = "fail"
	doc.Findings = []report.Finding{{Rule: "DP101", Severity: "critical", Connections: ids, Status: "open"}}
	log, err := sarif.FromBytes(render(t, doc, "sarif", report.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(log.Runs[0].Results); got != 25000 {
		t.Errorf("%d results", got)
	}
	notes := log.Runs[0].Invocations[0].ToolExecutionNotifications
	if len(notes) != 1 || !strings.Contains(*notes[0].Message.Text, "1000 of 26000 results are left out") {
		t.Error("nobody says that results are left out")
	}
}

func TestGitLab(t *testing.T) {
	for name, doc := range documents() {
		data := render(t, doc, "gitlab", report.Options{})
		if err := formatcheck.GitLab(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if string(data) == "[]\n" && (doc.Conclusion == "" || len(doc.Findings) > 0) {
			t.Errorf("%s: no issues, as if all were well", name)
		}
	}
}

// Each line is one command, with what separates its parts escaped.
func TestGitHub(t *testing.T) {
	line := regexp.MustCompile(`^::(error|warning|notice) (file=[^:,]+,line=\d+,)?title=[^:,]+::[^\r\n]+$`)
	for name, doc := range documents() {
		t.Run(name, func(t *testing.T) {
			lines := strings.Split(strings.TrimSuffix(string(render(t, doc, "github", report.Options{})), "\n"), "\n")
			if len(lines) > 10 {
				t.Errorf("%d annotations", len(lines))
			}
			for _, l := range lines {
				if !line.MatchString(l) {
					t.Errorf("not an annotation: %s", l)
				}
			}
		})
	}
}

func TestGitHubSaysWhatIsLeftOut(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(render(t, attacks(), "github", report.Options{}))), "\n")
	if len(lines) != 10 {
		t.Fatalf("%d annotations", len(lines))
	}
	if want := fmt.Sprintf("::+%d more findings", len(attacks().Findings)-9); !strings.Contains(lines[9], want) {
		t.Errorf("the last is %s, without %q", lines[9], want)
	}
	if strings.HasPrefix(lines[0], "::notice") {
		t.Errorf("the worst is not first: %s", lines[0])
	}
}

// GitHub drops a summary of more than 1 MiB.
func TestMarkdownIsCapped(t *testing.T) {
	doc := document("many.pcap", 1)
	for i := range 5000 {
		c := add(doc, fmt.Sprintf("%d%s@h", i, strings.Repeat("\x1b", 200)), strings.Repeat("\x1b", 255), "cleartext", fmt.Sprint("reason ", i))
		doc.Findings = append(doc.Findings, report.Finding{
			Rule: fmt.Sprintf("DP%d", i), Severity: "critical", Title: "t", Connections: []string{c.ID}, Message: strings.Repeat("\x1b", 255), Status: "open",
		})
		doc.Inputs = append(doc.Inputs, report.Input{Path: strings.Repeat("\x1b", 255), Damage: strings.Repeat("\x1b", 255)})
	}
	doc.Conclusion, doc.Reason = "fail", "why"
	out := string(render(t, doc, "markdown", report.Options{}))
	if len(out) > 900_000 {
		t.Errorf("%d bytes", len(out))
	}
	for _, want := range []string{"## distproof: FAIL", "more rows", "more rules", "### Could not be seen", "Written by"} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q", want)
		}
	}
}

// Every row of the table has as many cells as its header.
func TestMarkdownTables(t *testing.T) {
	bar := regexp.MustCompile(`(^|[^\\])\|`)
	for name, doc := range documents() {
		for line := range strings.Lines(string(render(t, doc, "markdown", report.Options{}))) {
			if strings.HasPrefix(line, "| ") {
				if got := len(bar.FindAllString(line, -1)); got != 8 {
					t.Errorf("%s: %d bars in %s", name, got, line)
				}
			}
		}
	}
}

// What GitHub would make a link of is taken apart; other colons stay readable.
func TestMarkdownMakesNoLinks(t *testing.T) {
	doc := empty()
	doc.Reason = "https://a.example HTTP://b.example www.c.example WWW.d.example mailto:e@f xmpp:g <https://h.example> [i](j): fine: 10:00"
	out := string(render(t, doc, "markdown", report.Options{}))
	active := regexp.MustCompile(`\\.`).ReplaceAllString(out, "")
	for _, link := range []string{"http://", "https://", "www.", "mailto:", "xmpp:", "<http", "](", "e@f"} {
		if strings.Contains(strings.ToLower(active), link) {
			t.Errorf("%q in %s", link, out)
		}
	}
	if !strings.Contains(out, ": fine: 10:00") {
		t.Errorf("too much is escaped in %s", out)
	}
	// A backslash would not do: GitHub and GitLab look for these in what was made of
	// the Markdown.
	doc.Reason = "@all, a@b.example and #12"
	out = string(render(t, doc, "markdown", report.Options{}))
	if hits := regexp.MustCompile(`[@#][0-9a-z]`).FindAllString(out, -1); len(hits) > 0 {
		t.Errorf("mentions %q in %s", hits, out)
	}
}

// Mermaid refuses a text of more than 50,000 characters, or 500 edges.
func TestMermaidIsCapped(t *testing.T) {
	doc := document("many.pcap", 1)
	for i := range 2000 {
		doc.Edges = append(doc.Edges, report.Edge{From: fmt.Sprintf("n%d@h", i), To: "m@h", Verdict: "mutual", Connections: 1})
	}
	out := string(render(t, doc, "mermaid", report.Options{}))
	if n := strings.Count(out, "linkStyle"); n > 500 || len(out) > 50_000 {
		t.Errorf("%d edges, %d bytes", n, len(out))
	}
	if !strings.Contains(out, "more edges, not drawn") {
		t.Error("nobody says that edges are left out")
	}
}

// Labels are made of characters that mean nothing to Mermaid.
func TestMermaidLabels(t *testing.T) {
	line := regexp.MustCompile(`^(flowchart LR|  \w+\["[^"` + "`" + `<>{}%\\|\[\]]*"\]|  n\d+ (-->|==>|-\.->)\|"[^"|]*"\| n\d+|  linkStyle \d+ stroke:#\w+)$`)
	for name, doc := range documents() {
		for l := range strings.Lines(string(render(t, doc, "mermaid", report.Options{}))) {
			if !line.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("%s: %s", name, l)
			}
		}
	}
}

// In DOT everything from the wire is in a quoted string, one statement a line.
func TestDOT(t *testing.T) {
	line := regexp.MustCompile(`^(digraph  \{|\}|  label="(\\.|[^"\\])*";rankdir="LR";|  n\d+(->n\d+)?\[(,?\w+="(\\.|[^"\\])*")+\];)$`)
	for name, doc := range documents() {
		for l := range strings.Lines(string(render(t, doc, "dot", report.Options{}))) {
			if !line.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("%s: %s", name, l)
			}
		}
	}
}
