package view

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"distproof/internal/plural"
	"distproof/report"
)

// A column of the list. Those from a wider terminal on are left out of a narrower
// one.
type column struct {
	title string
	// width is 0 for names, which share what the others leave.
	width, from int
	right       bool
	cell        func(m *model, r *row) string
}

// columns are those that the terminal has room for.
func (m *model) columns() []column {
	all := []column{
		{title: "CLIENT", cell: func(_ *model, r *row) string { return r.words.Client }},
		{title: "SERVER", cell: func(_ *model, r *row) string { return r.words.Server }},
		{title: "TLS", width: 4, cell: func(_ *model, r *row) string { return r.words.TLS }},
		{title: "CLIENT CERTIFICATE", width: 19, from: 110, cell: func(_ *model, r *row) string { return r.words.ClientCertificate }},
		{title: "VERDICT", width: 12, cell: func(_ *model, r *row) string { return r.verdict() }},
		{title: "STATE", width: 12, cell: func(_ *model, r *row) string { return r.state }},
		{title: "TICKS", width: 7, from: 100, cell: func(_ *model, r *row) string { return r.ticks() }},
		{title: "RATE", width: 8, right: true, cell: func(_ *model, r *row) string { return r.rate() }},
		{title: "LOST", width: 6, right: true, cell: func(_ *model, r *row) string { return r.lost() }},
		{title: "LAST", width: 8, from: 150, cell: func(m *model, r *row) string { return m.last(r) }},
		{title: "PROCESS", width: 22, from: 130, cell: func(_ *model, r *row) string { return processText(r.activity.Process) }},
		{title: "FINDINGS", width: 20, from: 160, cell: func(_ *model, r *row) string { return r.findings() }},
	}
	var out []column
	for _, c := range all {
		if m.width >= c.from {
			out = append(out, c)
		}
	}
	m.shareNames(out)
	return out
}

// The cursor and the mark of a change stand before a row.
const marksWidth = 2

// shareNames gives the columns of names what the others leave.
func (m *model) shareNames(columns []column) {
	const leastName, mostName = 8, 48
	names, used := 0, marksWidth+len(columns)-1
	for _, c := range columns {
		used += c.width
		if c.width == 0 {
			names++
		}
	}
	room := max((m.width-used)/max(names, 1), leastName)
	for i := range columns {
		if columns[i].width == 0 {
			columns[i].width = min(room, mostName)
		}
	}
}

func (r *row) verdict() string {
	if r.words.Verdict == "" && r.conn != nil {
		return "(" + report.Escape(r.conn.Protocol) + ")"
	}
	return r.words.Verdict
}

func (r *row) ticks() string {
	switch {
	case !r.open():
		return ""
	case r.activity.Stalled:
		return "stopped"
	case r.activity.Ticks:
		return "yes"
	}
	return "-"
}

func (r *row) rate() string {
	if r.conn == nil || !r.open() {
		return ""
	}
	return size(r.activity.Rate) + "/s"
}

func (r *row) lost() string {
	if r.activity.Lost == 0 {
		return ""
	}
	return size(float64(r.activity.Lost))
}

func (r *row) findings() string {
	if r.conn == nil {
		return ""
	}
	return report.Escape(strings.Join(r.conn.Findings, " "))
}

func (m *model) last(r *row) string {
	if r.activity.Last.IsZero() {
		return ""
	}
	text := clock(r.activity.Last, m.state.At)
	if len(text) > 8 {
		return text[:10] // the date
	}
	return text
}

// headings names the columns; that which the rows are sorted by has an arrow.
func (m *model) headings(columns []column) string {
	o := orders()[m.order]
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", marksWidth))
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(' ')
		}
		title := c.title
		if title == o.title {
			title += "↓"
			if m.reverse {
				title = c.title + "↑"
			}
		}
		if c.right {
			b.WriteString(padLeft(title, c.width))
		} else {
			b.WriteString(pad(title, c.width))
		}
	}
	return m.palette.title.Render(fit(b.String(), m.width))
}

// line draws a row.
func (m *model) line(r *row, columns []column, current bool) string {
	var b strings.Builder
	write := func(style lipgloss.Style, s string) {
		if current {
			style = style.Inherit(m.palette.cursor)
		}
		b.WriteString(style.Render(s))
	}
	mark, marked := m.marks[r.key]
	write(m.palette.bold, cursorSign(current)+markSign(mark, marked))
	for i, c := range columns {
		text := c.cell(m, r)
		if c.right {
			text = padLeft(text, c.width)
		} else {
			text = pad(text, c.width)
		}
		if i < len(columns)-1 {
			text += " "
		}
		write(m.cellStyle(r, c.title, marked), text)
	}
	return fit(b.String(), m.width)
}

func cursorSign(current bool) string {
	if current {
		return ">"
	}
	return " "
}

func markSign(k mark, marked bool) string {
	switch {
	case !marked:
		return " "
	case k.new:
		return "+"
	}
	return "*"
}

func (m *model) cellStyle(r *row, title string, marked bool) lipgloss.Style {
	p := m.palette
	style := p.plain
	switch {
	case title == "VERDICT":
		style = p.verdict(r.words.Verdict)
	case title == "LOST":
		style = p.bad
	case (title == "STATE" || title == "TICKS") && r.activity.Stalled && r.open():
		style = p.doubt
	case !r.open():
		style = p.quiet
	}
	if marked {
		style = style.Bold(true)
	}
	return style
}

// footer says why the row under the cursor is what it is, what happened last, and
// what keys there are.
func (m *model) footer() []string {
	lines := m.about()
	lines = append(lines, m.lastNote(), m.status())
	for i := range lines {
		lines[i] = fit(lines[i], m.width)
	}
	return lines
}

