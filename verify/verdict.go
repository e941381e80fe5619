// Package verify says what the facts of a capture mean: a verdict for every
// distribution connection, the rules that it breaks, and whether a policy
// holds. It reads no files, prints nothing and sees no packet.
//
// It never claims more security than the facts prove. Where they prove
// nothing, the verdict is Inconclusive, with the reason.
package verify

import (
	"fmt"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/internal/plural"
)

// A Verdict says how a distribution connection is protected. The words are part
// of the report's format.
type Verdict string

// The verdicts.
const (
	// NoVerdict is for connections that are not distribution.
	NoVerdict Verdict = ""
	// Mutual: TLS in both directions to the end of what was seen; the client
	// sent a certificate, proved its key, and the server accepted.
	Mutual Verdict = "mutual"
	// OneWay: TLS; no client certificate or an empty one, and the server
	// accepted.
	OneWay Verdict = "one-way"
	// Cleartext: bytes of distribution crossed in the clear.
	Cleartext Verdict = "cleartext"
	// Refused: TLS was attempted and did not complete, and nothing crossed in
	// the clear.
	Refused Verdict = "refused"
	// Inconclusive: anything else.
	Inconclusive Verdict = "inconclusive"
)

// gravity orders verdicts from the best to the worst.
var gravity = map[Verdict]int{NoVerdict: 0, Mutual: 1, Refused: 2, Inconclusive: 3, OneWay: 4, Cleartext: 5}

// Worse reports whether v is worse news than w.
func (v Verdict) Worse(w Verdict) bool { return gravity[v] > gravity[w] }

// A State says whether a session came up, whatever its protection.
type State string

// The states.
const (
	Up          State = "up"
	TLSFailed   State = "tls-failed"
	DistRefused State = "dist-refused"
	Incomplete  State = "incomplete"
	Midstream   State = "midstream"
)

// A Conclusion is the verdict on one connection.
type Conclusion struct {
	Verdict Verdict
	State   State
	// Reason says why, in words for the cluster's operator.
	Reason string
}

// Conclude draws the verdict from the facts of a connection.
func Conclude(c *decode.Connection) Conclusion { return conclude(c, newExaminer(nil)) }

// conclude is Conclude, with x for the certificates that a side may have disliked.
func conclude(c *decode.Connection, x *examiner) Conclusion {
	switch c.Protocol {
	case decode.Dist:
		return inTheClear(c)
	case decode.DistTLS:
		v, why := undisputed(c, x)
		state := tlsState(c)
		if state == DistRefused && (v == Mutual || v == OneWay) {
			why += "; then " + noSession(c)
		}
		return Conclusion{v, state, why}
	case decode.TLS:
		switch {
		case !c.Announced():
			return Conclusion{NoVerdict, tlsState(c), "TLS that is not shown to be distribution"}
		case len(c.TLS.Alerts) == 0:
			return Conclusion{Inconclusive, tlsState(c), "TLS on a port of distribution, with no part of the handshake whole in the capture: packets are missing, or cut by its snaplen"}
		}
		return Conclusion{Inconclusive, tlsState(c), alertAlone(c)}
	case decode.EPMD:
		return Conclusion{NoVerdict, openState(c), "Erlang port mapper"}
	case decode.None:
		return withoutData(c)
	}
	return unidentified(c)
}

// alertAlone describes a connection that has an alert and nothing else of TLS.
func alertAlone(c *decode.Connection) string {
	if foreignClient(c) {
		return fmt.Sprintf("the client sent bytes that are neither TLS nor distribution, and the server answered with the TLS alert %s", c.TLS.Alerts[0].Name)
	}
	return "a TLS alert on a port of distribution, and nothing that it answers"
}

// foreignClient reports whether a client on a port of distribution speaks neither that
// nor TLS, from its first byte on.
func foreignClient(c *decode.Connection) bool {
	switch c.Protocol {
	case decode.Other:
		return c.Ending.Whole
	case decode.TLS:
		return c.Ending.Whole && c.Unidentified[decode.Client] && len(c.TLS.Alerts) > 0 && c.TLS.Alerts[0].From == tls.RoleServer
	}
	return false
}

// openState is the state of a connection whose protocol has no session to come up.
func openState(c *decode.Connection) State {
	switch whole := c.TCP[decode.Client].Gap+c.TCP[decode.Server].Gap == 0; {
	case !whole || c.TCP[decode.Client].Packets == 0 || c.TCP[decode.Server].Packets == 0:
		return Incomplete
	case c.Start():
		return Up
	}
	return Midstream
}

