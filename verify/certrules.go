package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/decode/tls"
	"distproof/internal/once"
	"distproof/internal/plural"
)

// sides are the words for client and server, and handshakeOf for what each sends.
var (
	sides       = [2]string{"client", "server"}
	handshakeOf = [2]string{"the client's handshake", "the server's handshake"}
)

// certificates has the rules about what the peers showed, where the handshake
// completed: before that nobody accepted it.
func (r *ruler) certificates(c *decode.Connection, v *Certificates) {
	if !c.TLS.Established.Is() {
		return
	}
	r.wrongSignatures(c)
	if v.Client.Status == VerifyFailed {
		r.acceptedClient(c, v.Client)
	}
	if v.Server.Status == VerifyFailed {
		r.acceptedServer(c, v.Server)
	}
	if r.nothingWrong(c, v) {
		return
	}
	for side, chain := range [2][]*Certificate{v.ClientChain, v.ServerChain} {
		for i, cert := range chain {
			r.validity(c, side, cert, i > 0)
			r.weakCertificate(c, side, cert, i > 0)
		}
	}
}

// A period is when nothing is wrong with certificates; never if it has no end.
type period struct{ from, to time.Time }

// nothingWrong reports whether there is nothing to find out about the certificates of
// a connection one by one.
func (r *ruler) nothingWrong(c *decode.Connection, v *Certificates) bool {
	sound := r.sound.Get(v, func() period { return r.soundness(v) })
	at := timeOf(c)
	return !sound.to.IsZero() && (at.IsZero() || !at.Before(sound.from) && !r.usedUntil(c, at).After(sound.to))
}

// soundness returns when [ruler.validity] finds nothing of certificates of which
// [ruler.weakCertificate] finds nothing.
func (r *ruler) soundness(v *Certificates) period {
	out := period{to: time.Unix(1<<40, 0)}
	for _, chain := range [][]*Certificate{v.ClientChain, v.ServerChain} {
		for i, cert := range chain {
			_, weak := weakKey(cert.Key)
			_, small := r.smallKey(cert)
			if weak != "" || small != "" || cert.forgeable() {
				return period{}
			}
			if cert.X509 == nil || i > 0 && cert.SelfSigned {
				continue
			}
			if from := cert.X509.NotBefore; from.After(out.from) {
				out.from = from
			}
			if to := cert.X509.NotAfter.Add(-max(r.options.ExpiresWithin, 0)); to.Before(out.to) {
				out.to = to
			}
		}
	}
	return out
}

// usedUntil returns until when a connection that began at a time is known to be open.
func (r *ruler) usedUntil(c *decode.Connection, at time.Time) time.Time {
	if r.options.Used != nil {
		if until := r.options.Used(c); until.After(at) {
			return until
		}
	}
	return at
}

func (r *ruler) wrongSignatures(c *decode.Connection) {
	if c.TLS.ClientCertificate.Signature.Isnt() {
		r.add(ClientCertNotVerifiable, Critical, c, "the client's signature is wrong, yet the server accepted it: the client did not prove that it has the certificate's key", Evidence{c.TLS.Flight, "client certificate"})
	}
	if c.TLS.ServerCertificate.Signature.Isnt() {
		r.add(ServerCertNotVerifiable, Critical, c, "the server's signature is wrong, yet the client accepted it: the server did not prove that it has the certificate's key", Evidence{certificateFrame(c, decode.Server), "the server's handshake"})
	}
}

// acceptedServer says what it shows of the client that it went on.
func (r *ruler) acceptedServer(c *decode.Connection, v Verification) {
	var steps []Evidence
	if h := dialledHost(c); h.asked && (v.has(WrongName) || v.has(CommonNameOnly)) {
		steps = append(steps, Evidence{frameOf(c, decode.Client, tls.TypeClientHello), r.text("the client asked for %s", clip(h.name))})
	}
	steps = append(steps, Evidence{certificateFrame(c, decode.Server), r.text("the server's certificate: %s", v.Reason)},
		Evidence{wentOnFrame(c), "the client continued the handshake nevertheless"})
	r.add(ServerCertNotVerifiable, worst(v.Problems), c, r.text("the server's certificate does not verify, yet the client accepted it: %s. %s", v.Reason, clientConclusion(v)), steps...)
}

