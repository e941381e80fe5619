package main

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"distproof/internal/mutate"
	"distproof/report"
)

// TestRandomLossNeverStrengthens loses many packets at once, and cuts others.
func TestRandomLossNeverStrengthens(t *testing.T) {
	const seeds = 20
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		for _, percent := range []int{5, 20, 50} {
			for seed := range uint64(seeds) {
				r := rand.New(rand.NewPCG(seed, uint64(percent)))
				kept := loseRandomly(r, packets, percent, seed%2 == 1)
				for _, problem := range stronger(original, documentOfPackets(t, kept, mutate.Format{})) {
					t.Errorf("%d %% lost, seed %d: %s", percent, seed, problem)
				}
			}
		}
	})
}

// loseRandomly loses packets, and with cut also the ends of a quarter of the others.
func loseRandomly(r *rand.Rand, packets []mutate.Packet, percent int, cut bool) []mutate.Packet {
	var kept []mutate.Packet
	for _, p := range packets {
		if r.IntN(100) < percent {
			continue
		}
		if cut && r.IntN(4) == 0 {
			p.Data = p.Data[:min(len(p.Data), 40+r.IntN(400))]
		}
		kept = append(kept, p)
	}
	return kept
}

// TestRandomForgeriesNeverImprove has several forged packets at once.
func TestRandomForgeriesNeverImprove(t *testing.T) {
	const seeds = 30
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, 0))
			forged, names := packets, ""
			for range 2 + r.IntN(4) {
				name, next := forgeRandomly(r, forged)
				if next != nil {
					forged, names = next, names+name+", "
				}
			}
			for _, problem := range better(original, documentOfPackets(t, forged, mutate.Format{})) {
				t.Errorf("seed %d, %s: %s", seed, names, problem)
			}
		}
	})
}

// forgeRandomly adds a forged packet; nil if the place gives nothing to start from.
func forgeRandomly(r *rand.Rand, packets []mutate.Packet) (string, []mutate.Packet) {
	i := r.IntN(len(packets))
	// Payloads that would improve a verdict if they were believed.
	payloads := [][]byte{sealedRecords(24), sealedRecords(24, 60, 38), sealedRecords(900, 96, 69), sealedRecords(900, 96, 53), sealedRecords(19),
		recordOf(21, []byte{2, 40}), ccs, finished12, []byte("in the clear"), make([]byte, 4)}
	payload := payloads[r.IntN(len(payloads))]
	kinds := []struct {
		name  string
		forge func() []mutate.Packet
	}{
		{"RST", func() []mutate.Packet { return mutate.ForgeRST(packets, i) }},
		{"FIN", func() []mutate.Packet { return mutate.ForgeFIN(packets, i) }},
		{"SYN", func() []mutate.Packet { return mutate.ForgeSYN(packets, i) }},
		{"bytes over", func() []mutate.Packet { return mutate.OverlapOther(packets, i, payload) }},
		{"bytes ahead of", func() []mutate.Packet { return mutate.OverlapAhead(packets, i, payload) }},
		{"bytes after", func() []mutate.Packet { return mutate.InsertAhead(packets, i, payload) }},
		{"old bytes after", func() []mutate.Packet { return mutate.OldSequence(packets, i, payload) }},
	}
	k := kinds[r.IntN(len(kinds))]
	return fmt.Sprintf("%s %d", k.name, i+1), k.forge()
}