// inTheClear judges distribution without TLS.
func inTheClear(c *decode.Connection) Conclusion {
	client, server := &c.Dist[decode.Client], &c.Dist[decode.Server]
	state, reason := Incomplete, "distribution in the clear, handshake not finished in the capture"
	switch {
	case client.Handshake.Version == 0 && server.Handshake.Version == 0 && (client.Connected || server.Connected):
		state, reason = Up, "distribution in the clear"
		if !c.Start() {
			state, reason = Midstream, "distribution in the clear, seen from the middle on"
		}
	case server.Handshake.Ack || client.Connected || server.Connected:
		state, reason = Up, "distribution in the clear"
	case c.TLS != nil && len(c.TLS.Alerts) > 0:
		state = DistRefused
		reason = fmt.Sprintf("distribution in the clear, answered with the TLS alert %s: the server speaks TLS", c.TLS.Alerts[0].Name)
	case refusal(server.Handshake.Status):
		state = DistRefused
		reason = "distribution handshake in the clear, " + refusedWith(server.Handshake.Status, "")
	case c.Ending.Whole && c.Ending.ClosedBy != tls.RoleUnknown:
		state = DistRefused
		reason = "distribution handshake in the clear, closed before it was finished"
		if client.Handshake.Reply {
			reason = "distribution handshake in the clear, " + afterProof
		}
	}
	return Conclusion{Cleartext, state, reason}
}

func refusal(status string) bool { return status == "nok" || status == "not_allowed" }

// withoutData judges a connection that carried nothing. On a port of
// distribution, one that was opened and closed is an attempt that came to
// nothing: a TLS node whose options are invalid closes so.
func withoutData(c *decode.Connection) Conclusion {
	switch {
	case !c.Announced() || c.TCP[decode.Server].Start != tcp.StartSYN:
		return Conclusion{NoVerdict, Incomplete, "no data"}
	case c.Ending.Whole && c.Ending.ClosedBy != tls.RoleUnknown:
		return Conclusion{Refused, Incomplete, "closed by the " + c.Ending.ClosedBy.String() + " before any byte was sent"}
	}
	return Conclusion{Inconclusive, Incomplete, "opened, and nothing sent as far as captured"}
}

// unidentified judges bytes that are neither TLS nor distribution.
func unidentified(c *decode.Connection) Conclusion {
	state, captured := openState(c), c.TCP[decode.Client].Bytes+c.TCP[decode.Server].Bytes > 0
	switch {
	case !c.Announced() && !captured:
		return Conclusion{NoVerdict, Incomplete, "bytes, none of which was captured"}
	case !c.Announced():
		return Conclusion{NoVerdict, state, "neither TLS nor distribution"}
	case !captured:
		return Conclusion{Inconclusive, Incomplete, "bytes on a port of distribution, none of which was captured"}
	}
	return Conclusion{Inconclusive, state, "bytes on a port of distribution in which neither TLS nor distribution is recognised"}
}

// tlsState says how far a TLS connection came.
func tlsState(c *decode.Connection) State {
	f := c.TLS
	switch {
	case f.Client == nil && f.Server == nil && f.Failure == nil:
		if !c.Start() {
			return Midstream
		}
		return Incomplete
	case f.Failure != nil:
		return TLSFailed
	case c.Protocol != decode.DistTLS && f.Finished && f.Version < tls.TLS13:
		return Up
	case !f.Established.Is():
		return Incomplete
	case c.Protocol != decode.DistTLS:
		return Up
	}
	return distState(c)
}

// distState says what became of the distribution handshake inside TLS, as far
// as record sizes tell, if it was not decrypted.
func distState(c *decode.Connection) State {
	f := c.TLS
	closed := c.Ending.Whole && c.Ending.ClosedBy != tls.RoleUnknown
	few := f.Sealed[decode.Client].Application < 8 && f.Sealed[decode.Server].Application < 10
	if s, ok := decryptedState(c, closed); ok {
		return s
	}
	switch {
	case f.Shape.Stage == tls.StageAck, f.Ticking:
		return Up
	case closed && !f.Shape.More && (f.Shape.Refused || few):
		return DistRefused
	case few:
		return Incomplete
	}
	return Up
}

