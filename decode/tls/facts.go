package tls

import (
	"fmt"

	"distproof/capture"
	"distproof/decode/fact"
	"distproof/decode/secrets"
)

// A CertificateStatus says what the client did about its certificate.
type CertificateStatus uint8

// The values. The zero value is StatusUnknown.
const (
	StatusUnknown CertificateStatus = iota
	// Presented: it sent one.
	Presented
	// Empty: it was asked, and sent an empty list.
	Empty
	// NotRequested: it was not asked.
	NotRequested
	// Resumed: the session was resumed; certificates are those of its first handshake.
	Resumed
)

func (s CertificateStatus) String() string {
	return [...]string{"unknown", "presented", "empty", "not-requested", "resumed"}[s]
}

// Facts are what the two directions of a TLS connection show together. There may
// be a million of them.
type Facts struct {
	// Session is never nil. Others may have the same: it must not be changed.
	*Session

	// Client and Server are the hellos; nil if not seen or not readable.
	Client *ClientHello
	Server *ServerHello

	// Offered and Issued identify the session state that crossed in the clear: what
	// the client came with, and what later connections may come with.
	Offered, Issued []Ticket

	// Flight is where the client's flight was, the one with its certificate; none if
	// it is not known.
	Flight capture.Frame
	// Records are the first records of client and server.
	Records [2]Records
	// Sealed counts the encrypted records of client and server.
	Sealed [2]Sealed
}

// A Session has those of the [Facts] that most connections have in common with
// many others.
type Session struct {
	// Version and Suite are zero unless the ServerHello is there.
	Version Version
	Suite   Suite
	// Group is the key exchange group; 0 if unknown or none.
	Group uint16
	// Retried says that the server asked for another ClientHello.
	Retried bool
	// Finished: both sides came to the end of their handshake. Before TLS 1.3
	// the session is then up, though in a resumed one it may not be shown that
	// the server accepted.
	Finished bool
	// Unanswered: in TLS 1.3 both sides came to the end of their handshake, and
	// the connection was closed in an orderly way before the server sent anything
	// more than an answer to that; it is in the capture from beginning to end.
	// Whether the server accepted cannot be told, but no protocol in which it has
	// to speak came up.
	Unanswered bool
	// Unsynced says for client and server that framing was lost to a gap and
	// not found again, although bytes followed.
	Unsynced [2]bool
	// Obscured says that records are not known in which a distribution handshake
	// would have shown, or the TLS handshake before it.
	Obscured bool
	// Damaged says that messages in the clear cannot be read, or do not belong
	// where they are, so that nothing is claimed of what came with them.
	Damaged bool
	// Renegotiated says that another handshake followed inside the session, of
	// which nothing can be seen (TLS 1.2 and before).
	Renegotiated bool
	// MayAskLater says that the client can be asked for a certificate under
	// encryption after the handshake (post_handshake_auth), and that it is not
	// known that it was not.
	MayAskLater bool
	// Distribution says that Shape is that of distribution beyond doubt.
	Distribution bool
	// Ticking says that records come like distribution's ticks, which makes the
	// connection one. Ticks says that some do, for one that is anyway.
	Ticking, Ticks bool

	// Resumed says that the session continues an earlier one, by session id,
	// ticket or PSK.
	Resumed fact.Fact

	ClientCertificate ClientCertificate
	ServerCertificate ServerCertificate

	// Established: the server accepted the client. In TLS 1.3 it sent an
	// application record that is no alert after the client's Finished; before,
	// it sent its own Finished after the client's.
	Established fact.Fact
	// Failure says how the handshake came to nothing; nil if it is not known
	// that it did.
	Failure *Failure
	Alerts  []SideAlert

	// Foreign is where bytes that are not TLS begin, for client and server.
	Foreign [2]*Foreign
	// Preamble is the number of bytes before the first record of each.
	Preamble [2]int64

	// Shape is what record lengths tell of a distribution handshake inside.
	Shape Shape

	// KeyLog says what became of opening the handshake with a key log:
	// "opened", or why it could not be; "" if there was none.
	KeyLog string
	// Opened says for client and server what was opened with it of the
	// application data.
	Opened [2]Opened
}

