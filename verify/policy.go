package verify

import (
	"fmt"
	"slices"
	"time"

	"distproof/decode/fact"
	"distproof/decode/tls"
)

// A Requirement is what a policy asks of every connection between nodes. The
// words are part of the format of policies.
type Requirement string

// The requirements.
const (
	// RequireMutual: mutual TLS. The empty Requirement is this, too.
	RequireMutual Requirement = "mutual"
	// RequireEncrypted: TLS that encrypts, whoever is at the other end.
	RequireEncrypted Requirement = "encrypted"
	// RequireNothing: what is found is told, and violates nothing by itself.
	RequireNothing Requirement = "observe"
)

// A Policy is what a capture is held against. The zero value is the built-in
// policy "mutual".
type Policy struct {
	// Name is what reports call the policy; "" for the default.
	Name    string
	Require Requirement
	// Basis is the weakest on which mutual TLS may be concluded.
	Basis fact.Basis
	// MinTLS is the oldest version that is good enough; 0 for what DP107 takes.
	MinTLS tls.Version
	// Certificates has what is asked of those that are shown.
	Certificates CertificatePolicy
	// EPMDPorts are those on which port mappers may listen; all if empty.
	EPMDPorts []PortRange
	Expect    Expectation
	// Severities are those of rules that shall have another; Off is one, too.
	// Critical findings keep theirs.
	Severities map[Rule]Severity
	// FailOn is the least severity that violates; "" for High.
	FailOn     Severity
	Exceptions []Exception
	// Now decides which exceptions have expired. At the zero time all have.
	Now time.Time
	// Places says, by the name of a setting such as "tls.min_version", where it
	// was made. What is not in it is a default.
	Places map[string]Place
}

// A CertificatePolicy is what is asked of certificates.
type CertificatePolicy struct {
	// AnyHost lets certificates be for other hosts than the server's.
	AnyHost bool
	// MinRSA and MinCurve are the least sizes of keys in bits; those of DP107 if
	// they are smaller than these.
	MinRSA, MinCurve int
	// Issuers are the names of those that may have issued a node's certificate,
	// and CAs the SHA-256 of CA certificates of which one must have signed it,
	// maybe through others; all if empty.
	Issuers []string
	CAs     [][32]byte
	// Seen says that certificates of which something is asked must be visible.
	Seen bool
}

// Off is the severity of rules whose findings are left out.
const Off Severity = "off"

// A Place is a line of a file, or a flag or variable, of which Line is 0.
type Place struct {
	Path string
	Line int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.Path
	}
	return fmt.Sprintf("%s:%d", p.Path, p.Line)
}

// An Effect is what a finding does to the outcome. The words are part of the
// report's format.
type Effect string

// The effects.
const (
	Violates  Effect = "violates"
	Undecides Effect = "undecided"
	Waived    Effect = "waived"
	Noted     Effect = "noted"
)

// effectOf decides what a finding does to the outcome; nothing else does.
func (p *Policy) effectOf(f *Finding) Effect {
	switch {
	case f.Waiver != nil:
		return Waived
	case !p.demands(f):
		return Noted
	case f.undecides() && f.Severity.Compare(High) > 0:
		return Undecides
	case f.Severity.Compare(p.failOn()) <= 0:
		return Violates
	}
	return Noted
}

func (p *Policy) failOn() Severity {
	if p.FailOn == "" {
		return High
	}
	return p.FailOn
}

// demands reports whether the policy asks for what the finding says is not so.
// One that only observes asks for what it names itself, and that there be
// something to see.
func (p *Policy) demands(f *Finding) bool {
	if p.Require != RequireNothing {
		return true
	}
	switch f.Rule {
	case NothingToVerify, NotSeen, ExceptionExpired:
		return true
	case LossyCapture:
		return p.named()
	}
	_, named := p.Places[f.demand]
	return named && f.demand != requireSetting
}

// named reports whether the policy names something that it asks for.
func (p *Policy) named() bool {
	for setting := range p.Places {
		if setting != requireSetting && setting != "fail_on" && setting != "exceptions" {
			return true
		}
	}
	return false
}

// severityOf is that of a finding of a rule, which by itself has s.
func (p *Policy) severityOf(rule Rule, s Severity) Severity {
	set, ok := p.Severities[rule]
	switch {
	case s == Critical:
		return s
	case ok:
		return set
	case p.Require != RequireEncrypted:
		return s
	case rule == NoClientCertificate, rule == OptionalClientCert, rule == ResumptionOnMutual:
		return Info
	case rule == ClientCertNotVerifiable, rule == ServerCertNotVerifiable:
		if _, asked := p.Places["certificates.cas"]; !asked {
			return Info
		}
	}
	return s
}

