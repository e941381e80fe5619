package tls

import (
	"fmt"

	"distproof/capture"
	"distproof/decode/fact"
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

// Facts are what the two directions of a TLS connection show together.
type Facts struct {
	// Client and Server are the hellos; nil if not seen or not readable.
	Client *ClientHello
	Server *ServerHello
	// Version and Suite are zero unless Server is there.
	Version Version
	Suite   Suite
	// Group is the key exchange group; 0 if unknown or none.
	Group uint16
	// Retried says that the server asked for another ClientHello.
	Retried bool

	// Resumed says that the session continues an earlier one, by session id,
	// ticket or PSK. Offered and Issued identify the session state that crossed
	// in the clear: what the client came with, and what later connections may
	// come with.
	Resumed         fact.Fact
	Offered, Issued []Ticket

	ClientCertificate ClientCertificate
	ServerCertificate ServerCertificate

	// Established: the server accepted the client. In TLS 1.3 it sent an
	// application record that is no alert after the client's Finished; before,
	// it sent its own Finished after the client's.
	Established fact.Fact
	// Finished: both sides came to the end of their handshake. Before TLS 1.3
	// the session is then up, though in a resumed one it may not be shown that
	// the server accepted.
	Finished bool
	// Failure says how the handshake came to nothing; nil if it is not known
	// that it did.
	Failure *Failure
	Alerts  []SideAlert

	// Foreign is where bytes that are not TLS begin, for client and server.
	Foreign [2]*Foreign
	// Unsynced says for client and server that framing was lost to a gap and
	// not found again, although bytes followed.
	Unsynced [2]bool
	// Obscured says that records are not known in which a distribution handshake
	// would have shown, or the TLS handshake before it.
	Obscured bool
	// Preamble is the number of bytes before the first record of each.
	Preamble [2]int64
	// Renegotiated says that another handshake followed inside the session, of
	// which nothing can be seen (TLS 1.2 and before).
	Renegotiated bool

	// Shape is what record lengths tell of a distribution handshake inside, and
	// Distribution whether that is beyond doubt.
	Shape        Shape
	Distribution bool
	// Ticking says that records come like distribution's ticks, which makes the
	// connection one. Ticks says that some do, for one that is anyway.
	Ticking, Ticks bool

	// Records are the first records of client and server.
	Records [2][]Record
	// Sealed counts the encrypted records of client and server.
	Sealed [2]Sealed
}

// Begun reports whether a session was begun or is under way: there is more than
// an alert, with which a TLS server also answers what is not TLS.
func (f *Facts) Begun() bool {
	return f.Client != nil || f.Server != nil || f.Sealed[0].Application+f.Sealed[1].Application > 0
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
	// Chain holds the certificates in DER, the client's own first; empty if
	// they were not sent in the clear.
	Chain [][]byte
	// Reason says why the status is unknown, or what shows it.
	Reason string
	// Frame is where the client's flight was.
	Frame capture.Frame
}

// ServerCertificate says what is known of the server's authentication.
type ServerCertificate struct {
	Basis      fact.Basis
	Possession fact.Basis
	// Signature: that over the key exchange was checked with the certificate's
	// key; unknown where nothing is signed (static RSA).
	Signature fact.Fact
	Chain     [][]byte
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
}

// Combine puts the directions of a connection together. Either may be nil if
// it is not TLS.
func Combine(client, server *Stream, end Ending) *Facts {
	c := combiner{c: orEmpty(client), s: orEmpty(server), end: end, f: new(Facts)}
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
	return c.f
}

func orEmpty(s *Stream) *Stream {
	if s == nil {
		return &Stream{}
	}
	return s
}

type combiner struct {
	c, s *Stream
	end  Ending
	f    *Facts
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
	if f.Client != nil {
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
	for _, side := range []struct {
		stream *Stream
		role   Role
	}{{x.c, RoleClient}, {x.s, RoleServer}} {
		for _, a := range side.stream.alerts {
			x.f.Alerts = append(x.f.Alerts, SideAlert{side.role, a.Fatal, a.Name(), fact.Observed, a.Frame})
		}
	}
}

func (x *combiner) observations() {
	f := x.f
	f.Foreign = [2]*Foreign{x.c.foreign, x.s.foreign}
	f.Unsynced = [2]bool{x.c.unsynced(), x.s.unsynced()}
	f.Obscured = x.c.obscured() || x.s.obscured()
	f.Preamble = [2]int64{x.c.preamble, x.s.preamble}
	f.Records = [2][]Record{x.c.log, x.s.log}
	f.Sealed = [2]Sealed{x.c.sealed, x.s.sealed}
	f.Ticking, f.Ticks = ticking(x.c, x.s), spaced(x.c, x.s)
}

// unknown fills in why nothing can be said of certificates and acceptance.
func (x *combiner) unknown(reason string) {
	if d := x.damage(); d != "" {
		reason = d
	}
	x.f.ClientCertificate.Reason = reason
	x.f.ClientCertificate.Requested = fact.UnknownBecause(reason)
	x.f.Established = fact.UnknownBecause(reason)
	x.f.Resumed = fact.UnknownBecause(reason)
}

// damage says what keeps the messages that crossed in the clear from being
// complete; "" if nothing does.
func (x *combiner) damage() string {
	switch {
	case x.c.damage != "":
		return "client: " + x.c.damage
	case x.s.damage != "":
		return "server: " + x.s.damage
	}
	return ""
}

// obscured reports whether framing or a message was lost before the stream was
// settled.
func (s *Stream) obscured() bool {
	if len(s.log) == 0 || s.damage != "" {
		return true
	}
	sealed := 0
	for _, r := range s.trusted() {
		if r.Type == TypeApplicationData {
			sealed++
		}
	}
	return s.start == Midstream && sealed < settled
}

// trusted returns the logged records of a direction up to the first loss of
// framing; none if it did not begin at the stream's start.
func (s *Stream) trusted() []Record { return s.log[:s.reliable] }

// sealedOf returns the trusted encrypted records of the given type.
func (s *Stream) sealedOf(t ContentType) []Record {
	var out []Record
	for _, r := range s.trusted() {
		if r.Type == t && r.Sealed {
			out = append(out, r)
		}
	}
	return out
}

// sentAfter reports whether the sender of r had received the whole of the
// peer's record when it sent r, by what it had acknowledged.
func sentAfter(r, peer Record) bool { return r.Acked >= peer.End() }

// tls13 reads certificates and acceptance off record lengths.
func (x *combiner) tls13() {
	f := x.f
	if f.Client != nil && f.Client.EarlyData {
		x.unknown("the client offered early data, whose records cannot be told from its handshake")
		return
	}
	if d := x.damage(); d != "" {
		x.unknown(d)
		return
	}
	if f.Client == nil {
		x.unknown("the ClientHello is not in the capture")
		return
	}
	if f.Suite.finishedLength() == 0 {
		x.unknown(fmt.Sprintf("cipher suite %s: record sizes are not known", f.Suite))
		return
	}
	shaper := shaper{f.Suite}
	client, server := x.c.sealedOf(TypeApplicationData), x.s.sealedOf(TypeApplicationData)
	x.resumed13()
	sf, why := shaper.server(server)
	if why != "" {
		x.unknownFlight(why)
		return
	}
	if sf.psk != f.Server.PSK {
		x.unknownFlight(fmt.Sprintf("the server's record sizes do not fit its hello %v", lengths(server, 8)))
		return
	}
	if !sf.psk {
		f.ServerCertificate = ServerCertificate{Basis: fact.Inferred, Possession: fact.Inferred}
	}
	cf, why := shaper.client(client)
	if why == "" && !sentAfter(client[0], server[sf.records-1]) {
		why = fmt.Sprintf("the client sent records before it had the server's Finished %v", lengths(client, 6))
	}
	if why != "" {
		x.unknownFlight(why)
		return
	}
	x.clientCertificate13(sf, cf, server, client)
	if f.ClientCertificate.Status == StatusUnknown {
		x.unknownFlight(f.ClientCertificate.Reason)
		return
	}
	x.established13(shaper, client[cf.records-1], server[sf.records:])
	f.Shape = shape(f.Version, f.Suite, client[cf.records:], server[sf.records:])
	f.Distribution = f.Established.Is() && f.Shape.distribution(f.Client.ServerName, x.end.ClosedBy != RoleUnknown)
}

func (x *combiner) resumed13() {
	f := x.f
	if f.Server.PSK {
		f.Resumed = fact.YesBy(fact.Observed, "the server took the client's pre-shared key")
		return
	}
	f.Resumed = fact.NoBy(fact.Observed, "no pre-shared key in the ServerHello")
}

// unknownFlight is unknown, but for what the hellos say.
func (x *combiner) unknownFlight(why string) {
	x.f.ClientCertificate.Reason = why
	x.f.ClientCertificate.Requested = fact.UnknownBecause(why)
	x.f.Established = fact.UnknownBecause(why)
}

// requestedBySizes holds only beside a client's flight that agrees: a
// certificate that is split looks like a request and a certificate.
func requestedBySizes(sf flight, server []Record) fact.Fact {
	sizes := fmt.Sprintf("record sizes %v", lengths(server, sf.records))
	if sf.requested {
		return fact.YesBy(fact.Inferred, sizes)
	}
	return fact.NoBy(fact.Inferred, sizes)
}

func (x *combiner) clientCertificate13(sf, cf flight, server, client []Record) {
	c := &x.f.ClientCertificate
	c.Frame = client[0].Frame
	sizes := fmt.Sprintf("server's record sizes %v, client's %v", lengths(server, sf.records), lengths(client, cf.records))
	switch {
	case sf.psk && cf.status == NotRequested:
		c.Status, c.Basis, c.Reason = Resumed, fact.Observed, "resumed with a pre-shared key"
		c.Requested = requestedBySizes(sf, server)
	case sf.requested != (cf.status != NotRequested) || sf.psk:
		c.Reason = "contradictory: " + sizes
	default:
		c.Requested = requestedBySizes(sf, server)
		c.Status, c.Basis, c.Reason = cf.status, fact.Inferred, sizes
		if cf.status == Presented {
			c.Possession = fact.Inferred
		}
	}
}

// established13 looks for the server's first record after the client's Finished.
func (x *combiner) established13(shaper shaper, finished Record, server []Record) {
	f := x.f
	var after []Record
	for _, r := range server {
		if sentAfter(r, finished) {
			after = append(after, r)
		}
	}
	switch {
	case len(after) == 0:
		f.Established = fact.UnknownBecause("no record of the server after the client's Finished is in the capture")
	case len(after) == 1 && !shaper.isAlert(after[0]) && !shaper.isStatus(after[0]):
		// An alert may be padded to any length, but nothing follows it.
		f.Established = fact.UnknownBecause(fmt.Sprintf("the server's only record after the client's Finished, of %d bytes, may be a padded alert", after[0].Length))
	case !shaper.isAlert(after[0]):
		f.Established = fact.YesBy(fact.Inferred, fmt.Sprintf("the server went on with a record of %d bytes", after[0].Length))
	case len(after) > 1 || x.s.sealed.Application > uint64(len(x.s.sealedOf(TypeApplicationData))):
		f.Established = fact.UnknownBecause("the server's first record after the client's Finished has an alert's size, but others follow")
	case x.end.ClosedBy == RoleClient || shaper.isAlert(x.c.sealed.Last) && sentAfter(after[0], x.c.sealed.Last):
		f.Established = fact.UnknownBecause("the client closed the connection before the server answered")
	case x.end.ClosedBy == RoleUnknown:
		f.Established = fact.UnknownBecause("the server answered with a record of an alert's size, and the connection's end is not in the capture")
	default:
		f.Established = fact.NoBy(fact.Inferred, "the server answered with a record of an alert's size")
		f.Alerts = append(f.Alerts, SideAlert{From: RoleServer, Basis: fact.Inferred, Frame: after[0].Frame})
	}
}

// tls12 reads messages that crossed in the clear (TLS 1.2 and before).
func (x *combiner) tls12() {
	f, c, s := x.f, x.c, x.s
	if d := x.damage(); d != "" {
		x.unknown(d)
		return
	}
	f.Issued = nonzero(append([]Ticket{f.Server.SessionID}, s.tickets...)...)
	clientFinished, serverFinished := finished12(c), finished12(s)
	_, done := s.messages[TypeServerHelloDone]
	if !done && s.ccs && !s.certificate {
		x.resumed12(clientFinished)
		return
	}
	if _, keyed := s.messages[TypeServerKeyExchange]; keyed || done || s.certificate {
		f.Resumed = fact.NoBy(fact.Observed, "full handshake")
	} else {
		f.Resumed = fact.UnknownBecause("the server's flight is not whole")
	}
	if s.certificate {
		f.ServerCertificate = ServerCertificate{Basis: fact.Observed, Chain: s.chain}
	}
	if _, ok := s.messages[TypeServerKeyExchange]; ok && s.certificate {
		f.ServerCertificate.Possession = fact.Observed
	}
	x.clientCertificate12(done)
	x.signatures12()
	switch {
	case clientFinished == nil || serverFinished == nil:
		f.Established = fact.UnknownBecause("the handshake's end is not in the capture")
	case !sentAfter(*serverFinished, *clientFinished):
		f.Established = fact.UnknownBecause("the server's Finished did not follow the client's")
	default:
		f.Established = fact.YesBy(fact.Observed, "the server sent its Finished after the client's")
	}
	if f.Established.Is() && len(s.chain) > 0 && f.ServerCertificate.Possession == fact.None && !f.ServerCertificate.Signature.Isnt() {
		// Static RSA: only who has the key could have made the Finished.
		f.ServerCertificate.Possession = fact.Observed
	}
	x.afterHandshake12()
}

// finished12 returns the record of the Finished message: the first encrypted
// handshake record; nil if there is none.
func finished12(s *Stream) *Record {
	if records := s.sealedOf(TypeHandshake); s.ccs && len(records) > 0 {
		return &records[0]
	}
	return nil
}

func (x *combiner) clientCertificate12(serverDone bool) {
	f, c := x.f, x.c
	cert := &f.ClientCertificate
	_, requested := x.s.messages[TypeCertificateRequest]
	switch {
	case requested:
		cert.Requested = fact.YesBy(fact.Observed, "the server sent a CertificateRequest")
	case serverDone:
		cert.Requested = fact.NoBy(fact.Observed, "no CertificateRequest before the ServerHelloDone")
	default:
		cert.Requested = fact.UnknownBecause("the server's flight is not whole")
	}
	_, exchanged := c.messages[TypeClientKeyExchange]
	cert.Frame = c.messages[TypeClientKeyExchange]
	switch {
	case c.hello == nil && (requested || !serverDone):
		// What was not seen may have been sent before.
		cert.Reason = "the client's flight is not in the capture from its beginning"
	case c.certificate && len(c.chain) > 0:
		cert.Status, cert.Basis, cert.Chain = Presented, fact.Observed, c.chain
		cert.Frame = c.messages[TypeCertificate]
		cert.Reason = "the client sent a Certificate"
		if _, ok := c.messages[TypeCertificateVerify]; ok {
			cert.Possession = fact.Observed
		}
	case c.certificate:
		cert.Frame = c.messages[TypeCertificate]
		cert.Status, cert.Basis, cert.Reason = Empty, fact.Observed, "the client sent an empty Certificate"
	case exchanged && requested:
		cert.Status, cert.Basis, cert.Reason = Empty, fact.Observed, "asked for a certificate, the client went on without"
	case serverDone && !requested:
		cert.Status, cert.Basis, cert.Reason = NotRequested, fact.Observed, cert.Requested.Reason
	default:
		cert.Reason = "the client's flight is not in the capture"
	}
}

// resumed12 handles the abbreviated handshake (RFC 5246, Section 7.3; RFC 5077).
// There the server's Finished comes first, so acceptance is its first record
// after the client's.
func (x *combiner) resumed12(clientFinished *Record) {
	f := x.f
	f.Resumed = fact.YesBy(fact.Observed, "abbreviated handshake")
	f.ClientCertificate = ClientCertificate{Status: Resumed, Basis: fact.Observed, Reason: "resumed by session id or ticket",
		Requested: fact.NoBy(fact.Observed, "abbreviated handshake")}
	if clientFinished == nil {
		f.Established = fact.UnknownBecause("the client's Finished is not in the capture")
		return
	}
	f.Established = fact.UnknownBecause("no record of the server after the client's Finished is in the capture")
	for _, r := range x.s.sealedOf(TypeApplicationData) {
		if sentAfter(r, *clientFinished) {
			f.Established = fact.YesBy(fact.Observed, "the server went on after the client's Finished")
			break
		}
	}
	x.afterHandshake12()
}

// afterHandshake12 reads what the encrypted part of a connection before TLS 1.3 shows.
func (x *combiner) afterHandshake12() {
	f := x.f
	f.Renegotiated = x.c.sealed.Handshake > 1 && x.s.sealed.Handshake > 1
	f.Shape = shape(f.Version, f.Suite, x.c.sealedOf(TypeApplicationData), x.s.sealedOf(TypeApplicationData))
	name := ""
	if f.Client != nil {
		name = f.Client.ServerName
	}
	f.Distribution = f.Established.Is() && f.Shape.distribution(name, x.end.ClosedBy != RoleUnknown)
}

// failure finds out whether the handshake was ended. It is known only if
// nothing is missing from the capture: a refusal that was overtaken by
// something unseen is no refusal. What ends in bytes that are not TLS may go on
// in a way that is not understood, such as inside the messages of a VPN.
func (x *combiner) failure() {
	f := x.f
	f.Finished = x.bothFinished()
	if f.Established.Is() || !x.end.Whole || x.wentOn() || f.Foreign != [2]*Foreign{} {
		return
	}
	if a := x.fatalAlert(); a != nil {
		f.Failure = &Failure{By: a.From, Alert: a, Basis: a.Basis}
		return
	}
	if f.Established.Isnt() {
		a := &f.Alerts[len(f.Alerts)-1]
		f.Failure = &Failure{By: a.From, Alert: a, Basis: a.Basis}
		return
	}
	if a := x.sealedRefusal(); a != nil {
		f.Alerts = append(f.Alerts, *a)
		f.Failure = &Failure{By: a.From, Alert: a, Basis: a.Basis}
		return
	}
	// With encrypted records of the client, it may have come further than sizes tell.
	if x.end.ClosedBy != RoleUnknown && !f.Finished && x.c.sealed.Application == 0 {
		f.Failure = &Failure{By: x.end.ClosedBy, Basis: fact.Observed}
	}
}

func (x *combiner) fatalAlert() *SideAlert {
	for i, a := range x.f.Alerts {
		if a.Fatal {
			return &x.f.Alerts[i]
		}
	}
	return nil
}

// wentOn reports whether either side sent what comes after a handshake. The
// other's records may have been lost in a way that does not show.
func (x *combiner) wentOn() bool {
	if x.f.Version.Is13() {
		// The client's handshake is at most three records, and distribution's
		// first message and an alert may follow before it is turned away; the
		// server's is five, and an alert.
		return x.c.sealed.Application > 5 || x.s.sealed.Application > 7
	}
	return x.c.sealed.Application > 0 || x.s.sealed.Application > 0
}

// sealedRefusal finds a TLS 1.3 client that answers the server's flight with a
// record of an alert's size, or a side before TLS 1.3 whose encrypted alert
// takes the place of the handshake's end.
func (x *combiner) sealedRefusal() *SideAlert {
	if x.f.Server == nil || x.end.ClosedBy == RoleUnknown || x.f.Finished && !x.f.Version.Is13() {
		return nil
	}
	if x.f.Version.Is13() {
		records := x.c.sealedOf(TypeApplicationData)
		if len(records) == 1 && (shaper{x.f.Suite}).isAlert(records[0]) && x.c.sealed.Application == 1 {
			return &SideAlert{From: RoleClient, Basis: fact.Inferred, Frame: records[0].Frame}
		}
		return nil
	}
	for _, side := range []struct {
		stream *Stream
		role   Role
	}{{x.s, RoleServer}, {x.c, RoleClient}} {
		if records := side.stream.sealedOf(TypeAlert); len(records) > 0 {
			return &SideAlert{From: side.role, Basis: fact.Observed, Frame: records[0].Frame}
		}
	}
	return nil
}

// bothFinished reports whether both sides came to the end of their handshake,
// so that an orderly close is no refusal.
func (x *combiner) bothFinished() bool {
	if x.f.Version.Is13() {
		return x.f.ClientCertificate.Status != StatusUnknown
	}
	return finished12(x.c) != nil && finished12(x.s) != nil
}
