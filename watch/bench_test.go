package watch

import (
	"fmt"
	"testing"
	"time"

	"distproof/decode"
	"distproof/internal/allocs"
)

// BenchmarkState makes a State of many connections: the first one of all of them,
// and further ones of which a hundredth of the connections, or none, changed.
func BenchmarkState(b *testing.B) {
	for _, name := range []string{"mutual_tls13", "mutual_tls12"} {
		b.Run(name, func(b *testing.B) { benchmarkState(b, name) })
	}
}

func benchmarkState(b *testing.B, name string) {
	crowd := crowdOf(b, name, portOf(b, name)).open()
	for _, n := range []int{3_000, 100_000} {
		e := New(newQuietSource(), Options{Decode: decode.Options{AnyChecksum: true, Ports: []uint16{portOf(b, name)}}})
		before := allocs.InUse()
		crowd.play(e, 0, n, 1000)
		b.Logf("%d connections: %d bytes each in the decoder", n, int(allocs.InUse()-before)/n)
		began := time.Now()
		e.maker.round(false)
		b.Logf("%d connections: the first State took %v", n, time.Since(began))
		b.Logf("%d connections: %d bytes each with the State", n, int(allocs.InUse()-before)/n)
		b.Run(fmt.Sprintf("%d/some", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				crowd.tick(e, n/100)
				e.maker.round(false)
			}
		})
	}
}
