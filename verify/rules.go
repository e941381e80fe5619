package verify

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/internal/once"
	"distproof/internal/plural"
)

// A Rule is the stable id of something that should hold.
type Rule string

// The rules.
const (
	CleartextDistribution   Rule = "DP101"
	CleartextInsideTLS      Rule = "DP102"
	NoClientCertificate     Rule = "DP103"
	OptionalClientCert      Rule = "DP104"
	ClientCertNotVerifiable Rule = "DP105"
	ServerCertNotVerifiable Rule = "DP106"
	WeakTLS                 Rule = "DP107"
	CertificateExpired      Rule = "DP108"
	NotProven               Rule = "DP109"
	MixedListener           Rule = "DP110"
	ResumptionOnMutual      Rule = "DP111"
	HandshakeRefused        Rule = "DP112"
	EPMDReached             Rule = "DP201"
	EPMDControlled          Rule = "DP202"
	NodeNotAllowed          Rule = "DP203"
	NotWhereAllowed         Rule = "DP204"
	CookieDigestExposed     Rule = "DP205"
	KnownCookie             Rule = "DP206"
	RemoteExecutionExposed  Rule = "DP207"
	NothingToVerify         Rule = "DP301"
	LossyCapture            Rule = "DP302"
	NotSeen                 Rule = "DP303"
	ExceptionExpired        Rule = "DP401"
	ExceptionIdle           Rule = "DP402"
	RuleOff                 Rule = "DP403"
)

var titles = map[Rule]string{
	CleartextDistribution:   "cleartext distribution",
	CleartextInsideTLS:      "cleartext bytes inside a TLS connection",
	NoClientCertificate:     "no client certificate",
	OptionalClientCert:      "client certificates are optional",
	ClientCertNotVerifiable: "client certificate does not verify, yet was accepted",
	ServerCertNotVerifiable: "server certificate does not verify, yet was accepted",
	WeakTLS:                 "weak TLS",
	CertificateExpired:      "certificate expired or expiring",
	NotProven:               "not proven",
	MixedListener:           "the same listener speaks cleartext and TLS",
	ResumptionOnMutual:      "resumption on a client-authenticated listener",
	HandshakeRefused:        "handshake refused",
	EPMDReached:             "EPMD reached from elsewhere",
	EPMDControlled:          "EPMD dump, kill, stop or remote registration",
	NodeNotAllowed:          "node not on the allow list",
	NotWhereAllowed:         "distribution outside the allowed ports or networks",
	CookieDigestExposed:     "cookie digest exposed",
	KnownCookie:             "cookie is a known one",
	RemoteExecutionExposed:  "remote code execution surface used in the clear",
	NothingToVerify:         "nothing to verify",
	LossyCapture:            "capture lossy or cut",
	NotSeen:                 "expected node or edge not seen",
	ExceptionExpired:        "exception of the policy expired",
	ExceptionIdle:           "exception of the policy without effect",
	RuleOff:                 "rule switched off by the policy",
}

// Title returns the rule's name in words.
func (r Rule) Title() string { return titles[r] }

// undecides reports whether the finding, while open, keeps the policy from being
// shown to hold.
func (f Finding) undecides() bool {
	return f.Severity != Info && (f.Unproven || f.Rule == NotProven || f.Rule == NothingToVerify || f.Rule == LossyCapture || f.Rule == NotSeen)
}

// A ruler applies the rules to a capture.
type ruler struct {
	capture   *decode.Capture
	judgement *Judgement
	cover     Coverage
	options   Options
	findings  []Finding
	index     map[findingKey]int
	cookies   *CookieCheck
	examiner  *examiner
	// uses has what came of the policy's exceptions, excused the connections of
	// which one says that they need not meet the requirement.
	uses    []exceptionUse
	excused map[*decode.Connection]bool
	// sorted has the connections by what rules about several of them look at.
	sorted sorted
	// texts has those of evidence, suites and signings what is weak about cipher suites
	// and signatures, and sound when nothing is wrong with certificates.
	texts    once.Table[[1 + maxInText]string, string]
	suites   once.Table[tls.Suite, []weakness]
	signings once.Table[signing, []weakness]
	sound    once.Table[*Certificates, period]
	// switchedOff counts what rules would have found that are off.
	switchedOff map[Rule]int
}

