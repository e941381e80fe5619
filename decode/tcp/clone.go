package tcp

import "slices"

// Clone returns a connection that goes on from here by itself, such as to find
// out with [Conn.Flush] what there is as of now. Both may be used at the same
// time, and what the clone takes of the [Budget] is not taken from that of c.
func (c *Conn) Clone() *Conn {
	out := *c
	if c.budget != nil {
		out.budget = &Budget{left: c.budget.left, total: c.budget.total}
	}
	for d := range out.half {
		out.half[d].own()
	}
	return &out
}

// own gives h its own copy of what it would change.
func (h *half) own() {
	h.head = nil
	h.flags |= forgotten
	if h.held != nil {
		l := *h.held
		for i := range l.chunks {
			l.chunks[i].shared = true
		}
		l.chunks = slices.Clone(l.chunks)
		h.held = &l
	}
	if h.rare != nil {
		r := *h.rare
		h.rare = &r
	}
}
