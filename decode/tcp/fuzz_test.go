package tcp_test

import (
	"encoding/binary"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/tcp"
)

// A ledger checks that a stream is delivered without a seam.
type ledger struct {
	t     *testing.T
	next  [2]int64
	bytes [2]uint64
}

func (l *ledger) Data(d tcp.Dir, at tcp.Position, b []byte) {
	l.step(d, at, int64(len(b)))
	l.bytes[d] += uint64(len(b))
}

func (l *ledger) Gap(d tcp.Dir, at tcp.Position, n int64) { l.step(d, at, n) }

func (l *ledger) step(d tcp.Dir, at tcp.Position, n int64) {
	if at.Offset != l.next[d] || n <= 0 || at.Acked < -1 {
		l.t.Fatalf("direction %d: %d bytes at %+v, after %d", d, n, at, l.next[d])
	}
	l.next[d] += n
}

// FuzzSegments feeds segments with any fields. In the input a segment is
//
//	flags and direction(1) length(1) captured(1) identity(1) seq(4) ack(4)
func FuzzSegments(f *testing.F) {
	add := func(steps ...step) {
		var b []byte
		for i, s := range steps {
			g := s.segment(uint32(i))
			b = append(b, byte(g.Flags)|byte(s.d)<<7, byte(g.Length), byte(len(g.Payload)), byte(i))
			b = binary.BigEndian.AppendUint32(b, g.Seq)
			b = binary.BigEndian.AppendUint32(b, g.Ack)
		}
		f.Add(b, uint16(0), uint16(0))
		f.Add(b, uint16(10), uint16(200))
	}
	add(syn, synAck, ack, seg(0, 0, 0, "abc"), seg(0, 6, 0, "ghi"), seg(0, 2, 0, "cdefg"), acks(1, 0, 9), seg(0, 9, 0, "").with(link.FIN))
	add(syn, seg(1, 0, 0, "hello"), acks(0, 0, 5), seg(1, 20, 0, "u").snap(9), seg(1, 5, 0, ""), step{d: 1, flags: link.RST, off: 30})
	add(seg(0, 103, 50, "def"), seg(0, 100, 50, "abc"), seg(1, 50, 106, "xy").snap(4), acks(0, 106, 80))
	f.Fuzz(func(t *testing.T, b []byte, buffer, total uint16) {
		budget := tcp.NewBudget(int(total))
		c := tcp.New(tcp.Limits{Buffer: int(buffer), Head: 64, Wait: 4}, budget)
		l := &ledger{t: t}
		for frame := uint32(1); len(b) >= 12; frame++ {
			s := &link.Segment{
				Flags:    link.Flags(b[0] & 0x1f),
				Length:   int(b[1]),
				Payload:  make([]byte, min(b[2], b[1])),
				Identity: uint32(b[3]),
				Seq:      binary.BigEndian.Uint32(b[4:]),
				Ack:      binary.BigEndian.Uint32(b[8:]),
				Frame:    capture.Frame{Number: frame},
			}
			for i := range s.Payload {
				s.Payload[i] = byte(s.Seq) + byte(i)
			}
			d := tcp.Dir(b[0] >> 7)
			if b[3]&0x80 != 0 && c.Reuses(d, s) {
				c.Flush(l)
				c, l = tcp.New(tcp.Limits{Buffer: int(buffer), Head: 64}, budget), &ledger{t: t}
			}
			c.Segment(d, s, l)
			if used := budget.Used(); used < 0 || total > 0 && used > int(total) {
				t.Fatalf("%d bytes of the budget of %d are taken", used, total)
			}
			if b[3] == 0x7f {
				c.Flush(l)
			}
			b = b[12:]
		}
		c.Flush(l)
		for d := range l.next {
			s := c.Stats(tcp.Dir(d))
			if s.End != l.next[d] || s.Bytes != l.bytes[d] || int64(s.Bytes+s.Gap) != s.End {
				t.Errorf("direction %d: %d delivered of %d, but %+v", d, l.bytes[d], l.next[d], s)
			}
		}
		if budget.Used() != 0 {
			t.Errorf("%d bytes of the budget are still taken", budget.Used())
		}
	})
}
