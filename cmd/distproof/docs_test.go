package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// pages returns the documents of the repository by their paths from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md", "pcaps/*.md", "testdata/*.md"} {
		paths, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no documents, %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = string(text)
		}
	}
	return out
}

var (
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	linkTo    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInName = regexp.MustCompile(`[^\w\- ]`)
)

// anchors are the names by which the headings of a page are linked.
func anchors(page string) []string {
	var out []string
	for _, h := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(page, ""), -1) {
		out = append(out, strings.ReplaceAll(notInName.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return out
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for from, text := range all {
		for _, l := range linkTo.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
			path, anchor, _ := strings.Cut(l[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			to := from
			if path != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(from), path))
			}
			if _, err := os.Stat(filepath.Join("../..", to)); err != nil {
				t.Errorf("%s links to %s: %v", from, l[1], err)
			} else if anchor != "" && !slices.Contains(anchors(all[to]), anchor) {
				t.Errorf("%s links to %s: no such heading", from, l[1])
			}
		}
	}
}

// The flags in documents are ours, or those of the programs that are named here.
func TestDocumentedFlagsExist(t *testing.T) {
	known := map[string]string{
		"--abort-on-container-exit": "docker compose", "--exit-code-from": "docker compose", "--cap-add": "docker",
		"--image": "kubectl", "--target": "kubectl", "--net": "unshare", "--cacert": "curl", "--erl": "elixir",
		"--sname": "rebar3", "--inject-secrets": "editcap", "--discard-all-secrets": "editcap", "--help": "all",
	}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = cmd.Name() })
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(new(app).rootCommand())
	flag := regexp.MustCompile(`(?:^|[\s` + "`" + `("\[])(--[a-z][a-z-]+)`)
	for path, text := range pages(t) {
		for _, f := range flag.FindAllStringSubmatch(text, -1) {
			if known[f[1]] == "" {
				t.Errorf("%s: %s is a flag of no command", path, f[1])
			}
		}
	}
}
