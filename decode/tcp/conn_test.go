package tcp_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/tcp"
)

const (
	isn0 = 1000 // of endpoint 0, the client
	isn1 = 7000 // of endpoint 1
)

// A log writes down what a Sink is told, one line an event: direction, offset,
// bytes of the peer acknowledged, frame; then the bytes or the size of the gap.
type log struct{ lines []string }

func (l *log) Data(d tcp.Dir, at tcp.Position, b []byte) {
	l.lines = append(l.lines, fmt.Sprintf("%d@%d ack %d frame %d %q", d, at.Offset, at.Acked, at.Frame.Number, b))
}

func (l *log) Gap(d tcp.Dir, at tcp.Position, n int64) {
	l.lines = append(l.lines, fmt.Sprintf("%d@%d frame %d gap %d", d, at.Offset, at.Frame.Number, n))
}

// A step is a segment, given by offsets instead of sequence numbers: -1 is the
// sequence number of the SYN, 0 the first byte after it.
type step struct {
	d     tcp.Dir
	flags link.Flags
	off   int64
	ack   int64
	data  string
	cut   int // bytes that the capture cut off
	id    uint32
}

// seg returns a data segment of direction d.
func seg(d tcp.Dir, off, ack int64, data string) step {
	return step{d: d, flags: link.ACK | link.PSH, off: off, ack: ack, data: data}
}

func (s step) with(f link.Flags) step { s.flags |= f; return s }
func (s step) snap(n int) step        { s.cut = n; return s }
func (s step) ident(id uint32) step   { s.id = id; return s }

var (
	syn    = step{d: 0, flags: link.SYN, off: -1}
	synAck = step{d: 1, flags: link.SYN | link.ACK, off: -1, ack: 0}
	ack    = step{d: 0, flags: link.ACK}
)

func acks(d tcp.Dir, off, ack int64) step { return step{d: d, flags: link.ACK, off: off, ack: ack} }

func (s step) segment(frame uint32) *link.Segment {
	isn := [2]uint32{isn0, isn1}
	g := &link.Segment{
		Seq:     isn[s.d] + 1 + uint32(s.off),
		Flags:   s.flags,
		Payload: []byte(s.data),
		Length:  len(s.data) + s.cut,
		Time:    int64(frame),
		Frame:   capture.Frame{Number: frame},
		// Every packet differs, but where the test says otherwise.
		Identity: 1<<31 + frame,
	}
	if s.flags.Has(link.ACK) {
		g.Ack = isn[1-s.d] + 1 + uint32(s.ack)
	}
	if s.id != 0 {
		g.Identity = s.id
	}
	return g
}

// run feeds steps, one frame each from frame 1, and returns the log.
func run(c *tcp.Conn, steps ...step) *log {
	l := new(log)
	for i, s := range steps {
		c.Segment(s.d, s.segment(uint32(i+1)), l)
	}
	return l
}

