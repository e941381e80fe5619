package tcp

import (
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
	"time"

	"distproof/internal/reuse"
)

// head is the beginning of a direction, kept to compare retransmissions with.
type head struct {
	*raw // nil once the head is condensed
	// spans are the pieces that were delivered, one behind the other. Once the
	// head is condensed, the bytes are gone, and only spans are left.
	spans []span
}

// raw has the bytes of a head. It is used again once the head is condensed: nobody
// else may have a part of it.
type raw struct {
	b     []byte
	holes [][2]int64 // gaps in b, as offsets [from, to), ascending
	taken int        // of the budget, for b
	// room is for the spans.
	room [maxSpans]span
}

// raws are those that no connection has, by the sizes of their bytes: smallestRaw,
// and each twice that of the one before.
var raws = func() (out [8]*reuse.Pool[raw]) {
	for i := range out {
		out[i] = &reuse.Pool[raw]{New: func() *raw { return &raw{b: make([]byte, smallestRaw<<i)} }, Spoil: (*raw).spoil}
	}
	return out
}()

const smallestRaw = 512

// rawsOf returns those that have room for n bytes; nil if none do.
func rawsOf(n int) *reuse.Pool[raw] {
	if i := bits.Len(uint(max(n-1, 0) / smallestRaw)); i < len(raws) {
		return raws[i]
	}
	return nil
}

// newRaw returns a raw without bytes that has room for n.
func newRaw(n int) *raw {
	pool := rawsOf(n)
	if pool == nil {
		return &raw{b: make([]byte, 0, n)}
	}
	r := pool.Get()
	r.b, r.holes, r.taken = r.b[:0], r.holes[:0], 0
	return r
}

// release gives r up to be used again.
func (r *raw) release() {
	if pool := rawsOf(cap(r.b)); pool != nil {
		pool.Put(r)
	}
}

func (r *raw) spoil() {
	const wrong = 0xa5
	b := r.b[:cap(r.b)]
	for i := range b {
		b[i] = wrong
	}
	for i := range r.holes {
		r.holes[i] = [2]int64{wrong, wrong}
	}
	for i := range r.room {
		r.room[i] = span{wrong, wrong}
	}
}

// A span is a piece of a head, from the end of the one before it, with its sum, which
// is made while the piece is in the processor's cache.
type span struct {
	end uint32
	sum uint32
}

// maxSpans bounds the spans of a direction. Further pieces, of a head that is not
// condensed, are taken for one, of which the sum is made when it is.
const maxSpans = 48

// Sums of bytes cannot be foreseen. Whoever would have other bytes pass for the
// same has one try: it is noticed if it fails, in all but one of 2^32 cases.
var seed = maphash.MakeSeed()

func spanOf(end int64, b []byte) span { return span{uint32(end), uint32(maphash.Bytes(seed, b))} }

// noted adds the piece b, which is the last of the bytes, or has the last piece go on
// to the end of it.
func (h *head) noted(b []byte) {
	end := int64(len(h.b))
	if len(h.spans) == maxSpans {
		h.spans[maxSpans-1].end = uint32(end)
		return
	}
	h.spans = append(h.spans, spanOf(end, b))
}

// quiet is how long nothing must have come until heads are condensed: longer
// than senders wait before they send something again, perhaps in other pieces.
const quiet = int64(time.Second)

// Quiet returns the time from which on the connection counts as quiet, if nothing
// comes before.
func (c *Conn) Quiet() int64 { return max(c.half[0].last, c.half[1].last) + quiet }

// Pause forgets which packets came last, if nothing came for a while before now:
// copies of them from other interfaces come sooner than that.
func (c *Conn) Pause(now int64) {
	if now < c.Quiet() {
		return
	}
	for d := range c.half {
		c.half[d].recent, c.half[d].recentAt = [recentSegments]uint32{}, 0
	}
}

