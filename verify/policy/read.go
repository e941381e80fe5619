package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"distproof/internal/typo"
	"distproof/verify"
)

// Parse reads a policy; name is what errors and reports call it. It returns
// either a policy or [Errors].
func Parse(data []byte, name string) (*File, error) {
	r := &reader{name: name, file: newFile(name)}
	root := r.load(data)
	if root != nil {
		r.noTricks(root)
	}
	if root != nil && len(r.errors) == 0 {
		r.policy(root)
	}
	if len(r.errors) > 0 {
		slices.SortStableFunc(r.errors, func(a, b *Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, r.errors[:min(len(r.errors), maxErrors)]
	}
	r.file.settle()
	return r.file, nil
}

// A reader reads a policy and gathers what is wrong with it.
type reader struct {
	name   string
	file   *File
	errors Errors
}

func (r *reader) failAt(line, column int, format string, args ...any) {
	r.errors = append(r.errors, &Error{r.name, max(line, 1), max(column, 1), fmt.Sprintf(format, args...)})
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.failAt(n.Line, n.Column, format, args...)
}

// load reads the YAML; nil if that is not possible.
func (r *reader) load(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		r.failAt(1, 1, "longer than %d bytes", MaxSize)
		return nil
	}
	var doc, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	err := d.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		r.failAt(1, 1, "nothing in it: a policy has at least the line version: %d", Version)
		return nil
	case err != nil:
		r.syntax(data, err)
		return nil
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		line := cmp.Or(second.Line, 1)
		r.failAt(line, 1, "a second document begins here: a policy is one")
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntax words an error of the YAML library, which knows no columns.
func (r *reader) syntax(data []byte, err error) {
	m := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	if m == nil {
		r.failAt(1, 1, "no YAML: %v", err)
		return
	}
	line, _ := strconv.Atoi(m[1])
	column := 1
	if lines := bytes.Split(data, []byte("\n")); line > 0 && line <= len(lines) {
		text := lines[line-1]
		column = 1 + len(text) - len(bytes.TrimLeft(text, " \t"))
	}
	r.failAt(line, column, "no YAML: %s", m[2])
}

// noTricks refuses what lets a short file stand for a long one, or for another.
func (r *reader) noTricks(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.fail(n, "aliases (*%s) are not for policies: write it out", n.Value)
		return
	case n.Anchor != "":
		r.fail(n, "anchors (&%s) are not for policies: write it out", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.fail(n, "tags (%s) are not for policies", n.Tag)
	}
	for _, child := range n.Content {
		r.noTricks(child)
	}
}

// A key is one of a mapping, and what reads its value.
type key struct {
	name string
	read func(*reader, *yaml.Node)
}

// mapping reads a mapping by its keys, and refuses others.
func (r *reader) mapping(n *yaml.Node, what string, keys []key, seen func(name string, at *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s is a mapping of %s, not %s", what, names(keys), describe(n))
		return
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		j := slices.IndexFunc(keys, func(x key) bool { return x.name == k.Value && k.Kind == yaml.ScalarNode })
		switch first, twice := lines[k.Value]; {
		case j < 0:
			r.fail(k, "unknown key %s in %s%s", quoted(k), what, suggestion(k.Value, keys, what))
		case twice:
			r.fail(k, "%q is there twice: first in line %d", k.Value, first)
		default:
			lines[k.Value] = k.Line
			if seen != nil {
				seen(k.Value, k)
			}
			keys[j].read(r, v)
		}
	}
}

func names(keys []key) string {
	var out []string
	for _, k := range keys {
		out = append(out, k.name)
	}
	return strings.Join(out, ", ")
}

// quoted names a key in a message.
func quoted(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return describe(n)
	}
	return strconv.Quote(short(n.Value))
}

func short(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// describe says what a node is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "nothing"
		}
		return strconv.Quote(short(n.Value))
	}
	return "this"
}

// suggestion proposes the key that was meant, most likely.
func suggestion(typed string, keys []key, what string) string {
	var known []string
	for _, k := range keys {
		known = append(known, k.name)
	}
	if best := typo.Nearest(typed, known); best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	for _, s := range sections() {
		for _, k := range s.keys {
			if k.name == typed && s.name != what {
				return fmt.Sprintf(": it belongs in %q", s.name)
			}
		}
	}
	return ": its keys are " + names(keys)
}

// text reads a word or a sentence.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || strings.TrimSpace(n.Value) == "" {
		r.fail(n, "%s is a text, not %s", what, describe(n))
		return "", false
	}
	return n.Value, true
}

// word reads one of a few words.
func (r *reader) word(n *yaml.Node, what string, words ...string) (string, bool) {
	if n.Kind == yaml.ScalarNode && slices.Contains(words, n.Value) {
		return n.Value, true
	}
	r.fail(n, "%s is one of %s, not %s", what, strings.Join(words, ", "), describe(n))
	return "", false
}

// number reads a whole number.
func (r *reader) number(n *yaml.Node, what string, least, most int) (int, bool) {
	if n.Kind == yaml.ScalarNode {
		if i, err := strconv.Atoi(n.Value); err == nil && least <= i && i <= most {
			return i, true
		}
	}
	r.fail(n, "%s is a number from %d to %d, not %s", what, least, most, describe(n))
	return 0, false
}

// truth reads true or false.
func (r *reader) truth(n *yaml.Node, what string) (bool, bool) {
	word, ok := r.word(n, what, "true", "false")
	return word == "true", ok
}

// each reads a list of at most most things.
func (r *reader) each(n *yaml.Node, what string, most int, item func(i int, n *yaml.Node)) {
	switch {
	case n.Kind != yaml.SequenceNode:
		r.fail(n, "%s is a list, not %s", what, describe(n))
	case len(n.Content) == 0:
		r.fail(n, "%s is an empty list: leave it out instead", what)
	case len(n.Content) > most:
		r.fail(n, "%s has more than %d items", what, most)
	default:
		for i, x := range n.Content {
			item(i, x)
		}
	}
}

// listOf reads a list of things that are written as a word each.
func listOf[T any](r *reader, n *yaml.Node, what string, most int, parse func(string) (T, error)) []T {
	var out []T
	r.each(n, what, most, func(_ int, n *yaml.Node) {
		s, ok := r.text(n, "an item of "+what)
		if !ok {
			return
		}
		x, err := parse(s)
		if err != nil {
			r.fail(n, "%v", err)
			return
		}
		out = append(out, x)
	})
	return out
}

// at is where a node is.
func (r *reader) at(n *yaml.Node) verify.Place { return verify.Place{Path: r.name, Line: n.Line} }
