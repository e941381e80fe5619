package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"distproof/report"
)

func (a *app) diffCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "diff [flags] OLD.json NEW.json",
		Short: "Compare two saved reports: what got worse?",
		Long: `diff compares two reports that -o json wrote (one may be - for standard input):
edges, listeners, findings, nodes and certificates. What got worse comes first.

Exit codes:
  0  nothing is worse; there may be other changes
  1  something is worse: an edge, a listener, or a new finding that violates
  2  could not run: wrong usage or an unreadable report
  3  nothing is known to be worse, but less is proven than in the old report`,
		Example: `  distproof diff yesterday.json today.json
  distproof verify -o json capture.pcap | distproof diff old.json -
  distproof diff -o table -o json=diff.json old.json new.json`,
		Args: twoReports,
		RunE: func(_ *cobra.Command, args []string) error { return a.diff(args[0], args[1], &s) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&s.outputs, "output", "o", nil, "write as `FORMAT[=FILE]` (repeatable): "+strings.Join(report.DiffFormats(), " or ")+" (default table)")
	printFlags(f, &s)
	f.BoolVar(&s.exitZero, "exit-zero", false, "exit with 0 instead of 1 or 3: report only")
	return cmd
}

func twoReports(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) != 2:
		return usagef("name the old one and the new one\nsee "+cmd.CommandPath()+" --help", "diff takes two saved reports, not %d", len(args))
	case args[0] == "-" && args[1] == "-":
		return usagef("give one of them as a file", "only one report can come from standard input")
	}
	return nil
}

// diff compares two saved reports.
func (a *app) diff(before, after string, s *settings) error {
	outs, err := parseOutputsIn(s.outputs, report.DiffFormats())
	if err != nil {
		return err
	}
	color, err := a.useColor(s.color)
	if err != nil {
		return err
	}
	if err := outs.refuse(a.readingsOf("a saved report", before, after)); err != nil {
		return err
	}
	var box sandbox
	box.inputs([]string{before, after})
	box.outputs(outs)
	if err := a.lockDown(s.sandbox, &box); err != nil {
		return err
	}
	was, err := a.readReport(before, s.quiet)
	if err != nil {
		return err
	}
	is, err := a.readReport(after, s.quiet)
	if err != nil {
		return err
	}
	d, err := report.Compare(tool(), was, is)
	if err != nil {
		return usagef("distproof verify -o json writes reports with findings", "%v", err)
	}
	render := func(w io.Writer, format string, opt report.Options) error {
		return report.RenderDiff(w, d, format, opt)
	}
	if err := outs.writeBy(render, a.stdout, color, a.width()); err != nil {
		return err
	}
	a.concludeDiff(d, s)
	return nil
}

// concludeDiff maps the outcome to the exit code and says why.
func (a *app) concludeDiff(d *report.Diff, s *settings) {
	code := exitHolds
	switch d.Outcome {
	case "worse":
		code = exitViolated
	case "less-proven":
		code = exitInconclusive
	}
	words := ""
	if s.exitZero && code != exitHolds {
		words = fmt.Sprintf("without --exit-zero the code is %d: ", code)
		code = exitHolds
	}
	a.code = code
	if !s.quiet {
		a.reason = report.Escape(fmt.Sprintf("exit code %d: %s%s", code, words, d.Reason))
	}
}
