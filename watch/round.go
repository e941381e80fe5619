package watch

import (
	"math"
	"time"

	"distproof/capture"
	"distproof/decode"
	"distproof/internal/omission"
	"distproof/report"
	"distproof/verify"
)

// How long connections are remembered of which nothing comes any more, in
// seconds.
const (
	// closedFor is longer than hosts send segments again (TIME-WAIT, RFC 9293:
	// twice the segments' lifetime).
	closedFor = 60
	// closedInCrowd is for those in a crowd of connections, where what is sent
	// again may look like a connection of its own.
	crowded       = 20_000
	closedInCrowd = 5
	// halfClosedFor is for those that one side closed.
	halfClosedFor = 10 * 60
	// idleFor is for all others: far longer than the silence of nodes, and long
	// enough for what is idle between other programs.
	idleFor = 6 * 60 * 60
	// secretsIn is how soon secrets come into a key log that grows.
	secretsIn = 5
)

// maxWait is when the clock is looked at again at the latest, if there is
// something to wait for: it may have been set.
const maxWait = time.Hour

// chunk is how many connections are copied at a time while the goroutine that reads
// packets waits.
const chunk = 64

// A maker makes the States of an Engine, in one goroutine.
type maker struct {
	e       *Engine
	ledger  *decode.Ledger
	started time.Time
	number  uint64
	// following has what is remembered of connections, and ratesAt is when the last
	// State was made.
	following following
	ratesAt   time.Time
	swept     time.Time // when connections were retired last
	secrets   int       // how many the key log had
	// documents makes those by one policy.
	documents *report.Builder
	tried     *verify.Tried // by that policy
	past      past
	losses    losses
	kernel    kernel
	teller    teller
	// wait is for how long nothing but time can change anything.
	wait time.Duration
	// deadlines of the round that is being made, see soonest.
	before time.Duration
}

func newMaker(e *Engine) maker {
	m := maker{e: e, ledger: decode.NewLedger(e.o.Decode), wait: maxWait}
	m.documents, m.tried = new(report.Builder), new(verify.Tried)
	m.past = newPast(e.o.MaxMemory)
	m.kernel = kernel{ask: e.o.Sockets, ports: e.o.Decode.Ports, epmd: e.o.Decode.EPMDPorts, only: e.o.Links.Only}
	m.teller = newTeller(e.o.Event)
	m.started = e.began
	return m
}

// due is when the next State is to be made even if no packet comes.
func (m *maker) due() time.Duration { return m.wait }

// soonest has the next State made in d, or earlier.
func (m *maker) soonest(d time.Duration) { m.before = min(m.before, max(d, 0)) }

// empty returns the State before the first packet.
func (m *maker) empty() *State {
	facts, _ := m.ledger.Capture(decode.LeftOut{})
	s, _ := m.stateOf(facts, nil, m.e.src.Inputs(), nil, m.e.policy.Options, m.started)
	return s
}

// start makes the first State.
func (m *maker) start() {
	m.started = time.Now()
	m.ratesAt, m.swept = m.started, m.started
	m.round(false)
}

// round takes what came in, and makes a State of it if there is anything new.
func (m *maker) round(final bool) {
	e, now := m.e, time.Now()
	m.before = maxWait
	e.flush()
	if final {
		e.mu.Lock()
		e.links.Finish()
		e.mu.Unlock()
	}
	policy := e.judgeBy()
	if policy.changed {
		m.documents, m.tried = new(report.Builder), new(verify.Tried)
	}
	grown := m.keysGrew()
	fresh := m.take(final) || m.number == 0 || policy.changed || grown || final
	retired := m.retire(now)
	inputs := e.newest(final)
	omitted, left := e.omitted(len(inputs))
	facts, presences := m.ledger.Capture(left)
	m.past.recount(facts)
	s, judgement := m.stateOf(facts, presences, inputs, omitted, policy.Options, now)
	if policy.err != nil {
		s.PolicyError = policy.err.Error()
	}
	m.lifespans(judgement, s, policy.ExpiresWithin, m.moment(now))
	events := m.teller.compare(m, s, policy, final)
	fresh = fresh || retired || m.kernel.news || len(events) > 0
	m.wait = m.before
	if !fresh {
		return
	}
	m.number++
	s.Number = m.number
	e.publish(s)
	if e.o.Tap != nil {
		e.o.Tap.State(s)
	}
	m.teller.tell(events, final)
	if gone := m.past.fold(facts, judgement, presences); len(gone) > 0 {
		m.ledger.Forget(gone)
	}
}

