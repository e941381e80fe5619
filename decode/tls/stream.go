// Package tls follows the TLS records of one connection from the outside: it
// reads what crosses in the clear, and of what is encrypted the record headers.
//
// Each direction is a [Stream] that knows nothing of the other, so that facts
// do not depend on how the capture shuffled the two; [Combine] puts them
// together.
package tls

import (
	"bytes"

	"distproof/capture"
	"distproof/decode/tcp"
)

// Limits on what a stream may hold.
const (
	// MaxRecords is the number of records that are logged one by one. The
	// longest handshake of OTP with the distribution handshake behind it takes
	// 14 in a direction.
	MaxRecords = 32
	// maxMessage bounds a handshake message. Chains of post-quantum
	// certificates stay below 100 kB.
	maxMessage = 256 << 10
	// maxRecord is the largest length field of a record: 2^14 + 2048
	// (RFC 5246, Section 6.2.3).
	maxRecord = 1<<14 + 2048
	// maxSearch bounds the bytes that are searched for a record header. The
	// longest record fits in 64 times.
	maxSearch = 1 << 20
	// settled is the number of encrypted records after which a direction's
	// handshakes are over: five of TLS 1.3, three of distribution, and tickets.
	settled = 12
	// maxAlerts bounds the alerts kept; a peer sends one or two.
	maxAlerts = 8

	headerLength = 5
)

// A Start says how a Stream finds its first record.
type Start uint8

const (
	// AtStart: the first byte is the first of a record.
	AtStart Start = iota
	// Preamble: something else came first (STARTTLS, a proxy's header); TLS
	// begins with a hello.
	Preamble
	// Midstream: the first byte may be anywhere in a record.
	Midstream
)

// Status says whether a stream is TLS.
type Status uint8

// The states of a Stream.
const (
	// Searching: not known yet.
	Searching Status = iota
	// Synced: records are being followed.
	Synced
	// NotTLS: no TLS was found within the bounds of the search.
	NotTLS
)

// A Role is the part that a direction's sender plays in the handshake.
type Role uint8

// The roles.
const (
	RoleUnknown Role = iota
	RoleClient
	RoleServer
)

// A Record is the header of a TLS record and where it was.
type Record struct {
	Type ContentType
	// Sealed says that the content is encrypted.
	Sealed bool
	// Message is the type of the first handshake message; valid iff Type is
	// TypeHandshake and not Sealed.
	Message HandshakeType
	// Length is the header's length field in bytes.
	Length int
	// Offset is the header's stream offset; the record ends at End.
	Offset int64
	// Acked is how much of the peer's stream the sender had when it sent the
	// record's first byte (see [tcp.Position]).
	Acked int64
	Time  int64
	Frame capture.Frame
}

// End returns the stream offset behind the record.
func (r Record) End() int64 { return r.Offset + headerLength + int64(r.Length) }

// An Alert is a TLS alert that crossed in the clear.
type Alert struct {
	// Fatal is the level (RFC 5246, Section 7.2).
	Fatal       bool
	Description uint8
	Frame       capture.Frame
	// Offset is that of the alert's record.
	Offset int64
}

// Name returns the alert's name as RFC 8446, Section 6 has it.
func (a Alert) Name() string { return alertName(a.Description) }

// A Foreign is where bytes that are not TLS begin within a TLS stream.
type Foreign struct {
	Offset int64
	Frame  capture.Frame
	Bytes  uint64
}