func TestSegment(t *testing.T) {
	open := []step{syn, synAck, ack} // frames 1, 2, 3
	from := func(s ...step) []step { return append(append([]step(nil), open...), s...) }
	tests := []struct {
		name  string
		steps []step
		want  []string // before Flush
		flush []string // by Flush
		stats func(s [2]tcp.Stats) string
		check string
	}{
		{
			name:  "in order",
			steps: from(seg(0, 0, 0, "abc"), seg(1, 0, 3, "xy"), seg(0, 3, 2, "d")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `1@0 ack 3 frame 5 "xy"`, `0@3 ack 2 frame 6 "d"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].Start, s[0].SYNFrame.Number, s[0].Packets, s[0].Bytes, s[0].End, s[0].First, s[0].Last, s[1].Start, s[1].Packets, s[1].Bytes)
			},
			check: "syn 1 4 4 4 1 6 syn 2 2",
		},
		{
			name:  "out of order, with the position of the packet that brought the bytes",
			steps: from(seg(0, 3, 0, "def"), seg(1, 0, 0, "xy"), seg(0, 0, 0, "abc")),
			want:  []string{`1@0 ack 0 frame 5 "xy"`, `0@0 ack 0 frame 6 "abc"`, `0@3 ack 0 frame 4 "def"`},
		},
		{
			name:  "retransmission whole, partial and larger",
			steps: from(seg(0, 0, 0, "abc"), seg(0, 0, 0, "abc"), seg(0, 1, 0, "bcde"), seg(0, 3, 0, "d")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 6 "de"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Bytes, s[0].Odd().Conflicts, s[0].Odd().Unchecked) },
			check: "5 0 0",
		},
		{
			name:  "first bytes win over delivered ones, and the conflict is recorded",
			steps: from(seg(0, 0, 0, "abc"), seg(0, 1, 0, "bXdX"), seg(0, 0, 0, "Xbc")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 5 "dX"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].Odd().Conflicts, s[0].Odd().FirstConflict.Number, s[0].Odd().ConflictOffset)
			},
			check: "2 5 0",
		},
		{
			name:  "first bytes win over held ones",
			steps: from(seg(0, 3, 0, "def"), seg(0, 0, 0, "abcDe")),
			want:  []string{`0@0 ack 0 frame 5 "abc"`, `0@3 ack 0 frame 4 "def"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].Odd().Conflicts, s[0].Odd().FirstConflict.Number, s[0].Odd().ConflictOffset)
			},
			check: "1 5 3",
		},
		{
			name:  "a segment that spans several held ones",
			steps: from(seg(0, 2, 0, "c"), seg(0, 4, 0, "e"), seg(0, 1, 0, "bcdef"), seg(0, 0, 0, "a")),
			want: []string{`0@0 ack 0 frame 7 "a"`, `0@1 ack 0 frame 6 "b"`, `0@2 ack 0 frame 4 "c"`, `0@3 ack 0 frame 6 "d"`,
				`0@4 ack 0 frame 5 "e"`, `0@5 ack 0 frame 6 "f"`},
		},
		{
			name: "keep-alives are neither data nor conflict",
			steps: from(seg(0, -1, 0, "\x00"), seg(0, 0, 0, "abc"), acks(1, 0, 3), seg(0, 2, 0, ""), seg(0, 2, 0, "\x00"), seg(0, 3, 0, "d"),
				seg(0, 6, 0, "gh"), acks(1, 0, 8), seg(0, 7, 0, "\x00")),
			want:  []string{`0@0 ack 0 frame 5 "abc"`, `0@3 ack 0 frame 9 "d"`},
			flush: []string{`0@4 frame 10 gap 2`, `0@6 ack 0 frame 10 "gh"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].Odd().Conflicts, s[0].Odd().Strays, s[0].Bytes, s[0].Gap)
			},
			check: "0 0 6 2",
		},
		{
			name:  "one other byte that nobody has acknowledged is no keep-alive",
			steps: from(seg(0, 0, 0, "abc"), seg(0, 2, 0, "X")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Odd().Conflicts, s[0].Odd().ConflictOffset) },
			check: "1 2",
		},
		{
			name:  "the FIN that answers the other",
			steps: from(step{d: 1, flags: link.FIN | link.ACK, ack: 0}, step{d: 0, flags: link.FIN | link.ACK, ack: 1}, acks(1, 1, 1)),
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Odd().Answers, s[1].Odd().Answers) },
			check: "true false",
		},
		{
			name:  "SYN with data",
			steps: []step{{d: 0, flags: link.SYN, off: -1, data: "early"}, {d: 1, flags: link.SYN | link.ACK, off: -1, ack: 5}, seg(0, 5, 0, " data")},
			want:  []string{`0@0 ack -1 frame 1 "early"`, `0@5 ack 0 frame 3 " data"`},
		},
		{
			name:  "FIN ahead of data that is late",
			steps: from(seg(0, 3, 0, "def").with(link.FIN), seg(0, 0, 0, "abc")),
			want:  []string{`0@0 ack 0 frame 5 "abc"`, `0@3 ack 0 frame 4 "def"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].FIN, s[0].Odd().FINAt.Offset, s[0].Odd().FINAt.Frame.Number, s[0].End, s[0].Gap, s[0].Odd().Conflicts)
			},
			check: "true 6 4 6 0 0",
		},
		{
			name:  "FIN ahead of data that never comes",
			steps: from(seg(0, 0, 0, "abc"), step{d: 0, flags: link.ACK | link.FIN, off: 10}, acks(1, 0, 11)),
			want:  []string{`0@0 ack 0 frame 4 "abc"`},
			flush: []string{`0@3 frame 5 gap 7`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].End, s[0].Bytes, s[0].Gap) },
			check: "10 3 7",
		},
		{
			name:  "FIN is acknowledged, retransmitted and probed",
			steps: from(seg(0, 0, 0, "abc").with(link.FIN), acks(1, 0, 4), seg(0, 0, 0, "abc").with(link.FIN), seg(0, 3, 0, "\x00"), seg(1, 0, 4, "x")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `1@0 ack 3 frame 8 "x"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].FIN, s[0].End, s[0].Odd().Conflicts) },
			check: "true 3 0",
		},
		{
			name:  "data after a FIN is delivered, and contradicts it",
			steps: from(seg(0, 0, 0, "abc").with(link.FIN), seg(0, 3, 0, "def")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 5 "def"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].FIN, s[0].Odd().FINAt.Offset, s[0].End, s[0].Odd().Conflicts, s[0].Odd().ConflictOffset)
			},
			check: "true 3 6 1 3",
		},
		{
			name:  "a FIN below the data, and a second FIN elsewhere, are conflicts",
			steps: from(seg(0, 0, 0, "abc"), step{d: 0, flags: link.FIN | link.ACK, off: 1}, step{d: 0, flags: link.FIN | link.ACK, off: 3}, step{d: 0, flags: link.FIN | link.ACK, off: 4}),
			want:  []string{`0@0 ack 0 frame 4 "abc"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].FIN, s[0].Odd().FINAt.Offset, s[0].End, s[0].Odd().Conflicts)
			},
			check: "true 3 3 2",
		},
		{
			name:  "a FIN out of window is ignored",
			steps: from(seg(0, 0, 0, "abc"), step{d: 0, flags: link.FIN | link.ACK, off: 1<<30 + 4}, seg(0, 3, 0, "d")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 6 "d"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].FIN, s[0].Odd().Strays, s[0].End) },
			check: "false 1 4",
		},
		{
			name:  "data after a RST is delivered",
			steps: from(seg(0, 0, 0, "abc"), step{d: 0, flags: link.RST, off: 3}, seg(0, 3, 0, "def")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 6 "def"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].RST, s[0].Odd().RSTAt.Offset, s[0].Odd().RSTAt.Frame.Number, s[0].Odd().RSTAt.Acked)
			},
			check: "true 3 5 -1",
		},
		{
			name:  "a RST out of window is ignored, its payload never is data",
			steps: from(step{d: 0, flags: link.RST, off: 1<<30 + 1}, seg(0, 0, 0, "bye").with(link.RST), seg(0, 0, 0, "abc")),
			want:  []string{`0@0 ack 0 frame 6 "abc"`},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].RST, s[0].Odd().RSTAt.Frame.Number, s[0].Odd().Strays, s[0].Odd().Conflicts)
			},
			check: "true 4 0 0",
		},
		{
			name:  "RST answers a SYN",
			steps: []step{syn, {d: 1, flags: link.RST | link.ACK, off: -isn1 - 1}},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[1].RST, s[1].Odd().RSTAt.Offset, s[1].Odd().RSTAt.Acked, s[1].End)
			},
			check: "true 0 0 0",
		},
		{
			name:  "segments far away are ignored and counted",
			steps: from(seg(0, 0, 0, "abc"), seg(0, 1<<30+10, 0, "far"), seg(0, -1<<30-10, 0, "old"), seg(0, 3, 0, "d")),
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 7 "d"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Odd().Strays, s[0].Bytes, s[0].Gap) },
			check: "2 4 0",
		},
		{
			name:  "missing in the middle, shown by Flush",
			steps: from(seg(0, 0, 0, "ab"), seg(0, 5, 0, "fg"), acks(1, 0, 7)),
			want:  []string{`0@0 ack 0 frame 4 "ab"`},
			flush: []string{`0@2 frame 5 gap 3`, `0@5 ack 0 frame 5 "fg"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Bytes, s[0].Gap, s[0].End) },
			check: "4 3 7",
		},
		{
			name:  "missing at the end, known from the acknowledgement",
			steps: from(seg(0, 0, 0, "ab"), acks(1, 0, 7)),
			want:  []string{`0@0 ack 0 frame 4 "ab"`},
			flush: []string{`0@2 frame 0 gap 5`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Bytes, s[0].Gap, s[0].End) },
			check: "2 5 7",
		},
		{
			name:  "an older acknowledgement takes nothing back",
			steps: from(seg(0, 0, 0, "ab"), acks(1, 0, 7), acks(1, 0, 2)),
			want:  []string{`0@0 ack 0 frame 4 "ab"`},
			flush: []string{`0@2 frame 0 gap 5`},
		},
		{
			name:  "cut by snaplen: the gap comes with the next segment",
			steps: from(seg(0, 0, 0, "ab").snap(3), seg(0, 5, 0, "fg").snap(1), acks(1, 0, 8), seg(0, 8, 0, "i")),
			want:  []string{`0@0 ack 0 frame 4 "ab"`, `0@2 frame 5 gap 3`, `0@5 ack 0 frame 5 "fg"`, `0@7 frame 7 gap 1`, `0@8 ack 0 frame 7 "i"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Bytes, s[0].Gap, s[0].End) },
			check: "5 4 9",
		},
		{
			name:  "cut by snaplen to nothing",
			steps: from(seg(0, 0, 0, "").snap(5), seg(0, 5, 0, "").snap(5)),
			want:  []string{`0@0 frame 5 gap 5`},
			flush: []string{`0@5 frame 0 gap 5`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Bytes, s[0].Gap, s[0].End) },
			check: "0 10 10",
		},
		{
			name:  "cut by snaplen, whole on another interface",
			steps: from(seg(0, 0, 0, "ab").snap(3), seg(0, 0, 0, "abcde"), seg(0, 5, 0, "fg")),
			want:  []string{`0@0 ack 0 frame 4 "ab"`, `0@2 ack 0 frame 5 "cde"`, `0@5 ack 0 frame 6 "fg"`},
		},
		{
			name:  "cut by snaplen while out of order, and then whole",
			steps: from(seg(0, 3, 0, "d").snap(2), seg(0, 3, 0, "def"), seg(0, 0, 0, "abc")),
			want:  []string{`0@0 ack 0 frame 6 "abc"`, `0@3 ack 0 frame 4 "d"`, `0@4 ack 0 frame 5 "ef"`},
		},
		{
			name:  "cut by snaplen while out of order",
			steps: from(seg(0, 3, 0, "d").snap(2), seg(0, 9, 0, "").snap(2), seg(0, 6, 0, "ghi"), seg(0, 0, 0, "abc"), seg(0, 11, 0, "l")),
			want: []string{`0@0 ack 0 frame 7 "abc"`, `0@3 ack 0 frame 4 "d"`, `0@4 frame 8 gap 2`, `0@6 ack 0 frame 6 "ghi"`,
				`0@9 frame 8 gap 2`, `0@11 ack 0 frame 8 "l"`},
		},
		{
			name:  "midstream, the first pair swapped, both directions",
			steps: []step{seg(0, 103, 50, "def"), seg(0, 100, 50, "abc"), seg(1, 50, 106, "xy"), seg(0, 106, 52, "g")},
			flush: []string{`0@0 ack 0 frame 2 "abc"`, `0@3 ack 0 frame 1 "def"`, `1@0 ack 6 frame 3 "xy"`, `0@6 ack 2 frame 4 "g"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Start, s[0].Bytes, s[0].Gap, s[0].End, s[1].End) },
			check: "unknown 7 0 7 2",
		},
		{
			name: "midstream starts after eight segments",
			steps: []step{seg(0, 101, 0, "b"), seg(0, 102, 0, "c"), seg(0, 103, 0, "d"), seg(0, 104, 0, "e"), seg(0, 105, 0, "f"),
				seg(0, 106, 0, "g"), seg(0, 107, 0, "h"), seg(0, 100, 0, "a"), seg(0, 108, 0, "i"), seg(0, 90, 0, "late")},
			want: []string{`0@0 ack -1 frame 8 "a"`, `0@1 ack -1 frame 1 "b"`, `0@2 ack -1 frame 2 "c"`, `0@3 ack -1 frame 3 "d"`,
				`0@4 ack -1 frame 4 "e"`, `0@5 ack -1 frame 5 "f"`, `0@6 ack -1 frame 6 "g"`, `0@7 ack -1 frame 7 "h"`, `0@8 ack -1 frame 9 "i"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Bytes, s[0].Gap, s[0].Odd().Strays) },
			check: "9 0 1",
		},
		{
			name: "midstream, what acknowledged what does not get lost when one direction has eight segments",
			steps: []step{seg(0, 100, 50, "abc"), seg(1, 50, 103, "p"), seg(1, 51, 103, "q"), seg(1, 52, 103, "r"), seg(0, 103, 53, "d"),
				seg(1, 53, 104, "s"), seg(1, 54, 104, "t"), seg(1, 55, 104, "u"), seg(1, 56, 104, "v"), seg(1, 57, 104, "w"), seg(0, 104, 58, "e")},
			want: []string{`0@0 ack 0 frame 1 "abc"`, `1@0 ack 3 frame 2 "p"`, `1@1 ack 3 frame 3 "q"`, `1@2 ack 3 frame 4 "r"`, `0@3 ack 3 frame 5 "d"`,
				`1@3 ack 4 frame 6 "s"`, `1@4 ack 4 frame 7 "t"`, `1@5 ack 4 frame 8 "u"`, `1@6 ack 4 frame 9 "v"`, `1@7 ack 4 frame 10 "w"`, `0@4 ack 8 frame 11 "e"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Start, s[0].Bytes, s[1].Start, s[1].Bytes) },
			check: "unknown 5 unknown 8",
		},
		{
			name:  "midstream, acknowledgements of bytes in flight before the capture are no gap",
			steps: []step{acks(1, 0, 80), seg(0, 100, 0, "abc"), acks(1, 0, 103)},
			flush: []string{`0@0 ack 0 frame 2 "abc"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Start, s[0].Bytes, s[0].Gap) },
			check: "unknown 3 0",
		},
		{
			name:  "only one direction was captured",
			steps: []step{seg(0, 100, 50, "abc"), seg(0, 103, 60, "def"), seg(0, 106, 90, "g")},
			flush: []string{`0@0 ack 0 frame 1 "abc"`, `0@3 ack 10 frame 2 "def"`, `0@6 ack 40 frame 3 "g"`, `1@0 frame 0 gap 40`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[1].Start, s[1].Packets, s[1].Bytes, s[1].Gap) },
			check: "unknown 0 0 40",
		},
		{
			name:  "midstream, a FIN alone and retransmitted after its acknowledgement",
			steps: []step{acks(1, 50, 101), step{d: 0, flags: link.FIN | link.ACK, off: 100, ack: 50}},
			stats: func(s [2]tcp.Stats) string {
				return fmt.Sprint(s[0].FIN, s[0].Odd().FINAt.Offset, s[0].End, s[0].Gap, s[0].Odd().Conflicts)
			},
			check: "true 0 0 0 0",
		},
		{
			name:  "SYN+ACK lost",
			steps: []step{syn, seg(0, 0, 0, "abc"), seg(1, 0, 3, "xy"), seg(0, 3, 2, "d")},
			want:  []string{`0@0 ack -1 frame 2 "abc"`, `1@0 ack 3 frame 3 "xy"`, `0@3 ack 2 frame 4 "d"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Start, s[1].Start) },
			check: "syn first-ack",
		},
		{
			name:  "SYN+ACK lost, the first acknowledgement covers data that comes later",
			steps: []step{syn, acks(0, 0, 5), seg(1, 0, 0, "hello")},
			want:  []string{`1@0 ack 0 frame 3 "hello"`},
		},
		{
			name:  "SYN+ACK lost, the first acknowledgement covers data that came earlier",
			steps: []step{syn, seg(1, 0, 0, "hello"), acks(0, 0, 5), seg(1, 5, 0, "!")},
			want:  []string{`1@0 ack 0 frame 2 "hello"`, `1@5 ack 0 frame 4 "!"`},
		},
		{
			name:  "SYN+ACK lost, and the first acknowledgement is not the first",
			steps: []step{syn, seg(0, 3, 0, "d"), seg(0, 0, 5, "abc"), seg(1, 5, 4, "x")},
			want:  []string{`0@0 ack -1 frame 3 "abc"`, `0@3 ack -1 frame 2 "d"`},
			flush: []string{`1@0 ack 4 frame 4 "x"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[1].Start) },
			check: "unknown",
		},
		{
			name:  "SYN lost",
			steps: []step{synAck, ack, seg(0, 3, 0, "d"), seg(0, 0, 0, "abc")},
			want:  []string{`0@0 ack 0 frame 4 "abc"`, `0@3 ack 0 frame 3 "d"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Start, s[1].Start) },
			check: "ack syn",
		},
		{
			name:  "SYN and SYN+ACK late",
			steps: []step{seg(1, 0, 3, "xy"), seg(0, 0, 0, "abc"), synAck, syn},
			want:  []string{`1@0 ack -1 frame 1 "xy"`, `0@0 ack 0 frame 2 "abc"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Start, s[1].Start, s[0].SYNFrame.Number) },
			check: "syn syn 4",
		},
		{
			name:  "a SYN+ACK that answers no SYN of ours is ignored",
			steps: []step{syn, {d: 1, flags: link.SYN | link.ACK, off: 500, ack: 99}, synAck, seg(1, 0, 0, "xy")},
			want:  []string{`1@0 ack 0 frame 4 "xy"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[1].Odd().Strays, s[1].SYNFrame.Number) },
			check: "1 3",
		},
		{
			name:  "copies from several interfaces count as one packet",
			steps: from(seg(0, 0, 0, "abc").ident(77), seg(0, 0, 0, "abc").ident(77), seg(0, 0, 0, "abc").ident(78)),
			want:  []string{`0@0 ack 0 frame 4 "abc"`},
			stats: func(s [2]tcp.Stats) string { return fmt.Sprint(s[0].Packets, s[0].Bytes) },
			check: "4 3",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tcp.NewBudget(1 << 20)
			c := tcp.New(tcp.Limits{}, b)
			l := run(c, tt.steps...)
			if d := cmp.Diff(tt.want, l.lines); d != "" {
				t.Errorf("before Flush (-want +got):\n%s", d)
			}
			l.lines = nil
			c.Flush(l)
			if d := cmp.Diff(tt.flush, l.lines); d != "" {
				t.Errorf("by Flush (-want +got):\n%s", d)
			}
			s := [2]tcp.Stats{c.Stats(0), c.Stats(1)}
			for d := range s {
				if int64(s[d].Bytes+s[d].Gap) != s[d].End {
					t.Errorf("direction %d: %d bytes and %d in gaps do not make up %d", d, s[d].Bytes, s[d].Gap, s[d].End)
				}
			}
			if tt.stats != nil {
				if got := tt.stats(s); got != tt.check {
					t.Errorf("stats %q, want %q", got, tt.check)
				}
			}
			if b.Used() != 0 {
				t.Errorf("%d bytes of the budget are still taken", b.Used())
			}
		})
	}
}

// TestFlushIsNotTheEnd: what comes after Flush is delivered, too.
func TestFlushIsNotTheEnd(t *testing.T) {
	c := tcp.New(tcp.Limits{}, nil)
	l := run(c, syn, synAck, seg(0, 0, 0, "abc"))
	c.Flush(l)
	c.Segment(0, seg(0, 3, 0, "def").segment(4), l)
	want := []string{`0@0 ack 0 frame 3 "abc"`, `0@3 ack 0 frame 4 "def"`}
	if d := cmp.Diff(want, l.lines); d != "" {
		t.Error(d)
	}
}

func TestLostAfterWait(t *testing.T) {
	feed := func(acked bool) *log {
		c := tcp.New(tcp.Limits{Wait: 3}, nil)
		steps := []step{syn, synAck, seg(0, 2, 0, "c"), seg(0, 3, 0, "d"), seg(0, 4, 0, "e"), seg(0, 7, 0, "h")}
		if acked {
			steps = append(steps, acks(1, 0, 8))
		}
		return run(c, append(steps, seg(0, 8, 0, "i"), seg(0, 9, 0, "j"))...)
	}
	want := []string{
		// Frame 3 showed the first hole; frame 8 is the first segment with data
		// after the acknowledgement and beyond the third since.
		`0@0 frame 3 gap 2`, `0@2 ack 0 frame 3 "c"`, `0@3 ack 0 frame 4 "d"`, `0@4 ack 0 frame 5 "e"`,
		// Frame 6 showed the second one, which is younger.
	}
	if d := cmp.Diff(want, feed(true).lines); d != "" {
		t.Errorf("acknowledged (-want +got):\n%s", d)
	}
	if got := feed(false).lines; got != nil {
		t.Errorf("not acknowledged: %q", got)
	}
}

func TestBufferFull(t *testing.T) {
	c := tcp.New(tcp.Limits{Buffer: 4}, nil)
	l := run(c, syn, synAck, seg(0, 2, 0, "cd"), seg(0, 6, 0, "gh"), seg(0, 9, 0, "jk"), seg(0, 4, 0, "ef"), seg(0, 20, 0, "uvwxyz"), seg(0, 8, 0, "i"))
	want := []string{`0@0 frame 3 gap 2`, `0@2 ack 0 frame 3 "cd"`, `0@4 ack 0 frame 6 "ef"`, `0@6 ack 0 frame 4 "gh"`,
		// More than the buffer in one segment.
		`0@8 frame 5 gap 1`, `0@9 ack 0 frame 5 "jk"`, `0@11 frame 7 gap 9`, `0@20 ack 0 frame 7 "uvwxyz"`}
	if d := cmp.Diff(want, l.lines); d != "" {
		t.Error(d)
	}
	s := c.Stats(0)
	if s.Odd().Overflows != 3 || s.Gap != 12 || s.Odd().Conflicts != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBudgetExhausted(t *testing.T) {
	b := tcp.NewBudget(100)
	c := tcp.New(tcp.Limits{}, b)
	l := run(c, syn, synAck, seg(0, 0, 0, strings.Repeat("a", 60)), seg(0, 60, 0, strings.Repeat("b", 60)),
		seg(0, 0, 0, "aaX"), seg(0, 130, 0, "late"))
	c.Flush(l)
	s := c.Stats(0)
	if !s.HeadLost || s.Odd().Conflicts != 1 || s.Odd().Overflows != 1 || s.Gap != 10 || s.Bytes != 124 {
		t.Errorf("%+v", s)
	}
	if b.Used() != 0 {
		t.Errorf("%d bytes of the budget are still taken", b.Used())
	}
	// Without any budget a start in the middle is known at once.
	c = tcp.New(tcp.Limits{}, tcp.NewBudget(1))
	l = run(c, acks(1, 0, 50), seg(0, 100, 0, "abc"), seg(0, 103, 0, "d"))
	if d := cmp.Diff([]string{`0@0 ack -1 frame 2 "abc"`, `0@3 ack -1 frame 3 "d"`}, l.lines); d != "" {
		t.Error(d)
	}
}

// TestCutWithoutBudget: that a segment was cut off is known even if there is no
// room for a note.
func TestCutWithoutBudget(t *testing.T) {
	c := tcp.New(tcp.Limits{}, tcp.NewBudget(1))
	l := run(c, seg(0, 100, 0, "").snap(5), seg(0, 110, 0, "").snap(5))
	c.Flush(l)
	if s := c.Stats(0); s.Gap != 15 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestForget(t *testing.T) {
	c := tcp.New(tcp.Limits{Head: 5}, nil)
	l := run(c, syn, synAck, seg(0, 0, 0, "abcdefgh"), seg(0, 3, 0, "deXXXX"))
	if s := c.Stats(0); s.Odd().Conflicts != 0 || s.Odd().Unchecked != 3 || s.Odd().UncheckedOffset != 5 {
		t.Errorf("beyond the head: %+v", s)
	}
	c.Forget()
	c.Segment(0, seg(0, 0, 0, "X").segment(5), l)
	if s := c.Stats(0); s.Odd().Conflicts != 0 || s.Odd().Unchecked != 4 || s.Odd().UncheckedOffset != 0 {
		t.Errorf("after Forget: %+v", s)
	}
}

// longer wants more as long as its number of bytes was not delivered, and then no
// more than usual, or nothing.
type longer struct {
	*log
	until int
	then  tcp.Interest
	got   int
}

func (l *longer) Data(d tcp.Dir, at tcp.Position, b []byte) {
	l.got += len(b)
	l.log.Data(d, at, b)
}

func (l *longer) Interest(tcp.Dir) tcp.Interest {
	if l.got < l.until {
		return tcp.Long
	}
	return l.then
}

// TestLongHead: more of the beginning is kept while the sink wants it, and nothing
// once it did not.
func TestLongHead(t *testing.T) {
	for _, r := range []struct {
		until     int
		unchecked uint64
		from      int64
	}{{0, 15, 5}, {4, 15, 5}, {5, 12, 8}, {9, 8, 12}, {17, 4, 16}, {99, 4, 16}} {
		c, l := tcp.New(tcp.Limits{Head: 5, LongHead: 16}, nil), &longer{log: new(log), until: r.until, then: tcp.Usual}
		for i, s := range []step{syn, synAck, seg(0, 0, 0, "abcd"), seg(0, 4, 0, "efgh"), seg(0, 8, 0, "ijkl"), seg(0, 12, 0, "mnopqrst")} {
			c.Segment(s.d, s.segment(uint32(i+1)), l)
		}
		c.Segment(0, seg(0, 0, 0, "abcdefghijklmnopqrst").segment(9), l)
		if s := c.Stats(0); s.Odd().Conflicts != 0 || s.Odd().Unchecked != r.unchecked || s.Odd().UncheckedOffset != r.from {
			t.Errorf("until %d: %+v", r.until, s.Odd())
		}
		c.Segment(0, seg(0, 6, 0, "g!").segment(10), l)
		if s := c.Stats(0); (s.Odd().Conflicts > 0) != (r.from > 7) {
			t.Errorf("until %d: %d conflicts", r.until, s.Odd().Conflicts)
		}
	}
}

// TestNoMoreOfHead: once nothing more matters to the sink, the beginning takes no more
// memory, and what is there of it is still compared and condensed.
func TestNoMoreOfHead(t *testing.T) {
	piece := func(i int) string { return strings.Repeat(string(rune('a'+i)), 300) }
	budget := tcp.NewBudget(1 << 20)
	c, l := tcp.New(tcp.Limits{}, budget), &longer{log: new(log), until: 1000, then: tcp.NoMore}
	c.Segment(0, syn.segment(1), l)
	c.Segment(1, synAck.segment(2), l)
	for i := range 40 {
		off := int64(300 * i)
		for d := range tcp.Dir(2) {
			c.Segment(d, seg(d, off, off+300*int64(d), piece(i%26)).segment(3), l)
		}
	}
	c.Segment(0, acks(0, 12000, 12000).segment(4), l)
	if used := budget.Used(); used > 3<<10 {
		t.Errorf("%d bytes", used)
	}
	c.Segment(0, seg(0, 0, 0, piece(0)+piece(1)).segment(5), l)
	c.Segment(0, seg(0, 11700, 0, piece(3)).segment(6), l)
	if s := c.Stats(0); s.Odd().Conflicts != 0 || s.Odd().Unchecked != 300 || s.Odd().UncheckedOffset != 11700 {
		t.Errorf("%+v", s.Odd())
	}
	late := 7 + int64(time.Second)
	for range 2 {
		if !c.Condense(late) {
			t.Error("not condensed")
		}
	}
	c.Segment(0, seg(0, 300, 0, piece(2)).segment(7), l)
	if s := c.Stats(0); s.Odd().ConflictOffset != 300 {
		t.Errorf("%+v", s.Odd())
	}
}

// TestLateForGap: bytes that come after their gap was declared are not
// delivered, and are no conflict.
func TestLateForGap(t *testing.T) {
	c := tcp.New(tcp.Limits{Buffer: 1}, nil)
	l := run(c, syn, synAck, seg(0, 0, 0, "ab"), seg(0, 4, 0, "ef"), seg(0, 1, 0, "bcdeX"), seg(0, 0, 0, "ab"))
	want := []string{`0@0 ack 0 frame 3 "ab"`, `0@2 frame 4 gap 2`, `0@4 ack 0 frame 4 "ef"`}
	if d := cmp.Diff(want, l.lines); d != "" {
		t.Error(d)
	}
	if s := c.Stats(0); s.Odd().Conflicts != 1 || s.Odd().ConflictOffset != 5 || s.Odd().Unchecked != 2 || s.Odd().UncheckedOffset != 2 {
		t.Errorf("%+v", s)
	}
}

// TestLongStream: offsets go on beyond 4 GiB, and acknowledgements with them.
func TestLongStream(t *testing.T) {
	c := tcp.New(tcp.Limits{}, nil)
	var l counter
	c.Segment(0, syn.segment(1), &l)
	c.Segment(1, synAck.segment(2), &l)
	b := make([]byte, 1<<28)
	var off int64
	for range 20 {
		s := seg(0, off, 0, "").segment(3)
		s.Payload, s.Length = b, len(b)
		c.Segment(0, s, &l)
		off += int64(len(b))
		c.Segment(1, acks(1, 0, off).segment(4), &l)
	}
	c.Segment(1, seg(1, 0, off, "x").segment(5), &l)
	c.Flush(&l)
	if s := c.Stats(0); s.End != off || s.Gap != 0 || s.Odd().Strays != 0 || l.last.Acked != off {
		t.Errorf("%+v, acknowledged %d, want %d", s, l.last.Acked, off)
	}
}

// TestLongGap: after a hole of more than 1 GiB, of which acknowledgements told,
// the stream goes on.
func TestLongGap(t *testing.T) {
	c := tcp.New(tcp.Limits{}, nil)
	l := run(c, syn, synAck, seg(0, 0, 0, "abc"), acks(1, 0, 1<<29), acks(1, 0, 1<<30+1<<29), seg(0, 1<<30+1<<29+10, 0, "def"))
	c.Flush(l)
	want := []string{`0@0 ack 0 frame 3 "abc"`, `0@3 frame 6 gap 1610612743`, `0@1610612746 ack 0 frame 6 "def"`}
	if d := cmp.Diff(want, l.lines); d != "" {
		t.Error(d)
	}
}

type counter struct {
	bytes, gap int64
	last       tcp.Position
}

func (c *counter) Data(_ tcp.Dir, at tcp.Position, b []byte) { c.bytes += int64(len(b)); c.last = at }
func (c *counter) Gap(_ tcp.Dir, at tcp.Position, n int64)   { c.gap += n; c.last = at }

func TestReuses(t *testing.T) {
	at := func(s step, off int64) step { s.off = off; return s }
	open := []step{syn, synAck, ack}
	closed := append(open[:3:3], seg(0, 0, 0, "abc").with(link.FIN), seg(1, 0, 4, "").with(link.FIN), acks(0, 4, 1))
	mid := []step{seg(0, 100_000, 50_000, "abc"), seg(1, 50_000, 100_003, "xy")}
	other := step{d: 1, flags: link.SYN | link.ACK, off: 5000, ack: 9000}
	tests := []struct {
		name  string
		steps []step
		s     step
		want  bool
	}{
		{"first SYN", nil, syn, false},
		{"retransmitted SYN", open, syn, false},
		{"SYN with another ISN", open, at(syn, 500), true},
		{"SYN with another ISN, after both closed", closed, at(syn, 500), true},
		{"SYN with the same ISN, after both closed", closed, syn, false},
		{"SYN refused and tried again", []step{syn, {d: 1, flags: link.RST | link.ACK}}, at(syn, 500), true},
		{"SYN in the other direction", closed, step{d: 1, flags: link.SYN, off: 500}, true},
		{"SYN after the middle of a connection", mid, syn, true},
		{"SYN after the other direction's data only", mid[1:], syn, true},
		{"SYN swapped with the first data", []step{seg(0, 0, 0, "abc")}, syn, false},
		{"SYN after more of the first data", []step{seg(0, 30, 0, "abc")}, syn, false},
		{"SYN with an ISN above the data", []step{seg(0, 30, 0, "abc")}, at(syn, 30), true},
		{"SYN swapped with the RST that answers it", []step{{d: 1, flags: link.RST | link.ACK, off: -isn1 - 1}}, syn, false},
		{"simultaneous SYN", []step{syn}, step{d: 1, flags: link.SYN, off: -1}, false},
		{"SYN+ACK", []step{syn}, synAck, false},
		{"SYN+ACK to a SYN with data", []step{{flags: link.SYN, off: -1, data: "abc"}}, step{d: 1, flags: link.SYN | link.ACK, off: -1, ack: 3}, false},
		{"retransmitted SYN+ACK", open, synAck, false},
		{"SYN+ACK with another ISN to the same SYN", open, at(synAck, 500), false},
		{"SYN+ACK with another ISN to another SYN", open, other, true},
		{"SYN+ACK to another SYN, after the middle of a connection", mid, other, true},
		{"SYN+ACK to another SYN, one direction captured", []step{synAck, seg(1, 0, 0, "x")}, other, true},
		{"RST with SYN", open, at(syn, 500).with(link.RST), false},
		{"FIN with SYN", open, at(syn, 500).with(link.FIN), false},
		{"data", open, seg(0, 500, 0, "abc"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tcp.New(tcp.Limits{}, nil)
			run(c, tt.steps...)
			if got := c.Reuses(tt.s.d, tt.s.segment(99)); got != tt.want {
				t.Errorf("Reuses = %v", got)
			}
		})
	}
}

// TestWrap sends bytes across the end of the sequence numbers, in and out of
// order.
func TestWrap(t *testing.T) {
	for _, start := range []uint32{0xffffffff, 0xfffffffe, 0xfffffffa, 0x7fffffff, 0x7ffffffc, 0} {
		c := tcp.New(tcp.Limits{}, nil)
		var l log
		text := "abcdefghij"
		c.Segment(0, &link.Segment{Seq: start, Flags: link.SYN}, &l)
		for i, at := range []int{4, 2, 6, 0, 8} {
			c.Segment(0, &link.Segment{Seq: start + 1 + uint32(at), Flags: link.ACK, Payload: []byte(text[at : at+2]), Frame: capture.Frame{Number: uint32(i)}}, &l)
		}
		c.Segment(0, &link.Segment{Seq: start + 11, Flags: link.FIN}, &l)
		want := []string{`0@0 ack -1 frame 3 "ab"`, `0@2 ack -1 frame 1 "cd"`, `0@4 ack -1 frame 0 "ef"`, `0@6 ack -1 frame 2 "gh"`, `0@8 ack -1 frame 4 "ij"`}
		if d := cmp.Diff(want, l.lines); d != "" {
			t.Errorf("ISN %#x: %s", start, d)
		}
		if s := c.Stats(0); !s.FIN || s.Odd().FINAt.Offset != 10 {
			t.Errorf("ISN %#x: FIN at %d", start, s.Odd().FINAt.Offset)
		}
	}
}

// inOrder returns a connection that is open, and a segment that goes on with
// it each time that next is called.
func inOrder() (c *tcp.Conn, s *link.Segment, next func()) {
	c = tcp.New(tcp.Limits{}, tcp.NewBudget(0))
	var l counter
	c.Segment(0, syn.segment(1), &l)
	c.Segment(1, synAck.segment(2), &l)
	s = seg(0, 0, 0, strings.Repeat("x", 1400)).segment(3)
	return c, s, func() {
		c.Segment(0, s, &l)
		s.Seq += 1400
		s.Identity++
	}
}

func TestInOrderDoesNotAllocate(t *testing.T) {
	_, _, next := inOrder()
	for range 100 {
		next() // fills the head
	}
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("%v allocations per segment, the head is full", n)
	}
	c, _, next := inOrder()
	c.Forget()
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("%v allocations per segment, the head is forgotten", n)
	}
}

// A sum takes what is delivered as one text.
type sum struct{ text []byte }

func (s *sum) Data(_ tcp.Dir, _ tcp.Position, b []byte) { s.text = append(s.text, b...) }
func (s *sum) Gap(tcp.Dir, tcp.Position, int64)         {}

// TestHeldRoom: what waits is put where something else waited before, but not
// where a clone still has it.
func TestHeldRoom(t *testing.T) {
	const size = 1400
	piece := func(i int64) *link.Segment {
		return seg(0, i*size, 0, strings.Repeat(string(rune('a'+i)), size)).segment(uint32(4 + i))
	}
	c := tcp.New(tcp.Limits{}, tcp.NewBudget(0))
	run(c, syn, synAck, ack)
	var all, cloned sum
	c.Segment(0, piece(1), &all)
	clone := c.Clone()
	for _, i := range []int64{0, 3, 2, 5, 4} {
		c.Segment(0, piece(i), &all)
	}
	clone.Segment(0, piece(0), &cloned)
	for x, want := range map[*sum]string{&all: "abcdef", &cloned: "ab"} {
		got := ""
		for i := 0; i < len(x.text); i += size {
			if same := bytes.Count(x.text[i:i+size], x.text[i:i+1]); same == size {
				got += string(x.text[i])
			}
		}
		if got != want || len(x.text) != len(want)*size {
			t.Errorf("%d bytes, of %q; want %q", len(x.text), got, want)
		}
	}
}

func TestSwappedDoesNotAllocate(t *testing.T) {
	_, s, _ := inOrder()
	c := tcp.New(tcp.Limits{}, tcp.NewBudget(0))
	run(c, syn, synAck, ack)
	c.Forget()
	var l counter
	if n := testing.AllocsPerRun(1000, func() {
		s.Seq += 1400
		c.Segment(0, s, &l)
		s.Seq -= 1400
		c.Segment(0, s, &l)
		s.Seq += 2800
	}); n > 2 { // the list of what waits
		t.Errorf("%v allocations for what waits", n)
	}
}

func BenchmarkInOrder(b *testing.B) {
	c, s, next := inOrder()
	c.Forget()
	b.SetBytes(int64(len(s.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// TestCondense: what comes again is compared with sums of the pieces. Of a part
// of a piece it is not known whether it is the same.
func TestCondense(t *testing.T) {
	for _, r := range []struct {
		name      string
		off       int64
		data      string
		conflict  int64 // -1: none
		unchecked uint64
		from      int64
	}{
		{"a piece", 3, "defg", -1, 0, 0},
		{"two pieces", 0, "abcdefg", -1, 0, 0},
		{"another piece", 3, "dXfg", 3, 0, 0},
		{"two pieces, the second another", 0, "abcdXfg", 3, 0, 0},
		{"a part", 4, "ef", -1, 2, 4},
		{"another part", 4, "XX", -1, 2, 4},
		{"a piece and a part", 0, "abcde", -1, 2, 3},
		{"a piece that came after", 7, "hij", -1, 0, 0},
		{"another one", 7, "hiX", 7, 0, 0},
		{"one behind what is kept", 10, "klX", -1, 3, 10},
	} {
		c := tcp.New(tcp.Limits{}, tcp.NewBudget(1<<20))
		l := run(c, syn, synAck, seg(0, 0, 0, "abc"), seg(0, 3, 0, "defg"), seg(1, 0, 7, "x"), seg(0, 7, 1, ""))
		late := seg(0, 7, 1, "hij").segment(9)
		if early := *late; c.Condense(early.Time) {
			t.Fatal("condensed at once")
		}
		late.Time += int64(time.Second)
		for range 2 {
			if !c.Condense(late.Time) {
				t.Fatal("not condensed")
			}
		}
		c.Segment(0, late, l)
		if c.Decided([2]int64{10, 10}); c.Condense(late.Time) {
			t.Fatal("condensed again")
		}
		c.Segment(0, seg(0, 10, 1, "klm").segment(9), l)
		again := seg(0, r.off, 1, r.data).segment(10)
		c.Segment(0, again, l)
		s := c.Stats(0)
		if conflict := s.Odd().Conflicts > 0; conflict != (r.conflict >= 0) || conflict && s.Odd().ConflictOffset != r.conflict {
			t.Errorf("%s: conflict at %d (%t)", r.name, s.Odd().ConflictOffset, conflict)
		}
		if s.Odd().Unchecked != r.unchecked || s.Odd().UncheckedOffset != r.from {
			t.Errorf("%s: %d unchecked from %d", r.name, s.Odd().Unchecked, s.Odd().UncheckedOffset)
		}
	}
}

// TestPause: a packet is the copy of one only shortly after it.
func TestPause(t *testing.T) {
	c := tcp.New(tcp.Limits{}, nil)
	run(c, syn, synAck, ack)
	s := ack.segment(3) // again
	for _, step := range []struct {
		now  int64
		want uint64
	}{{1e9 - 1, 2}, {1e9 + 2, 2}, {1e9 + 3, 3}} {
		c.Pause(step.now)
		c.Segment(tcp.From0, s, new(log))
		if got := c.Stats(tcp.From0).Packets; got != step.want {
			t.Errorf("at %d: %d packets, want %d", step.now, got, step.want)
		}
	}
}

// TestPatience: a hole that the receiver has acknowledged is given up sooner where memory
// is tight, and nothing more matters to the sink or something else is missing already.
func TestPatience(t *testing.T) {
	const room = 1 << 20
	for _, r := range []struct {
		name   string
		budget int
		wants  tcp.Interest
		waits  [2]int64 // for the first hole, and for the second
	}{
		{"tight, and nothing matters", 4000, tcp.NoMore, [2]int64{8, 8}},
		{"tight, but it matters", 4000, tcp.Usual, [2]int64{64, 8}},
		{"nothing matters, but there is room", room, tcp.NoMore, [2]int64{64, 64}},
	} {
		budget := tcp.NewBudget(100*(1+96) + r.budget)
		if r.budget < room { // as if others held that much
			hog := tcp.New(tcp.Limits{}, budget)
			run(hog, syn, synAck, ack, seg(0, 1, 0, strings.Repeat("x", r.budget)))
		}
		c, l := tcp.New(tcp.Limits{Head: -1}, budget), &longer{log: new(log), then: r.wants}
		for _, s := range []step{syn, synAck, ack} {
			c.Segment(s.d, s.segment(1), l)
		}
		off := int64(0)
		for hole, waits := range r.waits {
			off++ // one byte is missing
			for n := range waits + 1 {
				c.Segment(1, acks(1, 0, off+1).segment(2), l)
				c.Segment(0, seg(0, off, 0, "x").segment(3), l)
				off++
				if got := c.Stats(0).Gap > uint64(hole); got != (n == waits) {
					t.Fatalf("%s: hole %d given up after %d further segments: %t", r.name, hole, n, got)
				}
			}
		}
	}
}