// take states the facts of what changed. It reports whether anything did. What
// changes meanwhile is for the next State, unless there is none.
func (m *maker) take(final bool) bool {
	e := m.e
	e.mu.Lock()
	left, fresh := e.live.Pending(), e.dirty
	e.dirty, e.seen, e.pressed = false, false, false
	e.mu.Unlock()
	for left > 0 || final {
		e.mu.Lock()
		changes := e.live.Changes(chunk)
		e.mu.Unlock()
		if len(changes) == 0 {
			break
		}
		m.ledger.Take(changes)
		left -= chunk
	}
	signal(e.taken)
	return fresh
}

// keysGrew hands connections out again that wait for secrets, if there are more.
func (m *maker) keysGrew() bool {
	e := m.e
	if e.o.Keys == nil {
		return false
	}
	log := e.log.Load()
	if _, ok := e.src.(wire); ok {
		log = e.keyLog()
	} else {
		e.ask.Store(true)
	}
	if log == nil || log.Secrets() == m.secrets {
		return false
	}
	m.secrets = log.Secrets()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.live.KeysGrew()
	return true
}

// retire has the decoder give up connections that are over.
func (m *maker) retire(now time.Time) bool {
	often, retirement := closedFor/4*time.Second, decode.Retirement{Closed: closedFor, HalfClosed: halfClosedFor, Idle: idleFor}
	if m.ledger.Len() > crowded {
		often, retirement.Closed = closedInCrowd*time.Second, closedInCrowd
	}
	if now.Sub(m.swept) < often {
		return false
	}
	m.swept = now
	any := false
	for part := range decode.Parts {
		m.e.mu.Lock()
		m.e.live.Advance(m.e.seconds())
		over := m.e.live.Retire(part, retirement)
		m.e.mu.Unlock()
		m.ledger.Take(over)
		any = any || len(over) > 0
	}
	return any
}

// stateOf makes a State of facts.
func (m *maker) stateOf(facts *decode.Capture, presences []decode.Presence, inputs []capture.Input, omitted []omission.Packets, policy verify.Options, now time.Time) (*State, *verify.Judgement) {
	for len(omitted) < len(inputs) {
		omitted = append(omitted, omission.Packets{})
	}
	cover := omission.Coverage(inputs, omitted, &facts.LeftOut)
	if _, ok := m.e.src.(wire); ok {
		cover.Dropped = m.losses.hiding(cover.Dropped, now)
	}
	s := &State{Started: m.started, At: now}
	s.Activity = make([]Activity, len(facts.Connections))
	m.teller.forget(m.following.turn(facts.Connections))
	clock := m.e.seconds()
	for i := range presences {
		s.Activity[i] = m.activity(facts.Connections[i], &presences[i], &m.following.all[i], now, clock)
	}
	m.ratesAt = now
	s.History, s.Folded = m.past.history(), m.past.folded
	m.count(s, inputs)
	cover.Uncaptured, cover.Undecided = m.kernel.compare(facts, s, now, m)
	moment, places := m.moment(now), facts.Places()
	policy.Used = func(c *decode.Connection) (until time.Time) {
		if s.Activity[places.Of(c)].Open {
			until = moment
		}
		return until
	}
	policy.Tried = m.tried
	policy.Policy.Now = now // exceptions expire while it watches
	judgement := verify.Judge(facts, cover, policy)
	for i := range presences {
		m.silence(&s.Activity[i], facts.Connections[i], &presences[i], &m.following.all[i].quiet, judgement.Conclusions[i].State, clock)
	}
	s.Document = m.documents.New(m.e.o.Tool, inputs, omission.Undecoded(omitted, &facts.LeftOut), facts, judgement)
	s.Policy = judgement.Policy
	return s, judgement
}

// moment is now by the clock of the packets, which are perhaps not captured now.
func (m *maker) moment(now time.Time) time.Time {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	if i := &m.e.intake; i.packets > 0 && i.newest != 0 {
		return capture.Time(i.newest).Add(now.Sub(i.lastAt))
	}
	return now
}

// count fills in the counters.
func (m *maker) count(s *State, inputs []capture.Input) {
	for _, in := range inputs {
		s.Dropped += in.Dropped
	}
	if w, ok := m.e.src.(wire); ok {
		s.Interfaces = w.Interfaces()
	}
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	s.Packets, s.Bytes, s.LastPacket = m.e.intake.packets, m.e.intake.bytes, m.e.intake.lastAt
	s.Connections, s.Forgotten = m.e.live.Connections(), m.e.live.Forgotten()
}

