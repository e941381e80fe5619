package secrets

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"fmt"
	"hash"

	// For crypto.Hash.
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// keyBlock returns n bytes of key material (RFC 5246, Section 6.3).
func keyBlock(version uint16, h crypto.Hash, master []byte, client, server [32]byte, n int) []byte {
	return prf(version, h, master, "key expansion", append(server[:], client[:]...), n)
}

// prf is the pseudorandom function of TLS 1.2 with the suite's hash
// (RFC 5246, Section 5), or that of TLS 1.0 and 1.1 (RFC 2246, Section 5).
func prf(version uint16, h crypto.Hash, secret []byte, label string, seed []byte, n int) []byte {
	out := make([]byte, n)
	labelled := append([]byte(label), seed...)
	if version >= tls12 {
		xorPHash(out, h.New, secret, labelled)
		return out
	}
	// The halves overlap by a byte if the length is odd.
	half := (len(secret) + 1) / 2
	xorPHash(out, md5.New, secret[:half], labelled)
	xorPHash(out, sha1.New, secret[len(secret)-half:], labelled)
	return out
}

// xorPHash XORs P_hash(secret, seed) into out (RFC 5246, Section 5).
func xorPHash(out []byte, h func() hash.Hash, secret, seed []byte) {
	mac := hmac.New(h, secret)
	sum := func(parts ...[]byte) []byte {
		mac.Reset()
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(nil)
	}
	for a := sum(seed); len(out) > 0; a = sum(a) {
		block := sum(a, seed)
		n := min(len(block), len(out))
		for i := range n {
			out[i] ^= block[i]
		}
		out = out[n:]
	}
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, Section
// 7.1): all that is derived from a traffic secret.
func expandLabel(h crypto.Hash, secret []byte, label string, n int) ([]byte, error) {
	const prefix = "tls13 "
	info := string([]byte{byte(n >> 8), byte(n), byte(len(prefix) + len(label))}) + prefix + label + "\x00"
	out, err := hkdf.Expand(h.New, secret, info, n)
	if err != nil {
		return nil, fmt.Errorf("derive %q: %w", label, err)
	}
	return out, nil
}

// trafficKeys returns the key and the IV of a traffic secret (Section 7.3).
func trafficKeys(p protection, secret []byte) (key, iv []byte, err error) {
	if key, err = expandLabel(p.prf, secret, "key", p.key); err != nil {
		return nil, nil, err
	}
	iv, err = expandLabel(p.prf, secret, "iv", 12)
	return key, iv, err
}

// nextSecret is the traffic secret behind a KeyUpdate (Section 7.2).
func nextSecret(h crypto.Hash, secret []byte) ([]byte, error) {
	return expandLabel(h, secret, "traffic upd", h.Size())
}

// finishedKey is the key of a Finished message's MAC (Section 4.4.4).
func finishedKey(h crypto.Hash, secret []byte) ([]byte, error) {
	return expandLabel(h, secret, "finished", h.Size())
}
