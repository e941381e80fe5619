package report

import (
	"io"
)

// A gitlabIssue is an issue of GitLab's Code Quality report.
type gitlabIssue struct {
	Description string         `json:"description"`
	CheckName   string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string `json:"path"`
	Lines struct {
		Begin int `json:"begin"`
	} `json:"lines"`
}

// renderGitLab writes a Code Quality report, which GitLab shows in merge
// requests: an issue for each rule that an edge breaks.
func renderGitLab(w io.Writer, doc *Document, _ Options) error {
	issues := []gitlabIssue{}
	all := problems(doc)
	for i := range all {
		issues = append(issues, all[i].gitlab(doc))
	}
	if doc.Conclusion == "" {
		issues = append(issues, notJudgedIssue(doc))
	}
	return WriteJSON(w, issues)
}

func (p *problem) gitlab(doc *Document) gitlabIssue {
	out := gitlabIssue{
		Description: p.heading() + ": " + escape(p.Message),
		CheckName:   escape(p.Rule),
		Fingerprint: p.fingerprint,
		Severity:    gitlabSeverity(p.Severity),
	}
	if p.effect == waived {
		out.Description, out.Severity = escape(p.waivedAs())+": "+out.Description, "info"
	}
	at := p.place(doc)
	out.Location.Path = escape(at.path)
	out.Location.Lines.Begin = at.line
	return out
}

// gitlabSeverity translates a severity. Of one that is not known the worst is
// assumed.
func gitlabSeverity(s string) string {
	words := map[string]string{"high": "critical", "medium": "major", "low": "minor", "info": "info"}
	if word, known := words[s]; known {
		return word
	}
	return "blocker"
}

// notJudgedIssue keeps a document of inspect from looking like one without
// findings.
func notJudgedIssue(doc *Document) gitlabIssue {
	at := (&problem{Finding: &Finding{}}).place(doc)
	out := gitlabIssue{Description: notJudged, CheckName: "not-judged", Fingerprint: fingerprint("not-judged", 1), Severity: "info"}
	out.Location.Path = escape(at.path)
	out.Location.Lines.Begin = at.line
	return out
}
