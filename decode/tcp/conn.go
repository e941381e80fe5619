// Package tcp reassembles the two byte streams of a TCP connection from its
// segments as somebody saw them who is neither of its ends: out of order,
// twice, overlapping, or not at all (RFC 9293).
//
// What a passive observer must not assume is not assumed here: no segment ends
// a stream. A RST or a FIN may be forged and ignored by the receiver, so data
// after it is still delivered. Of two segments with different bytes for the
// same offsets the first wins, and the conflict is recorded. Missing bytes are
// gaps that the [Sink] is told of; bytes delivered and bytes in gaps together
// make up the stream without a seam.
//
// Sequence numbers are compared only by their distance modulo 2^32; offsets
// have 64 bits.
package tcp

import (
	"math"

	"distproof/capture"
	"distproof/capture/link"
)

// A Conn reassembles one connection. It is not safe for concurrent use.
type Conn struct {
	// buffer, head, longHead and wait are the [Limits].
	buffer, head, longHead, wait int32

	budget *Budget
	half   [2]half
}

// New returns a connection of which nothing was seen yet.
func New(l Limits, b *Budget) *Conn {
	c := new(Conn)
	c.Init(l, b)
	return c
}

// Init makes c a connection of which nothing was seen yet.
func (c *Conn) Init(l Limits, b *Budget) {
	l = l.withDefaults()
	bound := func(n int) int32 { return int32(max(min(n, math.MaxInt32), -1)) }
	*c = Conn{buffer: bound(l.Buffer), head: bound(l.Head), longHead: bound(l.LongHead), wait: bound(l.Wait), budget: b}
}

func (c *Conn) peerOf(d Dir) *half { return &c.half[d.Other()] }

// Start says how the beginning of direction d is known.
func (c *Conn) Start(d Dir) StartKind { return c.half[d].start }

// Offset returns the stream offset in direction d of a sequence number; false
// if that is implausibly far from where the stream is. Until the stream's
// beginning is known it may still change.
func (c *Conn) Offset(d Dir, seq uint32) (int64, bool) { return c.half[d].offset(seq) }

// Reuses reports whether s, sent in direction d, opens a new connection on the
// same addresses and ports. The caller then flushes this one and gives s to a
// new one.
//
// It does if it is a SYN, or a SYN+ACK that acknowledges another SYN than the
// one known, with an initial sequence number that is not the one of this
// connection. A retransmitted SYN is not reuse, nor is one that ends what it
// begins, which hosts drop.
func (c *Conn) Reuses(d Dir, s *link.Segment) bool {
	if !s.Flags.Has(link.SYN) || s.Flags.Has(link.RST) || s.Flags.Has(link.FIN) {
		return false
	}
	h, peer := &c.half[d], c.peerOf(d)
	if h.begins(s.Seq + 1) {
		return false
	}
	if !s.Flags.Has(link.ACK) {
		return h.state == stateFixed || h.carried() || peer.carried()
	}
	if h.state == stateFixed {
		return peer.state != stateFixed || s.Ack != peer.base
	}
	if peer.state == stateFixed {
		// More than the SYN is acknowledged if that had data (RFC 7413).
		off, ok := peer.offset(s.Ack)
		return !ok || off < 0 || off > peer.end()
	}
	return h.carried()
}

// begins reports whether the stream may begin at seq, as far as known. While
// the beginning is still sought, a SYN a little below what was captured is one
// that was captured late; the next connection's is far above (RFC 6528).
func (h *half) begins(seq uint32) bool {
	switch h.state {
	case stateFixed:
		return seq == h.base
	case statePending, stateGuess:
		by := int32(seq - (h.base + uint32(h.lowest())))
		return -initialWindow <= by && by <= 0
	}
	return false
}

// Segment takes a segment that was sent in direction d. What can be delivered
// is given to sink before it returns.
func (c *Conn) Segment(d Dir, s *link.Segment, sink Sink) {
	h := &c.half[d]
	h.seen(s)
	if s.Flags.Has(link.RST) {
		// Its payload, if any, is an explanation and no part of the stream
		// (RFC 9293, Section 3.5.3), its other flags and its acknowledgement
		// are nothing to build on: middleboxes and attackers send most of them.
		c.reset(d, s)
		return
	}
	if s.Flags.Has(link.SYN) && !c.syn(d, s, sink) {
		h.more().strays++
		return
	}
	if s.Flags.Has(link.ACK) {
		c.ack(d, s, sink)
	}
	if !s.Flags.Has(link.SYN) {
		h.flags |= spoken
	}
	if len(s.Payload) > 0 || s.Length > 0 {
		c.data(d, s, sink)
	}
	if s.Flags.Has(link.FIN) {
		c.fin(d, s)
	}
}

