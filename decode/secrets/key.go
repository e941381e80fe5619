package secrets

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
)

// A Key is the public key of a certificate.
type Key struct {
	public any // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	// pss says that the key is for RSA-PSS alone (RFC 4055, Section 3.1). The
	// parameters that may narrow it further are not looked at.
	pss bool
}

// keyNames are the algorithms and curves that this package cannot compute.
// crypto/mldsa is not part of the standard library yet.
var keyNames = map[string]string{
	"1.2.840.10040.4.1": "DSA", "1.3.101.113": "Ed448",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65", "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
	"1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1", "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1", "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
	"1.3.132.0.10": "secp256k1", "1.2.156.10197.1.301": "SM2",
}

var oidPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}

// A keyInfo is a SubjectPublicKeyInfo (RFC 5280, Section 4.1).
type keyInfo struct {
	Algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	Key asn1.BitString
}

// CertificateKey returns the public key of a DER certificate. It reads no more
// of the certificate than it must: crypto/x509 refuses some that peers accept.
//
// The error is [ErrUnsupported] if the key is of a kind that is not known here,
// and [ErrMalformed] if it cannot be found or read.
func CertificateKey(der []byte) (Key, error) {
	info, err := findKeyInfo(der)
	if err != nil {
		return Key{}, fmt.Errorf("certificate: %w: %w", ErrMalformed, err)
	}
	var spki keyInfo
	if _, err := asn1.Unmarshal(info, &spki); err != nil {
		return Key{}, fmt.Errorf("public key: %w: %w", ErrMalformed, err)
	}
	if spki.Algorithm.ID.Equal(oidPSS) {
		public, err := x509.ParsePKCS1PublicKey(spki.Key.RightAlign())
		if err != nil {
			return Key{}, fmt.Errorf("RSA-PSS key: %w: %w", ErrMalformed, err)
		}
		return Key{public: public, pss: true}, nil
	}
	if name := spki.unsupported(); name != "" {
		return Key{}, fmt.Errorf("%s key: %w", name, ErrUnsupported)
	}
	public, err := x509.ParsePKIXPublicKey(info)
	if err != nil {
		return Key{}, fmt.Errorf("public key %s: %w: %w", spki.Algorithm.ID, ErrUnsupported, err)
	}
	switch public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return Key{public: public}, nil
	}
	return Key{}, fmt.Errorf("public key %s: %w", spki.Algorithm.ID, ErrUnsupported)
}

// unsupported names the key's algorithm or curve if it is known and cannot be
// computed.
func (k *keyInfo) unsupported() string {
	if name := keyNames[k.Algorithm.ID.String()]; name != "" {
		return name
	}
	var curve asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &curve); err != nil {
		return ""
	}
	return keyNames[curve.String()]
}

// findKeyInfo returns the SubjectPublicKeyInfo of a certificate.
func findKeyInfo(der []byte) ([]byte, error) {
	const (
		fieldsBefore = 5 // serialNumber, signature, issuer, validity, subject
		versionTag   = 0
	)
	rest := der
	var v asn1.RawValue
	for range 2 { // into Certificate, into TBSCertificate
		if _, err := asn1.Unmarshal(rest, &v); err != nil {
			return nil, err
		}
		if v.Class != asn1.ClassUniversal || v.Tag != asn1.TagSequence {
			return nil, fmt.Errorf("tag %d is not that of a sequence", v.Tag)
		}
		rest = v.Bytes
	}
	fields := fieldsBefore + 1
	for i := 0; i < fields; i++ {
		var err error
		v = asn1.RawValue{}
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return nil, err
		}
		if i == 0 && v.Class == asn1.ClassContextSpecific && v.Tag == versionTag {
			fields++
		}
	}
	return v.FullBytes, nil
}