// noSession says why no session came up inside TLS, by what was decrypted, else by
// record sizes.
func noSession(c *decode.Connection) string {
	shape := c.TLS.Shape
	status, proved := "", shape.Stage == tls.StageReply
	if c.IsDecrypted {
		status, proved = c.Decrypted[decode.Server].Handshake.Status, proved || c.Decrypted[decode.Client].Handshake.Reply
	}
	switch {
	case refusal(status):
		return refusedWith(status, "")
	case shape.Crossed:
		return refusedWith("nok", " (inferred)")
	case shape.Refused && shape.Exact:
		return refusedWith("not_allowed", " (inferred)")
	case proved:
		return afterProof
	case status == "" && !shape.Refused && shape.Stage < tls.StageStatus && c.Ending.ClosedBy == tls.RoleServer:
		// inet_tls_dist looks for the names that are allowed in the client's certificate.
		return "closed by the server before it answered: its node" + allowsOthers + ", most likely"
	}
	return "closed before the distribution handshake was finished"
}

const allowsOthers = " lets in others only (net_kernel:allow/1)"

// afterProof: a server that finds the client's proof of the cookie wrong closes.
const afterProof = "closed after the cookie's proof: wrong cookie, most likely"

// refusedWith explains a status (OTP, erl_dist_protocol), with how it is known.
func refusedWith(status, basis string) string {
	text := "refused with status " + status + basis
	switch status {
	case "nok":
		text += ": both nodes dialled at once"
	case "not_allowed":
		text += ": the server's node" + allowsOthers
	}
	return text
}

// decryptedState is the same where the distribution handshake was decrypted. It
// tells nothing if what was sent may be in what could not be.
func decryptedState(c *decode.Connection, closed bool) (State, bool) {
	if !c.IsDecrypted {
		return Incomplete, false
	}
	client, server := &c.Decrypted[decode.Client], &c.Decrypted[decode.Server]
	switch {
	case server.Handshake.Ack, client.Connected, server.Connected:
		return Up, true
	case refusal(server.Handshake.Status), closed && c.DecryptedWhole():
		return DistRefused, true
	}
	return Incomplete, c.DecryptedWhole()
}

// undisputed is overTLS, but nothing good is claimed of a connection of which it
// is not certain what belongs to it.
func undisputed(c *decode.Connection, x *examiner) (Verdict, string) {
	v, why := overTLS(c, x)
	if v == Mutual && c.Disputed {
		return Inconclusive, "segments that have no place in the connection came with its addresses and ports: another connection has them too, or somebody forged them"
	}
	return v, why
}

// overTLS judges a TLS connection of distribution.
func overTLS(c *decode.Connection, x *examiner) (Verdict, string) {
	f := c.TLS
	if v, why := notOnlyTLS(c); v != NoVerdict {
		return v, why
	}
	switch {
	case f.Suite.IntegrityOnly() && f.Established.Is():
		return Cleartext, fmt.Sprintf("TLS without encryption (%s)", f.Suite)
	case conflicting(c):
		return Inconclusive, "retransmissions with other bytes in the handshake: which ones the peer read is not known"
	case repeatedLate(c):
		return Inconclusive, "the handshake came again later, and could not be compared with what came first"
	case f.Failure != nil:
		return Refused, failure(c, x)
	case f.Client == nil && f.Server == nil && c.Start():
		return Inconclusive, "encrypted, but the handshake is not whole in the capture: packets are missing, or cut by its snaplen"
	case f.Client == nil && f.Server == nil:
		return Inconclusive, "encrypted, handshake not captured: client certificate not seen"
	case f.Unanswered:
		return Refused, fmt.Sprintf("closed by the %s after the TLS handshake, before the server sent anything of distribution: given up, most likely because both nodes dialled at once", c.Ending.ClosedBy)
	case waiting(c):
		return Inconclusive, "the server has not answered the ClientHello, as far as captured"
	case !f.Established.Is():
		return Inconclusive, "not shown to be accepted: " + f.Established.Reason
	case f.Renegotiated:
		return Inconclusive, "renegotiated under encryption: who authenticated in the end is not visible"
	case !f.Suite.Encrypts():
		return Inconclusive, fmt.Sprintf("cipher suite %s is not known", f.Suite)
	case f.Suite.PreShared():
		return Inconclusive, fmt.Sprintf("authenticated by a pre-shared key (%s), not by certificates", f.Suite)
	case f.Suite.Anonymous() && f.ClientCertificate.Status != tls.NotRequested:
		return Inconclusive, fmt.Sprintf("anonymous cipher suite (%s): nobody is authenticated", f.Suite)
	case f.ClientCertificate.Status == tls.Resumed:
		return resumed(c, x)
	}
	return byCertificate(f)
}

// waiting reports whether the client still waits for the server's first byte.
func waiting(c *decode.Connection) bool {
	return c.TLS.Client != nil && c.TCP[decode.Server].End == 0 && c.Ending.Whole && !c.Closed()
}

