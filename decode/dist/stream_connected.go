package dist

import (
	"encoding/binary"

	"distproof/decode/dist/term"
	"distproof/decode/tcp"
)

// headerLength returns how many bytes of a message to collect: its length,
// then two bytes to see what it is, then what is decoded of it, but at most
// want.
func headerLength(b []byte, want int) int {
	if len(b) < 4 {
		return 4
	}
	length := int64(binary.BigEndian.Uint32(b))
	if len(b) < 6 {
		return 4 + int(min(length, 2))
	}
	if b[4] == term.Version && b[5] == tagNextFrag {
		want = min(want, nextFragHeader)
	}
	return 4 + int(min(length, int64(want)))
}

// nextFragHeader is the length of the header of fragments after the first.
// What follows it is payload.
const nextFragHeader = 1 + 1 + 8 + 8

// stepHeader collects and reads the head of a message.
func (s *Stream) stepHeader(at tcp.Position, b []byte) int {
	if len(s.buf.b) == 0 || s.candidate != nil {
		s.want = s.firstWant()
	}
	if len(s.buf.b) == 0 && s.candidate == nil {
		if n := s.wholeHead(at, b); n > 0 {
			return n
		}
	}
	n := 0
	for {
		need := headerLength(s.buf.b, s.want)
		if len(s.buf.b) < need {
			n += s.buf.fill(forward(at, n), b[n:], need)
		}
		if len(s.buf.b) < need {
			return n
		}
		switch {
		case len(s.buf.b) == 5, len(s.buf.b) == 6 && !begins(s.buf.b):
			s.notMessage()
			return n
		case headerLength(s.buf.b, s.want) > need:
			continue
		case !s.knownTentative():
			s.notMessage()
			return n
		}
		if s.head(s.buf.at(), s.buf.b) {
			s.buf.reset()
			return n
		}
		s.want = maxHead
	}
}

// firstWant returns how much of a message to collect at first. What is not
// certain to be one is looked at in full, as what is to be shown is.
func (s *Stream) firstWant() int {
	s.dec.show = s.options.Payload && len(s.facts.Payloads) < maxPayloads
	if s.candidate != nil || s.dec.show {
		return maxHead
	}
	return firstHead
}

// wholeHead handles the message at the beginning of b if as much of it is there
// as is needed, and returns how much that was.
func (s *Stream) wholeHead(at tcp.Position, b []byte) int {
	for {
		n := headLength(b, s.want)
		if n == 0 || s.head(at, b[:n]) {
			return n
		}
		s.want = maxHead
	}
}

// headLength returns the length of the whole head of the message at the
// beginning of b, with its prefix; 0 if it is not all there or not a message.
func headLength(b []byte, want int) int {
	if len(b) < 4 {
		return 0
	}
	n := headerLength(b, want)
	if length := binary.BigEndian.Uint32(b); length != 0 && (length < 2 || len(b) < n || !begins(b)) {
		return 0
	}
	return n
}

// begins reports whether b, a length and at least two bytes, is how a message
// begins.
func begins(b []byte) bool { return b[4] == term.Version || b[4] == tagPassThrough }

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
	// These may be any bytes: what they seem to name is not kept for others.
	d := decoder{tables: new(Tables)}
	_, ok := d.decode(s.buf.b[4:])
	return ok
}

// likely reports whether the first two bytes of a message are ones that nodes
// send.
func likely(b []byte) bool {
	switch b[0] {
	case term.Version:
		return b[1] == tagDistHeader || b[1] == tagFirstFrag || b[1] == tagNextFrag
	case tagPassThrough:
		return b[1] == term.Version
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

// head handles the head of a message, with its length, or a tick. It returns
// false, and has done nothing, if more of the message has to be seen.
func (s *Stream) head(at tcp.Position, b []byte) bool {
	length := int64(binary.BigEndian.Uint32(b))
	b = b[4:]
	if length == 0 {
		s.sure()
		s.facts.Ticks.add(at)
		s.facts.Connected = true
		return true
	}
	m, _ := s.dec.decode(b)
	if m.short && int64(len(b)) < length && s.want < maxHead {
		return false
	}
	if s.candidate != nil && s.candidate.found {
		s.sure()
	}
	if !m.listed {
		s.dec.cache.forget()
	}
	if c := s.candidate; c != nil {
		c.found, c.msg, c.msgAt, c.size = true, m.clone(), at, uint64(4+length)
	} else {
		s.count(at, m, uint64(4+length))
	}
	s.passOver(length - int64(len(b)))
	return true
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
	s.count(c.msgAt, &c.msg, c.size)
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
	size := 4 + int64(binary.BigEndian.Uint32(b))
	s.count(s.buf.at(), m, uint64(size))
	s.passOver(size - int64(len(b)))
	s.buf.reset()
	return true
}
