package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const unitFile = "../../deploy/distproof-watch.service"

// TestUnit: the flags in the systemd unit exist, and its values make sense.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", "")
	line := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.*)$`).FindStringSubmatch(joined)
	if line == nil {
		t.Fatal("no ExecStart")
	}
	a := &app{}
	cmd, args, err := a.rootCommand().Find(strings.Fields(line[2]))
	if err != nil || cmd.Name() != "watch" {
		t.Fatalf("%s, %v", cmd.Name(), err)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Error(err)
	}
	if rest := cmd.Flags().Args(); len(rest) > 0 {
		t.Errorf("arguments that are no flags: %q", rest)
	}
	// 2 is what a start with wrong flags ends with: that is no success.
	if !strings.Contains(joined, "\nSuccessExitStatus=1 3\n") {
		t.Error("SuccessExitStatus is not 1 3")
	}
}

// TestUnitOfSystemd has systemd look at the unit: what it does not know, and how
// much a service could do that somebody took over.
func TestUnitOfSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(unitFile))
	there := strings.ReplaceAll(string(text), "/usr/local/bin/distproof", os.Args[0])
	if err := os.WriteFile(copied, []byte(there), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	// In tenths. 10 is that of a service without any of it.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", copied).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
