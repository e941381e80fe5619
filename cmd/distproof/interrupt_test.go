package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// An interrupt while packets are piped in ends nothing: the report comes when
// the input ends.
func TestInterruptWaitsForTheInput(t *testing.T) {
	cmd := exec.Command("distproof", "verify", "-") // the test binary, put there by testscript.Main
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	// More than a pipe holds: when it is written, the input is being read, and
	// the preparations for interrupts are made.
	packets := 1 + (1<<20)/len(record(arp()))
	for _, data := range [][]byte{pcapHeader(), bytes.Repeat(record(arp()), packets)} {
		if _, err := in.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// It says that it was interrupted, and what it waits for.
	stderr := bufio.NewReader(errs)
	if line, err := stderr.ReadString('\n'); !strings.Contains(line, "waiting for the end of the input") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := in.Write(record(arp())); err != nil {
		t.Fatal(err)
	}
	in.Close()
	line, err := stderr.ReadString('\n')
	if err := cmd.Wait(); codeOf(err) != "3" {
		t.Errorf("exit code %s: %s", codeOf(err), line)
	}
	if err != nil || !bytes.Contains(stdout.Bytes(), []byte(" packets")) {
		t.Errorf("%q, %v; the report:\n%s", line, err, &stdout)
	}
}