// sorted has what rules about several connections look at, found while each is looked
// at by itself.
type sorted struct {
	// count has them by verdict.
	count map[Verdict]int
	// clear says that there is a session in the clear.
	clear bool
	// toEPMD reached port mappers, and empty were opened and carried nothing.
	toEPMD, empty []*decode.Connection
	// gapped are those between nodes with missing packets; obscured those that may
	// be, had packets not been missing, and alike those that look so.
	gapped, obscured, alike []*decode.Connection
}

// sort notes c, of which k is known.
func (s *sorted) sort(c *decode.Connection, k Conclusion) {
	if s.count == nil {
		s.count = make(map[Verdict]int)
	}
	s.count[k.Verdict]++
	s.clear = s.clear || k.Verdict == Cleartext && k.State == Up
	if c.ToEPMD {
		s.toEPMD = append(s.toEPMD, c)
	}
	if c.Protocol == decode.None && c.TCP[decode.Client].Start == tcp.StartSYN {
		s.empty = append(s.empty, c)
	}
	switch {
	case k.Verdict != NoVerdict:
		if c.TCP[0].Gap+c.TCP[1].Gap > 0 {
			s.gapped = append(s.gapped, c)
		}
	case mayBeDistribution(c):
		s.obscured = append(s.obscured, c)
	case resemblesDistribution(c):
		s.alike = append(s.alike, c)
	}
}

// A findingKey tells findings apart.
type findingKey struct {
	rule     Rule
	severity Severity
	message  string
	waiver   *Exception
}

// run draws the verdicts, with x for the certificates, and applies the rules.
func (r *ruler) run(x *examiner) {
	r.examiner = x
	for _, c := range r.capture.Connections {
		k, v := r.judgement.observe(c, x)
		if r.sorted.sort(c, k); k.Verdict == NoVerdict {
			continue
		}
		r.transport(c, k)
		r.exposure(c)
		if c.TLS != nil {
			r.weakness(c)
			r.certificates(c, v)
		}
		r.demands(c, k, v)
	}
	r.sharedKeys()
	r.listeners()
	r.portMappers()
	r.allowLists()
	r.uncheckedCookies()
	r.coverage()
	r.expectations()
	r.exceptions()
	r.switchedOffRules()
	r.settle()
}

// add files a finding about a connection, and returns it until the next is
// added. Those of one rule with the same message are one finding, but what an
// exception lets pass is one of its own.
func (r *ruler) add(rule Rule, s Severity, c *decode.Connection, message string, evidence ...Evidence) *Finding {
	if r.index == nil {
		r.index, r.excused, r.switchedOff = make(map[findingKey]int), make(map[*decode.Connection]bool), make(map[Rule]int)
	}
	if s = r.options.Policy.severityOf(rule, s); s == Off {
		r.switchedOff[rule]++
		return new(Finding)
	}
	key := findingKey{rule, s, message, r.waiver(rule, s, c)}
	if key.waiver != nil && isTransport(rule) {
		r.excused[c] = true
	}
	i, ok := r.index[key]
	if !ok {
		i = len(r.findings)
		r.index[key] = i
		r.findings = append(r.findings, Finding{Rule: rule, Severity: s, Message: message, Waiver: key.waiver})
	}
	f := &r.findings[i]
	if n := len(f.Connections); c != nil && (n == 0 || f.Connections[n-1] != c) {
		f.Connections = append(f.Connections, c)
	}
	f.Evidence = append(f.Evidence, evidence...)
	return f
}

// maxInText is how many strings a text may be made of.
const maxInText = 4

// text formats strings: for the same ones it returns the same text, as many connections
// have it.
func (r *ruler) text(format string, args ...string) string {
	key := [1 + maxInText]string{format}
	for i, a := range args {
		key[1+i] = a // or panics: texts of more strings would be taken for one another
	}
	return r.texts.Get(key, func() string {
		var all []any
		for _, a := range args {
			all = append(all, a)
		}
		return fmt.Sprintf(format, all...)
	})
}

