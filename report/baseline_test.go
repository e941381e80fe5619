package report_test

import (
	"slices"
	"strings"
	"testing"

	"distproof/report"
)

// reckon applies a baseline to a document, in which findings have these effects.
// DP207 is never let pass.
func reckon(t *testing.T, doc, base *report.Document, effects ...string) *report.Document {
	t.Helper()
	r := report.Reckoning{Baseline: base, Path: "base.json", Effects: effects, Never: func(rule, _ string) bool { return rule == "DP207" }}
	if err := r.Apply(doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// oneWayTo has a one-way connection to each of the servers.
func oneWayTo(servers ...string) *report.Document {
	d := document("a.pcap", 1)
	for _, s := range servers {
		connect(d, "a@n1.lab", s, "one-way", "empty", "observed")
	}
	return d
}

func TestBaseline(t *testing.T) {
	const b, c = "b@n2.lab", "c@n3.lab"
	base := oneWayTo(b)
	find(base, "DP103", "high", "no certificate", "c1")
	find(base, "DP107", "medium", "RSA 1024", "c1")
	find(base, "DP204", "medium", "asked 3 times", "c1")
	find(base, "DP207", "critical", "code", "c1")
	tests := []struct {
		name           string
		servers        []string
		rule, severity string
		message        string
		effect         string
		conclusion     string
		known, fresh   int
	}{
		{"known", []string{b}, "DP103", "high", "no certificate", "violates", "pass", 1, 0},
		{"another edge", []string{c}, "DP103", "high", "no certificate", "violates", "fail", 0, 1},
		{"another rule", []string{b}, "DP101", "critical", "in the clear", "violates", "fail", 0, 1},
		{"weighs more", []string{b}, "DP107", "high", "RSA 1024", "violates", "fail", 0, 1},
		{"weighs less", []string{b}, "DP103", "low", "no certificate", "violates", "pass", 1, 0},
		{"says another thing", []string{b}, "DP107", "medium", "RSA 512", "violates", "fail", 0, 1},
		{"counts something else", []string{b}, "DP204", "medium", "asked once", "violates", "pass", 1, 0},
		{"known and new", []string{b, c}, "DP103", "high", "no certificate", "violates", "fail", 1, 1},
		{"undecided", []string{b}, "DP103", "high", "no certificate", "undecided", "fail", 0, 0},
		{"noted", []string{b}, "DP107", "medium", "RSA 1024", "noted", "fail", 1, 0},
		{"waived by the policy", []string{b}, "DP103", "high", "no certificate", "waived", "fail", 0, 0},
		{"a notice", []string{b}, "DP103", "info", "no certificate", "noted", "fail", 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc := oneWayTo(test.servers...)
			ids := []string{"c1", "c2"}[:len(test.servers)]
			find(doc, test.rule, test.severity, test.message, ids...)
			reckon(t, doc, base, test.effect)
			if doc.Conclusion != test.conclusion || doc.Baseline.Known != test.known || doc.Baseline.New != test.fresh {
				t.Errorf("%s (%s), %+v", doc.Conclusion, doc.Reason, doc.Baseline)
			}
			for _, f := range doc.Findings {
				if f.Known != (f.Status == "waived") {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

// A finding about several edges is split, and no edge gets lost.
func TestBaselineSplitsFindings(t *testing.T) {
	base := oneWayTo("b@n2.lab")
	find(base, "DP103", "high", "no certificate", "c1")
	doc := oneWayTo("c@n3.lab", "b@n2.lab")
	find(doc, "DP103", "high", "no certificate", "c1", "c2")
	reckon(t, doc, base, "violates")
	if len(doc.Findings) != 2 {
		t.Fatalf("%d findings", len(doc.Findings))
	}
	open, known := doc.Findings[0], doc.Findings[1]
	if open.Status != "open" || !slices.Equal(open.Connections, []string{"c1"}) || len(open.Evidence) != 2 {
		t.Errorf("open: %+v", open)
	}
	// The second connection begins in frame 20.
	if !known.Known || !slices.Equal(known.Connections, []string{"c2"}) || len(known.Evidence) != 1 {
		t.Errorf("known: %+v", known)
	}
	if want := "1 finding is new or worse than in the baseline; 1 known from it"; doc.Reason != want {
		t.Errorf("reason %q", doc.Reason)
	}
}

// What is undecided stays so, and what is never let pass fails, as long as
// everything else is known.
func TestBaselineConclusion(t *testing.T) {
	base := oneWayTo("b@n2.lab")
	find(base, "DP103", "high", "no certificate", "c1")
	find(base, "DP207", "critical", "code", "c1")
	doc := oneWayTo("b@n2.lab")
	find(doc, "DP103", "high", "no certificate", "c1")
	find(doc, "DP302", "medium", "packets were lost")
	reckon(t, doc, base, "violates", "undecided")
	if doc.Conclusion != "inconclusive" || doc.Baseline.Gone != 1 {
		t.Errorf("%s (%s) %+v", doc.Conclusion, doc.Reason, doc.Baseline)
	}
	doc = oneWayTo("b@n2.lab")
	find(doc, "DP103", "high", "no certificate", "c1")
	find(doc, "DP207", "critical", "code", "c1")
	reckon(t, doc, base, "violates", "violates")
	if doc.Conclusion != "fail" || !strings.Contains(doc.Reason, "no baseline lets it pass") || doc.Findings[1].Status != "open" {
		t.Errorf("%s (%s) %+v", doc.Conclusion, doc.Reason, doc.Baseline)
	}
	// A pass and an inconclusive run stay what they are.
	for _, conclusion := range []string{"pass", "inconclusive"} {
		doc := oneWayTo("b@n2.lab")
		find(doc, "DP103", "low", "no certificate", "c1")
		doc.Conclusion, doc.Reason = conclusion, "as it was"
		if reckon(t, doc, base, "noted"); doc.Conclusion != conclusion || doc.Reason != "as it was" {
			t.Errorf("%s became %s (%s)", conclusion, doc.Conclusion, doc.Reason)
		}
	}
	if err := (report.Reckoning{Baseline: base}).Apply(doc); err == nil {
		t.Error("effects are missing, and that is no error")
	}
}

// What the policy let pass when the baseline was made is not known: its
// exception may have expired. What an older baseline let pass still is.
func TestBaselineOfABaseline(t *testing.T) {
	for _, known := range []bool{false, true} {
		base := oneWayTo("b@n2.lab")
		find(base, "DP103", "high", "no certificate", "c1")
		base.Findings[0].Status, base.Findings[0].Known = "waived", known
		doc := oneWayTo("b@n2.lab")
		find(doc, "DP103", "high", "no certificate", "c1")
		if reckon(t, doc, base, "violates"); (doc.Conclusion == "pass") != known {
			t.Errorf("known %v: %s (%s)", known, doc.Conclusion, doc.Reason)
		}
	}
}

// An edge whose name is hidden is not the one whose name is known.
func TestBaselineDoesNotGuessNames(t *testing.T) {
	base := oneWayTo("b@n2.lab")
	base.Connections[0].Client.Node, base.Connections[0].Client.Host = "", "n1.lab"
	find(base, "DP103", "high", "no certificate", "c1")
	doc := oneWayTo("b@n2.lab")
	find(doc, "DP103", "high", "no certificate", "c1")
	if reckon(t, doc, base, "violates"); doc.Conclusion != "fail" {
		t.Errorf("%s (%s)", doc.Conclusion, doc.Reason)
	}
}

func TestCheckBaseline(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*report.Document)
		want  string
	}{
		{"whole", func(*report.Document) {}, ""},
		{"inspect", func(d *report.Document) { d.Conclusion = "" }, "judges nothing"},
		{"inconclusive", func(d *report.Document) { d.Conclusion = "inconclusive" }, "it is inconclusive: it is not"},
		{"cut", func(d *report.Document) { d.Inputs[0].Truncated = true }, "a.pcap ended early"},
		{"damaged", func(d *report.Document) { d.Inputs[0].Damage = "bad block" }, "a.pcap is damaged: bad block"},
		{"lossy", func(d *report.Document) { d.Inputs[0].Dropped = 2 }, "a.pcap is incomplete: 2 packets were lost"},
		{"undecided", func(d *report.Document) { find(d, "DP109", "medium", "not proven", "c1") }, "undecided: DP109"},
		{"unseen", func(d *report.Document) { find(d, "DP303", "high", "not seen") }, "undecided: DP303"},
		{"lossy, says the policy", func(d *report.Document) { find(d, "DP302", "low", "lost") }, "undecided: DP302"},
		{"sealed", func(d *report.Document) { find(d, "DP302", "info", "sealed") }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc := oneWayTo("b@n2.lab")
			find(doc, "DP103", "high", "no certificate", "c1")
			test.spoil(doc)
			err := report.CheckBaseline(doc)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error: %v", err)
			}
		})
	}
}

// Every format says that a finding is known.
func TestKnownFindingsAreShown(t *testing.T) {
	base := mixed()
	doc := mixed()
	reckon(t, doc, base, "undecided", "violates", "violates")
	for format, want := range map[string]string{
		"table": "No client certificate (known from the baseline)", "wide": "(known from the baseline)", "json": `"known": true`,
		"junit": "known from the baseline: ", "sarif": `"justification": "known from the baseline"`, "gitlab": "known from the baseline: DP103",
		"github": "(known from the baseline)", "markdown": "known from the baseline",
	} {
		if out := string(render(t, doc, format, report.Options{Width: 120})); !strings.Contains(out, want) {
			t.Errorf("%s does not say %q:\n%s", format, want, out)
		}
	}
}
