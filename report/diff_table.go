package report

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"strings"

	"distproof/internal/plural"
)

// maxChanges is how many changes of a kind the table shows.
const maxChanges = 60

// renderDiffTable writes a diff for people: what got worse is first.
func renderDiffTable(w io.Writer, d *Diff, opt Options) error {
	p := &page{doc: &Document{}, width: opt.columns(), palette: palette{opt.Color}}
	p.item(0, "old: "+p.run(d.Old))
	p.item(0, "new: "+p.run(d.New))
	p.line("")
	p.outcome(d)
	section(p, "EDGES", d.Edges, p.edgeChange)
	section(p, "LISTENERS", d.Listeners, p.listenerChange)
	section(p, "FINDINGS", d.Findings, p.findingChange)
	section(p, "NODES", d.Nodes, func(c NodeChange) { p.change(c.Change, escape(c.Name)) })
	section(p, "CERTIFICATES", d.Certificates, p.certificateChange)
	return p.flush(w)
}

// section writes changes of a kind below a heading, as far as they are shown.
func section[T any](p *page, title string, changes []T, write func(T)) {
	if len(changes) == 0 {
		return
	}
	p.heading(title)
	shown := p.capped(maxChanges, len(changes))
	for _, c := range changes[:shown] {
		write(c)
	}
	if rest := len(changes) - shown; rest > 0 {
		p.linef("… and %d more: -o json has all.", rest)
	}
}

// run names a document by what it was made of.
func (p *page) run(r Run) string {
	words := []string{"no input"}
	if n := len(r.Inputs); n > 0 {
		name := escape(path.Base(r.Inputs[0]))
		if r.Inputs[0] == "-" {
			name = "standard input"
		}
		words[0] = cut(name, p.width/2)
		if n > 1 {
			words[0] += fmt.Sprintf(" and %s", plural.Of(n-1, "more file", "more files"))
		}
	}
	if when, ok := span(Input{First: r.First, Last: r.Last}); ok {
		words = append(words, when)
	}
	conclusion := "not judged"
	if r.Conclusion != "" {
		conclusion = strings.ToUpper(escape(r.Conclusion))
	}
	if r.Policy != "" {
		conclusion += " by the policy " + escape(r.Policy)
	}
	return strings.Join(append(words, conclusion), ", ")
}

// outcome says what all changes mean, in a sentence.
func (p *page) outcome(d *Diff) {
	plain := strings.ToUpper(strings.ReplaceAll(d.Outcome, "-", " "))
	lines := wrap(plain+": "+escape(d.Reason), p.width)
	p.line(p.effect(d.Outcome, plain) + strings.TrimPrefix(lines[0], plain))
	for _, l := range lines[1:] {
		p.line(l)
	}
}

// effect colours a word by what the change means.
func (p *page) effect(effect, word string) string {
	switch effect {
	case isWorse:
		return p.bad(word)
	case lessProven:
		return p.doubt(word)
	case isBetter:
		return p.good(word)
	}
	return word
}

// change writes what changed, behind a word for how.
func (p *page) change(c Change, subject string) {
	const column = 13
	word := c.Change
	switch {
	case c.Effect != noEffect && c.Change == isChanged:
		word = strings.ReplaceAll(c.Effect, "-", " ")
	case c.Effect == isWorse && c.Change == isNew:
		word = "new, bad"
	}
	for i, l := range wrap(subject, p.width-column) {
		if i == 0 {
			p.line(p.effect(c.Effect, word) + strings.Repeat(" ", max(column-width(word), 1)) + l)
			continue
		}
		p.line(strings.Repeat(" ", column) + l)
	}
}

// detail writes a line below a change.
func (p *page) detail(s string) { p.item(15, s) }

func (p *page) edge(from, to string) string {
	half := max((p.width-13-width(" → "))/2, minName)
	return cut(escape(from), half) + " → " + cut(escape(to), half)
}

func (p *page) edgeChange(c EdgeChange) {
	p.change(c.Change, p.edge(c.From, c.To))
	for _, what := range c.What {
		p.detail(escape(what))
	}
	const most = 3
	for _, other := range c.MayBe[:min(len(c.MayBe), most)] {
		p.detail("may be " + escape(other))
	}
}

func (p *page) listenerChange(c ListenerChange) {
	p.change(c.Change, cut(escape(c.Node), p.width/2)+" listens: "+escape(c.Old)+" → "+escape(c.New))
}

func (p *page) findingChange(c FindingChange) {
	p.change(c.Change, escape(c.Rule)+" "+escape(c.Title)+" ("+severityChange(c)+")")
	if c.From != "" || c.To != "" {
		p.detail(p.edge(c.From, c.To))
	}
	p.detail(escape(c.Message))
}

// severityChange says how much a finding weighs, and weighed.
func severityChange(c FindingChange) string {
	weight := func(severity, status string) string {
		if status == statusWaived {
			return escape(severity) + ", waived"
		}
		return escape(severity)
	}
	is := weight(c.Severity, c.Status)
	if was := weight(c.OldSeverity, c.OldStatus); c.OldSeverity != "" && was != is {
		return was + " → " + is
	}
	return is
}

func (p *page) certificateChange(c CertificateChange) {
	kind := "certificate of "
	if c.IsCA {
		kind = "CA certificate of "
	}
	subject := cmp.Or(escape(c.Subject), escape(strings.Join(c.Names, ", ")), "no name")
	p.change(c.Change, kind+cut(subject, p.width/2))
	show := func(s *CertificateState) string {
		return fmt.Sprintf("%s, %s, valid from %s to %s", cut(escape(s.SHA256), 17), escape(s.Key), day(s.NotBefore), day(s.NotAfter))
	}
	if c.Old != nil {
		p.detail("old: " + show(c.Old))
	}
	if c.New != nil {
		p.detail("new: " + show(c.New))
	}
	if c.Old == nil || c.New == nil {
		return
	}
	if c.SameKey {
		p.detail("the key is the same")
	}
	if c.Old.Issuer != c.New.Issuer {
		p.detail("issued by " + escape(c.New.Issuer) + " instead of " + escape(c.Old.Issuer))
	}
	if c.New.NotAfter < c.Old.NotAfter {
		p.detail("the new one ends before the old one")
	}
}

// day is the day of a time in the document.
func day(t string) string {
	const date = len("2006-01-02")
	if len(t) < date {
		return escape(t)
	}
	return escape(t[:date])
}
