package tcp

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
// returns the lowest offset that differs, or -1, and the number of bytes that
// had nothing to be compared with.
func (h *half) clashHead(off int64, b []byte) (at int64, unchecked int) {
	if h.head == nil || off >= int64(len(h.head.b)) {
		return -1, len(b)
	}
	if over := off + int64(len(b)) - int64(len(h.head.b)); over > 0 {
		unchecked = int(over)
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
	from := int64(0)
	for _, hole := range h.head.holes {
		compare(from, hole[0])
		unchecked += int(max(min(hole[1], off+int64(len(b)))-max(hole[0], off), 0))
		from = hole[1]
	}
	compare(from, int64(len(h.head.b)))
	return at, unchecked
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
