package evidence

import (
	"iter"
	"path/filepath"
	"testing"

	"distproof/capture"
	"distproof/internal/mutate"
)

// few are captures of every kind of verdict.
var few = []string{"mixed", "mutual_tls12", "mutual_tls13", "empty_rejected_tls13", "plain"}

// However packets travel, also in fragments, a bundle has all that it takes.
func TestBundlesOfMutations(t *testing.T) {
	for _, name := range few {
		packets, err := mutate.ReadFile(filepath.Join(pcapsDir, name+".pcap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mutate.All() {
			t.Run(name+" "+m.Name, func(t *testing.T) { checkMutated(t, m.Apply(packets)) })
		}
	}
}

// every says how many of the forged captures make one that is tested.
const every = 5

// What an attacker adds is in the bundle too, and the verdict does not get
// better for lack of it.
func TestBundlesOfAttacks(t *testing.T) {
	step := every
	if testing.Short() {
		step *= 10
	}
	for _, name := range few[1:] {
		packets, err := mutate.ReadFile(filepath.Join(pcapsDir, name+".pcap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, variants := range []iter.Seq[mutate.Variant]{mutate.Attacks(packets), mutate.Losses(packets)} {
			n := 0
			for v := range variants {
				if n++; n%step == 0 {
					t.Run(name+" "+v.Name, func(t *testing.T) { checkMutated(t, v.Packets) })
				}
			}
		}
	}
}

func checkMutated(t *testing.T, packets []mutate.Packet) {
	t.Helper()
	data, err := mutate.Bytes(packets, mutate.Format{PCAPNG: true})
	if err != nil {
		t.Fatal(err)
	}
	x := newTrial(t, data)
	x.o.testOnlyCutAll = true
	if s := x.mustWrite(t); len(s.Differ) > 0 {
		t.Errorf("%q", s.Differ)
	}
	x.check(t)
}

// Fragments that belong to nothing do not heap up.
func TestWaitingIsBounded(t *testing.T) {
	g := gatherer{waiting: make(map[capture.Frame]held)}
	for i := range 100 {
		g.wait(&capture.Packet{Data: make([]byte, 1<<20), Frame: capture.Frame{Number: uint32(i + 1)}})
	}
	if n := maxWaiting >> 20; len(g.waiting) != n || len(g.queue) != n || g.bytes != maxWaiting {
		t.Errorf("%d packets, %d in the queue, %d bytes", len(g.waiting), len(g.queue), g.bytes)
	}
	if _, ok := g.waiting[capture.Frame{Number: 100}]; !ok {
		t.Error("the last one is not kept")
	}
}
