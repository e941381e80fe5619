package watch

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"distproof/decode"
)

// TestFollowing: what is remembered of a connection stays with it, whichever come and
// go beside it, and what was told of those that go is given back once.
func TestFollowing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var f following
	there := make(map[uint64]string)
	for next := uint64(1); next < 3000; {
		before := maps.Clone(there)
		maps.DeleteFunc(there, func(uint64, string) bool { return rng.IntN(20) == 0 })
		for range rng.IntN(30) {
			if rng.IntN(3) > 0 { // a number is given before its connection is handed out
				there[next] = ""
			}
			next++
		}
		if n := next - min(next, uint64(1+rng.IntN(60))); before[n] == "" && n > 0 {
			there[n] = ""
		}
		var connections []*decode.Connection
		for _, n := range slices.Sorted(maps.Keys(there)) {
			connections = append(connections, &decode.Connection{Number: n})
		}
		gone := f.turn(connections)
		for _, x := range gone {
			n, _ := strconv.ParseUint(x.verdict, 10, 64)
			if _, here := there[n]; here || before[n] == "" {
				t.Errorf("%q is gone", x.verdict)
			}
			delete(before, n)
		}
		for n := range before {
			if _, here := there[n]; !here {
				t.Errorf("nobody was told that %d is gone", n)
			}
		}
		for i, c := range connections {
			x := &f.all[i]
			if x.number != c.Number || x.told.verdict != there[c.Number] || f.find(x.id()) != x {
				t.Fatalf("%d, told %q, want %d, %q", x.number, x.told.verdict, c.Number, there[c.Number])
			}
			x.told.verdict = strconv.FormatUint(c.Number, 10)
			there[c.Number] = x.told.verdict
		}
		if len(f.all) != len(connections) || f.find("c"+strconv.FormatUint(next+1, 10)) != nil {
			t.Fatalf("%d are followed, want %d", len(f.all), len(connections))
		}
	}
}

// TestStateOfTheSame: a State costs no allocation for connections that are as before,
// also if something was found of them.
func TestStateOfTheSame(t *testing.T) {
	const few, many = 100, 1600
	for _, name := range []string{"mutual_tls13", "mutual_tls12", "oneway_tls12"} {
		allocations := func(n int) float64 {
			e := New(newQuietSource(), Options{Decode: decode.Options{AnyChecksum: true, Ports: []uint16{portOf(t, name)}}})
			crowdOf(t, name, portOf(t, name)).open().play(e, 0, n, 100)
			e.maker.round(false)
			return testing.AllocsPerRun(3, func() { e.maker.round(false) })
		}
		if each := (allocations(many) - allocations(few)) / (many - few); each > 0.05 {
			t.Errorf("%s: %.2f allocations for each connection", name, each)
		}
	}
}
