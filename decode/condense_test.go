package decode_test

import (
	"reflect"
	"testing"
	"time"

	"distproof/capture/link"
	"distproof/decode"
)

// TestCondensedApart: connections that have much in common, once they are decided,
// stay apart: what happens to one of them shows nowhere else, and makes nothing
// better.
func TestCondensedApart(t *testing.T) {
	// The last segment with data of a capture comes again, much later, with other
	// bytes behind what was there.
	troubles := map[string][]byte{
		"a record":               {23, 3, 3, 0, 4, 1, 2, 3, 4},
		"an alert in the clear":  {21, 3, 3, 0, 2, 2, 42},
		"a message in the clear": {22, 3, 3, 0, 4, 14, 0, 0, 0},
		"a ClientHello":          append([]byte{22, 3, 3, 0, 42, 1, 0, 0, 38, 3, 3}, make([]byte, 36)...),
		"no TLS":                 []byte("GET / HTTP/1.0\r\n\r\n"),
		"a ChangeCipherSpec":     {20, 3, 3, 0, 1, 1},
	}
	for _, name := range []string{"mutual_tls13", "mutual_tls12", "oneway_tls13"} {
		segments := segmentsOf(t, name)
		calm := facts(segments, nil, 0)
		for trouble, data := range troubles {
			for _, gap := range []uint32{0, 100} {
				got := facts(segments, data, gap)
				if !same(got[0], calm[0]) || !same(got[2], calm[2]) {
					t.Errorf("%s: %s with a gap of %d in one connection shows in another:\n%+v\n%+v", name, trouble, gap, got[0].TLS, calm[0].TLS)
				}
				a, b := got[1].TLS, calm[1].TLS
				if a.ClientCertificate.Status != b.ClientCertificate.Status && a.ClientCertificate.Status != 0 || a.Established.Is() && !b.Established.Is() {
					t.Errorf("%s: %s with a gap of %d: %+v\nbefore: %+v", name, trouble, gap, a, b)
				}
			}
		}
	}
}

// facts returns those of three connections like the one given, which are decided.
// Then the second one's client sends data, after a gap.
func facts(segments []link.Segment, data []byte, gap uint32) []*decode.Connection {
	d := decode.NewDecoder(decode.Options{})
	var last link.Segment // the last that the client sent
	for i := range 3 {
		for _, s := range segments {
			other(&s, i)
			d.Segment(&s)
			if i == 1 && s.Src.Addr[12] == 10 && s.Src.Addr[15]&1 == 1 {
				last = s
			}
		}
	}
	after := segments[len(segments)-1].Time
	for i := range 3 { // they are silent for a while, and are decided
		for _, s := range segments[len(segments)-2:] {
			s.Seq, s.Payload, s.Length = s.Seq+uint32(len(s.Payload)), nil, 0
			s.Time, s.Identity = after+int64(2*time.Second), 0
			other(&s, i)
			d.Segment(&s)
		}
	}
	if data != nil {
		last.Seq += uint32(len(last.Payload)) + gap
		last.Payload, last.Length, last.Identity = data, len(data), 0
		last.Time = after + int64(3*time.Second)
		d.Segment(&last)
	}
	return d.Finish(func(uint16) []string { return nil }).Connections
}

// TestCondensedEvidence: where the messages of a decided handshake were is still
// known.
func TestCondensedEvidence(t *testing.T) {
	segments := segmentsOf(t, "oneway_tls12")
	for i := range segments {
		segments[i].Frame.Number = uint32(i + 1)
	}
	d := decode.NewDecoder(decode.Options{})
	for _, s := range segments {
		d.Segment(&s)
	}
	want := d.Finish(func(uint16) []string { return nil }).Connections[0].TLS
	got := facts(segments, nil, 0)[0].TLS
	if frame := want.Flight; frame == (decode.Frame{}) || got.Flight != frame {
		t.Errorf("the client went on in frame %v, want %v", got.Flight, frame)
	}
}

func same(a, b *decode.Connection) bool { return reflect.DeepEqual(a, b) }
