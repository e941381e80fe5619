package tcp

import (
	"distproof/capture"
	"distproof/capture/link"
)

// state says what is known about the sequence numbers of a direction.
type state uint8

const (
	// stateNone: nothing.
	stateNone state = iota
	// stateGuess: base is provisional, from the peer's first acknowledgement
	// or from a segment without data.
	stateGuess
	// statePending: base is provisional; data is held until the lowest
	// sequence number can be trusted to be the first.
	statePending
	// stateFixed: base is the sequence number of offset 0.
	stateFixed
)

type flags uint8

const (
	// spoken: a segment without SYN was seen.
	spoken flags = 1 << iota
	// forgotten: the head is not kept any more.
	forgotten
	// headLost: the budget did not allow to keep all of the head.
	headLost
	// condensed: of the head, only sums are kept.
	condensed
	// enough: no more is added to the head.
	enough
	// decided: [Conn.Decided] was called, and nothing is added either.
	decided
)

// half is the state of one direction. It is kept small: a live capture has a
// million of them.
type half struct {
	next  int64 // offset of the next byte to deliver
	acked int64 // bytes that the peer has acknowledged, as far as seen
	gap   int64 // bytes below next that were not delivered

	packets     uint64
	first, last int64
	firstFrame  capture.Frame
	synFrame    capture.Frame

	base     uint32 // sequence number of offset 0
	segments uint32 // segments with data, for counting distances only
	recent   [recentSegments]uint32
	recentAt uint8

	state state
	start StartKind
	flags flags

	head *head // nil if nothing is kept
	held *held // nil if nothing is held
	rare *rare // nil if none of it happened
}

// rare has what most connections do not need while they are open.
type rare struct {
	conflicts      uint64
	firstConflict  capture.Frame
	conflictOffset int64
	unchecked      uint64
	// uncheckedOffset is the lowest offset of these; valid if unchecked > 0.
	uncheckedOffset int64
	strays          uint64
	strayData       uint64
	overflows       uint64
	// cut, if above next, is the end of the bytes from next on that were cut
	// off by the capture: they will not come with another segment, but may
	// with a copy of the same one.
	cut          int64
	fin, rst     bool
	finAt, rstAt origin
}

// origin is where bytes come from; unlike a Position it stays right when the
// beginning of either direction becomes known later.
type origin struct {
	off    int64
	time   int64
	frame  capture.Frame
	ack    uint32
	hasAck bool
}

func originOf(s *link.Segment, off int64) origin {
	return origin{off: off, time: s.Time, frame: s.Frame, ack: s.Ack, hasAck: s.Flags.Has(link.ACK)}
}

// position converts o, with the direction that its acknowledgement is about.
func (o *origin) position(peer *half) Position {
	return Position{Offset: o.off, Acked: peer.ackOffset(o.ack, o.hasAck), Time: o.time, Frame: o.frame}
}

func (h *half) more() *rare {
	if h.rare == nil {
		h.rare = new(rare)
	}
	return h.rare
}

// addUnchecked counts n bytes, the first of them at offset from.
func (r *rare) addUnchecked(n int, from int64) {
	if r.unchecked == 0 || from < r.uncheckedOffset {
		r.uncheckedOffset = from
	}
	r.unchecked += uint64(n)
}

// strayData counts a segment with n bytes that begins before the stream does. If
// the capture began later, it may be a retransmission.
func (h *half) strayData(n int64) {
	r := h.more()
	r.strays++
	if n > 0 && h.start != StartUnknown {
		r.strayData++
	}
}

// offset unwraps a sequence number to a stream offset. It returns false if
// that is implausibly far from where the stream is.
func (h *half) offset(seq uint32) (int64, bool) {
	// The receiver's acknowledgements go ahead of next while the capture has a
	// hole; they tell better where the sender is.
	ref := max(h.next, h.acked)
	by := int64(int32(seq - (h.base + uint32(ref))))
	return ref + by, -plausible <= by && by <= plausible
}

