//go:build linux && lab

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newLoader makes a loader with the program as it is now.
func newLoader(t *testing.T, command string, buffer int) *loader {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	l := &loader{common: common{from: ".."}, folder: t.TempDir(), command: command, buffer: buffer, limit: 5 * time.Minute}
	l.distproof = filepath.Join(l.folder, "distproof")
	build := exec.Command("go", "build", "-o", l.distproof, "distproof/cmd/distproof")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := l.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.disconnect)
	return l
}

// capture makes a capture of a kind.
func (l *loader) capture(t *testing.T, name string, scale float64) string {
	t.Helper()
	k, err := kindOf(name)
	if err != nil {
		t.Fatal(err)
	}
	l.scale = scale
	path := filepath.Join(l.folder, name+".pcap")
	if err := k.writeFile(path, l.common); err != nil {
		t.Fatal(err)
	}
	return path
}

// At a rate that any machine keeps up with, nothing is lost.
func TestLoad(t *testing.T) {
	for _, command := range []string{"record", "watch"} {
		t.Run(command, func(t *testing.T) {
			l := newLoader(t, command, 64)
			sent, captors, err := l.run(l.capture(t, "many", 0.001), "20000", []string{"tcpdump", "distproof"})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range captors {
				if c.packets != sent.packets || c.dropped != 0 {
					t.Errorf("%s captured %d packets of %d, and dropped %d", c.name, c.packets, sent.packets, c.dropped)
				}
			}
		})
	}
}

// What a program that stands still again and again cannot take is counted. Nothing
// is claimed of connections that is not so, and not that all was seen.
func TestOverload(t *testing.T) {
	for _, command := range []string{"record", "watch"} {
		t.Run(command, func(t *testing.T) {
			l := newLoader(t, command, 2)
			path := l.capture(t, "many", 0.01)
			ctx, cancel := context.WithTimeout(t.Context(), l.limit)
			defer cancel()
			captors, err := l.start(ctx, []string{"distproof"})
			if err != nil {
				t.Fatal(err)
			}
			c := captors[0]
			stop := c.haltingly()
			sent, err := l.replay(ctx, path, "100000") // for 3.4 seconds
			stop()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.finish(); err != nil {
				t.Fatalf("%v: %s", err, c.stderr.String())
			}
			if c.dropped == 0 || c.packets == 0 || c.packets+c.dropped != sent.packets {
				t.Errorf("captured %d packets of %d, and dropped %d", c.packets, sent.packets, c.dropped)
			}
			holdToTruth(t, c.stdout.Bytes())
		})
	}
}

// haltingly stops the program for longer than its ring lasts, over and over again,
// so that it loses parts of handshakes.
func (c *captor) haltingly() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			for _, signal := range []os.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
				_ = c.cmd.Process.Signal(signal)
				select {
				case <-time.After(200 * time.Millisecond):
				case <-done:
					_ = c.cmd.Process.Signal(syscall.SIGCONT)
					return
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// holdToTruth fails if a report on a part of many claims what is not so.
func holdToTruth(t *testing.T, text []byte) {
	t.Helper()
	var doc struct {
		Conclusion  string
		Connections []struct {
			Client struct {
				Address string
				Port    uint16
			}
			Protocol, Verdict string
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Conclusion == "pass" {
		t.Error("the policy is said to hold, though packets were lost")
	}
	real, err := loadTemplates("..")
	if err != nil {
		t.Fatal(err)
	}
	truth := mixed(real)
	verdicts := make(map[string]int)
	for _, c := range doc.Connections {
		if !strings.HasPrefix(c.Protocol, "dist") {
			continue
		}
		verdicts[c.Verdict]++
		want := truth[int(c.Client.Port-32768)%classes].verdict
		if c.Verdict != want && c.Verdict != "inconclusive" && c.Verdict != "unknown" {
			t.Errorf("%s:%d: %q, which is %q", c.Client.Address, c.Client.Port, c.Verdict, want)
		}
	}
	t.Logf("%v", verdicts)
	if verdicts["inconclusive"] == 0 || verdicts["mutual"] == 0 {
		t.Errorf("nothing was lost of any connection, or of all: %v", verdicts)
	}
}
