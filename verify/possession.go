package verify

import (
	"fmt"
	"strings"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tls"
)

// staticKey reports whether the key exchange uses the certificate's key itself.
func staticKey(s tls.Suite) bool {
	name := s.String()
	return strings.HasPrefix(name, "TLS_RSA_WITH_") || strings.HasPrefix(name, "TLS_ECDH_RSA_") || strings.HasPrefix(name, "TLS_ECDH_ECDSA_")
}

// PossessionReason says what shows that a side has its certificate's key, or why
// that is not known.
func PossessionReason(c *decode.Connection, side int) string {
	f := c.TLS
	basis, signature, scheme := f.ClientCertificate.Possession, f.ClientCertificate.Signature, f.ClientCertificate.Scheme
	message := "CertificateVerify"
	if side == decode.Server {
		basis, signature, scheme = f.ServerCertificate.Possession, f.ServerCertificate.Signature, f.ServerCertificate.Scheme
		if !f.Version.Is13() {
			message = "ServerKeyExchange"
		}
	}
	switch {
	case basis == fact.Verified && scheme != 0:
		return fmt.Sprintf("the signature in the %s verifies (%s)", message, scheme)
	case basis == fact.Verified:
		return fmt.Sprintf("the signature in the %s verifies", message)
	case basis == fact.Inferred:
		return fmt.Sprintf("a record has the size of a %s", message)
	case basis == fact.None && signature.Isnt():
		return signature.Reason
	case basis == fact.None:
		return ""
	case side == decode.Server && signature == (fact.Fact{}) && staticKey(f.Suite):
		return "nothing is signed with this cipher suite; but only who has the certificate's key could have made the Finished, which the client accepted"
	case signature.Reason != "":
		return fmt.Sprintf("there is a %s, whose signature was not checked: %s", message, signature.Reason)
	}
	return fmt.Sprintf("there is a %s, whose signature was not checked", message)
}
