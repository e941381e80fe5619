package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"distproof/report"
)

// What the bundled captures lead to fits a terminal that nobody resized, the
// lines of configuration too.
func TestScreensFit(t *testing.T) {
	captures, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil || len(captures) == 0 {
		t.Fatal(err, "no captures")
	}
	for _, command := range []string{"verify", "inspect"} {
		for _, path := range captures {
			var stdout, stderr bytes.Buffer
			if code := run([]string{command, path}, nil, &stdout, &stderr); code == exitCouldNotRun {
				t.Fatalf("%s %s: %s", command, path, &stderr)
			}
			for line := range strings.Lines(stdout.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > report.MinWidth {
					t.Errorf("%s %s: line of %d columns: %s", command, path, n, line)
				}
			}
		}
	}
}
