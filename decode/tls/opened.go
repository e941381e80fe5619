package tls

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/wire"
)

// opened is what KeyLog says if the handshake was opened as far as it came, and
// its Finished verify.
const opened = "opened"

// unlocked reports whether there are secrets for what both directions carry. If
// not, it says in KeyLog why, if there is a key log at all.
func (x *combiner) unlocked() bool {
	f := x.f
	switch {
	case x.c.secrets == nil || f.Client == nil || f.Server == nil:
		return false
	case x.c.opening == nil && !f.Version.Is13() && x.c.secrets.HandshakeOnly():
		f.KeyLog = fmt.Sprintf("TLS %s has no secrets for the handshake alone", f.Version)
		return false
	case x.c.opening == nil:
		f.KeyLog = "no secrets of this connection in the key log"
		return false
	case x.c.opening.random != f.Client.Random || x.s.opening.suite != f.Suite:
		f.KeyLog = "the hellos are contradictory"
		return false
	}
	return true
}

// result says what was opened of the application data.
func (o *opening) result() Opened {
	if o.stopped == "" && !o.finished {
		return Opened{0, "the handshake could not be opened"}
	}
	return Opened{uint64(o.bytes), o.stopped}
}

// incomplete says why the flight is not there to be checked; "" if it is.
func (o *opening) incomplete(whose string) string {
	switch {
	case errors.Is(o.err, errNoSecret):
		return fmt.Sprintf("no secret for the %s's handshake in the key log", whose)
	case o.err != nil:
		return fmt.Sprintf("%s's handshake: %v", whose, o.err)
	case o.alert == nil && !o.finished:
		return fmt.Sprintf("%s's handshake: not whole in the capture", whose)
	}
	return ""
}

// A proof is what the messages of an opened flight say, and what was checked.
type proof struct {
	requested, certificate bool
	chain                  [][]byte
	signature              fact.Fact
	scheme                 secrets.Scheme
}

// follows has, for a message of a flight of TLS 1.3, those that may come next
// (RFC 8446, Section 2, without early data). The key 0 stands for the beginning.
// What a peer made of messages in any other order is not known.
var follows = map[bool]map[HandshakeType][]HandshakeType{
	true: {
		0:                     {TypeCertificate, TypeFinished},
		TypeCertificate:       {TypeCertificateVerify, TypeFinished}, // which of them depends on the chain
		TypeCertificateVerify: {TypeFinished},
	},
	false: {
		0:                       {TypeEncryptedExtensions},
		TypeEncryptedExtensions: {TypeCertificateRequest, TypeCertificate, TypeFinished},
		TypeCertificateRequest:  {TypeCertificate},
		TypeCertificate:         {TypeCertificateVerify},
		TypeCertificateVerify:   {TypeFinished},
	},
}

// check reads the messages of a flight of TLS 1.3, and checks its
// CertificateVerify and Finished against the transcript, to which it adds them.
func (o *opening) check(t *secrets.Transcript, suite Suite, secret []byte, client bool) (proof, error) {
	var p proof
	var last HandshakeType
	for rest := o.flight; len(rest) > 0; {
		kind, message, more := split(rest)
		if len(message) < 4 {
			return p, errors.New("a handshake message is cut")
		}
		if !slices.Contains(follows[client][last], kind) || last == TypeCertificate && (kind == TypeCertificateVerify) != (len(p.chain) > 0) {
			return p, fmt.Errorf("a message of type %d where it does not belong", kind)
		}
		last = kind
		body := message[4:]
		switch kind {
		case TypeCertificateRequest:
			p.requested = true
		case TypeCertificate:
			chain := o.tables.readChain(&o.tables.chains13, body, readCertificate13)
			if chain.err != nil {
				return p, chain.err
			}
			p.certificate, p.chain = true, chain.certificates
		case TypeCertificateVerify:
			p.signature, p.scheme = o.checkSignature13(p.chain, suite, client, t, body)
		case TypeFinished:
			if err := secrets.VerifyFinished13(uint16(suite), secret, t, body); err != nil {
				return p, err
			}
		}
		t.Add(message)
		rest = more
	}
	return p, nil
}

func (o *opening) checkSignature13(chain [][]byte, suite Suite, client bool, t *secrets.Transcript, body []byte) (fact.Fact, secrets.Scheme) {
	if len(chain) == 0 {
		return fact.NoBy(fact.Verified, "a signature without a certificate"), 0
	}
	key, err := o.tables.keyOf(chain[0])
	if err != nil {
		return fact.UnknownBecause(err.Error()), 0
	}
	scheme, err := secrets.VerifyCertificateVerify13(key, uint16(suite), client, t, body)
	result, _ := checked(err, fact.None)
	return result, scheme
}

