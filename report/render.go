package report

import (
	"fmt"
	"io"
	"strings"
)

// Options say how a document is shown. They never change what it says.
type Options struct {
	// Width is the number of columns that the table may take; below MinWidth
	// it counts as MinWidth, above MaxWidth as MaxWidth. Zero is MinWidth.
	Width int
	// Color repeats the verdicts in colour.
	Color bool
}

// The table fits into MinWidth columns, the width of a terminal that nobody
// resized. Beyond MaxWidth lines get too long to be read.
const (
	MinWidth = 80
	MaxWidth = 200
)

// A renderFunc writes a document in one format.
type renderFunc func(w io.Writer, doc *Document, opt Options) error

// formats lists the renderers in the order in which help names them.
func formats() []struct {
	name   string
	render renderFunc
} {
	return []struct {
		name   string
		render renderFunc
	}{
		{"table", renderTable},
		{"wide", renderWide},
		{"json", renderJSON},
		{"ndjson", renderNDJSON},
		{"csv", renderCSV},
		{"junit", renderJUnit},
		{"sarif", renderSARIF},
		{"gitlab", renderGitLab},
		{"github", renderGitHub},
		{"markdown", renderMarkdown},
		{"matrix", renderMatrix},
		{"dot", renderDOT},
		{"mermaid", renderMermaid},
	}
}

// Formats returns the names of the formats that Render knows.
func Formats() []string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return names
}

// NeedsConclusion reports whether a format is about findings, so that what it
// says of a document that nothing was judged in could be taken for a pass.
func NeedsConclusion(format string) bool {
	switch format {
	case "junit", "sarif", "gitlab", "github":
		return true
	}
	return false
}

// Render writes doc to w in the given format. What it writes depends on doc
// and opt alone. Strings that came off the wire are escaped.
func Render(w io.Writer, doc *Document, format string, opt Options) error {
	for _, f := range formats() {
		if f.name == format {
			return f.render(w, legible(doc), opt)
		}
	}
	return fmt.Errorf("unknown format %q: the formats are %s", format, strings.Join(Formats(), ", "))
}

// columns returns the number of columns to use.
func (o Options) columns() int {
	return min(max(o.Width, MinWidth), MaxWidth)
}
