package secrets

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
)

// A Scheme is how a handshake message is signed (RFC 8446, Section 4.2.3). In
// TLS 1.2 it is a hash and a kind of key (RFC 5246, Section 7.4.1.4.1).
type Scheme uint16

// The schemes of TLS 1.0 and 1.1, which have no number. Private use.
const (
	rsaMD5SHA1 Scheme = 0xfe01
	ecdsaSHA1  Scheme = 0x0203
)

// A family is a kind of signature.
type family uint8

const (
	pkcs1 family = iota + 1
	pssRSAE
	pssPSS
	ecdsaAny
	ed25519Pure
)

// A signing says how a scheme signs.
type signing struct {
	name   string
	family family
	hash   crypto.Hash
	// in13 says that TLS 1.3 allows the scheme for a CertificateVerify; with
	// curve, only for keys on that.
	in13  bool
	curve elliptic.Curve
}

// schemes are those that can be computed. TLS 1.2 may combine every hash with
// RSA and ECDSA, some of which have names only there.
var schemes = map[Scheme]signing{
	0x0101:     {name: "rsa_pkcs1_md5", family: pkcs1, hash: crypto.MD5},
	0x0201:     {name: "rsa_pkcs1_sha1", family: pkcs1, hash: crypto.SHA1},
	0x0301:     {name: "rsa_pkcs1_sha224", family: pkcs1, hash: crypto.SHA224},
	0x0401:     {name: "rsa_pkcs1_sha256", family: pkcs1, hash: crypto.SHA256},
	0x0501:     {name: "rsa_pkcs1_sha384", family: pkcs1, hash: crypto.SHA384},
	0x0601:     {name: "rsa_pkcs1_sha512", family: pkcs1, hash: crypto.SHA512},
	ecdsaSHA1:  {name: "ecdsa_sha1", family: ecdsaAny, hash: crypto.SHA1},
	0x0303:     {name: "ecdsa_sha224", family: ecdsaAny, hash: crypto.SHA224},
	0x0403:     {name: "ecdsa_secp256r1_sha256", family: ecdsaAny, hash: crypto.SHA256, in13: true, curve: elliptic.P256()},
	0x0503:     {name: "ecdsa_secp384r1_sha384", family: ecdsaAny, hash: crypto.SHA384, in13: true, curve: elliptic.P384()},
	0x0603:     {name: "ecdsa_secp521r1_sha512", family: ecdsaAny, hash: crypto.SHA512, in13: true, curve: elliptic.P521()},
	0x0804:     {name: "rsa_pss_rsae_sha256", family: pssRSAE, hash: crypto.SHA256, in13: true},
	0x0805:     {name: "rsa_pss_rsae_sha384", family: pssRSAE, hash: crypto.SHA384, in13: true},
	0x0806:     {name: "rsa_pss_rsae_sha512", family: pssRSAE, hash: crypto.SHA512, in13: true},
	0x0807:     {name: "ed25519", family: ed25519Pure, in13: true},
	0x0809:     {name: "rsa_pss_pss_sha256", family: pssPSS, hash: crypto.SHA256, in13: true},
	0x080a:     {name: "rsa_pss_pss_sha384", family: pssPSS, hash: crypto.SHA384, in13: true},
	0x080b:     {name: "rsa_pss_pss_sha512", family: pssPSS, hash: crypto.SHA512, in13: true},
	rsaMD5SHA1: {name: "rsa_pkcs1_md5_sha1", family: pkcs1, hash: crypto.MD5SHA1},
}

// schemeNames are those of schemes that cannot be computed.
var schemeNames = map[Scheme]string{
	0x0202: "dsa_sha1", 0x0302: "dsa_sha224", 0x0402: "dsa_sha256", 0x0502: "dsa_sha384", 0x0602: "dsa_sha512",
	0x0420: "rsa_pkcs1_sha256_legacy", 0x0520: "rsa_pkcs1_sha384_legacy", 0x0620: "rsa_pkcs1_sha512_legacy",
	0x0708: "sm2sig_sm3", 0x0808: "ed448",
	0x081a: "ecdsa_brainpoolP256r1tls13_sha256", 0x081b: "ecdsa_brainpoolP384r1tls13_sha384", 0x081c: "ecdsa_brainpoolP512r1tls13_sha512",
	0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
}

// String returns the scheme's name, "" for zero.
func (s Scheme) String() string {
	if known, ok := schemes[s]; ok {
		return known.name
	}
	if name := schemeNames[s]; name != "" {
		return name
	}
	if s == 0 {
		return ""
	}
	return fmt.Sprintf("signature scheme 0x%04x", uint16(s))
}

// verify checks a signature over content. It returns nil only if the signature
// is one of the key's owner, ErrSignature if it cannot be.
func (s Scheme) verify(k Key, content, signature []byte) error {
	how, ok := schemes[s]
	if !ok {
		return fmt.Errorf("%v: %w", s, ErrUnsupported)
	}
	if err := how.verify(k, content, signature); err != nil {
		return fmt.Errorf("%v: %w", s, err)
	}
	return nil
}

func (how signing) verify(k Key, content, signature []byte) error {
	digest := content
	if how.hash != 0 {
		digest = digestOf(how.hash, content)
	}
	switch public := k.public.(type) {
	case nil:
		return fmt.Errorf("no public key: %w", ErrUnsupported)
	case *rsa.PublicKey:
		return how.verifyRSA(public, k.pss, digest, signature)
	case *ecdsa.PublicKey:
		if how.family == ecdsaAny && ecdsa.VerifyASN1(public, digest, signature) {
			return nil
		}
	case ed25519.PublicKey:
		if how.family == ed25519Pure && ed25519.Verify(public, digest, signature) {
			return nil
		}
	}
	return ErrSignature
}

// verifyRSA checks a signature of an RSA key. A scheme that the kind of key
// forbids is not checked: peers differ in whether they mind.
func (how signing) verifyRSA(public *rsa.PublicKey, pss bool, digest, signature []byte) error {
	var err error
	switch {
	case how.family != pkcs1 && how.family != pssRSAE && how.family != pssPSS:
		return ErrSignature
	case pss != (how.family == pssPSS):
		return fmt.Errorf("not for this kind of RSA key: %w", ErrUnsupported)
	case how.family == pkcs1:
		err = rsa.VerifyPKCS1v15(public, how.hash, digest, signature)
	default:
		err = rsa.VerifyPSS(public, how.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rsa.ErrVerification):
		return ErrSignature
	}
	return fmt.Errorf("%w: %w", ErrUnsupported, err)
}

// check13 says whether TLS 1.3 allows the scheme with the key.
func (s Scheme) check13(k Key) error {
	how, ok := schemes[s]
	if !ok {
		return nil // verify says so
	}
	if !how.in13 {
		return fmt.Errorf("%v is not allowed in TLS 1.3: %w", s, ErrUnsupported)
	}
	if public, ok := k.public.(*ecdsa.PublicKey); ok && how.curve != nil && public.Curve != how.curve {
		return fmt.Errorf("%v with a key on %s is not allowed in TLS 1.3: %w", s, public.Curve.Params().Name, ErrUnsupported)
	}
	return nil
}