// readCertificate13 parses the body of a Certificate message of TLS 1.3
// (RFC 8446, Section 4.4.2) into DER certificates, the sender's own first.
func readCertificate13(t *Tables, body []byte) ([][]byte, error) {
	c := wire.NewCursor(body)
	context := c.Vector8("certificate_request_context")
	context.Rest()
	var chain [][]byte
	for list := c.Vector24("certificate_list"); !list.Empty(); {
		cert := list.Vector24("cert_data")
		chain = append(chain, t.certificate(cert.Rest()))
		extensions := list.Vector16("extensions")
		extensions.Rest()
	}
	c.End("Certificate")
	return chain, c.Err()
}

// hellos13 returns the transcript of the hellos, which cross in the clear.
func (x *combiner) hellos13() *secrets.Transcript {
	t := new(secrets.Transcript)
	_, first, second := split(x.c.clear)
	_, reply, last := split(x.s.clear)
	t.Add(first)
	if x.f.Retried && t.Retry(uint16(x.f.Suite)) != nil {
		t.Miss()
	}
	t.Add(reply)
	t.Add(second)
	t.Add(last)
	return t
}

// open13 reads both sides' handshake with a key log. It reports false, and why
// in KeyLog, if that is not possible; nothing is claimed of it then.
func (x *combiner) open13() (sf, cf flight, ok bool) {
	f := x.f
	if !x.unlocked() {
		return sf, cf, false
	}
	server, client := x.s.opening, x.c.opening
	silent := x.clientSentNone()
	switch f.KeyLog = server.incomplete("server"); {
	case f.KeyLog != "":
	case server.alert != nil:
		f.KeyLog = "server's handshake: an alert inside it"
	case !silent:
		f.KeyLog = client.incomplete("client")
	}
	if f.KeyLog != "" {
		return sf, cf, false
	}
	records := x.c.data
	if len(records) < client.records || len(x.s.data) < server.records {
		f.KeyLog = fmt.Sprintf("more than %d records of handshake", MaxRecords)
		return sf, cf, false
	}
	keys := x.c.secrets.Lookup(f.Client.Random)
	t := x.hellos13()
	serverProof, err := server.check(t, f.Suite, keys.ServerHandshake, false)
	if err == nil && serverProof.certificate == f.Server.PSK {
		err = errors.New("it has a certificate beside a pre-shared key, or neither")
	}
	if err != nil {
		f.KeyLog = "server's handshake: " + err.Error()
		return sf, cf, false
	}
	f.ServerCertificate = ServerCertificate{Basis: fact.Decrypted, Chain: serverProof.chain, Signature: serverProof.signature, Scheme: serverProof.scheme, Possession: proven(serverProof)}
	if len(serverProof.chain) == 0 {
		f.ServerCertificate.Basis = fact.None
	}
	sf = flight{records: server.records, requested: serverProof.requested, psk: !serverProof.certificate}
	if silent {
		f.KeyLog = opened // as far as it came
		return sf, cf, false
	}
	if client.alert != nil {
		f.KeyLog = opened
		f.Alerts = append(f.Alerts, sideAlert(RoleClient, client.alert, records[client.records-1]))
		return sf, cf, false
	}
	clientProof, err := client.check(t, f.Suite, keys.ClientHandshake, true)
	if err == nil && clientProof.certificate != serverProof.requested {
		err = errors.New("it does not answer whether a certificate was asked for")
	}
	if err != nil {
		f.KeyLog, f.ServerCertificate = "client's handshake: "+err.Error(), ServerCertificate{}
		return sf, cf, false
	}
	f.KeyLog = opened
	cf = flight{records: client.records, status: statusOf(sf, clientProof)}
	x.clientProof13(sf, cf, clientProof)
	f.Issued = server.tickets
	return sf, cf, true
}

// clientSentNone reports whether the client sent nothing encrypted, as far as
// the capture goes: it may refuse the server's handshake in the clear.
func (x *combiner) clientSentNone() bool {
	return x.c.sealed == (Sealed{}) && x.c.unheld == "" && !x.c.lostOnce
}

// sideAlert is an alert that was decrypted.
func sideAlert(from Role, alert []byte, r Record) SideAlert {
	return SideAlert{From: from, Fatal: alert[0] == 2, Name: alertName(alert[1]), Basis: fact.Decrypted, Frame: r.Frame}
}

func statusOf(sf flight, p proof) CertificateStatus {
	switch {
	case len(p.chain) > 0:
		return Presented
	case p.certificate:
		return Empty
	case sf.psk:
		return Resumed
	}
	return NotRequested
}

// proven says how possession of the key is known after decryption.
func proven(p proof) fact.Basis {
	switch {
	case p.signature.Is():
		return fact.Verified
	case p.signature.Value == fact.Unknown && p.signature.Reason != "":
		return fact.Decrypted // it is there, but of a kind that cannot be checked
	}
	return fact.None
}

func (x *combiner) clientProof13(sf, cf flight, p proof) {
	c := &x.f.ClientCertificate
	x.f.Flight = x.c.data[0].Frame
	c.Status, c.Basis, c.Chain = cf.status, fact.Decrypted, p.chain
	c.Signature, c.Scheme, c.Possession = p.signature, p.scheme, proven(p)
	c.Reason = "decrypted with the key log"
	c.Requested = fact.NoBy(fact.Decrypted, "no CertificateRequest in the server's handshake")
	if sf.requested {
		c.Requested = fact.YesBy(fact.Decrypted, "the server sent a CertificateRequest")
	}
}

