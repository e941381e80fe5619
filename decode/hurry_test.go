package decode_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/recorded"
)

// TestHurry: that signatures are checked later while much is to be done shows nowhere.
func TestHurry(t *testing.T) {
	waited := make(chan int, 1)
	waited <- 0
	t.Cleanup(func() {
		if <-waited == 0 {
			t.Error("no signature had to wait")
		}
	})
	for _, path := range recorded.Captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r := recordingOf(t, path)
			n := r.hurried(t, r.segments, "as it is", 0)
			for seed := range uint64(8) {
				random := rand.New(rand.NewPCG(seed, 0))
				n += r.hurried(t, delivered(r.segments, random), fmt.Sprintf("delivery %d", seed), seed)
			}
			waited <- <-waited + n
		})
	}
}

// hurried holds what is found in a hurry in segments against what is found without. It
// returns how many batches ended with connections whose signatures were to be checked.
func (r *recording) hurried(t *testing.T, segments []link.Segment, name string, seed uint64) (waited int) {
	t.Helper()
	want := documentOf(t, r.finished(segments))
	random := rand.New(rand.NewPCG(seed, 2))
	live, ledger := decode.NewLive(r.options(), r.encapsulation), decode.NewLedger(r.options())
	b := decode.NewBatch(nil)
	for len(segments) > 0 {
		b.Reset()
		for n := 1 + random.IntN(min(len(segments), 20)); n > 0; n-- {
			*b.Next() = segments[0]
			b.Add()
			segments = segments[1:]
		}
		live.Take(b, random.IntN(4) > 0)
		if live.Unchecked() > 0 {
			waited++
		}
		if random.IntN(10) == 0 {
			ledger.Take(live.Changes(2))
		}
	}
	ledger.Take(all(live))
	found, _ := ledger.Capture(live.LeftOut())
	if got := documentOf(t, found); got != want {
		t.Fatalf("%s: %s", name, recorded.Difference(got, want))
	}
	return waited
}

// TestHurryOfPool: segments that come faster than they are decoded wait, and so do
// signatures meanwhile. That shows nowhere.
func TestHurryOfPool(t *testing.T) {
	const connections = 600
	var segments []link.Segment
	for i := range connections {
		for _, s := range segmentsOf(t, "mutual_tls12") {
			other(&s, i)
			s.Time += int64(i) * int64(10*time.Millisecond)
			segments = append(segments, s)
		}
	}
	slices.SortStableFunc(segments, func(a, b link.Segment) int { return cmp.Compare(a.Time, b.Time) })
	r := &recording{segments: segments, encapsulation: func(uint16) []string { return nil }}
	want := documentOf(t, r.finished(segments))
	o := r.options()
	o.Hurry = true
	for _, workers := range []int{1, 2} {
		d := decode.NewDecoder(o)
		p := d.Work(workers)
		release := p.Hold()
		for i := range segments {
			s := p.Next()
			if *s = segments[i]; p.Take(s, false) != nil {
				t.Fatal("it failed")
			}
		}
		release()
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := d.Unchecked(); n < connections/2 {
			t.Errorf("%d workers: of %d connections only %d had to wait", workers, connections, n)
		}
		if got := documentOf(t, d.Finish(r.encapsulation)); got != want {
			t.Fatalf("%d workers: %s", workers, recorded.Difference(got, want))
		}
	}
}
