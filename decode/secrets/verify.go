package secrets

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"errors"
	"fmt"

	"distproof/decode/wire"
)

// What is wrong with a handshake message, besides [ErrUnsupported].
var (
	// ErrSignature says that a signature was checked and is wrong.
	ErrSignature = errors.New("wrong signature")
	// ErrFinished says that a Finished message was checked and is wrong: the
	// peers did not agree on the handshake, or on the secret.
	ErrFinished = errors.New("wrong Finished message")
	// ErrMalformed says that something cannot be read.
	ErrMalformed = errors.New("malformed")
)

// VerifyServerKeyExchange checks the signature of a ServerKeyExchange message
// of TLS 1.0 to 1.2, given its body, with the key of the server's certificate
// (RFC 5246, Section 7.4.3; RFC 8422, Section 5.4). Nil means that the owner of
// the key answered this client's random.
func VerifyServerKeyExchange(k Key, version, suite uint16, clientRandom, serverRandom [32]byte, body []byte) (Scheme, error) {
	s, err := suite12(version, suite)
	if err != nil {
		return 0, err
	}
	c := wire.NewCursor(body)
	switch s.kx {
	case kxECDHE:
		const namedCurve = 3
		if kind := c.Uint8("curve_type"); kind != namedCurve && c.Err() == nil {
			return 0, fmt.Errorf("explicit curve parameters: %w", ErrUnsupported)
		}
		c.Uint16("namedcurve")
		skip(c.Vector8("point"))
	case kxDHE:
		skip(c.Vector16("dh_p"))
		skip(c.Vector16("dh_g"))
		skip(c.Vector16("dh_Ys"))
	case kxAnonymous:
		return 0, fmt.Errorf("anonymous key exchange: %w", ErrUnsupported)
	default:
		return 0, fmt.Errorf("key exchange without a signature: %w", ErrUnsupported)
	}
	params := body[:len(body)-c.Len()]
	scheme, signature, err := readSignature(c, version, k)
	if err != nil {
		return scheme, err
	}
	content := append(clientRandom[:], serverRandom[:]...)
	return scheme, scheme.verify(k, append(content, params...), signature)
}

// VerifyCertificateVerify12 checks a CertificateVerify message of TLS 1.0 to
// 1.2, given its body, with the key of the client's certificate (RFC 5246,
// Section 7.4.8). The transcript ends with the message before. Nil means that
// the owner of the key saw this handshake and took the client's part in it.
func VerifyCertificateVerify12(k Key, version uint16, t *Transcript, body []byte) (Scheme, error) {
	if err := check12(version); err != nil {
		return 0, err
	}
	scheme, signature, err := readSignature(wire.NewCursor(body), version, k)
	if err != nil {
		return scheme, err
	}
	content, err := t.bytes()
	if err != nil {
		return scheme, err
	}
	return scheme, scheme.verify(k, content, signature)
}

// VerifyCertificateVerify13 is the same for TLS 1.3, where both sides send the
// message (RFC 8446, Section 4.4.3).
func VerifyCertificateVerify13(k Key, suite uint16, client bool, t *Transcript, body []byte) (Scheme, error) {
	p, err := suite13(suite)
	if err != nil {
		return 0, err
	}
	scheme, signature, err := readSignature(wire.NewCursor(body), tls12, k)
	if err != nil {
		return scheme, err
	}
	if err := scheme.check13(k); err != nil {
		return scheme, err
	}
	messages, err := t.bytes()
	if err != nil {
		return scheme, err
	}
	return scheme, scheme.verify(k, signedContent13(client, digestOf(p.prf, messages)), signature)
}

// signedContent13 is what a CertificateVerify of TLS 1.3 signs.
func signedContent13(client bool, transcriptHash []byte) []byte {
	const spaces = 64
	var b []byte
	for range spaces {
		b = append(b, ' ')
	}
	if client {
		b = append(b, "TLS 1.3, client CertificateVerify\x00"...)
	} else {
		b = append(b, "TLS 1.3, server CertificateVerify\x00"...)
	}
	return append(b, transcriptHash...)
}

// VerifyFinished12 checks a Finished message of TLS 1.0 to 1.2, given its body
// (RFC 5246, Section 7.4.9). The transcript ends with the message before. Nil
// means that the sender, and whoever accepted it, had the master secret and saw
// this handshake.
func VerifyFinished12(version, suite uint16, master []byte, client bool, t *Transcript, body []byte) error {
	s, err := suite12(version, suite)
	if err != nil {
		return err
	}
	messages, err := t.bytes()
	if err != nil {
		return err
	}
	h, label := s.prf, "server finished"
	if version < tls12 {
		h = crypto.MD5SHA1
	}
	if client {
		label = "client finished"
	}
	const length = 12 // of every suite that is known here
	return compareFinished(prf(version, s.prf, master, label, digestOf(h, messages), length), body)
}

// VerifyFinished13 is the same for TLS 1.3, given the handshake traffic secret
// of the sender (RFC 8446, Section 4.4.4).
func VerifyFinished13(suite uint16, secret []byte, t *Transcript, body []byte) error {
	p, err := suite13(suite)
	if err != nil {
		return err
	}
	messages, err := t.bytes()
	if err != nil {
		return err
	}
	key, err := finishedKey(p.prf, secret)
	if err != nil {
		return err
	}
	mac := hmac.New(p.prf.New, key)
	mac.Write(digestOf(p.prf, messages))
	return compareFinished(mac.Sum(nil), body)
}

func compareFinished(want, got []byte) error {
	if !hmac.Equal(want, got) {
		return ErrFinished
	}
	return nil
}

func skip(c wire.Cursor) { c.Rest() }

// readSignature reads a DigitallySigned to the end of the message (RFC 5246,
// Section 4.7). Before TLS 1.2 the key says what the scheme is.
func readSignature(c wire.Cursor, version uint16, k Key) (Scheme, []byte, error) {
	var scheme Scheme
	switch _, isRSA := k.public.(*rsa.PublicKey); {
	case version >= tls12:
		scheme = Scheme(c.Uint16("algorithm"))
	case isRSA:
		scheme = rsaMD5SHA1
	default:
		scheme = ecdsaSHA1
	}
	v := c.Vector16("signature")
	signature := v.Rest()
	c.End("message")
	if err := c.Err(); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if version >= tls12 && scheme == rsaMD5SHA1 { // our number, not one of the protocol
		return 0, nil, fmt.Errorf("signature scheme 0x%04x: %w", uint16(scheme), ErrUnsupported)
	}
	return scheme, signature, nil
}
