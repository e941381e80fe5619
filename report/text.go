package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// maxMarks is how many combining marks may follow one another. Living scripts
// need two or three; a heap of them paints over the lines above.
const maxMarks = 3

// printable reports whether r can be shown as it is: letters, marks, digits,
// punctuation, symbols and the ASCII space. C0 and C1 controls, DEL,
// bidirectional controls, zero-width and unusual spaces are not, nor letters
// and marks that are not meant to be seen, as the Hangul fillers.
func printable(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// workflowCommand matches what GitHub's runner may take for a command wherever
// it stands in a line of a log: "##[", and "::" with a name that cannot go on
// with an IPv6 address.
var workflowCommand = regexp.MustCompile(`##\[|::[0-9A-Fa-f:.]*[G-Zg-z-]`)

// escape makes a string from the wire safe for a terminal: one line, no
// control characters, nothing that reorders or hides text (CWE-150), and safe
// for the log of a pipeline. Bytes below 0x80 and those that are not UTF-8
// become \xNN, other characters \u{N}.
func escape(s string) string {
	if strings.Contains(s, "::") || strings.Contains(s, "##[") {
		s = workflowCommand.ReplaceAllStringFunc(s, func(m string) string { return fmt.Sprintf(`\x%02x%s`, m[0], m[1:]) })
	}
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	marks := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && !printable(r):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !printable(r), marks > maxMarks:
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// plainASCII reports whether nothing in s needs escaping, the usual case.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// width returns the number of terminal columns that s takes. It must agree
// with the table's own counting, see newTable.
func width(s string) int { return displaywidth.String(s) }

// cut shortens s to n columns by taking out its middle: names of nodes differ
// at their beginnings and ends.
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}
	var parts []string
	for g := displaywidth.StringGraphemes(s); g.Next(); {
		parts = append(parts, g.Value())
	}
	room := n - 1 // one for the ellipsis
	h := take(parts, (room+1)/2)
	head := strings.Join(parts[:h], "")
	rest := slices.Clone(parts[h:])
	slices.Reverse(rest)
	t := take(rest, room-width(head))
	return head + "…" + strings.Join(parts[len(parts)-t:], "")
}

// take returns how many of the parts fit into n columns.
func take(parts []string, n int) int {
	for i, p := range parts {
		if n -= width(p); n < 0 {
			return i
		}
	}
	return len(parts)
}

// wrap breaks s into lines of at most n columns, at spaces where possible.
// It returns at least one line.
func wrap(s string, n int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for word := range strings.FieldsSeq(s) {
		for _, piece := range chop(word, n) {
			w := width(piece)
			switch {
			case line.Len() == 0:
			case used+1+w <= n:
				line.WriteByte(' ')
				used++
			default:
				lines = append(lines, line.String())
				line.Reset()
				used = 0
			}
			line.WriteString(piece)
			used += w
		}
	}
	return append(lines, line.String())
}

// chop breaks a word into pieces of at most n columns.
func chop(word string, n int) []string {
	if width(word) <= n {
		return []string{word}
	}
	var pieces []string
	from, to, used := 0, 0, 0
	for g := displaywidth.StringGraphemes(word); g.Next(); {
		if used > 0 && used+g.Width() > n {
			pieces = append(pieces, word[from:to])
			from, used = to, 0
		}
		to += len(g.Value())
		used += g.Width()
	}
	return append(pieces, word[from:])
}

// join lists words as a sentence does: "a, b and c".
func join(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
