package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// TestOwner: only root becomes somebody else, and does so unless told otherwise.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, tt := range []struct {
		args    []string
		sandbox string
		uid     int // -1: nobody else
		gid     int
		err     bool
	}{
		{nil, sandboxAuto, 65534, 65534, false},
		{nil, sandboxOff, -1, -1, false},
		{[]string{"--user", "daemon"}, sandboxAuto, 1, 1, false},
		{[]string{"--user", "1234"}, sandboxOff, 1234, 1234, false},
		{[]string{"--user", "1234:99"}, sandboxRequired, 1234, 99, false},
		{[]string{"--user", "no such user"}, sandboxAuto, -1, -1, true},
		{[]string{"--user", "-1"}, sandboxAuto, -1, -1, true},
	} {
		var s confineSettings
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		confineFlags(f, &s)
		if err := f.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		u, err := s.owner(tt.sandbox)
		uid, gid := -1, -1
		if u != nil {
			uid, gid = u.UID, u.GID
		}
		if uid != tt.uid || gid != tt.gid || (err != nil) != tt.err {
			t.Errorf("%q, %s: %d:%d, %v, want %d:%d", tt.args, tt.sandbox, uid, gid, err, tt.uid, tt.gid)
		}
	}
}

// TestAgain: a file's folder comes with it only if it is the file's own.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var box sandbox
	box.again(own)
	box.again("/etc/passwd")
	if want := []string{own, dir, "/etc/passwd"}; !slices.Equal(box.read, want) {
		t.Errorf("%q, want %q", box.read, want)
	}
}
