package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"distproof/internal/plural"
)

// GitHub takes a job summary of at most 1 MiB and drops a longer one as a
// whole. What is written stays below maxMarkdown; connections and findings
// have each a share of it, so that neither takes the other's place.
const (
	maxMarkdown      = 900_000
	maxMarkdownTable = 400_000
	maxMarkdownRest  = 80_000
)

// renderMarkdown writes a summary for people who see it on a page: conclusion,
// connections, findings, and what could not be seen.
func renderMarkdown(w io.Writer, doc *Document, _ Options) error {
	m := &markdown{doc: doc}
	m.conclusion()
	m.inputs()
	m.connections(maxMarkdownTable)
	m.findings(maxMarkdown - maxMarkdownRest)
	m.unseen(maxMarkdown - maxMarkdownRest/4)
	m.others()
	_, err := io.WriteString(w, m.String())
	return err
}

type markdown struct {
	strings.Builder
	doc *Document
}

func (m *markdown) linef(format string, a ...any) { fmt.Fprintf(m, format+"\n", a...) }

// fits writes a block, or reports that it would pass the limit.
func (m *markdown) fits(limit int, block string) bool {
	if m.Len()+len(block) > limit {
		return false
	}
	m.WriteString(block)
	return true
}

func (m *markdown) conclusion() {
	if m.doc.Conclusion == "" {
		m.linef("## distproof")
		return
	}
	m.linef("## distproof: %s", markdownText(strings.ToUpper(m.doc.Conclusion)))
	if m.doc.Reason != "" {
		m.linef("\n%s", markdownText(m.doc.Reason))
	}
	if m.doc.Policy != "" {
		m.linef("\nPolicy: %s", markdownCode(m.doc.Policy))
	}
}

func (m *markdown) inputs() {
	const shown = 10
	m.linef("")
	p := &page{doc: m.doc, width: unlimited}
	for _, in := range m.doc.Inputs[:min(len(m.doc.Inputs), shown)] {
		words := []string{escape(in.Format), plural.Of(in.Packets, "packet", "packets")}
		if span, ok := span(in); ok {
			words = append(words, span)
		}
		m.linef("- %s: %s", markdownCode(p.inputName(in)), markdownText(strings.Join(words, ", ")))
	}
	if rest := len(m.doc.Inputs) - shown; rest > 0 {
		m.linef("- … and %s", plural.Of(rest, "more file", "more files"))
	}
}

func (m *markdown) connections(limit int) {
	m.linef("\n### Connections between nodes\n")
	rows := fold(distribution(m.doc))
	if len(rows) == 0 {
		m.linef("No connection between Erlang nodes was seen.")
		return
	}
	m.linef("| client | server | TLS | client certificate | verdict | reason | connections |")
	m.linef("|---|---|---|---|---|---|---:|")
	for i, r := range rows {
		row := fmt.Sprintf("| %s | %s | %s | %s | **%s** | %s | %d |\n",
			markdownCell(r.client), markdownCell(r.server), markdownText(r.tls), markdownText(r.certificate),
			markdownText(r.verdict), markdownText(r.reason), r.n)
		if !m.fits(limit, row) {
			m.linef("\n… and %s: %s.", plural.Of(len(rows)-i, "more row", "more rows"), tally(rows[i:]))
			break
		}
	}
}

func (m *markdown) findings(limit int) {
	if len(m.doc.Findings) == 0 {
		return
	}
	m.linef("\n### Findings")
	p := &page{doc: m.doc, width: unlimited}
	groups := group(m.doc.Findings)
	for i, g := range groups {
		if !m.fits(limit, m.findingGroup(p, g)) {
			m.linef("\n… and %s.", plural.Of(len(groups)-i, "more rule", "more rules"))
			return
		}
	}
}

