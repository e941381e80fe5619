package report_test

import (
	"bytes"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
	"github.com/google/go-cmp/cmp"

	"distproof/internal/formatcheck"
	"distproof/report"
)

const diffSchemaFile = "schema/distproof.diff.v1.schema.json"

var differ = report.Tool{Name: "distproof", Version: "test"}

// certificate gives the client of a connection a certificate.
func certificate(c *report.Connection, subject, sha, notAfter string) {
	c.ClientCertificate.Chain = []report.Certificate{{
		Subject: subject, Issuer: "CN=Lab CA", NotBefore: "2026-01-01T00:00:00Z", NotAfter: notAfter, DNSNames: []string{"n1.lab"},
		Key: "ECDSA P-256", SHA256: sha, SPKISHA256: "key of " + sha,
	}}
}

// connect appends a connection of TLS 1.3.
func connect(d *report.Document, client, server, verdict, status, basis string) *report.Connection {
	c := add(d, client, server, verdict, "for a reason")
	tls(c, "1.3", status, basis)
	d.Conclusion = "pass"
	return c
}

// find appends a finding about connections.
func find(d *report.Document, rule, severity, message string, connections ...string) {
	d.Findings = append(d.Findings, report.Finding{
		Rule: rule, Severity: severity, Title: "title of " + rule, Connections: connections, Message: message,
		Evidence: []report.Evidence{{Frame: 15, Text: "seen"}, {Frame: 25, Text: "seen later"}}, Status: "open",
	})
	d.Conclusion, d.Reason = "fail", "it is not"
}

// before and after differ in everything that a diff tells.
func before() *report.Document {
	d := document("old.pcap", 100)
	certificate(connect(d, "a@n1.lab", "b@n2.lab", "mutual", "presented", "observed"), "CN=n1.lab", "1111111111111111ffff", "2026-12-01T00:00:00Z")
	connect(d, "a@n1.lab", "c@n3.lab", "mutual", "presented", "observed")
	connect(d, "b@n2.lab", "c@n3.lab", "one-way", "not-requested", "observed")
	connect(d, "d@n4.lab", "c@n3.lab", "mutual", "presented", "observed").ClientCertificate.Verification.Status = "ok"
	connect(d, "e@n5.lab", "a@n1.lab", "one-way", "not-requested", "observed")
	connect(d, "f@n6.lab", "a@n1.lab", "mutual", "presented", "inferred")
	connect(d, "g@n7.lab", "a@n1.lab", "mutual", "presented", "observed")
	find(d, "DP103", "high", "no client certificate", "c3", "c5")
	find(d, "DP107", "low", "weak: 3 connections", "c1")
	find(d, "DP108", "medium", "expires", "c2")
	d.Nodes = []report.Node{{Name: "a@n1.lab", Listener: "tls"}, {Name: "c@n3.lab", Listener: "both"}, {Name: "e@n5.lab"}}
	return d
}

func after() *report.Document {
	d := document("new.pcap", 100)
	certificate(connect(d, "a@n1.lab", "b@n2.lab", "mutual", "presented", "inferred"), "CN=n1.lab", "2222222222222222ffff", "2027-12-01T00:00:00Z")
	connect(d, "a@n1.lab", "c@n3.lab", "cleartext", "unknown", "none")
	connect(d, "b@n2.lab", "c@n3.lab", "mutual", "presented", "observed")
	connect(d, "d@n4.lab", "c@n3.lab", "mutual", "presented", "observed").ClientCertificate.Verification.Status = "failed"
	connect(d, "?", "a@n1.lab", "mutual", "presented", "observed")
	d.Connections[4].Client.Node, d.Connections[4].Client.Host = "", "n5.lab"
	connect(d, "f@n6.lab", "a@n1.lab", "inconclusive", "unknown", "none")
	connect(d, "h@n8.lab", "b@n2.lab", "one-way", "empty", "observed")
	find(d, "DP101", "critical", "in the clear", "c2")
	find(d, "DP109", "medium", "not proven", "c6")
	find(d, "DP107", "low", "weak: 4 connections", "c1")
	find(d, "DP108", "high", "expires", "c2")
	d.Nodes = []report.Node{{Name: "a@n1.lab", Listener: "both"}, {Name: "c@n3.lab", Listener: "tls"}, {Name: "h@n8.lab"}}
	return d
}

