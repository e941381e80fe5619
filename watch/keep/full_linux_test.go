package keep

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A locked buffer is written to by one goroutine and read by another.
type locked struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// TestDiskFull: that the disk is full is said once and counted, nothing waits for
// it, and saving goes on when there is room again.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(disk, 0)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var log locked
	k := keeperFor(t, filepath.Join(disk, "saved"), func(o *Options) {
		o.Head, o.testOnlyRetry, o.Log = 1<<30, 20*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
	})
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	k.Packet(packet(0, 1000), 1)
	k.State(stateOf(map[uint64]known{1: {protocol: "dist", verdict: "cleartext"}}))
	n := 0
	saveUntil := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not within 20 s; log:\n%s", what, log.String())
			}
			n++
			k.Packet(packet(n, 1000), 1)
		}
	}
	saveUntil("full", func() bool { return k.Counters().Lost > 0 })
	full := k.Counters()
	saveUntil("told", func() bool { c := k.Counters(); return c.Failing && c.Errors > 0 })
	saveUntil("full for long", func() bool { return k.Counters().Lost > full.Lost+200 })
	if got := k.Counters().Packets; got > full.Packets+100 {
		t.Errorf("%d packets were saved, and then %d", full.Packets, got)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	saveUntil("room again", func() bool { c := k.Counters(); return c.Packets > full.Packets+200 && !c.Failing })
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	said := log.String()
	if strings.Count(said, "\n") != 2 || strings.Count(said, `level=ERROR msg="packets cannot be saved"`) != 1 ||
		strings.Count(said, `level=INFO msg="packets are saved again"`) != 1 || !strings.Contains(said, "no space left on device") {
		t.Errorf("log:\n%s", said)
	}
	got, c := saves(t, k.files.dir), k.Counters() // also that all can be read
	if uint64(len(got)) != c.Packets || c.Packets+c.Lost != uint64(n)+1 {
		t.Errorf("%d packets are there of %d; %+v", len(got), n+1, c)
	}
	if lost := droppedIn(t, k.files.dir); lost != c.Lost {
		t.Errorf("the files tell of %d lost packets, not %d", lost, c.Lost)
	}
}

// TestFullAtStart: a watch starts all the same.
func TestFullAtStart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(disk, 0)
	var log locked
	dir := filepath.Join(disk, "saved")
	k := keeperFor(t, dir, func(o *Options) { o.testOnlyRetry, o.Log = time.Nanosecond, slog.New(slog.NewTextHandler(&log, nil)) })
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "no space left on device") {
		t.Errorf("log: %s", log.String())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k.Packet(packet(1, 1000), 1)
	k.State(stateOf(map[uint64]known{1: {protocol: "dist", verdict: "cleartext"}}))
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	wantSaved(t, saves(t, dir), []int{1})
}

// TestReadOnly: where nothing can be written there is no watch that believes to
// save.
func TestReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(disk, 0)
	k := keeperFor(t, disk, nil)
	if err := k.Start(); !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
	k.files.close()
}
