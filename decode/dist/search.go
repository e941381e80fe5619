package dist

import (
	"bytes"
	"encoding/binary"

	"distproof/decode/dist/term"
	"distproof/decode/tcp"
)

// A chunk is a part of the stream.
type chunk struct {
	at tcp.Position
	b  []byte
}

// A piece is a part of the stream that is being collected, and where its bytes
// came from.
type piece struct {
	b     []byte
	marks []mark
}

// A mark says that the bytes from index i on came from the packet of at.
type mark struct {
	i  int
	at tcp.Position
}

func (p *piece) reset() { p.b, p.marks = p.b[:0], p.marks[:0] }

// at returns the position of the first byte.
func (p *piece) at() tcp.Position { return p.marks[0].at }

func (p *piece) add(at tcp.Position, b []byte) {
	if len(b) == 0 {
		return
	}
	if n := len(p.marks); n == 0 || !samePacket(p.marks[n-1].at, at) {
		p.marks = append(p.marks, mark{len(p.b), at})
	}
	p.b = append(p.b, b...)
}

// fill adds of b what is missing to want bytes and returns how much it took.
func (p *piece) fill(at tcp.Position, b []byte, want int) int {
	n := max(0, min(want-len(p.b), len(b)))
	p.add(at, b[:n])
	return n
}

// forward returns the position n bytes behind at in the same packet.
func forward(at tcp.Position, n int) tcp.Position {
	at.Offset += int64(n)
	return at
}

func samePacket(a, b tcp.Position) bool {
	return a.Frame == b.Frame && a.Time == b.Time && a.Acked == b.Acked
}

// unread gives the collected bytes from index from on back, to be decoded anew.
func (s *Stream) unread(from int) {
	b := append([]byte(nil), s.buf.b...)
	s.rescan += len(b)
	if s.rescan <= maxRescan {
		for i := len(s.buf.marks) - 1; i >= 0; i-- {
			m := s.buf.marks[i]
			lo, hi := max(m.i, from), len(b)
			if i+1 < len(s.buf.marks) {
				hi = s.buf.marks[i+1].i
			}
			if lo < hi {
				s.work = append(s.work, chunk{forward(m.at, lo-m.i), b[lo:hi]})
			}
		}
	}
	s.buf.reset()
}

// lookBehind is how many bytes of a message's beginning precede its last
// telling one: a length, 112 and 131 before 104.
const lookBehind = 6

// A search looks for the connected phase in bytes that may begin anywhere.
type search struct {
	// behind holds the last bytes that were looked at, and their positions.
	behind   [lookBehind]byte
	behindAt [lookBehind]tcp.Position
	n        int
	ticks    tickRun
	seen     int64
}

func (s *Stream) startSearch() {
	seen := int64(0)
	if s.search != nil {
		seen = s.search.seen
	}
	s.search = &search{seen: seen}
	s.search.ticks.open = s.rescan <= maxRescan
	s.state, s.resume = searching, false
	s.candidate = nil
}

// stepSearch looks for the beginning of a message.
func (s *Stream) stepSearch(at tcp.Position, b []byte) int {
	q := s.search
	if q.seen += int64(len(b)); q.seen > maxSearch {
		s.facts.GaveUp = true
		s.state = dead
		s.keepTicks()
		return len(b)
	}
	for i := 0; i < len(b); i++ {
		// b[i] is the byte behind a 131.
		if i > 0 && b[i-1] != term.Version {
			k := bytes.IndexByte(b[i:], term.Version)
			if k < 0 {
				break
			}
			i += k + 1
			if i >= len(b) {
				break
			}
		}
		if k := q.begin(b, i); k > 0 {
			s.found(at, b, i, k)
			return i + 1
		}
	}
	q.pass(at, b)
	return len(b)
}

