package tls

import (
	"distproof/decode/fact"
)

// tls12 reads messages that crossed in the clear (TLS 1.2 and before).
func (x *combiner) tls12() {
	f, c, s := x.f, x.c, x.s
	if d := x.damage(); d != "" {
		x.unknown(d)
		return
	}
	f.Issued = nonzero(append([]Ticket{f.Server.SessionID}, s.tickets...)...)
	clientFinished, serverFinished := finished12(c), finished12(s)
	done := s.messages.has(TypeServerHelloDone)
	if !done && s.ccs && !s.certificate {
		x.resumed12(clientFinished)
		x.open12()
		return
	}
	if s.messages.has(TypeServerKeyExchange) || done || s.certificate {
		f.Resumed = fact.NoBy(fact.Observed, "full handshake")
	} else {
		f.Resumed = fact.UnknownBecause("the server's flight is not whole")
	}
	if s.certificate {
		f.ServerCertificate = ServerCertificate{Basis: fact.Observed, Chain: s.chain.certificates}
	}
	if s.messages.has(TypeServerKeyExchange) && s.certificate {
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
	if f.Established.Is() && len(s.chain.certificates) > 0 && f.ServerCertificate.Possession == fact.None && !f.ServerCertificate.Signature.Isnt() {
		// Static RSA: only who has the key could have made the Finished.
		f.ServerCertificate.Possession = fact.Observed
	}
	x.open12()
	x.afterHandshake12()
}

// finished12 returns the record of the Finished message: the first encrypted
// handshake record; nil if there is none.
func finished12(s *side) *Record {
	if !s.ccs {
		return nil
	}
	return s.firstSealed(TypeHandshake)
}

func (x *combiner) clientCertificate12(serverDone bool) {
	f, c := x.f, x.c
	cert := &f.ClientCertificate
	requested := x.s.messages.has(TypeCertificateRequest)
	switch {
	case requested:
		cert.Requested = fact.YesBy(fact.Observed, "the server sent a CertificateRequest")
	case serverDone:
		cert.Requested = fact.NoBy(fact.Observed, "no CertificateRequest before the ServerHelloDone")
	default:
		cert.Requested = fact.UnknownBecause("the server's flight is not whole")
	}
	exchanged := c.messages.has(TypeClientKeyExchange)
	f.Flight = c.messages.frame(TypeClientKeyExchange)
	switch {
	case c.hello == nil && (requested || !serverDone):
		// What was not seen may have been sent before.
		cert.Reason = "the client's flight is not in the capture from its beginning"
	case c.certificate && len(c.chain.certificates) > 0:
		cert.Status, cert.Basis, cert.Chain = Presented, fact.Observed, c.chain.certificates
		f.Flight = c.messages.frame(TypeCertificate)
		cert.Reason = "the client sent a Certificate"
		if c.messages.has(TypeCertificateVerify) {
			cert.Possession = fact.Observed
		}
	case c.certificate:
		f.Flight = c.messages.frame(TypeCertificate)
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
	for _, r := range x.s.data {
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
	f.Shape = shape(f.Version, f.Suite, x.c.data, x.s.data)
	name := ""
	if f.Client != nil {
		name = f.Client.ServerName
	}
	f.Distribution = f.Established.Is() && f.Shape.distribution(name, x.end.ClosedBy != RoleUnknown)
}
