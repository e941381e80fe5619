package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"distproof/decode"
)

// A Peer names nodes by a pattern of their names, or by their addresses.
type Peer struct {
	text    string
	node    NodeGlob
	network netip.Prefix
}

// ParsePeer reads a pattern of node names, an address or a network.
func ParsePeer(s string) (Peer, error) {
	if network, err := ParseNetwork(s); err == nil {
		return Peer{text: s, network: network}, nil
	}
	node, err := ParseNodeGlob(s)
	if err != nil {
		return Peer{}, fmt.Errorf("%q is neither a pattern of node names like app@*.example.org nor an address or a network", s)
	}
	return Peer{text: s, node: node}, nil
}

func (p Peer) String() string { return p.text }

// is reports whether an end of a connection certainly is such a node.
func (p Peer) is(e decode.End) bool {
	if p.network.IsValid() {
		return Networks{p.network}.Has(e.Address.Addr())
	}
	name, host, whole := strings.Cut(e.Node, "@")
	if !whole {
		host = e.Host
	}
	allowed, _ := p.node.allows(name, host)
	return allowed && name+host != ""
}

// An Exception lets findings pass: those of the rules that it names, or of all,
// on the connections that it names.
type Exception struct {
	// Rules are all that can be excepted if empty.
	Rules []Rule
	// Peers are one that is at either end, or two between which the connection
	// is, whoever dialled; empty for all connections.
	Peers []Peer
	// Networks are those that both ends must be in, beside that: in the clear
	// anybody can claim a name. Any if empty.
	Networks      Networks
	Reason, Owner string
	// Expires is the last day on which it holds, in UTC.
	Expires time.Time
	// AllowCritical lets it cover what is protected.
	AllowCritical bool
	Place         Place
}

// ExpiredAt reports whether the exception's last day, which ends at midnight
// UTC, is over.
func (e *Exception) ExpiredAt(now time.Time) bool {
	return now.IsZero() || !now.Before(e.Expires.AddDate(0, 0, 1))
}

// covers reports whether the exception is about a finding of a rule on a
// connection, which may be nil.
func (e *Exception) covers(rule Rule, c *decode.Connection) bool {
	if len(e.Rules) > 0 && !slices.Contains(e.Rules, rule) {
		return false
	}
	switch {
	case len(e.Peers)+len(e.Networks) == 0:
		return true
	case c == nil:
		return false
	case len(e.Networks) > 0 && !(e.Networks.Has(c.Ends[0].Address.Addr()) && e.Networks.Has(c.Ends[1].Address.Addr())):
		return false
	case len(e.Peers) == 0:
		return true
	case len(e.Peers) == 1:
		return e.Peers[0].is(c.Ends[0]) || e.Peers[0].is(c.Ends[1])
	}
	return joins(e.Peers[0], e.Peers[1], c)
}

// joins reports whether a connection is between two peers, whoever dialled.
func joins(a, b Peer, c *decode.Connection) bool {
	return a.is(c.Ends[0]) && b.is(c.Ends[1]) || a.is(c.Ends[1]) && b.is(c.Ends[0])
}

// subject says in words what an exception is about.
func (e *Exception) subject() string {
	var parts []string
	for _, rule := range e.Rules {
		parts = append(parts, string(rule))
	}
	what := cmp.Or(strings.Join(parts, ", "), "all rules")
	switch len(e.Peers) {
	case 1:
		what += " at " + clip(e.Peers[0].text)
	case 2:
		what += " between " + clip(e.Peers[0].text) + " and " + clip(e.Peers[1].text)
	}
	if len(e.Networks) > 0 {
		var list []string
		for _, n := range e.Networks {
			list = append(list, n.String())
		}
		what += " in " + enumerate(list)
	}
	return what
}

// CanBeExcepted says why no exception can name a rule; "" if one can. What says
// that too little was seen is about the capture, not about a connection.
func (r Rule) CanBeExcepted() string {
	switch r {
	case NothingToVerify, LossyCapture:
		return fmt.Sprintf("%s cannot be covered by an exception: --allow-inconclusive tolerates it for a run, and the report says so", r)
	case NotSeen:
		return fmt.Sprintf("%s cannot be covered by an exception: do not expect what need not be there", r)
	case ExceptionExpired, ExceptionIdle, RuleOff:
		return fmt.Sprintf("%s cannot be covered by an exception: it is about the policy itself", r)
	}
	return ""
}

// Protected reports whether findings of a rule are let pass only by exceptions
// that allow critical ones: those that show that somebody can run code on the
// nodes, or that a forged identity was accepted.
func (r Rule) Protected(s Severity) bool {
	switch r {
	case RemoteExecutionExposed, KnownCookie:
		return true
	case CleartextDistribution: // what exceptions are for
		return false
	}
	return s == Critical
}

// exceptionUse is what came of an exception.
type exceptionUse struct {
	used bool
	// revived are the connections of findings that it would let pass, had it not
	// expired; any says that there are such findings.
	revived []*decode.Connection
	any     bool
	// spared are the rules that it does not cover.
	spared []Rule
}

// waiver finds the exception that lets a finding pass; nil if there is none.
func (r *ruler) waiver(rule Rule, s Severity, c *decode.Connection) *Exception {
	p := &r.options.Policy
	if len(p.Exceptions) == 0 || rule.CanBeExcepted() != "" {
		return nil
	}
	if r.uses == nil {
		r.uses = make([]exceptionUse, len(p.Exceptions))
	}
	for i := range p.Exceptions {
		e, use := &p.Exceptions[i], &r.uses[i]
		if !e.covers(rule, c) {
			continue
		}
		switch {
		case rule.Protected(s) && !e.AllowCritical:
			if !slices.Contains(use.spared, rule) {
				use.spared = append(use.spared, rule)
			}
		case e.ExpiredAt(p.Now):
			use.any = true
			if n := len(use.revived); c != nil && (n == 0 || use.revived[n-1] != c) {
				use.revived = append(use.revived, c)
			}
		default:
			use.used = true
			return e
		}
	}
	return nil
}

// exceptions says which exceptions have expired, or do nothing.
func (r *ruler) exceptions() {
	p := &r.options.Policy
	if r.uses == nil {
		r.uses = make([]exceptionUse, len(p.Exceptions))
	}
	for i := range p.Exceptions {
		e, use := &p.Exceptions[i], &r.uses[i]
		about := fmt.Sprintf("the exception for %s (%s; %s)", e.subject(), clip(e.Reason), clip(e.Owner))
		day := e.Expires.Format(time.DateOnly)
		if use.any {
			message := fmt.Sprintf("%s expired at the end of %s: what it covered counts again", about, day)
			r.add(ExceptionExpired, Medium, nil, message).Place = e.Place
			for _, c := range use.revived {
				r.add(ExceptionExpired, Medium, c, message)
			}
		}
		text := ""
		switch {
		case len(use.spared) > 0 && !use.any:
			text = fmt.Sprintf("%s does not cover %s: that needs allow_critical: true", about, ruleList(use.spared))
		case !use.used && !use.any && e.ExpiredAt(p.Now):
			text = fmt.Sprintf("%s expired at the end of %s, and there is nothing for it to cover", about, day)
		case !use.used && !use.any:
			text = fmt.Sprintf("%s is not used: there is nothing for it to cover", about)
		}
		if text != "" {
			r.add(ExceptionIdle, Info, nil, text).Place = e.Place
		}
	}
}

func ruleList(rules []Rule) string {
	var names []string
	for _, rule := range rules {
		names = append(names, string(rule))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
