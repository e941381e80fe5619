package decode

import (
	"math/rand/v2"
	"testing"

	"distproof/capture/link"
)

// TestFlows holds the table against a map.
func TestFlows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	end := func() (e link.Endpoint) {
		e.Addr[15], e.Port = byte(random.IntN(8)), uint16(random.IntN(8))
		return e
	}
	table, model := newFlows(), make(map[[2]link.Endpoint]*conn)
	for range 100_000 {
		c := &conn{ends: [2]link.Endpoint{end(), end()}}
		key := c.ends
		if compare(key[0], key[1]) > 0 {
			key[0], key[1] = key[1], key[0]
		}
		switch random.IntN(4) {
		case 0, 1:
			table.put(c)
			model[key] = c
		case 2:
			if known := model[key]; known != nil {
				table.remove(c) // another one with the same ends
				table.remove(known)
				delete(model, key)
			}
		}
		if got := table.find(&c.ends[1], &c.ends[0]); got != model[key] || table.n != len(model) {
			t.Fatalf("found %v of %d, want %v of %d", got, table.n, model[key], len(model))
		}
	}
}
