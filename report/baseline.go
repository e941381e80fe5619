package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"distproof/internal/plural"
)

// CheckBaseline says why a document cannot be a baseline: what was not seen when
// it was made must not count as known, nor as new.
func CheckBaseline(doc *Document) error {
	switch doc.Conclusion {
	case "":
		return errors.New("it is of distproof inspect, which judges nothing")
	case "inconclusive":
		return errors.New("it is inconclusive: " + cmp.Or(doc.Reason, "not everything was proven"))
	}
	for _, in := range doc.Inputs {
		switch {
		case in.Damage != "":
			return fmt.Errorf("its capture %s is damaged: %s", in.Path, in.Damage)
		case in.Truncated:
			return fmt.Errorf("its capture %s ended early", in.Path)
		case in.Dropped > 0:
			return fmt.Errorf("its capture %s is incomplete: %s", in.Path, plural.Of(in.Dropped, "packet was lost", "packets were lost"))
		}
	}
	for i := range doc.Findings {
		f := &doc.Findings[i]
		incomplete := slices.Contains([]string{"DP301", "DP302", "DP303"}, f.Rule) && f.Severity != "info" && f.Status != statusWaived
		if incomplete || effectOf(doc, f) == doubts {
			return fmt.Errorf("it leaves something undecided: %s %s: %s", f.Rule, f.Title, f.Message)
		}
	}
	return nil
}

// A Reckoning is what the baseline does to a document.
type Reckoning struct {
	// Baseline is the document of the baseline, and Path its name.
	Baseline *Document
	Path     string
	// Effects has what each of the document's findings does to the conclusion:
	// violates, undecided, waived or noted. The document does not always say.
	Effects []string
	// Never reports whether a finding is not let pass, whatever the baseline
	// has.
	Never func(rule, severity string) bool
}

// Apply lets the findings pass that the baseline has, and concludes anew from
// those that are left. What could not be decided stays undecided.
func (r Reckoning) Apply(doc *Document) error {
	if len(r.Effects) != len(doc.Findings) {
		return fmt.Errorf("the effects of %d findings are known, and there are %d", len(r.Effects), len(doc.Findings))
	}
	known := knownIn(r.Baseline)
	text, byID := legible(doc), map[string]*Connection{}
	for i := range text.Connections {
		byID[text.Connections[i].ID] = &text.Connections[i]
	}
	sum, left, found, excused := &Baseline{Path: r.Path}, map[effect]int{}, map[sameness]bool{}, 0
	findings := []Finding{}
	for i := range doc.Findings {
		f, e := doc.Findings[i], effect(r.Effects[i])
		fresh, old := split{}, split{}
		for _, p := range onEdgesBy(&text.Findings[i], byID, Endpoint.lastingLabel) {
			k := p.sameness()
			found[k] = true
			severity, has := known[k]
			has = has && rank(severities(), severity) <= rank(severities(), f.Severity)
			switch {
			case has && r.passes(&f, e):
				old.add(p)
				continue
			case has && e == violates:
				sum.Protected++
			}
			fresh.add(p)
		}
		left[e] += fresh.n
		sum.Known += old.n
		if e == violates {
			excused += old.n
		}
		findings = append(findings, fresh.of(f, old.n > 0)...)
		for _, f := range old.of(f, fresh.n > 0) {
			f.Status, f.Known = statusWaived, true
			if f.Effect != "" {
				f.Effect = string(waived)
			}
			findings = append(findings, f)
		}
	}
	for k := range known {
		if !found[k] {
			sum.Gone++
		}
	}
	sum.New = left[violates] - sum.Protected
	doc.Findings, doc.Baseline = findings, sum
	if excused > 0 {
		doc.concludeWith(left)
	}
	return nil
}

// passes reports whether a finding can be let pass. Notices say something of the
// run and not of the cluster.
func (r Reckoning) passes(f *Finding, e effect) bool {
	return (e == violates || e == notes) && f.Severity != "info" && !r.Never(f.Rule, f.Severity)
}

// knownIn has the severity of what a baseline has found. What the policy let
// pass then is not known: the policy has the say on that.
func knownIn(doc *Document) map[sameness]string {
	kinds, _ := problemsBySameness(legible(doc))
	out := map[sameness]string{}
	for k, p := range kinds {
		if p.Severity != "info" && (p.Status != statusWaived || p.Known) {
			out[k] = p.Severity
		}
	}
	return out
}

// A split is the part of a finding that is about some of its edges.
type split struct {
	n           int
	connections []*Connection
}

func (s *split) add(p problem) {
	s.n++
	s.connections = append(s.connections, p.connections...)
}

// of returns the finding of this part; none if there is nothing in it.
func (s *split) of(f Finding, partly bool) []Finding {
	if s.n == 0 {
		return nil
	}
	if !partly {
		return []Finding{f}
	}
	f.Connections = []string{}
	for _, c := range s.connections {
		f.Connections = append(f.Connections, c.ID)
	}
	// Evidence does not say which connection it is about; what was seen before
	// any of these began is about another.
	begin := map[int]uint32{} // by input
	for _, c := range s.connections {
		if at, known := begin[c.Input]; !known || c.FirstFrame < at {
			begin[c.Input] = c.FirstFrame
		}
	}
	f.Evidence = slices.DeleteFunc(slices.Clone(f.Evidence), func(e Evidence) bool {
		at, known := begin[e.Input]
		return !known || e.Frame < at
	})
	return []Finding{f}
}

// concludeWith draws the conclusion from what is left of a run that failed, but
// not for what is known alone.
func (d *Document) concludeWith(left map[effect]int) {
	known := fmt.Sprintf("%d known from it", d.Baseline.Known)
	switch {
	case d.Baseline.New > 0:
		d.Reason = fmt.Sprintf("%s new or worse than in the baseline; %s", plural.Of(d.Baseline.New, "finding is", "findings are"), known)
		if n := d.Baseline.Protected; n > 0 {
			d.Reason += fmt.Sprintf(", and %d that no baseline lets pass", n)
		}
	case d.Baseline.Protected > 0:
		d.Reason = fmt.Sprintf("%s such that no baseline lets it pass; %s", plural.Of(d.Baseline.Protected, "finding is", "findings are"), known)
	case left[doubts] > 0:
		d.Conclusion = "inconclusive"
		d.Reason = fmt.Sprintf("nothing is known to be new or worse than in the baseline (%s), but %s undecided", known, plural.Of(left[doubts], "finding is", "findings are"))
	default:
		d.Conclusion = "pass"
		d.Reason = fmt.Sprintf("nothing is new or worse than in the baseline; %s", plural.Of(d.Baseline.Known, "finding is known from it", "findings are known from it"))
	}
}

// waivedAs says in words why a finding is let pass.
func (f *Finding) waivedAs() string {
	if f.Known {
		return "known from the baseline"
	}
	return f.Status
}
