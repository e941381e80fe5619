package tcp

import "math"

// head is the beginning of a direction, kept to compare retransmissions with.
type head struct {
	b     []byte
	holes [][2]int64 // gaps in b, as offsets [from, to), ascending
}

// keepHead appends bytes that are being delivered at h.next.
func (c *Conn) keepHead(h *half, b []byte) {
	if h.flags&(forgotten|headLost) != 0 || h.next >= int64(c.limits.Head) {
		return
	}
	if room := int64(c.limits.Head) - h.next; int64(len(b)) > room {
		b = b[:room]
	}
	if c.growHead(h, len(b)) {
		h.head.b = append(h.head.b, b...)
	}
}

// skipHead notes n missing bytes at h.next.
func (c *Conn) skipHead(h *half, n int64) {
	if h.flags&(forgotten|headLost) != 0 || h.next >= int64(c.limits.Head) {
		return
	}
	n = min(n, int64(c.limits.Head)-h.next)
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
}

// growHead makes room for n more bytes of head.
func (c *Conn) growHead(h *half, n int) bool {
	if h.head == nil {
		h.head = new(head)
	}
	need, have := len(h.head.b)+n, cap(h.head.b)
	if need <= have {
		return true
	}
	want := min(max(need, 2*have), c.limits.Head)
	if !c.budget.take(want - have) {
		h.flags |= headLost
		return false
	}
	b := make([]byte, len(h.head.b), want)
	copy(b, h.head.b)
	h.head.b = b
	return true
}

// clashHead compares b, at off, all of it below h.next, with the head. It
// returns the lowest offset that differs, or -1, the number of bytes that had
// nothing to be compared with, and the offset of the first of these.
func (h *half) clashHead(off int64, b []byte) (at int64, unchecked int, from int64) {
	if h.head == nil || off >= int64(len(h.head.b)) {
		return -1, len(b), off
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

// Forget drops the retained beginnings and keeps no more: when the caller has
// decided all it needs them for.
func (c *Conn) Forget() {
	for d := range c.half {
		h := &c.half[d]
		h.flags |= forgotten
		if h.head != nil {
			c.budget.give(cap(h.head.b))
			h.head = nil
		}
	}
}