// accept13 reads with the traffic secrets what the server's first record after
// the client's Finished is. Without them it stays with what sizes tell.
func (x *combiner) accept13(finished Record) {
	for _, a := range x.s.opening.answers {
		if sentAfter(a.record, finished) {
			x.accepted(a)
			return
		}
	}
}

// accepted draws the conclusion from the server's first record after the
// client's Finished.
func (x *combiner) accepted(a answer) {
	f := x.f
	if n := len(f.Alerts); n > 0 && f.Alerts[n-1].Basis == fact.Inferred {
		f.Alerts = f.Alerts[:n-1] // the same, or what has the size of one
	}
	switch {
	case a.kind == TypeApplicationData || a.kind == TypeHandshake:
		f.Established = fact.YesBy(fact.Decrypted, "the server went on after the client's Finished")
		return
	case a.kind != TypeAlert || len(a.alert) != 2:
		f.Established = fact.UnknownBecause("the server's first record after the client's Finished is neither data nor an alert")
		return
	}
	alert := sideAlert(RoleServer, a.alert, a.record)
	f.Alerts = append(f.Alerts, alert)
	if alert.Name == "close_notify" {
		f.Established = fact.UnknownBecause("the server closed the connection without saying whether it accepted")
		return
	}
	f.Established = fact.NoBy(fact.Decrypted, "the server answered with the alert "+alert.Name)
}

// open12 checks the Finished of a handshake before TLS 1.3 with a key log. They
// cover every message before them, so that what was read in the clear is what
// their sender saw.
func (x *combiner) open12() {
	f := x.f
	switch {
	case !x.unlocked():
		return
	case x.c.unkept || x.s.unkept:
		f.KeyLog = fmt.Sprintf("the handshake's messages are longer than %d KiB", maxClear>>10)
		return
	}
	_, hello, own := split(x.c.clear)
	flight := serverFlight(x.s.clear)
	t := new(secrets.Transcript)
	t.Add(hello)
	if f.Resumed.Is() {
		// The order is the opposite one (RFC 5246, Section 7.3).
		t.Add(x.s.clear)
		if x.finished12(t, RoleServer) && x.finished12(t, RoleClient) {
			f.KeyLog, f.Resumed.Basis, f.ClientCertificate.Basis, f.ClientCertificate.Requested.Basis = opened, fact.Verified, fact.Verified, fact.Verified
		}
		return
	}
	t.Add(flight)
	t.Add(own)
	if !x.finished12(t, RoleClient) {
		return
	}
	if o := x.s.opening; o.err == nil && o.records == 0 {
		x.upgrade12()
		f.KeyLog = opened // as far as it came: the server sent nothing encrypted
		return
	}
	t.Add(x.s.clear[len(flight):])
	if x.finished12(t, RoleServer) {
		x.upgrade12()
		x.staticPossession()
		f.KeyLog, f.Established = opened, fact.YesBy(fact.Verified, "the server's Finished covers the client's")
	}
}

// finished12 checks one side's Finished against the transcript, to which it adds
// it. If it cannot, it says why in KeyLog. One that is wrong shows that the peers
// saw another handshake than the capture has.
func (x *combiner) finished12(t *secrets.Transcript, who Role) bool {
	f, o := x.f, x.c.opening
	if who == RoleServer {
		o = x.s.opening
	}
	if f.KeyLog = o.incomplete(who.String()); f.KeyLog != "" || o.alert != nil {
		f.KeyLog = cmp.Or(f.KeyLog, who.String()+"'s handshake: an alert inside it")
		return false
	}
	master := x.c.secrets.Lookup(f.Client.Random).Master
	err := secrets.VerifyFinished12(uint16(f.Version), uint16(f.Suite), master, who == RoleClient, t, find(o.flight, TypeFinished))
	if err != nil {
		f.KeyLog = fmt.Sprintf("%s's handshake: %v", who, err)
		if errors.Is(err, secrets.ErrFinished) {
			f.Established = fact.UnknownBecause(f.KeyLog)
		}
		return false
	}
	t.Add(o.flight)
	return true
}

// upgrade12 raises the basis of what the Finished confirm.
func (x *combiner) upgrade12() {
	c, s := &x.f.ClientCertificate, &x.f.ServerCertificate
	if c.Status != StatusUnknown {
		c.Basis = fact.Verified
	}
	if c.Requested.Value != fact.Unknown {
		c.Requested.Basis = fact.Verified
	}
	if s.Basis == fact.None {
		return
	}
	s.Basis = fact.Verified
}

// staticPossession: with static RSA nothing is signed, but only who has the
// certificate's key knows the master secret, and so could make the Finished.
func (x *combiner) staticPossession() {
	s := &x.f.ServerCertificate
	if !x.s.messages.has(TypeServerKeyExchange) && len(s.Chain) > 0 {
		s.Possession = fact.Verified
	}
}
