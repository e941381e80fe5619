package main

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	"distproof/capture/link"
	"distproof/internal/confine"
)

// TestSaveFlags: what makes no sense is refused before anything is opened.
func TestSaveFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"--save", filepath.Join(dir, "new")}, true},
		{[]string{"--save", dir, "--save-size", "2", "--save-files", "1", "--save-age", "720h"}, true},
		{[]string{"--save", filepath.Join(dir, "no", "parent")}, false},
		{[]string{"--save", file}, false},
		{[]string{"--save", dir, "--save-size", "3", "--save-files", "2"}, false},
		{[]string{"--save", dir, "--save-files", "0"}, false},
		{[]string{"--save", dir, "--save-age", "-1h"}, false},
	} {
		var s saveSettings
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		saveFlags(f, &s)
		if err := f.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		if k, err := s.open(nil, link.Options{}, slog.New(slog.DiscardHandler)); (err == nil) != tt.ok || (k != nil) != tt.ok {
			t.Errorf("%q: %v", tt.args, err)
		}
	}
}

// TestSaveFolder: a new folder is for the one who goes on alone; one that is
// there stays as it is.
func TestSaveFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "saved")
	s := saveSettings{dir: dir, size: 32, files: 16}
	var owner *confine.User
	if os.Geteuid() == 0 {
		owner = &confine.User{Name: "somebody", UID: 1234, GID: 99}
	}
	if _, err := s.open(owner, link.Options{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if f, err := os.Open(dir); err != nil {
		t.Fatal(err)
	} else {
		f.Close()
	}
}
