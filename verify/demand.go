package verify

import (
	"fmt"
	"slices"
	"strings"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tls"
)

// demands has the rules about what a policy asks of a connection beyond what
// all are asked.
func (r *ruler) demands(c *decode.Connection, k Conclusion, v *Certificates) {
	if c.TLS == nil || c.Protocol != decode.DistTLS {
		return
	}
	r.basis(c, k)
	r.floor(c)
	if c.TLS.Established.Is() {
		r.issuers(c, v)
		r.unseen(c, v)
	}
}

// basis finds mutual TLS that is proven only by something weaker than what the
// policy takes.
func (r *ruler) basis(c *decode.Connection, k Conclusion) {
	least := r.options.Policy.Basis
	if k.Verdict != Mutual || least <= fact.Inferred {
		return
	}
	weakest, what := mutualBasis(c, least)
	if weakest >= least {
		return
	}
	r.add(NotProven, Medium, c, fmt.Sprintf("mutual TLS is proven only by what is %s (%s); the policy takes nothing weaker than %s", weakest, what, least),
		Evidence{certificateFrame(c, decode.Client), handshakeOf[decode.Client]}).by("distribution.basis").Fix = unseenFix
}

// mutualBasis returns the weakest of what mutual TLS rests on. That something is
// there, a certificate or an answer, can be observed at best; only signatures
// are verified.
func mutualBasis(c *decode.Connection, least fact.Basis) (weakest fact.Basis, what string) {
	f := c.TLS
	if c.ResumedFrom != nil {
		f = c.ResumedFrom.TLS
	}
	weakest = fact.Verified
	take := func(b, enough fact.Basis, text string) {
		if b < min(least, enough) && b < weakest {
			weakest, what = b, text
		}
	}
	take(f.ClientCertificate.Basis, fact.Observed, "the client's certificate")
	take(f.ServerCertificate.Basis, fact.Observed, "the server's certificate")
	take(f.ClientCertificate.Possession, fact.Verified, "the client's proof of its key")
	take(f.ServerCertificate.Possession, fact.Verified, "the server's proof of its key")
	take(c.TLS.Established.Basis, fact.Observed, "the server's acceptance")
	return weakest, what
}

// floor finds sessions of an older version than the policy takes. Those before
// TLS 1.2 are findings anyway.
func (r *ruler) floor(c *decode.Connection) {
	f, least := c.TLS, r.options.Policy.MinTLS
	switch {
	case least == 0 || f.Version >= least || f.Failure != nil:
	case f.Version == 0:
		r.undecided(WeakTLS, c, "the TLS version is not known, and the policy sets a least one", Evidence{c.FirstFrame, "the connection's first packet"}).by("tls.min_version")
	case f.Established.Is() && f.Version >= tls.TLS12:
		r.add(WeakTLS, High, c, fmt.Sprintf("TLS %s is older than the policy takes: TLS %s is the least", f.Version, least),
			Evidence{frameOf(c, decode.Server, tls.TypeServerHello), "the server's choice"}).by("tls.min_version")
	}
}

// notBy are the rules for a certificate of somebody who may not issue any.
var notBy = [2]Rule{decode.Client: ClientCertNotVerifiable, decode.Server: ServerCertNotVerifiable}

// issuers judges who issued the nodes' certificates.
func (r *ruler) issuers(c *decode.Connection, v *Certificates) {
	p := &r.options.Policy.Certificates
	if len(p.Issuers)+len(p.CAs) == 0 {
		return
	}
	for side, chain := range [2][]*Certificate{v.ClientChain, v.ServerChain} {
		if len(chain) == 0 || chain[0].X509 == nil {
			continue
		}
		evidence := Evidence{certificateFrame(c, side), r.text("the %s's certificate, issued by %s", sides[side], chain[0].issuer())}
		if len(p.Issuers) > 0 && !slices.Contains(p.Issuers, chain[0].X509.Issuer.String()) {
			r.add(notBy[side], High, c, fmt.Sprintf("the %s's certificate was issued by %s, which the policy does not name", sides[side], chain[0].issuer()), evidence).by("certificates.issuers")
		}
		if len(p.CAs) == 0 {
			continue
		}
		switch signed, why := signedByOneOf(chain, p.CAs); signed {
		case matchNo:
			r.add(notBy[side], High, c, fmt.Sprintf("the %s's certificate is not signed by a CA whose fingerprint the policy names", sides[side]), evidence).by("certificates.ca_fingerprints")
		case matchUnknown:
			r.add(NotProven, Medium, c, fmt.Sprintf("whether the %s's certificate is signed by a CA whose fingerprint the policy names cannot be told: %s", sides[side], why), evidence).by("certificates.ca_fingerprints")
		}
	}
}

