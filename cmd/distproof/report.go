package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"distproof/report"
)

func (a *app) reportCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "report [flags] FILE.json|-",
		Short: "Show a saved report in other formats",
		Long: `report reads what -o json wrote (- for standard input) and writes it in the
formats that -o names, byte for byte as the run itself would have.

The exit code is that of the run: 0, 1 or 3; 2 if the file cannot be read. For a
report of inspect, which has no conclusion, it is 0. Add --exit-zero to convert
a report whatever its conclusion.`,
		Example: `  distproof verify -o json=report.json capture.pcap
  distproof report report.json
  distproof report --exit-zero -o sarif=out.sarif -o markdown report.json`,
		Args: oneReport,
		RunE: func(_ *cobra.Command, args []string) error { return a.showReport(args[0], &s) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	outputFlags(f, &s)
	printFlags(f, &s)
	exitFlags(f, &s)
	return cmd
}

func oneReport(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return usagef("name one file that -o json wrote, or - for standard input\nsee "+cmd.CommandPath()+" --help", "report takes one saved report, not %d", len(args))
}

// outputFlags say what is written.
func outputFlags(f *pflag.FlagSet, s *settings) {
	formats := report.Formats()
	last := len(formats) - 1
	f.StringArrayVarP(&s.outputs, "output", "o", nil,
		"report as `FORMAT[=FILE]` (repeatable): "+strings.Join(formats[:last], ", ")+" or "+formats[last]+" (default table)")
}

// printFlags say how it is written.
func printFlags(f *pflag.FlagSet, s *settings) {
	f.StringVar(&s.color, "color", "auto", "colour the output: `WHEN` is auto, always or never")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "write nothing but errors to stderr")
	sandboxFlag(f, s)
}

// exitFlags say what exit code a conclusion has.
func exitFlags(f *pflag.FlagSet, s *settings) {
	f.BoolVar(&s.exitZero, "exit-zero", false, "exit with 0 instead of 1 or 3: report only")
	f.BoolVar(&s.allowInconclusive, "allow-inconclusive", false, "exit with 0 instead of 3; the report says so")
}

// showReport renders a saved report.
func (a *app) showReport(path string, s *settings) error {
	outs, err := parseOutputs(s.outputs)
	if err != nil {
		return err
	}
	color, err := a.useColor(s.color)
	if err != nil {
		return err
	}
	var box sandbox
	box.inputs([]string{path})
	box.outputs(outs)
	if err := a.lockDown(s.sandbox, &box); err != nil {
		return err
	}
	doc, err := a.readReport(path, s.quiet)
	if err != nil {
		return err
	}
	if doc.Conclusion == "" {
		if err := outs.refuseUnjudged(); err != nil {
			return err
		}
	}
	if err := outs.refuse(a.readingsOf("the saved report", path)); err != nil {
		return err
	}
	s.tolerate(doc)
	if err := outs.write(doc, a.stdout, color, a.width()); err != nil {
		return err
	}
	if doc.Conclusion == "" {
		return nil
	}
	return a.conclude(doc, s)
}

// readReport reads a saved report, and says what of it is not understood.
func (a *app) readReport(path string, quiet bool) (*report.Document, error) {
	in, name := a.stdin, "standard input"
	if path == "-" && isTerminal(a.stdin) {
		return nil, usagef("distproof report report.json", "standard input is a terminal, not a saved report")
	}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fileError("", "", path, err)
		}
		defer f.Close()
		in, name = f, path
	}
	doc, unknown, err := report.Read(in)
	if err != nil {
		return nil, unreadableReport(name, err)
	}
	if len(unknown) > 0 && !quiet {
		const shown = 5
		more := ""
		if rest := len(unknown) - shown; rest > 0 {
			unknown, more = unknown[:shown], fmt.Sprintf(" and %d more", rest)
		}
		fmt.Fprintln(a.stderr, report.Escape(fmt.Sprintf("warning: %s has fields that this version does not know and leaves out: %s%s", name, strings.Join(unknown, ", "), more)))
	}
	return doc, nil
}

// unreadableReport is the error of a file that is no report. That it is a
// capture is the likeliest mistake.
func unreadableReport(name string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends early")
	}
	return usagef("distproof report reads what -o json wrote; distproof verify reads captures", "%s: %v", name, cause(err))
}

// tolerate writes into the report that an inconclusive run is let pass.
func (s *settings) tolerate(doc *report.Document) {
	const note = " (tolerated by --allow-inconclusive)"
	if !s.allowInconclusive || doc.Conclusion != "inconclusive" || strings.HasSuffix(doc.Reason, note) {
		return
	}
	doc.Reason = cmp.Or(doc.Reason, "not proven") + note
}

// conclude maps the document's conclusion to the exit code and says why.
func (a *app) conclude(doc *report.Document, s *settings) error {
	code, words, err := exitOf(doc.Conclusion)
	if err != nil {
		return err
	}
	if doc.Baseline != nil && doc.Baseline.Known > 0 && code == exitHolds {
		words = "the policy holds but for what is known"
	}
	switch {
	case s.exitZero && code != exitHolds:
		a.code, words = exitHolds, fmt.Sprintf("%s; without --exit-zero the code is %d", words, code)
	case s.allowInconclusive && code == exitInconclusive:
		a.code = exitHolds
	default:
		a.code = code
	}
	if !s.quiet {
		a.reason = report.Escape(fmt.Sprintf("exit code %d: %s: %s", a.code, words, cmp.Or(doc.Reason, doc.Conclusion)))
	}
	return nil
}
