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

// An examiner checks certificates. What is the same for many connections, it finds
// out once: they show a few chains, to those who want a few hosts.
type examiner struct {
	store  certificateStore
	chains chainChecker
	// anyHost leaves names out.
	anyHost bool
	// packets is [examiner.alone]; nil as long as nobody asked for it.
	packets *examiner
	// hidden has the results where there is no chain, by the reason, and checked those
	// for chains; results has what connections have of both.
	hidden  once.Table[string, *Verification]
	checked once.Table[checkKey, *Verification]
	results once.Table[resultKey, *Certificates]
}

// A checkKey has all that the result for a chain depends on.
type checkKey struct {
	chain **Certificate // its first one's place
	usage x509.ExtKeyUsage
	host  host
	when  moment
	built *chainAnswer
}

// A resultKey tells the results for connections apart.
type resultKey struct {
	client, server           *Verification
	clientChain, serverChain **Certificate
}

func newExaminer(cas *x509.CertPool) *examiner {
	return &examiner{store: newCertificateStore(), chains: chainChecker{cas: cas}}
}

// alone returns an examiner that goes by the packets alone, whatever x was told.
func (x *examiner) alone() *examiner {
	if x.chains.cas == nil && !x.anyHost {
		return x
	}
	if x.packets == nil {
		x.packets = newExaminer(nil)
	}
	return x.packets
}

// examine verifies the chains of a connection at the time when they crossed:
// what has expired since was good then. Connections may have the same result: it
// must not be changed.
func (x *examiner) examine(c *decode.Connection) *Certificates {
	f := c.TLS
	if f == nil {
		return x.results.Get(resultKey{}, func() *Certificates { return new(Certificates) })
	}
	client, server := x.store.chain(f.ClientCertificate.Chain), x.store.chain(f.ServerCertificate.Chain)
	at := timeOf(c)
	var key resultKey
	if len(server) > 0 {
		h := dialledHost(c)
		h.any = x.anyHost
		key.server, key.serverChain = x.verify(server, at, x509.ExtKeyUsageServerAuth, h), &server[0]
	} else {
		key.server = x.notChecked(notVisible(f))
	}
	switch s := f.ClientCertificate.Status; {
	case len(client) > 0:
		key.client, key.clientChain = x.verify(client, at, x509.ExtKeyUsageClientAuth, host{}), &client[0]
	case s == tls.NotRequested || s == tls.Empty:
		key.client = x.notChecked("no client certificate")
	default:
		key.client = x.notChecked(notVisible(f))
	}
	return x.results.Get(key, func() *Certificates { return &Certificates{*key.client, *key.server, client, server} })
}

func (x *examiner) notChecked(reason string) *Verification {
	return x.hidden.Get(reason, func() *Verification { return &Verification{Status: VerifyNotChecked, Reason: reason} })
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
func (x *examiner) verify(chain []*Certificate, at time.Time, usage x509.ExtKeyUsage, h host) *Verification {
	leaf, when, built := chain[0], inside, (*chainAnswer)(nil)
	if leaf.X509 != nil {
		when, built = momentOf(leaf.X509, at), x.chains.check(chain, at, usage)
	}
	return x.checked.Get(checkKey{&chain[0], usage, h, when, built}, func() *Verification {
		if leaf.X509 == nil {
			return &Verification{Status: VerifyNotChecked, Reason: "the certificate cannot be parsed: " + leaf.Problem}
		}
		problems, root, unchecked := ownProblems(chain, when, usage, h), "", ""
		switch hash := obsoleteChain(chain); {
		case built == nil:
			unchecked = "no CA given (--ca)"
		case built.err == nil:
			root = built.root
		case hash != "":
			unchecked = "signed with " + hash + ", which proves nothing"
		default:
			problems = addChainProblem(problems, chainProblem(chain, built.err))
		}
		v := result(problems, unchecked, checked(h, leaf, usage, root))
		return &v
	})
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
func ownProblems(chain []*Certificate, when moment, usage x509.ExtKeyUsage, h host) []Problem {
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
	if text := when.outside(leaf.X509); text != "" {
		s := High
		if when == justBefore || when == justAfter {
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

// A moment is where a time is to a certificate's validity.
type moment uint8

const (
	inside     moment = iota // or not known
	justBefore               // by less than a day
	longBefore
	justAfter // by less than a day
	longAfter
)

func momentOf(cert *x509.Certificate, at time.Time) moment {
	if at.IsZero() {
		return inside
	}
	near := within(at, cert).Sub(at).Abs() < 24*time.Hour
	switch late, early := at.After(cert.NotAfter), at.Before(cert.NotBefore); {
	case late && near:
		return justAfter
	case late:
		return longAfter
	case early && near:
		return justBefore
	case early:
		return longBefore
	}
	return inside
}

// within returns the time nearest to at at which cert is valid.
func within(at time.Time, cert *x509.Certificate) time.Time {
	switch {
	case at.Before(cert.NotBefore):
		return cert.NotBefore
	case at.After(cert.NotAfter):
		return cert.NotAfter
	}
	return at
}

// outside says how a certificate was not valid; "" if it was, or if that cannot be
// told.
func (m moment) outside(cert *x509.Certificate) string {
	switch m {
	case justAfter, longAfter:
		return fmt.Sprintf("expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case justBefore, longBefore:
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
