package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// The types have the part of SARIF 2.1.0 that is used here. go-sarif, which
// the tests validate with, writes what is not set as zero: a rank of 0 and a
// reference to an artifact that is not there.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
		Properties  map[string]any    `json:"properties,omitempty"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string         `json:"id"`
		ShortDescription sarifText      `json:"shortDescription"`
		FullDescription  sarifText      `json:"fullDescription"`
		Help             sarifText      `json:"help"`
		Properties       map[string]any `json:"properties"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		ExitCode            *int                `json:"exitCode,omitempty"`
		ExitCodeDescription string              `json:"exitCodeDescription,omitempty"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID              string             `json:"ruleId"`
		RuleIndex           int                `json:"ruleIndex"`
		Level               string             `json:"level"`
		Message             sarifText          `json:"message"`
		Locations           []sarifLocation    `json:"locations"`
		PartialFingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical  `json:"physicalLocation"`
		LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		ArtifactLocation struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			StartLine   int `json:"startLine"`
			StartColumn int `json:"startColumn"`
			EndLine     int `json:"endLine"`
			EndColumn   int `json:"endColumn"`
		} `json:"region"`
	}
	sarifLogical struct {
		Name               string `json:"name,omitempty"`
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification,omitempty"`
	}
)

// maxResults is how many results GitHub takes; with more it refuses the file.
const maxResults = 25000

// renderSARIF writes SARIF 2.1.0 as GitHub's code scanning takes it: a result
// for each rule that an edge breaks, at a relative location, and known again in
// the next run by rule and edge.
func renderSARIF(w io.Writer, doc *Document, _ Options) error {
	all := problems(doc)
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name: escape(doc.Tool.Name), Version: escape(doc.Tool.Version), Rules: sarifRules(doc),
		}},
		Invocations: []sarifInvocation{sarifInvocationOf(doc, len(all))},
		ColumnKind:  "unicodeCodePoints",
		Results:     []sarifResult{},
	}
	if doc.Policy != "" {
		run.Properties = map[string]any{"policy": escape(doc.Policy)}
	}
	index := map[string]int{}
	for i, r := range run.Tool.Driver.Rules {
		index[r.ID] = i
	}
	for i := range all[:min(len(all), maxResults)] {
		p := &all[i]
		run.Results = append(run.Results, p.sarif(doc, index[escape(p.Rule)]))
	}
	return WriteJSON(w, sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

// sarifRules are the rules that the document has findings of, with the worst
// severity of those that are not waived: GitHub gives it to all alerts of the rule.
func sarifRules(doc *Document) []sarifRule {
	worst := map[string]*Finding{}
	for i := range doc.Findings {
		f := &doc.Findings[i]
		if w := worst[f.Rule]; w == nil || rank(severities(), f.weight()) < rank(severities(), w.weight()) {
			worst[f.Rule] = f
		}
	}
	rules := []sarifRule{}
	for _, f := range worst {
		rules = append(rules, f.sarifRule())
	}
	slices.SortFunc(rules, func(a, b sarifRule) int { return strings.Compare(a.ID, b.ID) })
	return rules
}

// weight is the severity, of a finding that is waived the least.
func (f *Finding) weight() string {
	if f.Status == statusWaived {
		return "info"
	}
	return f.Severity
}

func (f *Finding) sarifRule() sarifRule {
	rule, title := escape(f.Rule), escape(f.Title)
	fix := strings.Join(fixLines(f.Fix), "\n")
	more := "distproof explain " + rule
	return sarifRule{
		ID:               rule,
		ShortDescription: sarifText{Text: title},
		FullDescription:  sarifText{Text: title + ". What it means: " + more},
		Help: sarifText{
			Text:     title + "\n\nFix:\n" + fix + "\n\nMore: " + more,
			Markdown: "**" + markdownText(f.Title) + "**\n\n" + fenced(fix) + "\nMore: `" + more + "`",
		},
		Properties: map[string]any{
			"tags":              []string{"security"},
			"security-severity": securitySeverity(f.weight()),
		},
	}
}

// securitySeverity is the number that GitHub makes a severity of again. Of one
// that is not known the worst is assumed.
func securitySeverity(s string) string {
	numbers := map[string]string{"high": "8.0", "medium": "5.5", "low": "2.0", "info": "0.0"}
	if n, known := numbers[s]; known {
		return n
	}
	return "9.5"
}

// sarifInvocationOf says how the run ended. A run that is not conclusive is
// no success: that it has no results does not mean that there is nothing.
func sarifInvocationOf(doc *Document, results int) sarifInvocation {
	codes := map[string]int{"pass": 0, "fail": 1, "inconclusive": 3}
	inv := sarifInvocation{
		ExecutionSuccessful: doc.Conclusion == "pass" || doc.Conclusion == "fail",
		ExitCodeDescription: escape(doc.Conclusion),
	}
	if code, known := codes[doc.Conclusion]; known {
		inv.ExitCode = &code
	}
	notify := func(level, text string) {
		inv.Notifications = append(inv.Notifications, sarifNotification{level, sarifText{Text: text}})
	}
	switch doc.Conclusion {
	case "pass", "fail":
	case "":
		notify("error", notJudged)
	default:
		notify("error", escape(doc.Conclusion+": "+doc.Reason))
	}
	for _, item := range unseenItems(doc) {
		notify("warning", item)
	}
	if results > maxResults {
		notify("warning", fmt.Sprintf("%d of %d results are left out: GitHub takes no more", results-maxResults, results))
	}
	return inv
}

func (p *problem) sarif(doc *Document, ruleIndex int) sarifResult {
	at := p.place(doc)
	var loc sarifLocation
	loc.PhysicalLocation.ArtifactLocation.URI = at.uri()
	region := &loc.PhysicalLocation.Region
	region.StartLine, region.EndLine = at.line, at.line
	region.StartColumn, region.EndColumn = 1, 2
	if p.edge != "" {
		loc.LogicalLocations = []sarifLogical{{Name: p.edge, FullyQualifiedName: p.edge, Kind: "resource"}}
	}
	out := sarifResult{
		RuleID: escape(p.Rule), RuleIndex: ruleIndex, Level: p.sarifLevel(),
		Message:   sarifText{Text: unlinked(p.sarifMessage(doc))},
		Locations: []sarifLocation{loc},
		// GitHub looks at primaryLocationLineHash alone, and would make one alert
		// of all results at a place.
		PartialFingerprints: map[string]string{"distproofEdge/v1": p.fingerprint, "primaryLocationLineHash": p.fingerprint},
	}
	if p.effect == waived {
		out.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: p.justification()}}
	}
	return out
}

// sarifMessage begins with the edge: GitHub shows the first sentence in lists.
func (p *problem) sarifMessage(doc *Document) string {
	text := strings.Join(p.details(doc), "\n")
	if p.edge == "" {
		return text
	}
	return p.edge + ": " + text
}

// unlinked breaks what SARIF takes for a link in a message: [text](target).
func unlinked(s string) string { return strings.ReplaceAll(s, "](", "] (") }

func (p *problem) sarifLevel() string {
	switch {
	case p.effect == waived: // GitHub takes no notice of suppressions
		return "note"
	case p.effect == violates, p.Severity == "critical", p.Severity == "high":
		return "error"
	case p.effect == doubts, p.Severity == "medium":
		return "warning"
	}
	return "note"
}
