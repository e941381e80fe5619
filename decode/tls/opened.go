package tls

import (
	"errors"
	"fmt"

	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/wire"
)

// maxHeld bounds the encrypted records that a direction keeps to be opened with
// a key log: a handshake with long chains, and what shows that it was accepted.
const maxHeld = 64 << 10

// Retain has the stream keep the first encrypted records, for the handshake to
// be opened with what log holds when the directions are combined. It is called
// before any data.
func (s *Stream) Retain(log *secrets.Log) { s.secrets = log }

// hold keeps a part of the body of an encrypted record.
func (s *Stream) hold(b []byte) {
	if s.secrets != nil && !s.lostOnce && s.heldBytes+len(b) <= maxHeld {
		s.holding = append(s.holding, b...)
		s.heldBytes += len(b)
	}
}

// holdRecord files the record that was kept, if it is whole and none before it
// is missing.
func (s *Stream) holdRecord() {
	if s.secrets == nil || s.lostOnce {
		return
	}
	if len(s.holding) != s.record.Length || s.gapped {
		s.heldBytes = maxHeld // what follows cannot be opened either
		return
	}
	s.held = append(s.held, s.holding)
	s.holding = nil
}

// An openedFlight is one side's part of a TLS 1.3 handshake, decrypted.
type openedFlight struct {
	records  int    // the records that it takes
	messages []byte // the messages up to Finished, one after another
	alert    []byte // the alert that came instead; nil if none did
}

// openFlight opens a side's handshake up to its Finished.
func openFlight(s *Stream, suite Suite, secret []byte) (openedFlight, error) {
	var f openedFlight
	opener, err := secrets.NewOpener13(uint16(suite), secret)
	if err != nil {
		return f, err
	}
	for _, body := range s.held {
		kind, plain, err := opener.Open(nil, uint8(TypeApplicationData), uint16(TLS12), body)
		if err != nil {
			return f, err
		}
		f.records++
		switch {
		case ContentType(kind) == TypeHandshake:
			f.messages = append(f.messages, plain...)
		case ContentType(kind) == TypeAlert && len(plain) == 2:
			f.alert = plain
			return f, nil
		default:
			return f, fmt.Errorf("content type %d inside the handshake", kind)
		}
		if find(f.messages, TypeFinished) != nil {
			return f, nil
		}
	}
	return f, errors.New("the handshake is not whole in the capture")
}

// A proof is what the messages of an opened flight say, and what was checked.
type proof struct {
	requested, certificate bool
	chain                  [][]byte
	signature              fact.Fact
}

