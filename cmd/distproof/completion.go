package main

import (
	"strings"

	"github.com/spf13/cobra"

	"distproof/explain"
	"distproof/report"
)

// completeWords lets shells complete what flags and arguments can be, on all
// commands below root. What is not known to complete is a file. Cobra keeps what it
// is told here, and with it the commands, for as long as the process runs: it is to
// be told only when a shell asks.
func completeWords(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		completeWords(cmd)
		words := map[string][]string{"color": {"auto", "always", "never"}, "output": report.Formats()}
		switch cmd.Name() {
		case "diff":
			words["output"] = report.DiffFormats()
		case "explain":
			words["output"] = []string{"text", "markdown"}
			cmd.ValidArgsFunction = completeRules
		}
		for flag, values := range words {
			if cmd.Flags().Lookup(flag) != nil {
				// It fails only if there is no such flag, or if it was done before.
				_ = cmd.RegisterFlagCompletionFunc(flag, completeFrom(values))
			}
		}
	}
}

// completeFrom completes one of the values; behind the "=" of FORMAT=FILE comes
// a file.
func completeFrom(values []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		if strings.Contains(typed, "=") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

func completeRules(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, t := range explain.Texts() {
		out = append(out, t.Rule+"\t"+t.Title)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
