package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The README's screen is what the program prints, from the beginning on.
// UPDATE_SCRIPTS=1 rewrites it with as many lines as it has.
func TestReadmeScreen(t *testing.T) {
	const (
		begin = "```\n$ distproof verify pcaps/mixed.pcap\n"
		end   = "[...]\n```\n"
	)
	t.Chdir("../..")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), begin)
	screen, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md has no screen between %q and %q", begin, end)
	}

	var stdout, stderr bytes.Buffer
	if code := run([]string{"verify", "pcaps/mixed.pcap"}, nil, &stdout, &stderr); code != exitViolated {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	lines := strings.SplitAfter(stdout.String(), "\n")
	want := strings.Join(lines[:min(strings.Count(screen, "\n"), len(lines))], "")
	if screen == want {
		return
	}
	if os.Getenv("UPDATE_SCRIPTS") == "" {
		t.Fatalf("the screen differs from the output (-README +output):\n%s", cmp.Diff(screen, want))
	}
	if err := os.WriteFile("README.md", []byte(before+begin+want+end+after), 0o666); err != nil {
		t.Fatal(err)
	}
}
