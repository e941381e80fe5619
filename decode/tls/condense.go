package tls

import (
	"cmp"
	"slices"

	"distproof/decode/fact"
	"distproof/decode/secrets"
)

// Condense gives up room that was for the handshake of a connection, once that
// seems to be over. Either stream may be nil.
//
// What it gives up is decided: signatures are checked before what they cover is
// dropped. A handshake message in the clear that comes later, whoever sent it, is
// damage then, and nothing is claimed.
func Condense(a, b *Stream) {
	for _, x := range [2][2]*Stream{{a, b}, {b, a}} {
		if client, server := x[0], x[1]; client != nil && server != nil && client.role == RoleClient && server.role == RoleServer {
			server.checkSignatures(client)
		}
	}
	signed := !unsigned(a, b) && !unsigned(b, a)
	for _, s := range []*Stream{a, b} {
		if s != nil {
			s.condense(signed)
		}
	}
}

// Close has what [Condense] will drop be all that counts: a handshake message in the
// clear that comes later is damage. It is for who condenses later. Neither stream may
// be nil.
func Close(a, b *Stream) { a.dropped, b.dropped = true, true }

// Unchecked reports whether [Condense] would check signatures, which takes much
// longer than all the rest of it.
func Unchecked(a, b *Stream) bool {
	if a == nil || b == nil {
		return false
	}
	if a.role == RoleServer {
		a, b = b, a
	}
	return a.role == RoleClient && b.role == RoleServer && b.checkable(a) && a.ccs && b.ccs && b.tried.result(a.clear, b.clear) == nil
}

// Decided reports whether all has crossed that a verdict is read from, and up to
// which offsets of both directions it is: both handshakes, that of TLS and that of
// distribution, were followed from the beginning, and more came after them.
func Decided(a, b *Stream) (ends [2]int64, ok bool) {
	if a == nil || b == nil {
		return ends, false
	}
	for i, s := range [2]*Stream{a, b} {
		if ends[i] = s.handshakes(cmp.Or(a.server, b.server)); ends[i] < 0 {
			return ends, false
		}
	}
	return ends, true
}

// handshakes returns the offset behind the records of both handshakes; -1 if that
// is not known, or nothing came behind them.
func (s *Stream) handshakes(h *ServerHello) int64 {
	if !s.dropped || h == nil || s.role == RoleUnknown {
		return -1
	}
	end, n := s.log.handshakes(mostSealed(h.Version, s.role))
	if n >= int(s.reliable) || n >= s.log.n {
		return -1
	}
	return end
}

// mostSealed returns how many encrypted records both handshakes, that of TLS and that
// of distribution, take in a direction.
func mostSealed(v Version, r Role) int {
	switch {
	case v.Is13() && r == RoleServer:
		return 5 + 3
	case v.Is13():
		return 3 + 2
	case r == RoleServer:
		return 1 + 3
	}
	return 1 + 2
}

// handshakes returns the offset behind all records until most that are encrypted,
// and how many there are. A message above 16 KiB counts as one, however many records
// it takes: that is a chain of certificates, and comes third at the latest.
func (l *Records) handshakes(most int) (end int64, n int) {
	sealed := 0
	for r := range l.All() {
		if r.Sealed && (r.Length < maxPlaintext || sealed > 2) {
			sealed++
		}
		if sealed > most {
			break
		}
		end, n = r.End(), n+1
	}
	return end, n
}

// HandshakesEnd returns the offset behind everything of a side, 0 for the client, that
// a verdict is read from: the encrypted records of the handshake, and those of the
// distribution handshake.
func (f *Facts) HandshakesEnd(side int) int64 {
	end, _ := f.Records[side].handshakes(mostSealed(f.Version, [2]Role{RoleClient, RoleServer}[side]))
	return end
}

// unsigned reports whether nothing that crossed in the clear is needed any more
// to check a signature, as there is no key log: the server chose TLS 1.3, and both
// sides went on, or the signatures were checked.
func unsigned(server, client *Stream) bool {
	if server == nil || client == nil || server.server == nil || server.secrets != nil {
		return false
	}
	on13 := server.server.Version.Is13() && !server.server.Retry && server.sealed.Application > 0 && client.sealed.Application > 0
	return on13 || server.signed != nil
}

