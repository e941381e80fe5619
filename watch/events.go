package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"distproof/capture/live"
	"distproof/decode"
	"distproof/decode/epmd"
	"distproof/report"
	"distproof/verify"
)

// patience is for how long nothing is said of a handshake that is under way: what
// it comes to will be known in a moment.
const patience = time.Second

// A teller knows what was told, and tells what is new.
type teller struct {
	to func(Event)
	// round tells what is still there from what is not.
	round       uint64
	connections map[string]*told
	findings    map[findingKey]*toldFinding
	exchanges   map[exchangeKey]*toldExchange
	interfaces  map[string]Interface
	known       map[ends]bool
	dropped     uint64
	forgotten   uint64
	blind       bool
	started     bool
}

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
}

// A look is what changes of a connection that are told.
type look struct {
	protocol, state, client, server   string
	version, suite, clientCertificate string
	clientChecked, serverChecked      string
}

type findingKey struct {
	rule, severity, connection string
	// nth tells findings of one rule about one connection apart.
	nth int
}

type toldFinding struct {
	round   uint64
	finding *report.Finding
}

type exchangeKey struct {
	client, server, request, node, outcome string
	port                                   uint16
}

type toldExchange struct {
	round, count uint64
	pending      uint64 // the count that was held back, and since when
	since        time.Time
}

func newTeller(to func(Event)) teller {
	return teller{
		to: to, connections: make(map[string]*told), findings: make(map[findingKey]*toldFinding),
		exchanges: make(map[exchangeKey]*toldExchange), interfaces: make(map[string]Interface),
	}
}

func (t *teller) tell(events []Event) {
	if t.to == nil {
		return
	}
	for _, e := range events {
		t.to(e)
	}
}

// compare returns what is new in s. final says that nothing follows.
func (t *teller) compare(m *maker, s *State, policy policyInForce, final bool) []Event {
	t.round++
	out := eventsAt(s.At)
	if !t.started {
		t.started = true
		out.add(Event{Event: EventStarted, Message: "the watch began"})
	}
	t.policy(out, s, policy)
	t.surroundings(out, s)
	t.sockets(out, s)
	for i := range s.Document.Connections {
		t.connection(out, m, s, i, final)
	}
	t.asked(out, m, s, final)
	t.found(out, s)
	t.forget(s)
	if final {
		out.add(Event{Event: EventStopped, Message: "the watch ended: " + cmp.Or(s.Document.Reason, s.Document.Conclusion)})
	}
	return out.list
}

// events collects those of a State.
type events struct {
	time string
	list []Event
}

func eventsAt(at time.Time) *events { return &events{time: report.FormatTime(at)} }

func (e *events) add(x Event) {
	x.Schema, x.Time, x.Severity = EventSchema, e.time, cmp.Or(x.Severity, string(verify.Info))
	e.list = append(e.list, x)
}

func (t *teller) policy(out *events, s *State, p policyInForce) {
	if p.err != nil && !p.told {
		out.add(Event{Event: EventPolicy, Message: fmt.Sprintf("the policy was not taken, and the one before stays: %v", p.err)})
	}
	if p.changed {
		out.add(Event{Event: EventPolicy, Message: "the policy was read anew: " + cmp.Or(s.Policy, "mutual")})
	}
}

// surroundings has what is about no connection.
func (t *teller) surroundings(out *events, s *State) {
	for _, i := range s.Interfaces {
		before, known := t.interfaces[i.Name]
		t.interfaces[i.Name] = i
		switch {
		case known && before == i, !known && i.Up && i.Vanished == 0:
		case !i.Up:
			out.add(Event{Event: EventInterface, Interface: i.Name, Message: i.Name + " is down or gone: nothing is captured on it"})
		case known:
			out.add(Event{Event: EventInterface, Interface: i.Name, Message: i.Name + " was away and is back: it is captured on again"})
		default:
			out.add(Event{Event: EventInterface, Interface: i.Name, Message: i.Name + " is up: it is captured on"})
		}
	}
	if lost := s.Dropped - t.dropped; s.Dropped > t.dropped {
		out.add(Event{Event: EventLoss, Lost: lost, Message: fmt.Sprintf("the kernel lost %s: what was in them is not known", plural(lost, "packet", "packets"))})
	}
	t.dropped = s.Dropped
	if lost := s.Forgotten - t.forgotten; s.Forgotten > t.forgotten {
		out.add(Event{Event: EventLoss, Message: fmt.Sprintf("%s given up for lack of memory: what comes of them counts as begun before the capture", plural(lost, "open connection was", "open connections were"))})
	}
	t.forgotten = s.Forgotten
	if blind := s.Blind != ""; blind != t.blind { // why it is changes all the time
		t.blind = blind
		out.add(Event{Event: EventBlind, Message: cmp.Or(s.Blind, "packets come again")})
	}
}

