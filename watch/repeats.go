package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"distproof/internal/plural"
	"distproof/report"
	"distproof/verify"
)

const (
	// repeatsAfter is how often it is told how many attempts to connect came to
	// nothing as the ones before. What comes later than that is told anew.
	repeatsAfter = time.Minute
	// attempted is for how long nothing is said of a handshake under way where the one
	// before came to nothing: nodes give it up after 7 s (net_setuptime).
	attempted = 8 * time.Second
)

// An edge is who dials whom.
type edge struct {
	client, server string
	port           uint16
}

func edgeOf(c *report.Connection) edge {
	return edge{c.Client.Address, c.Server.Address, c.Server.Port}
}

// A failure is how an attempt to connect came to nothing.
type failure struct {
	look
	verdict, reason, rules string
}

// failureOf returns how c came to nothing; false if it did not, or not yet.
func failureOf(c *report.Connection, a *Activity) (failure, bool) {
	refused := *c.Verdict == string(verify.Refused) || c.State == string(verify.TLSFailed) || c.State == string(verify.DistRefused)
	return failure{lookAt(c), *c.Verdict, c.Reason, strings.Join(c.Findings, " ")}, refused && !a.Open
}

// Repeats are the attempts of an edge that came to nothing in the same way.
type repeats struct {
	failure
	// first is the one that was told; latest is the last of those that are more, and
	// since is from when on these are counted.
	first  string
	latest report.Connection
	more   uint64
	since  time.Time
}

// repeatsOf returns those of the edge of c that came to nothing as it did. If there
// are none, c is the first.
func (t *teller) repeatsOf(c *report.Connection, how failure, now time.Time) *repeats {
	at := edgeOf(c)
	for _, r := range t.repeats[at] {
		if r.failure == how {
			return r
		}
	}
	r := &repeats{failure: how, first: c.ID, since: now}
	t.repeats[at] = append(t.repeats[at], r)
	return r
}

// fold counts c instead of telling it if it came to nothing as one that was told.
func (t *teller) fold(k *told, c *report.Connection, a *Activity, now time.Time) bool {
	how, failed := failureOf(c, a)
	if !failed {
		return false
	}
	r := t.repeatsOf(c, how, now)
	if r.first == c.ID {
		return false
	}
	r.more++
	r.latest = *c
	k.opened, k.closed, k.look, k.verdict = true, true, how.look, how.verdict
	k.like, k.folded = r.first, t.round
	return true
}

// foldedWith reports whether a finding about a connection that was folded just now
// is also about the one that was told.
func (t *teller) foldedWith(k *told, f *report.Finding) bool {
	return k != nil && k.folded == t.round && slices.Contains(f.Connections, k.like)
}

// repeated tells how many attempts were folded.
func (t *teller) repeated(out *events, m *maker, s *State, final bool) {
	var due []*repeats
	for at, list := range t.repeats {
		list = slices.DeleteFunc(list, func(r *repeats) bool {
			switch age := s.At.Sub(r.since); {
			case r.more > 0 && (final || age >= repeatsAfter):
				due = append(due, r)
			case age >= repeatsAfter:
				return true
			default:
				m.soonest(repeatsAfter - age)
			}
			return false
		})
		if t.repeats[at] = list; len(list) == 0 {
			delete(t.repeats, at)
		}
	}
	slices.SortFunc(due, func(a, b *repeats) int { return compareIDs(a.latest.ID, b.latest.ID) })
	for _, r := range due {
		n, since, latest := r.more, r.since, r.latest
		r.more, r.since = 0, s.At
		out.add(Event{
			Event: EventRepeated, Connection: &latest, Repeated: n,
			Message: fmt.Sprintf("%s was the last of %s within %d s that came to nothing as %s did: %s: %s",
				Name(&latest), plural.Of(n, "attempt", "attempts"), int(s.At.Sub(since).Seconds()), r.first, r.verdict, r.reason),
		}, func() { r.more, r.since = r.more+n, since })
	}
}
