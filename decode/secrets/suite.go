package secrets

import (
	"crypto"
	"errors"
	"fmt"
)

// ErrUnsupported says that something cannot be computed: not that it is wrong.
var ErrUnsupported = errors.New("not supported")

// The protocol versions (RFC 8446, Appendix D).
const (
	tls10 = 0x0301
	tls11 = 0x0302
	tls12 = 0x0303
)

// A cipherKind is how a suite protects records.
type cipherKind uint8

const (
	rc4HMAC cipherKind = iota
	desCBC             // 3DES
	aesCBC
	aesGCM
	aesCCM
	chacha20
)

// A protection is what a suite does with records.
type protection struct {
	kind cipherKind
	key  int         // bytes of the key
	tag  int         // bytes of an AEAD's tag
	mac  crypto.Hash // of the HMAC; zero with an AEAD
	// prf is the hash of the key schedule and of the transcript, from TLS 1.2.
	prf crypto.Hash
}

// A keyExchange is what the server's key exchange message carries.
type keyExchange uint8

const (
	kxUnsigned  keyExchange = iota // no signature, or no message
	kxECDHE                        // signed elliptic curve parameters
	kxDHE                          // signed finite field parameters
	kxAnonymous                    // parameters that nobody signed
)

// A suite is a cipher suite as far as this package needs it.
type suite struct {
	protection
	kx keyExchange
}

// columns are the protections of the table below.
var columns = [...]protection{
	{kind: rc4HMAC, key: 16, mac: crypto.SHA1, prf: crypto.SHA256},  // RC4_128_SHA
	{kind: desCBC, key: 24, mac: crypto.SHA1, prf: crypto.SHA256},   // 3DES_EDE_CBC_SHA
	{kind: aesCBC, key: 16, mac: crypto.SHA1, prf: crypto.SHA256},   // AES_128_CBC_SHA
	{kind: aesCBC, key: 32, mac: crypto.SHA1, prf: crypto.SHA256},   // AES_256_CBC_SHA
	{kind: aesCBC, key: 16, mac: crypto.SHA256, prf: crypto.SHA256}, // AES_128_CBC_SHA256
	{kind: aesCBC, key: 32, mac: crypto.SHA256, prf: crypto.SHA256}, // AES_256_CBC_SHA256
	{kind: aesCBC, key: 32, mac: crypto.SHA384, prf: crypto.SHA384}, // AES_256_CBC_SHA384
	{kind: aesGCM, key: 16, tag: 16, prf: crypto.SHA256},            // AES_128_GCM_SHA256
	{kind: aesGCM, key: 32, tag: 16, prf: crypto.SHA384},            // AES_256_GCM_SHA384
	{kind: aesCCM, key: 16, tag: 16, prf: crypto.SHA256},            // AES_128_CCM
	{kind: aesCCM, key: 32, tag: 16, prf: crypto.SHA256},            // AES_256_CCM
	{kind: aesCCM, key: 16, tag: 8, prf: crypto.SHA256},             // AES_128_CCM_8
	{kind: aesCCM, key: 32, tag: 8, prf: crypto.SHA256},             // AES_256_CCM_8
	{kind: chacha20, key: 32, tag: 16, prf: crypto.SHA256},          // CHACHA20_POLY1305_SHA256
}

