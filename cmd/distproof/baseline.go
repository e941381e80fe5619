package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"distproof/report"
	"distproof/verify"
)

func baselineFlag(f *pflag.FlagSet, s *settings) {
	f.StringVar(&s.baseline, "baseline", "", "fail only on what is new or worse than in the saved report `FILE` (-o json)")
}

// A baseline is a saved report whose findings are let pass; nil for none.
type baseline struct {
	path     string
	document *report.Document
}

// readBaseline reads the report of --baseline.
func (a *app) readBaseline(s *settings) (*baseline, error) {
	if s.baseline == "" {
		return nil, nil
	}
	if s.baseline == "-" {
		return nil, usagef("name a file", "--baseline cannot come from standard input")
	}
	doc, err := a.readReport(s.baseline, s.quiet)
	if err != nil {
		return nil, fmt.Errorf("--baseline %w", err)
	}
	if err := report.CheckBaseline(doc); err != nil {
		return nil, usagef("a baseline is what distproof verify -o json wrote of a whole capture in which everything was decided",
			"--baseline: %s cannot be one: %v", s.baseline, err)
	}
	return &baseline{s.baseline, doc}, nil
}

// apply lets the findings of an analysis pass that the baseline has.
func (b *baseline) apply(x *analysis) error {
	if b == nil {
		return nil
	}
	r := report.Reckoning{Baseline: b.document, Path: b.path, Never: func(rule, severity string) bool {
		return verify.Rule(rule).Protected(verify.Severity(severity))
	}}
	for _, f := range x.judgement.Findings {
		r.Effects = append(r.Effects, string(f.Effect))
	}
	return r.Apply(x.document)
}
