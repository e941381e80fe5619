// Package explain has a text for every rule: what it means, what on the wire
// proves it, what would disprove it, what cannot be seen, and how to fix it. The
// texts are Markdown, one file per rule; passages that several share are in parts.
package explain

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed rules/*.md parts/*.md
var files embed.FS

// A Text explains a rule.
type Text struct {
	// Rule is its id, Title its name in words.
	Rule, Title string
	// Markdown is the whole text, with the title as its heading. Of Markdown it
	// uses headings, paragraphs, lists of one level, fenced code and `code`.
	Markdown string
}

// Texts returns the texts of all rules, in the order of their ids.
func Texts() []Text {
	names, err := fs.Glob(files, "rules/*.md")
	if err != nil {
		panic(err) // the pattern is ours
	}
	var out []Text
	for _, name := range names {
		out = append(out, read(name))
	}
	return out
}

// Of returns the text of a rule; its case does not matter.
func Of(rule string) (Text, bool) {
	for _, t := range Texts() {
		if strings.EqualFold(t.Rule, rule) {
			return t, true
		}
	}
	return Text{}, false
}

// read reads a text and puts the parts that it names into their places:
// {{mutual}} on a line of its own is parts/mutual.md.
func read(name string) Text {
	var b strings.Builder
	for line := range strings.Lines(file(name)) {
		if part, ok := strings.CutPrefix(strings.TrimSpace(line), "{{"); ok {
			line = file(path.Join("parts", strings.TrimSuffix(part, "}}")+".md"))
		}
		b.WriteString(line)
	}
	text := b.String()
	heading, _, _ := strings.Cut(text, "\n")
	rule, title, _ := strings.Cut(strings.TrimPrefix(heading, "# "), " ")
	return Text{Rule: rule, Title: title, Markdown: text}
}

func file(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("explain: %v", err)) // TestTexts reads all
	}
	return string(data)
}

// Area says what the rules with ids that begin alike are about.
func (t Text) Area() string {
	switch {
	case strings.HasPrefix(t.Rule, "DP1"):
		return "Transport"
	case strings.HasPrefix(t.Rule, "DP2"):
		return "Exposure"
	case strings.HasPrefix(t.Rule, "DP4"):
		return "Policy"
	}
	return "Capture"
}

// Page returns all texts as one page of Markdown, for the documentation.
func Page() string {
	var b strings.Builder
	b.WriteString("# Rules\n\nWhat each rule means, what proves it, and how to fix it, as\n`distproof explain RULE` prints it.\n\n")
	for _, t := range Texts() {
		fmt.Fprintf(&b, "- [%s %s](#%s)\n", t.Rule, t.Title, anchor(t.Rule+" "+t.Title))
	}
	for _, t := range Texts() {
		b.WriteString("\n")
		inCode := false
		for line := range strings.Lines(t.Markdown) {
			if strings.HasPrefix(line, "```") {
				inCode = !inCode
			}
			if strings.HasPrefix(line, "#") && !inCode {
				line = "#" + line // the page has the first level
			}
			b.WriteString(line)
		}
	}
	return b.String()
}

// anchor is the name that a heading has in a link to it.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}
