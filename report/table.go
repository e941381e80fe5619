package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"distproof/internal/plural"
)

const (
	// maxRows is how many rows the table shows, about what a person reads, and
	// maxAlike how many of them with the same verdict and reason, so that a
	// thousand of one kind do not hide the others. Wide and json have all.
	maxRows  = 60
	maxAlike = 20
	// reasonColumns is the width from which on the reasons have a column of
	// their own; below it they stand under their rows.
	reasonColumns = 120
	// minName is the least width of a name: shorter, its ends say nothing.
	minName = 12
)

// A row is a line of the table. It stands for all connections that would look
// the same.
type row struct {
	client, server, tls, certificate, verdict, reason string
}

// A counted row knows how many connections it stands for, and how many rows
// with its verdict and reason follow that are not shown.
type counted struct {
	row
	n      int
	hidden int
}

// alike reports whether rows have the same verdict for the same reason.
func (r row) alike(other row) bool { return r.verdict == other.verdict && r.reason == other.reason }

// renderTable writes what a person needs to see first: a row for each
// connection between nodes, then the conclusion, findings and what was missed.
func renderTable(w io.Writer, doc *Document, opt Options) error {
	p := &page{doc: doc, width: opt.columns(), palette: palette{opt.Color}, limits: tableLimits()}
	p.inputs()
	if err := p.table(); err != nil {
		return err
	}
	if doc.Conclusion == "" {
		if err := p.surroundings(); err != nil {
			return err
		}
	}
	p.closing()
	return p.flush(w)
}

// A page collects the lines of a report for people.
type page struct {
	palette
	doc    *Document
	width  int
	limits limits
	lines  []string
	// byID finds connections by their ids; nil until it is needed.
	byID map[string]*Connection
}

// limits say how much of a list is shown. Zero is everything.
type limits struct {
	inputs, surroundings, findings, messages, concerned, evidence, crossed, unseen int
}

func tableLimits() limits {
	return limits{inputs: 4, surroundings: 20, findings: 12, messages: 4, concerned: 4, evidence: 3, crossed: 6, unseen: 10}
}

func (p *page) line(s string)                 { p.lines = append(p.lines, strings.TrimRight(s, " ")) }
func (p *page) linef(format string, a ...any) { p.line(fmt.Sprintf(format, a...)) }
func (p *page) heading(s string)              { p.line(""); p.line(p.bold(s)) }

// text writes s wrapped at an indent.
func (p *page) text(indent int, s string) {
	for _, l := range wrap(s, p.width-indent) {
		p.line(strings.Repeat(" ", indent) + l)
	}
}

// capped returns how many of n things are shown under a limit.
func (p *page) capped(limit, n int) (shown int) {
	if limit == 0 || n <= limit {
		return n
	}
	return limit
}

// item writes s wrapped at an indent; lines that follow are two columns deeper.
func (p *page) item(indent int, s string) {
	deeper := indent + 2
	for i, l := range wrap(s, max(p.width-deeper, minName)) {
		if i == 1 {
			indent = deeper
		}
		p.line(strings.Repeat(" ", indent) + l)
	}
}

// flush writes the page without blank lines at its ends.
func (p *page) flush(w io.Writer) error {
	out := bufio.NewWriter(w)
	for i, l := range p.lines {
		if i == 0 && l == "" {
			continue
		}
		if _, err := out.WriteString(l + "\n"); err != nil {
			return err
		}
	}
	return out.Flush()
}

// table writes the rows, or says that there are none.
func (p *page) table() error {
	rows := fold(distribution(p.doc))
	p.line("")
	if len(rows) == 0 {
		p.line("No connection between Erlang nodes was seen.")
		return nil
	}
	shown, rest := choose(rows)
	lines, err := p.layout(shown)
	if err != nil {
		return err
	}
	p.lines = append(p.lines, lines...)
	p.legend(shown)
	if len(rest) > 0 {
		p.line("")
		p.text(0, fmt.Sprintf("… and %s: %s.", plural.Of(len(rest), "more row", "more rows"), tally(rest)))
	}
	if p.doc.Conclusion == "" {
		p.line("")
		p.text(0, plural.Of(p.doc.Summary.Distribution.Total(), "connection", "connections")+" between nodes: "+tally(rows)+".")
	}
	if len(rest) > 0 || slices.ContainsFunc(shown, func(r counted) bool { return r.hidden > 0 }) {
		p.line("")
		p.line("Not all rows are shown: -o wide and -o json have all.")
	}
	return nil
}

