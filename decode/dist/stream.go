package dist

import (
	"encoding/binary"
	"maps"

	"distproof/decode/tcp"
)

// Recognition says by what a direction was recognised as distribution.
type Recognition uint8

// The recognitions.
const (
	// NotRecognised: nothing proves that the bytes are distribution.
	NotRecognised Recognition = iota
	// ByTicks: nothing but groups of four zero bytes, apart in time. That is
	// an inference: other protocols have idle messages of this form too
	// (BitTorrent's keep-alive, every two minutes); the spacing, and the other direction,
	// tell more.
	ByTicks
	// ByFraming: messages of the connected phase, one after another.
	ByFraming
	// ByHandshake: a handshake message.
	ByHandshake
)

func (r Recognition) String() string {
	return [...]string{"not recognised", "ticks", "framing", "handshake"}[r]
}

// Ticks describes the ticks of a direction: empty messages that a node sends
// when it has been idle for a quarter of its net_ticktime, 15 s by default.
type Ticks struct {
	Count uint64
	// First and Last are valid if Count is not 0.
	First, Last tcp.Position
	// MinSpacing and MaxSpacing are between consecutive ticks, in nanoseconds;
	// valid if Count is above 1.
	MinSpacing, MaxSpacing int64
}

func (t *Ticks) add(at tcp.Position) {
	t.join(Ticks{Count: 1, First: at, Last: at})
}

// join appends the ticks of u, which are later.
func (t *Ticks) join(u Ticks) {
	switch {
	case u.Count == 0:
	case t.Count == 0:
		*t = u
	default:
		d := u.First.Time - t.Last.Time
		t.MaxSpacing = max(t.MaxSpacing, u.MaxSpacing, d)
		least := d
		if t.Count > 1 {
			least = min(least, t.MinSpacing)
		}
		if u.Count > 1 {
			least = min(least, u.MinSpacing)
		}
		t.MinSpacing = least
		t.Last = u.Last
		t.Count += u.Count
	}
}

// Facts is what a [Stream] found.
type Facts struct {
	Recognition Recognition
	// RecognisedAt is where the first recognised bytes begin; valid if
	// Recognition is not NotRecognised.
	RecognisedAt tcp.Position
	// Role, and the handshake message that showed it.
	Role         Role
	RoleEvidence string
	Handshake    Handshake
	// Tentative says that Recognition is NotRecognised and that Role and Handshake
	// hold messages that do not prove distribution by themselves, such as a
	// status "nok" alone. They count if the opposite direction is recognised by
	// its handshake.
	Tentative bool

	// Connected says that bytes of the connected phase were seen: messages or
	// ticks. A node sends them only when the handshake is over from its side.
	Connected bool
	// Messages counts the messages by operation, as OTP's documentation names
	// them, and under [Unknown] those whose operation could not be read. A
	// fragmented message counts once, with its first fragment.
	Messages map[string]uint64
	// RegisteredNames counts messages to a registered name by that name,
	// Spawned the requests to spawn by "module:function"; both hold a bounded
	// number of entries. Unnamed counts such messages whose name is not in
	// these: its atom was sent before the capture began or in a gap, or there
	// was no room.
	RegisteredNames map[string]uint64
	Spawned         map[string]uint64
	Unnamed         uint64
	// Fragments counts fragments after the first; Compressed and PassThrough
	// count messages of these forms.
	Fragments, Compressed, PassThrough uint64
	Ticks                              Ticks

	// First is the position of the direction's first byte; valid if Bytes is
	// not 0. Bytes counts what was delivered, Missing what was in gaps.
	First          tcp.Position
	Bytes, Missing int64
	// Foreign says that after recognised bytes, with no gap between, others
	// came that are not distribution; ForeignAt is where they begin.
	Foreign   bool
	ForeignAt tcp.Position
	// InFrame says that the last byte seen was inside or at the end of a
	// message, that is, that what was seen last is distribution.
	InFrame bool
	// GaveUp says that the search for distribution was ended by its limit.
	GaveUp bool
}

// Start says how the bytes of a direction begin.
type Start uint8

// The starts.
const (
	// Midstream: anywhere in anything. The decoder searches for distribution.
	Midstream Start = iota
	// AtHandshake: with a distribution handshake, as [MatchHandshake] or the
	// opposite direction shows.
	AtHandshake
)

