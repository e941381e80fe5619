package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// Nobody types packets.
func TestTerminalIsNoInput(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	defer terminal.Close()
	var stdout, stderr bytes.Buffer
	if code := run([]string{"verify", "-"}, terminal, &stdout, &stderr); code != exitCouldNotRun {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "standard input is a terminal") {
		t.Errorf("stderr: %s", &stderr)
	}
}
