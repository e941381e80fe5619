package tls

// sealedLength returns the length field of the record that carries n plaintext
// bytes under version v and suite s, without padding beyond what the cipher
// needs, and whether that length tells n exactly. Block ciphers round up, so
// that a length stands for many plaintexts; it is 0 if the suite is not known
// well enough.
func sealedLength(v Version, s Suite, n int) (length int, exact bool) {
	if v.Is13() {
		return n + s.recordOverhead13(), true
	}
	switch {
	case s.has("_CCM_8"):
		return 8 + n + 8, true // RFC 6655: explicit nonce and short tag
	case s.has("_GCM_") || s.has("_CCM"):
		return 8 + n + 16, true // RFC 5288, RFC 6655: explicit nonce and tag
	case s.has("_CHACHA20_"):
		return n + 16, true // RFC 7905: no explicit nonce
	case s.has("_CBC_"):
		return cbcLength(v, s, n), false
	}
	return 0, false
}

// cbcLength is for MAC-then-encrypt with the least padding (RFC 5246, Section
// 6.2.3.2; before TLS 1.1 there is no explicit IV). OTP does not negotiate
// encrypt-then-MAC.
func cbcLength(v Version, s Suite, n int) int {
	block, mac := 16, 20
	if s.has("DES_") || s.has("_IDEA_") {
		block = 8
	}
	switch {
	case s.has("_CBC_SHA384"):
		mac = 48
	case s.has("_CBC_SHA256"):
		mac = 32
	}
	length := (n + mac + block) / block * block // at least one byte of padding
	if v >= TLS11 {
		length += block
	}
	return length
}