// Opened counts the bytes of application data that were decrypted, and says
// why no more were; "" if all of them were.
type Opened struct {
	Bytes   uint64
	Stopped string
}

// Begun reports whether a session was begun or is under way: there is more than
// an alert, with which a TLS server also answers what is not TLS.
func (f *Facts) Begun() bool {
	return f.Client != nil || f.Server != nil || f.Sealed[0].Application+f.Sealed[1].Application > 0
}

// Continues reports whether g may resume the session of f: it keeps the version
// and the suite (RFC 5246, Section 7.4.1.3), of which TLS 1.3 only wants the
// same hash (RFC 8446, Section 4.2.11).
func (f *Facts) Continues(g *Facts) bool {
	same := f.Suite == g.Suite || f.Version.Is13() && f.Suite.finishedLength() == g.Suite.finishedLength()
	return f.Version == g.Version && same
}

// ClientCertificate says what is known of the client's authentication.
type ClientCertificate struct {
	Status CertificateStatus
	Basis  fact.Basis
	// Requested: the server sent a CertificateRequest.
	Requested fact.Fact
	// Possession is how it is known that the client has the private key: it
	// sent a CertificateVerify. None if that is not known.
	Possession fact.Basis
	// Signature: the CertificateVerify was checked with the certificate's key.
	Signature fact.Fact
	// Scheme is how that is signed; zero if it is not known.
	Scheme secrets.Scheme
	// Chain holds the certificates in DER, the client's own first; empty if
	// they were not sent in the clear.
	Chain [][]byte
	// Reason says why the status is unknown, or what shows it.
	Reason string
}

// ServerCertificate says what is known of the server's authentication.
type ServerCertificate struct {
	Basis      fact.Basis
	Possession fact.Basis
	// Signature: that over the key exchange was checked with the certificate's
	// key; unknown where nothing is signed (static RSA).
	Signature fact.Fact
	// Scheme is how that is signed; zero if it is not known.
	Scheme secrets.Scheme
	Chain  [][]byte
}

// A SideAlert is an alert and who sent it.
type SideAlert struct {
	From  Role
	Fatal bool
	// Name is the description; "" if the alert was encrypted.
	Name  string
	Basis fact.Basis
	Frame capture.Frame
}

// A Failure is a handshake that was ended.
type Failure struct {
	// By is the side that ended it.
	By Role
	// Alert is what it said; nil if it just closed the connection.
	Alert *SideAlert
	Basis fact.Basis
}

// Ending is what the TCP connection tells of its completeness and its end.
type Ending struct {
	// Whole: both directions were captured from their first byte on, with
	// nothing missing.
	Whole bool
	// ClosedBy is the side that sent the first FIN or RST; RoleUnknown if none.
	ClosedBy Role
	// Orderly: both sides sent a FIN and no RST, and the second acknowledged the
	// first. One forged packet cannot bring that about.
	Orderly bool
	// ClientHad is how much of the server's stream the client had acknowledged when
	// it closed; 0 or less if that is not known, or it did not.
	ClientHad int64
}

// Combine puts the directions of a connection together. Either may be nil if
// it is not TLS.
func Combine(client, server *Stream, end Ending) *Facts {
	if client != nil && server != nil {
		unlockLast(client, server) // the key log may have grown
	}
	c := newCombiner(client, server)
	defer c.release()
	c.f, c.end = &Facts{Session: &c.room.session}, end
	c.hellos()
	c.alerts()
	c.observations()
	switch {
	case c.f.Server == nil:
		c.unknown("the ServerHello is not in the capture")
	case c.f.Version.Is13():
		c.tls13()
	case c.f.Version >= SSL30 && c.f.Version <= TLS12:
		c.tls12()
	default:
		c.unknown(fmt.Sprintf("version %s is not known", c.f.Version))
	}
	c.failure()
	c.withoutCertificate()
	c.share()
	return c.f
}

