package decode_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

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
	var b decode.Batch
	for len(segments) > 0 {
		b.Reset()
		for n := 1 + random.IntN(min(len(segments), 20)); n > 0; n-- {
			*b.Next() = segments[0]
			b.Add()
			segments = segments[1:]
		}
		live.Begin(&b)
		live.Take(&b, 0, 1, random.IntN(4) > 0)
		live.Number(&b)
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
