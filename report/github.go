package report

import (
	"fmt"
	"io"
	"strings"

	"distproof/internal/plural"
)

// maxAnnotations is how many annotations GitHub shows of a step.
const maxAnnotations = 10

// renderGitHub writes workflow commands, which GitHub Actions turns into
// annotations: one for each finding, the worst first. If there are more than
// are shown, the last says how many.
func renderGitHub(w io.Writer, doc *Document, _ Options) error {
	all := annotations(doc)
	if len(all) > maxAnnotations {
		rest := all[maxAnnotations-1:]
		more := annotation{
			level: rest[0].level, title: "distproof",
			message: fmt.Sprintf("+%d more findings: the other reports have all", len(rest)),
		}
		all = append(all[:maxAnnotations-1:maxAnnotations-1], more)
	}
	for _, a := range all {
		if _, err := io.WriteString(w, a.command()); err != nil {
			return err
		}
	}
	return nil
}

// An annotation is a workflow command before it is written.
type annotation struct {
	level          string
	at             *place
	title, message string
}

// annotations has the findings, or the conclusion if there are none.
func annotations(doc *Document) []annotation {
	edges := map[int][]string{}
	first := map[int]*problem{}
	all := problems(doc)
	for i := range all {
		p := &all[i]
		if first[p.number] == nil {
			first[p.number] = p
		}
		if p.edge != "" {
			edges[p.number] = append(edges[p.number], p.edge)
		}
	}
	var out []annotation
	for _, i := range worstFirst(doc.Findings) {
		out = append(out, first[i+1].annotation(doc, edges[i+1]))
	}
	switch {
	case doc.Conclusion == "":
		out = append(out, annotation{level: "notice", title: "distproof", message: notJudged})
	case len(out) == 0:
		level := "error"
		if doc.Conclusion == "pass" {
			level = "notice"
		}
		out = append(out, annotation{level: level, title: "distproof: " + escape(doc.Conclusion), message: escape(doc.Reason)})
	}
	return out
}

// annotation is that of the problem's finding, on these edges.
func (p *problem) annotation(doc *Document, edges []string) annotation {
	const maxEdges = 3
	at := p.place(doc)
	a := annotation{
		level: p.githubLevel(), at: &at,
		title: escape(p.Rule) + " " + escape(p.Title), message: escape(p.Message),
	}
	if p.effect == waived {
		a.title += " (" + escape(p.waivedAs()) + ")"
	}
	if n := len(edges); n > 0 {
		a.message += "\n" + strings.Join(edges[:min(n, maxEdges)], "\n")
		if n > maxEdges {
			a.message += fmt.Sprintf("\nand %s", plural.Of(n-maxEdges, "more pair", "more pairs"))
		}
	}
	return a
}

func (p *problem) githubLevel() string {
	switch {
	case p.effect == waived:
		return "notice"
	case p.effect == violates, p.Severity == "critical", p.Severity == "high":
		return "error"
	case p.effect == doubts, p.Severity == "medium", p.Severity == "low":
		return "warning"
	}
	return "notice"
}

// command writes the annotation as a line.
func (a annotation) command() string {
	var properties []string
	if a.at != nil {
		properties = append(properties, "file="+githubProperty(escape(a.at.path)), fmt.Sprintf("line=%d", a.at.line))
	}
	properties = append(properties, "title="+githubProperty(a.title))
	return "::" + a.level + " " + strings.Join(properties, ",") + "::" + githubData(a.message) + "\n"
}

// githubData escapes the text of a workflow command, as the runner's own
// toolkit does.
func githubData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// githubProperty escapes a property of a workflow command.
func githubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
