package verify

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"
)

type pkixExtension = pkix.Extension

var oidAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// A chainChecker builds chains to the CAs that were given.
type chainChecker struct {
	cas     *x509.CertPool
	answers map[chainKey]*chainAnswer
}

// A chainKey names a question about a chain of a [certificateStore].
type chainKey struct {
	chain **Certificate // its first one's place
	usage x509.ExtKeyUsage
}

// A chainAnswer is what came of building a chain, and from when to when that is
// so: many connections show the same few chains.
type chainAnswer struct {
	from, to time.Time
	root     string
	err      error
}

// check builds a chain at a time. What is wrong with the first certificate itself,
// its validity, usage and names, is not looked at: who asks does so. It returns nil
// if there are no CAs.
func (k *chainChecker) check(chain []*Certificate, at time.Time, usage x509.ExtKeyUsage) *chainAnswer {
	if k.cas == nil {
		return nil
	}
	leaf := chain[0].X509
	if at.IsZero() { // not known
		at = leaf.NotBefore
	}
	if !allows(leaf, usage) {
		usage = x509.ExtKeyUsageAny
	}
	key := chainKey{&chain[0], usage}
	if s := k.answers[key]; s != nil && !at.Before(s.from) && !at.After(s.to) {
		return s
	}
	if k.answers == nil {
		k.answers = make(map[chainKey]*chainAnswer)
	}
	k.answers[key] = k.ask(chain, at, usage)
	return k.answers[key]
}

func (k *chainChecker) ask(chain []*Certificate, at time.Time, usage x509.ExtKeyUsage) *chainAnswer {
	pool := x509.NewCertPool()
	shown := []*x509.Certificate{ageless(chain[0].X509)}
	for _, cert := range chain[1:] {
		if cert.X509 != nil {
			pool.AddCert(cert.X509)
			shown = append(shown, cert.X509)
		}
	}
	chains, err := shown[0].Verify(x509.VerifyOptions{Roots: k.cas, Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	answer := &chainAnswer{from: at, to: at, err: err}
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		answer.from, answer.to = span(chains[0])
		answer.root = chains[0][len(chains[0])-1].Subject.String()
	case errors.As(err, &unknown):
		// No CA signed any of them, which no time changes while all are valid.
		if from, to := span(shown); !at.Before(from) && !at.After(to) {
			answer.from, answer.to = from, to
		}
	}
	return answer
}

// ageless returns the same certificate, as if it were always valid. The time at which
// a chain is looked for stays that of the packet: a CA that was renewed is good then,
// though it was not yet when a certificate expired that it signed before.
func ageless(cert *x509.Certificate) *x509.Certificate {
	c := *cert
	c.NotBefore, c.NotAfter = time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	return &c
}

// span returns from when to when all of the certificates are valid.
func span(chain []*x509.Certificate) (from, to time.Time) {
	from, to = chain[0].NotBefore, chain[0].NotAfter
	for _, c := range chain {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	return from, to
}

// allows reports whether a certificate's extended key usage is that, or not
// restricted.
func allows(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range cert.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// chainProblem puts an error of check in the user's words.
func chainProblem(chain []*Certificate, err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the CA's certificate %s was not valid at the time", invalid.Cert.Subject)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "a CA's certificate in its chain does not allow the usage"
	case errors.As(err, &unknown):
		return unknownIssuer(chain, err)
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

func unknownIssuer(chain []*Certificate, err error) string {
	last := chain[0]
	for _, c := range chain[1:] { // as far as the chain goes by its names
		if c.X509 != nil && string(c.X509.RawSubject) == string(last.X509.RawIssuer) {
			last = c
		}
	}
	switch {
	case last.SelfSigned && last == chain[0]:
		return "it is self-signed, and not one of the CAs given (--ca)"
	case strings.Contains(err.Error(), "possibly because of"):
		return fmt.Sprintf("it is not signed by the CA given (--ca) as %s", last.issuer())
	}
	return fmt.Sprintf("unknown CA: its issuer %s is not one of the CAs given (--ca)", last.issuer())
}

// obsoleteChain names a hash that keeps a chain from being checked: crypto/x509
// does not look at signatures made with it. "" if there is none.
func obsoleteChain(chain []*Certificate) string {
	for _, c := range chain {
		if !c.SelfSigned && c.obsoleteHash() != "" {
			return c.obsoleteHash()
		}
	}
	return ""
}
