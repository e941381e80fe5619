// Package tls follows the TLS records of one connection from the outside: it
// reads what crosses in the clear, and of what is encrypted the record headers.
//
// Each direction is a [Stream] that knows nothing of the other, so that facts
// do not depend on how the capture shuffled the two; [Combine] puts them
// together.
package tls

import (
	"distproof/capture"
	"distproof/decode/fact"
	"distproof/decode/secrets"
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

func (r Role) String() string { return [...]string{"unknown", "client", "server"}[r] }

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

// A Stream is one direction of a connection. What records in the middle of it
// touch is here, all else behind pointers: there may be a million connections.
type Stream struct {
	start  Start
	status Status
	role   Role

	// The record being read.
	header [headerLength]byte
	gapped bool // a gap fell into it

	// A tentative stream has found something like a record header in unknown
	// bytes; it is believed when further headers follow.
	tentative bool
	confirmed bool

	lostOnce    bool
	ccs         bool
	retried     bool // HelloRetryRequest sent, or answered
	unkept      bool // clear was too long to be kept
	dropped     bool // clear is not needed any more: nothing may be added
	certificate bool // Certificate message seen

	have   int // bytes of header read
	left   int // bytes of the body to come
	record Record

	log      Records
	logged   place // of the last record of log; zero if that has to be looked up
	since    int32 // records read since the stream became tentative
	reliable int32 // records of log that were followed from the start on, before any loss of framing
	foreign  *Foreign

	sealed Sealed
	last   recordEnd // of the encrypted ones
	ticks  [3]Ticks

	*beginning
	*retained
}

// A beginning has what is known of a stream beside its encrypted records, and
// what finds its first record. It may be that of several connections: see
// [Stream.own].
type beginning struct {
	number uint32 // that of Tables.beginnings; 0 if it is of this stream alone
	group  uint16

	filled   int32 // bytes in window
	window   uint64
	searched int32
	verified int32
	mark     int32 // length of log when the stream became tentative

	message []byte // handshake message being assembled

	hello  *ClientHello
	server *ServerHello
	clear  []byte // the messages that crossed in the clear, one after another
	// signed has the results of checking the signatures, once clear is dropped,
	// in the server's direction; nil if they were not checked.
	signed *signatures
	// tried is what was found out of the signatures before that, also by clones; nil
	// if there are none.
	tried *tried

	chain    chain
	damage   string
	messages seen
	tickets  []Ticket
	alerts   []Alert
	preamble int64
}

// shared reports whether other streams may have the same beginning.
func (b *beginning) shared() bool { return b.number > 0 }

// retained has what a stream has in common with others, and, for a key log, the records that wait for secrets and what they
// take, the one that is being read, and why no more are kept; "" if they are.
// sink takes what is opened. Nothing of it changes unless there are secrets.
type retained struct {
	tables    *Tables
	secrets   *secrets.Log
	sink      func(tcp.Position, []byte)
	held      *heldLog
	heldBytes int
	holding   []byte
	unheld    string
	opening   *opening
	queue     *Queue // nil if there is no bound for all together
	queued    bool
	// asked is how many secrets the key log had when it was last asked; -1 if
	// it was not.
	asked int
}

// Sealed counts the encrypted records that followed the first
// ChangeCipherSpec or that are application data by type.
type Sealed struct {
	Application, Handshake, Alerts uint64
}

// A recordEnd is what is kept of a direction's last encrypted record.
type recordEnd struct {
	length int
	end    int64
}

func endOf(r Record) recordEnd { return recordEnd{r.Length, r.End()} }

// lastSealed returns the length and the place of the last encrypted record.
func (s *Stream) lastSealed() Record {
	return Record{Length: s.last.length, Offset: s.last.end - headerLength - int64(s.last.length)}
}

// NewStream returns a stream for bytes from the given kind of start, which has in t
// what it has in common with others.
func (t *Tables) NewStream(start Start) *Stream {
	s := &Stream{start: start, beginning: new(beginning), retained: &t.unretained}
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

// Handshaking tells whether the handshakes of TLS and of distribution, which begin
// with the stream, may not be over. It is unknown of a stream that was not followed
// from its beginning on.
func (s *Stream) Handshaking() fact.Value {
	if s.start != AtStart || s.status != Synced || s.foreign != nil {
		return fact.Unknown
	}
	switch _, n := s.log.handshakes(mostSealed(TLS13, RoleServer)); {
	case n < s.log.n:
		return fact.No
	case n < MaxRecords:
		return fact.Yes
	}
	return fact.Unknown
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
	s.own()
	if s.status != Synced || s.foreign != nil {
		s.window, s.filled = 0, 0
		return
	}
	if s.left > 0 {
		s.damageMessage(gapInMessages)
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

// readHeader reads a record's header and returns how many bytes it used up. What
// it stores is not read again right away in other pieces: a processor would have
// to wait for that.
func (s *Stream) readHeader(at tcp.Position, b []byte) int {
	if s.have == 0 {
		r := &s.record
		r.Type, r.Sealed, r.Message, r.Length = 0, false, 0, 0
		r.Offset, r.Acked, r.Time, r.Frame = at.Offset, at.Acked, at.Time, at.Frame
	}
	var h []byte
	n := headerLength
	if s.have == 0 && len(b) >= headerLength {
		h = b[:headerLength]
		s.header, s.have = [headerLength]byte(h), headerLength
	} else {
		n = copy(s.header[s.have:], b)
		s.have += n
		h = s.header[:s.have]
	}
	if !validHeader(h) {
		s.breakFraming()
		return n
	}
	if len(h) < headerLength {
		return n
	}
	if s.tentative && s.since > 0 {
		s.verified++
		if s.verified >= 2 {
			s.confirm()
		}
	}
	s.beginRecord(h)
	return n
}

func (s *Stream) beginRecord(h []byte) {
	s.have = 0
	s.gapped = false
	s.record.Type = ContentType(h[0])
	s.record.Length = int(h[3])<<8 | int(h[4])
	s.left = s.record.Length
	s.record.Sealed = s.record.Type == TypeApplicationData
	if !s.record.Sealed {
		s.own()
	}
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
	s.hold(b[:n])
	if s.left == 0 {
		s.finishRecord()
	}
	return n
}

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
	s.holdRecord()
	if r.Sealed {
		s.countSealed()
	}
	s.logRecord()
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
	s.last = endOf(s.record)
}
