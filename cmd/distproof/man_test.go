package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manFolder has the man pages, a page for each command.
const manFolder = "../../man"

// The man pages say what --help says; `make man` writes them anew.
func TestManPages(t *testing.T) {
	root := new(app).rootCommand()
	pages := map[string][]byte{}
	manPages(root, pages)
	if os.Getenv("UPDATE_MAN") != "" {
		for name, page := range pages {
			if err := os.WriteFile(filepath.Join(manFolder, name), page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(manFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pages[f.Name()] == nil {
			t.Errorf("man/%s is of no command: remove it", f.Name())
		}
	}
	for name, page := range pages {
		got, err := os.ReadFile(filepath.Join(manFolder, name))
		if err != nil {
			t.Errorf("%v: run make man", err)
			continue
		}
		if diff := cmp.Diff(string(got), string(page)); diff != "" {
			t.Errorf("man/%s is not current, run make man (-is +should be):\n%s", name, diff)
		}
	}
}

// manPages makes the pages of a command and of those below it, by file name.
func manPages(cmd *cobra.Command, pages map[string][]byte) {
	if !cmd.IsAvailableCommand() && cmd.HasParent() {
		return
	}
	pages[manName(cmd)+".1"] = md2man.Render(manSource(cmd))
	for _, c := range cmd.Commands() {
		manPages(c, pages)
	}
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manSource is the page in the Markdown that md2man reads. It has no date: a
// page changes when the command does.
func manSource(cmd *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%% %q 1 \"\" \"distproof\" \"distproof\"\n\n", strings.ToUpper(manName(cmd)))
	fmt.Fprintf(&b, "# NAME\n\n%s \\- %s\n\n", manName(cmd), manText(cmd.Short))
	use := cmd.UseLine()
	if !cmd.HasParent() {
		use = cmd.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(&b, "# SYNOPSIS\n\n%s\n\n# DESCRIPTION\n\n%s\n", manText(use), manBlocks(cmd.Long))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("# COMMANDS\n\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(&b, "**%s**(1)\n:   %s\n\n", manText(manName(c)), manText(c.Short))
			}
		}
	}
	if cmd.HasAvailableLocalFlags() {
		b.WriteString("# OPTIONS\n\n")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { manFlag(&b, f) })
	}
	if cmd.HasExample() {
		b.WriteString("# EXAMPLES\n\n" + manLiteral(cmd.Example))
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, "# SEE ALSO\n\n**%s**(1)\n", manText(manName(cmd.Parent())))
	}
	return b.Bytes()
}

func manFlag(b *bytes.Buffer, f *pflag.Flag) {
	if f.Hidden {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	name := "**--" + f.Name + "**"
	if f.Shorthand != "" {
		name = "**-" + f.Shorthand + "**, " + name
	}
	if value != "" {
		name += " " + manText(value)
	}
	fmt.Fprintf(b, "%s\n:   %s\n\n", name, manText(usage))
}

// manBlocks turns the text of a command into paragraphs, and what is indented in
// it into literal lines.
func manBlocks(text string) string {
	var b strings.Builder
	literal := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "  ")
		if indented != literal && line != "" {
			b.WriteString("\n")
			literal = indented
		}
		if indented {
			b.WriteString("    " + strings.TrimPrefix(line, "  ") + "\n")
			continue
		}
		b.WriteString(manText(line) + "\n")
	}
	return b.String()
}

func manLiteral(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ") + "\n")
	}
	return b.String() + "\n"
}

// manText escapes what Markdown would take for markup.
func manText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "<", `\<`, "[", `\[`, "]", `\]`, "#", `\#`, "|", `\|`).Replace(s)
}

// Completion knows the formats and the rules.
func TestCompletion(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"verify", "-o", ""}, "sarif\n"},
		{[]string{"diff", "-o", ""}, "table\njson\n"},
		{[]string{"verify", "--color", ""}, "never\n"},
		{[]string{"explain", "DP10"}, "DP101\tcleartext distribution\n"},
		{[]string{"di"}, "diff\tCompare two saved reports"},
	}
	for _, test := range tests {
		var out, errs bytes.Buffer
		code := run(append([]string{"__complete"}, test.args...), strings.NewReader(""), &out, &errs)
		if code != 0 || !strings.Contains(out.String(), test.want) {
			t.Errorf("%q: exit code %d: %s%s", test.args, code, out.String(), errs.String())
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out, errs bytes.Buffer
		if code := run([]string{"completion", shell}, strings.NewReader(""), &out, &errs); code != 0 || !strings.Contains(out.String(), "distproof") {
			t.Errorf("completion %s: exit code %d: %s", shell, code, errs.String())
		}
	}
}
