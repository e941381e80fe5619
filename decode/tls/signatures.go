package tls

import (
	"errors"
	"slices"
	"sync/atomic"

	"distproof/decode/fact"
	"distproof/decode/secrets"
)

// maxClear bounds the handshake messages that are kept to check signatures
// with. Chains of RSA certificates take some kilobytes.
const maxClear = 64 << 10

// maxRest is about what comes behind a certificate, for which there is room at once.
const maxRest = 512

// keep appends a handshake message to those that a signature covers. A
// HelloRequest is none of them (RFC 5246, Section 7.4.1.1).
func (s *Stream) keep(kind HandshakeType, message []byte) {
	switch {
	case s.dropped:
		if s.damage == "" {
			s.damage = "a handshake message in the clear behind encrypted data"
		}
	case kind == TypeHelloRequest:
	case len(s.clear)+len(message) > maxClear:
		s.clear, s.unkept = nil, true
	case !s.unkept:
		n := len(message)
		if kind == TypeCertificate {
			n += maxRest
		}
		s.clear = append(slices.Grow(s.clear, n), message...)
	}
}

// split returns the first of the messages in b, and the others.
func split(b []byte) (kind HandshakeType, message, rest []byte) {
	if len(b) < 4 {
		return 0, nil, nil
	}
	n := min(4+messageLength(b), len(b))
	return HandshakeType(b[0]), b[:n], b[n:]
}

// find returns the body of the first message of the given type in b; nil if
// there is none.
func find(b []byte, want HandshakeType) []byte {
	_, from := before(b, want)
	if _, message, _ := split(from); len(message) > 4 {
		return message[4:]
	}
	return nil
}

// signatures12 checks the two signatures of a full handshake before TLS 1.3:
// the server's over its key exchange, and the client's over all that was said.
func (x *combiner) signatures12() {
	if p := x.s.signed; p != nil {
		x.f.take(p)
		return
	}
	if x.c.unkept || x.s.unkept || x.f.Client == nil {
		return
	}
	if p := x.s.tried.result(x.c.clear, x.s.clear); p != nil {
		x.f.take(p)
		return
	}
	defer func() { x.s.tried.keep(x.c.clear, x.s.clear, x.f.signatures()) }()
	if chain := x.f.ServerCertificate.Chain; len(chain) > 0 {
		x.serverSignature12(chain[0])
	}
	if chain := x.f.ClientCertificate.Chain; len(chain) > 0 {
		x.clientSignature12(chain[0])
	}
}

// take states the results of checking the signatures.
func (f *Facts) take(p *signatures) {
	c, s := &f.ClientCertificate, &f.ServerCertificate
	c.Signature, c.Scheme, c.Possession = p.client.signature, p.client.scheme, p.client.possession(c.Possession)
	s.Signature, s.Scheme, s.Possession = p.server.signature, p.server.scheme, p.server.possession(s.Possession)
}

// signatures returns the results that are stated.
func (f *Facts) signatures() signatures {
	c, s := &f.ClientCertificate, &f.ServerCertificate
	return signatures{client: signed{c.Signature, c.Scheme}, server: signed{s.Signature, s.Scheme}}
}

// tried has the last result of checking the signatures of a handshake, so that a
// connection and its clones need not check the same ones. It belongs to one direction:
// the other one is always the same. Messages are only ever added to those of either,
// so that their lengths tell which the signatures were checked with.
type tried struct{ last atomic.Pointer[try] }

type try struct {
	client, server int
	signatures
}

// result returns what was found out with these messages; nil if nothing was. t may be
// nil.
func (t *tried) result(client, server []byte) *signatures {
	if t == nil {
		return nil
	}
	if x := t.last.Load(); x != nil && x.client == len(client) && x.server == len(server) {
		return &x.signatures
	}
	return nil
}