func (s *Stream) condense(signed bool) {
	if s.shared() {
		return
	}
	// Between records, an encrypted message is over.
	if len(s.message) == 0 || s.ccs && s.have == 0 && s.left == 0 {
		s.message = nil
	}
	if !signed {
		s.clear, s.tried, s.dropped = nil, nil, true
	}
	s.clear, s.messages, s.tickets = clipped(s.clear), clipped(s.messages), clipped(s.tickets)
	s.log.packed = clipped(s.log.packed)
	if signed || s.secrets != nil {
		return
	}
	if s.hello != nil && s.hello.SessionID == (Ticket{}) {
		s.hello = s.hello.intern(s.tables)
	}
	s.internServer()
	s.share()
}

// internServer has s refer to the ServerHello that it has in common with others.
// The session id, which nobody else has, is one of the tickets then: it is told
// with them.
func (s *Stream) internServer() {
	if s.server == nil || s.server.interned {
		return
	}
	if id := s.server.SessionID; id != (Ticket{}) && !s.server.Version.Is13() {
		s.tickets = slices.Concat([]Ticket{id}, s.tickets)
	}
	s.server = s.server.intern(s.tables)
}

// clipped returns s in no more room than it needs.
func clipped[T any](s []T) []T {
	if cap(s) == len(s) {
		return s
	}
	return slices.Clip(slices.Clone(s))
}

// signatures are the results of checking those of a handshake before TLS 1.3, as
// far as there are any: see [ClientCertificate] and [ServerCertificate].
type signatures struct {
	client, server signed
	number         uint32 // that of Tables.results
}

type signed struct {
	signature fact.Fact
	scheme    secrets.Scheme
}

// possession returns how possession of the key is known, by a result and how it
// was known before.
func (s signed) possession(before fact.Basis) fact.Basis {
	switch s.signature.Value {
	case fact.Yes:
		return fact.Verified
	case fact.No:
		return fact.None
	}
	return before
}

// checkSignatures checks the signatures of a handshake before TLS 1.3 that both
// sides finished, s being the server's direction.
func (s *Stream) checkSignatures(client *Stream) {
	if !s.checkable(client) {
		return
	}
	x := newCombiner(client, s)
	defer x.release()
	x.f = &Facts{Session: &x.room.session}
	if x.damage() != "" || x.c.unkept || x.s.unkept || finished12(x.c) == nil || finished12(x.s) == nil {
		return
	}
	x.hellos()
	if x.f.Client == nil || x.f.Version < SSL30 || x.f.Version > TLS12 {
		return
	}
	x.tls12()
	s.signed = s.tables.signaturesOf(x.f.signatures())
}

// checkable reports whether there may be signatures to check.
func (s *Stream) checkable(client *Stream) bool {
	return s.server != nil && !s.server.Version.Is13() && s.secrets == nil && s.signed == nil && !s.shared() && !client.shared()
}

// share has s refer to the one beginning that it has in common with others, if
// that has nothing of its own. That is so in TLS 1.3, where all that crosses in
// the clear are the hellos; what is new in every handshake of them tells nothing
// without a key log.
func (s *Stream) share() {
	b := s.beginning
	if s.tentative || s.have != 0 || s.left != 0 || s.log.n == 0 || s.server != nil && !s.server.Version.Is13() || s.server == nil && s.hello == nil {
		return
	}
	if b.message != nil || b.clear != nil || b.signed != nil || b.chain.certificates != nil || b.damage != "" || b.tickets != nil || b.alerts != nil || b.preamble != 0 || b.mark != 0 {
		return
	}
	// Where messages other than hellos were is told as evidence.
	if slices.ContainsFunc(b.messages, func(m sighting) bool { return m.kind != TypeClientHello && m.kind != TypeServerHello }) {
		return
	}
	hello, server, number := b.hello.intern(s.tables), b.server.intern(s.tables), uint32(0)
	if hello != nil {
		if number = hello.number; number == 0 {
			return
		}
	}
	var room [160]byte
	key := appendNumber(room[:0], int(b.group))
	for _, m := range b.messages {
		key = append(key, byte(m.kind))
	}
	key = appendNumber(append(key, 0xff), int(number))
	if server != nil {
		key = server.appendKey(key)
	}
	known := s.tables.beginnings.Numbered(key, func(number uint32) *beginning {
		common := &beginning{hello: hello, server: server, group: b.group, number: number}
		for _, m := range b.messages {
			common.messages = append(common.messages, sighting{kind: m.kind})
		}
		return common
	})
	if known.number > 0 {
		s.beginning = known
	}
}

// own gives s a beginning of its own. It is called before anything of the
// beginning changes; records of application data change nothing of it.
func (s *Stream) own() {
	if !s.shared() {
		return
	}
	s.beginning = s.beginning.clone()
	s.number = 0
}
