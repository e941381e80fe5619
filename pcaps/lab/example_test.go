//go:build linux && lab

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distproof/report"
)

// TestExample runs examples/three-nodes in a network namespace of its own, by its
// policy. `make labtest` runs it.
func TestExample(t *testing.T) {
	t.Parallel()
	if err := checkNeeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	program := buildProgram(t)
	read := func(path string) *report.Document {
		t.Helper()
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		doc, _, err := report.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	for _, tt := range []struct {
		name, plain string
		code        int
		reason      string
	}{
		{"mutual", "", 0, "exit code 0: the policy holds: "},
		{"plain", "1", 1, "exit code 1: the policy is violated: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			saved := filepath.Join(t.TempDir(), "report.json")
			script := `ip link set lo up; exec "$1" record -i lo -o table -o "json=$2" -- ./cluster.sh`
			cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", script, "sh", program, saved)
			cmd.Dir = filepath.Join("..", "..", "examples", "three-nodes")
			cmd.Env = append(os.Environ(), "PLAIN="+tt.plain)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.reason) {
				t.Fatalf("exit code %d, want %d (%v)\n%s", code, tt.code, err, out)
			}
			doc := read(saved)
			clear := doc.Summary.Distribution.Cleartext
			if doc.Policy != "distproof.yaml" || doc.Summary.Distribution.Mutual < 3 || (clear > 0) != (tt.plain != "") {
				t.Errorf("policy %q, %+v\n%s", doc.Policy, doc.Summary.Distribution, out)
			}
		})
	}
}
