package verify

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// A Certificate is one that a peer showed, read as far as it can be.
type Certificate struct {
	DER    []byte
	SHA256 [32]byte
	// X509 is nil if crypto/x509 refuses the certificate; Problem says why.
	X509    *x509.Certificate
	Problem string
	Key     Key
	// KeyID is the SHA-256 of the SubjectPublicKeyInfo; zero if there is none.
	KeyID [32]byte
	// Signature is the signature's algorithm, such as "ECDSA-SHA256", or its OID.
	Signature string
	// SelfSigned says that the certificate is its own issuer.
	SelfSigned bool
}

// A Key is the kind of a public key.
type Key struct {
	// Name is the algorithm, such as "RSA", or its OID; Curve is that of an
	// elliptic curve key.
	Name, Curve string
	// Bits is the size of the modulus or of the curve; 0 if it is not known.
	Bits int
}

// String returns the key's kind and size, such as "RSA 2048" or "ECDSA P-256".
func (k Key) String() string {
	switch {
	case k.Curve != "":
		return k.Name + " " + k.Curve
	case k.Bits > 0 && k.Name != "Ed25519":
		return fmt.Sprintf("%s %d", k.Name, k.Bits)
	}
	return k.Name
}

// A certificateStore reads each distinct certificate once: many connections
// show the same few.
type certificateStore struct {
	certificates map[[32]byte]*Certificate
	// chains has what was read of chains that several connections share, by the
	// place of the first certificate; and bySums all, by their certificates' hashes.
	chains map[*[]byte][]*Certificate
	bySums map[string][]*Certificate
}

func newCertificateStore() certificateStore {
	return certificateStore{make(map[[32]byte]*Certificate), make(map[*[]byte][]*Certificate), make(map[string][]*Certificate)}
}

// chain returns the certificates of a chain: for the same ones the same slice.
func (s certificateStore) chain(ders [][]byte) []*Certificate {
	if len(ders) == 0 {
		return nil
	}
	if known := s.chains[&ders[0]]; len(known) == len(ders) {
		return known
	}
	var out []*Certificate
	var sums []byte
	for _, der := range ders {
		sum := sha256.Sum256(der)
		cert, ok := s.certificates[sum]
		if !ok {
			cert = readCertificate(der)
			s.certificates[sum] = cert
		}
		out, sums = append(out, cert), append(sums, sum[:]...)
	}
	if known, ok := s.bySums[string(sums)]; ok {
		out = known
	}
	s.chains[&ders[0]], s.bySums[string(sums)] = out, out
	return out
}

func readCertificate(der []byte) *Certificate {
	c := &Certificate{DER: der, SHA256: sha256.Sum256(der)}
	var fields certificateFields
	if _, err := asn1.Unmarshal(der, &fields); err == nil {
		c.KeyID = sha256.Sum256(fields.TBS.PublicKey.Raw)
		c.Key = fields.TBS.PublicKey.kind()
		c.Signature = fields.Algorithm.Algorithm.String()
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.Problem = strings.TrimPrefix(err.Error(), "x509: ")
		return c
	}
	c.X509, c.Key = cert, keyKind(cert, c.Key)
	if cert.SignatureAlgorithm != x509.UnknownSignatureAlgorithm {
		c.Signature = cert.SignatureAlgorithm.String()
	}
	c.SelfSigned = selfSigned(cert)
	return c
}

// certificateFields are those of a certificate (RFC 5280, Section 4.1) that are
// wanted of one that crypto/x509 refuses, for its curve or for a field that
// peers do not look at.
type certificateFields struct {
	TBS struct {
		Version   int `asn1:"optional,explicit,default:0,tag:0"`
		Serial    *big.Int
		Algorithm pkix.AlgorithmIdentifier
		Issuer    asn1.RawValue
		Validity  asn1.RawValue
		Subject   asn1.RawValue
		PublicKey keyFields
	}
	Algorithm pkix.AlgorithmIdentifier
}

