package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"distproof/internal/formatcheck"
	"distproof/report"
	"distproof/watch"
)

const eventSchemaFile = "../../report/schema/distproof.event.v1.schema.json"

// A watcher is a watch that writes its events.
type watcher struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr lockedBuffer
	events chan watch.Event
}

func startWatch(t *testing.T, stdin io.Reader, args ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, events: make(chan watch.Event, 1000)}
	w.cmd = exec.Command("distproof", append([]string{"watch", "-o", "ndjson"}, args...)...)
	w.cmd.Stdin, w.cmd.Stderr = stdin, &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { w.cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop(); w.cmd.Process.Kill() })
	go func() {
		defer close(w.events)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e watch.Event
			if err := errors.Join(json.Unmarshal(lines.Bytes(), &e), formatcheck.JSON(lines.Bytes(), eventSchemaFile)); err != nil {
				t.Errorf("%v: %s", err, lines.Bytes())
			}
			w.events <- e
		}
	}()
	return w
}

// await waits for an event of a kind, with words in its message.
func (w *watcher) await(kind string, words ...string) watch.Event {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case e, more := <-w.events:
			if !more {
				w.t.Fatalf("no event %s %q: %s", kind, words, &w.stderr)
			}
			if e.Event == kind && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(e.Message, word) }) {
				return e
			}
		case <-deadline:
			w.t.Fatalf("no event %s %q: %s", kind, words, &w.stderr)
		}
	}
}

// end signals, and returns the exit code and what was said.
func (w *watcher) end(s os.Signal) (code, stderr string) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Fatal(err)
	}
	w.await(watch.EventStopped)
	return codeOf(w.cmd.Wait()), w.stderr.String()
}

// What comes through an interface is told when it comes; a signal ends it, with
// the report of what was replayed, and the exit code of verify.
func TestWatch(t *testing.T) {
	for _, tt := range []struct{ pcap, code, finding string }{
		{"mutual_tls13.pcap", "0", ""},
		{"mixed.pcap", "1", "DP101"},
	} {
		t.Run(tt.pcap, func(t *testing.T) {
			r := newRecorder(t)
			openUp(t, r.dir)
			file := r.path("report.json")
			w := startWatch(t, nil, "--netns", r.namespace, "-i", "left", "-o", "json="+file)
			w.await(watch.EventStarted)
			r.run1(r.replay(tt.pcap))
			w.await(watch.EventOpened)
			if tt.finding != "" {
				if e := w.await(watch.EventFinding, tt.finding); e.Severity != "critical" || e.Finding == nil {
					t.Errorf("%+v", e)
				}
			}
			code, stderr := w.end(unix.SIGTERM)
			if code != tt.code || !strings.Contains(lastLine(stderr), "exit code "+tt.code) {
				t.Errorf("exit code %s: %s", code, stderr)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got report.Document
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			want := documentOfFile(t, filepath.Join(pcapsDir, tt.pcap))
			if diff := cmp.Diff(want.Summary, got.Summary); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An interface that was down, or away, and is back leaves nothing unproven.
func TestWatchInterfaceBack(t *testing.T) {
	r := newRecorder(t)
	ip := func(line string) { r.run1(append([]string{"ip", "-n", r.namespace}, strings.Fields(line)...)) }
	w := startWatch(t, nil, "--netns", r.namespace, "-i", "left")
	w.await(watch.EventStarted)
	r.run1(r.replay("mutual_tls12.pcap"))
	w.await(watch.EventOpened)
	ip("link set left down")
	w.await(watch.EventFinding, "DP302", "the interface left went down")
	ip("link set left up")
	w.await(watch.EventResolved, "DP302")
	ip("link del left")
	w.await(watch.EventFinding, "DP302", "the interface left went ") // down, then away
	ip("link add name left mtu 65535 type veth peer name right mtu 65535")
	for _, name := range []string{"left", "right"} {
		ip("link set " + name + " addrgenmode none promisc on up")
	}
	w.await(watch.EventResolved, "DP302")
	r.run1(r.replay("mutual_tls13.pcap"))
	w.await(watch.EventOpened)
	if code, stderr := w.end(unix.SIGTERM); code != "0" {
		t.Errorf("exit code %s: %s", code, stderr)
	}
}

// openUp lets others use a folder: it is not root who goes on.
func openUp(t *testing.T, dir string) {
	t.Helper()
	for path, mode := range map[string]os.FileMode{dir: 0o777, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// piped returns the reading end of a pipe, for a program that is started with it.
// send, called then, writes a capture into the pipe, which stays open.
func piped(t *testing.T, pcap string) (in *os.File, send func()) {
	t.Helper()
	capture, err := os.ReadFile(filepath.Join(pcapsDir, pcap))
	if err != nil {
		t.Fatal(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return in, func() {
		t.Helper()
		in.Close()
		if _, err := out.Write(capture); err != nil {
			t.Fatal(err)
		}
	}
}

// run1 runs a command that must succeed.
func (r *recorder) run1(argv []string) {
	r.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

// SIGHUP has the policy read again; a wrong one is refused.
func TestWatchReadsThePolicyAgain(t *testing.T) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, unix.SIGHUP) // below nohup, the watch would ignore it
	defer signal.Stop(heard)
	dir := t.TempDir()
	openUp(t, dir)
	policy := filepath.Join(dir, "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(policy+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(policy+".new", policy); err != nil {
			t.Fatal(err)
		}
	}
	write(builtinText(t, "mutual"))
	in, send := piped(t, "oneway_tls13.pcap")
	w := startWatch(t, in, "--policy", policy, "-")
	send()
	w.await(watch.EventFinding, "DP103")
	write("nonsense: true\n")
	w.hangUp()
	w.await(watch.EventPolicy, "not taken")
	write(builtinText(t, "observe"))
	w.hangUp()
	w.await(watch.EventPolicy, "read anew")
	if code, stderr := w.end(unix.SIGINT); code != "0" || !strings.Contains(stderr, "the policy is refused, the one before stays") {
		t.Errorf("exit code %s: %s", code, stderr)
	}
}

func (w *watcher) hangUp() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(unix.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
}

// builtinText is the text of a built-in policy.
func builtinText(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("distproof", "policy", "show", "--policy", "builtin:"+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
