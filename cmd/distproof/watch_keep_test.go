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
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/mutate"
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
	w := &seen{packets: packetsOf(t, path), states: make(map[int]*report.Document)}
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

func packetsOf(t *testing.T, path string) []capture.Packet {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var out []capture.Packet
	for {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		p.Data = slices.Clone(p.Data)
		out = append(out, p)
	}
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
	for _, path := range mutable(t) {
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
					doc := documentOfPaths(t, dir)
					if diff := cmp.Diff(want, verdicts(doc)); diff != "" {
						t.Errorf("states every %d packets, heads of %d: -watched +saved:\n%s", every, head, diff)
					}
				}
			}
		})
	}
}

// TestKeptFragments: packets that came in fragments are saved with all of them.
func TestKeptFragments(t *testing.T) {
	for _, name := range []string{"mutual_tls12", "mutual_tls13", "plain"} {
		packets, err := mutate.ReadFile(filepath.Join(pcapsDir, name+".pcap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mutate.All() {
			if !strings.Contains(m.Name, "fragment") {
				continue
			}
			t.Run(name+" "+m.Name, func(t *testing.T) {
				data, err := mutate.Bytes(m.Apply(packets), mutate.Format{PCAPNG: true})
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "fragments.pcapng")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				for _, every := range []int{7, 1 << 30} {
					w := seenOf(t, path, every)
					dir := t.TempDir()
					k := keeperIn(t, dir, 0)
					w.save(t, k)
					if want := verdicts(w.last); len(want) == 0 {
						t.Fatal("no connection between nodes")
					} else if diff := cmp.Diff(want, verdicts(documentOfPaths(t, dir))); diff != "" {
						t.Errorf("states every %d packets: -watched +saved:\n%s", every, diff)
					}
					if lost := k.Counters().Lost; lost > 0 {
						t.Errorf("%d packets were lost", lost)
					}
				}
			})
		}
	}
}

// A paced source waits in its middle until a State has what came before.
type paced struct {
	replayed
	engine *watch.Engine
}

func (p *paced) Stop() {}

func (p *paced) Next(packet *capture.Packet) error {
	for p.next == len(p.packets)/2 && p.engine.State().Packets < uint64(p.next) {
		<-p.engine.Changed()
	}
	return p.replayed.Next(packet)
}

// TestKeptOfWatch: what a watch saves has the verdicts that it had.
func TestKeptOfWatch(t *testing.T) {
	bundled, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil || len(bundled) == 0 {
		t.Fatal(err)
	}
	for i, path := range bundled {
		if testing.Short() && i%4 != 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			k := keeperIn(t, dir, 0)
			if err := k.Start(); err != nil {
				t.Fatal(err)
			}
			src := &paced{replayed: replayed{packets: packetsOf(t, path)}}
			src.engine = watch.New(src, watch.Options{Tap: k})
			state, err := src.engine.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			want := verdicts(state.Document)
			if len(want) == 0 {
				if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 && state.Document.Summary.EPMD == 0 {
					t.Errorf("something is saved: %q", left)
				}
				return
			}
			if diff := cmp.Diff(want, verdicts(documentOfPaths(t, dir))); diff != "" {
				t.Errorf("-watched +saved:\n%s", diff)
			}
		})
	}
}