// sockets tells what the kernel has beside what was captured.
func (t *teller) sockets(out *events, s *State) {
	before := t.known
	t.known = make(map[ends]bool)
	for _, x := range live.OneEach(s.Known) {
		at := ends{x.Local, x.Remote}
		t.known[at] = true
		if before[at] {
			continue
		}
		out.add(Event{
			Event:   EventKnown,
			Socket:  &Socket{x.Local.String(), x.Remote.String(), x.Process.ID, x.Process.Name, x.Process.Container},
			Message: fmt.Sprintf("%s has a connection with %s%s: no data of it was captured so far, and whether it is mutual TLS is not known until it reconnects", x.Local, x.Remote, heldBy(x.Process)),
		})
	}
}

// heldBy names a process in brackets; "" if it is not known.
func heldBy(p live.Process) string {
	if p.ID == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s, pid %d)", report.Escape(p.Name), p.ID)
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
	if k.held = false; c.Verdict == nil {
		return
	}
	now := lookAt(c)
	if age := s.At.Sub(k.since); !k.opened && a.Open && underway(c) && age < patience && !final {
		k.held = true
		m.soonest(patience - age)
		return
	}
	say := func(kind, format string, args ...any) *Event {
		out.add(Event{Event: kind, Connection: c, Message: Name(c) + " " + fmt.Sprintf(format, args...)})
		return &out.list[len(out.list)-1]
	}
	if !k.opened {
		k.opened, k.look, k.verdict = true, now, *c.Verdict
		how := "was opened"
		if c.State == string(verify.Midstream) {
			how = "was there before the watch began"
		}
		say(EventOpened, "%s: %s: %s", how, *c.Verdict, c.Reason)
	}
	if changes := now.changes(&k.look); len(changes) > 0 {
		k.look = now
		say(EventChanged, "%s", strings.Join(changes, ", "))
	}
	if *c.Verdict != k.verdict {
		say(EventVerdict, "is %s, and was %s: %s", *c.Verdict, k.verdict, c.Reason).Before = k.verdict
		k.verdict = *c.Verdict
	}
	if a.Stalled != k.stalled && a.Open {
		if k.stalled = a.Stalled; k.stalled {
			say(EventStalled, "is silent: no tick and nothing else came from one of the nodes for more than %d s", silence)
		} else {
			say(EventTicking, "is not silent any more")
		}
	}
	if closed := !a.Open; closed != k.closed {
		if k.closed = closed; closed {
			say(EventClosed, "is over: %s and %s", plural(c.Bytes.Client, "byte of the client", "bytes of the client"), plural(c.Bytes.Server, "byte of the server", "bytes of the server"))
		} else {
			say(EventChanged, "goes on after it seemed to be over")
		}
	}
}

// underway reports whether the handshake of a connection may still go on.
func underway(c *report.Connection) bool {
	return c.State == string(verify.Incomplete) && (*c.Verdict == string(verify.Inconclusive) || *c.Verdict == string(verify.Refused))
}

