package decode_test

import (
	"encoding/binary"
	"runtime"
	"slices"
	"testing"
	"time"

	"distproof/capture/link"
	"distproof/decode"
)

// withHello returns segments of a connection whose ClientHello is the n-th of many: an
// extension in it has another number.
func withHello(segments []link.Segment, n uint32) []link.Segment {
	out := slices.Clone(segments)
	for i, s := range out {
		if len(s.Payload) < 100 || s.Payload[0] != 22 || s.Payload[5] != 1 {
			continue
		}
		b := slices.Clone(s.Payload)
		id := 5 + 4 + 2 + 32                                      // headers, version, random
		suites := id + 1 + int(b[id])                             // the session id
		last := suites + int(binary.BigEndian.Uint16(b[suites:])) // two bytes before the end of the list
		binary.BigEndian.PutUint16(b[last-2:], uint16(n>>16))
		binary.BigEndian.PutUint16(b[last:], uint16(n))
		out[i].Payload = b
	}
	return out
}

// TestNewHellos: connections can be packed for as long as others go, even if every one
// brings another hello, and more of them than are kept for all at once.
func TestNewHellos(t *testing.T) {
	const rounds, n = 5, 5000
	segments := segmentsOf(t, "mutual_tls13")
	live := decode.NewLive(decode.Options{AnyChecksum: true}, func(uint16) []string { return nil })
	for round := range rounds {
		live.Advance(uint32(1 + round*10))
		now := segments[0].Time + int64(round)*int64(time.Hour)
		for i := range n {
			now += int64(time.Millisecond)
			for _, s := range withHello(segments, uint32(round*n+i)) {
				other(&s, round*n+i)
				s.Time = now
				live.Segment(&s)
			}
		}
		for i := range 200 { // by when all before are quiet
			for _, s := range segments {
				other(&s, 1<<20+round*200+i)
				s.Time = now + int64(time.Minute)
				live.Segment(&s)
			}
		}
		live.PackAll()
		if got := live.Packed(); got < n {
			t.Fatalf("round %d: %d of %d are packed", round, got, n)
		}
		for len(live.Changes(n)) > 0 {
		}
		live.Advance(uint32(10 + round*10))
		for part := range decode.Parts {
			live.Retire(part, decode.Retirement{})
		}
		runtime.GC()
	}
}
