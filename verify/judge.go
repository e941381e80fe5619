package verify

import (
	"cmp"
	"crypto/x509"
	"slices"
	"time"

	"distproof/decode"
)

// A Severity says how bad a finding is. The words are part of the report's format.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

var severityRank = map[Severity]int{Critical: 4, High: 3, Medium: 2, Low: 1, Info: 0}

// Compare orders severities, the worst first.
func (s Severity) Compare(t Severity) int { return cmp.Compare(severityRank[t], severityRank[s]) }

// Outcome is the answer to the question whether the policy holds. The words are
// part of the report's format.
type Outcome string

// The outcomes.
const (
	Pass      Outcome = "pass"
	Fail      Outcome = "fail"
	Undecided Outcome = "inconclusive"
)

// Options say what to judge by.
type Options struct {
	// CAs are those that certificates must verify against; nil if that is not
	// to be checked.
	CAs *x509.CertPool
	// EPMDNetworks are those from which port mappers may be reached; empty for
	// loopback and private ones.
	EPMDNetworks Networks
	// Cookies are known ones, beside those that products ship.
	Cookies []Cookie
	// Tried remembers what came of trying cookies; nil if none of it is judged again.
	Tried *Tried
	// AllowNodes, AllowNetworks and AllowPorts are the nodes, the addresses of
	// both ends and the ports of servers that may take part; all if empty.
	AllowNodes    []NodeGlob
	AllowNetworks Networks
	AllowPorts    []PortRange
	// ExpiresWithin is how long before its end a certificate's validity is a
	// finding; 0 for never.
	ExpiresWithin time.Duration
	// Used returns until when a connection is known to be open; nil if they are
	// judged by when they were made.
	Used func(*decode.Connection) time.Time
	// Policy is what the connections are held against.
	Policy Policy
}

// Coverage says what the inputs left out.
type Coverage struct {
	// Damaged names the inputs that ended early, with the reason.
	Damaged []string
	// Dropped counts packets that the capturing system lost.
	Dropped uint64
	// Unreadable counts packets, by reason, that may have been TCP and could not
	// be read; Sealed those that may have been, encrypted as a whole.
	Unreadable, Sealed map[string]uint64
	// Uncaptured names connections between nodes that the capturing system has and
	// of which no packet was captured.
	Uncaptured []string
	// Undecided names connections between programs of Erlang on the capturing system
	// whose beginning was not captured, and whose packets do not show yet whether
	// they are between nodes.
	Undecided []string
}

// A Finding is a rule that is broken, or cannot be shown to hold.
type Finding struct {
	Rule     Rule
	Severity Severity
	// Connections are those concerned; empty if it is about the capture.
	Connections []*decode.Connection
	Message     string
	Evidence    []Evidence
	// Unproven says that the rule may be kept: the finding is that this cannot
	// be told.
	Unproven bool
	// Fix is what mends this, if it is not what mends all findings of the rule.
	Fix string
	// Effect is what the finding does to the outcome.
	Effect Effect
	// Waiver is the exception that lets the finding pass; nil if none does.
	Waiver *Exception
	// Place is the line of the policy that asks for what is not so; zero if
	// there is none.
	Place Place

	// demand is the setting that asks for it.
	demand string
}

// Evidence is a frame that shows something.
type Evidence struct {
	Frame decode.Frame
	Text  string
}

// A Judgement is what a capture comes to.
type Judgement struct {
	// Conclusions has one for each connection of the capture, in its order.
	Conclusions []Conclusion
	// Certificates has the results of checking certificates, likewise. What
	// several have in common is there once.
	Certificates []*Certificates
	// Findings are ordered by severity, then by rule.
	Findings []Finding
	Outcome  Outcome
	// Reason says in a sentence why.
	Reason string
	// Policy is the name of the policy; "" if it is the default.
	Policy string
	// Coverage is what the judgement took for left out.
	Coverage Coverage
}

// Observe draws the verdicts of a capture without judging them.
func Observe(c *decode.Capture, o Options) *Judgement {
	j, x := newJudgement(c), o.examiner()
	for _, c := range c.Connections {
		j.observe(c, x)
	}
	return j
}

func newJudgement(c *decode.Capture) *Judgement {
	n := len(c.Connections)
	return &Judgement{Conclusions: make([]Conclusion, 0, n), Certificates: make([]*Certificates, 0, n)}
}

// observe draws the verdict of the next connection, of which x checks the
// certificates.
func (j *Judgement) observe(c *decode.Connection, x *examiner) (Conclusion, *Certificates) {
	k, v := conclude(c, x), x.examine(c)
	j.Conclusions, j.Certificates = append(j.Conclusions, k), append(j.Certificates, v)
	return k, v
}

func (o *Options) examiner() *examiner {
	x := newExaminer(o.CAs)
	x.anyHost = o.Policy.Certificates.AnyHost
	return x
}

// Judge holds a capture against a policy. By default that is "mutual": every
// connection of distribution is mutual TLS, or came to nothing.
func Judge(c *decode.Capture, cover Coverage, o Options) *Judgement {
	j := newJudgement(c)
	r := ruler{capture: c, judgement: j, cover: cover, options: o, cookies: NewCookieCheck(o.Cookies)}
	r.cookies.tried = o.Tried
	o.Tried.turn()
	r.run(o.examiner())
	j.Findings = r.findings
	slices.SortStableFunc(j.Findings, func(a, b Finding) int {
		return cmp.Or(a.Severity.Compare(b.Severity), cmp.Compare(a.Rule, b.Rule))
	})
	j.Policy, j.Coverage = o.Policy.Name, cover
	j.Outcome, j.Reason = j.conclude(c, o.Policy.Require, r.sorted.count)
	return j
}
