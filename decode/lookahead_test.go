package decode_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/recorded"
)

// TestLookahead: what is asked for ahead of its turn changes nothing, of more connections
// than stay in the caches, of which some are packed, begin again, or come to an end.
func TestLookahead(t *testing.T) {
	const n = 3000
	random := rand.New(rand.NewPCG(1, 2))
	parts := [][]link.Segment{segmentsOf(t, "mutual_tls13"), segmentsOf(t, "mutual_tls12"), segmentsOf(t, "plain")}
	var segments []link.Segment
	for i := range n {
		own := slices.Clone(parts[i%len(parts)])
		later := time.Duration(random.Int64N(int64(20 * time.Second)))
		for k := range own {
			other(&own[k], i*9/10) // some have the addresses of others
			own[k].Time += int64(later)
			if k > len(own)/2 {
				own[k].Time += int64(5 * time.Second) // it came to rest
			}
		}
		if i%10 == 0 {
			own = delivered(own, random)
		}
		segments = append(segments, own...)
	}
	slices.SortStableFunc(segments, func(a, b link.Segment) int { return cmp.Compare(a.Time, b.Time) })
	r := &recording{segments: segments, encapsulation: func(uint16) []string { return nil }}
	want := documentOf(t, r.finished(segments))

	d := decode.NewDecoder(r.options())
	d.KeepUnpacked(20)
	p := d.Work(3)
	for i := range segments {
		s := p.Next()
		if *s = segments[i]; p.Take(s, true) != nil {
			t.Fatal("it failed")
		}
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := documentOf(t, d.Finish(r.encapsulation)); got != want {
		t.Fatalf("with workers: %s", recorded.Difference(got, want))
	}

	live, ledger := decode.NewLive(r.options(), r.encapsulation), decode.NewLedger(r.options())
	b := decode.NewBatch(nil)
	take := func() {
		live.Take(b, random.IntN(2) == 0)
		b.Reset()
	}
	for i := range segments {
		*b.Next() = segments[i]
		if b.Add(); b.Len() == decode.BatchSegments {
			take()
		}
	}
	take()
	take() // an empty one
	ledger.Take(all(live))
	found, _ := ledger.Capture(live.LeftOut())
	if got := documentOf(t, found); got != want {
		t.Fatalf("live: %s", recorded.Difference(got, want))
	}
}
