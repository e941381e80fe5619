package view

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"distproof/internal/plural"
	"distproof/report"
)

// View implements [tea.Model].
func (m *model) View() string {
	if m.width == 0 || m.height == 0 {
		return ""
	}
	var lines []string
	switch m.page {
	case pageList:
		lines = m.listPage()
	case pageFindings:
		lines = m.findingsPage()
	default:
		lines = m.textPage()
	}
	return strings.Join(stretch(lines, m.height), "\n")
}

// A page has a line with its title, and one with what keys there are.
const pageFrame = 2

// pageHeight is how many lines there are between those.
func (m *model) pageHeight() int { return max(m.height-pageFrame, 1) }

func (m *model) textPage() []string {
	return append(append([]string{m.title()}, strings.Split(m.pager.View(), "\n")...), m.pageStatus())
}

func (m *model) title() string {
	title := map[page]string{
		pageConnection: "CONNECTION", pageFindings: "FINDINGS", pageFinding: "FINDING", pageHappened: "WHAT HAPPENED", pageHelp: "HELP",
	}[m.page]
	return fit(m.palette.bold.Render(title), m.width)
}

func (m *model) pageStatus() string {
	left := ""
	if m.pager.TotalLineCount() > m.pager.Height {
		left = fmt.Sprintf("%.0f%%  ↑ ↓ PgUp PgDn", 100*m.pager.ScrollPercent())
	}
	return m.bar(left, "q back")
}

// fillPager writes the page's text anew. What is about a finding stays as it was
// when it was opened: another State may not have it.
func (m *model) fillPager(opened bool) {
	m.pager.Width, m.pager.Height = m.width, m.pageHeight()
	if m.width == 0 {
		return
	}
	end := m.pager.AtBottom() && !opened
	switch m.page {
	case pageConnection:
		m.pager.SetContent(m.connectionText())
	case pageFinding:
		if opened {
			m.pager.SetContent(m.findingText())
		}
	case pageHappened:
		m.pager.SetContent(m.happenedText())
		if end {
			m.pager.GotoBottom()
		}
	case pageHelp:
		m.pager.SetContent(m.helpText())
	}
}

func (m *model) options() report.Options { return report.Options{Width: m.width, Color: m.color} }

// connectionText has what is known of the connection that was opened.
func (m *model) connectionText() string {
	i := slices.IndexFunc(m.rows, func(r row) bool { return r.key == m.of })
	if i < 0 {
		return "It is over, and only counted any more: its edge and its findings stay in the report."
	}
	r := &m.rows[i]
	var out bytes.Buffer
	if r.conn == nil {
		fmt.Fprintf(&out, "%s → %s\n", r.words.Client, r.words.Server)
		for _, text := range []string{r.words.Reason + ".", "", reconnectText} {
			for _, l := range report.Wrap(text, min(m.width, 100)) {
				fmt.Fprintln(&out, l)
			}
		}
	} else if err := report.ExplainConnection(&out, m.state.Document, r.key, m.options()); err != nil {
		return report.Escape(err.Error())
	}
	return m.nowText(r) + "\n" + out.String()
}

// nowText says how the connection does.
func (m *model) nowText(r *row) string {
	words := []string{r.state}
	if r.activity.Gone {
		words[0] += ": the kernel of this host has it no more, its end was not captured"
	}
	if rate := r.rate(); rate != "" {
		words = append(words, rate)
	}
	switch r.ticks() {
	case "yes":
		words = append(words, "ticks")
	case "stopped":
		words = append(words, m.palette.doubt.Render("no ticks for longer than net_ticktime allows"))
	}
	if !r.activity.Last.IsZero() {
		words = append(words, "last packet "+clock(r.activity.Last, m.state.At))
	}
	if r.activity.Lost > 0 {
		words = append(words, m.palette.bad.Render(size(float64(r.activity.Lost))+" not captured"))
	}
	if p := processText(r.activity.Process); p != "" {
		words = append(words, "process "+p)
	}
	return fit(strings.Join(words, " · "), m.width) + "\n"
}

func (m *model) findingText() string {
	f := m.finding()
	i := slices.IndexFunc(m.state.Document.Findings, func(other report.Finding) bool { return f != nil && sameFinding(&other, f) })
	var out bytes.Buffer
	if err := report.ExplainFinding(&out, m.state.Document, i+1, m.options()); err != nil {
		return report.Escape(err.Error())
	}
	return out.String()
}

