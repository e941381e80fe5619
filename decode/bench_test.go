package decode_test

import (
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
)

// bulk is a connection that is up, and goes on with records of application data
// as large as segments, every second one acknowledged.
type bulk struct {
	d         *decode.Decoder
	data, ack link.Segment
	number    uint32
}

func newBulk(t testing.TB) *bulk {
	b := &bulk{d: decode.NewDecoder(decode.Options{})}
	segments := segmentsOf(t, "mutual_tls13")
	for i := range segments {
		s := &segments[i]
		b.d.Segment(s)
		if s.Dst == segments[0].Dst {
			b.data = *s
		} else {
			b.ack = *s
		}
	}
	b.number = b.data.Frame.Number
	b.data.Seq += uint32(len(b.data.Payload))
	b.data.Payload = make([]byte, 1448)
	b.data.Length = len(b.data.Payload)
	copy(b.data.Payload, []byte{23, 3, 3, 1443 >> 8, 1443 & 0xff})
	b.ack.Seq += uint32(len(b.ack.Payload))
	b.ack.Payload, b.ack.Length = nil, 0
	return b
}

// next takes two segments and the acknowledgement.
func (b *bulk) next() {
	for range 2 {
		b.send(&b.data)
		b.data.Seq += uint32(len(b.data.Payload))
	}
	b.ack.Ack = b.data.Seq
	b.send(&b.ack)
}

func (b *bulk) send(s *link.Segment) {
	b.number++
	s.Frame, s.Identity = capture.Frame{Number: b.number}, b.number
	s.Time += 1000
	b.d.Segment(s)
}

// TestAllocations: the common path does not allocate.
func TestAllocations(t *testing.T) {
	b := newBulk(t)
	for range 100 {
		b.next() // the beginning of a connection is kept
	}
	if n := testing.AllocsPerRun(1000, b.next); n != 0 {
		t.Errorf("%v allocations for three segments", n)
	}
	got := b.d.Finish(func(uint16) []string { return nil }).Connections
	if len(got) != 1 || got[0].TCP[client].Gap+got[0].TCP[client].Odd().Conflicts > 0 || got[0].TCP[client].Bytes < 2000*1448 {
		t.Errorf("%d connections, %+v", len(got), got[0].TCP[client])
	}
}

// BenchmarkSegment is the way of a segment to the record it is part of.
func BenchmarkSegment(b *testing.B) {
	x := newBulk(b)
	b.SetBytes(2 * 1448)
	b.ReportAllocs()
	for b.Loop() {
		x.next()
	}
}

// BenchmarkConnection is a connection that comes up, with its facts.
func BenchmarkConnection(b *testing.B) {
	for _, name := range []string{"mutual_tls13", "mutual_tls12", "plain"} {
		segments := segmentsOf(b, name)
		b.Run(name, func(b *testing.B) {
			d := decode.NewDecoder(decode.Options{})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, s := range segments {
					other(&s, i)
					d.Segment(&s)
				}
				if i%1000 == 999 {
					d.Finish(func(uint16) []string { return nil })
					d = decode.NewDecoder(decode.Options{})
				}
			}
		})
	}
}
