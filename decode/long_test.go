package decode_test

import (
	"slices"
	"testing"

	"distproof/capture/link"
	"distproof/decode"
)

// TestLongChainTwice: all of a long handshake can be compared with what comes again,
// as it does where packets are captured on several interfaces; but not all that
// follows on it.
func TestLongChainTwice(t *testing.T) {
	const full = 16401
	for name, r := range map[string]struct {
		chain   []int
		whole   bool // the server's handshake comes in one segment
		changed bool
	}{
		"long":                  {[]int{full, 4000}, false, false},
		"longer":                {[]int{full, full, full, 4000}, false, false},
		"long, in one segment":  {[]int{full, 4000}, true, false},
		"long, and other bytes": {[]int{full, 4000}, false, true},
	} {
		talk := newTalk()
		s := mutualSession.but(func(s *session) { s.chain = r.chain })
		d := talk.dials(dialled, listening)
		d.tls13(s)
		for range 5 {
			d.sends(server, sealed(full))
		}
		if !r.whole {
			talk.segments = inPieces(talk.segments, 1448)
		}
		var twice []link.Segment
		for _, s := range talk.segments {
			again := s
			if r.changed && len(s.Payload) > 0 {
				again.Payload = append([]byte(nil), s.Payload...)
				again.Payload[len(again.Payload)-1]++
			}
			twice = append(twice, s, again)
		}
		talk.segments = twice
		c := talk.only(t, decode.Options{})
		odd := c.TCP[decode.Server].Odd()
		end := int64(0)
		for r := range c.TLS.Records[decode.Server].All() {
			if r.Length != full {
				end = r.End()
			}
		}
		if odd.Unchecked == 0 || odd.UncheckedOffset < end || odd.UncheckedOffset > end+2*full {
			t.Errorf("%s: %d unchecked from %d; the handshake ends at %d", name, odd.Unchecked, odd.UncheckedOffset, end)
		}
		if (odd.Conflicts > 0) != r.changed {
			t.Errorf("%s: %d conflicts", name, odd.Conflicts)
		}
	}
}

// inPieces has segments with no more than n bytes of payload each.
func inPieces(segments []link.Segment, n int) (out []link.Segment) {
	for _, s := range segments {
		for len(s.Payload) > n {
			first := s
			first.Payload, s.Payload = s.Payload[:n], s.Payload[n:]
			first.Length, s.Length, s.Seq = n, len(s.Payload), s.Seq+uint32(n)
			out = append(out, first)
		}
		out = append(out, s)
	}
	return out
}

// TestClosedTwice: what came first is compared with what comes again after the
// connection was closed, as it does from a second host whose clock is late.
func TestClosedTwice(t *testing.T) {
	for name, r := range map[string]struct {
		late    int64
		changed bool
		server  bool // the server says something
	}{
		"soon":                           {20_000_000, false, true},
		"soon, and other bytes":          {20_000_000, true, true},
		"late":                           {3 * second, false, true},
		"late, and other bytes":          {3 * second, true, true},
		"late, of one side":              {3 * second, false, false},
		"late, of one side, other bytes": {3 * second, true, false},
	} {
		talk := newTalk()
		d := talk.dials(dialled, listening)
		if r.server {
			d.tls13(mutualSession)
		} else {
			d.sends(client, mutualSession.clientHello(true))
		}
		d.closes(client)
		for _, s := range talk.segments[:len(talk.segments):len(talk.segments)] {
			s.Time += r.late
			if r.changed && len(s.Payload) > 0 {
				s.Payload = slices.Clone(s.Payload)
				s.Payload[len(s.Payload)-1]++
			}
			talk.segments = append(talk.segments, s)
		}
		for side, s := range talk.only(t, decode.Options{}).TCP {
			if s.Odd().Unchecked > 0 || (s.Odd().Conflicts > 0) != (r.changed && s.Bytes > 0) {
				t.Errorf("%s: side %d: %d unchecked, %d conflicts", name, side, s.Odd().Unchecked, s.Odd().Conflicts)
			}
		}
	}
}