// MayBe says why a rule cannot have a severity in a policy with that
// requirement; "" if it can. What states the requirement itself, and what says
// that too little was seen, cannot be silenced: the report would claim what was
// not shown.
func (r Rule) MayBe(s Severity, require Requirement) string {
	weak := s == Off || s == Info
	switch r {
	case NotProven, NothingToVerify, LossyCapture, NotSeen:
		if weak {
			return fmt.Sprintf("%s cannot be %s: a run that saw too little would pass; --allow-inconclusive tolerates it, and the report says so", r, s)
		}
	case CleartextDistribution, CleartextInsideTLS, RemoteExecutionExposed, KnownCookie:
		if s.Compare(High) > 0 {
			return fmt.Sprintf("%s cannot be %s: name the connections in exceptions", r, s)
		}
	case NoClientCertificate, OptionalClientCert:
		if s.Compare(High) > 0 && (require == RequireMutual || require == "") {
			return fmt.Sprintf("%s cannot be %s while distribution.require is mutual: require encrypted, or name the connections in exceptions", r, s)
		}
	case ExceptionExpired:
		if weak {
			return fmt.Sprintf("%s cannot be %s: remove the exception, or set another day", r, s)
		}
	case RuleOff:
		if s == Off {
			return fmt.Sprintf("%s cannot be off: it says which rules are", r)
		}
	}
	return ""
}

const requireSetting = "distribution.require"

// settings are those that a rule's findings come from, unless they say more
// themselves.
var settings = map[Rule]string{
	CertificateExpired: "certificates.expires_within", ClientCertNotVerifiable: "certificates.cas", ServerCertNotVerifiable: "certificates.cas",
	EPMDReached: "epmd.networks", NodeNotAllowed: "distribution.nodes", NotWhereAllowed: "distribution.networks", KnownCookie: "cookies",
}

// by says which setting of the policy asks for what is not so.
func (f *Finding) by(setting string) *Finding {
	f.demand = setting
	return f
}

// place finds the line of the policy that a finding comes from.
func (p *Policy) place(f *Finding) Place {
	if f.Waiver != nil {
		return f.Waiver.Place
	}
	if f.Place != (Place{}) {
		return f.Place
	}
	if at, ok := p.Places["severities."+string(f.Rule)]; ok {
		return at
	}
	settings := []string{f.demand}
	if f.demand == "certificates.unseen" {
		settings = append(settings, "certificates.cas", "certificates.ca_fingerprints", "certificates.issuers", "certificates.min_rsa_bits", "certificates.min_ec_bits")
	}
	for _, setting := range settings {
		if at, ok := p.Places[setting]; ok {
			return at
		}
	}
	return p.Places[requireSetting]
}

// settle decides what the findings do to the outcome, and where they come from.
func (r *ruler) settle() {
	p := &r.options.Policy
	for i := range r.findings {
		f := &r.findings[i]
		if f.demand == "" {
			f.demand = settings[f.Rule]
		}
		if _, set := p.Severities[f.Rule]; set {
			f.demand = "severities." + string(f.Rule)
		}
		f.Effect, f.Place = p.effectOf(f), p.place(f)
	}
}

// switchedOff says which rules the policy switches off, where they would have
// found something.
func (r *ruler) switchedOffRules() {
	for _, rule := range Rules() {
		if n := r.switchedOff[rule]; n > 0 {
			f := r.add(RuleOff, Info, nil, fmt.Sprintf("%s (%s) is switched off by the policy, and would have found something %s", rule, rule.Title(), Often(uint64(n))))
			f.Place = r.options.Policy.Places["severities."+string(rule)]
		}
	}
}

// listens reports whether a port mapper may listen on a port.
func (p *Policy) listens(port uint16) bool {
	return len(p.EPMDPorts) == 0 || inRanges(p.EPMDPorts, port)
}

// transport are the rules that say of a connection that the requirement is not
// met, or not shown to be.
var transportRules = []Rule{CleartextDistribution, CleartextInsideTLS, NoClientCertificate, OptionalClientCert, NotProven}

func isTransport(r Rule) bool { return slices.Contains(transportRules, r) }