// signedByOneOf tells whether a chain leads to a CA with one of the
// fingerprints; if that is not known, why. That a certificate is among those
// sent proves nothing: it must have signed. From when to when it was valid is
// another rule's matter.
func signedByOneOf(chain []*Certificate, prints [][32]byte) (match, string) {
	cert := chain[0]
	for range chain {
		if cert.SelfSigned {
			return matchNo, ""
		}
		issuer, err := signer(cert, chain)
		switch {
		case issuer == nil && err != nil:
			return matchUnknown, strings.TrimPrefix(err.Error(), "x509: ")
		case issuer == nil:
			return matchUnknown, fmt.Sprintf("the certificate of %s was not sent", cert.issuer())
		case slices.Contains(prints, issuer.SHA256):
			return matchYes, ""
		}
		cert = issuer
	}
	return matchNo, "" // they signed each other
}

// signer finds the certificate in a chain that signed another one. The error is
// that of one which has the issuer's name.
func signer(cert *Certificate, chain []*Certificate) (*Certificate, error) {
	var failed error
	for _, other := range chain {
		if other == cert || other.X509 == nil || string(other.X509.RawSubject) != string(cert.X509.RawIssuer) {
			continue
		}
		err := cert.X509.CheckSignatureFrom(other.X509)
		if err == nil {
			return other, nil
		}
		failed = err
	}
	return nil, failed
}

// unseen finds certificates of which the policy asks something, and that could
// not be looked at.
func (r *ruler) unseen(c *decode.Connection, v *Certificates) {
	if !r.options.Policy.Certificates.Seen {
		return
	}
	f := c.TLS
	if f.ClientCertificate.Status == tls.Resumed && c.ResumedFrom != nil {
		return // they were shown there, and are judged there
	}
	for side, x := range [2]struct {
		chain  []*Certificate
		result Verification
		shown  bool
	}{
		{v.ClientChain, v.Client, f.ClientCertificate.Status != tls.NotRequested && f.ClientCertificate.Status != tls.Empty},
		{v.ServerChain, v.Server, true},
	} {
		hidden := len(x.chain) == 0 || x.chain[0].X509 == nil || r.options.CAs != nil && x.result.Status == VerifyNotChecked
		if x.shown && hidden {
			r.add(NotProven, Medium, c, fmt.Sprintf("what the policy asks of the %s's certificate cannot be checked: %s", sides[side], x.result.Reason),
				Evidence{certificateFrame(c, side), handshakeOf[side]}).by("certificates.unseen").Fix = unseenFix
		}
	}
}

// encrypted reports whether a connection is shown to be encrypted TLS, whoever
// is at its ends.
func encrypted(c *decode.Connection) bool {
	f := c.TLS
	if c.Protocol != decode.DistTLS || f == nil || f.Failure != nil || f.Renegotiated || c.Disputed || c.InClear {
		return false // renegotiated: with what suite, is not visible
	}
	if v, _ := notOnlyTLS(c); v != NoVerdict {
		return false
	}
	return f.Established.Is() && f.Suite.Encrypts() && !f.Suite.IntegrityOnly() && !conflicting(c) && !repeatedLate(c)
}

// ProvenBy reports whether what shows that a connection is mutual TLS is as
// strong as that.
func ProvenBy(c *decode.Connection, least fact.Basis) bool {
	weakest, _ := mutualBasis(c, least)
	return weakest >= least
}

// CAOf returns the last certificate of a chain up to which each is signed by the
// next; nil if that is the first one.
func CAOf(chain []*Certificate) *Certificate {
	if len(chain) == 0 || chain[0].X509 == nil {
		return nil
	}
	cert := chain[0]
	for range chain {
		next, _ := signer(cert, chain)
		if cert.SelfSigned || next == nil {
			break
		}
		cert = next
	}
	if cert == chain[0] {
		return nil
	}
	return cert
}
