package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"distproof/watch"
)

// While the output takes nothing, nobody waits for it, what waits to be written is
// bounded, and what matters more has room longer. Then all that was taken is
// written, in order.
func TestEventsWait(t *testing.T) {
	in, out := io.Pipe()
	w := newEventWriter(out, true, false, 1) // the least: 4 MiB
	again := make(chan struct{}, 1)
	w.start(func() { again <- struct{}{} })
	text := strings.Repeat("x", 1000)
	var taken []string
	fill := func(kind string) (n int) {
		for w.take(&watch.Event{Event: kind, Message: text}, false) {
			taken = append(taken, kind)
			n++
		}
		return n
	}
	most := leastWaiting / len(text)
	opened, found := fill(watch.EventOpened), fill(watch.EventFinding)
	if opened < most/3 || opened > most/2 || found < most/3 || opened+found > most {
		t.Errorf("%d were taken and %d that matter more, of %d", opened, found, most)
	}
	select {
	case <-again:
		t.Error("there is no room yet")
	default:
	}
	lines := bufio.NewScanner(in)
	for i, want := range taken {
		var e watch.Event
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &e) != nil || e.Event != want {
			t.Fatalf("line %d: %s: %v", i, lines.Bytes(), lines.Err())
		}
	}
	<-again
	if !w.take(&watch.Event{Event: watch.EventOpened}, false) {
		t.Error("there is room again")
	}
}

// In the end what takes its time is waited for.
func TestLastEvents(t *testing.T) {
	in, out := io.Pipe()
	w := newEventWriter(out, true, false, 1)
	w.start(func() {})
	const events = 3 * leastWaiting / 1000
	read := make(chan int)
	go func() {
		time.Sleep(100 * time.Millisecond)
		n := 0
		for lines := bufio.NewScanner(in); n < events+1 && lines.Scan(); n++ {
		}
		read <- n
	}()
	for range events {
		if !w.take(&watch.Event{Event: watch.EventClosed, Message: strings.Repeat("x", 1000)}, true) {
			t.Fatal("an event is left out")
		}
	}
	w.take(&watch.Event{Event: watch.EventStopped}, true)
	if err := w.finish(); err != nil {
		t.Error(err)
	}
	if n := <-read; n != events+1 {
		t.Errorf("%d events of %d", n, events+1)
	}
}

// An output that takes nothing any more is said to, and waited for once.
func TestStuckOutput(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	w := newEventWriter(out, false, false, 1)
	w.patience = 10 * time.Millisecond
	w.start(func() {})
	for w.take(&watch.Event{Event: watch.EventOpened, Message: strings.Repeat("x", 100_000)}, true) {
	}
	if err := w.finish(); err == nil || !strings.Contains(err.Error(), "took nothing") {
		t.Error(err)
	}
}

// After an error nothing is written, and nothing waits.
func TestBrokenOutput(t *testing.T) {
	in, out := io.Pipe()
	in.Close()
	w := newEventWriter(out, false, false, 1)
	w.start(func() {})
	for range 10_000 {
		failed := w.failure() != nil
		if !w.take(&watch.Event{Event: watch.EventOpened, Message: strings.Repeat("x", 1000)}, false) && failed {
			t.Fatal("an event is refused after an error")
		}
	}
	if err := w.finish(); err == nil || !strings.Contains(err.Error(), "closed pipe") {
		t.Error(err)
	}
}

// With --quiet only findings are written, and that some are missing.
func TestQuietEvents(t *testing.T) {
	in, out := io.Pipe()
	w := newEventWriter(out, false, true, 0)
	w.start(func() {})
	var text bytes.Buffer
	done := make(chan struct{})
	go func() { _, _ = io.Copy(&text, in); close(done) }()
	for _, kind := range []string{watch.EventOpened, watch.EventFinding, watch.EventVerdict, watch.EventOmitted} {
		w.take(&watch.Event{Event: kind, Message: "m"}, false)
	}
	if err := w.finish(); err != nil {
		t.Error(err)
	}
	out.Close()
	<-done
	if got := text.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "finding") || !strings.Contains(got, "omitted") {
		t.Errorf("%q", got)
	}
}

// While nobody reads its events, watch takes all packets, in bounded memory. Then it
// tells what it can, and counts what it cannot: together that is all there was.
func TestWatchWithoutReader(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	const connections = 8_000
	in, packets, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	events, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr lockedBuffer
	cmd := exec.Command("distproof", "watch", "-o", "ndjson", "--max-memory", "128M", "--ignore-checksums", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop(); cmd.Process.Kill() })
	in.Close()
	out.Close()
	writeCopies(t, packets, filepath.Join(pcapsDir, "mutual_tls13.pcap"), connections)
	// The race detector, which is run with -short, takes much more.
	if n := residentMiB(t, cmd.Process.Pid); n > 256 && !testing.Short() {
		t.Errorf("%d MiB are resident", n)
	}
	packets.Close()
	closed, omitted := 0, 0
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e watch.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == watch.EventClosed {
			closed++
		}
		omitted += int(e.Omitted)
	}
	if closed+omitted != connections || closed == 0 || omitted == 0 {
		t.Errorf("%d connections are told, and %d counted, of %d", closed, omitted, connections)
	}
	if code := codeOf(cmd.Wait()); code != "0" {
		t.Errorf("exit code %s: %s", code, &stderr)
	}
}

// writeCopies writes a capture of 10.30.0.1 many times, each time as that of another
// client.
func writeCopies(t *testing.T, w io.Writer, path string, copies int) {
	t.Helper()
	pcap, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const header, record, addresses = 24, 16, 14 + 12
	out := bufio.NewWriterSize(w, 1<<16)
	_, _ = out.Write(pcap[:header])
	for n := range copies {
		for rest := pcap[header:]; len(rest) > 0; {
			length := record + int(binary.LittleEndian.Uint32(rest[8:]))
			packet := bytes.Clone(rest[:length])
			for _, address := range [][]byte{packet[record+addresses:][:4], packet[record+addresses+4:][:4]} {
				if [4]byte(address) == [4]byte{10, 30, 0, 1} {
					copy(address, []byte{10, 100, byte(n >> 8), byte(n)})
				}
			}
			_, _ = out.Write(packet)
			rest = rest[length:]
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
}

// residentMiB is how much memory a process has, at most so far.
func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("%s", status)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n >> 10
}