// lookAt returns what is told of a connection if it changes.
func lookAt(c *report.Connection) look {
	l := look{protocol: c.Protocol, state: c.State, client: c.Client.EdgeLabel(), server: c.Server.EdgeLabel()}
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

// asked tells what port mappers were asked.
func (t *teller) asked(out *events, m *maker, s *State, final bool) {
	all := s.Document.EPMD.Exchanges
	for i := range all {
		x := &all[i]
		key := exchangeKey{x.Client, x.Server, x.Request, x.Node, x.Outcome, x.Port}
		k := t.exchanges[key]
		if k == nil {
			k = &toldExchange{}
			t.exchanges[key] = k
		}
		k.round = t.round
		if x.Count <= k.count {
			k.count, k.pending = x.Count, 0 // an answer came after all, or a part was folded
			continue
		}
		// What is not answered yet may be so in a moment.
		if waits := x.Outcome == epmd.Unanswered.String() || x.Request == decode.NoRequest; waits && !final {
			if k.pending != x.Count {
				k.pending, k.since = x.Count, s.At
			}
			if age := s.At.Sub(k.since); age < patience {
				m.soonest(patience - age)
				continue
			}
		}
		more := x.Count - k.count
		k.count, k.pending = x.Count, 0
		out.add(Event{Event: EventEPMD, Exchange: x, Message: asks(x, more)})
	}
}

// asks says in a sentence what somebody asked a port mapper.
func asks(x *report.EPMDExchange, times uint64) string {
	node := "a node"
	if x.Node != "" {
		node = fmt.Sprintf("%q", x.Node)
	}
	server := fmt.Sprintf("the port mapper %s port %d", x.Server, x.Port)
	what := map[string]string{
		epmd.NamesReq:       "asked " + server + " for all names",
		epmd.DumpReq:        "asked " + server + " for a dump of all names",
		epmd.KillReq:        "told " + server + " to end",
		epmd.StopReq:        "told " + server + " to forget " + node,
		epmd.Alive2Req:      "asked " + server + " to register " + node,
		epmd.PortPlease2Req: "asked " + server + " for the port of " + node,
		decode.NoRequest:    "dialled " + server + " and asked nothing",
	}[x.Request]
	if what == "" {
		what = "sent " + server + " what is none of its requests"
	}
	often := ""
	if times > 1 {
		often = fmt.Sprintf(", %d times", times)
	}
	return fmt.Sprintf("%s %s: %s%s", x.Client, what, x.Outcome, often)
}

// found tells the findings that are new, and those that are not there any more.
func (t *teller) found(out *events, s *State) {
	nth := make(map[findingKey]int)
	for i := range s.Document.Findings {
		f := &s.Document.Findings[i]
		about := f.Connections
		if len(about) == 0 {
			about = []string{""}
		}
		var fresh []string
		for _, id := range about {
			if k := t.connections[id]; k != nil && k.held {
				continue
			}
			key := findingKey{rule: f.Rule, severity: f.Severity, connection: id}
			nth[key]++
			key.nth = nth[key]
			k := t.findings[key]
			if k == nil {
				k = &toldFinding{}
				t.findings[key] = k
				fresh = append(fresh, id)
			}
			k.round, k.finding = t.round, f
		}
		if len(fresh) > 0 {
			out.add(Event{Event: EventFinding, Severity: f.Severity, Finding: f, Message: f.Rule + " " + concerning(f, fresh)})
		}
	}
	over := make(map[*report.Finding][]string)
	var order []*report.Finding
	for key, k := range t.findings {
		if k.round == t.round {
			continue
		}
		delete(t.findings, key)
		if c := t.connections[key.connection]; key.connection != "" && (c == nil || c.round != t.round || c.held) {
			continue // of a connection that is folded, nothing is resolved
		}
		if over[k.finding] == nil {
			order = append(order, k.finding)
		}
		over[k.finding] = append(over[k.finding], key.connection)
	}
	slices.SortFunc(order, func(a, b *report.Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message), slices.Compare(a.Connections, b.Connections))
	})
	for _, f := range order {
		slices.SortFunc(over[f], compareIDs)
		out.add(Event{Event: EventResolved, Finding: f, Message: f.Rule + " does not hold any more: " + concerning(f, over[f])})
	}
}

// concerning says a finding with the connections that it is about.
func concerning(f *report.Finding, ids []string) string {
	const most = 10
	if ids[0] == "" {
		return f.Message
	}
	more := ""
	if n := len(ids) - most; n > 0 {
		ids, more = ids[:most], fmt.Sprintf(" and %d more", n)
	}
	return f.Message + " (" + strings.Join(ids, ", ") + more + ")"
}

// compareIDs orders ids by their numbers.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// forget drops what is known of what is not there any more.
func (t *teller) forget(s *State) {
	if len(t.connections) > len(s.Document.Connections) {
		for id, k := range t.connections {
			if k.round != t.round {
				delete(t.connections, id)
			}
		}
	}
	if len(t.exchanges) > len(s.Document.EPMD.Exchanges) {
		for key, k := range t.exchanges {
			if k.round != t.round {
				delete(t.exchanges, key)
			}
		}
	}
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