func compare(t *testing.T, old, now *report.Document) *report.Diff {
	t.Helper()
	// Edges are counted when the document is built; nothing else is looked at.
	for _, d := range []*report.Document{old, now} {
		d.Edges = make([]report.Edge, d.Summary.Distribution.Total())
	}
	d, err := report.Compare(differ, old, now)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func renderDiff(t testing.TB, d *report.Diff, format string, opt report.Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.RenderDiff(&out, d, format, opt); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDiffGolden(t *testing.T) {
	d := compare(t, before(), after())
	golden(t, filepath.Join("testdata", "diff.txt"), renderDiff(t, d, "table", report.Options{}))
	golden(t, filepath.Join("testdata", "diff.json"), renderDiff(t, d, "json", report.Options{}))
}

// What an edge's other state means, by what was and what is.
func TestDiffOfEdges(t *testing.T) {
	type edge struct{ verdict, status, basis, checked string }
	mutual := edge{"mutual", "presented", "observed", "not-checked"}
	tests := []struct {
		name         string
		was, is      edge
		edge, result string
	}{
		{"the same", mutual, mutual, "", "same"},
		{"to cleartext", mutual, edge{"cleartext", "", "", ""}, "worse", "worse"},
		{"to one-way", mutual, edge{"one-way", "empty", "observed", ""}, "worse", "worse"},
		{"one-way to cleartext", edge{"one-way", "empty", "observed", ""}, edge{"cleartext", "", "", ""}, "worse", "worse"},
		{"unknown to one-way", edge{"inconclusive", "unknown", "none", ""}, edge{"one-way", "empty", "observed", ""}, "worse", "worse"},
		{"refused to cleartext", edge{"refused", "", "", ""}, edge{"cleartext", "", "", ""}, "worse", "worse"},
		{"to unknown", mutual, edge{"inconclusive", "unknown", "none", ""}, "less-proven", "less-proven"},
		{"cleartext to unknown", edge{"cleartext", "", "", ""}, edge{"inconclusive", "unknown", "none", ""}, "less-proven", "less-proven"},
		{"weaker basis", mutual, edge{"mutual", "presented", "inferred", "not-checked"}, "less-proven", "less-proven"},
		{"stronger basis", mutual, edge{"mutual", "presented", "verified", "not-checked"}, "better", "better"},
		{"unknown to mutual", edge{"inconclusive", "unknown", "none", ""}, mutual, "better", "better"},
		{"cleartext to mutual", edge{"cleartext", "", "", ""}, mutual, "better", "better"},
		{"cleartext to one-way", edge{"cleartext", "", "", ""}, edge{"one-way", "empty", "observed", ""}, "better", "better"},
		{"cleartext to refused", edge{"cleartext", "", "", ""}, edge{"refused", "", "", ""}, "better", "better"},
		{"mutual to refused", mutual, edge{"refused", "", "", ""}, "none", "changed"},
		{"refused to mutual", edge{"refused", "", "", ""}, mutual, "none", "changed"},
		{"now verifies", mutual, edge{"mutual", "presented", "observed", "ok"}, "better", "better"},
		{"no longer checked", edge{"mutual", "presented", "observed", "ok"}, mutual, "less-proven", "less-proven"},
		{"fails now", mutual, edge{"mutual", "presented", "observed", "failed"}, "worse", "worse"},
		{"failed, not checked now", edge{"mutual", "presented", "observed", "failed"}, mutual, "less-proven", "less-proven"},
		{"better and worse", edge{"one-way", "empty", "observed", "ok"}, edge{"mutual", "presented", "observed", "failed"}, "worse", "worse"},
	}
	doc := func(e edge) *report.Document {
		d := document("a.pcap", 1)
		c := add(d, "a@n1.lab", "b@n2.lab", e.verdict, "")
		if e.status != "" {
			tls(c, "1.3", e.status, e.basis)
			c.ClientCertificate.Verification.Status = e.checked
		}
		return d
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := compare(t, doc(test.was), doc(test.is))
			effect := ""
			if len(d.Edges) > 0 {
				effect = d.Edges[0].Effect
			}
			if effect != test.edge || d.Outcome != test.result {
				t.Errorf("the edge is %q, the outcome %q (%s)", effect, d.Outcome, d.Reason)
			}
		})
	}
}

