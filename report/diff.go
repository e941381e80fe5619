package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"distproof/internal/plural"
)

// DiffSchema names the version of the format of a [Diff]. Fields are added
// within a version; none is renamed or removed, and none changes its meaning.
const DiffSchema = "distproof.diff/v1"

// A Diff is what changed from one document to another. Arrays are never null,
// the most important is first, and their order does not depend on chance.
type Diff struct {
	Schema string `json:"schema"`
	Tool   Tool   `json:"tool"`
	Old    Run    `json:"old"`
	New    Run    `json:"new"`
	// Outcome is worse; less-proven, if nothing is known to be worse, but
	// something is no longer shown; better; changed; or same.
	Outcome string `json:"outcome"`
	// Reason says in a sentence why.
	Reason       string              `json:"reason"`
	Edges        []EdgeChange        `json:"edges"`
	Nodes        []NodeChange        `json:"nodes"`
	Listeners    []ListenerChange    `json:"listeners"`
	Certificates []CertificateChange `json:"certificates"`
	Findings     []FindingChange     `json:"findings"`
}

// A Run is a document that is compared.
type Run struct {
	Tool   Tool     `json:"tool"`
	Inputs []string `json:"inputs"`
	// First and Last are the times of the earliest and the latest packet; absent
	// if no packet had a time.
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
	// Conclusion is absent if nothing was judged (distproof inspect).
	Conclusion string `json:"conclusion,omitempty"`
	Policy     string `json:"policy,omitempty"`
}

// A Change says what happened to something, and what that means.
type Change struct {
	// Change is new, gone, renewed (of certificates) or changed.
	Change string `json:"change"`
	// Effect is worse, less-proven, better or none.
	Effect string `json:"effect"`
}

// The words of a Change.
const (
	isNew     = "new"
	isGone    = "gone"
	isRenewed = "renewed"
	isChanged = "changed"

	isWorse    = "worse"
	lessProven = "less-proven"
	isBetter   = "better"
	noEffect   = "none"
	isSame     = "same"
)

// changeEffects lists what changes mean, the most important first.
func changeEffects() []string { return []string{isWorse, lessProven, isBetter, noEffect} }

func compareChanges(a, b Change) int {
	kinds := []string{isChanged, isNew, isRenewed, isGone}
	return cmp.Or(
		rank(changeEffects(), a.Effect)-rank(changeEffects(), b.Effect),
		rank(kinds, a.Change)-rank(kinds, b.Change),
	)
}

// A NodeChange is a node that is new or gone.
type NodeChange struct {
	Name string `json:"name"`
	Change
}

// A ListenerChange is a node that listens in another way than before.
type ListenerChange struct {
	Node string `json:"node"`
	Old  string `json:"old"`
	New  string `json:"new"`
	Change
}

// A FindingChange is a rule that an edge breaks and did not, or did and does no
// longer, or that weighs more or less than before.
type FindingChange struct {
	Rule  string `json:"rule"`
	Title string `json:"title"`
	// From and To are absent if the finding is not about an edge.
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Message string `json:"message"`
	// Severity and Status are those of the new document; of a finding that is
	// gone, those that it had.
	Severity string `json:"severity"`
	Status   string `json:"status"`
	// OldSeverity and OldStatus are absent if the finding is new or gone.
	OldSeverity string `json:"old_severity,omitempty"`
	OldStatus   string `json:"old_status,omitempty"`
	// Fingerprint is a hash of rule and edge: that of the formats for pipelines, if
	// the edge has one such finding and its nodes are known.
	Fingerprint string `json:"fingerprint"`
	Change
}

// Compare finds what changed. Documents of which only one was judged cannot be
// compared: that there are no findings in the other means nothing.
func Compare(tool Tool, before, after *Document) (*Diff, error) {
	if (before.Conclusion == "") != (after.Conclusion == "") {
		which := "old"
		if after.Conclusion == "" {
			which = "new"
		}
		return nil, fmt.Errorf("the %s report is of distproof inspect, which judges nothing: its findings cannot be compared", which)
	}
	before, after = legible(before), legible(after)
	d := &Diff{
		Schema: DiffSchema, Tool: tool, Old: newRun(before), New: newRun(after),
		Edges: edgeChanges(before, after), Nodes: nodeChanges(before, after),
		Listeners: listenerChanges(before, after), Certificates: certificateChanges(before, after),
		Findings: findingChanges(before, after),
	}
	d.conclude(before, after)
	return d, nil
}

func newRun(doc *Document) Run {
	out := Run{Tool: doc.Tool, Inputs: []string{}, Conclusion: doc.Conclusion, Policy: doc.Policy}
	for _, in := range doc.Inputs {
		out.Inputs = append(out.Inputs, in.Path)
		if in.First != "" && (out.First == "" || in.First < out.First) {
			out.First = in.First
		}
		out.Last = max(out.Last, in.Last)
	}
	return out
}