// syn learns where the streams begin. It returns false if s contradicts what
// is known.
func (c *Conn) syn(d Dir, s *link.Segment, sink Sink) bool {
	h, peer := &c.half[d], c.peerOf(d)
	first := s.Seq + 1
	withAck := s.Flags.Has(link.ACK)
	if withAck && peer.start == StartSYN {
		if off, ok := peer.offset(s.Ack); !ok || off < 0 || off > peer.end() {
			return false
		}
	}
	switch by := int64(int32(first - h.base)); {
	case h.state != stateFixed:
		h.fix(first, StartSYN)
	case by == 0:
		h.start = StartSYN
	case h.start != StartSYN && h.next == 0 && -initialWindow <= by && by < 0:
		h.rebase(by)
		h.start = StartSYN
	default:
		return false
	}
	if h.synFrame == (capture.Frame{}) {
		h.synFrame = s.Frame
	}
	c.drain(d, sink)
	if withAck && peer.state != stateFixed {
		peer.fix(s.Ack, StartAck)
		c.drain(d.Other(), sink)
	}
	return true
}

// ack learns from an acknowledgement that was sent in direction d how far the
// opposite direction is.
func (c *Conn) ack(d Dir, s *link.Segment, sink Sink) {
	h, peer := &c.half[d], c.peerOf(d)
	firstAck := h.start == StartSYN && h.flags&spoken == 0 && s.Seq == h.base && !s.Flags.Has(link.SYN)
	if firstAck && peer.state != stateFixed {
		peer.fix(s.Ack, StartFirstAck)
		c.drain(d.Other(), sink)
	}
	if peer.state == stateNone {
		peer.base, peer.state = s.Ack, stateGuess
	}
	if off, ok := peer.offset(s.Ack); ok {
		peer.acked = max(peer.acked, off)
	}
}

func (c *Conn) reset(d Dir, s *link.Segment) {
	h := &c.half[d]
	off := int64(0)
	if h.state != stateNone {
		var ok bool
		// The RST that answers a SYN has the sequence number 0.
		if off, ok = h.offset(s.Seq); !ok && h.carried() {
			h.more().strays++
			return
		}
		off = max(off, 0)
	}
	if peer := c.peerOf(d); peer.state == stateNone && s.Flags.Has(link.ACK) {
		peer.base, peer.state = s.Ack, stateGuess
	}
	if r := h.more(); !r.rst {
		r.rst, r.rstAt = true, originOf(s, off)
	}
}

func (c *Conn) fin(d Dir, s *link.Segment) {
	h := &c.half[d]
	seq := dataSeq(s) + uint32(wireLength(s))
	if h.state == stateNone {
		h.base, h.state = seq, stateGuess
	}
	off, ok := h.offset(seq)
	r := h.more()
	switch {
	case !ok || h.state == stateFixed && off < 0:
		r.strays++
	case !r.fin && (off >= h.captured() || h.state == stateGuess):
		r.fin, r.finAt = true, originOf(s, off)
	case !r.fin || off != r.finAt.off:
		h.conflict(s.Frame, off, false)
	}
}

// captured returns the end of the data that was captured; valid if there is
// any, or the beginning is known.
func (h *half) captured() int64 {
	switch {
	case h.held == nil:
		return h.next
	case h.state != stateFixed:
		return h.held.end()
	}
	return max(h.next, h.held.end())
}

func dataSeq(s *link.Segment) uint32 {
	if s.Flags.Has(link.SYN) {
		return s.Seq + 1 // the SYN has a sequence number
	}
	return s.Seq
}

func wireLength(s *link.Segment) int64 { return int64(max(s.Length, len(s.Payload))) }

