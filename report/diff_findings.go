package report

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// A sameness is what a finding on an edge has in common with the same finding
// of another run: the rule, the edge, and what is said of it. One fingerprint
// may stand for several: a weak key does not excuse a weaker one.
type sameness struct{ rule, edge, message string }

// counts matches what differs from run to run although nothing changed.
var counts = regexp.MustCompile(`\b(\d+ times|once|twice|\d+ (connection|packet|message|byte|proof|request)s?)\b`)

func (p *problem) sameness() sameness {
	return sameness{p.Rule, p.edge, counts.ReplaceAllStringFunc(p.Message, func(s string) string {
		if _, noun, found := strings.Cut(s, " "); found && noun != "times" {
			return "N " + strings.TrimSuffix(noun, "s")
		}
		return "N times"
	})}
}

// problemsBySameness has the worst problem of each kind, and their order.
func problemsBySameness(doc *Document) (map[sameness]*problem, []sameness) {
	byID := make(map[string]*Connection, len(doc.Connections))
	for i := range doc.Connections {
		byID[doc.Connections[i].ID] = &doc.Connections[i]
	}
	out, order := map[sameness]*problem{}, []sameness{}
	for _, i := range worstFirst(doc.Findings) {
		f := &doc.Findings[i]
		for _, p := range onEdgesBy(f, byID, Endpoint.lastingLabel) {
			k := p.sameness()
			if out[k] == nil {
				p.effect, p.fingerprint = effectOf(doc, f), fingerprint(p.Rule+"\x00"+p.edge, 1)
				out[k] = &p
				order = append(order, k)
			}
		}
	}
	return out, order
}

func findingChanges(before, after *Document) []FindingChange {
	old, oldOrder := problemsBySameness(before)
	now, nowOrder := problemsBySameness(after)
	out, edges := []FindingChange{}, edgeStates(after)
	for _, k := range nowOrder {
		was, is := old[k], now[k]
		if was == nil {
			out = append(out, newFindingChange(is, isNew, worseEffect(is)))
			continue
		}
		if was.Severity == is.Severity && was.Status == is.Status {
			continue
		}
		c := newFindingChange(is, isChanged, noEffect)
		c.OldSeverity, c.OldStatus = was.Severity, was.Status
		switch {
		case is.weight() < was.weight():
			c.Effect = worseEffect(is)
		case is.weight() > was.weight():
			c.Effect = isBetter
		}
		out = append(out, c)
	}
	for _, k := range oldOrder {
		if now[k] == nil {
			out = append(out, newFindingChange(old[k], isGone, goneEffect(old[k], edges, after)))
		}
	}
	slices.SortStableFunc(out, func(a, b FindingChange) int {
		return cmp.Or(compareChanges(a.Change, b.Change), cmp.Compare(rank(severities(), a.Severity), rank(severities(), b.Severity)),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Message, b.Message))
	})
	return out
}

// weight orders problems, the gravest first.
func (p *problem) weight() int {
	if p.Status == statusWaived {
		return len(severities())
	}
	return rank(severities(), p.Severity)
}

// worseEffect is what it means that a finding is new or weighs more: it counts
// as much as it does in the conclusion.
func worseEffect(p *problem) string {
	switch p.effect {
	case violates:
		return isWorse
	case doubts:
		return lessProven
	}
	return noEffect
}

// goneEffect is what it means that a finding is gone. It is nothing good if its
// edge was not seen, or not seen well enough.
func goneEffect(p *problem, edges map[edgeKey]*EdgeState, after *Document) string {
	if p.effect != violates && p.effect != doubts {
		return noEffect
	}
	known := after.Conclusion != "inconclusive"
	if len(p.connections) > 0 {
		c := p.connections[0]
		edge := edges[edgeKey{c.Client.lastingLabel(), c.Server.lastingLabel()}]
		known = edge != nil && edge.Verdict != "inconclusive"
	}
	if !known {
		return noEffect
	}
	return isBetter
}

func newFindingChange(p *problem, change, effect string) FindingChange {
	out := FindingChange{
		Rule: p.Rule, Title: p.Title, Message: p.Message, Severity: p.Severity, Status: p.Status,
		Fingerprint: p.fingerprint, Change: Change{change, effect},
	}
	if len(p.connections) > 0 {
		c := p.connections[0]
		out.From, out.To = c.Client.lastingLabel(), c.Server.lastingLabel()
	}
	return out
}
