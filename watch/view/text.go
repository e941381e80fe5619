package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"distproof/report"
)

// fit makes a styled line no longer than n columns.
func fit(s string, n int) string { return ansi.Truncate(s, max(n, 0), "…") }

// pad makes escaped text n columns wide, its middle left out if it is too long.
func pad(s string, n int) string {
	s = report.Cut(s, n)
	return s + strings.Repeat(" ", max(n-ansi.StringWidth(s), 0))
}

// padLeft is pad with the text at the right.
func padLeft(s string, n int) string {
	s = report.Cut(s, n)
	return strings.Repeat(" ", max(n-ansi.StringWidth(s), 0)) + s
}

// size writes bytes in at most six columns, as 1.2 kB.
func size(n float64) string {
	const step = 1000
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for ; n >= step-0.5 && i < len(units)-1; i++ {
		n /= step
	}
	if i > 0 && n < 9.95 {
		return fmt.Sprintf("%.1f %s", n, units[i])
	}
	return fmt.Sprintf("%.0f %s", n, units[i])
}

// clock writes a time of the last day as that of the day, and an older one with
// its date.
func clock(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if now.Sub(t).Abs() < 18*time.Hour {
		return t.Local().Format("15:04:05")
	}
	return t.Local().Format("2006-01-02 15:04")
}