// transport has the rules that follow from the verdict.
func (r *ruler) transport(c *decode.Connection, k Conclusion) {
	switch k.Verdict {
	case Cleartext:
		var room [2]Evidence
		r.add(CleartextDistribution, Critical, c, "distribution crosses the network in the clear: names, the cookie's digest and every message can be read and changed", r.clearEvidence(c, room[:0])...)
	case OneWay:
		r.oneWay(c)
		if r.options.Policy.Require == RequireEncrypted && !encrypted(c) {
			r.add(NotProven, Medium, c, "TLS, but not shown to be encrypted throughout: segments that have no place in the connection came with its addresses and ports",
				Evidence{c.FirstFrame, "the connection's first packet"})
		}
	case Refused:
		r.refused(c, k)
	case Inconclusive:
		if r.options.Policy.Require == RequireEncrypted && encrypted(c) {
			return
		}
		fix := ""
		switch {
		case c.Protocol == decode.DistTLS && waiting(c):
			fix = waitingFix
		case foreignClient(c):
			fix = foreignFix
		}
		r.addFix(NotProven, Medium, c, k.Reason, fix, Evidence{c.FirstFrame, "the connection's first packet"})
	}
	if c.TLS == nil || c.Protocol == decode.Dist {
		return
	}
	for i, who := range sides {
		if f := c.TLS.Foreign[i]; f != nil {
			r.add(CleartextInsideTLS, Critical, c, "bytes that are not TLS follow inside a TLS connection",
				Evidence{f.Frame, r.text("the %s's bytes are not TLS from here on", who)})
		}
	}
}

// clearEvidence adds to out what shows that a connection is in the clear.
func (r *ruler) clearEvidence(c *decode.Connection, out []Evidence) []Evidence {
	if !c.InClear {
		return append(out, Evidence{c.FirstFrame, r.text("the cipher suite %s encrypts nothing", c.TLS.Suite.String())})
	}
	for side, who := range [2]string{"client", "server"} {
		d := &c.Dist[side]
		if d.Bytes == 0 {
			continue
		}
		switch h := d.Handshake; {
		case h.Name != "":
			out = append(out, Evidence{h.NameAt.Frame, r.text("the %s's name %q in the clear", who, h.Name)})
		case d.Recognition == dist.NotRecognised:
			out = append(out, Evidence{d.First.Frame, r.text("the %s's part of the handshake in the clear", who)})
		default:
			out = append(out, Evidence{d.RecognisedAt.Frame, r.text("the %s's distribution messages in the clear", who)})
		}
	}
	return out
}

func (r *ruler) oneWay(c *decode.Connection) {
	f := c.TLS
	if c.ResumedFrom != nil {
		f = c.ResumedFrom.TLS
	}
	cert := f.ClientCertificate
	e := Evidence{f.Flight, r.text("%s (%s)", cert.Reason, cert.Basis.String())}
	if cert.Status == tls.Empty {
		r.add(OptionalClientCert, High, c, "the server asked for a client certificate, got an empty one, and accepted it: anybody without a certificate gets in", e)
		return
	}
	r.add(NoClientCertificate, High, c, "the server does not ask for a client certificate: whoever reaches the port and knows the cookie gets in", e)
}

// exposure has the rules about what cleartext gave away, and about the cookie
// wherever its proof was read.
func (r *ruler) exposure(c *decode.Connection) {
	if c.IsDecrypted {
		r.cookie(c, c.Decrypted, true)
	}
	if !c.InClear {
		return
	}
	r.cookie(c, c.Dist, false)
	for side, who := range [2]string{"client", "server"} {
		d := &c.Dist[side]
		if d.Handshake.Proved {
			r.add(CookieDigestExposed, High, c, "the cookie's digest crossed in the clear: whoever saw it can guess cookies offline",
				Evidence{d.Handshake.DigestAt.Frame, r.text("the %s's digest of the cookie and the other side's challenge", who)})
		}
		if e := r.remoteExecution(d, who); len(e) > 0 {
			r.add(RemoteExecutionExposed, Critical, c, "messages that make other nodes run code crossed in the clear", e...)
		}
	}
}

