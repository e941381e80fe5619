package dist

import (
	"slices"

	"distproof/decode/tcp"
)

// Start says how the bytes of a direction begin.
type Start uint8

// The starts.
const (
	// Midstream: anywhere in anything. The decoder searches for distribution.
	Midstream Start = iota
	// AtHandshake: with a distribution handshake, as [MatchHandshake] or the
	// opposite direction shows.
	AtHandshake
	// InsideTLS: with a distribution handshake that was decrypted. There its
	// messages have a length of four bytes, as those behind it (OTP
	// inet_tls_dist: {packet, 4}).
	InsideTLS
)

// Limits of what a stream keeps.
const (
	// maxHead is how much of a message is kept to read its control part and the
	// beginning of its payload, firstHead how much is tried at first. A real
	// distribution header seldom lists more than 30 atoms.
	maxHead   = 8 << 10
	firstHead = 512
	// maxSearch is how many bytes are searched before giving up: with
	// fragments of 64 KiB (OTP 22 and later), distribution shows itself long
	// before.
	maxSearch = 16 << 20
	// maxRescan bounds the bytes that are looked at again after false starts.
	maxRescan = 1 << 20
	// maxLength is the longest message that counts as a plausible begin in a search.
	maxLength = 64 << 20
)

// state is what the next byte is part of.
type state uint8

const (
	inHandshake state = iota // a message of the handshake
	inHeader                 // a message's length and the part of it that is decoded
	inBody                   // bytes to pass over
	searching
	dead // nothing more is decoded
)

// A Stream decodes one direction of a connection. Use [Tables.NewStream].
type Stream struct {
	facts Facts
	// prefix is the size in bytes of the length of a handshake message.
	prefix int
	state  state
	after  state // the state that follows inBody
	// remaining is the number of bytes of inBody.
	remaining int64
	buf       piece
	dec       decoder
	activity  *activity
	options   Options
	// want is how much of the message that is being collected is looked at.
	want   int
	search *search
	// candidate is a message whose framing is not confirmed yet by what
	// follows it; nil if framing is certain.
	candidate *candidate
	// resume says that in inHandshake only a message that is certain by itself
	// is taken, because the bytes may begin anywhere.
	resume bool
	// since is where handshake messages began that are not certain yet; valid
	// if tentative.
	since     tcp.Position
	tentative bool
	rescan    int
	work      []chunk
	ended     bool
}

// A candidate is what a search found, before it counts.
type candidate struct {
	at    tcp.Position
	found bool // the following are valid
	msg   message
	msgAt tcp.Position
	size  uint64
	// ticks came directly before at.
	ticks Ticks
}

// Options are for a [Stream].
type Options struct {
	// Payload keeps the first terms that messages carry as text, without what
	// looks like a secret. Nothing of them is kept otherwise.
	Payload bool
}

// NewStream returns a decoder for one direction, which has in t what it has in common
// with others.
func (t *Tables) NewStream(o Options, s Start) *Stream {
	prefix := 2
	if s == InsideTLS {
		prefix = 4
	}
	return &Stream{options: o, prefix: prefix, state: inHandshake, resume: s == Midstream, dec: decoder{tables: t}}
}

// Data takes the next bytes. It keeps no reference to b.
func (s *Stream) Data(at tcp.Position, b []byte) {
	if len(b) == 0 || s.ended {
		return
	}
	if s.facts.Bytes == 0 {
		s.facts.First = at
	}
	s.facts.Bytes += int64(len(b))
	if s.state == inBody && s.remaining > int64(len(b)) {
		s.remaining -= int64(len(b))
		return
	}
	s.run(chunk{at, b})
}

// run decodes c, and whatever a false start makes it look at again.
func (s *Stream) run(c chunk) {
	s.work = s.work[:0]
	for s.state != dead {
		waiting := len(s.work)
		if n := s.step(c.at, c.b); n < len(c.b) {
			c = chunk{forward(c.at, n), c.b[n:]}
			if len(s.work) == waiting {
				continue
			}
			// What step gave back comes first.
			s.work = slices.Insert(s.work, waiting, c)
		}
		if len(s.work) == 0 {
			return
		}
		top := len(s.work) - 1
		c = s.work[top]
		s.work[top] = chunk{}
		s.work = s.work[:top]
	}
}

// step decodes some of b and returns how much. It takes nothing only when it
// changes the state.
func (s *Stream) step(at tcp.Position, b []byte) int {
	switch s.state {
	case inHandshake:
		return s.stepHandshake(at, b)
	case inHeader:
		return s.stepHeader(at, b)
	case inBody:
		n := int(min(s.remaining, int64(len(b))))
		if s.remaining -= int64(n); s.remaining == 0 {
			s.state = s.after
		}
		return n
	case searching:
		return s.stepSearch(at, b)
	}
	return len(b)
}

