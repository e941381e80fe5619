package tcp

import (
	"slices"

	"distproof/decode/pack"
)

// AtRest reports whether c can be packed: nothing waits, and of the beginnings at
// most sums are kept.
func (c *Conn) AtRest() bool {
	a, b := &c.half[0], &c.half[1]
	return a.held == nil && b.held == nil && (a.head == nil || a.head.raw == nil) && (b.head == nil || b.head.raw == nil)
}

// Tables have what connections have in common. The zero value has nothing yet.
type Tables struct{ handshakes pack.Table[*spanEnds] }

// Full reports whether one of the tables is full.
func (t *Tables) Full() bool { return t.handshakes.Full() }

// Pack packs what is known of a connection at rest, or restores it in one with the
// same limits that is new or was at rest itself, whose room it uses. It leaves the
// anchor of p where the connection begins. One that is packed with tables is restored
// with the same.
func (c *Conn) Pack(p *pack.Packer, t *Tables) {
	begin := c.half[0].first
	p.Time(&begin)
	p.Anchor()
	for d := range c.half {
		p.Return()
		c.half[d].pack(p, t)
	}
}

func (h *half) pack(p *pack.Packer, t *Tables) {
	if p.Reading() {
		*h = half{head: h.head}
	}
	pack.Pair(p, &h.state, &h.start)
	pack.Uint8(p, &h.flags)
	unacked, gap := h.acked != h.next, h.gap != 0
	recent := h.recentAt != 0 || h.recent != [recentSegments]uint32{}
	hasHead, isRare := h.head != nil, h.rare != nil
	noSYN := h.synFrame != h.firstFrame
	p.Flags(&unacked, &gap, &recent, &hasHead, &isRare, &noSYN)
	p.Offset(&h.next)
	if !unacked {
		h.acked = h.next
	} else {
		p.Offset(&h.acked)
	}
	if gap {
		pack.Int(p, &h.gap)
	}
	pack.Uint(p, &h.packets)
	p.Time(&h.first)
	p.Time(&h.last)
	p.Frame(&h.firstFrame)
	if noSYN {
		p.Frame(&h.synFrame)
	} else {
		h.synFrame = h.firstFrame
	}
	pack.Uint32(p, &h.base)
	pack.Uint(p, &h.segments)
	if recent {
		h.packRecent(p)
	}
	pack.If(p, hasHead, &h.head, func(h *head, p *pack.Packer) { h.pack(p, t) })
	pack.If(p, isRare, &h.rare, (*rare).pack)
}

// packRecent leaves out the places that were not used.
func (h *half) packRecent(p *pack.Packer) {
	pack.Uint8(p, &h.recentAt)
	var used [recentSegments]bool
	for i, id := range h.recent {
		used[i] = id != 0
	}
	p.Flags(&used[0], &used[1], &used[2], &used[3], &used[4], &used[5], &used[6], &used[7])
	for i := range h.recent {
		if used[i] {
			pack.Uint32(p, &h.recent[i])
		}
	}
}

func (h *head) pack(p *pack.Packer, t *Tables) {
	pack.Slice(p, &h.spans, func(s *span, p *pack.Packer) { pack.Uint32(p, &s.sum) })
	h.packEnds(p, t)
}

// fewSpans is how many pieces there are in most handshakes, whose lengths are then
// the same in many connections.
const fewSpans = 12

// spanEnds are the ends of pieces. They are not changed.
type spanEnds struct {
	spans  []span // of which only the ends count
	number uint32 // in Tables.handshakes
}

func (h *head) packEnds(p *pack.Packer, t *Tables) {
	switch few := len(h.spans) <= fewSpans; {
	case !few:
		packLengths(p, h.spans)
	case p.Reading():
		var known *spanEnds
		if t.handshakes.Pack(p, &known, 0) == 0 {
			packLengths(p, h.spans)
			return
		}
		for i := range h.spans {
			h.spans[i].end = known.spans[i].end
		}
	default:
		from := len(p.Packed())
		packLengths(p, h.spans)
		known := t.handshakes.Numbered(p.Packed()[from:], func(number uint32) *spanEnds { return &spanEnds{slices.Clone(h.spans), number} })
		p.Fold(from, known.number)
	}
}

func packLengths(p *pack.Packer, spans []span) {
	end := uint32(0)
	for i := range spans {
		length := spans[i].end - end
		pack.Uint(p, &length)
		end += length
		spans[i].end = end
	}
}

func (r *rare) pack(p *pack.Packer) {
	p.Flags(&r.fin, &r.rst)
	pack.Uint(p, &r.conflicts)
	p.Frame(&r.firstConflict)
	p.Offset(&r.conflictOffset)
	pack.Uint(p, &r.unchecked)
	p.Offset(&r.uncheckedOffset)
	pack.Uint(p, &r.strays)
	pack.Uint(p, &r.strayData)
	pack.Uint(p, &r.overflows)
	p.Offset(&r.cut)
	r.finAt.pack(p)
	r.rstAt.pack(p)
}

func (o *origin) pack(p *pack.Packer) {
	is := *o != origin{}
	if p.Flags(&is, &o.hasAck); !is {
		return
	}
	p.Offset(&o.off)
	p.Time(&o.time)
	p.Frame(&o.frame)
	pack.Uint32(p, &o.ack)
}

// Pack packs a position.
func (p *Position) Pack(to *pack.Packer) { to.Place(&p.Offset, &p.Acked, &p.Time, &p.Frame) }
