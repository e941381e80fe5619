package main

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"testing"
)

// An interrupt while packets are piped in ends nothing: the report comes when
// the input ends.
func TestInterruptWaitsForTheInput(t *testing.T) {
	in, out := io.Pipe()
	go func() {
		out.Write(pcapHeader())
		// When somebody reads, the preparations for interrupts are made.
		out.Write(record(arp()))
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
		out.Write(record(arp()))
		out.Close()
	}()
	var stdout, stderr bytes.Buffer
	if code := run([]string{"verify", "-q", "-"}, in, &stdout, &stderr); code != exitInconclusive {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if !bytes.Contains(stdout.Bytes(), []byte("2 packets")) {
		t.Errorf("the report misses packets:\n%s", &stdout)
	}
}
