package verify

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"distproof/decode"
	"distproof/decode/tls"
	"distproof/internal/once"
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
	// Problems are all that is wrong; empty unless the status is VerifyFailed.
	Problems []Problem
}

// A Problem is something for which a certificate does not verify.
type Problem struct {
	Kind ProblemKind
	Text string
	// Severity is that of a peer's accepting the certificate nevertheless.
	Severity Severity
}

// A ProblemKind says what is wrong with a certificate.
type ProblemKind uint8

// The kinds.
const (
	WrongName ProblemKind = iota + 1
	CommonNameOnly
	WrongUsage
	OutsideValidity
	SelfSigned
	NoChain
)

// Certificates are the results for one connection.
type Certificates struct {
	Client, Server Verification
	// ClientChain and ServerChain are what the peers showed, their own first.
	ClientChain, ServerChain []*Certificate
}

// An examiner checks certificates.
type examiner struct {
	store  certificateStore
	chains chainChecker
	// anyHost leaves names out.
	anyHost bool
	// results has those that several connections share.
	results once.Table[resultKey, *Certificates]
}

// A resultKey tells results apart.
type resultKey struct {
	client, server             VerifyStatus
	clientReason, serverReason string
	clientChain, serverChain   **Certificate
	problems                   string
}

// share returns a result that is the same as out, kept once.
func (x *examiner) share(out Certificates) *Certificates {
	first := func(chain []*Certificate) **Certificate {
		if len(chain) == 0 {
			return nil
		}
		return &chain[0]
	}
	key := resultKey{out.Client.Status, out.Server.Status, out.Client.Reason, out.Server.Reason, first(out.ClientChain), first(out.ServerChain), ""}
	if len(out.Client.Problems)+len(out.Server.Problems) > 0 {
		key.problems = fmt.Sprintf("%q", [2][]Problem{out.Client.Problems, out.Server.Problems})
	}
	return x.results.Get(key, func() *Certificates {
		kept := out
		return &kept
	})
}

func newExaminer(cas *x509.CertPool) *examiner {
	return &examiner{store: newCertificateStore(), chains: chainChecker{cas: cas}}
}

// examine verifies the chains of a connection at the time when they crossed:
// what has expired since was good then.
func (x *examiner) examine(c *decode.Connection) *Certificates {
	f := c.TLS
	if f == nil {
		return x.share(Certificates{})
	}
	out := Certificates{ClientChain: x.store.chain(f.ClientCertificate.Chain), ServerChain: x.store.chain(f.ServerCertificate.Chain)}
	at := timeOf(c)
	h := dialledHost(c)
	h.any = x.anyHost
	out.Server = x.verify(out.ServerChain, at, x509.ExtKeyUsageServerAuth, h)
	out.Client = x.verify(out.ClientChain, at, x509.ExtKeyUsageClientAuth, host{})
	if len(out.ServerChain) == 0 {
		out.Server.Reason = notVisible(f)
	}
	if len(out.ClientChain) == 0 {
		out.Client.Reason = notVisible(f)
		if s := f.ClientCertificate.Status; s == tls.NotRequested || s == tls.Empty {
			out.Client.Reason = "no client certificate"
		}
	}
	return x.share(out)
}

// timeOf is when a connection began; zero if the capture does not tell.
func timeOf(c *decode.Connection) time.Time {
	if c.First == 0 {
		return time.Time{}
	}
	return time.Unix(0, c.First).UTC()
}

// notVisible says why there is no certificate to check.
func notVisible(f *tls.Facts) string {
	switch {
	case f.ClientCertificate.Status == tls.Resumed:
		return "not visible: in a resumed session certificates are not shown again"
	case f.Version.Is13():
		return "not visible: TLS 1.3 encrypts certificates, and no key log opened this handshake (--keylog)"
	}
	return "not visible in the capture"
}

// verify checks a chain at a time. The zero time stands for one that the capture
// does not tell: then the chain is held good as of its first day. The zero host
// stands for one that is not known.
func (x *examiner) verify(chain []*Certificate, at time.Time, usage x509.ExtKeyUsage, h host) Verification {
	if len(chain) == 0 {
		return Verification{Status: VerifyNotChecked}
	}
	leaf := chain[0]
	if leaf.X509 == nil {
		return Verification{Status: VerifyNotChecked, Reason: "the certificate cannot be parsed: " + leaf.Problem}
	}
	problems := ownProblems(chain, at, usage, h)
	root, unchecked := "", "no CA given (--ca)"
	if x.chains.cas != nil {
		var err error
		root, err = x.chains.check(chain, at, usage)
		switch hash := obsoleteChain(chain); {
		case err == nil:
			unchecked = ""
		case hash != "":
			unchecked = "signed with " + hash + ", which proves nothing"
		default:
			unchecked = ""
			problems = addChainProblem(problems, chainProblem(chain, err))
		}
	}
	return result(problems, unchecked, checked(h, leaf, usage, root))
}

