package watch

import (
	"cmp"
	"fmt"
	"time"

	"distproof/capture/live"
	"distproof/internal/plural"
	"distproof/report"
	"distproof/verify"
)

// A teller knows what was told, and tells what is new. What nobody took is told
// again, as it is then.
type teller struct {
	to func(e Event, last bool) bool
	// round tells what is still there from what is not; held is the last one in which
	// nothing was said yet of a connection.
	round, held uint64
	// capture has what was told that is about no connection, as if it were one.
	capture followed
	// noted counts the findings that were told and not resolved, for each connection,
	// and current those of them that are still there.
	noted, current int
	exchanges      map[exchangeKey]*toldExchange
	interfaces     map[string]live.InterfaceState
	known          map[ends]bool
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

func newTeller(to func(Event, bool) bool) teller {
	return teller{
		to: to, exchanges: make(map[exchangeKey]*toldExchange), interfaces: make(map[string]live.InterfaceState),
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
	t.forgetExchanges(s)
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
	atStart := len(t.interfaces) == 0 // those are no news
	for _, i := range s.Interfaces {
		before, known := t.interfaces[i.Name]
		t.interfaces[i.Name] = i
		undo := func() {
			if t.interfaces[i.Name] = before; !known {
				delete(t.interfaces, i.Name)
			}
		}
		var message string
		switch {
		case known && before == i, atStart && i.Up && i.Vanished == 0:
			continue
		case i.Missing != "":
			message = i.Name + " is waited for: " + i.Missing
		case !i.Up:
			message = i.Name + " is down or gone: nothing is captured on it"
		case known && before.Missing == "", i.Vanished > 0:
			message = i.Name + " was away and is back: it is captured on again"
		default:
			message = i.Name + " is up: it is captured on"
		}
		out.add(Event{Event: EventInterface, Interface: i.Name, Message: message}, undo)
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

// forget is told what was told of connections that are not there any more, and counts
// those of which not everything was.
func (t *teller) forget(gone []told) {
	for i := range gone {
		t.noted -= len(gone[i].findings)
		if gone[i].missed {
			t.omitted++
		}
	}
}

// forgetExchanges drops those that are not there any more.
func (t *teller) forgetExchanges(s *State) {
	if len(t.exchanges) > len(s.Document.EPMD.Exchanges) {
		for key, k := range t.exchanges {
			if k.round != t.round {
				delete(t.exchanges, key)
			}
		}
	}
}