// data takes the payload of a segment.
func (c *Conn) data(d Dir, s *link.Segment, sink Sink) {
	h := &c.half[d]
	h.segments++
	seq := dataSeq(s)
	if h.state == stateNone {
		h.base, h.state = seq, stateGuess
	}
	off, ok := h.offset(seq)
	if !ok && h.state == stateGuess && !h.carried() {
		// The acknowledgement that the guess is from was wrong.
		h.base, h.acked, off, ok = seq, 0, 0, true
	}
	if !ok {
		h.more().strays++
		h.more().strayData++
		return
	}
	if h.state == stateGuess {
		h.state = statePending
	}
	if off == h.next && h.plain() && off > 0 && len(s.Payload) >= s.Length {
		c.deliver(h, originOf(s, off), s.Payload, d, sink)
		return
	}
	p := piece{d: d, origin: originOf(s, off), b: s.Payload, wireEnd: off + wireLength(s)}
	if h.keepAlive(off, wireLength(s)) {
		return
	}
	if r := h.rare; r != nil && r.fin && p.wireEnd > r.finAt.off {
		h.conflict(s.Frame, max(off, r.finAt.off), p.clashed)
		p.clashed = true
	}
	if h.start == StartFirstAck && off < 0 && off >= -initialWindow && h.next == 0 {
		// More than the SYN was acknowledged.
		h.rebase(off)
		p.wireEnd -= off
		p.off = 0
	}
	c.place(h, &p, sink)
	c.giveUp(d, sink)
}

// plain reports whether the direction is as nearly all are nearly always: begun,
// with nothing waiting and nothing unusual. What comes next is then delivered
// without further ado.
func (h *half) plain() bool { return h.state == stateFixed && h.held == nil && h.rare == nil }

// keepAlive reports whether a segment of n bytes at off is a probe, whose
// byte, if it has one, means nothing (RFC 9293, Section 3.8.4). A probe repeats
// the last sequence number of what the peer has acknowledged. Without the
// acknowledgement its byte is compared like any other's, so that nobody can
// pass off a contradiction as a probe.
func (h *half) keepAlive(off, n int64) bool {
	if n > 1 || n == 1 && h.acked <= off {
		return false
	}
	if h.start == StartFirstAck && h.next == 0 {
		return false // the beginning may still turn out to be earlier
	}
	return h.state == stateFixed && off+1 == h.next || h.held != nil && h.held.endsWith(off) ||
		h.rare != nil && h.rare.fin && off == h.rare.finAt.off
}

// piece is what is left to do of a segment.
type piece struct {
	origin
	d       Dir
	b       []byte
	wireEnd int64
	clashed bool // counted as a conflict
	checked bool // compared with what was held
}

func (p *piece) end() int64 { return p.off + int64(len(p.b)) }

// skip drops the first n bytes.
func (p *piece) skip(n int64) {
	p.off += n
	p.b = p.b[min(n, int64(len(p.b))):]
}

func (p *piece) clash(h *half, at int64) {
	if at >= 0 {
		h.conflict(p.frame, at, p.clashed)
		p.clashed = true
	}
}

// place delivers p, holds it, or both in parts.
func (c *Conn) place(h *half, p *piece, sink Sink) {
	for {
		if h.state == stateFixed && p.off < h.next && !c.trim(h, p) {
			return
		}
		if h.held != nil && !p.checked {
			p.clash(h, h.held.clash(p.off, p.b))
			p.checked = true
		}
		switch {
		case h.state != stateFixed:
			if c.hold(h, p) {
				if h.segments >= startSegments || h.heldBytes() >= startBytes {
					c.begin(sink)
				}
				return
			}
			c.startNow(h, p, sink)
		case p.off == h.next:
			c.deliverNext(h, p, sink)
			if len(p.b) == 0 {
				return
			}
		case h.rare != nil && h.rare.cut > h.next:
			c.skipTo(h, min(h.rare.cut, p.off, h.firstHeld()), p.d, p.time, p.frame, sink)
			c.drain(p.d, sink)
		case c.hold(h, p):
			return
		default:
			h.more().overflows++
			c.giveUpFirst(h, p, sink)
		}
	}
}

// begin ends the wait for the lowest sequence number, in both directions: what
// one delivers says how much of the other was acknowledged, which nobody knows
// while that has no beginning.
func (c *Conn) begin(sink Sink) {
	for d := range c.half {
		if h := &c.half[d]; h.state == statePending {
			h.fixLowest()
		}
	}
	for {
		d, ok := c.earliest((*half).due)
		if !ok {
			break
		}
		c.deliverHeld(&c.half[d], d, sink)
	}
	for d := range c.half {
		if h := &c.half[d]; h.state == stateFixed && h.held != nil {
			h.held.firstSeen(h.segments) // behind a hole
		}
	}
}