// clientConclusion says what follows for the client that accepted a certificate
// with these problems.
func clientConclusion(v Verification) string {
	strong := func(p Problem) bool { return p.Severity == High && p.Kind != NoChain }
	switch {
	case slices.ContainsFunc(v.Problems, strong):
		return "So the client runs verify_none, or has a custom verify_fun or customize_hostname_check that accepts this"
	case v.has(NoChain):
		return "So the client runs verify_none, or its cacertfile has other CAs than those given here"
	case v.has(SelfSigned):
		return "So the client runs verify_none, or has a custom verify_fun that accepts this certificate"
	case v.has(WrongName):
		return "The client sent no server_name: it runs verify_none, or checks no names (server_name_indication is disable)"
	case v.has(OutsideValidity):
		return "So the client runs verify_none, or its clock differs from that of the capture"
	}
	return "This does not show verify_none: OTP accepted the common name before ssl-11.7.1 and ssl-11.6.0.1, and refuses it since then"
}

// acceptedClient says what it shows of the server that it went on.
func (r *ruler) acceptedClient(c *decode.Connection, v Verification) {
	steps := []Evidence{
		{c.TLS.Flight, r.text("the client's certificate: %s", v.Reason)},
		{acceptedFrame(c), r.text("%s (%s)", c.TLS.Established.Reason, c.TLS.Established.Basis.String())},
	}
	why := "So the server has a custom verify_fun that accepts this"
	if v.has(NoChain) {
		why = "So the server's cacertfile has other CAs than those given here, or a custom verify_fun accepts this"
	}
	r.add(ClientCertNotVerifiable, worst(v.Problems), c, r.text("the client's certificate does not verify, yet the server accepted it: %s. %s", v.Reason, why), steps...)
}

// has reports whether there is a problem of that kind.
func (v Verification) has(k ProblemKind) bool {
	return slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.Kind == k })
}

// worst returns the gravest of the problems' severities.
func worst(problems []Problem) Severity {
	s := Info
	for _, p := range problems {
		if p.Severity.Compare(s) < 0 {
			s = p.Severity
		}
	}
	return s
}

// whose names a certificate of a side's chain.
func whose(side int, cert *Certificate, ca bool) string {
	if ca {
		return fmt.Sprintf("the CA certificate %s, which the %s sent,", cert.name(), sides[side])
	}
	return fmt.Sprintf("the %s's certificate %s", sides[side], cert.name())
}

// validity finds what was not valid at the time of the packet, and what soon
// will not be. Nobody looks at a root's.
func (r *ruler) validity(c *decode.Connection, side int, cert *Certificate, ca bool) {
	at := timeOf(c)
	if cert.X509 == nil || at.IsZero() || ca && cert.SelfSigned {
		return
	}
	evidence := func() Evidence {
		return Evidence{certificateFrame(c, side), r.text("valid from %s to %s", cert.X509.NotBefore.UTC().Format(time.RFC3339), cert.X509.NotAfter.UTC().Format(time.RFC3339))}
	}
	if text := momentOf(cert.X509, at).outside(cert.X509); text != "" {
		r.add(CertificateExpired, High, c, whose(side, cert, ca)+" "+text, evidence())
		return
	}
	at = r.usedUntil(c, at)
	if at.After(cert.X509.NotAfter) {
		r.add(CertificateExpired, Medium, c, fmt.Sprintf("%s expired at %s, while the connection was open: it stays up, but cannot be established again with this certificate",
			whose(side, cert, ca), cert.X509.NotAfter.UTC().Format(time.RFC3339)), evidence())
		return
	}
	if within := r.options.ExpiresWithin; within > 0 && at.Add(within).After(cert.X509.NotAfter) {
		r.add(CertificateExpired, Medium, c, fmt.Sprintf("%s expires at %s, within %s of its use", whose(side, cert, ca), cert.X509.NotAfter.UTC().Format(time.RFC3339),
			plural.Of(int(within/(24*time.Hour)), "day", "days")), evidence())
	}
}

// weakCertificate finds keys that are too short, and signatures that can be
// forged. That of a root proves nothing anyway.
func (r *ruler) weakCertificate(c *decode.Connection, side int, cert *Certificate, ca bool) {
	evidence := func() Evidence {
		return Evidence{certificateFrame(c, side), r.text("%s's certificates", sides[side])}
	}
	if s, why := weakKey(cert.Key); why != "" {
		r.addFix(WeakTLS, s, c, fmt.Sprintf("%s has a weak key: %s", whose(side, cert, ca), why), newCertificateFix, evidence())
	} else if setting, why := r.smallKey(cert); why != "" {
		f := r.add(WeakTLS, High, c, fmt.Sprintf("%s has a smaller key than the policy allows: %s", whose(side, cert, ca), why), evidence()).by(setting)
		f.Fix = newCertificateFix
	}
	if cert.forgeable() {
		s, hash := High, cert.obsoleteHash()
		if hash == "SHA-1" {
			s = Medium
		}
		r.addFix(WeakTLS, s, c, fmt.Sprintf("%s is signed with %s: a forgery with the same signature is possible", whose(side, cert, ca), hash), newCertificateFix, evidence())
	}
}

