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
	"distproof/internal/plural"
	"distproof/report"
	"distproof/verify"
)

// patience is for how long nothing is said of a handshake that is under way: what
// it comes to will be known in a moment.
const patience = time.Second

// firstSeen is for how long after its beginning a watch does not say that it saw
// nothing: nodes that are connected tick every 15 s.
const firstSeen = 30 * time.Second

// A teller knows what was told, and tells what is new. What nobody took is told
// again, as it is then.
type teller struct {
	to func(e Event, last bool) bool
	// round tells what is still there from what is not.
	round       uint64
	connections map[string]*told
	findings    map[findingKey]*toldFinding
	exchanges   map[exchangeKey]*toldExchange
	interfaces  map[string]Interface
	known       map[ends]bool
	// repeats has the attempts to connect that come to nothing.
	repeats   map[edge][]*repeats
	dropped   uint64
	forgotten uint64
	blind     bool
	started   bool
	// policies has what is still to be told of policies.
	policies []Event
	// omitted counts connections that are not remembered any more and of which
	// something was not told.
	omitted uint64
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
	at           time.Time // when count was told
	pending      uint64    // the count that was held back, and since when
	since        time.Time
}

func newTeller(to func(Event, bool) bool) teller {
	return teller{
		to: to, connections: make(map[string]*told), findings: make(map[findingKey]*toldFinding),
		exchanges: make(map[exchangeKey]*toldExchange), interfaces: make(map[string]Interface),
		repeats: make(map[edge][]*repeats),
	}
}

// tell hands out events, in order. Where one is not taken, those that matter less
// are not either, so that of a connection nothing is told before what came first.
func (t *teller) tell(list []telling, final bool) {
	full := false
	for _, x := range list {
		if t.to == nil || (!full || x.Matters()) && t.to(x.Event, final) {
			continue
		}
		full = true
		x.undo()
	}
}

// A telling is an event. undo has it told again if it was not taken, in a later
// round and as it is then.
type telling struct {
	Event
	undo func()
}

// Matters reports whether e is among the last to be left out: what is found, what
// keeps from finding more, and how things stand with the watch itself.
func (e *Event) Matters() bool {
	switch e.Event {
	case EventKnown, EventOpened, EventChanged, EventClosed, EventRepeated, EventStalled, EventTicking, EventEPMD:
		return false
	}
	return true
}

// compare returns what is new in s. final says that nothing follows.
func (t *teller) compare(m *maker, s *State, policy policyInForce, final bool) []telling {
	t.round++
	out := eventsAt(s.At)
	if !t.started {
		t.started = true
		out.add(Event{Event: EventStarted, Message: "the watch began"}, func() { t.started = false })
	}
	t.policy(out, s, policy)
	t.surroundings(out, s)
	t.sockets(out, s)
	for i := range s.Document.Connections {
		t.connection(out, m, s, i, final)
	}
	t.repeated(out, m, s, final)
	t.asked(out, m, s, final)
	t.found(out, m, s, final)
	t.forget(s)
	t.gaps(out)
	if final {
		out.add(Event{Event: EventStopped, Message: "the watch ended: " + cmp.Or(s.Document.Reason, s.Document.Conclusion)}, func() {})
	}
	return out.list
}

// events collects those of a State.
type events struct {
	time string
	list []telling
}

func eventsAt(at time.Time) *events { return &events{time: report.FormatTime(at)} }

func (e *events) add(x Event, undo func()) {
	x.Schema, x.Time, x.Severity = EventSchema, e.time, cmp.Or(x.Severity, string(verify.Info))
	e.list = append(e.list, telling{x, undo})
}

// policy tells what came of policies that were read again; if nobody takes it,
// later what came of the last one.
func (t *teller) policy(out *events, s *State, p policyInForce) {
	news := t.policies
	if p.changed || p.err != nil && !p.told {
		news = nil
	}
	t.policies = nil
	if p.err != nil && !p.told {
		news = append(news, Event{Event: EventPolicy, Message: fmt.Sprintf("the policy was not taken, and the one before stays: %v", p.err)})
	}
	if p.changed {
		news = append(news, Event{Event: EventPolicy, Message: "the policy was read anew: " + cmp.Or(s.Policy, "mutual")})
	}
	for _, e := range news {
		out.add(e, func() { t.policies = append(t.policies, e) })
	}
}

// gaps tells of what nothing will be told any more.
func (t *teller) gaps(out *events) {
	n := t.omitted
	if n == 0 {
		return
	}
	t.omitted = 0
	out.add(Event{Event: EventOmitted, Omitted: n, Message: fmt.Sprintf("of %s that came and went not everything was told: the output took no more", plural.Of(n, "connection", "connections"))},
		func() { t.omitted += n })
}