// keep keeps what was found out with these messages; t may be nil.
func (t *tried) keep(client, server []byte, s signatures) {
	if t != nil {
		t.last.Store(&try{len(client), len(server), s})
	}
}

func (x *combiner) serverSignature12(der []byte) {
	body := find(x.s.clear, TypeServerKeyExchange)
	if body == nil {
		return // static RSA: nothing is signed
	}
	f, c := x.f, &x.f.ServerCertificate
	key, err := x.tables().keyOf(der)
	if err != nil {
		c.Signature = fact.UnknownBecause(err.Error())
		return
	}
	c.Scheme, err = secrets.VerifyServerKeyExchange(key, uint16(f.Version), uint16(f.Suite), f.Client.Random, f.Server.Random, body)
	c.Signature, c.Possession = checked(err, c.Possession)
}

func (x *combiner) clientSignature12(der []byte) {
	hello, own, signature := clientMessages(x.c.clear)
	if signature == nil {
		return
	}
	c := &x.f.ClientCertificate
	key, err := x.tables().keyOf(der)
	if err != nil {
		c.Signature = fact.UnknownBecause(err.Error())
		return
	}
	flight := serverFlight(x.s.clear)
	x.room.transcript = slices.Grow(x.room.transcript[:0], len(hello)+len(flight)+len(own))
	t := secrets.TranscriptIn(x.room.transcript)
	t.Add(hello)
	t.Add(flight)
	t.Add(own)
	c.Scheme, err = secrets.VerifyCertificateVerify12(key, uint16(x.f.Version), &t, signature)
	c.Signature, c.Possession = checked(err, c.Possession)
}

// clientMessages takes apart what the client sent: its hello, what lies between
// it and the CertificateVerify, and that message's body; nil if there is none.
func clientMessages(b []byte) (hello, own, signature []byte) {
	_, hello, rest := split(b)
	own, from := before(rest, TypeCertificateVerify)
	_, message, _ := split(from)
	if len(message) < 4 {
		return hello, own, nil
	}
	return hello, own, message[4:]
}

// serverFlight returns what the server sent up to its ServerHelloDone: a
// session ticket that follows is not covered by the client's signature.
func serverFlight(b []byte) []byte {
	flight, from := before(b, TypeServerHelloDone)
	_, done, _ := split(from)
	return b[:len(flight)+len(done)]
}

// before returns the messages of b that precede the first of the given type,
// and the others with that one.
func before(b []byte, want HandshakeType) (front, from []byte) {
	for at := b; len(at) > 0; {
		kind, message, rest := split(at)
		if message == nil || kind == want {
			return b[:len(b)-len(at)], at
		}
		at = rest
	}
	return b, nil
}

// checked turns the result of a check into a fact, and how possession of the key
// is known after it. What cannot be checked leaves that as it was.
func checked(err error, before fact.Basis) (fact.Fact, fact.Basis) {
	switch {
	case err == nil:
		return fact.YesBy(fact.Verified, "the signature verifies"), fact.Verified
	case errors.Is(err, secrets.ErrUnsupported):
		return fact.UnknownBecause(err.Error()), before
	}
	return fact.NoBy(fact.Verified, err.Error()), fact.None
}

// withoutCertificate takes back that a side proved the key of its certificate if
// what it sent is none, such as a bare public key (RFC 7250).
func (x *combiner) withoutCertificate() {
	c, s := &x.f.ClientCertificate, &x.f.ServerCertificate
	for _, cert := range []struct {
		chain      [][]byte
		possession *fact.Basis
		signature  *fact.Fact
	}{{c.Chain, &c.Possession, &c.Signature}, {s.Chain, &s.Possession, &s.Signature}} {
		if len(cert.chain) == 0 {
			continue
		}
		if _, err := x.tables().keyOf(cert.chain[0]); errors.Is(err, secrets.ErrMalformed) {
			*cert.possession, *cert.signature = fact.None, fact.UnknownBecause(err.Error())
		}
	}
}
