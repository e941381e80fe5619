package tls

import (
	"math"
	"time"
)

// tickLengths are the record lengths of a distribution tick, four zero bytes
// under encryption: TLS 1.3, TLS 1.2 with AES-GCM, TLS 1.2 with
// ChaCha20-Poly1305 (OTP tls_sender; protocol overheads as in sealedLength).
var tickLengths = [3]int{21, 28, 20}

// Ticks are sent when a connection was idle for a quarter of net_ticktime,
// which is a whole number of seconds between 1 and some minutes.
const (
	minTickInterval = 900 * time.Millisecond
	maxTickInterval = 10 * time.Minute
)

// Ticks are records of a tick's length that came alone, and evenly.
type Ticks struct {
	// Count is the number of records of that length, whenever they came.
	Count int32
	// Spaced counts the intervals that were as long as those between ticks.
	Spaced int32
	// Even counts the intervals that were within an eighth of the one before.
	Even int32
	// Interval is the last interval between two of them.
	Interval time.Duration
	last     int64
}

// mostTicks is where counting ends.
const mostTicks = math.MaxInt32 - 1

func (t *Ticks) add(at int64) {
	t.Count = min(t.Count+1, mostTicks)
	if t.Count > 1 {
		interval := time.Duration(at - t.last)
		if interval >= minTickInterval && interval <= maxTickInterval {
			t.Spaced = min(t.Spaced+1, mostTicks)
			if near(interval, t.Interval) {
				t.Even = min(t.Even+1, mostTicks)
			}
		}
		t.Interval = interval
	}
	t.last = at
}

// near reports whether a and b differ by an eighth at the most.
func near(a, b time.Duration) bool {
	diff := a - b
	if diff < 0 {
		diff = -diff
	}
	return b > 0 && diff <= b/8
}

// ticking reports whether the two directions show distribution's heartbeat:
// records of one tick length at even intervals, at least three in a row in one
// direction with the other one silent or ticking too, or two in each direction
// at the same interval.
func ticking(a, b *Stream) bool {
	for i := range tickLengths {
		x, y := a.ticks[i], b.ticks[i]
		if x.Even >= 2 && (y.Count > 0 || b.silent()) || y.Even >= 2 && (x.Count > 0 || a.silent()) {
			return true
		}
		if x.Count >= 2 && y.Count >= 2 && x.Interval >= minTickInterval && x.Interval <= maxTickInterval && near(x.Interval, y.Interval) {
			return true
		}
	}
	return false
}

// spaced reports whether some records of a tick's length came apart like ticks:
// a further sign in a connection that is known to be distribution.
func spaced(a, b *Stream) bool {
	for i := range tickLengths {
		if a.ticks[i].Spaced+b.ticks[i].Spaced >= 2 {
			return true
		}
	}
	return false
}

func (s *Stream) silent() bool { return s == nil || s.sealed.Application == 0 }
