package verify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tls"
)

// A cause is the likeliest reason for which a handshake failed, and what mends it.
type cause struct{ text, fix string }

// failure says in words why a TLS handshake came to nothing.
func failure(c *decode.Connection, x *examiner) string {
	return ending(c) + causeOf(c, x).suffix()
}

func (k cause) suffix() string {
	if k.text == "" {
		return ""
	}
	return ": " + k.text
}

// ending says who ended the handshake, and how that is known.
func ending(c *decode.Connection) string {
	f := c.TLS
	by, alert := f.Failure.By, f.Failure.Alert
	switch {
	case alert != nil && alert.Basis == fact.Observed && alert.Name != "":
		return fmt.Sprintf("the %s refused with alert %s", by, alert.Name)
	case alert != nil && alert.Name != "":
		return fmt.Sprintf("the %s refused with alert %s (%s)", by, alert.Name, alert.Basis)
	case alert != nil && alert.Basis == fact.Inferred:
		return fmt.Sprintf("the %s refused with an encrypted alert (inferred)", by)
	case alert != nil:
		return fmt.Sprintf("the %s refused with an encrypted alert", by)
	case f.Server == nil && unanswered(c) && impatient(c):
		return "the client gave up before the server answered the ClientHello"
	case f.Server == nil && unanswered(c):
		return "the server never answered the ClientHello"
	case f.Server == nil:
		return fmt.Sprintf("the %s closed the connection after the ClientHello", by)
	}
	other := decode.Client
	if by == tls.RoleClient {
		other = decode.Server
	}
	return fmt.Sprintf("the %s closed the connection during the %s's handshake", by, sides[other])
}

// unanswered reports whether the server sent nothing until the client gave up.
func unanswered(c *decode.Connection) bool {
	return c.TCP[decode.Server].End == 0 && c.TLS.Failure.By == tls.RoleClient
}

// patience is less than nodes wait for an answer: net_setuptime, 7 seconds by default
// (OTP, kernel). Who closes sooner does so for another reason.
const patience = 5 * time.Second

// impatient reports whether the client is known to have closed sooner. That all was
// over by then shows it in whatever order the packets of the end were captured.
func impatient(c *decode.Connection) bool {
	s := &c.TCP[decode.Client]
	return (s.FIN || s.RST) && c.Last-c.First < int64(patience)
}

// causeOf finds the likeliest cause, from what was seen before the end.
func causeOf(c *decode.Connection, x *examiner) cause {
	f := c.TLS
	a := f.Failure.Alert
	switch {
	case a == nil && f.Server == nil && unanswered(c) && impatient(c):
		return cause{fix: givenUpFix}
	case a == nil && f.Server == nil && unanswered(c):
		return cause{"not a TLS listener, or a node that hangs, most likely", noTLSFix}
	case a == nil && f.Server == nil && f.Failure.By == tls.RoleServer:
		return cause{"it does not speak TLS, or its ssl_dist_optfile is not valid, most likely", noTLSFix}
	case a == nil && f.Server != nil && f.Failure.By == tls.RoleClient:
		return cause{fix: givenUpFix}
	case a == nil:
		return cause{}
	case a.Name == "protocol_version" || a.Name == "inappropriate_fallback":
		return cause{"no TLS version in common" + offered(f), versionsFix}
	case f.Server == nil && (a.Name == "handshake_failure" || a.Name == "insufficient_security") || a.Name == "insufficient_security":
		return cause{"no cipher suite, group or signature algorithm in common", ciphersFix}
	case a.Name == "unrecognized_name":
		return cause{fmt.Sprintf("the server has no certificate for %q, the host that the client asked for", clip(serverName(f))), hostFix}
	case a.Name == "internal_error" || a.Name == "unexpected_message" || f.Server == nil:
		return cause{}
	case a.From == tls.RoleServer:
		return refusedByServer(c, a, x.alone())
	}
	return refusedByClient(c, a, x.alone())
}

// offered names the versions that the client would have taken.
func offered(f *tls.Facts) string {
	if f.Client == nil {
		return ""
	}
	versions := f.Client.Versions
	if len(versions) == 0 {
		return fmt.Sprintf(" (the client offers %s at most)", f.Client.LegacyVersion)
	}
	var names []string
	for _, v := range versions {
		if s := v.String(); s != "" && !strings.HasPrefix(s, "0x") {
			names = append(names, s)
		}
	}
	return fmt.Sprintf(" (the client offers %s)", strings.Join(names, ", "))
}

func serverName(f *tls.Facts) string {
	if f.Client == nil {
		return ""
	}
	return f.Client.ServerName
}

// refusedByServer finds what a server disliked of its client.
func refusedByServer(c *decode.Connection, a *tls.SideAlert, x *examiner) cause {
	f := c.TLS
	switch f.ClientCertificate.Status {
	case tls.Empty:
		k := cause{"the client has no certificate, and the server insists on one", certificateFix}
		if a.Basis == fact.Inferred { // it may be the close_notify of one that takes it and then closes
			k.text += ", most likely"
		}
		return k
	case tls.Presented:
		v := x.examine(c)
		k := disliked(a, "server", "client", v.ClientChain, v.Client.Problems)
		if a.Basis == fact.Inferred && k.fix == "" { // it may be the close_notify of one that takes it (inet_tls_dist)
			k.fix = turnedDownFix
		}
		return k
	}
	if k := named(a, "server", "client", nil, nil); k.text != "" {
		return k
	}
	return cause{}
}

