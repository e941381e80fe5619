package tls

import (
	"fmt"
	"slices"
)

// Lengths of TLS 1.3 handshake messages, with their four-byte header
// (RFC 8446, Section 4), as they stand in records of their own.
const (
	lengthEncryptedExtensions = 4 + 2         // the least
	lengthCertificateRequest  = 4 + 1 + 2 + 8 // the least: with signature_algorithms
	lengthEmptyCertificate    = 4 + 1 + 3
	lengthCertificate         = 4 + 1 + 3 + 3 + 150 + 2 // the least: no X.509 certificate is smaller than 150 bytes
	lengthCertificateVerify   = 4 + 2 + 2               // and the signature
	lengthAlert               = 2
	maxPlaintext              = 1 << 14
)

// signatureLengths are those of RSA with usual moduli, Ed25519, Ed448,
// ML-DSA and SLH-DSA. ECDSA signatures vary; see plausibleSignature.
var signatureLengths = []int{64, 114, 128, 192, 256, 384, 512, 768, 1024, 2048,
	2420, 3309, 4627, 7856, 16224, 17088, 29792, 35664, 49856}

// plausibleSignature reports whether a signature may be n bytes long. A DER
// encoded ECDSA signature is two integers of the curve's size, with up to
// two bytes missing from each where they begin with zeros.
func plausibleSignature(n int) bool {
	for _, curve := range []int{28, 32, 48, 66} {
		header := 6
		if curve > 60 {
			header = 7 // the sequence's length takes two bytes
		}
		if n >= header+2*curve-4 && n <= header+2*curve+2 {
			return true
		}
	}
	return slices.Contains(signatureLengths, n)
}

// A flight is what the lengths of one side's encrypted handshake records tell.
type flight struct {
	// records is the number of records that make up the flight.
	records int
	// requested: there is a CertificateRequest (server's flight).
	requested bool
	// psk: there is no certificate at all (server's flight).
	psk bool
	// status is what the client's flight says.
	status CertificateStatus
	// certificateVerify is the index of the CertificateVerify; -1 if none.
	certificateVerify int
}

// A shaper reads handshake messages off record lengths for one suite.
type shaper struct{ suite Suite }

func (s shaper) seal(n int) int            { return n + s.suite.recordOverhead13() }
func (s shaper) finished() int             { return s.seal(4 + s.suite.finishedLength()) }
func (s shaper) isAlert(r Record) bool     { return r.Length == s.seal(lengthAlert) }
func (s shaper) isEmptyCert(r Record) bool { return r.Length == s.seal(lengthEmptyCertificate) }
func (s shaper) isCertificateVerify(r Record) bool {
	return plausibleSignature(r.Length - s.seal(lengthCertificateVerify))
}

// isStatus reports whether r may be the status with which a node goes on with
// the distribution handshake, or refuses to.
func (s shaper) isStatus(r Record) bool {
	n := r.Length - s.seal(0)
	return slices.Contains(statusLengths, n) || slices.Contains(statusRefusals, n)
}

// certificate returns the number of records that a Certificate message takes at
// the start of r, 0 if there is none. One above 16 KiB spans records.
func (s shaper) certificate(r []Record) int {
	for i := range r {
		switch {
		case r[i].Length == s.seal(maxPlaintext):
		case i > 0 && r[i].Length > s.seal(0), r[i].Length >= s.seal(lengthCertificate):
			return i + 1
		default:
			return 0
		}
	}
	return 0
}

// authentication matches Certificate, CertificateVerify, Finished at the start
// of r and returns the number of records; 0 if they do not fit.
func (s shaper) authentication(r []Record) int {
	n := s.certificate(r)
	if n == 0 || len(r) < n+2 || !s.isCertificateVerify(r[n]) || r[n+1].Length != s.finished() {
		return 0
	}
	return n + 2
}

// server reads the server's flight (RFC 8446, Section 2): EncryptedExtensions,
// CertificateRequest if it asks for one, Certificate, CertificateVerify,
// Finished. It reports why if the lengths do not settle it.
func (s shaper) server(r []Record) (flight, string) {
	if len(r) == 0 || r[0].Length < s.seal(lengthEncryptedExtensions) {
		return flight{}, "the server's encrypted handshake is not in the capture"
	}
	if len(r) > 1 && r[1].Length == s.finished() && s.authentication(r[1:]) == 0 {
		return flight{records: 2, psk: true, certificateVerify: -1}, ""
	}
	plain := s.authentication(r[1:])
	asked := 0
	// A full record is the beginning of a longer message, not a request of just that length.
	if len(r) > 1 && r[1].Length >= s.seal(lengthCertificateRequest) && r[1].Length != s.seal(maxPlaintext) {
		asked = s.authentication(r[2:])
	}
	switch {
	case plain > 0 && asked > 0:
		return flight{}, fmt.Sprintf("the server's record sizes fit with and without a certificate request %v", lengths(r, 8))
	case plain > 0:
		return flight{records: 1 + plain, certificateVerify: plain - 1}, ""
	case asked > 0:
		return flight{records: 2 + asked, requested: true, certificateVerify: asked}, ""
	}
	return flight{}, fmt.Sprintf("the server's record sizes do not show single handshake messages %v", lengths(r, 8))
}

// client reads the client's flight: Certificate and CertificateVerify if it was
// asked, Finished.
func (s shaper) client(r []Record) (flight, string) {
	if len(r) == 0 {
		return flight{}, "the client's encrypted handshake is not in the capture"
	}
	if r[0].Length == s.finished() {
		return flight{records: 1, status: NotRequested, certificateVerify: -1}, ""
	}
	if len(r) > 1 && s.isEmptyCert(r[0]) && r[1].Length == s.finished() {
		return flight{records: 2, status: Empty, certificateVerify: -1}, ""
	}
	if n := s.authentication(r); n > 0 {
		return flight{records: n, status: Presented, certificateVerify: n - 2}, ""
	}
	return flight{}, fmt.Sprintf("the client's record sizes do not show single handshake messages %v", lengths(r, 6))
}

// lengths lists the lengths of the first records, as evidence.
func lengths(r []Record, most int) []int {
	out := []int{}
	for _, x := range r[:min(most, len(r))] {
		out = append(out, x.Length)
	}
	return out
}
