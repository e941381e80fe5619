package watch

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"distproof/capture/link"
	"distproof/decode"
)

// BenchmarkReading takes packets of all connections while States are made, and
// tells how long packets waited for that.
func BenchmarkReading(b *testing.B) {
	crowd := crowdOf(b, "mutual_tls13", 42617).open()
	for _, n := range []int{3_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := New(newQuietSource(), Options{Decode: decode.Options{AnyChecksum: true, Ports: []uint16{42617}}})
			crowd.play(e, 0, n, 1000)
			e.maker.round(false)
			var stop atomic.Bool
			waits := make(chan []time.Duration)
			go func() {
				var segment link.Segment
				var buf []byte
				var all []time.Duration
				for k := 0; !stop.Load(); k = (k + 1) % n {
					p := crowd.packet(len(crowd.steps)-1, k, time.Now(), buf)
					buf = p.Data
					began := time.Now()
					e.packet(&p, &segment)
					all = append(all, time.Since(began))
				}
				waits <- all
			}()
			for b.Loop() {
				e.maker.round(false)
			}
			stop.Store(true)
			all := <-waits
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Nanoseconds()), "ns/packet")
			b.ReportMetric(float64(all[len(all)-len(all)/1000-1].Microseconds()), "µs-99.9%")
			b.ReportMetric(float64(all[len(all)-1].Microseconds()), "µs-longest")
		})
	}
}
