package watch

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"distproof/internal/plural"
	"distproof/report"
	"distproof/verify"
)

// patience is for how long nothing is said of a handshake that is under way: what
// it comes to will be known in a moment.
const patience = time.Second

// told is what was said of a connection.
type told struct {
	opened, closed, stalled bool
	verdict                 string
	look                    look
	findings                []noted
	// since is when the connection was first seen; held says that nothing is said
	// of it yet.
	since time.Time
	held  bool
	// missed says that something of it was not taken.
	missed bool
	// folded is the round in which it was only counted, as the one with the id like
	// was told; 0 if that is not so.
	folded uint64
	like   string
}

// A look is what changes of a connection that are told.
type look struct {
	protocol, state                   string
	client, server                    report.EndName
	version, suite, clientCertificate string
	clientChecked, serverChecked      string
}

// connection tells what is new of the connection with index i.
func (t *teller) connection(out *events, m *maker, s *State, i int, final bool) {
	c, a := &s.Document.Connections[i], &s.Activity[i]
	k := &m.following.all[i].told
	if k.since.IsZero() {
		k.since = s.At
	}
	if k.held, k.missed = false, false; c.Verdict == nil {
		return
	}
	if !k.opened {
		if wait := t.patienceWith(c) - s.At.Sub(k.since); wait > 0 && a.Open && underway(c) && !final {
			k.held, t.held = true, t.round
			m.soonest(wait)
			return
		}
		if t.fold(k, c, a, s.At) {
			return
		}
	}
	n := news{out, c, k}
	n.look(lookAt(c))
	n.verdict()
	n.silence(a)
	if over := !a.Open; over != k.closed {
		if how, failed := failureOf(c, a); failed {
			t.repeatsOf(c, how, s.At)
		}
		n.end(a)
	}
}

// patienceWith is for how long nothing is said of a connection whose handshake is
// under way.
func (t *teller) patienceWith(c *report.Connection) time.Duration {
	if len(t.repeats) > 0 && len(t.repeats[edgeOf(c)]) > 0 {
		return attempted
	}
	return patience
}

// news tells what is new of a connection, of which k is what was told.
type news struct {
	out *events
	c   *report.Connection
	k   *told
}

// say adds an event, of which k says that it was told. undo has k as it was before.
func (n news) say(undo func(), kind, format string, args ...any) *Event {
	n.out.add(Event{Event: kind, Connection: n.c, Message: Name(n.c) + " " + fmt.Sprintf(format, args...)}, func() { undo(); n.k.missed = true })
	return &n.out.list[len(n.out.list)-1].Event
}

// look tells that the connection is there, or what is other than before.
func (n news) look(now look) {
	c, k := n.c, n.k
	if !k.opened {
		k.opened, k.look, k.verdict = true, now, *c.Verdict
		how := "was opened"
		if c.State == string(verify.Midstream) {
			how = "was found, and its beginning was not captured"
		}
		n.say(func() { k.opened = false }, EventOpened, "%s: %s: %s", how, *c.Verdict, c.Reason)
	}
	if now == k.look {
		return
	}
	before := k.look
	k.look = now
	if changes := now.changes(&before); len(changes) > 0 {
		n.say(func() { k.look = before }, EventChanged, "%s", strings.Join(changes, ", "))
	}
}

func (n news) verdict() {
	c, k := n.c, n.k
	if before := k.verdict; *c.Verdict != before {
		k.verdict = *c.Verdict
		n.say(func() { k.verdict = before }, EventVerdict, "is %s, and was %s: %s", k.verdict, before, c.Reason).Before = before
	}
}

func (n news) silence(a *Activity) {
	k := n.k
	if a.Stalled == k.stalled || !a.Open {
		return
	}
	k.stalled = a.Stalled
	undo := func() { k.stalled = !k.stalled }
	if k.stalled {
		n.say(undo, EventStalled, "is silent: no tick and nothing else came from one of the nodes for more than %d s", silence)
	} else {
		n.say(undo, EventTicking, "is not silent any more")
	}
}

// end tells that the connection is over, or is not any more.
func (n news) end(a *Activity) {
	c, k := n.c, n.k
	before := k.closed
	k.closed = !a.Open
	undo := func() { k.closed = before }
	if a.Open {
		n.say(undo, EventChanged, "goes on after it seemed to be over")
		return
	}
	how := ""
	if a.Gone {
		how = goneText + ": "
	}
	n.say(undo, EventClosed, "is over: %s%s and %s", how, plural.Of(c.Bytes.Client, "byte of the client", "bytes of the client"), plural.Of(c.Bytes.Server, "byte of the server", "bytes of the server"))
}

// goneText says how a connection is over of whose end nothing was captured.
const goneText = "its end was not captured, and the kernel of this host has it no more"

// underway reports whether the handshake of a connection may still go on.
func underway(c *report.Connection) bool {
	return c.State == string(verify.Incomplete) && (*c.Verdict == string(verify.Inconclusive) || *c.Verdict == string(verify.Refused))
}

// lookAt returns what is told of a connection if it changes.
func lookAt(c *report.Connection) look {
	l := look{protocol: c.Protocol, state: c.State, client: report.NameOf(&c.Client), server: report.NameOf(&c.Server)}
	if c.TLS != nil {
		l.suite = c.TLS.CipherSuite
		if c.TLS.Version != nil {
			l.version = *c.TLS.Version
		}
	}
	if c.ClientCertificate != nil {
		l.clientCertificate, l.clientChecked = c.ClientCertificate.Status, c.ClientCertificate.Verification.Status
	}
	if c.ServerCertificate != nil {
		l.serverChecked = c.ServerCertificate.Verification.Status
	}
	return l
}

// changes lists in words what is other than before.
func (l *look) changes(before *look) []string {
	var out []string
	for _, x := range []struct{ what, now, was string }{
		{"protocol", l.protocol, before.protocol},
		{"state", l.state, before.state},
		{"client", l.client.String(), before.client.String()},
		{"server", l.server.String(), before.server.String()},
		{"TLS version", l.version, before.version},
		{"cipher suite", l.suite, before.suite},
		{"client certificate", l.clientCertificate, before.clientCertificate},
		{"verification of the client's certificate", l.clientChecked, before.clientChecked},
		{"verification of the server's certificate", l.serverChecked, before.serverChecked},
	} {
		if x.now != x.was {
			out = append(out, fmt.Sprintf("%s: %s, was %s", x.what, cmp.Or(x.now, "unknown"), cmp.Or(x.was, "unknown")))
		}
	}
	return out
}

// Name names a connection by its id and its ends, as far as they are known.
func Name(c *report.Connection) string {
	return fmt.Sprintf("%s %s → %s", c.ID, end(&c.Client), end(&c.Server))
}

func end(e *report.Endpoint) string {
	at := fmt.Sprintf("%s:%d", e.Address, e.Port)
	if strings.Contains(e.Address, ":") {
		at = fmt.Sprintf("[%s]:%d", e.Address, e.Port)
	}
	if e.Node == "" {
		return at
	}
	return e.Node + " (" + at + ")"
}