// check reads the messages of a flight, and checks its CertificateVerify and
// Finished against the transcript, to which it adds them.
func (f openedFlight) check(t *secrets.Transcript, suite Suite, secret []byte, client bool) (proof, error) {
	var p proof
	for rest := f.messages; len(rest) > 0; {
		kind, message, more := split(rest)
		if len(message) < 4 {
			return p, errors.New("a handshake message is cut")
		}
		body := message[4:]
		switch kind {
		case TypeCertificateRequest:
			p.requested = true
		case TypeCertificate:
			chain, err := readCertificate13(body)
			if err != nil {
				return p, err
			}
			p.certificate, p.chain = true, chain
		case TypeCertificateVerify:
			p.signature = checkSignature13(p.chain, suite, client, t, body)
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

func checkSignature13(chain [][]byte, suite Suite, client bool, t *secrets.Transcript, body []byte) fact.Fact {
	if len(chain) == 0 {
		return fact.NoBy(fact.Verified, "a signature without a certificate")
	}
	key, err := secrets.CertificateKey(chain[0])
	if err != nil {
		return fact.UnknownBecause(err.Error())
	}
	_, err = secrets.VerifyCertificateVerify13(key, uint16(suite), client, t, body)
	result, _ := checked(err, fact.None)
	return result
}

// readCertificate13 parses the body of a Certificate message of TLS 1.3
// (RFC 8446, Section 4.4.2) into DER certificates, the sender's own first.
func readCertificate13(body []byte) ([][]byte, error) {
	c := wire.NewCursor(body)
	context := c.Vector8("certificate_request_context")
	context.Rest()
	var chain [][]byte
	for list := c.Vector24("certificate_list"); !list.Empty(); {
		cert := list.Vector24("cert_data")
		chain = append(chain, cert.Rest())
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

// open13 opens both sides' handshake with a key log. It reports false, and why
// in KeyLog, if that is not possible; nothing is claimed of it then.
func (x *combiner) open13() (sf, cf flight, ok bool) {
	f := x.f
	log := x.s.secrets
	if log == nil {
		return sf, cf, false
	}
	keys := log.Lookup(f.Client.Random)
	if keys == nil || keys.ServerHandshake == nil || keys.ClientHandshake == nil {
		f.KeyLog = "no handshake secrets of this connection in the key log"
		return sf, cf, false
	}
	server, err := openFlight(x.s, f.Suite, keys.ServerHandshake)
	if err == nil && server.alert != nil {
		err = errors.New("the server sent an alert inside the handshake")
	}
	if err != nil {
		f.KeyLog = "server's handshake: " + err.Error()
		return sf, cf, false
	}
	client, err := openFlight(x.c, f.Suite, keys.ClientHandshake)
	if err != nil {
		f.KeyLog = "client's handshake: " + err.Error()
		return sf, cf, false
	}
	t := x.hellos13()
	serverProof, err := server.check(t, f.Suite, keys.ServerHandshake, false)
	if err != nil {
		f.KeyLog = "server's handshake: " + err.Error()
		return sf, cf, false
	}
	f.ServerCertificate = ServerCertificate{Basis: fact.Decrypted, Chain: serverProof.chain, Signature: serverProof.signature, Possession: proven(serverProof)}
	if len(serverProof.chain) == 0 {
		f.ServerCertificate.Basis = fact.None
	}
	sf = flight{records: server.records, requested: serverProof.requested, psk: !serverProof.certificate}
	if client.alert != nil {
		f.KeyLog = opened
		f.Alerts = append(f.Alerts, SideAlert{From: RoleClient, Fatal: client.alert[0] == 2, Name: alertName(client.alert[1]), Basis: fact.Decrypted,
			Frame: x.c.sealedOf(TypeApplicationData)[client.records-1].Frame})
		return sf, cf, false
	}
	clientProof, err := client.check(t, f.Suite, keys.ClientHandshake, true)
	if err != nil {
		f.KeyLog, f.ServerCertificate = "client's handshake: "+err.Error(), ServerCertificate{}
		return sf, cf, false
	}
	f.KeyLog = opened
	cf = flight{records: client.records, status: statusOf(sf, clientProof)}
	x.clientProof13(sf, cf, clientProof)
	return sf, cf, true
}

// opened is what KeyLog says if the handshake was opened, and both Finished verify.
const opened = "opened"

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
	c.Frame = x.c.sealedOf(TypeApplicationData)[0].Frame
	c.Status, c.Basis, c.Chain = cf.status, fact.Decrypted, p.chain
	c.Signature, c.Possession = p.signature, proven(p)
	c.Reason = "decrypted with the key log"
	c.Requested = fact.NoBy(fact.Decrypted, "no CertificateRequest in the server's handshake")
	if sf.requested {
		c.Requested = fact.YesBy(fact.Decrypted, "the server sent a CertificateRequest")
	}
}

// accept13 reads with the traffic secrets what the server's first record after
// the client's Finished is. Without them it stays with what sizes tell.
func (x *combiner) accept13(sf flight, finished Record) {
	keys := x.s.secrets.Lookup(x.f.Client.Random)
	if keys.ServerTraffic == nil {
		return
	}
	// OTP 27 and 28 log the two for each other (erlang/otp issue 10698).
	candidates := [][]byte{keys.ServerTraffic}
	if keys.ClientTraffic != nil {
		candidates = append(candidates, keys.ClientTraffic)
	}
	opener, err := secrets.NewOpener13(uint16(x.f.Suite), candidates...)
	if err != nil {
		return
	}
	records := x.s.sealedOf(TypeApplicationData)
	for i := sf.records; i < min(len(records), len(x.s.held)); i++ {
		kind, plain, err := opener.Open(nil, uint8(TypeApplicationData), uint16(TLS12), x.s.held[i])
		if err != nil {
			return
		}
		if !sentAfter(records[i], finished) {
			continue
		}
		x.accepted(kind, plain, records[i])
		return
	}
}

// accepted draws the conclusion from the server's first record after the
// client's Finished.
func (x *combiner) accepted(kind uint8, plain []byte, r Record) {
	f := x.f
	if ContentType(kind) != TypeAlert || len(plain) != 2 {
		f.Established = fact.YesBy(fact.Decrypted, "the server went on after the client's Finished")
		return
	}
	alert := SideAlert{From: RoleServer, Fatal: plain[0] == 2, Name: alertName(plain[1]), Basis: fact.Decrypted, Frame: r.Frame}
	if n := len(f.Alerts); n > 0 && f.Alerts[n-1].Basis == fact.Inferred {
		f.Alerts = f.Alerts[:n-1] // the same, as its size showed it
	}
	f.Alerts = append(f.Alerts, alert)
	if alert.Name == "close_notify" {
		f.Established = fact.UnknownBecause("the server closed the connection without saying whether it accepted")
		return
	}
	f.Established = fact.NoBy(fact.Decrypted, "the server answered with the alert "+alert.Name)
}
