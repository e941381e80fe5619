package view

import (
	"io"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// A palette colours words as the table of a report does. Colour only repeats what
// the words say; without it nothing is styled at all.
type palette struct {
	plain, good, bad, doubt, quiet, bold, title, cursor lipgloss.Style
}

func newPalette(on bool) palette {
	// What the terminal can was asked before; only the output that is written to
	// counts, not that of the process.
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if on {
		r.SetColorProfile(termenv.ANSI)
	}
	style := r.NewStyle()
	return palette{
		plain:  style,
		good:   style.Foreground(lipgloss.Color("2")),
		bad:    style.Foreground(lipgloss.Color("1")),
		doubt:  style.Foreground(lipgloss.Color("3")),
		quiet:  style.Faint(true),
		bold:   style.Bold(true),
		title:  style.Faint(true),
		cursor: style.Reverse(true),
	}
}

func (p palette) verdict(s string) lipgloss.Style {
	switch s {
	case "mutual":
		return p.good
	case "cleartext", "one-way":
		return p.bad
	case "":
		return p.quiet
	}
	return p.doubt
}

func (p palette) conclusion(s string) lipgloss.Style {
	switch s {
	case "pass":
		return p.good.Bold(true)
	case "fail":
		return p.bad.Bold(true)
	}
	return p.doubt.Bold(true)
}

func (p palette) severity(s string) lipgloss.Style {
	switch s {
	case "critical", "high":
		return p.bad
	case "medium", "low", severityWarning:
		return p.doubt
	}
	return p.plain
}

// severityWarning is that of what the program says itself.
const severityWarning = "warning"
