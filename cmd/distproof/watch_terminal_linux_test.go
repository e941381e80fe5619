package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is one on which a program runs.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	out    lockedBuffer
}

// onTerminal runs distproof with a terminal as its output, and the file as its
// input.
func onTerminal(t *testing.T, input *os.File, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs pseudo-terminals: ", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	term := &terminal{t: t, master: master, cmd: exec.Command("distproof", args...)}
	term.cmd.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=1", "CI=")
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	if input != nil {
		term.cmd.Stdin = input
	}
	term.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { term.cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop(); term.cmd.Process.Kill() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			term.out.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return term
}

// await waits until all words were written to the terminal.
func (term *terminal) await(words ...string) {
	term.t.Helper()
	for range 3000 {
		missing := ""
		for _, w := range words {
			if !strings.Contains(term.out.String(), w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	term.t.Fatalf("%q is not among %q", words, term.out.String())
}

// Without a need, the terminal is not asked what it is: it may not answer.
func TestNothingAsksTheTerminal(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"verify", "--color", "never", filepath.Join(pcapsDir, "epmd_only.pcap")}} {
		term := onTerminal(t, nil, args...)
		term.cmd.Wait()
		term.await("\n")
		if out := term.out.String(); strings.Contains(out, "\x1b") {
			t.Errorf("distproof %s writes %q", args[0], out)
		}
	}
}

// On a terminal there is a table until q, and then the report.
func TestWatchOnATerminal(t *testing.T) {
	in, send := piped(t, "mixed.pcap")
	term := onTerminal(t, in, "watch", "-")
	send()
	const leave, enter = "\x1b[?1049l", "\x1b[?1049h"
	term.await(enter, "legacy@n3.lab", "2 cleartext, 2 one-way, 1 refused, 2 mutual", "? help")
	term.master.WriteString("f")
	term.await("Enter evidence and fix")
	term.master.WriteString("q")
	term.master.WriteString("q")
	code := codeOf(term.cmd.Wait())
	term.await(leave, "exit code 1: ")
	_, after, _ := strings.Cut(term.out.String(), leave)
	if code != "1" || !strings.Contains(after, "FAIL: 4 of 7") || !strings.Contains(after, "rights are given up") && os.Geteuid() == 0 {
		t.Errorf("exit code %s after %q", code, after)
	}
	if before, _, _ := strings.Cut(term.out.String(), leave); strings.Contains(before, "level=INFO") {
		t.Errorf("the log is written over the table: %q", before)
	}
}

// When the terminal is closed, nobody can end the table with q any more: the watch
// ends, and writes the reports that do not go to the terminal.
func TestTerminalIsClosed(t *testing.T) {
	in, send := piped(t, "mixed.pcap")
	file := filepath.Join(t.TempDir(), "report.json")
	term := onTerminal(t, in, "watch", "-", "--sandbox", "off", "-o", "table", "-o", "json="+file)
	send()
	term.await("legacy@n3.lab", "? help")
	term.master.Close()
	ended := make(chan error, 1)
	go func() { ended <- term.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("it runs on")
	}
	if doc, err := os.ReadFile(file); err != nil || !strings.Contains(string(doc), "legacy@n3.lab") {
		t.Errorf("the report is %q, %v", doc, err)
	}
}