// share has the facts hold what they have in common with others but once.
func (x *combiner) share() {
	if x.c.secrets == nil {
		x.f.Client, x.f.Server = x.f.Client.intern(x.tables()), x.f.Server.intern(x.tables())
	}
	x.f.Session = x.f.Session.intern(x.tables())
}

func (x *combiner) hellos() {
	f := x.f
	f.Client, f.Server = x.c.hello, x.s.server
	f.Retried = x.c.retried || x.s.retried
	if f.Server != nil && f.Server.Retry {
		f.Server = nil // the real one did not come
	}
	if f.Server != nil {
		f.Version, f.Suite, f.Group = f.Server.Version, f.Server.Suite, f.Server.Group
	}
	if f.Group == 0 && f.Suite.has("ECDHE") {
		f.Group = x.s.group
	}
	if f.Client != nil && !f.Version.Is13() {
		f.Offered = nonzero(f.Client.SessionID, f.Client.Ticket)
	}
}

func nonzero(ts ...Ticket) []Ticket {
	var out []Ticket
	for _, t := range ts {
		if t != (Ticket{}) {
			out = append(out, t)
		}
	}
	return out
}

func (x *combiner) alerts() {
	for _, by := range []struct {
		*side
		role Role
	}{{x.c, RoleClient}, {x.s, RoleServer}} {
		for _, a := range by.alerts {
			x.f.Alerts = append(x.f.Alerts, SideAlert{by.role, a.Fatal, a.Name(), fact.Observed, a.Frame})
		}
	}
}

func (x *combiner) observations() {
	f := x.f
	f.Foreign = [2]*Foreign{x.c.foreign, x.s.foreign}
	f.Unsynced = [2]bool{x.c.unsynced(), x.s.unsynced()}
	f.Obscured = x.c.obscured() || x.s.obscured()
	f.Damaged = x.damage() != ""
	f.Preamble = [2]int64{x.c.preamble, x.s.preamble}
	f.Records = [2]Records{x.c.log.clone(), x.s.log.clone()}
	f.Sealed = [2]Sealed{x.c.sealed, x.s.sealed}
	f.Ticking, f.Ticks = ticking(x.c.Stream, x.s.Stream), spaced(x.c.Stream, x.s.Stream)
	for i, s := range [2]*side{x.c, x.s} {
		if s.opening != nil {
			f.Opened[i] = s.opening.result()
		}
	}
}

// unknown fills in why nothing can be said of certificates and acceptance.
func (x *combiner) unknown(reason string) {
	if d := x.damage(); d != "" {
		reason = d
	}
	if x.c.secrets != nil || x.s.secrets != nil {
		x.f.KeyLog = "not tried: " + reason
	}
	x.f.ClientCertificate.Reason = reason
	x.f.ClientCertificate.Requested = fact.UnknownBecause(reason)
	x.f.Established = fact.UnknownBecause(reason)
	x.f.Resumed = fact.UnknownBecause(reason)
}

// damage says what keeps the messages that crossed in the clear from being
// complete; "" if nothing does.
func (x *combiner) damage() string {
	for _, by := range []struct {
		*side
		who string
	}{{x.c, "client"}, {x.s, "server"}} {
		switch by.damage {
		case "":
		case gapInMessages:
			return "part of the " + by.who + "'s handshake is missing, or cut by the capture's snaplen"
		default:
			return by.who + ": " + by.damage
		}
	}
	return ""
}

// gapInMessages is the damage of missing packets.
const gapInMessages = "a gap in the handshake"

// obscured reports whether framing or a message was lost before the stream was
// settled.
func (s *side) obscured() bool {
	if s.log.n == 0 || s.damage != "" {
		return true
	}
	sealed := 0
	for _, r := range s.trusted {
		if r.Type == TypeApplicationData {
			sealed++
		}
	}
	return s.start == Midstream && sealed < settled
}

// sentAfter reports whether the sender of r had received the whole of the
// peer's record when it sent r, by what it had acknowledged.
func sentAfter(r, peer Record) bool { return r.Acked >= peer.End() }
