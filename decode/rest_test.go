package decode_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/recorded"
)

// TestPacked: whether and when connections are packed shows nowhere.
func TestPacked(t *testing.T) {
	counts, mu := map[string]int{}, sync.Mutex{}
	t.Cleanup(func() {
		t.Log(counts)
		for _, kind := range []string{"TLS", "cleartext", "cleartext from the midst", "cleartext behind TLS", "unknown so far", "first bytes"} {
			if counts[kind] == 0 {
				t.Errorf("no connection was packed with %s", kind)
			}
		}
	})
	for _, path := range recorded.Captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r := recordingOf(t, path)
			own := map[string]int{}
			r.packed(t, r.segments, "as it is", 0, own)
			r.packed(t, garbled(r.segments), "garbled", 0, own)
			for seed := range uint64(8) {
				random := rand.New(rand.NewPCG(seed, 0))
				r.packed(t, delivered(r.segments, random), fmt.Sprintf("delivery %d", seed), seed, own)
			}
			mu.Lock()
			defer mu.Unlock()
			for kind, n := range own {
				counts[kind] += n
			}
		})
	}
}

// packed holds what is found in segments with connections packed against what is
// found without. It counts those that were packed by their kinds.
func (r *recording) packed(t *testing.T, segments []link.Segment, name string, seed uint64, counts map[string]int) {
	t.Helper()
	want := documentOf(t, r.finished(segments))
	random := rand.New(rand.NewPCG(seed, 1))
	often, always := decode.NewDecoder(r.options()), decode.NewDecoder(r.options())
	live, ledger := decode.NewLive(r.options(), r.encapsulation), decode.NewLedger(r.options())
	for i := range segments {
		s := segments[i]
		often.Segment(&s)
		always.Segment(&s)
		live.Segment(&s)
		if err := often.Repack(func() bool { return random.IntN(3) == 0 }, counts); err != nil {
			t.Fatalf("%s, segment %d: %v", name, i, err)
		}
		always.PackAll()
		live.PackAll()
		if random.IntN(10) == 0 {
			ledger.Take(live.Changes(2))
		}
	}
	ledger.Take(all(live))
	found, _ := ledger.Capture(live.LeftOut())
	for how, c := range map[string]*decode.Capture{"packed often": often.Finish(r.encapsulation), "packed always": always.Finish(r.encapsulation), "packed while followed": found} {
		if got := documentOf(t, c); got != want {
			t.Fatalf("%s, %s: %s", name, how, recorded.Difference(got, want))
		}
	}
}

// garbled returns the segments with others of their bytes first, which their
// checksums do not tell: little of it is recognised.
func garbled(segments []link.Segment) []link.Segment {
	out := slices.Clone(segments)
	for i := range out {
		if b := slices.Clone(out[i].Payload); len(b) >= 4 {
			b[0], b[1], b[2], b[3] = b[2], b[3], b[0], b[1]
			out[i].Payload = b
		}
	}
	return out
}

// delivered returns the segments with some lost, doubled, delayed, damaged and cut, and
// with pauses in which connections come to rest.
func delivered(segments []link.Segment, random *rand.Rand) []link.Segment {
	var out []link.Segment
	late := int64(0)
	for _, s := range segments {
		if random.IntN(20) == 0 {
			late += int64(2 * time.Second)
		}
		s.Time += late
		switch random.IntN(40) {
		case 0:
			continue
		case 1:
			out = append(out, s)
		case 2:
			if n := len(out); n > 0 {
				s, out[n-1] = out[n-1], s
			}
		case 3:
			s.Payload = s.Payload[:random.IntN(len(s.Payload)+1)]
		case 4:
			if len(s.Payload) > 0 {
				s.Payload = slices.Clone(s.Payload)
				s.Payload[random.IntN(len(s.Payload))] ^= 1 << random.IntN(8)
			}
		case 5:
			s.Flags ^= 1 << random.IntN(5)
		}
		out = append(out, s)
	}
	return out
}

// BenchmarkPack packs and unpacks a connection that is up.
func BenchmarkPack(b *testing.B) {
	for _, name := range []string{"mutual_tls13", "mutual_tls12", "plain"} {
		b.Run(name, func(b *testing.B) {
			d := decode.NewDecoder(decode.Options{})
			for _, s := range segmentsOf(b, name) {
				d.Segment(&s)
			}
			b.ReportAllocs()
			for b.Loop() {
				if d.PackAndUnpack() == 0 {
					b.Fatal("nothing is packed")
				}
			}
		})
	}
}

// TestTurns: of connections that tick in turn, and are half as many again as are kept
// unpacked, most of those stay so. If none did, each would be packed for every tick.
func TestTurns(t *testing.T) {
	const shards, kept, rounds = 16, 512, 8
	const n = shards * kept * 3 / 2
	segments := segmentsOf(t, "mutual_tls13")
	d := decode.NewDecoder(decode.Options{})
	d.KeepUnpacked(kept)
	for i := range n {
		for _, s := range segments {
			other(&s, i)
			d.Segment(&s)
		}
	}
	tick := segments[len(segments)-1]
	tick.Payload, tick.Length = nil, 0
	before := uint(0)
	for round := range rounds {
		if round == 1 { // all came to rest
			before = d.Packs()
		}
		tick.Time += int64(15 * time.Second)
		for i := range n {
			s := tick
			other(&s, i)
			d.Segment(&s)
		}
	}
	if got := d.Packs() - before; got == 0 || got > n*(rounds-1)*2/3 {
		t.Errorf("packed %d times for %d ticks", got, n*(rounds-1))
	}
}
