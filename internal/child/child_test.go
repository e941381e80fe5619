//go:build unix

package child

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs a shell script, and waits until it said that it is ready.
func start(t *testing.T, script string) (c *Command, rest *bufio.Reader) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	c, err = Start([]string{"/bin/sh", "-c", script}, Streams{Out: write})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.terminal = false // whatever the tests are run from
	t.Cleanup(c.Stop)
	t.Cleanup(func() { c.cmd.Process.Kill() })
	rest = bufio.NewReader(read)
	if line, err := rest.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c, rest
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestStreams(t *testing.T) {
	var out, errs bytes.Buffer
	c, err := Start([]string{"/bin/sh", "-c", "cat; echo oops >&2; exit 7"}, Streams{strings.NewReader("in"), &out, &errs})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.Wait(); text(err) != "exit status 7" || out.String() != "in" || errs.String() != "oops\n" {
		t.Errorf("%v, %q, %q", err, &out, &errs)
	}
}

// A daemon that keeps the output open does not keep the run waiting.
func TestDaemon(t *testing.T) {
	var out bytes.Buffer
	c, err := Start([]string{"/bin/sh", "-c", "sleep 600 & echo $!"}, Streams{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	err = c.Wait()
	if err != nil {
		t.Error(err)
	}
	var pid int
	for _, digit := range strings.TrimSpace(out.String()) {
		pid = pid*10 + int(digit-'0')
	}
	daemon, err := os.FindProcess(pid)
	if err != nil || pid == 0 {
		t.Fatalf("%q, %v", &out, err)
	}
	if err := daemon.Kill(); err != nil {
		t.Errorf("the daemon is gone: %v", err)
	}
}

func TestSignals(t *testing.T) {
	const obedient, stubborn = "trap 'echo got; exit 3' %; echo ready; while :; do sleep 0.02; done", "trap 'echo got' %; echo ready; while :; do sleep 0.02; done"
	tests := []struct {
		name     string
		signal   syscall.Signal
		number   string
		script   string
		terminal bool
		times    int
		want     string
		heard    string
	}{
		{"SIGTERM", syscall.SIGTERM, "TERM", obedient, false, 1, "exit status 3", "got\n"},
		{"SIGINT", syscall.SIGINT, "INT", obedient, false, 1, "exit status 3", "got\n"},
		{"SIGHUP", syscall.SIGHUP, "HUP", obedient, false, 1, "exit status 3", "got\n"},
		{"SIGTERM at a terminal", syscall.SIGTERM, "TERM", obedient, true, 1, "exit status 3", "got\n"},
		{"the second kills", syscall.SIGTERM, "TERM", stubborn, false, 2, "signal: killed", "got\n"},
		// The terminal itself would send them; here nobody does.
		{"typed three times", syscall.SIGINT, "INT", stubborn, true, 3, "signal: killed", ""},
	}
	ignored := signal.Ignored(syscall.SIGHUP)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.signal == syscall.SIGHUP && ignored {
				t.Skip("SIGHUP is ignored here, as below nohup: a shell cannot trap it then")
			}
			c, rest := start(t, strings.ReplaceAll(tt.script, "%", tt.number))
			c.terminal = tt.terminal
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			self, err := os.FindProcess(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			for i := range tt.times {
				if err := self.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
				for i < tt.times-1 && len(c.signals) > 0 { // one at a time: equal ones become one
					time.Sleep(time.Millisecond)
				}
				time.Sleep(100 * time.Millisecond)
			}
			select {
			case err = <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("the command runs still")
			}
			heard, _ := io.ReadAll(rest)
			if text(err) != tt.want || string(heard) != tt.heard {
				t.Errorf("%v, want %q; the command said %q, want %q", err, tt.want, heard, tt.heard)
			}
		})
	}
}

// TestAnotherSignal: who cancels a job sends one signal and then another, and both
// arrive.
func TestAnotherSignal(t *testing.T) {
	if signal.Ignored(os.Interrupt) {
		t.Skip("SIGINT is ignored here, as in the background of a script")
	}
	c, rest := start(t, "trap 'echo int' INT; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done")
	c.terminal = false
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if line, err := rest.ReadString('\n'); line != "int\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the command runs still")
	}
	if heard, _ := io.ReadAll(rest); text(err) != "exit status 3" || string(heard) != "term\n" {
		t.Errorf("%v; the command said %q", err, heard)
	}
}

// What is not passed on while the command runs is told of afterwards.
func TestSignalAfterwards(t *testing.T) {
	c, _ := start(t, "echo ready")
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	self, _ := os.FindProcess(os.Getpid())
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-c.Signals():
		if s != syscall.SIGTERM {
			t.Error(s)
		}
	case <-time.After(20 * time.Second):
		t.Error("no signal")
	}
}

func TestNoSuchProgram(t *testing.T) {
	c, err := Start([]string{"/no/such/program"}, Streams{})
	if err == nil {
		c.Stop()
		t.Fatal("started")
	}
	t.Logf("OK error: %v", err)
}
