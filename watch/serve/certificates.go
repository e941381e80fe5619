package serve

import (
	"cmp"
	"slices"
	"time"

	"distproof/report"
	"distproof/watch"
)

// maxCertificates is how many certificates have metrics of their own: what they
// are called comes off the wire.
const maxCertificates = 100

// lately is how long a connection that is over says what certificate a node has.
const lately = 24 * time.Hour

// A holder is who presented a certificate, as it came off the wire.
type holder struct {
	// role is client or server; issuer for certificates sent along.
	role string
	// node is its name, or its address if that is not known.
	node     string
	subject  string
	accepted bool
}

// A certificate is the latest that a holder presented.
type certificate struct {
	holder
	expires time.Time
}

// expiries finds when the certificates expire that nodes use now: not those that
// were renewed since, nor those of nodes that are gone.
type expiries struct {
	since time.Time
	// latest has their not_after.
	latest map[holder]string
}

// newExpiries counts back from the last packet, by the capture's clock: what is
// piped in may be of another day.
func newExpiries(s *watch.State) *expiries {
	var last time.Time
	for i := range s.Activity {
		if at := s.Activity[i].Last; at.After(last) {
			last = at
		}
	}
	return &expiries{last.Add(-lately), make(map[holder]string)}
}

// connection takes connections in the order in which they began: what one says
// counts more than what those before said.
func (e *expiries) connection(c *report.Connection, now *watch.Activity) {
	if c.Verdict == nil || !now.Open && now.Last.Before(e.since) {
		return
	}
	if p := c.ClientCertificate; p != nil {
		e.chain("client", &c.Client, p.Chain, p.Accepted)
	}
	if p := c.ServerCertificate; p != nil {
		e.chain("server", &c.Server, p.Chain, p.Accepted)
	}
}

func (e *expiries) chain(role string, end *report.Endpoint, chain []report.Certificate, accepted *bool) {
	for i := range chain {
		if i > 0 {
			role = "issuer"
		}
		e.latest[holder{role, cmp.Or(end.Node, end.Address), chain[i].Subject, accepted != nil && *accepted}] = chain[i].NotAfter
	}
}

// sorted returns the certificates with what is fit for labels, those first that
// are worth more: accepted ones, as anybody can present any number of others, then
// those that expire first. Of those that look the same the first one counts.
func (e *expiries) sorted() []certificate {
	distinct := make(map[holder]time.Time)
	for h, notAfter := range e.latest {
		expires, err := time.Parse(time.RFC3339Nano, notAfter)
		if err != nil { // it could not be parsed: nothing is known
			continue
		}
		h.node, h.subject = label(h.node), label(h.subject)
		if known, ok := distinct[h]; !ok || expires.Before(known) {
			distinct[h] = expires
		}
	}
	all := make([]certificate, 0, len(distinct))
	for h, expires := range distinct {
		all = append(all, certificate{h, expires})
	}
	slices.SortFunc(all, func(a, b certificate) int {
		return cmp.Or(
			cmp.Compare(flag(b.accepted), flag(a.accepted)), a.expires.Compare(b.expires),
			cmp.Compare(a.node, b.node), cmp.Compare(a.subject, b.subject), cmp.Compare(a.role, b.role))
	})
	return all
}