// What was not seen is no improvement.
func TestDiffOfLess(t *testing.T) {
	old, empty := before(), document("new.pcap", 0)
	d := compare(t, old, inconclusive(empty))
	if d.Outcome != "less-proven" {
		t.Errorf("nothing seen any more: %s (%s)", d.Outcome, d.Reason)
	}
	for _, f := range d.Findings {
		if f.Effect == "better" {
			t.Errorf("%s is gone with its edge, and that is not better", f.Rule)
		}
	}
	// Without conclusions, too.
	old.Conclusion, empty.Conclusion, old.Findings = "", "", nil
	if d := compare(t, old, empty); d.Outcome != "less-proven" {
		t.Errorf("nothing seen any more, not judged: %s (%s)", d.Outcome, d.Reason)
	}
	both := inconclusive(before())
	both.Findings = nil
	if d := compare(t, both, both); d.Outcome != "same" {
		t.Errorf("inconclusive as before: %s (%s)", d.Outcome, d.Reason)
	}
}

func inconclusive(d *report.Document) *report.Document {
	d.Conclusion, d.Reason = "inconclusive", "too little was seen"
	return d
}

// That one report has no findings means nothing if nobody looked for them.
func TestDiffRefusesInspect(t *testing.T) {
	judged, seen := before(), before()
	seen.Conclusion = ""
	if _, err := report.Compare(differ, judged, seen); err == nil || !strings.Contains(err.Error(), "the new report is of distproof inspect") {
		t.Errorf("error: %v", err)
	}
	if _, err := report.Compare(differ, seen, judged); err == nil || !strings.Contains(err.Error(), "the old report is of distproof inspect") {
		t.Errorf("error: %v", err)
	}
}

// A diff with itself is empty, and so is one with a document that was saved.
func TestDiffWithItself(t *testing.T) {
	for name, doc := range fixtures() {
		saved, _, err := report.Read(bytes.NewReader(render(t, doc, "json", report.Options{})))
		if err != nil {
			t.Fatal(err)
		}
		d, err := report.Compare(differ, doc, saved)
		if err != nil {
			t.Fatal(err)
		}
		if d.Outcome != "same" && d.Outcome != "less-proven" || len(d.Edges)+len(d.Findings)+len(d.Nodes)+len(d.Listeners)+len(d.Certificates) > 0 {
			t.Errorf("%s: %s: %+v", name, d.Outcome, d)
		}
	}
}

// The same documents give the same diff, whatever the order of a map is.
func TestDiffIsDeterministic(t *testing.T) {
	want := renderDiff(t, compare(t, before(), after()), "json", report.Options{})
	for range 100 {
		if got := renderDiff(t, compare(t, before(), after()), "json", report.Options{}); !bytes.Equal(got, want) {
			t.Fatalf("another diff:\n%s", cmp.Diff(string(want), string(got)))
		}
	}
}

// Names of nodes do not drive the terminal, and the table fits.
func TestDiffOfHostileNames(t *testing.T) {
	for _, pair := range [][2]*report.Document{{hostile(), mutual()}, {mutual(), hostile()}} {
		pair[0].Conclusion, pair[1].Conclusion = "fail", "fail"
		pair[0].Policy, pair[0].Inputs[0].Path = "\x1b[31m\u202e", "a\nb\x1b.pcap"
		d := compare(t, pair[0], pair[1])
		for _, format := range report.DiffFormats() {
			for line := range strings.Lines(string(renderDiff(t, d, format, report.Options{}))) {
				line = strings.TrimSuffix(line, "\n")
				if n := displaywidth.String(line); format == "table" && n > report.MinWidth {
					t.Errorf("line of %d columns: %s", n, line)
				}
				if !utf8.ValidString(line) {
					t.Errorf("not UTF-8: %q", line)
				}
				for _, r := range line {
					if !unicode.IsPrint(r) {
						t.Errorf("%s has %U", format, r)
					}
				}
			}
		}
	}
}

// The published schema is that of the Go types. Run with -update after a field
// was added.
func TestDiffSchemaIsThatOfTheTypes(t *testing.T) {
	words := map[string][]any{
		"Diff.schema":          {report.DiffSchema},
		"Diff.outcome":         {"worse", "less-proven", "better", "changed", "same"},
		"EdgeState.verdict":    values()["Edge.verdict"],
		"FindingChange.status": values()["Finding.status"],
	}
	texts := comments(t, "document.go", "diff.go", "diff_edges.go", "diff_certificates.go")
	s := &schemaWriter{defs: map[string]any{}, comments: texts, values: words}
	s.golden(t, diffSchemaFile, report.DiffSchema, reflect.TypeFor[report.Diff]())
	for name := range s.values {
		t.Errorf("there is no field %s", name)
	}
	if err := formatcheck.JSON(renderDiff(t, compare(t, before(), after()), "json", report.Options{}), diffSchemaFile); err != nil {
		t.Error(err)
	}
}

