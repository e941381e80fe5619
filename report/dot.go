package report

import (
	"io"
	"strings"

	"github.com/emicklei/dot"
)

// maxDOTEdges is how many edges are drawn: with more, Graphviz takes hours, and
// nobody sees anything.
const maxDOTEdges = 2000

// renderDOT writes the graph for Graphviz, the worst edges if there are too many.
func renderDOT(w io.Writer, doc *Document, _ Options) error {
	g := newGraph(doc)
	drawn := g.edges[:min(len(g.edges), maxDOTEdges)]
	out := dot.NewGraph(dot.Directed)
	out.Attr("rankdir", "LR")
	out.Attr("label", conclusionTitle(doc))
	if rest := g.edges[len(drawn):]; len(rest) > 0 {
		g.nodes = endsOf(drawn)
		out.Node("more").Attr("shape", "note").Attr("label", notDrawn(rest))
	}
	for _, name := range g.nodes {
		out.Node(escape(name)).Attr("shape", "box")
	}
	for _, e := range drawn {
		edge := out.Edge(out.Node(escape(e.From)), out.Node(escape(e.To)), edgeLabel(e))
		edge.Attr("color", edgeColor(e.Verdict))
		if e.Verdict != "mutual" {
			edge.Attr("style", dotStyle(e.Verdict))
		}
	}
	_, err := io.WriteString(w, strings.NewReplacer("\t\n", "", "\t", "  ").Replace(out.String()))
	return err
}

// dotStyle repeats the colour for those who do not see it.
func dotStyle(verdict string) string {
	if verdict == "cleartext" || verdict == "one-way" {
		return "bold"
	}
	return "dashed"
}

// conclusionTitle names the run in a drawing.
func conclusionTitle(doc *Document) string {
	if doc.Conclusion == "" {
		return "distproof"
	}
	return "distproof: " + escape(doc.Conclusion)
}
