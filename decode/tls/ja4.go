package tls

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// grease reports whether v is a reserved value that clients send at random
// (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// JA4 returns the client's JA4 fingerprint, which identifies an implementation
// and its configuration, never a person or a node.
func (h *ClientHello) JA4() string {
	var suites, exts []string
	for _, s := range h.Suites {
		if !grease(uint16(s)) {
			suites = append(suites, fmt.Sprintf("%04x", uint16(s)))
		}
	}
	count := 0
	for _, e := range h.Extensions {
		if grease(e) {
			continue
		}
		count++
		if e != extServerName && e != extALPN {
			exts = append(exts, fmt.Sprintf("%04x", e))
		}
	}
	slices.Sort(suites)
	slices.Sort(exts)
	var algs []string
	for _, a := range h.SignatureAlgorithms {
		if !grease(a) {
			algs = append(algs, fmt.Sprintf("%04x", a))
		}
	}
	rest := strings.Join(exts, ",")
	if len(algs) > 0 {
		rest += "_" + strings.Join(algs, ",")
	}
	return fmt.Sprintf("t%s%s%02d%02d%s_%s_%s", ja4Version(h), ja4Target(h), min(len(suites), 99), min(count, 99),
		ja4ALPN(h.ALPN), ja4Hash(strings.Join(suites, ",")), ja4Hash(rest))
}

func ja4Version(h *ClientHello) string {
	v := h.LegacyVersion
	if slices.Contains(h.Extensions, extSupportedVersions) {
		v = 0
	}
	for _, o := range h.Versions {
		if !grease(uint16(o)) {
			v = max(v, o)
		}
	}
	switch v {
	case TLS13:
		return "13"
	case TLS12:
		return "12"
	case TLS11:
		return "11"
	case TLS10:
		return "10"
	case SSL30:
		return "s3"
	}
	return "00"
}

func ja4Target(h *ClientHello) string {
	if slices.Contains(h.Extensions, extServerName) {
		return "d"
	}
	return "i"
}

func ja4ALPN(alpn []string) string {
	if len(alpn) == 0 || alpn[0] == "" {
		return "00"
	}
	first, last := alpn[0][0], alpn[0][len(alpn[0])-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		x := hex.EncodeToString([]byte(alpn[0]))
		return string(x[0]) + string(x[len(x)-1])
	}
	return string(first) + string(last)
}

func alphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

func ja4Hash(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}
