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
	c.log = s.log.clone()
	if s.foreign != nil {
		f := *s.foreign
		c.foreign = &f
	}
	if !s.shared() {
		if s.server != nil && !s.server.Version.Is13() && s.signed == nil && s.tried == nil {
			s.tried = new(tried)
		}
		c.beginning = s.beginning.clone()
	}
	if s.secrets != nil {
		c.retained = s.retained.clone(sink)
	}
	return &c
}

func (b *beginning) clone() *beginning {
	c := *b
	c.message = bytes.Clone(b.message)
	c.clear, c.messages, c.tickets, c.alerts = slices.Clip(b.clear), slices.Clip(b.messages), slices.Clip(b.tickets), slices.Clip(b.alerts)
	return &c
}

func (r *retained) clone(sink func(tcp.Position, []byte)) *retained {
	c := *r
	if c.sink != nil {
		c.sink = sink
	}
	c.queue, c.queued = nil, false
	c.held, c.holding, c.opening = r.held.clone(), bytes.Clone(r.holding), r.opening.clone(c.sink)
	return &c
}

func (l Records) clone() Records { return Records{bytes.Clone(l.packed), l.n, l.shape} }

func (l *heldLog) clone() *heldLog {
	if l == nil {
		return nil
	}
	records := l.records
	records.packed = slices.Clip(records.packed)
	return &heldLog{records: records, last: l.last, bodies: slices.Clip(l.bodies)}
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
