package verify

import (
	"crypto/x509"
	"fmt"
	"time"

	"distproof/decode"
	"distproof/decode/tls"
)

// VerifyStatus is the result of checking a certificate. The words are part of
// the report's format.
type VerifyStatus string

// The results.
const (
	VerifyOK         VerifyStatus = "ok"
	VerifyFailed     VerifyStatus = "failed"
	VerifyNotChecked VerifyStatus = "not-checked"
)

// A Verification is a result and its reason.
type Verification struct {
	Status VerifyStatus
	Reason string
}

// Certificates are the results for one connection.
type Certificates struct {
	Client, Server Verification
	// Expired names certificates that were outside their validity at the time
	// of the packet, whatever their CA.
	Expired []string
}

// checkCertificates verifies the chains of a connection at the time when they
// crossed: what has expired since was good then.
func checkCertificates(c *decode.Connection, cas *x509.CertPool) Certificates {
	if c.TLS == nil {
		return Certificates{}
	}
	f := c.TLS
	at := time.Time{}
	if c.First != 0 {
		at = time.Unix(0, c.First).UTC()
	}
	host := ""
	if f.Client != nil {
		host = f.Client.ServerName
	}
	out := Certificates{
		Client: verifyChain(f.ClientCertificate.Chain, cas, at, "", x509.ExtKeyUsageClientAuth),
		Server: verifyChain(f.ServerCertificate.Chain, cas, at, host, x509.ExtKeyUsageServerAuth),
	}
	if f.ClientCertificate.Status == tls.NotRequested || f.ClientCertificate.Status == tls.Empty {
		out.Client.Reason = "no client certificate"
	}
	if text := outsideValidity(f.ClientCertificate.Chain, at); text != "" {
		out.Expired = append(out.Expired, "the client's certificate "+text)
	}
	if text := outsideValidity(f.ServerCertificate.Chain, at); text != "" {
		out.Expired = append(out.Expired, "the server's certificate "+text)
	}
	return out
}

// verifyChain verifies a chain at a time. The zero time stands for one that the
// capture does not tell: then the chain is held good as of its first day.
func verifyChain(chain [][]byte, cas *x509.CertPool, at time.Time, host string, usage x509.ExtKeyUsage) Verification {
	switch {
	case len(chain) == 0:
		return Verification{VerifyNotChecked, "not visible in the capture"}
	case cas == nil:
		return Verification{VerifyNotChecked, "no CA given (--ca)"}
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return Verification{VerifyNotChecked, "the certificate cannot be parsed: " + err.Error()}
	}
	if at.IsZero() {
		at = leaf.NotBefore
	}
	intermediates := x509.NewCertPool()
	for _, der := range chain[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(cert)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: cas, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return Verification{VerifyFailed, err.Error()}
	}
	return Verification{VerifyOK, ""}
}

// outsideValidity says how a certificate was not valid at a time; "" if it was,
// or if that cannot be told.
func outsideValidity(chain [][]byte, at time.Time) string {
	if len(chain) == 0 || at.IsZero() {
		return ""
	}
	cert, err := x509.ParseCertificate(chain[0])
	switch {
	case err != nil:
		return ""
	case at.After(cert.NotAfter):
		return fmt.Sprintf("expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case at.Before(cert.NotBefore):
		return fmt.Sprintf("is valid from %s on only", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return ""
}
