package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// grid lays cells out in columns and returns a line for the header and one
// for each row. Cells must be escaped and as short as they shall get; they may
// be coloured.
func grid(header []string, rows [][]string) ([]string, error) {
	var out bytes.Buffer
	t := newTable(&out)
	t.Header(header)
	for i, row := range rows {
		if len(row) != len(header) {
			return nil, fmt.Errorf("row %d of the table has %d cells, not %d", i, len(row), len(header))
		}
		if err := t.Append(row); err != nil {
			return nil, err
		}
	}
	if err := t.Render(); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(rows)+1 {
		return nil, fmt.Errorf("the table has %d lines for %d rows", len(lines), len(rows))
	}
	for i := range lines {
		lines[i] = trimBlanks(lines[i])
	}
	return lines, nil
}

// trimBlanks removes the padding at the end of a line. Where cells are
// coloured, tablewriter puts a reset behind the padding, too.
func trimBlanks(line string) string {
	const reset = "\x1b[0m"
	trimmed := strings.TrimRight(line, " ")
	for strings.HasSuffix(trimmed, reset) {
		trimmed = strings.TrimRight(strings.TrimSuffix(trimmed, reset), " ")
	}
	if strings.Contains(trimmed, "\x1b") {
		return trimmed + reset
	}
	return trimmed
}

// newTable makes a table without borders. What tablewriter would do to the
// text on its own is switched off: it would write "TLS 1.3" in a header as
// "TLS 1 . 3", wrap cells, and take "…" for two columns wide in some locales.
func newTable(out *bytes.Buffer) *tablewriter.Table {
	gap := tw.CellPadding{Global: tw.Padding{Left: tw.Empty, Right: "  ", Overwrite: true}}
	left := tw.CellAlignment{Global: tw.AlignLeft}
	plain := tw.CellFormatting{AutoWrap: tw.WrapNone, AutoFormat: tw.Off}
	return tablewriter.NewTable(out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Symbols: tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{
				Separators: tw.SeparatorsNone,
				Lines:      tw.LinesNone,
			},
		})),
		tablewriter.WithHeaderConfig(tw.CellConfig{Formatting: plain, Alignment: left, Padding: gap}),
		tablewriter.WithRowConfig(tw.CellConfig{Formatting: plain, Alignment: left, Padding: gap}),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithEastAsian(tw.Off),
	)
}