func (m *model) happenedText() string {
	if len(m.happened) == 0 {
		return "Nothing so far."
	}
	var lines []string
	for _, n := range slices.Backward(m.happened) {
		text, lead := report.Escape(n.Text), m.noteLead(n)
		for _, l := range report.Wrap(text, max(m.width-lipgloss.Width(lead), 20)) {
			lines = append(lines, fit(lead+l, m.width))
			lead = strings.Repeat(" ", lipgloss.Width(lead))
		}
	}
	return strings.Join(lines, "\n")
}

// findingsPage lists the findings, the worst first.
func (m *model) findingsPage() []string {
	lines := []string{m.title()}
	height := m.pageHeight()
	for i := m.findings.top; i < min(m.findings.top+height, len(m.worstFindings)); i++ {
		lines = append(lines, m.findingLine(m.worstFindings[i], i == m.findings.at))
	}
	if len(m.worstFindings) == 0 {
		lines = append(lines, fit("  None.", m.width))
	}
	n := len(m.worstFindings)
	left := plural.Of(n, "finding", "findings")
	if n > height {
		left = fmt.Sprintf("%d–%d of %s", m.findings.top+1, min(m.findings.top+height, n), left)
	}
	return append(stretch(lines, m.height-1), m.bar(left, "Enter evidence and fix  q back"))
}

func (m *model) findingLine(f *report.Finding, current bool) string {
	severity, rule := pad(report.Escape(f.Severity), 9), pad(report.Escape(f.Rule), 6)
	text := f.Message
	if f.Title != "" && !strings.HasPrefix(text, f.Title) { // some repeat it
		text = f.Title + ": " + text
	}
	if f.Status == "waived" {
		text = "(waived) " + text
	}
	concerned := ""
	if n := len(f.Connections); n > 1 {
		concerned = fmt.Sprintf("×%d ", n)
	}
	text = rule + concerned + report.Escape(text)
	line := cursorSign(current) + " " + m.palette.severity(f.Severity).Render(severity) + text
	if current {
		line = m.palette.cursor.Render(fit(cursorSign(current)+" "+severity+text, m.width))
	}
	return fit(line, m.width)
}

// helpText explains keys, signs and words.
func (m *model) helpText() string {
	var b strings.Builder
	heading := func(s string) { fmt.Fprintln(&b, m.palette.bold.Render(s)) }
	item := func(what, text string) {
		const column = 14
		for i, l := range report.Wrap(text, max(min(m.width, 100)-column-2, 20)) {
			if i > 0 {
				what = ""
			}
			fmt.Fprintf(&b, "  %s%s\n", pad(what, column), l)
		}
	}
	heading("KEYS")
	for _, k := range m.keys.list() {
		item(k.Help().Key, k.Help().Desc)
	}
	b.WriteByte('\n')
	heading("VERDICTS")
	item("cleartext", "distribution in the clear: names, the cookie's digest and every message can be read and changed")
	item("one-way", "TLS, but the client proved no certificate: who knows the cookie gets in")
	item("inconclusive", "the packets do not prove it; the reason says why")
	item("refused", "TLS was tried and did not come up")
	item("mutual", "TLS, and both sides proved a certificate")
	item(notSeen, whyNotSeen)
	b.WriteByte('\n')
	heading("SIGNS")
	item(">", "the row that Enter opens")
	item("+ *", "new, or changed, in the last seconds")
	item("?@host", "the host is known, the node's name is not visible")
	item("TICKS", "both sides' ticks are seen; stopped: none for longer than net_ticktime allows (in TLS inferred from sizes and spacing)")
	item("LOST", "bytes that were not captured: what they held is not known")
	b.WriteByte('\n')
	heading("CONNECTIONS THAT WERE UP BEFORE THE WATCH")
	for _, l := range report.Wrap(reconnectText, min(m.width, 100)-2) {
		b.WriteString("  " + l + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// reconnectText says how a connection's handshake gets to be seen.
const reconnectText = "What was up before the watch began did its handshake unseen: whether the client proved a certificate is not known until it reconnects. The safe way is to restart the nodes one after another, as for an upgrade. erlang:disconnect_node(Node) is for a maintenance window: both nodes take each other for down, and since OTP 25 global has other nodes disconnect, too, up to the whole mesh, unless prevent_overlapping_partitions is false. docs/watch.md says more."
