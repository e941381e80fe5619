package dist

import (
	"encoding/binary"

	"distproof/decode/tcp"
)

// headerLength returns how many bytes of a message to collect: its length,
// then two bytes to see what it is, then what is decoded of it.
func headerLength(b []byte) int {
	if len(b) < 4 {
		return 4
	}
	length := int64(binary.BigEndian.Uint32(b))
	if len(b) < 6 {
		return 4 + int(min(length, 2))
	}
	return 4 + int(min(length, maxHead))
}

// stepHeader collects and reads the head of a message.
func (s *Stream) stepHeader(at tcp.Position, b []byte) int {
	if len(s.buf.b) == 0 && s.candidate == nil {
		if n := headLength(b); n > 0 {
			s.head(at, b[:n])
			return n
		}
	}
	n := 0
	for {
		need := headerLength(s.buf.b)
		if len(s.buf.b) == need {
			break
		}
		k := s.buf.fill(forward(at, n), b[n:], need)
		n += k
		if len(s.buf.b) < need {
			return n
		}
		if len(s.buf.b) == 6 && !begins(s.buf.b) {
			s.notMessage()
			return n
		}
	}
	if len(s.buf.b) == 5 {
		s.notMessage()
		return n
	}
	if !s.knownTentative() {
		s.notMessage()
		return n
	}
	at = s.buf.at()
	s.head(at, s.buf.b)
	s.buf.reset()
	return n
}

// headLength returns the length of the whole head of the message at the
// beginning of b, with its prefix; 0 if it is not all there or not a message.
func headLength(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	length := int64(binary.BigEndian.Uint32(b))
	n := 4 + min(length, maxHead)
	if length != 0 && (length < 2 || int64(len(b)) < n || !begins(b)) {
		return 0
	}
	return int(n)
}

// begins reports whether b, a length and at least two bytes, is how a message
// begins.
func begins(b []byte) bool { return b[4] == tagVersion || b[4] == tagPassThrough }

// knownTentative reports whether the message in the buffer may follow a
// candidate, or be one: for these, a first byte that fits is not enough.
func (s *Stream) knownTentative() bool {
	if s.candidate == nil {
		return true
	}
	if len(s.buf.b) == 4 { // a tick
		return s.candidate.found
	}
	if int64(binary.BigEndian.Uint32(s.buf.b)) > maxLength {
		return false
	}
	if s.candidate.found {
		return likely(s.buf.b[4:])
	}
	var d decoder
	_, ok := d.decode(s.buf.b[4:])
	return ok
}

// likely reports whether the first two bytes of a message are ones that nodes
// send.
func likely(b []byte) bool {
	switch b[0] {
	case tagVersion:
		return b[1] == tagDistHeader || b[1] == tagFirstFrag || b[1] == tagNextFrag
	case tagPassThrough:
		return b[1] == tagVersion
	}
	return false
}

// notMessage gives up the framing at the message that is in the buffer.
func (s *Stream) notMessage() {
	at := s.buf.at()
	from := 0
	if s.candidate != nil && !s.candidate.found && s.search != nil {
		// The search stopped at these bytes: go on behind what it saw.
		from = 1
	}
	s.unread(from)
	s.foreign(at)
}

// head handles the head of a message, with its length, or a tick.
func (s *Stream) head(at tcp.Position, b []byte) {
	length := int64(binary.BigEndian.Uint32(b))
	b = b[4:]
	if length == 0 {
		s.sure()
		s.facts.Ticks.add(at)
		s.facts.Connected = true
		return
	}
	if s.candidate != nil && s.candidate.found {
		s.sure()
	}
	m, _ := s.dec.decode(b)
	if !m.listed {
		s.dec.cache.forget()
	}
	if s.candidate != nil {
		s.candidate.found, s.candidate.msg = true, m
	} else {
		s.count(m)
	}
	s.passOver(length - int64(len(b)))
}

// sure confirms the candidate, if there is one.
func (s *Stream) sure() {
	if s.candidate != nil {
		s.confirm()
	}
}

// confirm makes a candidate count.
func (s *Stream) confirm() {
	c := s.candidate
	s.candidate, s.search = nil, nil
	s.resume = false
	r := ByFraming
	if s.facts.Handshake.Reply || s.facts.Handshake.Ack {
		r = ByHandshake
	}
	at := c.at
	if c.ticks.Count > 0 {
		at = c.ticks.First
	}
	s.recognise(r, at)
	s.facts.Ticks.join(c.ticks)
	s.count(c.msg)
}

// count adds a message to the facts.
func (s *Stream) count(m message) {
	s.facts.Connected = true
	switch m.kind {
	case kindNextFrag:
		s.facts.Fragments++
		return
	case kindPass:
		s.facts.PassThrough++
	case kindCompressed:
		s.facts.Compressed++
	}
	op := m.op
	if op == "" {
		op = Unknown
	}
	if s.facts.Messages == nil {
		s.facts.Messages = make(map[string]uint64)
	}
	s.facts.Messages[op]++
	if m.named {
		s.countName(&s.facts.RegisteredNames, m.registered)
	}
	if m.spawns {
		s.countName(&s.facts.Spawned, m.spawned)
	}
}

func (s *Stream) countName(names *map[string]uint64, name string) {
	if *names == nil {
		*names = make(map[string]uint64)
	}
	_, known := (*names)[name]
	if name == "" || !known && len(*names) >= maxNames {
		s.facts.Unnamed++
		return
	}
	(*names)[name]++
}

// gapInHeader handles a gap where the head of a message was being collected.
func (s *Stream) gapInHeader(n int64) {
	have := len(s.buf.b)
	if have < 6 || s.candidate != nil && !s.candidate.found {
		s.lose()
		return
	}
	if !s.endHeader() || n > s.remaining {
		s.lose()
		return
	}
	// What was lost may have changed the atom cache.
	s.dec.cache.forget()
	if s.remaining -= n; s.remaining == 0 {
		s.state = s.after
	}
}

// endHeader handles a head of which no more will come, and passes over the
// rest of the message. It reports whether the head is that of a message.
func (s *Stream) endHeader() bool {
	b := s.buf.b
	if len(b) < 6 || s.candidate != nil && (!s.candidate.found || !likely(b[4:])) {
		return false
	}
	s.sure()
	m, _ := s.dec.decode(b[4:])
	s.count(m)
	s.passOver(4 + int64(binary.BigEndian.Uint32(b)) - int64(len(b)))
	s.buf.reset()
	return true
}