type keyFields struct {
	Raw       asn1.RawContent
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

// algorithms and curves are those that crypto/x509 does not know. curves has
// the weak ones too, with their sizes.
var algorithms = map[string]string{
	"1.2.840.113549.1.1.1": "RSA", "1.2.840.113549.1.1.10": "RSA-PSS", "1.2.840.10040.4.1": "DSA", "1.2.840.10045.2.1": "ECDSA",
	"1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65", "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

var curves = map[string]Key{
	"1.2.840.10045.3.1.1": {Curve: "secp192r1", Bits: 192}, "1.3.132.0.31": {Curve: "secp192k1", Bits: 192}, "1.3.132.0.6": {Curve: "secp112r1", Bits: 112},
	"1.3.132.0.7": {Curve: "secp112r2", Bits: 112}, "1.3.132.0.28": {Curve: "secp128r1", Bits: 128}, "1.3.132.0.29": {Curve: "secp128r2", Bits: 128},
	"1.3.132.0.8": {Curve: "secp160r1", Bits: 160}, "1.3.132.0.9": {Curve: "secp160k1", Bits: 160}, "1.3.132.0.30": {Curve: "secp160r2", Bits: 160},
	"1.3.132.0.1": {Curve: "sect163k1", Bits: 163}, "1.3.132.0.2": {Curve: "sect163r1", Bits: 163}, "1.3.132.0.15": {Curve: "sect163r2", Bits: 163},
	"1.3.132.0.24": {Curve: "sect193r1", Bits: 193}, "1.3.132.0.25": {Curve: "sect193r2", Bits: 193},
	"1.3.132.0.32": {Curve: "secp224k1", Bits: 224}, "1.3.132.0.10": {Curve: "secp256k1", Bits: 256},
	"1.3.36.3.3.2.8.1.1.7": {Curve: "brainpoolP256r1", Bits: 256}, "1.3.36.3.3.2.8.1.1.11": {Curve: "brainpoolP384r1", Bits: 384}, "1.3.36.3.3.2.8.1.1.13": {Curve: "brainpoolP512r1", Bits: 512},
}

// kind names the key without looking into it.
func (k *keyFields) kind() Key {
	id := k.Algorithm.Algorithm.String()
	out := Key{Name: cmp.Or(algorithms[id], id)}
	var curve asn1.ObjectIdentifier
	if out.Name != "ECDSA" {
		return out
	}
	if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &curve); err == nil {
		out.Curve, out.Bits = cmp.Or(curves[curve.String()].Curve, curve.String()), curves[curve.String()].Bits
	}
	return out
}

// keyKind names the key that crypto/x509 read; found is what the fields say.
func keyKind(cert *x509.Certificate, found Key) Key {
	switch k := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return Key{Name: cmp.Or(found.Name, "RSA"), Bits: k.N.BitLen()}
	case *ecdsa.PublicKey:
		p := k.Curve.Params()
		return Key{Name: "ECDSA", Curve: p.Name, Bits: p.BitSize}
	case ed25519.PublicKey:
		return Key{Name: "Ed25519", Bits: 256}
	}
	return found
}

// selfSigned reports whether cert is its own issuer. A signature that cannot be
// checked, such as one with SHA-1, is taken for its own then.
func selfSigned(cert *x509.Certificate) bool {
	if string(cert.RawSubject) != string(cert.RawIssuer) {
		return false
	}
	err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure) || errors.Is(err, x509.ErrUnsupportedAlgorithm)
}

// name names a certificate in a message.
func (c *Certificate) name() string {
	if c.X509 == nil {
		return fmt.Sprintf("%x", c.SHA256[:8])
	}
	return clip(cmp.Or(c.X509.Subject.String(), "without a subject"))
}

// clip shortens what peers may have made long, for a message.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// obsoleteHash names the broken hash of the certificate's signature; "" if it
// has none.
func (c *Certificate) obsoleteHash() string {
	for _, hash := range []string{"MD2", "MD5", "SHA1"} {
		if strings.Contains(c.Signature, hash) {
			return strings.Replace(hash, "SHA1", "SHA-1", 1)
		}
	}
	return obsoleteSignatures[c.Signature]
}

// obsoleteSignatures are the broken ones of certificates that crypto/x509
// refuses, by OID.
var obsoleteSignatures = map[string]string{
	"1.2.840.113549.1.1.2": "MD2", "1.2.840.113549.1.1.4": "MD5",
	"1.2.840.113549.1.1.5": "SHA-1", "1.2.840.10040.4.3": "SHA-1", "1.2.840.10045.4.1": "SHA-1", "1.3.14.3.2.29": "SHA-1",
}