// addChainProblem adds that no chain was found. Of a self-signed certificate
// that is all there is to say.
func addChainProblem(problems []Problem, text string) []Problem {
	p := Problem{NoChain, text, High}
	for i := range problems {
		if problems[i].Kind == SelfSigned {
			problems[i] = p
			return problems
		}
	}
	return append(problems, p)
}

func result(problems []Problem, unchecked, good string) Verification {
	switch {
	case len(problems) > 0:
		var texts []string
		for _, p := range problems {
			texts = append(texts, p.Text)
		}
		return Verification{VerifyFailed, strings.Join(texts, "; "), problems}
	case unchecked != "":
		return Verification{Status: VerifyNotChecked, Reason: unchecked + "; the packets alone show nothing wrong"}
	}
	return Verification{Status: VerifyOK, Reason: good}
}

// checked says what a verification that is well has looked at.
func checked(h host, leaf *Certificate, usage x509.ExtKeyUsage, root string) string {
	text := fmt.Sprintf("chain to %s; valid at the time; %s", root, usage)
	switch {
	case usage != x509.ExtKeyUsageServerAuth:
		return text
	case h.any:
		return text + "; its names were not checked: the policy accepts any (host_match)"
	case leaf.matches(h) == matchYes:
		return fmt.Sprintf("%s; for %s", text, h)
	case h.name == "":
		return text + "; its names were not checked: the server's host is not known"
	}
	return fmt.Sprintf("%s; its names were not checked: %s cannot be compared", text, h)
}

// ownProblems are those that need no CA to be seen.
func ownProblems(chain []*Certificate, at time.Time, usage x509.ExtKeyUsage, h host) []Problem {
	leaf := chain[0]
	var out []Problem
	switch leaf.matches(h) {
	case matchNo:
		s := High
		if !h.asked {
			// It may have been told to name no server, and then checks none.
			s = Medium
		}
		out = append(out, Problem{WrongName, fmt.Sprintf("it is for %s, not for %s", leaf.names(), h), s})
	case matchCommonName:
		out = append(out, Problem{CommonNameOnly, fmt.Sprintf("only its common name is %s, and that does not count (RFC 9525)", h), Low})
	}
	if !allows(leaf.X509, usage) {
		out = append(out, Problem{WrongUsage, fmt.Sprintf("its extended key usage is %s, without %s", strings.Join(leaf.ExtendedKeyUsage(), ", "), usage), High})
	}
	if text := outsideValidity(leaf.X509, at); text != "" {
		s := High
		if within(at, leaf.X509).Sub(at).Abs() < 24*time.Hour {
			s = Medium // clocks may differ
		}
		out = append(out, Problem{OutsideValidity, "it " + text, s})
	}
	if leaf.SelfSigned && len(chain) == 1 {
		// OTP refuses one that comes alone even where it is one of the CAs itself
		// (ssl_certificate:trusted_cert_and_paths/4, "selfsigned_peer"; OTP issue
		// 8057). A verify_fun may know it all the same.
		out = append(out, Problem{SelfSigned, "it is self-signed, which OTP refuses even if it is in the cacertfile", Medium})
	}
	return out
}

// outsideValidity says how a certificate was not valid at a time; "" if it was,
// or if that cannot be told.
func outsideValidity(cert *x509.Certificate, at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.After(cert.NotAfter):
		return fmt.Sprintf("expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case at.Before(cert.NotBefore):
		return fmt.Sprintf("is not valid before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return ""
}

// KeyUsage lists the key usages by the names of RFC 5280, Section 4.2.1.3.
func (c *Certificate) KeyUsage() []string {
	var out []string
	if c.X509 == nil {
		return nil
	}
	for bit, name := range [...]string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
		"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"} {
		if c.X509.KeyUsage&(1<<bit) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// ExtendedKeyUsage lists the extended key usages by the names of RFC 5280,
// Section 4.2.1.12; others by their OIDs.
func (c *Certificate) ExtendedKeyUsage() []string {
	var out []string
	if c.X509 == nil {
		return nil
	}
	for _, u := range c.X509.ExtKeyUsage {
		out = append(out, u.String())
	}
	for _, id := range c.X509.UnknownExtKeyUsage {
		out = append(out, id.String())
	}
	return out
}