// ackOffset returns the offset in h that its peer's acknowledgement number
// stands for, or -1.
func (h *half) ackOffset(ack uint32, hasAck bool) int64 {
	if !hasAck || h.state != stateFixed {
		return -1
	}
	if h.start == StartFirstAck && h.next == 0 {
		return -1 // the beginning may still turn out to be earlier
	}
	off, ok := h.offset(ack)
	if !ok {
		return -1
	}
	if r := h.rare; r != nil && r.fin && off == r.finAt.off+1 {
		off-- // the FIN has a sequence number, but no offset
	}
	return max(off, 0) // below 0: sent before the capture began, or before the SYN was answered
}

// hasFINAt reports whether a segment of the peer acknowledges h's FIN.
func (h *half) hasFINAt(o origin) bool {
	if !o.hasAck || h.state != stateFixed || h.rare == nil || !h.rare.fin {
		return false
	}
	off, ok := h.offset(o.ack)
	return ok && off == h.rare.finAt.off+1
}

// end returns the highest known offset.
func (h *half) end() int64 {
	if h.state == stateNone {
		return 0
	}
	end, acked := h.next, h.acked
	if h.held != nil {
		end = max(end, h.held.end())
	}
	if r := h.rare; r != nil {
		end = max(end, r.cut)
		if r.fin {
			end = max(end, r.finAt.off)
			if acked == r.finAt.off+1 {
				acked--
			}
		}
	}
	return max(end, acked)
}

// carried reports whether the direction has sent anything beyond a SYN.
func (h *half) carried() bool {
	return h.next > 0 || h.held != nil || h.rare != nil && (h.rare.fin || h.rare.rst || h.rare.cut > 0)
}

// lowest returns the lowest offset that is known in a provisional state.
func (h *half) lowest() int64 {
	if h.held != nil {
		return h.held.chunks[0].off
	}
	low := int64(0)
	if h.rare != nil && h.rare.fin {
		low = min(low, h.rare.finAt.off)
	}
	return low
}

// rebase makes the byte at offset by the new offset 0.
func (h *half) rebase(by int64) {
	if by == 0 {
		return
	}
	h.base += uint32(by)
	h.acked = max(h.acked-by, 0)
	if h.held != nil {
		for i := range h.held.chunks {
			h.held.chunks[i].off -= by
			h.held.chunks[i].wireEnd -= by
		}
	}
	if r := h.rare; r != nil {
		r.finAt.off -= by
		r.rstAt.off = max(r.rstAt.off-by, 0)
		r.conflictOffset -= by
		if r.cut > 0 {
			r.cut = max(r.cut-by, 0)
		}
	}
}

// fix ends a provisional state: base becomes the sequence number of offset 0.
func (h *half) fix(base uint32, k StartKind) {
	if h.state != stateNone {
		by := int64(int32(base - h.base))
		if k == StartAck || k == StartFirstAck {
			// An acknowledgement may be of more than the SYN.
			if low := h.lowest(); low < by && by-low <= initialWindow {
				by = low
			}
		}
		h.rebase(by)
	} else {
		h.base = base
	}
	h.state, h.start = stateFixed, k
}

// fixLowest ends a provisional state in which nothing tells where the stream began:
// it is taken to begin where what is known of it does.
func (h *half) fixLowest() { h.fix(h.base+uint32(h.lowest()), StartUnknown) }

// seen counts a packet, unless it is a copy of a recent one.
func (h *half) seen(s *link.Segment) {
	if s.Identity != 0 {
		for _, id := range &h.recent { // not a copy
			if id == s.Identity {
				return
			}
		}
		h.recent[h.recentAt%recentSegments] = s.Identity
		h.recentAt++
	}
	if h.packets == 0 {
		h.first, h.last, h.firstFrame = s.Time, s.Time, s.Frame
	}
	h.first, h.last = min(h.first, s.Time), max(h.last, s.Time)
	h.packets++
}

// conflict records that a segment contradicts earlier ones at offset off.
// A segment is counted once: prior says whether it was already.
func (h *half) conflict(frame capture.Frame, off int64, prior bool) {
	r := h.more()
	if r.conflicts == 0 {
		r.firstConflict, r.conflictOffset = frame, off
	}
	r.conflictOffset = min(r.conflictOffset, off)
	if !prior {
		r.conflicts++
	}
}
