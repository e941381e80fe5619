package decode_test

import (
	"testing"

	"distproof/capture/link"
	"distproof/decode"
)

// TestLeftOut has more attempts than are remembered, and then goes through the
// capture again: what was forgotten is in no place, and all else where it was.
func TestLeftOut(t *testing.T) {
	const attempts = 100_000
	recorded := segmentsOf(t, "mutual_tls13")
	half := len(recorded) / 2
	syn := recorded[0]
	each := func(yield func(*link.Segment)) {
		for i := range recorded[:half] {
			s := recorded[i]
			yield(&s)
		}
		for i := range attempts {
			s := syn
			other(&s, i+1)
			yield(&s)
		}
		for i := range recorded[half:] {
			s := recorded[half+i]
			yield(&s)
		}
	}
	for name, o := range map[string]decode.Options{"default": {}, "bounded": {MaxMemory: 128 << 20}} {
		d := decode.NewDecoder(o)
		n := 0
		each(func(s *link.Segment) { n++; s.Frame.Number = uint32(n); d.Segment(s) })
		got := d.Finish(func(uint16) []string { return nil })
		if got.LeftOut.Connections == 0 || len(got.Connections)+int(got.LeftOut.Connections) != attempts+1 {
			t.Errorf("%s: %d connections and %d left out, of %d", name, len(got.Connections), got.LeftOut.Connections, attempts+1)
		}
		if got.LeftOut.Empty[syn.Frame.Input] != got.LeftOut.Connections {
			t.Errorf("%s: %d packets are left out", name, got.LeftOut.Empty)
		}
		f := decode.NewFollower(got)
		packets := make([]uint64, len(got.Connections))
		left := uint64(0)
		each(func(s *link.Segment) {
			switch p := f.Segment(s); {
			case p.Connection < 0:
				left++
			default:
				packets[p.Connection]++
			}
		})
		if left != got.LeftOut.Connections {
			t.Errorf("%s: %d segments are in no place, want %d", name, left, got.LeftOut.Connections)
		}
		for i, c := range got.Connections {
			if all := c.TCP[0].Packets + c.TCP[1].Packets; packets[i] != all {
				t.Errorf("%s: connection %d: %d packets, want %d", name, i, packets[i], all)
				break
			}
		}
		if first := got.Connections[0]; first.TCP[0].Gap+first.TCP[1].Gap > 0 || packets[0] != uint64(len(recorded)) {
			t.Errorf("%s: the first connection has %d packets of %d", name, packets[0], len(recorded))
		}
	}
}
