package tls

import (
	"slices"

	"distproof/capture"
)

// collect gathers handshake messages out of records. After a ChangeCipherSpec
// the record is kept whole: it is encrypted, unless the ChangeCipherSpec was
// one of TLS 1.3's compatibility mode and a hello follows.
func (s *Stream) collect(b []byte) {
	if s.lostOnce || s.damage != "" && !s.ccs {
		return
	}
	if s.ccs {
		s.message = append(s.message, b...)
		return
	}
	for len(b) > 0 && s.damage == "" {
		if n := 4; len(s.message) == 0 && len(b) >= n {
			if n += messageLength(b); n <= len(b) {
				s.take(b[:n])
				b = b[n:]
				continue
			}
		}
		need := 4
		if len(s.message) >= 4 {
			need = 4 + messageLength(s.message)
		}
		n := min(need-len(s.message), len(b))
		s.message = append(s.message, b[:n]...)
		b = b[n:]
		s.completeMessage()
	}
}

func messageLength(m []byte) int { return int(m[1])<<16 | int(m[2])<<8 | int(m[3]) }

// completeMessage handles the assembled message if it is whole.
func (s *Stream) completeMessage() {
	if len(s.message) < 4 {
		return
	}
	kind, n := HandshakeType(s.message[0]), messageLength(s.message)
	if n > maxMessage {
		s.note(kind)
		s.damage = "a handshake message longer than the limit of 256 KiB"
		s.message = s.message[:0]
		return
	}
	if len(s.message) < 4+n {
		return
	}
	s.take(s.message)
	s.message = s.message[:0]
}

// take handles a whole message, which is not longer than the limit.
func (s *Stream) take(message []byte) {
	kind := HandshakeType(message[0])
	s.handle(kind, message[4:])
	s.keep(kind, message)
}

// seen are the messages that crossed in the clear, each type once. There are a
// handful, too few for a map in each of a million connections.
type seen []sighting

type sighting struct {
	kind  HandshakeType
	frame capture.Frame // of the first
}

func (m seen) has(kind HandshakeType) bool {
	return slices.ContainsFunc(m, func(x sighting) bool { return x.kind == kind })
}

// frame returns where the first message of a type was; zero if there was none.
func (m seen) frame(kind HandshakeType) capture.Frame {
	for _, x := range m {
		if x.kind == kind {
			return x.frame
		}
	}
	return capture.Frame{}
}

// note records that a message of the given type was seen.
func (s *Stream) note(kind HandshakeType) {
	if !s.messages.has(kind) {
		s.messages = append(s.messages, sighting{kind, s.record.Frame})
	}
}

// handle reads one handshake message that crossed in the clear.
func (s *Stream) handle(kind HandshakeType, body []byte) {
	var err error
	switch kind {
	case TypeClientHello:
		var h *ClientHello
		if h, err = readClientHello(body); err == nil {
			s.retried = s.retried || s.hello != nil
			s.setHello(h)
			s.role = RoleClient
			s.confirm()
		}
	case TypeServerHello:
		var h *ServerHello
		if h, err = readServerHello(body); err == nil {
			s.role = RoleServer
			s.retried = s.retried || h.Retry
			s.setServer(h)
			s.confirm()
		}
	case TypeCertificate:
		s.certificate = true
		s.chain = s.tables.readChain(&s.tables.chains12, body, readCertificate12)
		err = s.chain.err
	case TypeServerKeyExchange:
		s.group = readECDHGroup(body)
	case TypeNewSessionTicket:
		if t := readSessionTicket12(body); t != (Ticket{}) && len(s.tickets) < 4 {
			s.tickets = append(s.tickets, t)
		}
	}
	if err != nil {
		if s.tentative {
			return // not TLS, most likely: the framing will tell
		}
		s.damage = err.Error()
	}
	s.note(kind)
}

// setHello takes a ClientHello for that of the connection. Early data that the
// first one offered may have been sent, even if the second has no room for it
// (RFC 8446, Section 4.2.10).
func (s *Stream) setHello(h *ClientHello) {
	h.EarlyData = h.EarlyData || s.hello != nil && s.hello.EarlyData
	s.hello = h
}

func (s *Stream) finishHandshake() {
	if !s.ccs {
		s.record.Sealed = s.lostOnce
		return
	}
	s.record.Sealed = true
	m := s.message
	if len(m) < 4 || len(m) != 4+messageLength(m) || s.gapped {
		return
	}
	switch HandshakeType(m[0]) {
	case TypeClientHello:
		if h, err := readClientHello(m[4:]); err == nil {
			s.setHello(h)
			s.retried, s.record.Sealed = true, false
		}
	case TypeServerHello:
		if h, err := readServerHello(m[4:]); err == nil {
			s.setServer(h)
			s.record.Sealed = false
		}
	}
	if !s.record.Sealed {
		s.record.Message = HandshakeType(m[0])
		s.note(s.record.Message)
		s.keep(s.record.Message, m)
	}
	s.message = s.message[:0]
}

func (s *Stream) finishAlert() {
	if s.record.Length != 2 || len(s.message) < 2 || s.gapped {
		s.record.Sealed = s.record.Length != 2
		if s.gapped {
			s.message = s.message[:0]
		}
		return
	}
	m := s.message[len(s.message)-2:]
	if len(s.alerts) < maxAlerts {
		s.alerts = append(s.alerts, Alert{Fatal: m[0] == 2, Description: m[1], Frame: s.record.Frame, Offset: s.record.Offset})
	}
	s.message = s.message[:0]
}

// setServer takes a ServerHello for that of the connection. There is but one,
// unless the first asked for another ClientHello: somebody added any other.
func (s *Stream) setServer(h *ServerHello) {
	if s.server == nil || s.server.Retry {
		s.server = h
	} else if s.damage == "" {
		s.damage = "a second ServerHello in the clear"
	}
}

// damageMessage gives up the handshake message that a gap fell into.
func (s *Stream) damageMessage(why string) {
	if s.ccs || s.record.Type != TypeHandshake && s.left > 0 {
		return
	}
	if s.damage == "" && s.sealed.Application == 0 {
		s.damage = why
	}
	s.message = s.message[:0]
}