// startNow ends the wait for the lowest sequence number, because p cannot be
// held.
func (c *Conn) startNow(h *half, p *piece, sink Sink) {
	low := min(p.off, h.firstHeld())
	h.fix(h.base+uint32(low), StartUnknown)
	p.off -= low
	p.wireEnd -= low
	c.drain(p.d, sink)
}

// trim drops the part of p that is before h.next, after comparing it. It
// returns false if nothing is left.
func (c *Conn) trim(h *half, p *piece) bool {
	if p.off < 0 {
		h.strayData(p.wireEnd - p.off)
		p.skip(-p.off)
	}
	n := min(h.next-p.off, int64(len(p.b)))
	if n > 0 && !p.checked {
		at, unchecked, from := h.clashHead(p.off, p.b[:n])
		p.clash(h, at)
		if unchecked > 0 {
			h.more().addUnchecked(unchecked, from)
		}
	}
	if p.wireEnd <= h.next {
		return false
	}
	p.skip(max(h.next-p.off, 0))
	return true
}

// firstHeld returns the offset of the first chunk that is held; above all others if
// there is none.
func (h *half) firstHeld() int64 {
	if h.held == nil {
		return math.MaxInt64
	}
	return h.held.chunks[0].off
}

// due reports whether the first chunk that is held is the next one, or was passed.
func (h *half) due() bool { return h.state == stateFixed && h.firstHeld() <= h.next }

// deliverNext delivers of p, which is at h.next, what comes before the first
// held chunk, then the chunks that follow.
func (c *Conn) deliverNext(h *half, p *piece, sink Sink) {
	n := min(int64(len(p.b)), h.firstHeld()-p.off)
	c.deliver(h, p.origin, p.b[:n], p.d, sink)
	p.skip(n)
	if len(p.b) == 0 && p.wireEnd > h.next {
		r := h.more()
		r.cut = max(r.cut, p.wireEnd)
	}
	if h.held != nil {
		c.drain(p.d, sink)
	}
}

func (c *Conn) deliver(h *half, o origin, b []byte, d Dir, sink Sink) {
	if len(b) == 0 {
		return
	}
	c.keepHead(h, b, d, sink)
	o.off = h.next
	h.next += int64(len(b))
	sink.Data(d, o.position(c.peerOf(d)), b)
}

// skipTo gives up the bytes from h.next to off.
func (c *Conn) skipTo(h *half, off int64, d Dir, time int64, frame capture.Frame, sink Sink) {
	n := off - h.next
	if n <= 0 {
		return
	}
	at := Position{Offset: h.next, Acked: -1, Time: time, Frame: frame}
	c.skipHead(h, n)
	h.next += n
	h.gap += n
	sink.Gap(d, at, n)
}

// hold keeps the bytes of p that are not yet held. It returns false if there
// is no room; what fitted is then held, and p is the rest.
func (c *Conn) hold(h *half, p *piece) bool {
	if h.held == nil {
		h.held = &held{seen: h.segments}
	}
	l := h.held
	for {
		from, to, i := l.free(p.off, p.end())
		p.skip(from - p.off)
		if from == to {
			break
		}
		n := int(to - from)
		if !c.room(l, n) {
			c.release(h)
			return false
		}
		o := p.origin
		b := c.budget.room(n)
		copy(b, p.b)
		l.insert(i, chunk{origin: o, b: b, wireEnd: to, seen: h.segments})
		p.skip(int64(n))
	}
	noted := p.wireEnd == p.off || c.noteCut(l, p, h.segments)
	c.release(h)
	return noted
}

// noteCut notes in l that the capture cut p off, of which nothing else is left.
func (c *Conn) noteCut(l *held, p *piece, seen uint32) bool {
	if l.extend(p.off, p.wireEnd) {
		return true
	}
	if !c.room(l, 0) {
		return false
	}
	l.insert(l.after(p.off), chunk{origin: p.origin, wireEnd: p.wireEnd, seen: seen})
	return true
}

func (c *Conn) room(l *held, n int) bool {
	return len(l.chunks) < maxChunks && l.bytes+n <= int(c.buffer) && c.budget.take(n+chunkCost)
}

// release drops the list of held chunks if it is empty.
func (c *Conn) release(h *half) {
	if h.held != nil && len(h.held.chunks) == 0 {
		h.held = nil
	}
}

