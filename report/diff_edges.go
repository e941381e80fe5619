package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An EdgeChange is an edge that is new or gone, or of which another thing is
// known than before.
type EdgeChange struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Old is absent if the edge is new, New if it is gone.
	Old *EdgeState `json:"old,omitempty"`
	New *EdgeState `json:"new,omitempty"`
	// What says in words what changed.
	What []string `json:"what"`
	// MayBe lists up to ten edges that only the other document has and that may be
	// this one, as an end has no name here or there. With thousands of edges it is
	// empty.
	MayBe []string `json:"may_be"`
	Change
}

// An EdgeState is the worst of what is known of an edge's connections.
type EdgeState struct {
	Verdict     string `json:"verdict"`
	Connections int    `json:"connections"`
	// TLS is the oldest version; absent without one.
	TLS string `json:"tls,omitempty"`
	// ClientCertificate is the status of the client's certificate, and Basis how
	// it is known; absent without TLS.
	ClientCertificate string `json:"client_certificate,omitempty"`
	Basis             string `json:"basis,omitempty"`
	// ClientVerification and ServerVerification say what came of checking the
	// certificates against CAs: ok, failed or not-checked; absent without TLS.
	ClientVerification string `json:"client_verification,omitempty"`
	ServerVerification string `json:"server_verification,omitempty"`
}

type edgeKey struct{ from, to string }

func (k edgeKey) String() string { return k.from + " → " + k.to }

// The words of which the worst is taken, the worst first.
var (
	statusOrder       = []string{"not-requested", "empty", "unknown", "resumed", "presented"}
	basisOrder        = []string{"none", "inferred", "observed", "decrypted", "verified"}
	verificationOrder = []string{"failed", "not-checked", "ok"}
)

// edgeStates has what is known of each edge. The likely nodes of ends do not name
// them here: who is likely depends on which others were seen.
func edgeStates(doc *Document) map[edgeKey]*EdgeState {
	out := map[edgeKey]*EdgeState{}
	for i := range doc.Connections {
		c := &doc.Connections[i]
		if c.Verdict == nil {
			continue
		}
		k := edgeKey{c.Client.lastingLabel(), c.Server.lastingLabel()}
		s := out[k]
		if s == nil {
			s = &EdgeState{Verdict: *c.Verdict}
			out[k] = s
		}
		s.add(c)
	}
	return out
}

func (s *EdgeState) add(c *Connection) {
	s.Connections++
	s.Verdict = worseOf(verdicts(), s.Verdict, *c.Verdict)
	// That a bad certificate was refused is no fault of the edge.
	if *c.Verdict == "refused" {
		return
	}
	if c.TLS != nil && c.TLS.Version != nil {
		s.TLS = olderTLS(s.TLS, *c.TLS.Version)
	}
	if cert := c.ClientCertificate; cert != nil {
		basis := cert.Basis
		if cert.Possession == "verified" {
			basis = "verified"
		}
		s.ClientCertificate = worseOf(statusOrder, s.ClientCertificate, cert.Status)
		s.Basis = worseOf(basisOrder, s.Basis, basis)
		s.ClientVerification = worseOf(verificationOrder, s.ClientVerification, cert.Verification.Status)
	}
	if cert := c.ServerCertificate; cert != nil {
		s.ServerVerification = worseOf(verificationOrder, s.ServerVerification, cert.Verification.Status)
	}
}

// worseOf returns the one that is first in the list; one that is not in it
// comes before all, and "" after all.
func worseOf(list []string, a, b string) string {
	switch {
	case a == "":
		return b
	case b == "" || rank(list, a) <= rank(list, b):
		return a
	}
	return b
}

// olderTLS returns the older of two versions, of which the first may be "".
func olderTLS(a, b string) string {
	if a == "" || tlsAge(b) < tlsAge(a) {
		return b
	}
	return a
}

func tlsAge(version string) string {
	if strings.HasPrefix(strings.ToLower(version), "ssl") {
		return "0" + version
	}
	return version
}