// legend explains what in the rows does not explain itself.
func (p *page) legend(rows []counted) {
	hostOnly := func(r counted) bool { return unnamed(r.client) || unnamed(r.server) }
	known := func(how string) func(counted) bool {
		return func(r counted) bool { return strings.HasSuffix(r.certificate, ", "+how) }
	}
	var lines []string
	if slices.ContainsFunc(rows, hostOnly) {
		lines = append(lines, "?@host: the host is known, the node's name is not visible")
	}
	if slices.ContainsFunc(rows, known("inferred")) {
		lines = append(lines, "inferred: concluded from the sizes of encrypted TLS records")
	}
	if slices.ContainsFunc(rows, known("verified")) {
		lines = append(lines, "verified: the client's signature was checked from the packets")
	}
	if len(lines) == 0 {
		return
	}
	p.line("")
	for _, l := range lines {
		p.line(p.quiet(l))
	}
}

// choose picks the rows to show. Of those alike it takes the first ones, whose
// last knows how many are hidden; rest are the rows of kinds not shown at all.
func choose(rows []counted) (shown, rest []counted) {
	alike := 0
	for i, r := range rows {
		if i > 0 && r.alike(rows[i-1].row) {
			alike++
		} else {
			alike = 0
		}
		switch {
		case alike < maxAlike && len(shown) < maxRows:
			shown = append(shown, r)
		case alike > 0 && len(rest) == 0:
			shown[len(shown)-1].hidden++
		default:
			rest = append(rest, r)
		}
	}
	return shown, rest
}