// refusedByClient finds what a client disliked of its server. OTP says
// handshake_failure if the certificate is for another host, from OTP 27 on
// bad_certificate (ssl_handshake:path_validation_alert/1, hostname_check_failed).
func refusedByClient(c *decode.Connection, a *tls.SideAlert, x *examiner) cause {
	v := x.examine(c)
	vague := a.Name == "" || a.Name == "handshake_failure" || a.Name == "certificate_unknown" || a.Name == "bad_certificate"
	for _, p := range v.Server.Problems {
		if vague && (p.Kind == WrongName || p.Kind == CommonNameOnly) {
			return cause{fmt.Sprintf("host name mismatch: the certificate is for %s, the client asked for %s", v.ServerChain[0].names(), clip(dialledHost(c).name)), hostFix}
		}
	}
	if a.Name == "handshake_failure" && len(v.ServerChain) == 0 {
		return cause{"the server's certificate is not for the host that the client asked for, most likely", hostFix}
	}
	return disliked(a, "client", "server", v.ServerChain, v.Server.Problems)
}

// disliked says what one side has against the other's certificate.
func disliked(a *tls.SideAlert, who, whose string, chain []*Certificate, problems []Problem) cause {
	if k := named(a, who, whose, chain, problems); k.text != "" {
		return k
	}
	for _, p := range problems {
		fix := map[ProblemKind]string{SelfSigned: selfSignedFix, OutsideValidity: expiredFix, WrongUsage: usageFix}[p.Kind]
		if fix != "" {
			return cause{fmt.Sprintf("the %s's certificate was not accepted, most likely: %s", whose, p.Text), fix}
		}
	}
	return cause{fmt.Sprintf("the %s's certificate was not accepted, most likely", whose), ""}
}

// named finds the cause that an alert names itself (RFC 8446, Section 6.2; OTP
// ssl_handshake:path_validation_alert/1).
func named(a *tls.SideAlert, who, whose string, chain []*Certificate, problems []Problem) cause {
	text := ""
	for _, p := range problems {
		switch {
		case p.Kind == SelfSigned && (a.Name == "bad_certificate" || a.Name == "unknown_ca"):
			return cause{fmt.Sprintf("the %s's certificate is self-signed", whose), selfSignedFix}
		case p.Kind == OutsideValidity && a.Name == "certificate_expired", p.Kind == WrongUsage && a.Name == "unsupported_certificate":
			text = ": " + p.Text
		}
	}
	switch a.Name {
	case "unknown_ca":
		if len(chain) > 0 && chain[0].X509 != nil {
			text = fmt.Sprintf(" (%s)", chain[len(chain)-1].issuer())
		}
		return cause{fmt.Sprintf("it does not trust the CA of the %s's certificate%s", whose, text), map[string]string{"server": serverTrustFix, "client": clientTrustFix}[who]}
	case "certificate_expired":
		return cause{fmt.Sprintf("the %s's certificate has expired, or is not valid yet, by the %s's clock%s", whose, who, text), expiredFix}
	case "unsupported_certificate":
		return cause{fmt.Sprintf("the %s's certificate is not for this use, or of a kind that the %s does not know%s", whose, who, text), usageFix}
	case "certificate_revoked":
		return cause{fmt.Sprintf("the %s's certificate is revoked", whose), newCertificateFix}
	case "certificate_required", "no_certificate":
		return cause{"the client has no certificate, and the server insists on one", certificateFix}
	case "decrypt_error":
		return cause{"a signature or the handshake's checksum did not verify: the key may not belong to the certificate", ""}
	}
	return cause{}
}

// issuer names the issuer of a certificate; "" if it is not known.
func (c *Certificate) issuer() string {
	if c.X509 == nil {
		return ""
	}
	return clip(cmp.Or(c.X509.Issuer.String(), "without a name"))
}

// refused explains a connection that came to nothing. That is no violation: it
// may be what was wanted.
func (r *ruler) refused(c *decode.Connection, k Conclusion) {
	if c.TLS == nil || c.TLS.Failure == nil {
		fix := badOptionsFix
		if c.TLS != nil && c.TLS.Unanswered {
			fix = givenUpFix
		}
		r.addFix(HandshakeRefused, Info, c, k.Reason, fix, Evidence{c.FirstFrame, "the connection's first packet"})
		return
	}
	at := Evidence{c.FirstFrame, "the connection's first packet"}
	if a := c.TLS.Failure.Alert; a != nil {
		at = Evidence{a.Frame, r.text("the %s's alert (%s)", a.From.String(), a.Basis.String())}
	}
	r.addFix(HandshakeRefused, Info, c, k.Reason, cmp.Or(causeOf(c, r.examiner).fix, refusedFix), at)
}