// A Stream is one direction of a connection.
type Stream struct {
	start  Start
	status Status
	role   Role

	// The record being read.
	header   [headerLength]byte
	have     int // bytes of header read
	left     int // bytes of the body to come
	record   Record
	gapped   bool // a gap fell into the record being read
	window   uint64
	filled   int // bytes in window
	searched int

	// A tentative stream has found something like a record header in unknown
	// bytes; it is believed when further headers follow.
	tentative bool
	verified  int
	since     int // records read since the stream became tentative
	mark      int // len(log) when it did
	confirmed bool

	message []byte // handshake message being assembled

	log      []Record
	reliable int // records of log that were followed from the start on, before any loss of framing
	lostOnce bool
	ccs      bool

	hello       *ClientHello
	server      *ServerHello
	retried     bool   // HelloRetryRequest sent, or answered
	clear       []byte // the messages that crossed in the clear, one after another
	unkept      bool   // they were too long to be kept
	chain       [][]byte
	certificate bool // Certificate message seen
	damage      string
	messages    map[HandshakeType]capture.Frame
	group       uint16
	tickets     []Ticket
	alerts      []Alert
	foreign     *Foreign
	preamble    int64

	sealed Sealed
	ticks  [3]Ticks
}

// Sealed counts the encrypted records that followed the first
// ChangeCipherSpec or that are application data by type.
type Sealed struct {
	Application, Handshake, Alerts uint64
	Last                           Record
}

// NewStream returns a stream for bytes from the given kind of start.
func NewStream(start Start) *Stream {
	s := &Stream{start: start}
	if start == AtStart {
		s.status = Synced
		s.tentative = true
	}
	return s
}

// Status says whether the stream is TLS, as far as is known. A tentative find
// counts as Searching until it is confirmed, at the latest by [Stream.End].
func (s *Stream) Status() Status {
	switch {
	case s.confirmed:
		return Synced
	case s.status == Synced:
		return Searching
	}
	return s.status
}

// unsynced reports whether bytes came after a loss of framing in which it was
// not found again.
func (s *Stream) unsynced() bool {
	return s.lostOnce && s.status != Synced && s.searched > 0
}

// Role says which side sends this direction, if a hello was seen.
func (s *Stream) Role() Role { return s.role }

// Foreign returns where bytes that are not TLS begin, or nil.
func (s *Stream) Foreign() *Foreign { return s.foreign }

// Data takes the next bytes of the stream.
func (s *Stream) Data(at tcp.Position, b []byte) {
	for len(b) > 0 {
		n := 0
		switch {
		case s.foreign != nil:
			s.foreign.Bytes += uint64(len(b))
			return
		case s.status == NotTLS:
			return
		case s.status == Searching:
			n = s.search(at, b)
		case s.left > 0:
			n = s.body(b)
		default:
			n = s.readHeader(at, b)
		}
		b = b[n:]
		at.Offset += int64(n)
	}
}

// Gap says that n bytes are missing.
func (s *Stream) Gap(at tcp.Position, n int64) {
	if s.status != Synced || s.foreign != nil {
		s.window, s.filled = 0, 0
		return
	}
	if s.left > 0 {
		s.damageMessage("a gap in the handshake")
		s.gapped = true
		if n < int64(s.left) {
			s.left -= int(n)
			return
		}
		n -= int64(s.left)
		s.left = 0
		s.finishRecord()
		if n == 0 {
			return
		}
	}
	s.lose()
}

// lose gives up the framing: what follows may be anywhere in a record.
func (s *Stream) lose() {
	s.rollback()
	s.damageMessage("a gap in the handshake")
	s.status, s.start = Searching, Midstream
	s.lostOnce = true
	s.have, s.window, s.filled, s.searched = 0, 0, 0, 0
}