// maxCalls bounds the functions that a finding names for a side.
const maxCalls = 8

// remoteExecution has the first message of every function that a side made the
// other run, and what went to rex beside it. Of a direction seen from the middle
// on, names may be all that is known.
func (r *ruler) remoteExecution(d *dist.Facts, who string) []Evidence {
	var out []Evidence
	for call, uses := range d.Calls {
		out = append(out, Evidence{uses.First.Frame, r.text("by the %s: %s %s (%s)", who, call.Means.String(), call.Function, Often(uses.Count))})
	}
	slices.SortFunc(out, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.Frame.Input, b.Frame.Input), cmp.Compare(a.Frame.Number, b.Frame.Number), strings.Compare(a.Text, b.Text))
	})
	if more := len(out) - maxCalls; more > 0 {
		out[maxCalls] = Evidence{out[maxCalls].Frame, r.text("by the %s: %s more from here on", who, plural.Of(more, "function", "functions"))}
		out = out[:maxCalls+1]
	}
	if n := d.RegisteredNames["rex"]; len(out) == 0 && n > 0 {
		out = append(out, Evidence{d.RecognisedAt.Frame, r.text("from here on, by the %s: %s", who, plural.Of(n, "message to rex", "messages to rex"))})
	}
	if n := d.UnnamedCalls; n > 0 {
		out = append(out, Evidence{d.RecognisedAt.Frame, r.text("from here on, by the %s: %s whose name is not known", who, plural.Of(n, "call", "calls"))})
	}
	return out
}