// tally counts the connections behind rows by verdict, the worst first.
func tally(rows []counted) string {
	n := map[string]int{}
	for _, r := range rows {
		n[r.verdict] += r.n
	}
	var words []string
	for _, v := range verdicts() {
		if n[v] > 0 {
			words = append(words, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return join(words)
}

// fold makes rows of connections. Those that look the same become one, and
// those with the same verdict and reason stand together, so that the reason
// need be said once.
func fold(conns []*Connection) []counted {
	type group struct{ verdict, reason string }
	var rows []counted
	at := map[row]int{}
	order := map[group]int{}
	for _, c := range conns {
		r := rowOf(c)
		if i, seen := at[r]; seen {
			rows[i].n++
			continue
		}
		at[r] = len(rows)
		rows = append(rows, counted{row: r, n: 1})
		g := group{r.verdict, r.reason}
		if _, seen := order[g]; !seen {
			order[g] = len(order)
		}
	}
	slices.SortStableFunc(rows, func(a, b counted) int {
		return order[group{a.verdict, a.reason}] - order[group{b.verdict, b.reason}]
	})
	return rows
}

func rowOf(c *Connection) row {
	return row{
		client:      clientName(c.Client),
		server:      serverName(c.Server),
		tls:         tlsVersion(c),
		certificate: clientCertificate(c),
		verdict:     verdictOf(c),
		reason:      escape(c.Reason),
	}
}

// layout makes the table's lines.
func (p *page) layout(rows []counted) ([]string, error) {
	header := []string{"CLIENT", "SERVER", "TLS", "CLIENT CERTIFICATE", "VERDICT"}
	folded := slices.ContainsFunc(rows, func(r counted) bool { return r.n > 1 })
	if folded {
		header = append(header, "COUNT")
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = []string{r.client, r.server, r.tls, r.certificate, r.verdict}
		if folded {
			cells[i] = append(cells[i], times(r.n))
		}
	}
	beside := p.width >= reasonColumns
	room := p.width
	if beside {
		room = p.width * 3 / 5 // the rest is for the reasons
	}
	shortenNames(header, cells, room)
	if beside {
		return p.reasonsBeside(header, cells, rows)
	}
	return p.reasonsBelow(header, cells, rows)
}

// times writes how many connections a row stands for.
func times(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("×%d", n)
}

// shortenNames cuts the first two columns so that the rows fit.
func shortenNames(header []string, cells [][]string, room int) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = width(h)
	}
	for _, row := range cells {
		for i, c := range row {
			widths[i] = max(widths[i], width(c))
		}
	}
	room -= 2 * (len(header) - 1) // the gaps
	for _, w := range widths[2:] {
		room -= w
	}
	client, server := share(room, widths[0], widths[1])
	for _, row := range cells {
		row[0], row[1] = cut(row[0], client), cut(row[1], server)
	}
}

// share divides room between two columns: each gets what it needs if possible,
// otherwise half, or what the other leaves over.
func share(room, a, b int) (int, int) {
	room = max(room, 2*minName)
	switch half := room / 2; {
	case a+b <= room:
		return a, b
	case a <= half:
		return a, room - a
	case b <= half:
		return room - b, b
	default:
		return half, room - half
	}
}

// reasonsBelow puts each reason under the rows that it is the reason of.
func (p *page) reasonsBelow(header []string, cells [][]string, rows []counted) ([]string, error) {
	lines, err := grid(p.headings(header), p.colored(cells))
	if err != nil {
		return nil, err
	}
	out := []string{lines[0]}
	run := 0
	for i, r := range rows {
		out = append(out, lines[i+1])
		run++
		if i+1 < len(rows) && rows[i+1].alike(r.row) {
			continue
		}
		if r.hidden > 0 {
			out = append(out, more(r.hidden))
		}
		out = append(out, p.reason(r.reason, run+r.hidden)...)
		run = 0
	}
	return out, nil
}

// more stands for rows that are not shown.
func more(hidden int) string {
	return fmt.Sprintf("… and %s like these", plural.Of(hidden, "more row", "more rows"))
}

// reason writes the reason of the run of rows above it.
func (p *page) reason(reason string, run int) []string {
	if reason == "" {
		return nil
	}
	if run > 1 {
		reason = fmt.Sprintf("these %d rows: %s", run, reason)
	}
	mark := "└ "
	var lines []string
	for _, l := range wrap(reason, p.width-4) {
		lines = append(lines, "  "+p.quiet(mark+l))
		mark = "  "
	}
	return lines
}

// reasonsBeside gives the reasons a column of their own.
func (p *page) reasonsBeside(header []string, cells [][]string, rows []counted) ([]string, error) {
	probe, err := grid(header, cells)
	if err != nil {
		return nil, err
	}
	used := 0
	for _, l := range probe {
		used = max(used, width(l))
	}
	room := p.width - used - 2
	var wrapped [][]string
	hiddenAfter := map[int]int{} // by line of the table
	for i, row := range p.colored(cells) {
		for j, l := range wrap(rows[i].reason, room) {
			if j == 1 {
				row = make([]string, len(header))
			}
			wrapped = append(wrapped, append(slices.Clone(row), l))
		}
		hiddenAfter[len(wrapped)] = rows[i].hidden
	}
	lines, err := grid(p.headings(append(slices.Clone(header), "REASON")), wrapped)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, l := range lines {
		out = append(out, l)
		if n := hiddenAfter[i]; n > 0 {
			out = append(out, more(n))
		}
	}
	return out, nil
}

// headings returns the header, coloured.
func (p *page) headings(header []string) []string {
	out := make([]string, len(header))
	for i, h := range header {
		out[i] = p.quiet(h)
	}
	return out
}

// colored returns the cells with the verdicts in colour.
func (p *page) colored(cells [][]string) [][]string {
	out := make([][]string, len(cells))
	for i, row := range cells {
		out[i] = slices.Clone(row)
		out[i][verdictColumn] = p.verdict(row[verdictColumn])
	}
	return out
}
