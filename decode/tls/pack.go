package tls

import "distproof/decode/pack"

// AtRest reports whether s can be packed: what it has in common with others is kept
// for all, and nothing waits for a key log.
func (s *Stream) AtRest() bool {
	b := s.beginning
	return s.secrets == nil &&
		(b.hello == nil || b.hello.number > 0) && (b.server == nil || b.server.number > 0) &&
		(b.signed == nil || b.signed.number > 0) &&
		(b.chain.number > 0 || b.chain.certificates == nil && b.chain.err == nil)
}

// Pack packs what is known of a stream at rest, or restores it in one that is new
// or was at rest itself, whose room it uses. t are the tables that the stream which is
// packed was made with.
func (s *Stream) Pack(p *pack.Packer, t *Tables) {
	if p.Reading() {
		*s = Stream{log: Records{packed: s.log.packed}, beginning: s.beginning, retained: &t.unretained}
	}
	pack.Pair(p, &s.start, &s.status)
	pack.Uint8(p, &s.role)
	p.Flags(&s.gapped, &s.tentative, &s.confirmed, &s.lostOnce, &s.ccs, &s.retried, &s.unkept, &s.dropped)
	p.Flags(&s.certificate)
	pack.Int(p, &s.since)
	pack.Int(p, &s.reliable)
	s.sealed.pack(p)
	pack.Int(p, &s.last.length)
	p.Offset(&s.last.end)
	for i := range s.ticks {
		s.ticks[i].pack(p)
	}
	s.packRecord(p)
	s.log.pack(p, t)
	s.packBeginning(p, t)
	pack.Some(p, &s.foreign, (*Foreign).pack)
}

// packRecord packs the record that is being read. Of the last one, if none is, only
// the place matters.
func (s *Stream) packRecord(p *pack.Packer) {
	pack.Int(p, &s.have)
	pack.Int(p, &s.left)
	r := &s.record
	p.Offset(&r.Offset)
	if s.have == 0 && s.left == 0 {
		return
	}
	p.Fixed(s.header[:])
	pack.Uint8(p, &r.Type)
	pack.Uint8(p, &r.Message)
	p.Flags(&r.Sealed)
	pack.Int(p, &r.Length)
	p.Offset(&r.Acked)
	p.Time(&r.Time)
	p.Frame(&r.Frame)
}

func (s *Sealed) pack(p *pack.Packer) {
	pack.Uint(p, &s.Application)
	pack.Uint(p, &s.Handshake)
	pack.Uint(p, &s.Alerts)
}

func (t *Ticks) pack(p *pack.Packer) {
	if pack.Int(p, &t.Count); t.Count == 0 {
		return
	}
	pack.Int(p, &t.Spaced)
	pack.Int(p, &t.Even)
	pack.Int(p, &t.Interval)
	p.Time(&t.last)
}

func (f *Foreign) pack(p *pack.Packer) {
	p.Offset(&f.Offset)
	p.Frame(&f.Frame)
	pack.Uint(p, &f.Bytes)
}

// packBeginning packs the number of a beginning that streams have in common, and
// all of one that is of this stream alone.
func (s *Stream) packBeginning(p *pack.Packer, t *Tables) {
	b := s.beginning
	number := uint32(0)
	if b != nil {
		number = b.number
	}
	if t.beginnings.Pack(p, &b, number); b == nil {
		// It uses the room of what was there before.
		if b = s.beginning; b == nil || b.shared() {
			b = new(beginning)
		}
		*b = beginning{}
	}
	if s.beginning = b; !b.shared() {
		b.pack(p, t)
	}
}

func (b *beginning) pack(p *pack.Packer, t *Tables) {
	pack.Uint(p, &b.group)
	pack.Int(p, &b.filled)
	pack.Uint(p, &b.window)
	pack.Int(p, &b.searched)
	pack.Int(p, &b.verified)
	pack.Int(p, &b.mark)
	var hello, server, signed uint32
	if b.hello != nil {
		hello = b.hello.number
	}
	if b.server != nil {
		server = b.server.number
	}
	if b.signed != nil {
		signed = b.signed.number
	}
	t.hellos.Pack(p, &b.hello, hello)
	t.serverHellos.Pack(p, &b.server, server)
	t.results.Pack(p, &b.signed, signed)
	t.chains12.Pack(p, &b.chain, b.chain.number)
	p.Bytes(&b.message)
	p.Bytes(&b.clear)
	p.Text(&b.damage)
	pack.Slice(p, &b.messages, (*sighting).pack)
	pack.Slice(p, &b.tickets, (*Ticket).pack)
	pack.Slice(p, &b.alerts, (*Alert).pack)
	p.Offset(&b.preamble)
}

func (m *sighting) pack(p *pack.Packer) {
	pack.Uint8(p, &m.kind)
	p.Frame(&m.frame)
}

func (t *Ticket) pack(p *pack.Packer) { p.Fixed(t[:]) }

func (a *Alert) pack(p *pack.Packer) {
	p.Flags(&a.Fatal)
	pack.Uint8(p, &a.Description)
	p.Frame(&a.Frame)
	p.Offset(&a.Offset)
}