// findingGroup is a block about findings with the same rule and fix.
func (m *markdown) findingGroup(p *page, g []Finding) string {
	const maxMessages, maxPairs, maxFrames = 20, 20, 5
	f := g[0]
	var b strings.Builder
	fmt.Fprintf(&b, "\n#### %s %s (%s)\n", markdownText(f.Rule), markdownText(f.Title), markdownText(statusOf(f)))
	for _, f := range g[:min(len(g), maxMessages)] {
		fmt.Fprintf(&b, "\n%s\n\n", markdownText(f.Message))
		pairs := m.pairs(p, f.Connections)
		for _, pair := range pairs[:min(len(pairs), maxPairs)] {
			fmt.Fprintf(&b, "- %s\n", pair)
		}
		if rest := len(pairs) - maxPairs; rest > 0 {
			fmt.Fprintf(&b, "- … and %s\n", plural.Of(rest, "more pair", "more pairs"))
		}
		for _, e := range f.Evidence[:min(len(f.Evidence), maxFrames)] {
			fmt.Fprintf(&b, "- %s\n", markdownText(frameName(m.doc, e)+e.Text))
		}
		if rest := len(f.Evidence) - maxFrames; rest > 0 {
			fmt.Fprintf(&b, "- … and %s\n", plural.Of(rest, "more frame", "more frames"))
		}
	}
	if rest := len(g) - maxMessages; rest > 0 {
		fmt.Fprintf(&b, "\n… and %d more like these\n", rest)
	}
	if strings.TrimSpace(f.Fix) != "" {
		fmt.Fprintf(&b, "\n<details><summary>How to fix it</summary>\n\n%s\n</details>\n", fenced(strings.Join(fixLines(f.Fix), "\n")))
	}
	return b.String()
}

func statusOf(f Finding) string {
	if f.Status != "" && f.Status != "open" {
		return f.Severity + ", " + f.waivedAs()
	}
	return f.Severity
}

// pairs names the edges of connections, each once.
func (m *markdown) pairs(p *page, ids []string) []string {
	var out []string
	n := map[string]int{}
	for _, id := range ids {
		name := p.connectionName(id)
		if n[name] == 0 {
			out = append(out, name)
		}
		n[name]++
	}
	for i, name := range out {
		out[i] = strings.TrimRight(markdownCode(name)+" "+times(n[name]), " ")
	}
	return out
}

func (m *markdown) unseen(limit int) {
	items := unseenItems(m.doc)
	if len(items) == 0 {
		return
	}
	m.linef("\n### Could not be seen\n")
	for i, item := range items {
		if !m.fits(limit, "- "+markdownText(item)+"\n") {
			m.linef("- … and %d more", len(items)-i)
			return
		}
	}
}

func (m *markdown) others() {
	s := m.doc.Summary
	m.linef("\n%d EPMD, %d other TLS, %d other and %d empty TCP connections. Written by %s.",
		s.EPMD, s.TLS, s.Other, s.None, markdownText(strings.TrimSpace(m.doc.Tool.Name+" "+m.doc.Tool.Version)))
}

// unseenItems says what the capture hides or lost.
func unseenItems(doc *Document) []string {
	p := &page{doc: doc, width: unlimited}
	return slices.Concat(p.unseenInInputs(), unseenInConnections(doc))
}

// markdownText writes text so that Markdown and HTML see nothing in it. A comment
// keeps @somebody and #1 from being a mention and a mail address: those are looked
// for when backslashes are gone.
func markdownText(s string) string {
	s = escape(s)
	var b strings.Builder
	for i, r := range s {
		special := strings.ContainsRune("\\`*_[]<>|~&#$", r) || linksItself(s, i)
		if special || i == 0 && strings.ContainsRune("+-=", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		if r == '@' || r == '#' {
			b.WriteString("<!-- -->")
		}
	}
	return b.String()
}

// linksItself reports whether the character at i is the one that GitHub makes
// a link of where no link is written: that of "https://", "mailto:" or "www.".
func linksItself(s string, i int) bool {
	before := strings.ToLower(s[max(0, i-len("mailto")):i])
	switch s[i] {
	case ':':
		return strings.HasPrefix(s[i:], "://") || strings.HasSuffix(before, "mailto") || strings.HasSuffix(before, "xmpp")
	case '.':
		return strings.HasSuffix(before, "www")
	}
	return false
}

// markdownCode writes a name as code: nothing in it is a link, and node names
// are no mail addresses. A bar would end the cell of a table even there.
func markdownCode(s string) string {
	s = escape(s)
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	pad := ""
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		pad = " "
	}
	return fence + pad + s + pad + fence
}

// markdownCell writes a name in a table, where a bar ends the cell even in code.
func markdownCell(s string) string { return strings.ReplaceAll(markdownCode(s), "|", `\|`) }

// fenced writes lines as a block of code.
func fenced(s string) string {
	fence := strings.Repeat("`", max(3, longestRun(s, '`')+1))
	return fence + "\n" + s + "\n" + fence + "\n"
}

// longestRun is the length of the longest run of a character.
func longestRun(s string, char rune) int {
	longest, run := 0, 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		run++
		if r != char {
			run = 0
		}
		longest = max(longest, run)
		i += size
	}
	return longest
}
