package tcp_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/tcp"
)

// A packet is a segment with what the sender meant by it.
type packet struct {
	link.Segment
	d   tcp.Dir
	pos int64 // offset of the payload in the sender's stream
	ack int64 // bytes of the peer's stream acknowledged
}

// A session is one connection as its two ends know it. The byte at offset i of
// a stream is i, so a delivered byte tells where it belongs.
type session struct {
	length [2]int64
	isn    [2]uint32
	sent   []packet // in the order of sending
	// packets are what the capture has of sent, and what was done to it.
	packets  []packet
	lost     bool // some packet is not in the capture
	resent   bool // some bytes are sent again
	altered  bool // some of them with other bytes
	cut      bool // some packet is captured in part
	shuffled bool
}

func (s *session) packet(d tcp.Dir, f link.Flags, pos, n, ack int64) packet {
	p := packet{d: d, pos: pos, ack: ack}
	p.Flags = f
	p.Seq = s.isn[d] + 1 + uint32(pos)
	if f.Has(link.SYN) {
		p.Seq--
	}
	if f.Has(link.ACK) {
		p.Ack = s.isn[1-d] + 1 + uint32(ack)
	}
	for i := range n {
		p.Payload = append(p.Payload, byte(pos+i))
	}
	p.Length = int(n)
	return p
}

// newSession sends two streams: a handshake, data in both directions in random
// pieces, retransmissions of random ranges, and a FIN at each end.
func newSession(t *rapid.T, isn [2]uint32) *session {
	s := &session{isn: isn}
	s.sent = append(s.sent, s.packet(0, link.SYN, 0, 0, 0), s.packet(1, link.SYN|link.ACK, 0, 0, 0), s.packet(0, link.ACK, 0, 0, 0))
	for d := range s.length {
		s.length[d] = rapid.Int64Range(0, 250).Draw(t, fmt.Sprintf("length%d", d))
	}
	retransmit := rapid.Bool().Draw(t, "retransmit")
	largest := rapid.Int64Range(1, 60).Draw(t, "largest segment")
	var at [2]int64
	for at != s.length {
		d := tcp.Dir(rapid.IntRange(0, 1).Draw(t, "direction"))
		if at[d] == s.length[d] {
			d = 1 - d
		}
		n := min(rapid.Int64Range(1, largest).Draw(t, "size"), s.length[d]-at[d])
		s.sent = append(s.sent, s.packet(d, link.ACK, at[d], n, at[1-d]))
		at[d] += n
		// One byte just before the end may look like a keep-alive.
		if retransmit && at[d] > 2 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			pos := rapid.Int64Range(0, at[d]-2).Draw(t, "again from")
			n := rapid.Int64Range(2, at[d]-pos).Draw(t, "again size")
			s.sent = append(s.sent, s.packet(d, link.ACK, pos, n, at[1-d]))
			s.resent = true
		}
		if rapid.Bool().Draw(t, "acknowledge") {
			s.sent = append(s.sent, s.packet(1-d, link.ACK, at[1-d], 0, at[d]))
		}
	}
	s.sent = append(s.sent, s.packet(0, link.FIN|link.ACK, at[0], 0, at[1]), s.packet(1, link.FIN|link.ACK, at[1], 0, at[0]+1),
		s.packet(0, link.ACK, at[0]+1, 0, at[1]+1))
	s.packets = slices.Clone(s.sent)
	return s
}

// drop removes packets from the capture.
func (s *session) drop(t *rapid.T, keepSYN bool) {
	first := 0
	if keepSYN {
		first = 2
	}
	remove := func(which func(i int, p packet) bool) {
		var kept []packet
		for i, p := range s.packets {
			if i < first || !which(i, p) {
				kept = append(kept, p)
			}
		}
		s.lost = s.lost || len(kept) < len(s.packets)
		s.packets = kept
	}
	switch rapid.SampledFrom([]string{"", "some", "beginning", "end", "direction"}).Draw(t, "lose") {
	case "some":
		remove(func(int, packet) bool { return rapid.IntRange(0, 4).Draw(t, "lost") == 0 })
	case "beginning":
		n := rapid.IntRange(0, len(s.packets)).Draw(t, "first packets lost")
		remove(func(i int, _ packet) bool { return i < n })
	case "end":
		n := rapid.IntRange(0, len(s.packets)).Draw(t, "packets captured")
		remove(func(i int, _ packet) bool { return i >= n })
	case "direction":
		d := tcp.Dir(rapid.IntRange(0, 1).Draw(t, "direction lost"))
		remove(func(_ int, p packet) bool { return p.d == d })
	}
}

