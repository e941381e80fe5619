package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// A graph is who talked to whom, for the formats that draw it. Names are as
// the document has them.
type graph struct {
	nodes []string
	edges []Edge // the worst first
}

// newGraph makes the graph of a document: the ends of its edges, and the nodes
// that were announced without being seen to connect.
func newGraph(doc *Document) graph {
	g := graph{edges: slices.Clone(doc.Edges)}
	slices.SortFunc(g.edges, func(a, b Edge) int {
		return cmp.Or(
			rank(verdicts(), a.Verdict)-rank(verdicts(), b.Verdict),
			cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
		)
	})
	for _, n := range doc.Nodes {
		g.nodes = append(g.nodes, n.Name)
	}
	for _, e := range g.edges {
		g.nodes = append(g.nodes, e.From, e.To)
	}
	slices.Sort(g.nodes)
	g.nodes = slices.Compact(g.nodes)
	return g
}

// only keeps the n nodes with the worst edges, and the edges between them. It
// returns how many nodes and edges are left out.
func (g graph) only(n int) (kept graph, nodes, edges int) {
	if len(g.nodes) <= n {
		return g, 0, 0
	}
	var order []string
	for _, e := range g.edges {
		order = append(order, e.From, e.To)
	}
	order = append(order, g.nodes...)
	keep := map[string]bool{}
	for _, name := range order {
		if len(keep) < n {
			keep[name] = true
		}
	}
	for _, name := range g.nodes {
		if keep[name] {
			kept.nodes = append(kept.nodes, name)
		}
	}
	for _, e := range g.edges {
		if keep[e.From] && keep[e.To] {
			kept.edges = append(kept.edges, e)
		}
	}
	return kept, len(g.nodes) - len(kept.nodes), len(g.edges) - len(kept.edges)
}

// endsOf lists the nodes at the ends of edges.
func endsOf(edges []Edge) []string {
	var names []string
	for _, e := range edges {
		names = append(names, e.From, e.To)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// notDrawn stands for edges that a drawing has no room for.
func notDrawn(rest []Edge) string {
	n := map[string]int{}
	for _, e := range rest {
		n[e.Verdict]++
	}
	words := []string{}
	for _, v := range slices.SortedFunc(maps.Keys(n), func(a, b string) int {
		return cmp.Or(rank(verdicts(), a)-rank(verdicts(), b), strings.Compare(a, b))
	}) {
		words = append(words, fmt.Sprintf("%d %s", n[v], escape(v)))
	}
	return fmt.Sprintf("and %s, not drawn: %s", plural.Of(len(rest), "more edge", "more edges"), join(words))
}

// edgeColor is the colour of a verdict in drawings.
func edgeColor(verdict string) string {
	switch verdict {
	case "mutual":
		return "#1a7f37"
	case "cleartext", "one-way":
		return "#cf222e"
	}
	return "#9a6700"
}

// edgeLabel says the verdict, and how many connections the edge stands for.
func edgeLabel(e Edge) string {
	label := escape(e.Verdict)
	if n := times(e.Connections); n != "" {
		label += " " + n
	}
	return label
}
