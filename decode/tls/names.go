package tls

import (
	"fmt"
	"strings"
)

// A ContentType is the type of a record (RFC 8446, Section 5.1).
type ContentType uint8

// The content types. TypeHeartbeat is of RFC 6520.
const (
	TypeChangeCipherSpec ContentType = 20
	TypeAlert            ContentType = 21
	TypeHandshake        ContentType = 22
	TypeApplicationData  ContentType = 23
	TypeHeartbeat        ContentType = 24
)

// A HandshakeType is the type of a handshake message (RFC 8446, Section 4;
// RFC 5246, Section 7.4).
type HandshakeType uint8

// The handshake types that facts are read from.
const (
	TypeHelloRequest        HandshakeType = 0
	TypeClientHello         HandshakeType = 1
	TypeServerHello         HandshakeType = 2
	TypeNewSessionTicket    HandshakeType = 4
	TypeHelloRetryRequest   HandshakeType = 6 // TLS 1.3 drafts only
	TypeEncryptedExtensions HandshakeType = 8
	TypeCertificate         HandshakeType = 11
	TypeServerKeyExchange   HandshakeType = 12
	TypeCertificateRequest  HandshakeType = 13
	TypeServerHelloDone     HandshakeType = 14
	TypeCertificateVerify   HandshakeType = 15
	TypeClientKeyExchange   HandshakeType = 16
	TypeFinished            HandshakeType = 20
	TypeKeyUpdate           HandshakeType = 24
)

// A Version is a protocol version as it stands in a hello; zero is unknown.
type Version uint16

// The versions.
const (
	SSL30 Version = 0x0300
	TLS10 Version = 0x0301
	TLS11 Version = 0x0302
	TLS12 Version = 0x0303
	TLS13 Version = 0x0304
)

// Is13 reports whether v is TLS 1.3 or a draft of it (0x7f00 + draft number).
func (v Version) Is13() bool { return v == TLS13 || v>>8 == 0x7f }

