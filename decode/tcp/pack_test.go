package tcp

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"distproof/decode/pack"
	"distproof/internal/fill"
)

// TestPackAll: no field is forgotten, whatever the room had in it.
func TestPackAll(t *testing.T) {
	filled := func(seed uint64) *Conn {
		c := New(Limits{}, nil)
		random := rand.New(rand.NewPCG(seed, 0))
		for d := range c.half {
			h := &c.half[d]
			fill.Fill(h, random)
			h.state, h.start = stateFixed, StartSYN
			h.head, h.rare = new(head), new(rare)
			fill.Fill(h.head, random)
			fill.Fill(h.rare, random)
		}
		return c
	}
	want, got, tables := filled(1), filled(2), new(Tables)
	w := pack.Writer(nil)
	want.Pack(&w, tables)
	r := pack.Reader(w.Packed())
	got.Pack(&r, tables)
	if len(r.Packed()) > 0 || !want.AtRest() || !reflect.DeepEqual(got, want) {
		t.Errorf("%d bytes are left of %d, and it is\n%+v\nwant\n%+v", len(r.Packed()), len(w.Packed()), got, want)
	}
}