// spoil alters, cuts, doubles and shuffles what was captured. The handshake
// stays where it is if it is there.
func (s *session) spoil(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "snap") == 0 {
		keep := rapid.IntRange(0, 40).Draw(t, "snaplen")
		for i := range s.packets {
			if p := &s.packets[i]; len(p.Payload) > keep {
				p.Payload = p.Payload[:keep]
				s.cut = true
			}
		}
	}
	for n := rapid.IntRange(0, 4).Draw(t, "copies"); n > 0 && len(s.packets) > 0; n-- {
		i := rapid.IntRange(0, len(s.packets)-1).Draw(t, "copied")
		s.packets = slices.Insert(s.packets, i, s.packets[i])
	}
	window := rapid.IntRange(0, 6).Draw(t, "reordering")
	for i := range s.packets {
		j := min(i+rapid.IntRange(0, window).Draw(t, "by"), len(s.packets)-1)
		if j > i && !s.packets[i].Flags.Has(link.SYN) {
			s.packets[i], s.packets[j] = s.packets[j], s.packets[i]
			s.shuffled = true
		}
	}
}

// alter gives one retransmission of the beginning other bytes.
func (s *session) alter(t *rapid.T) {
	if s.cut || s.length[0] < 3 {
		return
	}
	if slices.ContainsFunc(s.packets, func(p packet) bool { return p.Length == 1 }) {
		return // it may look like a keep-alive
	}
	p := s.packet(0, link.ACK, 0, rapid.Int64Range(2, s.length[0]).Draw(t, "altered size"), 0)
	p.Payload[rapid.IntRange(0, len(p.Payload)-1).Draw(t, "altered byte")] ^= 0xff
	i := rapid.IntRange(3, len(s.packets)).Draw(t, "altered at")
	s.packets = slices.Insert(s.packets, i, p)
	s.altered = true
}

// A witness checks what a Conn delivers while it does.
type witness struct {
	t     *rapid.T
	bytes [2][]byte // -1 is a gap
	known [2][]bool
	at    [2][]tcp.Position // of each byte
	gap   [2]int64
}

func (w *witness) place(d tcp.Dir, at tcp.Position) {
	if at.Offset != int64(len(w.bytes[d])) {
		w.t.Fatalf("direction %d: offset %d after %d bytes", d, at.Offset, len(w.bytes[d]))
	}
}

func (w *witness) Data(d tcp.Dir, at tcp.Position, b []byte) {
	w.place(d, at)
	if len(b) == 0 {
		w.t.Fatal("no data in Data")
	}
	for _, x := range b {
		w.bytes[d] = append(w.bytes[d], x)
		w.known[d] = append(w.known[d], true)
		w.at[d] = append(w.at[d], at)
	}
}

func (w *witness) Gap(d tcp.Dir, at tcp.Position, n int64) {
	w.place(d, at)
	if n <= 0 || n > 1000 {
		w.t.Fatalf("gap of %d bytes", n)
	}
	w.gap[d] += n
	w.bytes[d] = append(w.bytes[d], make([]byte, n)...)
	w.known[d] = append(w.known[d], make([]bool, n)...)
	w.at[d] = append(w.at[d], make([]tcp.Position, n)...)
}

// check compares what was delivered with what was captured.
func (s *session) check(t *rapid.T, c *tcp.Conn, w *witness) {
	for _, p := range s.packets {
		t.Logf("frame %d: from %d flags %b pos %d length %d captured %d ack %d", p.Frame.Number, p.d, p.Flags, p.pos, p.Length, len(p.Payload), p.ack)
	}
	var shift [2]int64 // offset in the sender's stream of the offset 0 delivered
	var sure [2]bool
	var stats [2]tcp.Stats
	for d := range shift {
		stats[d] = c.Stats(tcp.Dir(d))
		shift[d], sure[d] = s.shift(w, d, stats[d])
	}
	for d := range shift {
		st := stats[d]
		if int64(st.Bytes+st.Gap) != st.End || st.End != int64(len(w.bytes[d])) || int64(st.Gap) != w.gap[d] {
			t.Fatalf("direction %d: %d delivered, %d in gaps; %+v", d, len(w.bytes[d]), w.gap[d], st)
		}
		if st.Start != tcp.StartUnknown && st.Start != tcp.StartFirstAck && shift[d] != 0 {
			t.Fatalf("direction %d: starts %d bytes late", d, shift[d])
		}
		// An acknowledged FIN that was not captured looks like a byte.
		if sure[d] && shift[d] < 0 {
			t.Fatalf("direction %d: starts at %d", d, shift[d])
		}
		if shift[d]+st.End > s.length[d]+1 || st.FIN && shift[d]+st.End != s.length[d] {
			t.Fatalf("direction %d: ends at %d+%d, %d were sent; %+v", d, shift[d], st.End, s.length[d], st)
		}
		if st.Odd().Strays > 0 && st.Start != tcp.StartUnknown && st.Start != tcp.StartFirstAck {
			t.Fatalf("direction %d: %+v", d, st)
		}
		s.checkBytes(t, w, d, shift, sure)
		if (st.Odd().Conflicts > 0) != (s.altered && d == 0) && (st.Odd().Conflicts > 0 || !s.lost) {
			t.Fatalf("direction %d: altered %v, but %+v", d, s.altered, st)
		}
		if s.lost || s.cut {
			continue
		}
		if st.Gap != 0 || st.Start != tcp.StartSYN || int64(st.Bytes) != s.length[d] || !st.FIN || st.Odd().FINAt.Offset != s.length[d] || st.Odd().Strays > 0 || st.Odd().Unchecked > 0 {
			t.Fatalf("direction %d: nothing was lost of %d bytes, but %+v", d, s.length[d], st)
		}
	}
}