// suites12 are the suites of TLS 1.0 to 1.2 (IANA TLS Cipher Suites registry).
var suites12 = func() map[uint16]suite {
	all := make(map[uint16]suite)
	for _, row := range []struct {
		kx  keyExchange
		ids [len(columns)]uint16
	}{
		// In the order of columns; 0 where there is no such suite.
		/* RSA */ {kxUnsigned, [...]uint16{0x0005, 0x000a, 0x002f, 0x0035, 0x003c, 0x003d, 0, 0x009c, 0x009d, 0xc09c, 0xc09d, 0xc0a0, 0xc0a1, 0}},
		/* DHE_RSA */ {kxDHE, [...]uint16{0, 0x0016, 0x0033, 0x0039, 0x0067, 0x006b, 0, 0x009e, 0x009f, 0xc09e, 0xc09f, 0xc0a2, 0xc0a3, 0xccaa}},
		/* DHE_DSS */ {kxDHE, [...]uint16{0, 0x0013, 0x0032, 0x0038, 0x0040, 0x006a, 0, 0x00a2, 0x00a3, 0, 0, 0, 0, 0}},
		/* ECDHE_ECDSA */ {kxECDHE, [...]uint16{0xc007, 0xc008, 0xc009, 0xc00a, 0xc023, 0, 0xc024, 0xc02b, 0xc02c, 0xc0ac, 0xc0ad, 0xc0ae, 0xc0af, 0xcca9}},
		/* ECDHE_RSA */ {kxECDHE, [...]uint16{0xc011, 0xc012, 0xc013, 0xc014, 0xc027, 0, 0xc028, 0xc02f, 0xc030, 0, 0, 0, 0, 0xcca8}},
		/* ECDH_ECDSA */ {kxUnsigned, [...]uint16{0xc002, 0xc003, 0xc004, 0xc005, 0xc025, 0, 0xc026, 0xc02d, 0xc02e, 0, 0, 0, 0, 0}},
		/* ECDH_RSA */ {kxUnsigned, [...]uint16{0xc00c, 0xc00d, 0xc00e, 0xc00f, 0xc029, 0, 0xc02a, 0xc031, 0xc032, 0, 0, 0, 0, 0}},
		/* DH_anon */ {kxAnonymous, [...]uint16{0, 0x001b, 0x0034, 0x003a, 0x006c, 0x006d, 0, 0x00a6, 0x00a7, 0, 0, 0, 0, 0}},
		/* ECDH_anon */ {kxAnonymous, [...]uint16{0xc016, 0xc017, 0xc018, 0xc019, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		/* PSK */ {kxUnsigned, [...]uint16{0x008a, 0x008b, 0x008c, 0x008d, 0x00ae, 0, 0x00af, 0x00a8, 0x00a9, 0xc0a4, 0xc0a5, 0xc0a8, 0xc0a9, 0xccab}},
		/* DHE_PSK */ {kxUnsigned, [...]uint16{0x008e, 0x008f, 0x0090, 0x0091, 0x00b2, 0, 0x00b3, 0x00aa, 0x00ab, 0xc0a6, 0xc0a7, 0xc0aa, 0xc0ab, 0xccad}},
		/* RSA_PSK */ {kxUnsigned, [...]uint16{0x0092, 0x0093, 0x0094, 0x0095, 0x00b6, 0, 0x00b7, 0x00ac, 0x00ad, 0, 0, 0, 0, 0xccae}},
		/* ECDHE_PSK */ {kxUnsigned, [...]uint16{0xc033, 0xc034, 0xc035, 0xc036, 0xc037, 0, 0xc038, 0xd001, 0xd002, 0xd005, 0, 0xd003, 0, 0xccac}},
	} {
		for i, id := range row.ids {
			if id != 0 {
				all[id] = suite{columns[i], row.kx}
			}
		}
	}
	return all
}()

// suites13 are the suites of TLS 1.3 (RFC 8446, Appendix B.4).
var suites13 = map[uint16]protection{
	0x1301: {kind: aesGCM, key: 16, tag: 16, prf: crypto.SHA256},
	0x1302: {kind: aesGCM, key: 32, tag: 16, prf: crypto.SHA384},
	0x1303: {kind: chacha20, key: 32, tag: 16, prf: crypto.SHA256},
	0x1304: {kind: aesCCM, key: 16, tag: 16, prf: crypto.SHA256},
	0x1305: {kind: aesCCM, key: 16, tag: 8, prf: crypto.SHA256},
}

func suite12(version, id uint16) (suite, error) {
	if err := check12(version); err != nil {
		return suite{}, err
	}
	s, ok := suites12[id]
	if !ok {
		return suite{}, fmt.Errorf("cipher suite 0x%04x is %w", id, ErrUnsupported)
	}
	return s, nil
}

func suite13(id uint16) (protection, error) {
	s, ok := suites13[id]
	if !ok {
		return protection{}, fmt.Errorf("cipher suite 0x%04x of TLS 1.3 is %w", id, ErrUnsupported)
	}
	return s, nil
}

func check12(version uint16) error {
	if version < tls10 || version > tls12 {
		return fmt.Errorf("protocol version 0x%04x is %w", version, ErrUnsupported)
	}
	return nil
}
