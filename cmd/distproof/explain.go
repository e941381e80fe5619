package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"distproof/explain"
	"distproof/report"
)

func (a *app) explainCommand() *cobra.Command {
	var s settings
	var finding, format string
	cmd := &cobra.Command{
		Use:   "explain [flags] [RULE]",
		Short: "Explain a rule, or a finding of a saved report",
		Long: `explain says what a rule means, what on the wire proves it, what would disprove
it, what cannot be seen, and how to fix it, with configuration for plain Erlang,
Elixir releases, RabbitMQ, CouchDB, EMQX and Kubernetes. Without a rule, it
lists all rules.

With --finding it goes through the evidence of one finding frame by frame, with
the filters that show the frames in Wireshark.`,
		Example: `  distproof explain
  distproof explain DP104
  distproof explain --finding report.json#3`,
		Args: atMostOne("rule"),
		RunE: func(_ *cobra.Command, args []string) error { return a.explain(args, finding, format, &s) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&finding, "finding", "", "explain the N-th finding of a saved report: `FILE#N`; FILE may be -")
	f.StringVarP(&format, "output", "o", "text", "write as `FORMAT`: text or markdown")
	printFlags(f, &s)
	return cmd
}

func (a *app) explain(args []string, finding, format string, s *settings) error {
	color, err := a.useColor(s.color)
	if err != nil {
		return err
	}
	opt := report.Options{Width: a.width(), Color: color.stdout}
	var write func(io.Writer) error
	switch {
	case format != "text" && format != "markdown":
		return usagef("the formats are text, markdown", "-o %s: unknown format %q", format, format)
	case finding != "" && (len(args) > 0 || format != "text"):
		return usagef("distproof explain --finding FILE#N", "--finding takes neither a rule nor a format")
	case finding != "":
		write, err = a.findingWriter(finding, s, opt)
	case len(args) == 0:
		write = func(w io.Writer) error { return listRules(w, format) }
	default:
		write, err = ruleWriter(args[0], format, opt)
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriter(a.stdout)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// findingWriter explains FILE#N.
func (a *app) findingWriter(arg string, s *settings, opt report.Options) (func(io.Writer) error, error) {
	i := strings.LastIndexByte(arg, '#')
	n, err := 0, error(nil)
	if i >= 0 {
		n, err = strconv.Atoi(arg[i+1:])
	}
	if i <= 0 || err != nil {
		return nil, usagef("--finding report.json#3 is the third finding of report.json; quote it in a shell that takes # for a comment", "--finding %s: the number of the finding is missing", arg)
	}
	var box sandbox
	box.inputs([]string{arg[:i]})
	if err := a.lockDown(s.sandbox, &box); err != nil {
		return nil, err
	}
	doc, err := a.readReport(arg[:i], s.quiet)
	if err != nil {
		return nil, err
	}
	if len(doc.Findings) == 0 {
		return nil, usagef("", "%s has no findings", arg[:i])
	}
	if n < 1 || n > len(doc.Findings) {
		return nil, usagef(fmt.Sprintf("the first is #1, the last #%d", len(doc.Findings)), "%s has no finding #%d", arg[:i], n)
	}
	return func(w io.Writer) error { return report.ExplainFinding(w, doc, n, opt) }, nil
}

func ruleWriter(rule, format string, opt report.Options) (func(io.Writer) error, error) {
	text, known := explain.Of(rule)
	if !known {
		return nil, usagef(suggestRule(rule), "unknown rule %q", rule)
	}
	return func(w io.Writer) error {
		if format == "markdown" {
			_, err := io.WriteString(w, text.Markdown)
			return err
		}
		return report.WriteManual(w, text.Markdown, opt)
	}, nil
}

// suggestRule proposes the rules whose ids or titles resemble what was typed.
func suggestRule(typed string) string {
	digits := strings.TrimLeft(strings.ToUpper(typed), "DP")
	var similar []string
	for _, t := range explain.Texts() {
		byNumber := digits != "" && strings.TrimLeft(digits, "0") != "" && strings.HasSuffix(t.Rule, digits)
		byTitle := len(typed) > 2 && strings.Contains(strings.ToLower(t.Title), strings.ToLower(typed))
		if byNumber || byTitle || differBy(t.Rule, strings.ToUpper(typed)) == 1 {
			similar = append(similar, fmt.Sprintf("did you mean %s, %s?", t.Rule, t.Title))
		}
	}
	const most = 3
	if n := len(similar); n > 0 {
		return strings.Join(similar[:min(n, most)], "\n")
	}
	return "distproof explain lists all rules"
}

// differBy counts the places at which words of the same length differ; words of
// different lengths differ everywhere.
func differBy(a, b string) int {
	if len(a) != len(b) {
		return len(a) + len(b)
	}
	n := 0
	for i := range len(a) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// listRules lists the rules with their titles, or writes the page of all texts.
func listRules(w io.Writer, format string) error {
	if format == "markdown" {
		_, err := io.WriteString(w, explain.Page())
		return err
	}
	area := ""
	for _, t := range explain.Texts() {
		if t.Area() != area {
			if area != "" {
				fmt.Fprintln(w)
			}
			area = t.Area()
			fmt.Fprintln(w, area)
		}
		if _, err := fmt.Fprintf(w, "  %s  %s\n", t.Rule, t.Title); err != nil {
			return err
		}
	}
	return nil
}