// surroundings has what is about no connection.
func (t *teller) surroundings(out *events, s *State) {
	for _, i := range s.Interfaces {
		before, known := t.interfaces[i.Name]
		t.interfaces[i.Name] = i
		undo := func() {
			if t.interfaces[i.Name] = before; !known {
				delete(t.interfaces, i.Name)
			}
		}
		switch {
		case known && before == i, !known && i.Up && i.Vanished == 0:
		case !i.Up:
			out.add(Event{Event: EventInterface, Interface: i.Name, Message: i.Name + " is down or gone: nothing is captured on it"}, undo)
		case known:
			out.add(Event{Event: EventInterface, Interface: i.Name, Message: i.Name + " was away and is back: it is captured on again"}, undo)
		default:
			out.add(Event{Event: EventInterface, Interface: i.Name, Message: i.Name + " is up: it is captured on"}, undo)
		}
	}
	if dropped := t.dropped; s.Dropped > dropped {
		lost := s.Dropped - dropped
		out.add(Event{Event: EventLoss, Lost: lost, Message: fmt.Sprintf("the kernel lost %s: what was in them is not known", plural.Of(lost, "packet", "packets"))},
			func() { t.dropped = dropped })
	}
	t.dropped = s.Dropped
	if forgotten := t.forgotten; s.Forgotten > forgotten {
		out.add(Event{Event: EventLoss, Message: fmt.Sprintf("%s given up for lack of memory: what comes of them counts as begun before the capture", plural.Of(s.Forgotten-forgotten, "open connection was", "open connections were"))},
			func() { t.forgotten = forgotten })
	}
	t.forgotten = s.Forgotten
	if blind := s.Blind != ""; blind != t.blind { // why it is changes all the time
		t.blind = blind
		out.add(Event{Event: EventBlind, Message: cmp.Or(s.Blind, "packets come again")}, func() { t.blind = !blind })
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
			Message: fmt.Sprintf("%s has a connection with %s%s: no data of it was captured so far; if it is between nodes, whether it is mutual TLS is not known until it reconnects", x.Local, x.Remote, heldBy(x.Process)),
		}, func() { delete(t.known, at) })
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
		if age := s.At.Sub(k.at); k.count > 0 && age < repeatsAfter && !final {
			m.soonest(repeatsAfter - age)
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
		before, at := k.count, k.at
		k.count, k.at, k.pending = x.Count, s.At, 0
		out.add(Event{Event: EventEPMD, Exchange: x, Message: asks(x, x.Count-before)}, func() { k.count, k.at = before, at })
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
	outcome := x.Outcome
	if x.Request == epmd.PortPlease2Req && outcome == epmd.Refused.String() {
		outcome = "it has none of that name"
	}
	return fmt.Sprintf("%s %s: %s%s", x.Client, what, outcome, often)
}

// found tells the findings that are new, and those that are not there any more.
func (t *teller) found(out *events, m *maker, s *State, final bool) {
	early := firstSeen - s.At.Sub(s.Started)
	nth := make(map[findingKey]int)
	for i := range s.Document.Findings {
		f := &s.Document.Findings[i]
		if nothingSeen(f) && early > 0 && !final {
			m.soonest(early)
			continue
		}
		about := f.Connections
		if len(about) == 0 {
			about = []string{""}
		}
		var fresh []string
		var keys []findingKey
		for _, id := range about {
			concerned := t.connections[id]
			if concerned != nil && concerned.held {
				continue
			}
			key := findingKey{rule: f.Rule, severity: f.Severity, connection: id}
			nth[key]++
			key.nth = nth[key]
			k := t.findings[key]
			if k == nil {
				k = &toldFinding{}
				t.findings[key] = k
				if !t.foldedWith(concerned, f) {
					fresh, keys = append(fresh, id), append(keys, key)
				}
			}
			k.round, k.finding = t.round, f
		}
		if len(fresh) > 0 {
			out.add(Event{Event: EventFinding, Severity: f.Severity, Finding: f, Message: f.Rule + " " + concerning(f, fresh)}, func() {
				for _, key := range keys {
					delete(t.findings, key)
				}
			})
		}
	}
	over, keys := make(map[*report.Finding][]string), make(map[*report.Finding][]findingKey)
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
		over[k.finding], keys[k.finding] = append(over[k.finding], key.connection), append(keys[k.finding], key)
	}
	slices.SortFunc(order, func(a, b *report.Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message), slices.Compare(a.Connections, b.Connections))
	})
	for _, f := range order {
		slices.SortFunc(over[f], compareIDs)
		out.add(Event{Event: EventResolved, Finding: f, Message: f.Rule + " does not hold any more: " + concerning(f, over[f])}, func() {
			for _, key := range keys[f] {
				t.findings[key] = &toldFinding{finding: f}
			}
		})
	}
}

// nothingSeen reports whether a finding is that something was not seen so far.
func nothingSeen(f *report.Finding) bool {
	return f.Rule == string(verify.NothingToVerify) || f.Rule == string(verify.NotSeen)
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

// forget drops what is known of what is not there any more, and counts what was not
// told of it.
func (t *teller) forget(s *State) {
	if len(t.connections) > len(s.Document.Connections) {
		for id, k := range t.connections {
			if k.round == t.round {
				continue
			}
			if delete(t.connections, id); k.missed {
				t.omitted++
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