// String returns "1.3", "1.2", "1.1", "1.0", "SSL3.0", "1.3-draft18", or "" if
// v is unknown.
func (v Version) String() string {
	switch {
	case v == 0:
		return ""
	case v == SSL30:
		return "SSL3.0"
	case v >= TLS10 && v <= TLS13:
		return fmt.Sprintf("1.%d", v-TLS10)
	case v>>8 == 0x7f:
		return fmt.Sprintf("1.3-draft%d", v&0xff)
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

// alertNames are the alert descriptions of RFC 8446, Section 6, and of the
// versions before it.
var alertNames = map[uint8]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed",
	22: "record_overflow", 30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate",
	42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked",
	45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
	49: "access_denied", 50: "decode_error", 51: "decrypt_error", 60: "export_restriction",
	70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
	86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation",
	109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable",
	112: "unrecognized_name", 113: "bad_certificate_status_response", 114: "bad_certificate_hash_value",
	115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
}

func alertName(d uint8) string {
	if n, ok := alertNames[d]; ok {
		return n
	}
	return fmt.Sprintf("alert %d", d)
}

// groupNames are from the IANA TLS Supported Groups registry.
var groupNames = map[uint16]string{
	1: "sect163k1", 2: "sect163r1", 3: "sect163r2", 4: "sect193r1", 5: "sect193r2", 6: "sect233k1", 7: "sect233r1", 8: "sect239k1",
	9: "sect283k1", 10: "sect283r1", 11: "sect409k1", 12: "sect409r1", 13: "sect571k1", 14: "sect571r1",
	15: "secp160k1", 16: "secp160r1", 17: "secp160r2", 18: "secp192k1", 19: "secp192r1", 20: "secp224k1", 21: "secp224r1", 22: "secp256k1", 23: "secp256r1", 24: "secp384r1", 25: "secp521r1",
	26: "brainpoolP256r1", 27: "brainpoolP384r1", 28: "brainpoolP512r1", 29: "x25519", 30: "x448",
	31: "brainpoolP256r1tls13", 32: "brainpoolP384r1tls13", 33: "brainpoolP512r1tls13",
	256: "ffdhe2048", 257: "ffdhe3072", 258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192",
	512: "MLKEM512", 513: "MLKEM768", 514: "MLKEM1024",
	0x11eb: "SecP256r1MLKEM768", 0x11ec: "X25519MLKEM768", 0x11ed: "SecP384r1MLKEM1024",
}

// GroupName returns the name of a key exchange group, "" for zero.
func GroupName(g uint16) string {
	if n, ok := groupNames[g]; ok {
		return n
	}
	if g == 0 {
		return ""
	}
	return fmt.Sprintf("group 0x%04x", g)
}

// A Suite is a cipher suite (IANA TLS Cipher Suites registry); zero is unknown.
type Suite uint16

// suiteNames holds what OTP, OpenSSL, Go, BoringSSL and Java have negotiated in
// the last decades, without their common prefix.
var suiteNames = map[Suite]string{
	0x0001: "RSA_WITH_NULL_MD5", 0x0002: "RSA_WITH_NULL_SHA", 0x003b: "RSA_WITH_NULL_SHA256",
	0xc001: "ECDH_ECDSA_WITH_NULL_SHA", 0xc006: "ECDHE_ECDSA_WITH_NULL_SHA", 0xc00b: "ECDH_RSA_WITH_NULL_SHA", 0xc010: "ECDHE_RSA_WITH_NULL_SHA", 0xc015: "ECDH_anon_WITH_NULL_SHA",
	0xc0b4: "SHA256_SHA256", 0xc0b5: "SHA384_SHA384", // RFC 9150: integrity only
	0x0004: "RSA_WITH_RC4_128_MD5", 0x0005: "RSA_WITH_RC4_128_SHA", 0x000a: "RSA_WITH_3DES_EDE_CBC_SHA",
	0x0009: "RSA_WITH_DES_CBC_SHA", 0x0007: "RSA_WITH_IDEA_CBC_SHA",
	0x0013: "DHE_DSS_WITH_3DES_EDE_CBC_SHA", 0x0015: "DHE_RSA_WITH_DES_CBC_SHA", 0x0016: "DHE_RSA_WITH_3DES_EDE_CBC_SHA",
	0x0018: "DH_anon_WITH_RC4_128_MD5", 0x001b: "DH_anon_WITH_3DES_EDE_CBC_SHA",
	0x002f: "RSA_WITH_AES_128_CBC_SHA", 0x0032: "DHE_DSS_WITH_AES_128_CBC_SHA", 0x0033: "DHE_RSA_WITH_AES_128_CBC_SHA",
	0x0034: "DH_anon_WITH_AES_128_CBC_SHA", 0x0035: "RSA_WITH_AES_256_CBC_SHA", 0x0038: "DHE_DSS_WITH_AES_256_CBC_SHA",
	0x0039: "DHE_RSA_WITH_AES_256_CBC_SHA", 0x003a: "DH_anon_WITH_AES_256_CBC_SHA",
	0x003c: "RSA_WITH_AES_128_CBC_SHA256", 0x003d: "RSA_WITH_AES_256_CBC_SHA256", 0x0040: "DHE_DSS_WITH_AES_128_CBC_SHA256",
	0x0041: "RSA_WITH_CAMELLIA_128_CBC_SHA", 0x0045: "DHE_RSA_WITH_CAMELLIA_128_CBC_SHA",
	0x0067: "DHE_RSA_WITH_AES_128_CBC_SHA256", 0x006a: "DHE_DSS_WITH_AES_256_CBC_SHA256", 0x006b: "DHE_RSA_WITH_AES_256_CBC_SHA256",
	0x006c: "DH_anon_WITH_AES_128_CBC_SHA256", 0x006d: "DH_anon_WITH_AES_256_CBC_SHA256",
	0x0084: "RSA_WITH_CAMELLIA_256_CBC_SHA", 0x0088: "DHE_RSA_WITH_CAMELLIA_256_CBC_SHA",
	0x008a: "PSK_WITH_RC4_128_SHA", 0x008b: "PSK_WITH_3DES_EDE_CBC_SHA", 0x008c: "PSK_WITH_AES_128_CBC_SHA", 0x008d: "PSK_WITH_AES_256_CBC_SHA",
	0x0090: "DHE_PSK_WITH_AES_128_CBC_SHA", 0x0091: "DHE_PSK_WITH_AES_256_CBC_SHA", 0x0094: "RSA_PSK_WITH_AES_128_CBC_SHA", 0x0095: "RSA_PSK_WITH_AES_256_CBC_SHA",
	0x0096: "RSA_WITH_SEED_CBC_SHA", 0x009a: "DHE_RSA_WITH_SEED_CBC_SHA",
	0x009c: "RSA_WITH_AES_128_GCM_SHA256", 0x009d: "RSA_WITH_AES_256_GCM_SHA384", 0x009e: "DHE_RSA_WITH_AES_128_GCM_SHA256",
	0x009f: "DHE_RSA_WITH_AES_256_GCM_SHA384", 0x00a2: "DHE_DSS_WITH_AES_128_GCM_SHA256", 0x00a3: "DHE_DSS_WITH_AES_256_GCM_SHA384",
	0x00a6: "DH_anon_WITH_AES_128_GCM_SHA256", 0x00a7: "DH_anon_WITH_AES_256_GCM_SHA384",
	0x00a8: "PSK_WITH_AES_128_GCM_SHA256", 0x00a9: "PSK_WITH_AES_256_GCM_SHA384", 0x00aa: "DHE_PSK_WITH_AES_128_GCM_SHA256", 0x00ab: "DHE_PSK_WITH_AES_256_GCM_SHA384",
	0x00ac: "RSA_PSK_WITH_AES_128_GCM_SHA256", 0x00ad: "RSA_PSK_WITH_AES_256_GCM_SHA384",
	0x00ae: "PSK_WITH_AES_128_CBC_SHA256", 0x00af: "PSK_WITH_AES_256_CBC_SHA384",
	0x1301: "AES_128_GCM_SHA256", 0x1302: "AES_256_GCM_SHA384", 0x1303: "CHACHA20_POLY1305_SHA256", 0x1304: "AES_128_CCM_SHA256", 0x1305: "AES_128_CCM_8_SHA256",
	0xc002: "ECDH_ECDSA_WITH_RC4_128_SHA", 0xc003: "ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA", 0xc004: "ECDH_ECDSA_WITH_AES_128_CBC_SHA", 0xc005: "ECDH_ECDSA_WITH_AES_256_CBC_SHA",
	0xc007: "ECDHE_ECDSA_WITH_RC4_128_SHA", 0xc008: "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", 0xc009: "ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc00a: "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
	0xc00d: "ECDH_RSA_WITH_3DES_EDE_CBC_SHA", 0xc00e: "ECDH_RSA_WITH_AES_128_CBC_SHA", 0xc00f: "ECDH_RSA_WITH_AES_256_CBC_SHA",
	0xc011: "ECDHE_RSA_WITH_RC4_128_SHA", 0xc012: "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc013: "ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc014: "ECDHE_RSA_WITH_AES_256_CBC_SHA",
	0xc018: "ECDH_anon_WITH_AES_128_CBC_SHA", 0xc019: "ECDH_anon_WITH_AES_256_CBC_SHA",
	0xc023: "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc024: "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", 0xc025: "ECDH_ECDSA_WITH_AES_128_CBC_SHA256", 0xc026: "ECDH_ECDSA_WITH_AES_256_CBC_SHA384",
	0xc027: "ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc028: "ECDHE_RSA_WITH_AES_256_CBC_SHA384", 0xc029: "ECDH_RSA_WITH_AES_128_CBC_SHA256", 0xc02a: "ECDH_RSA_WITH_AES_256_CBC_SHA384",
	0xc02b: "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02c: "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02d: "ECDH_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02e: "ECDH_ECDSA_WITH_AES_256_GCM_SHA384",
	0xc02f: "ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc030: "ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc031: "ECDH_RSA_WITH_AES_128_GCM_SHA256", 0xc032: "ECDH_RSA_WITH_AES_256_GCM_SHA384",
	0xc035: "ECDHE_PSK_WITH_AES_128_CBC_SHA", 0xc036: "ECDHE_PSK_WITH_AES_256_CBC_SHA",
	0xc09c: "RSA_WITH_AES_128_CCM", 0xc09d: "RSA_WITH_AES_256_CCM", 0xc09e: "DHE_RSA_WITH_AES_128_CCM", 0xc09f: "DHE_RSA_WITH_AES_256_CCM",
	0xc0a0: "RSA_WITH_AES_128_CCM_8", 0xc0a1: "RSA_WITH_AES_256_CCM_8", 0xc0a2: "DHE_RSA_WITH_AES_128_CCM_8", 0xc0a3: "DHE_RSA_WITH_AES_256_CCM_8",
	0xc0ac: "ECDHE_ECDSA_WITH_AES_128_CCM", 0xc0ad: "ECDHE_ECDSA_WITH_AES_256_CCM", 0xc0ae: "ECDHE_ECDSA_WITH_AES_128_CCM_8", 0xc0af: "ECDHE_ECDSA_WITH_AES_256_CCM_8",
	0xcca8: "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9: "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xccaa: "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	0xccab: "PSK_WITH_CHACHA20_POLY1305_SHA256", 0xccac: "ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", 0xccad: "DHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
}

// String returns the registered name, or the number if it is not a known one.
func (s Suite) String() string {
	if n, ok := suiteNames[s]; ok {
		return "TLS_" + n
	}
	if s == 0 {
		return ""
	}
	return fmt.Sprintf("TLS_UNKNOWN_0x%04X", uint16(s))
}

func (s Suite) has(part string) bool { return strings.Contains(suiteNames[s], part) }

// A suiteKind is what the name of a suite tells.
type suiteKind struct {
	anonymous, preShared, encrypts, integrityOnly bool
	weaknesses                                    []string
}

// suites has the kinds of all known suites: they are asked for with every
// connection.
var suites = suiteKinds()

func suiteKinds() map[Suite]suiteKind {
	out := make(map[Suite]suiteKind, len(suiteNames))
	for s, name := range suiteNames {
		k := suiteKind{anonymous: s.has("_anon_"), preShared: s.has("PSK_WITH"), integrityOnly: s.has("_WITH_NULL_") || s == 0xc0b4 || s == 0xc0b5}
		k.encrypts = !s.has("NULL") && !k.integrityOnly
		for _, c := range []struct {
			is   bool
			text string
		}{
			{k.anonymous, "anonymous key exchange: neither side is authenticated"},
			{s.has("NULL") || k.integrityOnly, "no encryption"}, {s.has("RC4"), "RC4"}, {s.has("_DES_"), "DES"}, {s.has("3DES"), "3DES"},
			{s.has("_WITH_") && !strings.HasPrefix(name, "ECDHE_") && !strings.HasPrefix(name, "DHE_") && !k.anonymous, "no forward secrecy"},
			{s.has("_CBC_"), "CBC mode"},
		} {
			if c.is {
				k.weaknesses = append(k.weaknesses, c.text)
			}
		}
		out[s] = k
	}
	return out
}

// Anonymous reports whether neither side has a certificate with this suite:
// the server's identity is not proven either.
func (s Suite) Anonymous() bool { return suites[s].anonymous }

// PreShared reports whether peers authenticate by a pre-shared key.
func (s Suite) PreShared() bool { return suites[s].preShared }

// Encrypts reports whether the suite is known to encrypt. Some authenticate
// only (RFC 5246, Appendix A.5; RFC 9150), and what is not known is not claimed.
func (s Suite) Encrypts() bool { return suites[s].encrypts }

// IntegrityOnly reports whether the suite sends plaintext, authenticated.
func (s Suite) IntegrityOnly() bool { return suites[s].integrityOnly }

// Weaknesses names what is weak about the suite, in the order of gravity:
// no encryption worth the name first. The list must not be changed.
func (s Suite) Weaknesses() []string { return suites[s].weaknesses }

// finishedLength is the length of a TLS 1.3 Finished message's verify_data:
// that of the suite's hash (RFC 8446, Section 4.4.4); 0 if s is not of TLS 1.3.
func (s Suite) finishedLength() int {
	switch {
	case s == 0x1302:
		return 48
	case s >= 0x1301 && s <= 0x1305:
		return 32
	}
	return 0
}

// recordOverhead13 is what encryption adds to a message in a TLS 1.3 record
// without padding: the content type byte and the tag (RFC 8446, Section 5.2).
func (s Suite) recordOverhead13() int {
	if s == 0x1305 { // AES_128_CCM_8
		return 1 + 8
	}
	return 1 + 16
}
