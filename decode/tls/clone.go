package tls

import (
	"bytes"
	"slices"

	"distproof/decode/tcp"
)

// Clone returns a stream that goes on from here by itself, such as to find out
// with [Stream.End] and [Combine] what there is as of now. Both may be used at
// the same time. sink is for the clone what that of [Stream.Retain] is. The clone
// is not bound by a [Queue].
func (s *Stream) Clone(sink func(tcp.Position, []byte)) *Stream {
	c := *s
	if c.sink != nil {
		c.sink = sink
	}
	c.queue, c.queued = nil, false
	c.message, c.holding = bytes.Clone(s.message), bytes.Clone(s.holding)
	c.log, c.packed, c.held = slices.Clone(s.log), s.packed.clone(), s.held.clone()
	c.clear, c.messages, c.tickets, c.alerts = slices.Clip(s.clear), slices.Clip(s.messages), slices.Clip(s.tickets), slices.Clip(s.alerts)
	if s.foreign != nil {
		f := *s.foreign
		c.foreign = &f
	}
	c.opening = s.opening.clone(c.sink)
	return &c
}

func (l Records) clone() Records { return Records{slices.Clip(l.packed), l.n} }

func (l *heldLog) clone() *heldLog {
	if l == nil {
		return nil
	}
	return &heldLog{records: l.records.clone(), last: l.last, bodies: slices.Clip(l.bodies)}
}

func (o *opening) clone(sink func(tcp.Position, []byte)) *opening {
	if o == nil {
		return nil
	}
	c := *o
	c.sink, c.plain = sink, nil
	c.flight, c.answers, c.tickets, c.post = slices.Clip(o.flight), slices.Clip(o.answers), slices.Clip(o.tickets), slices.Clip(o.post)
	if o.handshake != nil {
		c.handshake = o.handshake.Clone()
	}
	if o.traffic != nil {
		c.traffic = o.traffic.Clone()
	}
	return &c
}
