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
	round                   uint64
	opened, closed, stalled bool
	verdict                 string
	look                    look
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
	protocol, state, client, server   string
	version, suite, clientCertificate string
	clientChecked, serverChecked      string
}

// connection tells what is new of the connection with index i.
func (t *teller) connection(out *events, m *maker, s *State, i int, final bool) {
	c, a := &s.Document.Connections[i], &s.Activity[i]
	k := t.connections[c.ID]
	if k == nil {
		k = &told{since: s.At}
		t.connections[c.ID] = k
	}
	k.round = t.round
	if k.held, k.missed = false, false; c.Verdict == nil {
		return
	}
	now, wait := lookAt(c), patience
	if len(t.repeats) > 0 && len(t.repeats[edgeOf(c)]) > 0 {
		wait = attempted
	}
	if age := s.At.Sub(k.since); !k.opened && a.Open && underway(c) && age < wait && !final {
		k.held = true
		m.soonest(wait - age)
		return
	}
	if !k.opened && t.fold(k, c, a, s.At) {
		return
	}
	// k becomes what was told; undo is what it was without.
	say := func(undo func(), kind, format string, args ...any) *Event {
		out.add(Event{Event: kind, Connection: c, Message: Name(c) + " " + fmt.Sprintf(format, args...)}, func() { undo(); k.missed = true })
		return &out.list[len(out.list)-1].Event
	}
	if !k.opened {
		k.opened, k.look, k.verdict = true, now, *c.Verdict
		how := "was opened"
		if c.State == string(verify.Midstream) {
			how = "was found, and its beginning was not captured"
		}
		say(func() { k.opened = false }, EventOpened, "%s: %s: %s", how, *c.Verdict, c.Reason)
	}
	if changes, before := now.changes(&k.look), k.look; len(changes) > 0 {
		k.look = now
		say(func() { k.look = before }, EventChanged, "%s", strings.Join(changes, ", "))
	}
	if before := k.verdict; *c.Verdict != before {
		k.verdict = *c.Verdict
		say(func() { k.verdict = before }, EventVerdict, "is %s, and was %s: %s", k.verdict, before, c.Reason).Before = before
	}
	if a.Stalled != k.stalled && a.Open {
		k.stalled = a.Stalled
		undo := func() { k.stalled = !k.stalled }
		if k.stalled {
			say(undo, EventStalled, "is silent: no tick and nothing else came from one of the nodes for more than %d s", silence)
		} else {
			say(undo, EventTicking, "is not silent any more")
		}
	}
	if closed := !a.Open; closed != k.closed {
		k.closed = closed
		undo := func() { k.closed = !closed }
		if closed {
			if how, failed := failureOf(c, a); failed {
				t.repeatsOf(c, how, s.At)
			}
			how := ""
			if a.Gone {
				how = goneText + ": "
			}
			say(undo, EventClosed, "is over: %s%s and %s", how, plural.Of(c.Bytes.Client, "byte of the client", "bytes of the client"), plural.Of(c.Bytes.Server, "byte of the server", "bytes of the server"))
		} else {
			say(undo, EventChanged, "goes on after it seemed to be over")
		}
	}
}

// goneText says how a connection is over of whose end nothing was captured.
const goneText = "its end was not captured, and the kernel of this host has it no more"

// underway reports whether the handshake of a connection may still go on.
func underway(c *report.Connection) bool {
	return c.State == string(verify.Incomplete) && (*c.Verdict == string(verify.Inconclusive) || *c.Verdict == string(verify.Refused))
}

// lookAt returns what is told of a connection if it changes.
func lookAt(c *report.Connection) look {
	l := look{protocol: c.Protocol, state: c.State, client: labelOf(&c.Client), server: labelOf(&c.Server)}
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

// labelOf names an end, and says what it is only likely to be.
func labelOf(e *report.Endpoint) string {
	if e.Node == "" && e.LikelyNode != "" {
		return fmt.Sprintf("%s (likely %s)", e.Label(), e.LikelyNode)
	}
	return e.Label()
}

// changes lists in words what is other than before.
func (l *look) changes(before *look) []string {
	var out []string
	for _, x := range []struct{ what, now, was string }{
		{"protocol", l.protocol, before.protocol},
		{"state", l.state, before.state},
		{"client", l.client, before.client},
		{"server", l.server, before.server},
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