// activity says how a connection does, of which x was remembered.
func (m *maker) activity(c *decode.Connection, p *decode.Presence, x *followed, now time.Time, clock uint32) Activity {
	a := Activity{Open: !p.Over && !c.Closed(), Lost: c.TCP[0].Gap + c.TCP[1].Gap}
	if c.Last != 0 {
		a.Last = capture.Time(c.Last)
	}
	if before, carried := x.carried, c.TCP[0].Bytes+c.TCP[1].Bytes; carried > before {
		if spent := now.Sub(m.ratesAt).Seconds(); spent > 0 && (before > 0 || m.number > 0) {
			a.Rate = float64(carried-before) / spent
		}
		x.carried = carried
	}
	a.Ticks = ticks(c)
	if m.e.o.Keys != nil && c.TLS != nil && c.TLS.KeyLog != "" && clock-p.Seen < secretsIn {
		m.soonest(time.Second) // its secrets may still come
	}
	if !a.Open && !p.Over {
		// What comes next of time alone is that it is given up.
		m.soonest(time.Duration(int64(p.Seen)+closedFor+1-int64(clock)) * time.Second)
	}
	return a
}

// silence says whether nodes that are connected are silent for too long.
func (m *maker) silence(a *Activity, c *decode.Connection, p *decode.Presence, q *quiet, state verify.State, clock uint32) {
	if !a.Open || c.Protocol != decode.Dist && c.Protocol != decode.DistTLS || state != verify.Up && state != verify.Midstream {
		return
	}
	silent, speaks := quietest(p, clock)
	if !speaks {
		return
	}
	allowed := q.allows(p)
	if a.Stalled = silent > allowed; !a.Stalled {
		m.soonest(time.Duration(allowed+1-silent) * time.Second)
	}
}

// quietest returns for how many seconds one of two nodes said nothing; false if that
// is not known of either.
func quietest(p *decode.Presence, clock uint32) (uint32, bool) {
	last := uint32(math.MaxUint32)
	for _, data := range p.Data {
		if data > 0 { // of a direction that is not captured nothing is known
			last = min(last, data)
		}
	}
	if last > clock {
		return 0, last != math.MaxUint32
	}
	return clock - last, true
}

// ticks reports whether ticks of both sides were seen.
func ticks(c *decode.Connection) bool {
	switch {
	case c.InClear:
		return c.Dist[decode.Client].Ticks.Count > 0 && c.Dist[decode.Server].Ticks.Count > 0
	case c.Protocol == decode.DistTLS:
		return c.TLS.Ticks || c.TLS.Ticking
	}
	return false
}

// lifespans has States made when a certificate expires, or begins to be about to,
// with which an open connection was made.
func (m *maker) lifespans(j *verify.Judgement, s *State, within time.Duration, now time.Time) {
	soon := func(at time.Time) {
		if !at.Before(now) {
			m.soonest(at.Sub(now) + time.Millisecond) // it is valid until then inclusively
		}
	}
	known := make(map[*verify.Certificates]bool)
	for i, certs := range j.Certificates {
		if known[certs] || !s.Activity[i].Open || j.Conclusions[i].Verdict == verify.NoVerdict {
			continue
		}
		known[certs] = true
		for _, chain := range [][]*verify.Certificate{certs.ClientChain, certs.ServerChain} {
			for _, cert := range chain {
				if cert.X509 != nil {
					soon(cert.X509.NotAfter)
					soon(cert.X509.NotAfter.Add(-within))
				}
			}
		}
	}
}

// losses are packets that the kernel lost.
type losses struct {
	before  uint64
	recent  []loss
	counted uint64
}

type loss struct {
	at      time.Time
	packets uint64
	counted bool
}

// What a loss can hide. A connection between nodes of which nothing at all is
// captured takes seven packets at least: three for TCP, and four of
// distribution's handshake (name; status and challenge; reply; ack). Nodes give
// up a handshake after 7 s (net_setuptime).
const (
	hidesFrom = 7
	hidesIn   = 15 * time.Second
)

// hiding returns how many of the packets lost so far may have hidden a whole
// connection. What others miss shows in themselves, as gaps.
func (l *losses) hiding(dropped uint64, now time.Time) uint64 {
	if dropped > l.before {
		l.recent = append(l.recent, loss{at: now, packets: dropped - l.before})
		l.before = dropped
	}
	for len(l.recent) > 0 && now.Sub(l.recent[0].at) > hidesIn {
		l.recent = l.recent[1:]
	}
	sum := uint64(0)
	for _, x := range l.recent {
		sum += x.packets
	}
	if sum >= hidesFrom {
		for i := range l.recent {
			if x := &l.recent[i]; !x.counted {
				l.counted += x.packets
				x.counted = true
			}
		}
	}
	return l.counted
}
