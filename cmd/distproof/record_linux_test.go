package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"distproof/capture"
	"distproof/report"
)

// replayVariable makes the test binary send the packets of a capture through an
// interface: "INTERFACE FILE".
const replayVariable = "DISTPROOF_TEST_REPLAY"

func init() {
	name, file, ok := strings.Cut(os.Getenv(replayVariable), " ")
	if !ok {
		return
	}
	if err := replay(name, file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("replayed")
	os.Exit(0)
}

func replay(name, file string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	src, err := capture.Open([]string{file}, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	for {
		var p capture.Packet
		err := src.Next(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = unix.Sendto(fd, p.Data, 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
		}
		if err != nil {
			return err
		}
	}
}

// A recorder runs record in a network namespace with two connected interfaces,
// left and right, and nothing else in it.
type recorder struct {
	t         *testing.T
	namespace string
	dir       string
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW: run as root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	r := &recorder{t, fmt.Sprintf("distproof-test-%d-%d", os.Getpid(), time.Now().UnixNano()%1e6), t.TempDir()}
	ip := func(line string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	if out, err := exec.Command("ip", "netns", "add", r.namespace).CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("not permitted")) {
			t.Skip("needs CAP_SYS_ADMIN to make a network namespace")
		}
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { ip("netns del " + r.namespace) })
	in := "-n " + r.namespace + " "
	ip(in + "link add name left mtu 65535 type veth peer name right mtu 65535")
	for _, name := range []string{"left", "right"} {
		ip(in + "link set " + name + " addrgenmode none")
		ip(in + "link set " + name + " promisc on")
		ip(in + "link set " + name + " up")
	}
	return r
}

func (r *recorder) path(name string) string { return filepath.Join(r.dir, name) }

// replay is the command that sends the packets of a bundled capture.
func (r *recorder) replay(pcap string) []string {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	file, err := filepath.Abs(filepath.Join(pcapsDir, pcap))
	if err != nil {
		r.t.Fatal(err)
	}
	return []string{"ip", "netns", "exec", r.namespace, "env", replayVariable + "=right " + file, self}
}

func (r *recorder) record(args, command []string) (code, stdout, stderr string) {
	args = append([]string{"record", "--netns", r.namespace, "--settle", "300ms"}, append(args, append([]string{"--"}, command...)...)...)
	return r.run(args...)
}

func (r *recorder) run(args ...string) (code, stdout, stderr string) {
	r.t.Helper()
	cmd := exec.Command("distproof", args...) // the test binary, put there by testscript.Main
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return codeOf(err), out.String(), errs.String()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// What was recorded is judged as the capture is that was replayed; and the saved
// file has every packet, so that verify says the same of it, to the byte.
func TestRecord(t *testing.T) {
	tests := []struct {
		pcap, code, words string
	}{
		{"mutual_tls13.pcap", "0", "exit code 0: the policy holds"},
		{"plain.pcap", "1", "exit code 1: the policy is violated"},
		{"oneway_tls13.pcap", "1", "exit code 1: the policy is violated"},
		{"epmd_only.pcap", "3", "exit code 3: not proven"},
		{"vxlan_mutual_tls13.pcap", "0", "exit code 0: the policy holds"},
		{"mixed.pcap", "1", "exit code 1: the policy is violated"},
	}
	for _, tt := range tests {
		t.Run(tt.pcap, func(t *testing.T) {
			r := newRecorder(t)
			saved := r.path("saved.pcapng")
			code, stdout, stderr := r.record([]string{"-i", "left", "-o", "json", "--save", saved}, r.replay(tt.pcap))
			if code != tt.code || !strings.HasPrefix(lastLine(stderr), tt.words) {
				t.Errorf("exit code %s: %s", code, stderr)
			}
			output, document, _ := strings.Cut(stdout, "\n")
			if output != "replayed" {
				t.Errorf("the command said %q", output)
			}
			_, again, _ := r.run("verify", "-o", "json", saved)
			if diff := cmp.Diff(again, document); diff != "" {
				t.Errorf("verify says otherwise of what was saved:\n%s", diff)
			}
			var got report.Document
			if err := json.Unmarshal([]byte(document), &got); err != nil {
				t.Fatal(err)
			}
			want := documentOfFile(t, filepath.Join(pcapsDir, tt.pcap))
			if diff := cmp.Diff(want.Summary, got.Summary); diff != "" {
				t.Error(diff)
			}
			if got.Inputs[0].Dropped != 0 || got.Inputs[0].Path != saved {
				t.Errorf("%+v", got.Inputs[0])
			}
		})
	}
}

// On all interfaces packets are there as often as they pass one.
func TestRecordAny(t *testing.T) {
	r := newRecorder(t)
	code, stdout, stderr := r.record([]string{"-i", "any", "-o", "json"}, r.replay("mutual_tls12.pcap"))
	_, document, _ := strings.Cut(stdout, "\n")
	var got report.Document
	if err := json.Unmarshal([]byte(document), &got); err != nil {
		t.Fatal(err)
	}
	want := documentOfFile(t, filepath.Join(pcapsDir, "mutual_tls12.pcap"))
	if diff := cmp.Diff(want.Summary, got.Summary); diff != "" || code != "0" {
		t.Errorf("exit code %s: %s\n%s", code, stderr, diff)
	}
	if in := got.Inputs[0]; in.Path != "any" || in.Format != "live" || in.Packets != 2*want.Inputs[0].Packets {
		t.Errorf("%+v; there are %d packets", in, want.Inputs[0].Packets)
	}
}

// A command that fails is told of, and hides nothing.
func TestRecordFailure(t *testing.T) {
	r := newRecorder(t)
	command := append([]string{"sh", "-c", `"$@"; exit 7`, "sh"}, r.replay("plain.pcap")...)
	code, stdout, stderr := r.record([]string{"-i", "left"}, command)
	if code != "2" || !strings.HasPrefix(lastLine(stderr), "exit code 2: the command failed: exit status 7; while it ran: the policy is violated: ") {
		t.Errorf("exit code %s: %s", code, stderr)
	}
	if !strings.HasPrefix(stdout, "replayed\n") || !strings.Contains(stdout, "FAIL: ") {
		t.Errorf("no report:\n%s", stdout)
	}
	// The same, with nothing to see.
	code, _, stderr = r.record([]string{"-i", "left", "--exit-zero", "-q"}, []string{"false"})
	if code != "2" || stderr != "error: the command failed: exit status 1\n" {
		t.Errorf("exit code %s: %s", code, stderr)
	}
	code, stdout, stderr = r.record([]string{"-i", "left"}, []string{"true"})
	if code != "3" || !strings.Contains(stdout, "left: live, 0 packets") {
		t.Errorf("exit code %s: %s%s", code, stdout, stderr)
	}
	code, _, stderr = r.record([]string{"-i", "left"}, []string{"sh", "-c", "kill -9 $$"})
	if code != "2" || !strings.Contains(stderr, "the command failed: signal: killed; while it ran: not proven") {
		t.Errorf("exit code %s: %s", code, stderr)
	}
}

// Packets that cannot be saved are told of, and nothing else is hidden.
func TestRecordUnsaved(t *testing.T) {
	r := newRecorder(t)
	command := append([]string{"sh", "-c", `"$@"; exit 7`, "sh"}, r.replay("plain.pcap")...)
	code, stdout, stderr := r.record([]string{"-i", "left", "--save", "/dev/full"}, command)
	if code != "2" || !strings.Contains(stderr, "record: the command failed: exit status 7\n") || !strings.HasPrefix(lastLine(stderr), "error: the packets are not saved: cannot write /dev/full: no space left") {
		t.Errorf("exit code %s: %s", code, stderr)
	}
	if !strings.Contains(stdout, "FAIL: ") {
		t.Errorf("no report:\n%s", stdout)
	}
}

// Packets that were lost leave no proof.
func TestRecordLoss(t *testing.T) {
	r := newRecorder(t)
	saved := r.path("saved.pcapng")
	command := []string{"sh", "-c", `"$@"; ip -n ` + r.namespace + " link set left down", "sh"}
	code, stdout, stderr := r.record([]string{"-i", "left", "--save", saved}, append(command, r.replay("mutual_tls13.pcap")...))
	if code != "3" || !strings.Contains(stderr, "the interface left went down") || !strings.Contains(stdout, "DP302") {
		t.Errorf("exit code %s: %s%s", code, stdout, stderr)
	}
	if code, _, _ = r.run("verify", saved); code != "3" {
		t.Errorf("exit code %s for what was saved", code)
	}
}

// Evidence is made from what was saved.
func TestRecordEvidence(t *testing.T) {
	r := newRecorder(t)
	code, _, stderr := r.record([]string{"-i", "left", "--save", r.path("saved.pcapng"), "--evidence", r.path("evidence")}, r.replay("mutual_tls12.pcap"))
	if code != "0" || !strings.Contains(stderr, "evidence: 1 bundle in ") {
		t.Fatalf("exit code %s: %s", code, stderr)
	}
	cmd := exec.Command("sha256sum", "-c", "SHA256SUMS")
	cmd.Dir = r.path("evidence")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A run that is asked to end asks the command, and reports.
func TestRecordInterrupted(t *testing.T) {
	r := newRecorder(t)
	ready := r.path("ready")
	cmd := exec.Command("distproof", "record", "--netns", r.namespace, "-i", "left", "--settle", "0s", "--",
		"sh", "-c", "trap 'echo ended; exit 0' TERM; > "+ready+"; while :; do sleep 0.02; done")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for range 2000 {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(cmd.Wait()); code != "3" || !strings.HasPrefix(out.String(), "ended\nleft: live, 0 packets\n") {
		t.Errorf("exit code %s: %s%s", code, &out, &errs)
	}
}
