package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/report"
	"distproof/watch"
	"distproof/watch/keep"
)

// What was seen of a capture is what a watch would see of it: its packets, their
// connections, and what was known after some of them.
type seen struct {
	packets []capture.Packet
	numbers []uint64
	states  map[int]*report.Document // after how many packets
	last    *report.Document
}

// seenOf reads a capture, with a state after every few packets.
func seenOf(t *testing.T, path string, every int) *seen {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	w := &seen{states: make(map[int]*report.Document)}
	for {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.Data = slices.Clone(p.Data)
		w.packets = append(w.packets, p)
	}
	x, err := examine(&replayed{packets: w.packets}, analyzeOptions{Judge: true})
	if err != nil {
		t.Fatal(err)
	}
	w.last = x.document
	links, follower := link.NewDecoder(link.Options{}), decode.NewFollower(x.facts)
	var s link.Segment
	for i := range w.packets {
		number := uint64(0)
		if links.Decode(&w.packets[i], &s) {
			number = uint64(follower.Segment(&s).Connection + 1)
		}
		w.numbers = append(w.numbers, number)
	}
	for n := every; n < len(w.packets); n += every {
		if w.states[n], err = analyze(&replayed{packets: w.packets[:n]}, analyzeOptions{Judge: true}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// A replayed source has packets in memory.
type replayed struct {
	packets []capture.Packet
	next    int
}

func (r *replayed) Next(p *capture.Packet) error {
	if r.next == len(r.packets) {
		return io.EOF
	}
	*p = r.packets[r.next]
	r.next++
	return nil
}

func (r *replayed) Inputs() []capture.Input {
	return []capture.Input{{Path: "watched", Format: "live", Packets: uint64(len(r.packets))}}
}
func (r *replayed) HasSecrets() bool { return false }
func (r *replayed) Close() error     { return nil }

// save shows it all to a keeper.
func (w *seen) save(t *testing.T, k *keep.Keeper) {
	t.Helper()
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range w.packets {
		if doc := w.states[i]; doc != nil {
			k.State(&watch.State{Document: doc})
		}
		k.Packet(&w.packets[i], w.numbers[i])
	}
	k.State(&watch.State{Document: w.last})
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

func keeperIn(t *testing.T, dir string, head int) *keep.Keeper {
	t.Helper()
	k, err := keep.Open(dir, keep.Options{
		Program: "distproof", Size: 64 << 20, Files: 8, UID: -1, GID: -1, Head: head, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// verdicts lists what is said of each connection between nodes.
func verdicts(doc *report.Document) []string {
	var out []string
	for i := range doc.Connections {
		c := &doc.Connections[i]
		if c.Verdict != nil {
			out = append(out, fmt.Sprintf("%s %s to %s: %s, %s", c.Protocol,
				net.JoinHostPort(c.Client.Address, fmt.Sprint(c.Client.Port)), net.JoinHostPort(c.Server.Address, fmt.Sprint(c.Server.Port)), *c.Verdict, c.State))
		}
	}
	slices.Sort(out)
	return out
}

// TestKeptVerdicts: what is saved of a capture has the verdicts of the whole one,
// whenever it becomes known what its connections are.
func TestKeptVerdicts(t *testing.T) {
	for _, path := range captures(t) {
		if info, err := os.Stat(path); err != nil || info.Size() > largest {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			for _, every := range []int{7, 1 << 30} {
				for _, head := range []int{0, 12 << 10} {
					w := seenOf(t, path, every)
					dir := t.TempDir()
					w.save(t, keeperIn(t, dir, head))
					want := verdicts(w.last)
					if len(want) == 0 {
						continue
					}
					src, err := capture.Open([]string{dir}, capture.Options{})
					if err != nil {
						t.Fatal(err)
					}
					defer src.Close()
					doc, err := analyze(src, analyzeOptions{Judge: true})
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, verdicts(doc)); diff != "" {
						t.Errorf("states every %d packets, heads of %d: -watched +saved:\n%s", every, head, diff)
					}
				}
			}
		})
	}
}