// aboutLines is how many lines there are about the row under the cursor.
const (
	aboutLines  = 3
	footerLines = aboutLines + 2
)

func (m *model) about() []string {
	var lines []string
	if m.list.at < len(m.shown) {
		r := m.shown[m.list.at]
		lines = m.why(r)
		words := []string{r.ends()}
		if p := processText(r.activity.Process); p != "" {
			words = append(words, p)
		}
		if f := r.findings(); f != "" {
			words = append(words, f)
		}
		lines = append(lines, m.palette.quiet.Render("  "+strings.Join(words, " · ")))
	}
	return stretch(lines, aboutLines)
}

// why has the row's reason in as many lines as there are.
func (m *model) why(r *row) []string {
	const most = aboutLines - 1
	lead := m.palette.quiet.Render("└ ")
	var lines []string
	for i, l := range report.Wrap(r.words.Reason, max(m.width-4, 20)) {
		if i == most {
			lines[most-1] += " …"
			break
		}
		lines = append(lines, lead+l)
		lead = "  "
	}
	return lines
}

// ends says between which sockets the row is.
func (r *row) ends() string {
	if r.conn == nil {
		return fmt.Sprintf("%s ↔ %s", r.socket.Local, r.socket.Remote)
	}
	return fmt.Sprintf("%s %s → %s", report.Escape(r.conn.ID), r.conn.Client.Socket(), r.conn.Server.Socket())
}

func (m *model) lastNote() string {
	if len(m.happened) == 0 {
		return ""
	}
	return m.note(m.happened[len(m.happened)-1])
}

func (m *model) note(n Note) string { return m.noteLead(n) + report.Escape(n.Text) }

// noteLead says when something happened, and how bad it is.
func (m *model) noteLead(n Note) string {
	lead := m.palette.quiet.Render(clock(n.Time, m.state.At)) + " "
	if n.Severity != "" && n.Severity != "info" {
		lead += m.palette.severity(n.Severity).Render(report.Escape(n.Severity)) + " "
	}
	return lead
}

// status is the last line: what is shown how, and the keys that matter most.
func (m *model) status() string {
	if m.searching {
		return m.typed()
	}
	words := []string{m.extent(), "sorted by " + orders()[m.order].name + map[bool]string{true: ", reversed"}[m.reverse]}
	if f := m.filter.words(); f != "" {
		words = append(words, "only "+f+" (Esc: all)")
	}
	return m.bar(strings.Join(words, " · "), "Enter evidence  f findings  ? help  q end")
}

// typed shows the words that are being typed, their end if there is no room.
func (m *model) typed() string {
	const prompt, hint = "show: ", "   Enter keeps, Esc shows all"
	text := report.Escape(m.filter.text)
	if room := m.width - len(prompt) - 1; ansi.StringWidth(text) > room {
		text = ansi.TruncateLeft(text, ansi.StringWidth(text)-max(room-1, 0), "…")
	}
	return fit(m.palette.bold.Render(prompt)+text+m.palette.cursor.Render("_")+m.palette.quiet.Render(hint), m.width)
}

// bar is a line with text at both ends, or only the left one if there is no room.
func (m *model) bar(left, right string) string {
	gap := m.width - lipgloss.Width(left) - lipgloss.Width(right)
	if gap < 2 {
		right = "? help  q end"
		gap = m.width - lipgloss.Width(left) - lipgloss.Width(right)
	}
	if gap < 2 {
		return m.palette.title.Render(fit(left, m.width))
	}
	return m.palette.title.Render(left + strings.Repeat(" ", gap) + right)
}

// extent says which of the rows are on the screen.
func (m *model) extent() string {
	n := len(m.shown)
	last := min(m.list.top+m.listHeight(), n)
	text := fmt.Sprintf("%d–%d of %d", min(m.list.top+1, n), last, n)
	if last-m.list.top == n {
		text = plural.Of(n, "row", "rows")
	}
	return text
}

// Where there is no room, header and footer are cut.
func (m *model) roomy() bool { return m.height >= 14 }

// listHeight is how many rows there is room for.
func (m *model) listHeight() int {
	const headings = 1
	troubles := len(m.troubles())
	around := headerLines + troubles + footerLines
	if !m.roomy() {
		around = 2 + min(troubles, 1)
	}
	return max(m.height-headings-around, 1)
}

func (m *model) top() []string {
	lines := m.header()
	if !m.roomy() {
		return append(lines[:1], lines[headerLines:min(headerLines+1, len(lines))]...)
	}
	return lines
}

func (m *model) bottom() []string {
	lines := m.footer()
	if !m.roomy() {
		return lines[len(lines)-1:]
	}
	return lines
}

// listPage draws the page with the connections. Only the rows on the screen are
// drawn.
func (m *model) listPage() []string {
	columns := m.columns()
	lines := append(m.top(), m.headings(columns))
	height := m.listHeight()
	to := min(m.list.top+height, len(m.shown))
	for i := m.list.top; i < to; i++ {
		lines = append(lines, m.line(m.shown[i], columns, i == m.list.at))
	}
	if len(m.shown) == 0 {
		lines = append(lines, fit("  "+m.nothing(), m.width))
	}
	bottom := m.bottom()
	return append(stretch(lines, m.height-len(bottom)), bottom...)
}

// nothing says why the list is empty.
func (m *model) nothing() string {
	switch {
	case !m.filter.empty():
		return "No connection is like that. Esc shows all."
	case m.state.Packets == 0:
		return "No packet so far."
	}
	return "No connection between nodes so far."
}

// stretch makes lines n, by leaving out the last ones or by blank ones.
func stretch(lines []string, n int) []string {
	n = max(n, 0)
	if len(lines) > n {
		return lines[:n]
	}
	return append(lines, make([]string, n-len(lines))...)
}