// Who is the likely node of a hidden name depends on which others were seen, and
// must make no edge a new one.
func TestDiffAndBaselineTakeNoLikelyNode(t *testing.T) {
	hidden := func(likely string) *report.Document {
		d := oneWayTo("b@n2.lab")
		c := &d.Connections[0].Client
		c.Node, c.Host, c.LikelyNode = "", "n1.lab", likely
		find(d, "DP103", "high", "no certificate", "c1")
		return d
	}
	if d := compare(t, hidden("a@n1.lab"), hidden("")); d.Outcome != "same" {
		t.Errorf("%s: %+v", d.Outcome, d.Edges)
	}
	if doc := reckon(t, hidden("a@n1.lab"), hidden(""), "violates"); doc.Conclusion != "pass" {
		t.Errorf("%s (%s)", doc.Conclusion, doc.Reason)
	}
	// A likely name is none: the baseline that has the node does not have this.
	named := oneWayTo("b@n2.lab")
	find(named, "DP103", "high", "no certificate", "c1")
	if doc := reckon(t, hidden("a@n1.lab"), named, "violates"); doc.Conclusion != "fail" {
		t.Errorf("%s (%s)", doc.Conclusion, doc.Reason)
	}
}

// A command-line tool has another name each time it runs: that makes no edge a new
// one, and changes no fingerprint.
func TestToolsAreTheSameEachTime(t *testing.T) {
	run := func(server string) *report.Document {
		d := oneWayTo(server)
		find(d, "DP103", "high", "no certificate", "c1")
		return d
	}
	base, again := run("rabbitmqcli-126-rabbit@mq1"), run("rabbitmqcli-7-rabbit@mq1")
	if d := compare(t, base, again); d.Outcome != "same" {
		t.Errorf("%s: %+v", d.Outcome, d.Edges)
	}
	print := regexp.MustCompile(`"distproofEdge/v1": "[^"]*"`)
	if a, b := print.FindString(sarifOf(t, base)), print.FindString(sarifOf(t, again)); a == "" || a != b {
		t.Errorf("fingerprints %q, %q", a, b)
	}
	if doc := reckon(t, again, base, "violates"); doc.Conclusion != "pass" {
		t.Errorf("%s (%s)", doc.Conclusion, doc.Reason)
	}
	for _, other := range []string{"rabbitmqcli-7-rabbit@mq2", "rabbit@mq1"} {
		if doc := reckon(t, run(other), base, "violates"); doc.Conclusion != "fail" {
			t.Errorf("%s: %s (%s)", other, doc.Conclusion, doc.Reason)
		}
	}
}

func sarifOf(t *testing.T, d *report.Document) string {
	t.Helper()
	return string(render(t, d, "sarif", report.Options{}))
}

// FuzzCompare compares any two documents: there is a comparison or an error, what
// is written is valid, and bad connections are worse than none.
func FuzzCompare(f *testing.F) {
	json := func(d *report.Document) []byte { return render(f, d, "json", report.Options{}) }
	f.Add(json(before()), json(after()))
	f.Add(json(after()), json(mixed()))
	f.Add(json(fixtures()["mutual"]), json(fixtures()["cleartext"]))
	f.Add(json(fixtures()["inspect"]), json(empty()))
	nothing := func(conclusion string) *report.Document {
		d := document("none.pcap", 1)
		d.Conclusion = conclusion
		return d
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		old, _, err := report.Read(bytes.NewReader(a))
		if err != nil {
			return
		}
		now, _, err := report.Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		d, err := report.Compare(differ, old, now)
		if (d == nil) == (err == nil) || (err != nil) != ((old.Conclusion == "") != (now.Conclusion == "")) {
			t.Fatalf("%v, %v", d, err)
		}
		if err == nil {
			renderDiff(t, d, "table", report.Options{Width: 80})
			if err := formatcheck.JSON(renderDiff(t, d, "json", report.Options{}), diffSchemaFile); err != nil {
				t.Error(err)
			}
		}
		bad := 0
		for _, c := range now.Connections {
			if c.Verdict != nil && (*c.Verdict == "cleartext" || *c.Verdict == "one-way") {
				bad++
			}
		}
		if d, err = report.Compare(differ, nothing(now.Conclusion), now); err != nil || bad > 0 && d.Outcome != "worse" {
			t.Errorf("%d bad connections are %+v, %v", bad, d, err)
		}
	})
}
