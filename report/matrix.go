package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// maxMatrix is how many nodes the matrix has room for.
const maxMatrix = 30

// renderMatrix writes a table of nodes by nodes with the worst verdict of each
// pair and who dialled, and the pairs that a full mesh would have and that were
// not seen.
func renderMatrix(w io.Writer, doc *Document, opt Options) error {
	p := &page{doc: doc, width: opt.columns(), palette: palette{opt.Color}}
	g, nodes, edges := newGraph(doc).only(maxMatrix)
	if len(g.nodes) == 0 {
		p.line("No Erlang node was seen.")
		p.conclusion()
		return p.flush(w)
	}
	p.text(0, "Each cell is the worst verdict of the pair's connections, whoever dialled.")
	p.line("")
	if err := p.matrix(g); err != nil {
		return err
	}
	if nodes > 0 {
		p.line("")
		p.text(0, fmt.Sprintf("… and %s with %s that are not between those above: -o csv and -o json have all.",
			plural.Of(nodes, "more node", "more nodes"), plural.Of(edges, "edge", "edges")))
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
		p.line("")
		if short {
			p.text(0, "M mutual, O one-way, C cleartext, R refused, I inconclusive, · not seen; a small letter: only the column's node dialled")
		} else {
			p.text(0, "→ the row's node dialled, ← the column's, ↔ both; · not seen")
		}
		return nil
	}
	return nil
}

// A dialled pair is what was seen between two nodes: the worst verdict, and who
// dialled, the first or the second.
type dialledPair struct {
	verdict      string
	first, other bool
}

// dialledPairs has the pairs of a graph in both orders.
func dialledPairs(g graph) map[[2]string]dialledPair {
	pairs := map[[2]string]dialledPair{}
	for _, e := range g.edges { // the worst first
		for _, k := range [][2]string{{e.From, e.To}, {e.To, e.From}} {
			d := pairs[k]
			if d.verdict == "" {
				d.verdict = e.Verdict
			}
			d.first = d.first || k[0] == e.From
			d.other = d.other || k[0] == e.To
			pairs[k] = d
		}
	}
	return pairs
}

func (p *page) matrixLines(g graph, short bool) (lines []string, widest int, err error) {
	pairs := dialledPairs(g)
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
			text, color := p.matrixCell(pairs[[2]string{from, to}], from == to, short)
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
func (p *page) matrixCell(d dialledPair, self, short bool) (text, colored string) {
	switch {
	case d.verdict == "" && self:
		return "", ""
	case d.verdict == "":
		return "·", p.quiet("·")
	}
	word := escape(d.verdict)
	switch {
	case short && d.first:
		text = strings.ToUpper(cut(word, minName)[:1])
	case short:
		text = strings.ToLower(cut(word, minName)[:1])
	case d.first && d.other:
		text = "↔" + word
	case d.first:
		text = "→" + word
	default:
		text = "←" + word
	}
	return text, strings.Replace(p.verdict(word), word, text, 1)
}

// notSeen lists the pairs of a full mesh between the nodes with names; hidden
// nodes are not part of one. An edge whose end has no name may be any node's at
// that host or address: a pair that it might be is not listed as missing.
func (p *page) notSeen(doc *Document, g graph, partly bool) {
	hidden := hiddenNames(doc)
	named := slices.DeleteFunc(slices.Clone(g.nodes), func(n string) bool {
		return unnamed(n) || !strings.Contains(n, "@") || hidden[n]
	})
	if len(named) < 2 {
		return
	}
	var missing, perhaps [][2]string
	meshOf(doc, named).each(func(a, b int, k pairKind) {
		switch pair := [2]string{named[a], named[b]}; k {
		case pairMissing:
			missing = append(missing, pair)
		case pairUncertain:
			perhaps = append(perhaps, pair)
		}
	})
	of := "a full mesh of the nodes above"
	if len(named) < len(g.nodes) || partly {
		of = fmt.Sprintf("a full mesh of the %d nodes above that have a known name and are not hidden", len(named))
	}
	p.line("")
	if len(missing)+len(perhaps) == 0 {
		p.text(0, "All pairs of "+of+" were seen.")
		return
	}
	p.pairList("Not seen, of "+of+":", missing)
	p.pairList("Not seen by name, but possibly among the edges with an unnamed end:", perhaps)
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