// begin reports whether a message may begin such that b[i] is its telling
// byte, and if so, how many bytes before b[i].
func (q *search) begin(b []byte, i int) int {
	prev := func(k int) (byte, bool) { // the byte k before b[i]
		if i-k >= 0 {
			return b[i-k], true
		}
		j := q.n + i - k
		if j < 0 {
			return 0, false
		}
		return q.behind[j], true
	}
	if v, ok := prev(1); !ok || v != term.Version {
		return 0
	}
	back := 0
	switch b[i] {
	case tagDistHeader, tagFirstFrag, tagNextFrag:
		back = 5
	case term.SmallTuple:
		if v, ok := prev(2); !ok || v != tagPassThrough {
			return 0
		}
		back = 6
	default:
		return 0
	}
	var length [4]byte
	for j := range length {
		v, ok := prev(back - j)
		if !ok {
			return 0
		}
		length[j] = v
	}
	if n := binary.BigEndian.Uint32(length[:]); n < 3 || n > maxLength {
		return 0
	}
	return back
}

// found makes a candidate of the message of which b[i] is the telling byte,
// back bytes after the first.
func (s *Stream) found(at tcp.Position, b []byte, i, back int) {
	q := s.search
	s.buf.reset()
	for k := back; k > 0 && i-k < 0; k-- {
		j := q.n + i - k
		s.buf.add(q.behindAt[j], q.behind[j:j+1])
	}
	from := max(0, i-back)
	s.buf.add(forward(at, from), b[from:i+1])
	q.ticks.feed(at, b[:i+1])
	c := &candidate{at: s.buf.at()}
	if q.ticks.count.Count > 0 && q.ticks.end == c.at.Offset {
		c.ticks = q.ticks.count
	}
	s.candidate = c
	s.state = inHeader
}

// pass takes b as looked at.
func (q *search) pass(at tcp.Position, b []byte) {
	q.ticks.feed(at, b)
	keep := min(len(b), lookBehind)
	drop := max(0, q.n+keep-lookBehind)
	copy(q.behind[:], q.behind[drop:q.n])
	copy(q.behindAt[:], q.behindAt[drop:q.n])
	q.n -= drop
	for i := len(b) - keep; i < len(b); i++ {
		q.behind[q.n], q.behindAt[q.n] = b[i], forward(at, i)
		q.n++
	}
}

// minTickSpacing tells ticks from zero bytes that are data: the shortest
// net_ticktime that can be set is 1 s with an intensity of 4, but anything
// below 2 s between ticks is an unusual choice.
const minTickSpacing = 500e6

// maxBridge is the longest gap, in bytes, across which a run of ticks is
// still the same: a few lost ticks.
const maxBridge = 32

// A tickRun follows bytes that are nothing but ticks: groups of four zero
// bytes, each alone at its time.
type tickRun struct {
	// open says that nothing else has been seen yet.
	open  bool
	group int // bytes of the tick at last
	last  tcp.Position
	count Ticks // whole ticks, the last included
	end   int64 // offset behind the last whole tick
}

func (r *tickRun) feed(at tcp.Position, b []byte) {
	for i, x := range b {
		if !r.open {
			return
		}
		r.next(forward(at, i), x)
	}
}

func (r *tickRun) next(at tcp.Position, x byte) {
	apart := at.Time-r.last.Time >= minTickSpacing
	switch {
	case x != 0:
		r.open = false
		return
	case r.group == 4 && apart, r.group == 0:
		r.group, r.last = 0, at
	case r.group == 4, apart:
		r.open = false
		return
	}
	if r.group++; r.group == 4 {
		r.count.add(r.last)
		r.end = at.Offset + 1
	}
}

// bridge reports whether the search can go on as it is after a gap.
func (q *search) bridge(n int64) bool {
	r := &q.ticks
	if !r.open || r.group != 4 || n%4 != 0 || n > maxBridge {
		return false
	}
	r.end += n
	return true
}

// ticking reports whether what was seen last are ticks.
func (q *search) ticking() bool { return q.ticks.open && q.ticks.group == 4 }

// ticked reports whether a search found nothing but ticks. In a stream that is not
// otherwise recognised, one tick is no evidence, two are.
func (s *Stream) ticked() bool {
	return s.state == searching && s.search.ticking() &&
		(s.facts.Recognition != NotRecognised || s.search.ticks.count.Count >= 2)
}

// keepTicks counts the ticks of a search that found nothing else.
func (s *Stream) keepTicks() {
	if !s.ticked() {
		return
	}
	t := s.search.ticks.count
	s.recognise(ByTicks, t.First)
	s.facts.Ticks.join(t)
	s.facts.Connected = true
}
