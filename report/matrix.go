package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxMatrix is how many nodes the matrix has room for.
const maxMatrix = 30

// renderMatrix writes who dialled whom as a table of nodes by nodes with the
// worst verdict of each pair, and the pairs that a full mesh would have and
// that were not seen.
func renderMatrix(w io.Writer, doc *Document, opt Options) error {
	p := &page{doc: doc, width: opt.columns(), palette: palette{opt.Color}}
	g, nodes, edges := newGraph(doc).only(maxMatrix)
	if len(g.nodes) == 0 {
		p.line("No Erlang node was seen.")
		p.conclusion()
		return p.flush(w)
	}
	p.text(0, "Rows dialled columns. Each cell is the worst verdict of the pair's connections.")
	p.line("")
	if err := p.matrix(g); err != nil {
		return err
	}
	if nodes > 0 {
		p.line("")
		p.text(0, fmt.Sprintf("… and %s with %s that are not between those above: -o csv and -o json have all.",
			count(nodes, "more node", "more nodes"), count(edges, "edge", "edges")))
	}
	p.notSeen(doc, g, nodes > 0)
	p.conclusion()
	return p.flush(w)
}

// matrix writes the table. Where words do not fit, letters stand for them.
func (p *page) matrix(g graph) error {
	for _, short := range []bool{false, true} {
		lines, widest, err := p.matrixLines(g, short)
		if err != nil {
			return err
		}
		if widest > p.width && !short {
			continue
		}
		p.lines = append(p.lines, lines...)
		if short {
			p.line("")
			p.text(0, "M mutual, O one-way, C cleartext, R refused, I inconclusive, · not seen")
		}
		return nil
	}
	return nil
}

func (p *page) matrixLines(g graph, short bool) (lines []string, widest int, err error) {
	verdict := map[[2]string]string{}
	for _, e := range g.edges {
		verdict[[2]string{e.From, e.To}] = e.Verdict
	}
	header := []string{"", "NODE"}
	for i := range g.nodes {
		header = append(header, fmt.Sprint(i+1))
	}
	// With words nothing is cut; with letters the names get what is left.
	name := unlimited
	if short {
		name = max(p.width-4-4*len(g.nodes), minName)
	}
	var plain, colored [][]string
	for i, from := range g.nodes {
		row := []string{fmt.Sprint(i + 1), cut(escape(from), name)}
		paint := slices.Clone(row)
		for _, to := range g.nodes {
			text, color := p.matrixCell(verdict[[2]string{from, to}], from == to, short)
			row, paint = append(row, text), append(paint, color)
		}
		plain, colored = append(plain, row), append(colored, paint)
	}
	lines, err = grid(header, plain)
	for _, l := range lines {
		widest = max(widest, width(l))
	}
	if err != nil || !p.on {
		return lines, widest, err
	}
	lines, err = grid(p.headings(header), colored)
	return lines, widest, err
}

// matrixCell is a cell, plain and coloured.
func (p *page) matrixCell(verdict string, self, short bool) (text, colored string) {
	switch {
	case verdict == "" && self:
		return "", ""
	case verdict == "":
		return "·", p.quiet("·")
	}
	text = escape(verdict)
	if short {
		text = strings.ToUpper(cut(text, minName)[:1])
	}
	return text, strings.Replace(p.verdict(escape(verdict)), escape(verdict), text, 1)
}

// notSeen lists the pairs of a full mesh between the nodes with names; hidden
// nodes are not part of one. An edge whose end has no name may be any node's at
// that host or address: a pair that it might be is not listed as missing.
func (p *page) notSeen(doc *Document, g graph, partly bool) {
	dir := newDirectory(doc)
	named := slices.DeleteFunc(slices.Clone(g.nodes), func(n string) bool { return !dir.isNode(n) || dir.isHidden(n) })
	if len(named) < 2 {
		return
	}
	missing, perhaps := missingPairs(doc, dir, named)
	of := "a full mesh of the nodes above"
	if len(named) < len(g.nodes) || partly {
		of = fmt.Sprintf("a full mesh of the %d nodes above that are not hidden and whose names are known", len(named))
	}
	p.line("")
	if len(missing)+len(perhaps) == 0 {
		p.text(0, "All pairs of "+of+" were seen.")
		return
	}
	p.pairList("Pairs of "+of+" that were not seen:", missing)
	p.pairList("Pairs that were not seen by name, but may be among the edges with an unknown end:", perhaps)
}

// pairList writes, for each node, those that it is not connected to.
func (p *page) pairList(title string, pairs [][2]string) {
	if len(pairs) == 0 {
		return
	}
	p.text(0, title)
	for i := 0; i < len(pairs); {
		var others []string
		j := i
		for ; j < len(pairs) && pairs[j][0] == pairs[i][0]; j++ {
			others = append(others, cut(escape(pairs[j][1]), max(p.width/2, minName)))
		}
		p.item(2, cut(escape(pairs[i][0]), max(p.width/2, minName))+" – "+strings.Join(others, ", "))
		i = j
	}
}

// missingPairs finds the pairs without an edge in either direction, and those
// of them that an edge with an unknown end may stand for.
func missingPairs(doc *Document, dir directory, named []string) (missing, perhaps [][2]string) {
	seen, unknown := map[[2]string]bool{}, []Edge{}
	for _, e := range doc.Edges {
		seen[[2]string{e.From, e.To}] = true
		if !dir.isNode(e.From) || !dir.isNode(e.To) {
			unknown = append(unknown, e)
		}
	}
	may := candidates(doc, named)
	for i, a := range named {
		for _, b := range named[i+1:] {
			if seen[[2]string{a, b}] || seen[[2]string{b, a}] {
				continue
			}
			pair := [2]string{a, b}
			if slices.ContainsFunc(unknown, func(e Edge) bool {
				return may(e.From, a) && may(e.To, b) || may(e.From, b) && may(e.To, a)
			}) {
				perhaps = append(perhaps, pair)
				continue
			}
			missing = append(missing, pair)
		}
	}
	return missing, perhaps
}

// candidates returns a function that reports whether a label may stand for a
// node: it is the node's name, its host, or an address. Addresses of a node
// are known only in part, so that one without an owner may be anybody's.
func candidates(doc *Document, named []string) func(label, node string) bool {
	addresses := map[string][]string{}
	owned := map[string]bool{}
	for _, n := range doc.Nodes {
		addresses[n.Name] = n.Addresses
		for _, a := range n.Addresses {
			owned[a] = true
		}
	}
	return func(label, node string) bool {
		switch host, hostOnly := strings.CutPrefix(label, "?@"); {
		case label == node:
			return true
		case slices.Contains(named, label):
			return false
		case hostOnly:
			return strings.HasSuffix(node, "@"+host)
		case owned[label]:
			return slices.Contains(addresses[node], label)
		}
		return true
	}
}

// A directory has the document's nodes by name.
type directory map[string]*Node

func newDirectory(doc *Document) directory {
	d := make(directory, len(doc.Nodes))
	for i := range doc.Nodes {
		d[doc.Nodes[i].Name] = &doc.Nodes[i]
	}
	return d
}

// isNode reports whether a label is a node's name and not what stands for one.
func (d directory) isNode(label string) bool {
	return d[label] != nil || strings.Contains(label, "@") && !unnamed(label)
}

// isHidden reports whether a node is known to keep out of the mesh, as remote
// shells and tools do.
func (d directory) isHidden(name string) bool {
	n := d[name]
	return n != nil && n.Hidden != nil && *n.Hidden
}