func edgeChanges(before, after *Document) []EdgeChange {
	old, now := edgeStates(before), edgeStates(after)
	guess := len(old)*len(now) <= maxGuesses
	out := []EdgeChange{}
	for k, s := range now {
		was := old[k]
		switch {
		case was == nil:
			out = append(out, newEdge(k, s, mayBe(k, old, now, guess)))
		case *was != *s:
			if c, changed := changedEdge(k, was, s); changed {
				out = append(out, c)
			}
		}
	}
	for k, s := range old {
		if now[k] == nil {
			out = append(out, EdgeChange{From: k.from, To: k.to, Old: s, What: []string{"not seen any more; it was " + s.Verdict}, MayBe: mayBe(k, now, old, guess), Change: Change{isGone, noEffect}})
		}
	}
	slices.SortFunc(out, func(a, b EdgeChange) int {
		return cmp.Or(compareChanges(a.Change, b.Change), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return out
}

// newEdge is an edge that was not there. That it is not mutual TLS is worse than
// that it was not there.
func newEdge(k edgeKey, s *EdgeState, may []string) EdgeChange {
	effect := noEffect
	switch s.Verdict {
	case "mutual", "refused":
	case "inconclusive":
		effect = lessProven
	default:
		effect = isWorse
	}
	return EdgeChange{From: k.from, To: k.to, New: s, What: []string{"not seen before; it is " + s.Verdict}, MayBe: may, Change: Change{isNew, effect}}
}

// maxGuesses is how many pairs of edges are looked at for which one may be another.
const maxGuesses = 4_000_000

// mayBe lists the edges of the other document that may be the same one: an end
// whose name is hidden in one may have a name in the other. Edges that are in
// both documents are themselves.
func mayBe(k edgeKey, others, same map[edgeKey]*EdgeState, guess bool) []string {
	out := []string{}
	if !guess {
		return out
	}
	for o := range others {
		if _, itself := same[o]; !itself && maybeSame(k.from, o.from) && maybeSame(k.to, o.to) {
			out = append(out, o.String())
		}
	}
	slices.Sort(out)
	const most = 10
	return out[:min(len(out), most)]
}

// maybeSame reports whether two labels are the same, or one is an address, or
// names a host alone and the other a node of it.
func maybeSame(a, b string) bool {
	_, hostA, namedA := strings.Cut(a, "@")
	_, hostB, namedB := strings.Cut(b, "@")
	return a == b || !namedA || !namedB || (unnamed(a) || unnamed(b)) && hostA == hostB
}

// changedEdge compares what is known of an edge; not all differences are
// changes: that there are more connections is none.
func changedEdge(k edgeKey, was, is *EdgeState) (EdgeChange, bool) {
	c := EdgeChange{From: k.from, To: k.to, Old: was, New: is, What: []string{}, MayBe: []string{}, Change: Change{isChanged, noEffect}}
	note := func(effect, format string, args ...any) {
		c.What = append(c.What, fmt.Sprintf(format, args...))
		if rank(changeEffects(), effect) < rank(changeEffects(), c.Effect) {
			c.Effect = effect
		}
	}
	if was.Verdict != is.Verdict {
		note(verdictEffect(was.Verdict, is.Verdict), "%s → %s", was.Verdict, is.Verdict)
	}
	if was.ClientCertificate != is.ClientCertificate && was.ClientCertificate != "" && is.ClientCertificate != "" {
		note(noEffect, "client certificate: %s → %s", was.ClientCertificate, is.ClientCertificate)
	}
	if was.Verdict == is.Verdict && was.Basis != is.Basis && was.Basis != "" && is.Basis != "" {
		effect := isBetter
		if rank(basisOrder, is.Basis) < rank(basisOrder, was.Basis) {
			effect = lessProven
		}
		note(effect, "known by: %s → %s", was.Basis, is.Basis)
	}
	for _, v := range []struct{ who, was, is string }{
		{"client", was.ClientVerification, is.ClientVerification}, {"server", was.ServerVerification, is.ServerVerification},
	} {
		if v.was != v.is && v.was != "" && v.is != "" {
			note(verificationEffect(v.was, v.is), "%s certificate against the CAs: %s → %s", v.who, v.was, v.is)
		}
	}
	if was.TLS != is.TLS && was.TLS != "" && is.TLS != "" {
		note(noEffect, "TLS %s → %s", was.TLS, is.TLS)
	}
	return c, len(c.What) > 0
}

// verdictEffect says what another verdict means. What can no longer be told may
// be anything; what is known to be bad now is worse than what was not known.
func verdictEffect(was, is string) string {
	good := []string{"mutual", "refused"}
	switch {
	case is == "inconclusive":
		return lessProven
	case slices.Contains(good, is) && slices.Contains(good, was):
		return noEffect
	case rank(verdicts(), is) > rank(verdicts(), was):
		return isBetter
	}
	return isWorse
}

func verificationEffect(was, is string) string {
	switch {
	case is == "ok":
		return isBetter
	case is == "not-checked":
		return lessProven
	}
	return isWorse
}