// Gap says that n bytes are missing.
func (s *Stream) Gap(at tcp.Position, n int64) {
	if n <= 0 || s.ended {
		return
	}
	s.facts.Missing += n
	switch s.state {
	case inHandshake:
		s.gapInHandshake(n)
	case inHeader:
		s.gapInHeader(n)
	case inBody:
		if n > s.remaining {
			s.lose()
			return
		}
		if s.remaining -= n; s.remaining == 0 {
			s.state = s.after
		}
	case searching:
		if !s.search.bridge(n) {
			s.lose()
		}
	}
}

// lose is what happens when a gap hides where the next message begins.
func (s *Stream) lose() {
	if s.candidate != nil && s.candidate.found && s.atBoundary() {
		s.confirm()
	}
	s.keepTicks()
	s.dec.cache.forget()
	if s.activity != nil {
		s.activity.sequences = nil
	}
	s.candidate, s.search = nil, nil
	s.buf.reset()
	s.remaining = 0
	if s.facts.Recognition == NotRecognised {
		s.facts.Handshake, s.facts.Role, s.facts.RoleEvidence = Handshake{}, RoleUnknown, ""
		s.tentative = false
	}
	if s.facts.Connected {
		s.startSearch()
		return
	}
	s.state, s.resume = inHandshake, true
}

// End says that no more bytes follow.
func (s *Stream) End() {
	if s.ended {
		return
	}
	if s.state == inHeader {
		s.endHeader()
	}
	if s.candidate != nil && s.candidate.found && s.atBoundary() {
		s.confirm()
	}
	s.keepTicks()
	if s.state == inBody && s.after == inHeader && s.candidate == nil {
		s.shorten(uint64(s.remaining))
	}
	s.facts.InFrame = s.inFrame()
	if s.facts.Recognition == ByTicks && !s.facts.InFrame {
		// There was something else than ticks.
		s.withdraw()
	}
	s.ended = true
	s.buf, s.dec, s.search, s.work = piece{}, decoder{tables: s.dec.tables}, nil, nil
}

// atBoundary reports whether the last byte was the last of a message.
func (s *Stream) atBoundary() bool { return s.state == inHeader && len(s.buf.b) == 0 }

func (s *Stream) inFrame() bool {
	if s.facts.Recognition == NotRecognised || s.candidate != nil {
		return false
	}
	switch s.state {
	case inHandshake:
		return !s.resume
	case inHeader, inBody:
		return true
	case searching:
		return s.search.ticking()
	}
	return false
}

// Found reports whether anything was found until now.
func (s *Stream) Found() bool { return s.facts.Recognition != NotRecognised || s.tentative }

// Recognised reports whether the Recognition of [Stream.Facts] is one.
func (s *Stream) Recognised() bool {
	return s.facts.Recognition != NotRecognised || !s.ended && s.ticked()
}

// Facts returns what was found until now. It is final after [Stream.End]:
// until then, a recognition by ticks or framing may still be withdrawn.
func (s *Stream) Facts() Facts {
	now := *s
	if !s.ended {
		now.keepTicks()
	}
	f := now.facts
	f.Tentative = f.Recognition == NotRecognised && s.tentative
	f.Payloads = slices.Clone(f.Payloads)
	now.activity.tell(&f)
	if !s.ended {
		f.InFrame = now.inFrame()
	}
	return f
}

// recognise records that the bytes from at on are distribution.
func (s *Stream) recognise(r Recognition, at tcp.Position) {
	if s.facts.Recognition == NotRecognised {
		s.facts.RecognisedAt = at
	}
	s.facts.Recognition = max(s.facts.Recognition, r)
}

// foreign handles bytes at the position at that are not distribution, where
// distribution had to follow.
func (s *Stream) foreign(at tcp.Position) {
	if s.candidate == nil && !s.resume {
		if s.facts.Recognition != ByHandshake && s.facts.Recognition != NotRecognised {
			// What looked like distribution was something that quotes it, such
			// as a capture file being copied.
			s.withdraw()
			s.facts.Foreign, s.facts.ForeignAt = true, at
			s.state = dead
			return
		}
		if !s.facts.Foreign {
			s.facts.Foreign, s.facts.ForeignAt = true, at
		}
	}
	if s.facts.Recognition == NotRecognised {
		s.facts.Handshake, s.facts.Role, s.facts.RoleEvidence = Handshake{}, RoleUnknown, ""
		s.tentative = false
	}
	s.dec.cache.forget()
	s.candidate = nil
	s.startSearch()
}

// withdraw takes all claims back.
func (s *Stream) withdraw() {
	s.tentative = false
	s.activity = nil
	s.facts = Facts{First: s.facts.First, Bytes: s.facts.Bytes, Missing: s.facts.Missing}
}