// Limits of what a stream keeps.
const (
	// maxHead is how much of a message is kept to read its control part. A
	// real distribution header seldom lists more than 30 atoms.
	maxHead = 8 << 10
	// maxNames bounds the distinct names that are counted.
	maxNames = 256
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
	inHandshake state = iota // a message with a 2-byte length
	inHeader                 // a message's length and the part of it that is decoded
	inBody                   // bytes to pass over
	searching
	dead // nothing more is decoded
)

// A Stream decodes one direction of a connection. Use [NewStream].
type Stream struct {
	facts Facts
	state state
	after state // the state that follows inBody
	// remaining is the number of bytes of inBody.
	remaining int64
	buf       piece
	dec       decoder
	search    *search
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
	found bool // msg is valid
	msg   message
	// ticks came directly before at.
	ticks Ticks
}

// NewStream returns a decoder for one direction.
func NewStream(s Start) *Stream {
	return &Stream{state: inHandshake, resume: s == Midstream}
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
	s.run(chunk{at, b})
}

// run decodes c, and whatever a false start makes it look at again.
func (s *Stream) run(c chunk) {
	s.work = append(s.work[:0], c)
	for len(s.work) > 0 && s.state != dead {
		top := len(s.work) - 1
		c := s.work[top]
		s.work[top] = chunk{}
		s.work = s.work[:top]
		n := s.step(c.at, c.b)
		if n < len(c.b) {
			// Below what step gave back: that comes first.
			s.work = append(s.work, chunk{})
			copy(s.work[top+1:], s.work[top:])
			s.work[top] = chunk{forward(c.at, n), c.b[n:]}
		}
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
	s.facts.InFrame = s.inFrame()
	if s.facts.Recognition == ByTicks && !s.facts.InFrame {
		// There was something else than ticks.
		s.withdraw()
	}
	s.ended = true
	s.buf, s.dec, s.search, s.work = piece{}, decoder{}, nil, nil
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

// Facts returns what was found until now. It is final after [Stream.End]:
// until then, a recognition by ticks or framing may still be withdrawn.
func (s *Stream) Facts() Facts {
	now := *s
	if !s.ended {
		now.keepTicks()
	}
	f := now.facts
	f.Tentative = f.Recognition == NotRecognised && s.tentative
	f.Messages = maps.Clone(f.Messages)
	f.RegisteredNames = maps.Clone(f.RegisteredNames)
	f.Spawned = maps.Clone(f.Spawned)
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
	s.facts = Facts{First: s.facts.First, Bytes: s.facts.Bytes, Missing: s.facts.Missing}
}

// handshake phase

// stepHandshake collects and reads a message with a 2-byte length.
func (s *Stream) stepHandshake(at tcp.Position, b []byte) int {
	n := s.buf.fill(at, b, s.handshakeLength())
	have := len(s.buf.b)
	switch {
	case have == 2 && s.handshakeLength() == 2: // an empty message
		s.notHandshake()
	case have > 2 && !s.plausibleHandshake():
		s.notHandshake()
	case have > 2 && have == s.handshakeLength():
		s.handshakeMessage()
	}
	return n
}

// handshakeLength returns how many bytes to collect: the prefix, then one more
// to see what it is, then all.
func (s *Stream) handshakeLength() int {
	switch n := len(s.buf.b); {
	case n < 2:
		return 2
	case n == 2:
		return 2 + min(1, int(binary.BigEndian.Uint16(s.buf.b)))
	}
	return 2 + int(binary.BigEndian.Uint16(s.buf.b))
}

// plausibleHandshake looks at a message's length and first byte.
func (s *Stream) plausibleHandshake() bool {
	length := int(binary.BigEndian.Uint16(s.buf.b))
	if length > maxHandshake {
		return false
	}
	switch s.buf.b[2] {
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
	if s.resume && (s.buf.b[2] == 'N' || s.buf.b[2] == 'n') {
		m, _, _ := matchMessage(s.buf.b)
		certain = m == Yes
		if !certain {
			s.notHandshake()
			return
		}
	}
	h := s.facts.Handshake
	f := h.parse(at, s.buf.b[2:], s.facts.Role)
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
	if have < 3 || s.resume || !s.plausibleHandshake() {
		s.lose()
		return
	}
	rest := int64(s.handshakeLength() - have)
	f := formNone
	switch s.buf.b[2] {
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

// connected phase

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
