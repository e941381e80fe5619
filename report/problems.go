package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// A problem is a finding on one edge: what the formats for pipelines count.
// Their strings are escaped.
type problem struct {
	*Finding
	// number is the finding's place in the document, from 1 on.
	number int
	// edge is empty if the finding is about the capture as a whole.
	edge string
	// connections are those of the finding that are on the edge.
	connections []*Connection
	// sorted has the finding's evidence in the order of frames if the finding is
	// about other edges, too; else it is empty.
	sorted []Evidence
	// nth counts the findings of one rule on one edge, from 1 on.
	nth int
	// fingerprint stays the same from run to run as long as the edge breaks
	// the rule: frames, ports and times are not in it.
	fingerprint string
	effect      effect
}

// An effect is what a finding does to the conclusion.
type effect string

const (
	violates effect = "violates"
	doubts   effect = "undecided"
	waived   effect = "waived"
	notes    effect = "noted"
)

// Statuses of findings: of those that stand, and of those that the policy lets pass.
const (
	statusOpen   = "open"
	statusWaived = "waived"
)

// problems lists the findings edge by edge, the worst first, else in the
// document's order.
func problems(doc *Document) []problem {
	byID := make(map[string]*Connection, len(doc.Connections))
	for i := range doc.Connections {
		byID[doc.Connections[i].ID] = &doc.Connections[i]
	}
	edges, prints := counter{}, counter{}
	var out []problem
	for _, i := range worstFirst(doc.Findings) {
		f := &doc.Findings[i]
		for _, p := range onEdges(f, byID) {
			p.number, p.effect = i+1, effectOf(doc, f)
			p.nth = edges.next(f.Rule + "\x00" + p.edge)
			key := f.Rule + "\x00" + p.seenEdge()
			p.fingerprint = fingerprint(key, prints.next(key))
			out = append(out, p)
		}
	}
	return out
}

// worstFirst returns the findings' indexes by severity, those waived last.
func worstFirst(findings []Finding) []int {
	order := make([]int, len(findings))
	for i := range order {
		order[i] = i
	}
	key := func(i int) int {
		r := rank(severities(), findings[i].Severity)
		if findings[i].Status == statusWaived {
			r += len(severities()) + 1
		}
		return r
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key(a), key(b)) })
	return order
}

// A counter counts by key.
type counter map[string]int

func (c counter) next(key string) int {
	c[key]++
	return c[key]
}

// seenEdge names the edge by what was seen of its ends alone: who an end is
// likely to be depends on which other nodes are there.
func (p *problem) seenEdge() string {
	if len(p.connections) == 0 {
		return p.edge
	}
	c := p.connections[0]
	return edgeName(c.Client.lastingLabel(), c.Server.lastingLabel())
}

// onEdges splits a finding by the edges that its connections are on.
func onEdges(f *Finding, byID map[string]*Connection) []problem {
	return onEdgesBy(f, byID, Endpoint.EdgeLabel)
}

// onEdgesBy is onEdges for edges whose ends are named by label.
func onEdgesBy(f *Finding, byID map[string]*Connection, label func(Endpoint) string) []problem {
	if len(f.Connections) == 0 {
		return []problem{{Finding: f}}
	}
	var out []problem
	at := map[string]int{}
	for _, id := range f.Connections {
		edge := escape(id) // of a document that does not have the connection
		c := byID[id]
		if c != nil {
			edge = edgeName(label(c.Client), label(c.Server))
		}
		i, known := at[edge]
		if !known {
			i = len(out)
			at[edge] = i
			out = append(out, problem{Finding: f, edge: edge})
		}
		if c != nil {
			out[i].connections = append(out[i].connections, c)
		}
	}
	if len(out) > 1 {
		sorted := slices.Clone(f.Evidence)
		slices.SortStableFunc(sorted, byFrame)
		for i := range out {
			out[i].sorted = sorted
		}
	}
	return out
}

// edgeName names an edge by the labels of its ends.
func edgeName(from, to string) string { return escape(from) + " → " + escape(to) }