// drain delivers the held chunks that have become the next ones.
func (c *Conn) drain(d Dir, sink Sink) {
	h := &c.half[d]
	if !h.due() {
		return
	}
	for h.due() {
		c.deliverHeld(h, d, sink)
	}
	if h.held != nil {
		h.held.firstSeen(h.segments)
	}
}

// earliest returns the direction whose first chunk came first, of those with
// chunks for which ready is true; false if there is none.
func (c *Conn) earliest(ready func(*half) bool) (Dir, bool) {
	a, b := &c.half[0], &c.half[1]
	switch {
	case !ready(a):
		return From1, ready(b)
	case !ready(b):
		return From0, true
	case b.held.chunks[0].before(&a.held.chunks[0]):
		return From1, true
	}
	return From0, true
}

// deliverHeld delivers the first chunk, of which the beginning may have been
// passed.
func (c *Conn) deliverHeld(h *half, d Dir, sink Sink) {
	k := h.held.pop()
	room := k.b
	c.budget.give(len(k.b) + chunkCost)
	c.release(h)
	if k.off < 0 {
		h.strayData(k.wireEnd - k.off)
	}
	if passed := h.next - k.off; passed > 0 {
		k.b = k.b[min(passed, int64(len(k.b))):]
	}
	c.deliver(h, k.origin, k.b, d, sink)
	if !k.shared {
		c.budget.reuse(room)
	}
	if k.wireEnd > h.next {
		r := h.more()
		r.cut = max(r.cut, k.wireEnd)
	}
}

// giveUp gives up holes that will not be filled any more: the receiver has
// acknowledged them, and enough segments came since.
func (c *Conn) giveUp(d Dir, sink Sink) {
	h := &c.half[d]
	if h.state != stateFixed {
		return
	}
	for h.held != nil && h.acked >= h.firstHeld() && h.segments-h.held.seen >= c.patience(h, d, sink) {
		k := &h.held.chunks[0]
		c.skipTo(h, k.off, d, k.time, k.frame, sink)
		c.drain(d, sink)
	}
}

// patience is after how many further segments a hole is given up. Where something else is
// missing, or nothing matters any more, it costs little: a capture that lost packets of
// ten thousand busy connections at once would have to hold far more for them all.
func (c *Conn) patience(h *half, d Dir, sink Sink) uint32 {
	if c.wait <= shortWait || !c.budget.tight() {
		return uint32(c.wait)
	}
	if h.gap > 0 || h.start == StartUnknown || interest(sink, d) == NoMore {
		return shortWait
	}
	return uint32(c.wait)
}

// giveUpFirst gives up the first hole, because nothing more can be held.
func (c *Conn) giveUpFirst(h *half, p *piece, sink Sink) {
	if first := h.firstHeld(); first < p.off {
		k := &h.held.chunks[0]
		c.skipTo(h, k.off, p.d, k.time, k.frame, sink)
		c.drain(p.d, sink)
		return
	}
	c.skipTo(h, p.off, p.d, p.time, p.frame, sink)
}

// Flush ends what waits: at the end of the capture, or before the addresses
// and ports are reused. What is held is delivered, with gaps before it, in the
// order of the frames as far as possible. What is known to be missing at the
// end becomes a gap; its position has no frame if only acknowledgements tell.
//
// Everything is given back to the [Budget]. A segment that comes after Flush is
// still taken, but not compared with what was before.
func (c *Conn) Flush(sink Sink) {
	c.Forget() // what is held was compared when it came
	for d := range c.half {
		if h := &c.half[d]; h.state == stateGuess || h.state == statePending {
			h.fixLowest()
		}
	}
	for {
		d, ok := c.earliest(func(h *half) bool { return h.held != nil })
		if !ok {
			break
		}
		h := &c.half[d]
		k := &h.held.chunks[0]
		c.skipTo(h, k.off, d, k.time, k.frame, sink)
		c.deliverHeld(h, d, sink)
	}
	for d := range c.half {
		h := &c.half[d]
		time, frame := h.last, capture.Frame{}
		if h.rare != nil && h.rare.fin {
			time, frame = h.rare.finAt.time, h.rare.finAt.frame
		}
		c.skipTo(h, h.end(), Dir(d), time, frame, sink)
	}
}

// before orders chunks as they were captured.
func (c *chunk) before(o *chunk) bool {
	if c.frame.Input != o.frame.Input || c.frame.Number == o.frame.Number {
		return c.time < o.time
	}
	return c.frame.Number < o.frame.Number
}