// shift finds out where a stream without a beginning was taken up, and whether
// that is sure.
func (s *session) shift(w *witness, d int, st tcp.Stats) (int64, bool) {
	if st.Start == tcp.StartSYN || st.Start == tcp.StartAck {
		return 0, true
	}
	if i := slices.Index(w.known[d], true); i >= 0 {
		return int64(w.bytes[d][i]) - int64(i), true
	}
	if st.FIN {
		return s.length[d] - st.Odd().FINAt.Offset, true
	}
	return 0, false // nothing but acknowledgements, or all cut off
}

// checkBytes checks each byte delivered, where it came from, and that no
// captured byte is missing without need.
func (s *session) checkBytes(t *rapid.T, w *witness, d int, shift [2]int64, sure [2]bool) {
	for i := range w.bytes[d] {
		pos := shift[d] + int64(i)
		first := slices.IndexFunc(s.packets, func(p packet) bool {
			return int(p.d) == d && p.pos <= pos && pos < p.pos+int64(len(p.Payload))
		})
		if !w.known[d][i] {
			continue
		}
		if first < 0 {
			t.Fatalf("direction %d: byte %d was delivered but not captured", d, pos)
		}
		p, at := &s.packets[first], w.at[d][i]
		if w.bytes[d][i] != p.Payload[pos-p.pos] || at.Frame != p.Frame || at.Time != p.Time {
			t.Fatalf("direction %d: byte %d is %#x of %+v, the first captured was %#x of %+v", d, pos, w.bytes[d][i], at, p.Payload[pos-p.pos], p)
		}
		if want := min(max(p.ack-shift[1-d], 0), s.length[1-d]-shift[1-d]); sure[1-d] && at.Acked != -1 && at.Acked != want {
			t.Fatalf("direction %d: byte %d acknowledges %d, want %d", d, pos, at.Acked, want)
		}
	}
}

func TestModel(t *testing.T) { rapid.Check(t, model) }

func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(model)) }

// model captures one or two connections on the same addresses and ports.
func model(t *rapid.T) {
	near := rapid.Custom(func(t *rapid.T) uint32 {
		base := rapid.SampledFrom([]uint32{0, 1 << 31, 1<<31 - 1, rapid.Uint32().Draw(t, "any")}).Draw(t, "base")
		return base - rapid.Uint32Range(0, 300).Draw(t, "below")
	})
	isn := [2]uint32{near.Draw(t, "isn0"), near.Draw(t, "isn1")}
	sessions := []*session{newSession(t, isn)}
	if rapid.IntRange(0, 3).Draw(t, "reuse") == 0 {
		next := [2]uint32{isn[0] + rapid.Uint32Range(1000, math.MaxUint32-1<<16).Draw(t, "step"), isn[1] + 64001}
		sessions = append(sessions, newSession(t, next))
	}
	frame := uint32(0)
	for i, s := range sessions {
		s.drop(t, i > 0)
		s.spoil(t)
		if !s.lost && rapid.IntRange(0, 3).Draw(t, "alter") == 0 {
			s.alter(t)
		}
		for j := range s.packets {
			p := &s.packets[j]
			frame++
			p.Frame = capture.Frame{Number: frame}
			p.Time = int64(frame) * 1000
			p.Identity = frame
		}
	}
	limits := tcp.Limits{Wait: rapid.SampledFrom([]int{0, 8, 20}).Draw(t, "wait")}
	if rapid.IntRange(0, 4).Draw(t, "small buffer") == 0 {
		limits.Buffer = rapid.IntRange(1, 100).Draw(t, "buffer")
	}
	// A buffer that is too small, and an impatient wait, lose like a capture.
	tight := limits != tcp.Limits{}
	budget := tcp.NewBudget(1 << 20)
	var c *tcp.Conn
	var w *witness
	n := 0
	finish := func() {
		c.Flush(w)
		s := sessions[n]
		s.lost = s.lost || tight
		s.check(t, c, w)
		n++
	}
	begin := func() { c, w = tcp.New(limits, budget), &witness{t: t} }
	begin()
	for i, s := range sessions {
		for j := range s.packets {
			p := &s.packets[j]
			if c.Reuses(p.d, &p.Segment) {
				if i != n+1 {
					t.Fatalf("session %d: %+v is taken for reuse", i, p.Segment)
				}
				finish()
				begin()
			}
			// An earlier session of which nothing shows is no session.
			if i > n && j == 0 {
				n = i
			}
			c.Segment(p.d, &p.Segment, w)
		}
	}
	finish()
	if budget.Used() != 0 {
		t.Fatalf("%d bytes of the budget are still taken", budget.Used())
	}
}