// fingerprint is a hash of rule and edge, and of n if this is not their first
// finding.
func fingerprint(key string, n int) string {
	if n > 1 {
		key += fmt.Sprintf("\x00%d", n)
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// effectOf says what f does to the conclusion. A document that passed has no
// finding that violates, whatever its severity: the policy decided.
func effectOf(doc *Document, f *Finding) effect {
	if f.Effect != "" {
		return effect(f.Effect)
	}
	undecided := slices.Contains([]string{"DP109", "DP301", "DP302", "DP303"}, f.Rule) && f.Severity != "info"
	severe := !slices.Contains([]string{"medium", "low", "info"}, f.Severity)
	switch {
	case f.Status == statusWaived:
		return waived
	case doc.Conclusion == "fail" && severe:
		return violates
	case doc.Conclusion != "pass" && undecided:
		return doubts
	default:
		return notes
	}
}

// heading names a problem in a line, and no other: rule, title and edge.
func (p *problem) heading() string {
	s := escape(p.Rule) + " " + escape(p.Title)
	if p.edge != "" {
		s += ": " + p.edge
	}
	if p.nth > 1 {
		s += fmt.Sprintf(" (%d)", p.nth)
	}
	return s
}

// details says in lines what was found and by what it is known.
func (p *problem) details(doc *Document) []string {
	lines := []string{escape(p.Message)}
	for _, c := range p.connections[:min(len(p.connections), maxDetails)] {
		lines = append(lines, fmt.Sprintf("connection %s, %s to %s, from frame %d on", escape(c.ID), socket(c.Client), socket(c.Server), c.FirstFrame))
	}
	if more := len(p.connections) - maxDetails; more > 0 {
		lines = append(lines, fmt.Sprintf("and %s on this edge", plural.Of(more, "more connection", "more connections")))
	}
	evidence, more := p.ownEvidence()
	if len(evidence) > 0 && len(p.sorted) > 0 {
		lines = append(lines, "seen on this edge, or another with the same finding:")
	}
	for _, e := range evidence {
		lines = append(lines, frameName(doc, e)+escape(e.Text))
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %s", plural.Of(more, "more frame", "more frames")))
	}
	return lines
}

// ownEvidence is the first of the finding's evidence, and how much more there
// is. A finding does not say which frame is about which of its edges; what was
// seen before the edge was is about another.
func (p *problem) ownEvidence() (first []Evidence, more int) {
	if len(p.sorted) == 0 {
		n := min(len(p.Evidence), maxDetails)
		return p.Evidence[:n], len(p.Evidence) - n
	}
	begin := map[int]uint32{} // by input
	var inputs []int
	for _, c := range p.connections {
		at, known := begin[c.Input]
		if !known {
			inputs = append(inputs, c.Input)
		}
		if !known || c.FirstFrame < at {
			begin[c.Input] = c.FirstFrame
		}
	}
	slices.Sort(inputs)
	for _, input := range inputs {
		from, _ := slices.BinarySearchFunc(p.sorted, Evidence{Frame: begin[input], Input: input}, byFrame)
		to, _ := slices.BinarySearchFunc(p.sorted, Evidence{Input: input + 1}, byFrame)
		take := min(to-from, maxDetails-len(first))
		first = append(first, p.sorted[from:from+take]...)
		more += to - from - take
	}
	return first, more
}

func byFrame(a, b Evidence) int {
	return cmp.Or(cmp.Compare(a.Input, b.Input), cmp.Compare(a.Frame, b.Frame))
}

// maxDetails is how many connections and how many frames of a problem the
// formats for pipelines name. The document has all.
const maxDetails = 10

// frameName names the frame of some evidence, and its file if there are several.
func frameName(doc *Document, e Evidence) string {
	switch {
	case e.Frame == 0:
		return ""
	case len(doc.Inputs) > 1 && e.Input >= 0 && e.Input < len(doc.Inputs):
		return fmt.Sprintf("%s frame %d: ", escape(path.Base(doc.Inputs[e.Input].Path)), e.Frame)
	}
	return fmt.Sprintf("frame %d: ", e.Frame)
}

// fixLines are the lines of how to mend a finding.
func fixLines(fix string) []string {
	var lines []string
	for l := range strings.SplitSeq(strings.Trim(fix, "\n"), "\n") {
		lines = append(lines, escape(strings.ReplaceAll(l, "\t", "    ")))
	}
	return lines
}

// A place is a file and a line that pipelines attach a problem to.
type place struct {
	path string // relative
	line int
}

// place is the line of the policy that asks for what is not so, or the capture
// that the problem is in: services that show findings in files want one of the
// repository, and a line.
func (p *problem) place(doc *Document) place {
	if p.Policy != nil && p.Policy.Line > 0 {
		return place{relative(p.Policy.Path), p.Policy.Line}
	}
	input := 0
	switch {
	case len(p.connections) > 0:
		input = p.connections[0].Input
	case len(p.Evidence) > 0:
		input = p.Evidence[0].Input
	}
	if input < 0 || input >= len(doc.Inputs) {
		return place{"capture", 1}
	}
	return place{relative(doc.Inputs[input].Path), 1}
}

// relative makes a path relative and keeps it in the folder where the run was.
func relative(name string) string {
	clean := path.Clean(name)
	switch {
	case name == "-" || name == "":
		return "standard-input"
	case path.IsAbs(clean), clean == "..", strings.HasPrefix(clean, "../"):
		clean = path.Base(clean)
	}
	if clean == "/" || clean == ".." || clean == "." {
		return "capture"
	}
	return clean
}

// uri writes the path as a relative URI reference.
func (p place) uri() string {
	parts := strings.Split(p.path, "/")
	for i, part := range parts {
		// A colon in the first part would end a scheme.
		parts[i] = strings.ReplaceAll(url.PathEscape(part), ":", "%3A")
	}
	return strings.Join(parts, "/")
}
