package dist

import "distproof/decode/tcp"

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
	// Messages counts the messages by operation, as OTP erl_dist_protocol names
	// them, and under [Unknown] those whose operation could not be read. A
	// fragmented message counts once, with its first fragment.
	Messages map[string]uint64
	// MessageBytes are the bytes of messages, their lengths included, by
	// operation. Fragments belong to the operation that their message began
	// with, and to [Unknown] if its beginning was not seen. What a gap took from
	// within a message is counted, what came after the capture's end is not.
	MessageBytes map[string]uint64
	// PayloadBytes are those of messages behind the control tuple: the terms
	// that processes send each other. LargestMessage is the size of the largest
	// message of which the end was seen, all its fragments together.
	PayloadBytes, LargestMessage uint64
	// FirstMessage and LastMessage are where the first and the last message
	// begin; valid if Messages is not empty.
	FirstMessage, LastMessage tcp.Position
	// RegisteredNames counts messages to a registered name by that name,
	// Spawned the requests to spawn by "module:function"; both hold a bounded
	// number of entries. Unnamed counts such messages whose name is not in
	// these: its atom was sent before the capture began or in a gap, or there
	// was no room.
	RegisteredNames map[string]uint64
	Spawned         map[string]uint64
	Unnamed         uint64
	// Calls are the functions that the node was told to run: a bounded number.
	// A request to spawn erpc:execute_call/4 is the call that erpc makes, and is
	// also in Spawned. UnnamedCalls counts those whose function is not known, or
	// for which there was no room.
	Calls        map[Call]Uses
	UnnamedCalls uint64
	// Payloads are the first terms that messages carried; only with
	// [Options.Payload].
	Payloads []Payload
	// Fragments counts fragments after the first, and LostFragments those among
	// them that follow no fragment that was seen; Compressed and PassThrough
	// count messages of these forms.
	Fragments, LostFragments, Compressed, PassThrough uint64
	Ticks                                             Ticks

	// First is the position of the direction's first byte; valid if Bytes is
	// not 0. Bytes counts what was delivered, Missing what was in gaps.
	First          tcp.Position
	Bytes, Missing int64
	// Foreign says that after recognised bytes, with no gap between, others
	// came that are not distribution, or that a direction that had to begin
	// with a handshake did not; ForeignAt is where they begin. If the bytes before were
	// recognised by framing or ticks only, that is withdrawn.
	Foreign   bool
	ForeignAt tcp.Position
	// InFrame says that the last byte seen was inside or at the end of a
	// message, that is, that what was seen last is distribution.
	InFrame bool
	// GaveUp says that the search for distribution was ended by its limit.
	GaveUp bool
}
