package report

import (
	"fmt"
	"io"
	"strings"
)

// What Mermaid draws unless it is configured otherwise, on GitHub, too: 500
// edges and 50,000 characters.
const (
	maxMermaidEdges = 500
	maxMermaidText  = 48_000
)

// renderMermaid writes the graph as a Mermaid flowchart, the worst edges first,
// as many as are drawn. The library that writes DOT also writes Mermaid, but
// takes quotes for HTML's and has no colours for edges.
func renderMermaid(w io.Writer, doc *Document, _ Options) error {
	g := newGraph(doc)
	m := newMermaid(g)
	fmt.Fprintf(m, "flowchart LR\n")
	edges := 0
	for i, e := range g.edges {
		if i == maxMermaidEdges || !m.edge(e, i) {
			break
		}
		edges++
	}
	alone := g.nodes
	if edges < len(g.edges) {
		alone = nil
		fmt.Fprintf(m, "  more[\"%s\"]\n", mermaidText(notDrawn(g.edges[edges:])))
	}
	for i, name := range alone {
		if !m.node(name) {
			fmt.Fprintf(m, "  more[\"not all of the last %d nodes are drawn\"]\n", len(alone)-i)
			break
		}
	}
	if len(g.nodes) == 0 {
		fmt.Fprintf(m, "  none[\"no connection between Erlang nodes was seen\"]\n")
	}
	_, err := io.WriteString(w, m.String())
	return err
}

type mermaid struct {
	strings.Builder
	ids      map[string]string
	declared map[string]bool
}

func newMermaid(g graph) *mermaid {
	m := &mermaid{ids: map[string]string{}, declared: map[string]bool{}}
	for i, name := range g.nodes {
		m.ids[name] = fmt.Sprintf("n%d", i)
	}
	return m
}

// edge writes an edge with its ends, or reports that there is no room.
func (m *mermaid) edge(e Edge, i int) bool {
	arrow := "-.->"
	switch e.Verdict {
	case "mutual":
		arrow = "-->"
	case "cleartext", "one-way":
		arrow = "==>"
	}
	line := fmt.Sprintf("  %s %s|\"%s\"| %s\n  linkStyle %d stroke:%s\n",
		m.ids[e.From], arrow, mermaidText(edgeLabel(e)), m.ids[e.To], i, edgeColor(e.Verdict))
	if m.Len()+len(line)+m.cost(e.From)+m.cost(e.To) > maxMermaidText {
		return false
	}
	m.node(e.From)
	m.node(e.To)
	m.WriteString(line)
	return true
}

// node declares a node once, or reports that there is no room.
func (m *mermaid) node(name string) bool {
	if m.cost(name) == 0 {
		return true
	}
	if m.Len()+m.cost(name) > maxMermaidText {
		return false
	}
	m.WriteString(m.declaration(name))
	m.declared[name] = true
	return true
}

// cost is what declaring a node takes, 0 if it was declared.
func (m *mermaid) cost(name string) int {
	if m.declared[name] {
		return 0
	}
	return len(m.declaration(name))
}

func (m *mermaid) declaration(name string) string {
	return fmt.Sprintf("  %s[\"%s\"]\n", m.ids[name], mermaidText(escape(name)))
}

// mermaidText writes what is neither letter nor digit as Mermaid's entities:
// quotes end a text, %% begins a comment, and labels are HTML.
func mermaidText(s string) string {
	if s == "" {
		return " " // an empty text is a syntax error
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r > '~', r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune(" ._-@?,:×", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
