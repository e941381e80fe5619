package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"distproof/internal/typo"
)

// rootCommand wires the commands.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "distproof",
		Short: "Prove from captured packets that Erlang nodes talk mutual TLS",
		Long: `distproof reads captured packets of an Erlang or Elixir cluster and says for
every connection between nodes whether it is mutual TLS, one-way TLS,
cleartext, refused or not provable, and why.`,
		Example: `  distproof verify capture.pcap
  tcpdump -i any -U -w - | distproof verify -
  distproof verify -o table -o json=report.json captures/`,
		Args:          cobra.ArbitraryArgs,
		RunE:          noCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.verifyCommand(), a.inspectCommand(), a.recordCommand(), a.watchCommand(), a.reportCommand(), a.diffCommand(), a.policyCommand(), a.explainCommand(), a.versionCommand())
	return root
}

// helpTemplate shows examples first: most who ask for help look for the line
// to type.
const helpTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`

// usageTemplate is cobra's without the examples, for 80 columns.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{range flagGroups .LocalFlags}}
{{.Heading}}:
{{.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}
{{end}}`

func init() { cobra.AddTemplateFunc("flagGroups", flagGroups) }

// A flagGroup is flags under a heading of the help.
type flagGroup struct {
	Heading string
	*pflag.FlagSet
}

// groupOf is the annotation of a flag with its heading.
const groupOf = "distproof/group"

// underHeading puts those flags under a heading of the help that are under none.
func underHeading(f *pflag.FlagSet, heading string) {
	f.VisitAll(func(one *pflag.Flag) {
		if one.Annotations[groupOf] == nil {
			_ = f.SetAnnotation(one.Name, groupOf, []string{heading}) // it is there
		}
	})
}

// flagGroups returns the flags by their headings, in the order of the first of each.
func flagGroups(all *pflag.FlagSet) []flagGroup {
	var out []flagGroup
	all.VisitAll(func(one *pflag.Flag) {
		if one.Hidden {
			return
		}
		heading := "Flags"
		if group := one.Annotations[groupOf]; len(group) > 0 {
			heading = group[0]
		}
		i := slices.IndexFunc(out, func(g flagGroup) bool { return g.Heading == heading })
		if i < 0 {
			i = len(out)
			out = append(out, flagGroup{heading, pflag.NewFlagSet("", pflag.ContinueOnError)})
			out[i].SortFlags = all.SortFlags
		}
		out[i].AddFlag(one)
	})
	return out
}

// flagError words the errors of flags as all others are worded.
func flagError(cmd *cobra.Command, err error) error {
	hint := "see " + cmd.CommandPath() + " --help"
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usagef(hint, "--%s: %v", invalid.GetFlag().Name, wrongValue(invalid))
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := typo.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			hint = "did you mean --" + near + "?\n" + hint
		}
	}
	return usagef(hint, "%v", err)
}

// wrongValue says what is wrong with the value of a flag. Of what Go's own parsers
// say, only what concerns the user is left.
func wrongValue(invalid *pflag.InvalidValueError) error {
	value := invalid.GetValue()
	if invalid.GetFlag().Value.Type() == "duration" {
		return fmt.Errorf("%q is not a time such as 90s, 10m or 8h", value)
	}
	if number, ok := errors.AsType[*strconv.NumError](invalid); ok {
		switch {
		case number.Func == "ParseBool":
			return fmt.Errorf("%q is neither true nor false", value)
		case errors.Is(number, strconv.ErrRange):
			return fmt.Errorf("%q is out of range", value)
		case number.Func == "ParseUint" && strings.HasPrefix(value, "-"):
			return fmt.Errorf("%q is negative", value)
		}
		return fmt.Errorf("%q is not a whole number", value)
	}
	return invalid.Unwrap()
}