// forgeable reports whether the certificate rests on a signature with a broken hash.
func (c *Certificate) forgeable() bool { return !c.SelfSigned && c.obsoleteHash() != "" }

// The least sizes that are not weak (NIST SP 800-131A).
const (
	leastRSA   = 2048
	leastCurve = 224
)

// smallKey says of a key in what it is smaller than the policy takes, and by which
// setting; "" if it is not.
func (r *ruler) smallKey(cert *Certificate) (setting, why string) {
	p, k, least := &r.options.Policy.Certificates, cert.Key, 0
	switch {
	case strings.HasPrefix(k.Name, "RSA"):
		setting, least = "certificates.min_rsa_bits", p.MinRSA
	case k.Name == "ECDSA":
		setting, least = "certificates.min_ec_bits", p.MinCurve
	}
	if k.Bits == 0 || k.Bits >= least {
		return "", ""
	}
	return setting, fmt.Sprintf("%s, under %d bits", k, least)
}

// weakKey says what is weak about a key; "" if nothing is.
func weakKey(k Key) (Severity, string) {
	switch {
	case strings.HasPrefix(k.Name, "RSA") && k.Bits > 0 && k.Bits < leastRSA:
		return High, fmt.Sprintf("%s, under %d bits", k, leastRSA)
	case k.Name == "ECDSA" && k.Bits > 0 && k.Bits < leastCurve:
		return High, fmt.Sprintf("%s, under %d bits", k, leastCurve)
	case k.Name == "DSA":
		return Medium, "DSA is obsolete (FIPS 186-5)"
	}
	return Info, ""
}

// A signing is how client and server sign the handshake.
type signing struct{ client, server secrets.Scheme }

// weakSignatures looks at the handshake's own. Before TLS 1.2 there is no
// choice, and the version is a finding.
func (r *ruler) weakSignatures(c *decode.Connection) {
	f := c.TLS
	if f.Version != tls.TLS12 {
		return
	}
	s := signing{f.ClientCertificate.Scheme, f.ServerCertificate.Scheme}
	for _, w := range r.signings.Get(s, s.weaknesses) {
		var room [2]Evidence
		evidence := room[:0]
		for _, side := range w.by {
			evidence = append(evidence, Evidence{certificateFrame(c, side), handshakeOf[side]})
		}
		r.addFix(WeakTLS, w.severity, c, w.message, w.fix, evidence...)
	}
}

func (s signing) weaknesses() []weakness {
	client, server := s.client.String(), s.server.String()
	if client == server {
		return weakScheme(client, "both sides sign", decode.Client, decode.Server)
	}
	return append(weakScheme(client, "the client signs", decode.Client), weakScheme(server, "the server signs", decode.Server)...)
}

func weakScheme(scheme, who string, by ...int) []weakness {
	switch {
	case strings.HasSuffix(scheme, "md5"):
		return []weakness{{severity: High, by: by, message: fmt.Sprintf("%s the handshake with MD5 (%s)", who, scheme)}}
	case strings.HasSuffix(scheme, "sha1"):
		message := fmt.Sprintf("%s the handshake with SHA-1 (%s), which is obsolete (RFC 9155); OTP 25 does so in TLS 1.2 by default", who, scheme)
		return []weakness{{severity: Low, by: by, message: message, fix: signatureFix}}
	}
	return nil
}

// addFix is add for a finding that is not mended as the rule says.
func (r *ruler) addFix(rule Rule, s Severity, c *decode.Connection, message, fix string, evidence ...Evidence) {
	r.add(rule, s, c, message, evidence...).Fix = fix
}

// sharedKeys finds keys that several nodes have. That may be meant so.
func (r *ruler) sharedKeys() {
	keys := keyUses{index: make(map[[32]byte]*keyUse)}
	var of once.Table[*Certificates, [2]*keyUse]
	for i, c := range r.capture.Connections {
		if r.judgement.Conclusions[i].Verdict == NoVerdict || c.TLS == nil {
			continue
		}
		v := r.judgement.Certificates[i]
		for side, u := range of.Get(v, func() [2]*keyUse { return keys.of(v) }) {
			if u != nil {
				u.add(c, side)
			}
		}
	}
	for _, u := range keys.order {
		if nodes := u.nodes(); len(nodes) > 1 {
			message := fmt.Sprintf("the same key serves %d nodes, and whoever has one has all: %s (certificate %s, key %x…)", len(nodes), few(nodes), u.cert.name(), u.cert.KeyID[:4])
			evidence := u.evidence
			for _, c := range u.connections {
				r.addFix(WeakTLS, Low, c, message, sharedKeyFix, evidence...)
				evidence = nil
			}
		}
	}
}

