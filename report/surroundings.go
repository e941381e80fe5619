package report

import (
	"fmt"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// maxListed is how many addresses or ports of a node the table shows.
const maxListed = 2

// surroundings lists the nodes that were seen, and the connections that are
// not between nodes: where to look if one that should be is missing.
func (p *page) surroundings() error {
	header, rows := p.nodeTable()
	if err := p.section("NODES", header, rows); err != nil {
		return err
	}
	header = []string{"CLIENT", "SERVER", "PROTOCOL", "TLS", "CLIENT CERTIFICATE", "COUNT"}
	return p.section("OTHER CONNECTIONS", header, otherRows(p.doc))
}

// section writes a table under a heading, or nothing if it has no rows.
func (p *page) section(title string, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	shown := rows[:p.capped(p.limits.surroundings, len(rows))]
	shortenNames(header, shown, p.width)
	lines, err := grid(p.headings(header), shown)
	if err != nil {
		return err
	}
	p.heading(title)
	p.lines = append(p.lines, lines...)
	if rest := len(rows) - len(shown); rest > 0 {
		p.linef("… and %s: -o wide and -o json have all.", plural.Of(rest, "more row", "more rows"))
	}
	return nil
}

// nodeTable has the nodes by their names, and those of which EPMD announced the
// first part of the name alone. There are notes only if any node has some.
func (p *page) nodeTable() (header []string, rows [][]string) {
	header = []string{"NODE", "ADDRESSES", "PORTS", "SPEAKS", "KNOWN BY", "OTP", "NOTES"}
	limit := 0
	if p.limits.surroundings > 0 {
		limit = maxListed
	}
	ports, noted := limit, false
	if limit > 0 && p.width < reasonColumns {
		ports = 1 // most nodes have one
	}
	for i := range p.doc.Nodes {
		n := &p.doc.Nodes[i]
		release := "-"
		if n.OTPRelease != nil {
			release = fmt.Sprintf("%d+", n.OTPRelease.AtLeast)
		}
		notes := nodeNotes(n)
		noted = noted || notes != ""
		rows = append(rows, []string{
			escape(n.Name), listed(p, limit, n.Addresses), listed(p, ports, n.Ports), dash(strings.Replace(escape(n.Listener), "cleartext", "clear", 1)), escape(n.Basis), release, notes,
		})
	}
	for _, n := range p.doc.EPMD.Names {
		if !slices.ContainsFunc(p.doc.Nodes, n.isOf) {
			rows = append(rows, []string{escape(n.Node) + "@?", escape(n.Host), fmt.Sprint(n.Port), "-", "epmd", "-", ""})
		}
	}
	if noted {
		return header, rows
	}
	for i := range rows {
		rows[i] = rows[i][:len(rows[i])-1]
	}
	return header[:len(header)-1], rows
}

// nodeNotes says what is unusual about a node.
func nodeNotes(n *Node) string {
	var notes []string
	if n.Hidden != nil && *n.Hidden {
		notes = append(notes, "hidden")
	}
	if n.Implementation == "other" {
		notes = append(notes, "no ERTS")
	}
	if len(n.Creations) > 1 {
		notes = append(notes, fmt.Sprintf("%d starts", len(n.Creations)))
	}
	return strings.Join(notes, ", ")
}

// listed writes the first of some things, and how many more there are.
func listed[T any](p *page, limit int, things []T) string {
	shown := p.capped(limit, len(things))
	words := []string{}
	for _, t := range things[:shown] {
		words = append(words, escape(fmt.Sprint(t)))
	}
	if rest := len(things) - shown; rest > 0 {
		words = append(words, fmt.Sprintf("+%d", rest))
	}
	return dash(strings.Join(words, " "))
}

// isOf reports whether node is the one that EPMD announced.
func (n EPMDName) isOf(node Node) bool {
	return strings.HasPrefix(node.Name, n.Node+"@") && slices.Contains(node.Addresses, n.Host) && slices.Contains(node.Ports, n.Port)
}

// otherRows has the connections that are not between nodes, those that look
// the same once. What might be distribution after all comes first.
func otherRows(doc *Document) [][]string {
	const columns = 5
	var rows [][]string
	n := map[[columns]string]int{}
	for i := range doc.Connections {
		c := &doc.Connections[i]
		if c.Verdict != nil {
			continue
		}
		row := otherRow(c)
		if n[row]++; n[row] == 1 {
			rows = append(rows, row[:])
		}
	}
	for i, row := range rows {
		rows[i] = append(row, times(n[[columns]string(row)]))
	}
	protocols := []string{"tls", "other", "none", "epmd"}
	slices.SortStableFunc(rows, func(a, b []string) int { return rank(protocols, a[2]) - rank(protocols, b[2]) })
	return rows
}

func otherRow(c *Connection) [5]string {
	row := [5]string{clientName(c.Client), socket(c.Server), escape(c.Protocol), "-", "-"}
	if c.TLS != nil {
		row[3], row[4] = tlsVersion(c), clientCertificate(c)
	}
	return row
}