// Condense replaces the retained beginnings by sums of their pieces, if nothing
// came for a while before now: everything is acknowledged, and if something
// comes again, then in the same pieces. It reports whether it is so, until the
// caller calls Decided.
func (c *Conn) Condense(now int64) bool {
	a, b := &c.half[0], &c.half[1]
	if (a.flags|b.flags)&decided != 0 || now < c.Quiet() || !a.settled() || !b.settled() {
		return false
	}
	if (a.flags|b.flags)&condensed == 0 {
		c.condense(a)
		c.condense(b)
	}
	return true
}

// settled reports whether everything that was sent is there and acknowledged.
func (h *half) settled() bool {
	return h.state == stateFixed && h.held == nil && h.next > 0 && h.gap == 0 && h.acked >= h.next
}

func (c *Conn) condense(h *half) {
	h.flags |= condensed
	if h.head == nil {
		return
	}
	h.head.spans = slices.Clone(h.head.spans)
	if len(h.head.spans) == maxSpans {
		from, last := h.head.spans[maxSpans-2].end, &h.head.spans[maxSpans-1]
		*last = spanOf(int64(last.end), h.head.b[from:last.end])
	}
	c.releaseRaw(h)
}

// releaseRaw gives up the bytes of the head.
func (c *Conn) releaseRaw(h *half) {
	c.budget.give(h.head.taken)
	h.head.release()
	h.head.raw = nil
}

// clashSpans is clashHead for a condensed head. Of a piece that came again only
// in part it is not known whether it is the same.
func (h *half) clashSpans(off int64, b []byte) (at int64, unchecked int, from int64) {
	at, from = -1, math.MaxInt64
	end, begin := off+int64(len(b)), int64(0)
	note := func(lo, hi int64) {
		if n := min(hi, end) - max(lo, off); n > 0 {
			unchecked += int(n)
			from = min(from, max(lo, off))
		}
	}
	for _, s := range h.head.spans {
		to := int64(s.end)
		switch {
		case off > begin || end < to:
			note(begin, to)
		case at < 0 && spanOf(to, b[begin-off:to-off]) != s:
			at = begin
		}
		begin = to
	}
	note(begin, math.MaxInt64)
	return at, unchecked, from
}

// keepHead appends bytes that are being delivered at h.next.
func (c *Conn) keepHead(h *half, b []byte, d Dir, sink Sink) {
	if h.flags&(forgotten|headLost|enough|decided) != 0 || h.next >= int64(max(c.head, c.longHead)) {
		return
	}
	room := int64(c.head) - h.next
	if room < int64(len(b)) || h.headFull(len(b)) {
		switch wanted := interest(sink, d); {
		case wanted == NoMore && h.flags&condensed == 0:
			h.flags |= enough
			return
		case wanted == Long && (room > 0 || h.headEnd() == h.next):
			room = max(room, int64(c.longHead)-h.next)
		}
	}
	if room <= 0 {
		return
	}
	b = b[:min(room, int64(len(b)))]
	if h.flags&condensed != 0 {
		// A gap would leave what is behind it at the wrong place.
		if h.head != nil && len(h.head.spans) < maxSpans && h.gap == 0 && h.headEnd() == h.next {
			h.head.spans = append(h.head.spans, spanOf(h.next+int64(len(b)), b))
		}
		return
	}
	if c.growHead(h, len(b)) {
		h.head.b = append(h.head.b, b...)
		h.head.noted(b)
	}
}

// interest asks a sink, which may take longer than to keep a few bytes.
func interest(sink Sink, d Dir) Interest {
	if c, ok := sink.(Chooser); ok {
		return c.Interest(d)
	}
	return Usual
}

// headFull reports whether n more bytes of head need more memory than it has.
func (h *half) headFull(n int) bool {
	return h.flags&condensed == 0 && h.head != nil && len(h.head.b)+n > cap(h.head.raw.b)
}

// headEnd returns how much of the direction is in the head.
func (h *half) headEnd() int64 {
	if n := len(h.head.spans); n > 0 {
		return int64(h.head.spans[n-1].end)
	}
	return 0
}

