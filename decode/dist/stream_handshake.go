package dist

import (
	"encoding/binary"

	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// stepHandshake collects and reads a message of the handshake.
func (s *Stream) stepHandshake(at tcp.Position, b []byte) int {
	n := s.buf.fill(at, b, s.handshakeLength())
	have := len(s.buf.b)
	switch {
	case have == s.prefix && s.handshakeLength() == s.prefix: // an empty message
		s.notHandshake()
	case have > s.prefix && !s.plausibleHandshake():
		s.notHandshake()
	case have > s.prefix && have == s.handshakeLength():
		s.handshakeMessage()
	}
	return n
}

// handshakeLength returns how many bytes to collect: the prefix, then one more
// to see what it is, then all.
func (s *Stream) handshakeLength() int {
	switch n := len(s.buf.b); {
	case n < s.prefix:
		return s.prefix
	case n == s.prefix:
		return s.prefix + min(1, s.payloadLength())
	}
	return s.prefix + s.payloadLength()
}

// payloadLength reads the prefix of the message in the buffer. One that is too
// long for a handshake is cut to what is so, too.
func (s *Stream) payloadLength() int {
	if s.prefix == 4 {
		return int(min(binary.BigEndian.Uint32(s.buf.b), maxHandshake+1))
	}
	return int(binary.BigEndian.Uint16(s.buf.b))
}

// plausibleHandshake looks at a message's length and first byte.
func (s *Stream) plausibleHandshake() bool {
	length := s.payloadLength()
	if length > maxHandshake {
		return false
	}
	switch s.buf.b[s.prefix] {
	case 'N', 'n', 's':
		return true
	case 'r':
		return length == replyLength
	case 'a':
		return length == ackLength
	case 'c':
		return length == complementLength
	}
	return false
}

// notHandshake gives up the handshake at the message that is in the buffer.
func (s *Stream) notHandshake() {
	at := s.buf.at()
	s.unread(0)
	s.foreign(at)
}

func (s *Stream) handshakeMessage() {
	at := s.buf.at()
	certain := !s.resume
	if s.resume && (s.buf.b[s.prefix] == 'N' || s.buf.b[s.prefix] == 'n') {
		m, _, _ := matchMessage(s.buf.b[s.prefix-2:])
		certain = m == wire.Yes
		if !certain {
			s.notHandshake()
			return
		}
	}
	h := s.facts.Handshake
	f := h.parse(at, s.buf.b[s.prefix:], s.facts.Role)
	if f == formNone {
		s.notHandshake()
		return
	}
	s.facts.Handshake = h
	s.tookHandshake(f, at, certain || s.facts.Recognition == ByHandshake)
	s.buf.reset()
}

// tookHandshake moves on after a message of form f.
func (s *Stream) tookHandshake(f form, at tcp.Position, certain bool) {
	if s.facts.Role == RoleUnknown {
		s.facts.Role, s.facts.RoleEvidence = f.role(), f.String()
	}
	if !s.tentative {
		s.since, s.tentative = at, true
	}
	if certain {
		s.recognise(ByHandshake, s.since)
		s.resume = false
	}
	switch f {
	case formReply, formAck:
		s.facts.Handshake.Reply = s.facts.Handshake.Reply || f == formReply
		s.facts.Handshake.Ack = s.facts.Handshake.Ack || f == formAck
		s.state = inHeader
		if !certain {
			s.candidate = &candidate{at: s.since}
		}
	default:
		s.state = inHandshake
	}
}

// gapInHandshake keeps the framing if the gap ends within a message whose kind
// is known already.
func (s *Stream) gapInHandshake(n int64) {
	have := len(s.buf.b)
	if have <= s.prefix || s.resume || !s.plausibleHandshake() {
		s.lose()
		return
	}
	rest := int64(s.handshakeLength() - have)
	f := formNone
	switch s.buf.b[s.prefix] {
	case 'r':
		f = formReply
	case 'a':
		f = formAck
	case 'c':
		f = formComplement
	}
	if n > rest || f == formNone && s.facts.Role == RoleUnknown {
		s.lose()
		return
	}
	at := s.buf.at()
	if f != formNone {
		s.tookHandshake(f, at, true)
	} else {
		s.state = inHandshake
	}
	s.buf.reset()
	s.passOver(rest - n)
}

// passOver leaves out n bytes and returns to the present state.
func (s *Stream) passOver(n int64) {
	if n > 0 {
		s.after, s.state, s.remaining = s.state, inBody, n
	}
}
