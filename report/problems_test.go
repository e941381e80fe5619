package report

import (
	"fmt"
	"strings"
	"testing"
)

// Of the frames of a finding on several edges, each edge has those that may be
// about it: not those from before it was seen, nor of files it is not in.
func TestEvidenceOfSharedFindings(t *testing.T) {
	doc := &Document{
		Inputs: []Input{{Path: "a"}, {Path: "b"}},
		Connections: []Connection{
			{ID: "c1", Client: Endpoint{Node: "a@h"}, Server: Endpoint{Node: "b@h"}, FirstFrame: 10},
			{ID: "c2", Client: Endpoint{Node: "c@h"}, Server: Endpoint{Node: "b@h"}, FirstFrame: 30},
			{ID: "c3", Client: Endpoint{Node: "d@h"}, Server: Endpoint{Node: "b@h"}, FirstFrame: 5, Input: 1},
		},
		Findings: []Finding{{
			Rule: "DP101", Connections: []string{"c1", "c2", "c3"},
			Evidence: []Evidence{{Frame: 31}, {Frame: 12}, {Frame: 7, Input: 1}, {Frame: 3, Input: 1}},
		}},
	}
	want := []string{"[12/0 31/0]", "[31/0]", "[7/1]"}
	for i, p := range problems(doc) {
		var got []string
		evidence, more := p.ownEvidence()
		for _, e := range evidence {
			got = append(got, fmt.Sprintf("%d/%d", e.Frame, e.Input))
		}
		if fmt.Sprint(got) != want[i] || more != 0 {
			t.Errorf("%s: %v and %d more, want %s", p.edge, got, more, want[i])
		}
	}
	// Alone, an edge has all of it, in the finding's order.
	doc.Findings[0].Connections = []string{"c2"}
	if evidence, _ := problems(doc)[0].ownEvidence(); len(evidence) != 4 || evidence[0].Frame != 31 {
		t.Errorf("alone it has %v", evidence)
	}
}

func TestEvidenceIsCapped(t *testing.T) {
	f := &Finding{Connections: []string{"c1", "x"}}
	for i := range 100 {
		f.Evidence = append(f.Evidence, Evidence{Frame: uint32(100 - i), Text: "x"})
	}
	byID := map[string]*Connection{"c1": {ID: "c1", FirstFrame: 41}}
	p := onEdges(f, byID)[0]
	lines := strings.Join(p.details(&Document{}), "\n")
	if !strings.Contains(lines, "frame 41: x") || strings.Contains(lines, "frame 40: x") || !strings.Contains(lines, "and 50 more frames") {
		t.Errorf("details:\n%s", lines)
	}
}

// Several findings of a rule on one edge have names and fingerprints of their own.
func TestProblemsAreToldApart(t *testing.T) {
	doc := &Document{
		Connections: []Connection{{ID: "c1", Client: Endpoint{Node: "a@h"}, Server: Endpoint{Node: "b@h"}}},
		Findings: []Finding{
			{Rule: "DP107", Title: "weak TLS", Severity: "low", Connections: []string{"c1"}},
			{Rule: "DP107", Title: "weak TLS", Severity: "high", Connections: []string{"c1"}},
			{Rule: "DP302", Title: "lossy"}, {Rule: "DP302", Title: "lossy"},
		},
	}
	seen := map[string]bool{}
	for _, p := range problems(doc) {
		if seen[p.heading()] || seen[p.fingerprint] {
			t.Errorf("%s is there twice", p.heading())
		}
		seen[p.heading()], seen[p.fingerprint] = true, true
	}
	if !seen["DP107 weak TLS: a@h → b@h (2)"] || !seen["DP302 lossy (2)"] {
		t.Errorf("names %v", seen)
	}
}

// What a finding does follows from the conclusion, which the policy drew: it
// must not be redder or greener than the exit code.
func TestEffect(t *testing.T) {
	for _, tt := range []struct {
		conclusion, rule, severity, status string
		want                               effect
	}{
		{"fail", "DP101", "critical", "open", violates},
		{"fail", "DP103", "high", "", violates},
		{"fail", "DP103", "odd", "open", violates},
		{"fail", "DP107", "low", "open", notes},
		{"fail", "DP109", "medium", "open", doubts},
		{"fail", "DP109", "high", "open", violates},
		{"fail", "DP101", "critical", "waived", waived},
		{"fail", "DP101", "critical", "revived", violates},
		{"inconclusive", "DP109", "medium", "open", doubts},
		{"inconclusive", "DP302", "info", "open", notes},
		{"inconclusive", "DP103", "high", "open", notes},
		{"pass", "DP103", "high", "open", notes},
		{"pass", "DP109", "medium", "open", notes},
	} {
		f := &Finding{Rule: tt.rule, Severity: tt.severity, Status: tt.status}
		if got := effectOf(&Document{Conclusion: tt.conclusion}, f); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, tt := range []struct{ path, want, uri string }{
		{"pcaps/mixed.pcap", "pcaps/mixed.pcap", "pcaps/mixed.pcap"},
		{"./a.pcap", "a.pcap", "a.pcap"},
		{"/tmp/x/a.pcap", "a.pcap", "a.pcap"},
		{"../a.pcap", "a.pcap", "a.pcap"},
		{"x/../../a.pcap", "a.pcap", "a.pcap"},
		{"-", "standard-input", "standard-input"},
		{"", "standard-input", "standard-input"},
		{"/", "capture", "capture"},
		{"..", "capture", "capture"},
		{".", "capture", "capture"},
		{"a b:c?d#e%.pcap", "a b:c?d#e%.pcap", "a%20b%3Ac%3Fd%23e%25.pcap"},
		{"x\n\xff.pcap", "x\n\xff.pcap", "x%0A%FF.pcap"},
	} {
		got := place{relative(tt.path), 1}
		if got.path != tt.want || got.uri() != tt.uri {
			t.Errorf("%q: path %q, URI %s; want %q, %s", tt.path, got.path, got.uri(), tt.want, tt.uri)
		}
	}
}

func TestWorkflowCommandsAreTakenApart(t *testing.T) {
	for in, want := range map[string]string{
		"::error file=x::boo":    `\x3a:error file=x\x3a:boo`,
		"a ::add-mask::b":        `a \x3a:add-mask::b`,
		"x##[group]":             `x\x23#[group]`,
		"::1":                    "::1",
		"fd00:77::1":             "fd00:77::1",
		"[fd00::a]:4369 and ::b": "[fd00::a]:4369 and ::b",
		"::ffff:10.0.0.1":        "::ffff:10.0.0.1",
		"lists:map/2":            "lists:map/2",
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
}
