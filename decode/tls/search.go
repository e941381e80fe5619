package tls

import (
	"bytes"

	"distproof/decode/tcp"
)

// unsynced reports whether bytes came after a loss of framing in which it was
// not found again.
func (s *Stream) unsynced() bool {
	return s.lostOnce && s.status != Synced && s.searched > 0
}

// lose gives up the framing: what follows may be anywhere in a record.
func (s *Stream) lose() {
	s.own()
	s.rollback()
	s.damageMessage(gapInMessages)
	s.status, s.start = Searching, Midstream
	s.lostOnce = true
	s.holdNoMore("packets are missing")
	s.have, s.window, s.filled, s.searched = 0, 0, 0, 0
}

// rollback forgets what was read since the stream became tentative.
func (s *Stream) rollback() {
	if s.tentative && s.lostOnce {
		s.log, s.logged = s.log.first(int(s.mark)), place{}
	}
	s.tentative = false
}

// End says that no more bytes will come.
func (s *Stream) End() {
	if s.status != Synced || !s.tentative {
		return
	}
	whole := s.have == 0 && s.left == 0
	if s.verified >= 1 || whole && s.since > 0 {
		s.confirm()
		return
	}
	s.rollback()
	s.status = NotTLS
}

// search looks for something like a record header and returns how many bytes it used up.
func (s *Stream) search(at tcp.Position, b []byte) int {
	for i, c := range b {
		s.window = s.window<<8 | uint64(c)
		s.filled++
		s.searched++
		if s.filled > headerLength && s.plausibleStart() {
			at.Offset += int64(i) - headerLength
			s.beginTentative(at)
			return i + 1
		}
		if s.searched >= maxSearch {
			s.status = NotTLS
			return len(b)
		}
	}
	return len(b)
}

// plausibleStart reports whether the last six bytes could be a record's header
// and first content byte.
func (s *Stream) plausibleStart() bool {
	kind, major, minor := ContentType(s.window>>40), byte(s.window>>32), byte(s.window>>24)
	length, first := int(s.window>>8&0xffff), byte(s.window)
	if major != 3 || minor > 4 || length == 0 || length > maxRecord {
		return false
	}
	if s.start == Preamble {
		hello := HandshakeType(first) == TypeClientHello || HandshakeType(first) == TypeServerHello
		return kind == TypeHandshake && hello && length > 38
	}
	switch kind {
	case TypeChangeCipherSpec:
		return length == 1 && first == 1
	case TypeAlert:
		return length == 2 && (first == 1 || first == 2) || length > 16 && length < 128
	case TypeHandshake, TypeApplicationData:
		return length > 8 || kind == TypeHandshake && length >= 4
	}
	return false
}

func (s *Stream) beginTentative(at tcp.Position) {
	s.status, s.tentative, s.verified, s.since, s.mark = Synced, true, 0, 0, int32(s.log.n)
	if s.start == Preamble {
		s.preamble = at.Offset
	}
	for i := range headerLength {
		s.header[i] = byte(s.window >> (8 * (headerLength - i)))
	}
	s.record = Record{Offset: at.Offset, Acked: at.Acked, Time: at.Time, Frame: at.Frame}
	s.beginRecord(s.header[:])
	s.body([]byte{byte(s.window)})
}

func plausibleType(b byte) bool { return b >= byte(TypeChangeCipherSpec) && b <= byte(TypeHeartbeat) }

// validHeader reports whether h, what was read of a header, can be one.
func validHeader(h []byte) bool {
	return (len(h) < 1 || plausibleType(h[0])) && (len(h) < 2 || h[1] == 3) && (len(h) < 3 || h[2] <= 4) &&
		(len(h) < headerLength || int(h[3])<<8|int(h[4]) <= maxRecord)
}

// breakFraming handles bytes where a header should be that are none.
func (s *Stream) breakFraming() {
	s.own()
	have := s.have
	switch {
	case s.tentative && s.start == AtStart:
		s.status, s.tentative = NotTLS, false
	case s.tentative, s.gapped:
		// A wrong guess, or a gap that was not what it seemed: search on,
		// beginning with these very bytes.
		r, header := s.record, s.header
		s.lose()
		s.search(tcp.Position{Offset: r.Offset, Acked: r.Acked, Time: r.Time, Frame: r.Frame}, header[:have])
	default:
		s.foreign = &Foreign{Offset: s.record.Offset, Frame: s.record.Frame, Bytes: uint64(have)}
	}
	s.have = 0
}

// confirm believes a tentative stream for the hello that it holds.
func (s *Stream) confirm() { s.tentative, s.confirmed = false, true }

// Raw reports whether b begins like a TLS hello or a fatal alert in the clear:
// what a stream at its true start begins with. It needs six bytes to say yes.
func Raw(b []byte) (match, possible bool) {
	want := [][]byte{{22, 3}, {21, 3}}
	for _, w := range want {
		n := min(len(b), len(w))
		if !bytes.Equal(b[:n], w[:n]) {
			continue
		}
		if len(b) < 6 {
			return false, true
		}
		length := int(b[3])<<8 | int(b[4])
		switch ContentType(b[0]) {
		case TypeHandshake:
			kind := HandshakeType(b[5])
			return b[2] <= 4 && length >= 4 && length <= maxRecord && (kind == TypeClientHello || kind == TypeServerHello), false
		case TypeAlert:
			return b[2] <= 4 && length == 2 && (b[5] == 1 || b[5] == 2), false
		}
	}
	return false, false
}

// Begin returns the offset of the first record that the stream is taken to be
// TLS for; valid if it is [Synced].
func (s *Stream) Begin() int64 {
	i := 0
	for r := range s.log.All() {
		if i == int(s.mark) {
			return r.Offset
		}
		i++
	}
	return s.record.Offset
}