// notOnlyTLS finds bytes that are not TLS in a TLS connection.
func notOnlyTLS(c *decode.Connection) (Verdict, string) {
	f := c.TLS
	for i, who := range [2]string{"client", "server"} {
		switch {
		case c.InClear:
			return Cleartext, "distribution in the clear inside a TLS connection"
		case f.Foreign[i] != nil:
			return Inconclusive, fmt.Sprintf("the %s sent bytes that are not TLS inside a TLS connection", who)
		case f.Preamble[i] > 0:
			return Inconclusive, fmt.Sprintf("the %s sent %s in the clear before TLS began", who, plural.Of(int(f.Preamble[i]), "byte", "bytes"))
		case c.Unidentified[i]:
			return Inconclusive, fmt.Sprintf("what the %s sent is not recognised as TLS", who)
		case f.Unsynced[i]:
			return Inconclusive, fmt.Sprintf("after missing packets the %s's bytes could not be shown to be TLS", who)
		}
	}
	return NoVerdict, ""
}

// conflicting reports whether two versions of the handshake's bytes were seen.
func conflicting(c *decode.Connection) bool {
	for i := range c.TCP {
		s, records := c.TCP[i], c.TLS.Records[i]
		if s.Odd().Conflicts > 0 && (records.Len() == 0 || s.Odd().ConflictOffset < records.Last().End()) {
			return true
		}
	}
	return false
}

// repeatedLate reports whether another version of them may have been seen: they
// came again after the comparison was given up.
func repeatedLate(c *decode.Connection) bool {
	for i, s := range c.TCP {
		if s.Odd().Unchecked > 0 && (s.HeadLost || s.Odd().UncheckedOffset < c.TLS.HandshakesEnd(i)) {
			return true
		}
	}
	return false
}

// resumed takes the verdict of the session's full handshake.
func resumed(c *decode.Connection, x *examiner) (Verdict, string) {
	switch {
	case c.ResumedFrom == nil && c.TLS.Version.Is13():
		return Inconclusive, "resumed session, whose full handshake was not captured or cannot be told: TLS 1.3 encrypts the tickets that link them (--keylog)"
	case c.ResumedFrom == nil:
		return Inconclusive, "resumed session, whose full handshake was not captured"
	}
	v, why := undisputed(c.ResumedFrom, x)
	switch {
	case v != Mutual && v != OneWay:
		return Inconclusive, "resumed session, whose full handshake proves nothing: " + why
	case v == OneWay && c.TLS.MayAskLater:
		return Inconclusive, askedLater
	}
	return v, "resumed session; in its full handshake: " + why
}

const askedLater = "no client certificate in the handshake, but the server may have asked for one behind it, under encryption: the client offers that (post_handshake_auth)"

// byCertificate judges a completed full handshake.
func byCertificate(f *tls.Facts) (Verdict, string) {
	cert := f.ClientCertificate
	switch {
	case cert.Status == tls.Presented && cert.Possession != fact.None && serverProved(f):
		if cert.Basis == fact.Inferred {
			return Mutual, "both sides proved a certificate (inferred from record sizes)"
		}
		return Mutual, "both sides proved a certificate"
	case cert.Status == tls.Presented && cert.Possession == fact.None && cert.Signature.Value == fact.Unknown && cert.Signature.Reason != "":
		return Inconclusive, "the client sent a certificate whose key cannot be read: " + cert.Signature.Reason
	case cert.Status == tls.Presented && cert.Possession == fact.None:
		return Inconclusive, "the client sent a certificate, but did not prove to have its key"
	case cert.Status == tls.Presented && f.ServerCertificate.Basis != fact.None:
		return Inconclusive, "the client sent a certificate, but the server did not prove to have its own key"
	case cert.Status == tls.Presented:
		return Inconclusive, "the client sent a certificate, the server's was not seen"
	case cert.Status != tls.StatusUnknown && f.MayAskLater:
		return Inconclusive, askedLater
	case f.Suite.Anonymous():
		return OneWay, fmt.Sprintf("anonymous cipher suite (%s): neither side has a certificate", f.Suite)
	case cert.Status == tls.Empty:
		return OneWay, "client certificates are optional: the server asked, the client sent none and was accepted"
	case cert.Status == tls.NotRequested:
		return OneWay, "the server does not ask for a client certificate"
	}
	return Inconclusive, "client certificate not known: " + cert.Reason
}

// serverProved reports whether the server showed a certificate and proved its key.
func serverProved(f *tls.Facts) bool {
	cert := f.ServerCertificate
	return cert.Possession != fact.None && (len(cert.Chain) > 0 || cert.Basis == fact.Inferred)
}
