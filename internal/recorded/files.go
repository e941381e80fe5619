package recorded

import (
	"path/filepath"
	"strings"
	"testing"
)

// Captures lists the bundled captures, and others where they are unless -short is
// given, for a package in a folder of the repository.
func Captures(tb testing.TB) []string {
	tb.Helper()
	files, _ := filepath.Glob("../pcaps/*.pcap")
	if len(files) == 0 {
		tb.Fatal("no captures")
	}
	if testing.Short() {
		return files
	}
	more, _ := filepath.Glob("../../shared/captures/*.pcap")
	return append(files, more...)
}

// Difference shows where two texts differ first.
func Difference(got, want string) string {
	x, y := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range x {
		if i >= len(y) || x[i] != y[i] {
			other := "(nothing)"
			if i < len(y) {
				other = y[i]
			}
			return x[i] + "\n  want " + other
		}
	}
	return "(the end)"
}
