package watch

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"distproof/decode"
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
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		crowd.play(e, 0, n, 1000)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.Logf("%d connections: %d bytes each in the decoder", n, int(after.HeapAlloc-before.HeapAlloc)/n)
		began := time.Now()
		e.maker.round(false)
		b.Logf("%d connections: the first State took %v", n, time.Since(began))
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.Logf("%d connections: %d bytes each with the State", n, int(after.HeapAlloc-before.HeapAlloc)/n)
		b.Run(fmt.Sprintf("%d/some", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				crowd.tick(e, n/100)
				e.maker.round(false)
			}
		})
	}
}