// rollback forgets what was read since the stream became tentative.
func (s *Stream) rollback() {
	if s.tentative && s.lostOnce {
		s.log = s.log[:min(s.mark, len(s.log))]
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
	s.status, s.tentative, s.verified, s.since, s.mark = Synced, true, 0, 0, len(s.log)
	if s.start == Preamble {
		s.preamble = at.Offset
	}
	for i := range headerLength {
		s.header[i] = byte(s.window >> (8 * (headerLength - i)))
	}
	s.record = Record{Offset: at.Offset, Acked: at.Acked, Time: at.Time, Frame: at.Frame}
	s.beginRecord()
	s.body([]byte{byte(s.window)})
}

// readHeader reads a record's header and returns how many bytes it used up.
func (s *Stream) readHeader(at tcp.Position, b []byte) int {
	if s.have == 0 {
		s.record = Record{Offset: at.Offset, Acked: at.Acked, Time: at.Time, Frame: at.Frame}
	}
	n := copy(s.header[s.have:], b)
	s.have += n
	if !s.validHeader() {
		s.breakFraming()
		return n
	}
	if s.have < headerLength {
		return n
	}
	if s.tentative && s.since > 0 {
		s.verified++
		if s.verified >= 2 {
			s.confirm()
		}
	}
	s.beginRecord()
	return n
}

func plausibleType(b byte) bool { return b >= byte(TypeChangeCipherSpec) && b <= byte(TypeHeartbeat) }

// validHeader reports whether what was read of the header can be one.
func (s *Stream) validHeader() bool {
	h := s.header[:s.have]
	return (len(h) < 1 || plausibleType(h[0])) && (len(h) < 2 || h[1] == 3) && (len(h) < 3 || h[2] <= 4) &&
		(len(h) < headerLength || int(h[3])<<8|int(h[4]) <= maxRecord)
}

// breakFraming handles bytes where a header should be that are none.
func (s *Stream) breakFraming() {
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

func (s *Stream) beginRecord() {
	s.have = 0
	s.gapped = false
	s.record.Type = ContentType(s.header[0])
	s.record.Length = int(s.header[3])<<8 | int(s.header[4])
	s.left = s.record.Length
	s.record.Sealed = s.record.Type == TypeApplicationData
	if s.ccs && s.record.Type == TypeHandshake {
		s.message = s.message[:0]
	}
	if s.left == 0 {
		s.finishRecord()
	}
}

// body takes bytes of the record's body and returns how many it used up.
func (s *Stream) body(b []byte) int {
	n := min(len(b), s.left)
	first := s.left == s.record.Length
	s.left -= n
	switch s.record.Type {
	case TypeHandshake:
		if first && len(s.message) == 0 {
			s.record.Message = HandshakeType(b[0])
		}
		s.collect(b[:n])
	case TypeAlert:
		if s.record.Length == 2 {
			s.message = append(s.message, b[:n]...)
		}
	}
	if s.left == 0 {
		s.finishRecord()
	}
	return n
}

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
	s.handle(kind, s.message[4:])
	s.keep(kind, s.message)
	s.message = s.message[:0]
}

// note records that a message of the given type was seen.
func (s *Stream) note(kind HandshakeType) {
	if s.messages == nil {
		s.messages = make(map[HandshakeType]capture.Frame)
	}
	if _, ok := s.messages[kind]; !ok {
		s.messages[kind] = s.record.Frame
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
			s.server = h
			s.confirm()
		}
	case TypeCertificate:
		s.certificate = true
		s.chain, err = readCertificate12(body)
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

// confirm believes a tentative stream for the hello that it holds.
func (s *Stream) confirm() { s.tentative, s.confirmed = false, true }

// finishRecord logs the record that was read to its end.
func (s *Stream) finishRecord() {
	r := &s.record
	s.since++
	switch r.Type {
	case TypeChangeCipherSpec:
		s.ccs = true
	case TypeHandshake:
		s.finishHandshake()
	case TypeAlert:
		s.finishAlert()
	}
	if r.Sealed {
		s.countSealed()
	}
	if len(s.log) < MaxRecords {
		s.log = append(s.log, *r)
		if s.start != Midstream {
			s.reliable = len(s.log)
		}
	}
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
			s.server, s.record.Sealed = h, false
		}
	}
	if !s.record.Sealed {
		s.record.Message = HandshakeType(m[0])
		s.note(s.record.Message)
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

func (s *Stream) countSealed() {
	switch s.record.Type {
	case TypeHandshake:
		s.sealed.Handshake++
	case TypeAlert:
		s.sealed.Alerts++
	case TypeApplicationData:
		s.sealed.Application++
		for i, length := range tickLengths {
			if s.record.Length == length {
				s.ticks[i].add(s.record.Time)
			}
		}
	}
	s.sealed.Last = s.record
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
