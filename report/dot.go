package report

import (
	"io"
	"strings"

	"github.com/emicklei/dot"
)

// renderDOT writes the graph for Graphviz.
func renderDOT(w io.Writer, doc *Document, _ Options) error {
	g := newGraph(doc)
	out := dot.NewGraph(dot.Directed)
	out.Attr("rankdir", "LR")
	out.Attr("label", conclusionTitle(doc))
	for _, name := range g.nodes {
		out.Node(escape(name)).Attr("shape", "box")
	}
	for _, e := range g.edges {
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
