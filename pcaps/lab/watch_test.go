//go:build linux && lab

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"distproof/report"
	"distproof/watch"
)

// TestWatchConfined: a watch that was started as root sees nodes connect without
// any right that it does not need, keeps the proof, also when it is killed, and
// cannot open /etc/passwd. `make labtest` runs it.
func TestWatchConfined(t *testing.T) {
	t.Parallel()
	l := newRecordLab(t, testPKI(t))
	program := buildProgram(t)
	w := l.watch(t, program, l.net.bridge(), "br0", "--promiscuous")
	w.until("started")
	w.checkRights()

	mutual := nodeSpec{name: "billing", host: 2, tls: both(2, "1.3")}
	l.connect(t, clientSpec{nodeSpec{name: "orders", host: 1, tls: both(1, "")}, mutual})
	w.untilVerdict("mutual")
	l.connect(t, clientSpec{nodeSpec{name: "shop", host: 1}, nodeSpec{name: "legacy", host: 3}})
	w.untilVerdict("cleartext")

	// The policy is what it reads again: it tries to read whatever is there.
	w.replacePolicy("/etc/passwd")
	if e := w.until("policy"); !strings.Contains(e.Message, "permission denied") {
		t.Errorf("it could read /etc/passwd: %s", e.Message)
	}
	w.replacePolicy(w.policy + ".new")
	if e := w.until("policy"); !strings.Contains(e.Message, "read anew") {
		t.Error(e.Message)
	}
	w.checkRights()

	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var doc report.Document
	out, err := exec.Command(program, "inspect", "-o", "json", w.saved).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	if v := doc.Summary.Distribution; v.Mutual != 1 || v.Cleartext != 1 || v.Total() != 2 {
		t.Errorf("saved: %+v", v)
	}
}

// A labWatch is a watch of the bridge between the nodes.
type labWatch struct {
	*testing.T
	cmd           *exec.Cmd
	events        chan watch.Event
	policy, saved string
	limit         time.Duration // of what it is waited for
}

// watch starts a watch of an interface in a namespace.
func (l *recordLab) watch(t *testing.T, program, namespace, iface string, more ...string) *labWatch {
	t.Helper()
	dir, err := os.MkdirTemp("", "distproof") // where the user may look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := &labWatch{T: t, events: make(chan watch.Event, 1000), limit: commandLimit, policy: filepath.Join(dir, "conf", "policy.yaml"), saved: filepath.Join(dir, "saved")}
	if err := os.Mkdir(filepath.Dir(w.policy), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{w.policy, w.policy + ".new"} {
		if err := os.WriteFile(path, []byte("version: 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.cmd = exec.Command(program, append([]string{
		"watch", "--netns", namespace, "-i", iface, "--sandbox", "required",
		"-o", "ndjson", "--policy", w.policy, "--save", w.saved, "--listen", "127.0.0.1:0",
	}, more...)...)
	w.cmd.Stderr = os.Stderr
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	go func() {
		defer close(w.events)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var e watch.Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				w.events <- e
			}
		}
	}()
	return w
}

// until waits for an event.
func (w *labWatch) until(kind string) watch.Event {
	w.Helper()
	return w.wait(kind, func(e watch.Event) bool { return e.Event == kind })
}

// untilVerdict waits for a connection with the verdict.
func (w *labWatch) untilVerdict(verdict string) {
	w.Helper()
	w.wait(verdict, func(e watch.Event) bool {
		return e.Connection != nil && e.Connection.Verdict != nil && *e.Connection.Verdict == verdict
	})
}

func (w *labWatch) wait(what string, is func(watch.Event) bool) watch.Event {
	w.Helper()
	limit := time.After(w.limit)
	for {
		select {
		case e, ok := <-w.events:
			if !ok {
				w.Fatalf("the watch ended before it said %q", what)
			}
			w.Log(e.Message)
			if is(e) {
				return e
			}
		case <-limit:
			w.Fatalf("it does not say %q", what)
		}
	}
}

// replacePolicy puts a link in the place of the policy, and has it read again.
func (w *labWatch) replacePolicy(target string) {
	w.Helper()
	link := w.policy + ".link"
	if err := os.Symlink(target, link); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(link, w.policy); err != nil {
		w.Fatal(err)
	}
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		w.Fatal(err)
	}
}

// checkRights reads what the kernel says of every thread.
func (w *labWatch) checkRights() {
	w.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.cmd.Process.Pid))
	if err != nil || len(tasks) < 2 {
		w.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			w.Fatal(err)
		}
		for _, want := range []string{
			"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000",
			"Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "NoNewPrivs:\t1", "Seccomp:\t2",
		} {
			if !strings.Contains(string(status), "\n"+want+"\n") {
				w.Errorf("%s: not %q", task, want)
			}
		}
	}
}