// nodeChanges compares the nodes by their names.
func nodeChanges(before, after *Document) []NodeChange {
	old, now := listeners(before), listeners(after)
	out := []NodeChange{}
	for name := range now {
		if _, known := old[name]; !known {
			out = append(out, NodeChange{name, Change{isNew, noEffect}})
		}
	}
	for name := range old {
		if _, still := now[name]; !still {
			out = append(out, NodeChange{name, Change{isGone, noEffect}})
		}
	}
	slices.SortFunc(out, func(a, b NodeChange) int {
		return cmp.Or(compareChanges(a.Change, b.Change), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// listeners has how the nodes were reached, by name; "" for those that were
// not. Nodes of one name count as one.
func listeners(doc *Document) map[string]string {
	out := make(map[string]string, len(doc.Nodes))
	for _, n := range doc.Nodes {
		switch had := out[n.Name]; {
		case had == "" || had == n.Listener:
			out[n.Name] = n.Listener
		case n.Listener != "":
			out[n.Name] = "both"
		}
	}
	return out
}

// listenerChanges compares how nodes that were reached both times listen.
func listenerChanges(before, after *Document) []ListenerChange {
	ways := []string{"cleartext", "both", "tls"} // the worst first
	old, out := listeners(before), []ListenerChange{}
	for name, is := range listeners(after) {
		was := old[name]
		if was == "" || is == "" || was == is {
			continue
		}
		effect := noEffect
		switch from, to := rank(ways, was), rank(ways, is); {
		case from < 0 || to < 0:
		case from < to:
			effect = isBetter
		case from > to:
			effect = isWorse
		}
		out = append(out, ListenerChange{name, was, is, Change{isChanged, effect}})
	}
	slices.SortFunc(out, func(a, b ListenerChange) int {
		return cmp.Or(compareChanges(a.Change, b.Change), cmp.Compare(a.Node, b.Node))
	})
	return out
}

// conclude says what all changes together mean.
func (d *Diff) conclude(before, after *Document) {
	n := map[string]map[string]int{}
	tally := func(effect, noun string) {
		if n[effect] == nil {
			n[effect] = map[string]int{}
		}
		n[effect][noun]++
	}
	for _, c := range d.Edges {
		tally(c.Effect, "edge")
	}
	for _, c := range d.Listeners {
		tally(c.Effect, "listener")
	}
	for _, c := range d.Findings {
		tally(c.Effect, "finding")
	}
	for range d.Nodes {
		tally(noEffect, "node")
	}
	for range d.Certificates {
		tally(noEffect, "certificate")
	}
	switch {
	case n[isWorse] != nil:
		d.Outcome, d.Reason = isWorse, "new or worse: "+amounts(n[isWorse])
	case len(before.Edges) > 0 && len(after.Edges) == 0:
		d.Outcome, d.Reason = lessProven, "the new report has no connection between nodes, and the old one has"
	case after.Conclusion == "inconclusive" && before.Conclusion != "inconclusive":
		d.Outcome, d.Reason = lessProven, "the new report is inconclusive, and the old one is not"
		if after.Reason != "" {
			d.Reason += ": " + after.Reason
		}
	case n[lessProven] != nil:
		d.Outcome, d.Reason = lessProven, "nothing is known to be worse, but less is proven than before: "+amounts(n[lessProven])
	case n[isBetter] != nil:
		d.Outcome, d.Reason = isBetter, "nothing is worse; better: "+amounts(n[isBetter])
	case n[noEffect] != nil:
		d.Outcome, d.Reason = isChanged, "nothing is worse; other changes: "+amounts(n[noEffect])
	default:
		d.Outcome, d.Reason = isSame, "nothing changed"
	}
}

// amounts writes how many there are of what.
func amounts(n map[string]int) string {
	var words []string
	for _, noun := range []string{"edge", "listener", "finding", "node", "certificate"} {
		if n[noun] > 0 {
			words = append(words, plural.Of(n[noun], noun, noun+"s"))
		}
	}
	return join(words)
}

// DiffFormats returns the names of the formats that RenderDiff knows.
func DiffFormats() []string { return []string{"table", "json"} }

// RenderDiff writes d to w in the given format.
func RenderDiff(w io.Writer, d *Diff, format string, opt Options) error {
	switch format {
	case "table":
		return renderDiffTable(w, d, opt)
	case "json":
		return WriteJSON(w, d)
	}
	return fmt.Errorf("unknown format %q: the formats are table and json", format)
}