// Often says in words how often something was seen.
func Often(n uint64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// weakness has the rules about TLS itself.
func (r *ruler) weakness(c *decode.Connection) {
	f := c.TLS
	if f.Version != 0 && f.Established.Is() {
		r.weakProtocol(c)
		r.weakSignatures(c)
	}
	// Where the session's first handshake asked for no certificate, there is
	// none to be passed by.
	asked := c.ResumedFrom == nil || !c.ResumedFrom.TLS.ClientCertificate.Requested.Isnt()
	if f.Resumed.Is() && f.Established.Is() && asked {
		r.add(ResumptionOnMutual, Low, c, "a session was resumed: certificates are not shown again", Evidence{c.FirstFrame, "the connection's first packet"})
	}
}

// A weakness is something weak that many connections have.
type weakness struct {
	severity     Severity
	message, fix string
	// by are the sides that have it, if it is not the connection as a whole.
	by []int
}

// weakProtocol looks at version, suite, compression and renegotiation.
func (r *ruler) weakProtocol(c *decode.Connection) {
	f := c.TLS
	add := func(w weakness) {
		r.add(WeakTLS, w.severity, c, w.message, Evidence{frameOf(c, decode.Server, tls.TypeServerHello), "the server's choice"})
	}
	if f.Version < tls.TLS12 {
		add(weakness{severity: High, message: obsolete(f.Version)})
	}
	for _, w := range r.suites.Get(f.Suite, func() []weakness { return weakSuite(f.Suite) }) {
		add(w)
	}
	if f.Server != nil && f.Server.Compression != 0 {
		add(weakness{severity: Medium, message: "TLS compression: sizes reveal something about the contents (RFC 9325, Section 3.3)"})
	}
	if f.Renegotiated {
		r.add(WeakTLS, Low, c, "the session was renegotiated; which side began is encrypted", Evidence{c.FirstFrame, "the connection's first packet"})
	}
}

func weakSuite(s tls.Suite) []weakness {
	var out []weakness
	for _, w := range s.Weaknesses() {
		severity := High
		switch w {
		case "CBC mode":
			severity = Low
		case "no forward secrecy":
			severity = Low
			if staticRSA(s) {
				w += " (static RSA: whoever gets the server's key can read what was recorded before)"
			}
		}
		out = append(out, weakness{severity: severity, message: fmt.Sprintf("cipher suite %s: %s", s, w)})
	}
	return out
}

// staticRSA reports whether the key exchange is encryption to the server's key.
func staticRSA(s tls.Suite) bool { return strings.HasPrefix(s.String(), "TLS_RSA_WITH_") }

func obsolete(v tls.Version) string {
	if v < tls.TLS10 {
		return "SSL 3.0 is broken (RFC 7568)"
	}
	return fmt.Sprintf("TLS %s is obsolete (RFC 8996)", v)
}

// listeners finds those that were reached by cleartext and by TLS.
func (r *ruler) listeners() {
	if !r.sorted.clear {
		return
	}
	type use struct{ clear, tls *decode.Connection }
	uses := make(map[netip.AddrPort]*use)
	var order []netip.AddrPort
	for i, c := range r.capture.Connections {
		k := r.judgement.Conclusions[i]
		at := c.Ends[decode.Server].Address
		u := uses[at]
		if u == nil {
			u = &use{}
			uses[at] = u
			order = append(order, at)
		}
		switch {
		case k.Verdict == Cleartext && k.State == Up:
			u.clear = c
		case c.Protocol == decode.DistTLS && c.TLS.Established.Is():
			u.tls = c
		}
	}
	for _, at := range order {
		if u := uses[at]; u.clear != nil && u.tls != nil {
			message := fmt.Sprintf("%s accepts distribution in the clear and over TLS", at)
			r.add(MixedListener, High, u.clear, message, Evidence{u.clear.FirstFrame, "a connection in the clear"})
			r.add(MixedListener, High, u.tls, message, Evidence{u.tls.FirstFrame, "a connection over TLS"})
		}
	}
}

// toRabbitMQ reports whether a connection is TLS with the port on which nodes of
// RabbitMQ listen for each other, unless they are told another one.
func toRabbitMQ(c *decode.Connection) bool {
	const port = 25672
	ends := c.Ends
	return c.Protocol == decode.TLS && (ends[decode.Server].Address.Port() == port || c.RolesUnknown() && ends[decode.Client].Address.Port() == port)
}

// lookedUp reports whether a client asked EPMD on which port a node listens, as nodes
// do before they dial it, with the given outcome.
func (r *ruler) lookedUp(o epmd.Outcome) bool {
	return slices.ContainsFunc(r.capture.Registry.Exchanges, func(e decode.Exchange) bool {
		return e.Request == epmd.PortPlease2Req && e.Outcome == o
	})
}

// coverage has the rules about the capture as a whole.
func (r *ruler) coverage() {
	s := &r.sorted
	r.nothingToVerify(len(r.capture.Connections)-s.count[NoVerdict], s.count[Refused])
	r.leftOut()
	for _, c := range s.obscured {
		r.add(LossyCapture, Medium, c, plural.Of(len(s.obscured), "connection has missing or contradictory packets that would show whether it is distribution",
			"connections have missing or contradictory packets that would show whether they are distribution"))
	}
	for _, c := range s.alike {
		r.add(NotProven, Medium, c, "TLS with record sizes like those of distribution, which do not prove that it is: if it is, name the port (--port)",
			Evidence{c.FirstFrame, "the connection's first packet"})
	}
	for _, c := range s.gapped {
		r.add(LossyCapture, Medium, c, plural.Of(len(s.gapped), "distribution connection has missing packets", "distribution connections have missing packets"))
	}
}

// nothingToVerify is about a capture with no connection between nodes, or only with
// such as were refused or are covered by exceptions.
func (r *ruler) nothingToVerify(distribution, refused int) {
	delete(r.excused, nil) // findings that are about no connection
	switch {
	case distribution == 0:
		const message = "nothing to verify: no connection between Erlang nodes was recognised"
		fix := ""
		switch {
		case slices.ContainsFunc(r.capture.Connections, toRabbitMQ):
			fix = rabbitMQFix
		case r.lookedUp(epmd.Accepted):
			fix = notDialledFix
		case r.lookedUp(epmd.Refused):
			fix = notRunningFix
		}
		r.addFix(NothingToVerify, Medium, nil, message, fix)
	case distribution == refused:
		r.add(NothingToVerify, Medium, nil, "nothing to verify: no connection between Erlang nodes came up")
	case distribution == refused+len(r.excused):
		r.add(NothingToVerify, Medium, nil, "nothing to verify: exceptions cover all connections between Erlang nodes")
	}
}

// leftOut is about what the capture does not have, or nobody can read.
func (r *ruler) leftOut() {
	for _, d := range r.cover.Damaged {
		r.add(LossyCapture, Medium, nil, "a part of the capture is missing: "+d)
	}
	if n := r.cover.Dropped; n > 0 {
		r.add(LossyCapture, Medium, nil, fmt.Sprintf("the capturing system lost %s: connections may have been missed", plural.Of(n, "packet", "packets")))
	}
	for _, why := range slices.Sorted(maps.Keys(r.cover.Unreadable)) {
		r.add(LossyCapture, Medium, nil, fmt.Sprintf("%s could not be read (%s): connections may have been missed", plural.Of(r.cover.Unreadable[why], "packet", "packets"), why))
	}
	if u := r.cover.Uncaptured; len(u) > 0 {
		f := r.add(LossyCapture, Medium, nil, fmt.Sprintf("nothing was captured of %s: %s", plural.Of(len(u), "connection between nodes", "connections between nodes"), enumerate(u)))
		f.Fix = "capture on every interface that nodes use (-i any), and make the nodes reconnect during the capture"
	}
	if u := r.cover.Undecided; len(u) > 0 {
		f := r.add(LossyCapture, Medium, nil, fmt.Sprintf("too little was captured of %s to rule out distribution: %s", plural.Of(len(u), "connection between Erlang programs", "connections between Erlang programs"), enumerate(u)))
		f.Fix = "wait: ticks show it, within 30 seconds on a connection that is idle otherwise. If it stays so, name the port where the node listens (--port), or have the nodes reconnect during the capture"
	}
	for _, why := range slices.Sorted(maps.Keys(r.cover.Sealed)) {
		r.add(LossyCapture, Info, nil, fmt.Sprintf("%s cannot be looked into (%s): connections inside are not judged", plural.Of(r.cover.Sealed[why], "packet", "packets"), why))
	}
}

// mayBeDistribution reports whether a connection that is not shown to be
// distribution might have been, or might have announced others, had nothing been
// lost or added. One that began before the capture is not meant: of those there
// are too many.
func mayBeDistribution(c *decode.Connection) bool {
	a, b := c.TCP[decode.Client], c.TCP[decode.Server]
	switch {
	case !c.Start():
		return false
	case c.Disputed || a.Odd().Conflicts+b.Odd().Conflicts > 0:
		return true
	case c.Protocol == decode.EPMD:
		return !c.ClosedUnanswered() && slices.ContainsFunc(epmd.Combine(c.EPMD[decode.Client], c.EPMD[decode.Server]), func(r epmd.Registration) bool {
			return r.Op == epmd.PortPlease2Req && r.Outcome == epmd.Unanswered
		})
	case c.TLS == nil:
		return c.Ends[decode.Server].Address.Port() == decode.EPMDPort && a.Gap+b.Gap > 0
	}
	// What both sides encrypted would show, but for a message that anybody added.
	hidden := c.TLS.Damaged && c.TLS.Sealed[decode.Client].Application > 0 && c.TLS.Sealed[decode.Server].Application > 0
	return hidden || c.TLS.Obscured && a.Gap+b.Gap > 0
}

// resemblesDistribution reports whether record sizes are those of a distribution
// handshake that does not show enough to be one beyond doubt: that of a node that
// was given its name, or one which the server did not confirm.
func resemblesDistribution(c *decode.Connection) bool {
	f := c.TLS
	if c.Protocol != decode.TLS || !c.Start() || !f.Shape.Exact {
		return false
	}
	if f.Opened[decode.Client].Bytes > 0 && f.Opened[decode.Server].Bytes > 0 {
		return false // and it is something else
	}
	return f.Shape.Stage == tls.StageReply || f.Shape.Named && f.Shape.Stage == tls.StageAck
}