// skipHead notes n missing bytes at h.next.
func (c *Conn) skipHead(h *half, n int64) {
	if h.flags&(forgotten|headLost|enough|condensed|decided) != 0 || h.next >= int64(c.head) {
		return
	}
	n = min(n, int64(c.head)-h.next)
	if h.head != nil && len(h.head.holes) == maxHeadHoles {
		h.flags |= headLost
		return
	}
	if !c.growHead(h, int(n)) {
		return
	}
	from := len(h.head.b)
	h.head.b = h.head.b[:from+int(n)]
	clear(h.head.b[from:])
	h.head.holes = append(h.head.holes, [2]int64{h.next, h.next + n})
	h.head.noted(h.head.b[from:])
}

// growHead makes room for n more bytes of head.
func (c *Conn) growHead(h *half, n int) bool {
	if h.head == nil {
		h.head = new(head)
		h.head.hold(newRaw(n))
	}
	r := h.head.raw
	need := len(r.b) + n
	if need > r.taken {
		want := max(need, min(2*r.taken, int(c.head)))
		if !c.budget.take(want - r.taken) {
			h.flags |= headLost
			return false
		}
		r.taken = want
	}
	if need > cap(r.b) {
		h.head.hold(newRaw(need))
		r.release()
	}
	return true
}

// hold has what the head has of bytes in r.
func (h *head) hold(r *raw) {
	if old := h.raw; old != nil {
		r.b, r.holes, r.taken = append(r.b, old.b...), append(r.holes, old.holes...), old.taken
	}
	h.raw, h.spans = r, append(r.room[:0], h.spans...)
}

// clashHead compares b, at off, all of it below h.next, with the head. It
// returns the lowest offset that differs, or -1, the number of bytes that had
// nothing to be compared with, and the offset of the first of these.
func (h *half) clashHead(off int64, b []byte) (at int64, unchecked int, from int64) {
	if h.head == nil || off >= h.headEnd() {
		return -1, len(b), off
	}
	if h.flags&condensed != 0 {
		return h.clashSpans(off, b)
	}
	first := int64(math.MaxInt64)
	if over := off + int64(len(b)) - int64(len(h.head.b)); over > 0 {
		unchecked, first = int(over), int64(len(h.head.b))
		b = b[:int64(len(b))-over]
	}
	at = -1
	compare := func(from, to int64) {
		from, to = max(from, off), min(to, off+int64(len(b)))
		if at < 0 && from < to {
			if i := differ(b[from-off:to-off], h.head.b[from:to]); i >= 0 {
				at = from + int64(i)
			}
		}
	}
	behind := int64(0)
	for _, hole := range h.head.holes {
		compare(behind, hole[0])
		if n := min(hole[1], off+int64(len(b))) - max(hole[0], off); n > 0 {
			unchecked += int(n)
			first = min(first, max(hole[0], off))
		}
		behind = hole[1]
	}
	compare(behind, int64(len(h.head.b)))
	return at, unchecked, first
}

// Decided keeps no more of the beginnings than what is before the ends of both
// directions: nothing that is behind them matters to the caller.
func (c *Conn) Decided(ends [2]int64) {
	for d := range c.half {
		h := &c.half[d]
		if h.flags |= decided; h.head == nil {
			continue
		}
		n := slices.IndexFunc(h.head.spans, func(s span) bool { return int64(s.end) >= ends[d] })
		if n >= 0 && n+1 < len(h.head.spans) {
			h.head.spans = slices.Clone(h.head.spans[:n+1])
		}
		h.head.spans = slices.Clip(h.head.spans)
	}
}

// Retire replaces the retained beginnings of a connection that is over by sums of
// their pieces, as Condense does, but whether or not everything is acknowledged. A
// beginning of which something is missing is dropped.
func (c *Conn) Retire() {
	for d := range c.half {
		switch h := &c.half[d]; {
		case h.flags&condensed != 0:
		case h.state == stateFixed && h.held == nil && h.gap == 0:
			c.condense(h)
		default:
			c.forget(h)
		}
	}
}

// Forget drops the retained beginnings and keeps no more: when the caller has
// decided all it needs them for.
func (c *Conn) Forget() {
	for d := range c.half {
		c.forget(&c.half[d])
	}
}

func (c *Conn) forget(h *half) {
	h.flags |= forgotten
	if h.head != nil && h.head.raw != nil {
		c.releaseRaw(h)
	}
	h.head = nil
}
