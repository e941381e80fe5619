package view

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"distproof/internal/plural"
	"distproof/report"
)

// headerLines is how many lines the header has without troubles.
const headerLines = 5

// header says what the whole comes to. Trouble of the watch itself has lines of
// its own, and only when there is some.
func (m *model) header() []string {
	lines := []string{
		m.conclusion(),
		m.label("open") + m.tally(m.openVerdicts()),
		m.label("in all") + m.tally(m.allVerdicts()),
		m.label("findings") + m.findingsTally(),
		m.label("capture") + m.capture(),
	}
	for _, t := range m.troubles() {
		lines = append(lines, m.palette.bad.Bold(true).Render(pad(t.what, labelWidth))+report.Escape(t.text))
	}
	for i := range lines {
		lines[i] = fit(lines[i], m.width)
	}
	return lines
}

const labelWidth = 10

func (m *model) label(s string) string { return m.palette.quiet.Render(pad(s, labelWidth)) }

func (m *model) conclusion() string {
	doc := m.state.Document
	if doc.Conclusion == "" {
		return m.palette.bold.Render("distproof watch")
	}
	line := m.palette.conclusion(doc.Conclusion).Render(strings.ToUpper(report.Escape(doc.Conclusion)))
	if doc.Reason != "" {
		line += ": " + report.Escape(doc.Reason)
	}
	return line
}

// A verdictCount has the number of connections by verdict; notSeen is among
// them.
type verdictCount map[string]uint64

// openVerdicts counts what is up.
func (m *model) openVerdicts() verdictCount {
	n := verdictCount{}
	for i := range m.rows {
		if r := &m.rows[i]; r.between() && r.open() {
			n[r.words.Verdict]++
		}
	}
	return n
}

// allVerdicts counts what there was since the watch began.
func (m *model) allVerdicts() verdictCount {
	n := verdictCount{}
	for i := range m.rows {
		if r := &m.rows[i]; r.between() {
			n[r.words.Verdict]++
		}
	}
	for _, h := range m.state.History {
		if h.Verdict != "" {
			n[h.Verdict] += h.Connections
		}
	}
	return n
}

// tally writes the counts, the worst first, and their sum if there is room.
func (m *model) tally(n verdictCount) string {
	var words []string
	var total uint64
	for _, v := range append(report.VerdictWords(), notSeen) {
		if n[v] > 0 {
			words = append(words, m.palette.verdict(v).Render(fmt.Sprintf("%d %s", n[v], v)))
			total += n[v]
		}
	}
	text := strings.Join(words, ", ")
	whole := fmt.Sprintf("%d: %s", total, text)
	switch {
	case total == 0:
		return "no connection between nodes"
	case lipgloss.Width(whole) > m.width-labelWidth:
		return text
	}
	return whole
}

// findingsTally counts findings by severity, and names the policy.
func (m *model) findingsTally() string {
	n := map[string]int{}
	waived := 0
	for _, f := range m.state.Document.Findings {
		if f.Status == "waived" {
			waived++
			continue
		}
		n[f.Severity]++
	}
	var words []string
	for _, s := range report.SeverityWords() {
		if n[s] > 0 {
			words = append(words, m.palette.severity(s).Render(fmt.Sprintf("%d %s", n[s], s)))
		}
	}
	if waived > 0 {
		words = append(words, fmt.Sprintf("%d waived", waived))
	}
	if len(words) == 0 {
		words = []string{"none"}
	}
	text := strings.Join(words, ", ")
	if m.state.Policy != "" {
		text += m.palette.quiet.Render("   policy ") + report.Escape(m.state.Policy)
	}
	return text
}

// capture says what is captured, and since when.
func (m *model) capture() string {
	s := m.state
	var where []string
	for _, i := range s.Interfaces {
		name := report.Escape(i.Name)
		if !i.Up {
			name = m.palette.bad.Render(name + " DOWN")
		}
		where = append(where, name)
	}
	const shown = 3
	if rest := len(where) - shown; rest > 0 {
		// What is down comes first: it is what one must know.
		up := func(name string) int { return down(strings.Contains(name, "DOWN"), false) }
		slices.SortStableFunc(where, func(a, b string) int { return up(a) - up(b) })
		where = append(where[:shown], fmt.Sprintf("and %d more", rest))
	}
	words := []string{
		plural.Of(s.Packets, "packet", "packets") + ", " + size(float64(s.Bytes)),
		m.dropped(),
	}
	if len(where) > 0 {
		words = append([]string{strings.Join(where, " ")}, words...)
	}
	words = append(words, "since "+clock(s.Started, s.At))
	if !s.LastPacket.IsZero() {
		words = append(words, "last "+clock(s.LastPacket, s.At))
	}
	return strings.Join(words, m.palette.quiet.Render(" · "))
}

func (m *model) dropped() string {
	text := fmt.Sprintf("%d lost", m.state.Dropped)
	if m.state.Dropped > 0 {
		return m.palette.bad.Render(text)
	}
	return text
}

// A trouble is what keeps the watch from seeing all.
type trouble struct{ what, text string }

func (m *model) troubles() []trouble {
	s := m.state
	var out []trouble
	add := func(what, format string, args ...any) { out = append(out, trouble{what, fmt.Sprintf(format, args...)}) }
	if s.Blind != "" {
		add("BLIND", "%s", s.Blind)
	}
	if s.PolicyError != "" {
		add("POLICY", "refused, the one before is still in force: %s", s.PolicyError)
	}
	for _, i := range s.Interfaces {
		switch {
		case i.Missing != "":
			add("MISSING", "%s is waited for: %s", i.Name, i.Missing)
		case !i.Up:
			add("DOWN", "%s is down or away: what goes another way is not seen", i.Name)
		}
	}
	if s.Dropped > 0 {
		add("LOST", "%s lost by the kernel: what they held is not known", plural.Of(s.Dropped, "packet was", "packets were"))
	}
	if s.Forgotten > 0 {
		add("MEMORY", "%s given up for lack of memory", plural.Of(s.Forgotten, "connection was", "connections were"))
	}
	const most = 3
	if rest := len(out) - most; rest > 0 {
		out = append(out[:most-1], trouble{"TROUBLE", fmt.Sprintf("and %d more; e lists what happened", rest+1)})
	}
	return out
}
