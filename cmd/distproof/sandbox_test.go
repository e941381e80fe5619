package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A guarded input must not be read before the lock is shut.
type guarded struct {
	io.Reader
	t      *testing.T
	locked *bool
}

func (g guarded) Read(p []byte) (int, error) {
	if !*g.locked {
		g.t.Error("read before the process was locked down")
	}
	return g.Reader.Read(p)
}

// TestLockDownComesFirst: every command that reads what others wrote gives up
// its rights before, and keeps those that it needs.
func TestLockDownComesFirst(t *testing.T) {
	dir := t.TempDir()
	capture, saved := pcapsDir+"/plain.pcap", filepath.Join(dir, "saved.json")
	link, folder := filepath.Join(dir, "in", "link.pcap"), filepath.Join(dir, "in")
	absolute, err := filepath.Abs(capture)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(absolute, link); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	run([]string{"verify", "-q", "-o", "json=" + saved, capture}, nil, &out, &out)
	if out.Len() > 0 {
		t.Fatal(out.String())
	}
	packets, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		args  []string
		stdin []byte
		want  sandbox
	}{
		{"verify", []string{"verify", capture}, nil, sandbox{read: []string{capture}}},
		{"a folder with a link", []string{"inspect", folder}, nil, sandbox{read: []string{folder, link}}},
		{"standard input", []string{"inspect", "-"}, packets, sandbox{}},
		{"outputs", []string{"verify", "-o", "json=" + saved, "-o", "markdown=/dev/null", capture}, nil,
			sandbox{read: []string{capture}, replace: []string{dir}, write: []string{"/dev/null"}}},
		{"evidence", []string{"verify", "--evidence", filepath.Join(dir, "new"), capture}, nil,
			sandbox{read: []string{capture}, fill: []string{dir}}},
		{"report", []string{"report", saved}, nil, sandbox{read: []string{saved}}},
		{"report of standard input", []string{"report", "-"}, report, sandbox{}},
		{"explain", []string{"explain", "--finding", saved + "#1"}, nil, sandbox{read: []string{saved}}},
		{"explain standard input", []string{"explain", "--finding", "-#1"}, report, sandbox{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var boxes []sandbox
			locked := false
			var stdout, stderr bytes.Buffer
			a := &app{stdin: guarded{bytes.NewReader(tt.stdin), t, &locked}, stdout: &stdout, stderr: &stderr}
			a.restrict = func(b *sandbox, _ bool) error {
				boxes, locked = append(boxes, *b), true
				return nil
			}
			if code := a.run(tt.args); code == exitCouldNotRun {
				t.Fatalf("%s", &stderr)
			}
			if diff := cmp.Diff([]sandbox{tt.want}, boxes, cmp.AllowUnexported(sandbox{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