// few lists the first of many.
func few(list []string) string {
	const most = 6
	if n := len(list); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), n-most)
	}
	return strings.Join(list, ", ")
}

// keyUses has where keys were seen.
type keyUses struct {
	index map[[32]byte]*keyUse
	order []*keyUse
}

// of returns those of the keys of client and server; nil if they are not known.
func (k *keyUses) of(v *Certificates) (out [2]*keyUse) {
	for side, chain := range [2][]*Certificate{v.ClientChain, v.ServerChain} {
		if len(chain) == 0 || chain[0].KeyID == ([32]byte{}) {
			continue
		}
		u := k.index[chain[0].KeyID]
		if u == nil {
			u = &keyUse{cert: chain[0]}
			k.index[chain[0].KeyID] = u
			k.order = append(k.order, u)
		}
		out[side] = u
	}
	return out
}

// A keyUse is where a key was seen.
type keyUse struct {
	cert        *Certificate
	connections []*decode.Connection
	evidence    []Evidence
	// byAddress has the names of the nodes at each address, "" for unknown ones.
	byAddress map[netip.Addr][]string
	both      bool // seen at both ends of a connection
}

func (u *keyUse) add(c *decode.Connection, side int) {
	if u.byAddress == nil {
		u.byAddress = make(map[netip.Addr][]string)
	}
	at, name := c.Ends[side].Address.Addr(), c.Ends[side].Node
	if names := u.byAddress[at]; !slices.Contains(names, name) {
		u.byAddress[at] = append(names, name)
		u.evidence = append(u.evidence, Evidence{certificateFrame(c, side), "at " + label(at.String(), name)})
	}
	if n := len(u.connections); n > 0 && u.connections[n-1] == c {
		u.both = true
		return
	}
	u.connections = append(u.connections, c)
}

func label(address, name string) string {
	if name == "" {
		return address
	}
	return name + " (" + address + ")"
}

// nodes names the nodes that certainly are different ones, by name or by
// address. One without a name is left out where a named one has its address, and
// so are command-line tools: they use the key of their host's node. One name with
// several addresses counts once.
func (u *keyUse) nodes() []string {
	var out []string
	for address, names := range u.byAddress {
		named := false
		for _, name := range names {
			if _, tool := decode.ToolOf(name); name != "" && !tool {
				named = true
				out = append(out, name)
			}
		}
		if !named {
			out = append(out, address.String())
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) == 1 && u.both {
		out = append(out, "a node on the same host")
	}
	return out
}

// frameOf returns the frame of a side's first message of that type; that of the
// connection's first packet if it is not known.
func frameOf(c *decode.Connection, side int, kind tls.HandshakeType) decode.Frame {
	for r := range c.TLS.Records[side].All() {
		if r.Type == tls.TypeHandshake && !r.Sealed && r.Message == kind {
			return r.Frame
		}
	}
	return c.FirstFrame
}

// sealedFrame returns the frame of a side's first encrypted record of a type.
func sealedFrame(c *decode.Connection, side int, kind tls.ContentType) (decode.Frame, bool) {
	for r := range c.TLS.Records[side].All() {
		if r.Sealed && r.Type == kind {
			return r.Frame, true
		}
	}
	return decode.Frame{}, false
}

// certificateFrame is where a side's certificate was, as well as is known: a
// message of its own, behind the hello in the same record, or encrypted.
func certificateFrame(c *decode.Connection, side int) decode.Frame {
	if side == decode.Client {
		return c.TLS.Flight
	}
	if c.TLS.Version.Is13() {
		if at, ok := sealedFrame(c, side, tls.TypeApplicationData); ok {
			return at
		}
	}
	if at := frameOf(c, side, tls.TypeCertificate); at != c.FirstFrame {
		return at
	}
	return frameOf(c, side, tls.TypeServerHello)
}

// wentOnFrame is where the client answered the server's flight.
func wentOnFrame(c *decode.Connection) decode.Frame {
	if at := c.TLS.Flight; at != (decode.Frame{}) {
		return at
	}
	return c.FirstFrame
}

// acceptedFrame is where the server answered the client's.
func acceptedFrame(c *decode.Connection) decode.Frame {
	kind, flight := tls.TypeHandshake, int64(0)
	if c.TLS.Version.Is13() {
		kind = tls.TypeApplicationData
	}
	for r := range c.TLS.Records[decode.Client].All() {
		if r.Frame == c.TLS.Flight {
			flight = r.End()
		}
	}
	for r := range c.TLS.Records[decode.Server].All() {
		if r.Sealed && r.Type == kind && r.Acked >= flight {
			return r.Frame
		}
	}
	return c.FirstFrame
}
