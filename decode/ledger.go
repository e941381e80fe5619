package decode

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A Ledger has the facts of the connections that a [Live] decoder handed out, and
// of those that it gave up. It is not safe for concurrent use.
type Ledger struct {
	options Options
	lines   map[uint64]*line
	order   []*line // by number, but for those of fresh
	// fresh are lines that are to be put in order, and stale counts those of order
	// that are none any more.
	fresh []*line
	stale int
}

// A line has what is known of a connection by itself. What others tell of it
// is put together in facts for every [Capture] anew.
type line struct {
	number uint64
	facts  statement
	// swapped are the facts with client and server exchanged, if conn has what
	// they are stated from: it does where nothing but ports tells them apart.
	swapped statement
	conn    *conn
	ways    map[uint16][]string
	damaged uint32
	// before had the same addresses and ports.
	before, after *line
	over          bool
	tracked       tracked
}

// A statement has facts, and what they were before connections were joined.
type statement struct {
	*Connection
	protocol Protocol
	basis    []string
	ends     [2]End
	roles    string
}

func stated(c *Connection) statement {
	return statement{c, c.Protocol, slices.Clip(c.ProtocolBasis), c.Ends, c.RolesBasis}
}

// alone returns the facts as they are without what other connections tell.
func (s *statement) alone() *Connection {
	c := s.Connection
	c.Protocol, c.ProtocolBasis, c.Ends, c.RolesBasis = s.protocol, s.basis, s.ends, s.roles
	c.ToEPMD, c.ResumedFrom, c.Disputed = false, nil, false
	return c
}

// NewLedger returns a Ledger without connections. The options are those of the
// decoder.
func NewLedger(o Options) *Ledger {
	return &Ledger{options: o, lines: make(map[uint64]*line)}
}

// Take states the facts of connections that were handed out.
func (g *Ledger) Take(changes []Change) {
	facts := make([]*Connection, len(changes))
	inParallel(len(changes), g.options.Workers, func(i int) {
		if x := &changes[i]; !x.gone {
			facts[i] = x.conn.now(x.ways)
		}
	})
	for i := range changes {
		if x := &changes[i]; x.gone {
			g.forget(x.number)
		} else {
			g.enter(x, facts[i])
		}
	}
}

func (g *Ledger) enter(x *Change, facts *Connection) {
	e := g.lines[x.number]
	if e == nil {
		e = &line{number: x.number}
		g.lines[x.number] = e
		g.fresh = append(g.fresh, e)
	}
	facts.Number = x.number
	e.facts, e.swapped, e.conn, e.ways = stated(facts), statement{}, nil, nil
	if facts.guessed() {
		e.conn, e.ways = x.conn, x.ways
	}
	e.damaged, e.tracked, e.over = x.conn.damaged, x.tracked, x.over
	if b := g.lines[x.before]; b != nil && e.before == nil {
		e.before, b.after = b, e
	}
}

// forget drops the facts of a connection.
func (g *Ledger) forget(number uint64) {
	if e := g.lines[number]; e != nil {
		delete(g.lines, number)
		e.unlink()
		g.stale++
	}
}

// settle puts all lines in order.
func (g *Ledger) settle() {
	if len(g.fresh)+g.stale == 0 {
		return
	}
	slices.SortFunc(g.fresh, func(a, b *line) int { return cmp.Compare(a.number, b.number) })
	out := make([]*line, 0, len(g.lines))
	add := func(e *line) {
		if g.lines[e.number] == e {
			out = append(out, e)
		}
	}
	fresh := g.fresh
	for _, e := range g.order {
		for len(fresh) > 0 && fresh[0].number < e.number {
			add(fresh[0])
			fresh = fresh[1:]
		}
		add(e)
	}
	for _, e := range fresh {
		add(e)
	}
	g.order, g.fresh, g.stale = out, nil, 0
}

func (e *line) unlink() {
	if e.after != nil {
		e.after.before = e.before
	}
	if e.before != nil {
		e.before.after = e.after
	}
}

// Forget drops the facts of the connections that are among those of numbers.
func (g *Ledger) Forget(numbers map[uint64]bool) {
	for number, gone := range numbers {
		if gone {
			g.forget(number)
		}
	}
}

// Len returns how many connections there are.
func (g *Ledger) Len() int { return len(g.lines) }

// Presence says how a connection is as of when it was handed out last.
type Presence struct {
	// Over says that the decoder gave it up.
	Over bool
	// Seen is when its last segment came, and Data when the last with data did, of
	// the client and of the server; by the clock of [Live.Advance], 0 if none did.
	Seen uint32
	Data [2]uint32
}

// Capture puts together what the connections tell of one another. left is what
// the decoder left out. The Capture is valid until the next call, which changes
// it.
func (g *Ledger) Capture(left LeftOut) (*Capture, []Presence) {
	g.settle()
	out := &Capture{LeftOut: left, options: g.options, Connections: make([]*Connection, len(g.order))}
	for i, e := range g.order {
		out.Connections[i] = e.facts.alone()
	}
	out.LeftOut.Hidden = g.dispute()
	out.join(g.options, func(i int) *Connection { return g.order[i].swap() })
	presences := make([]Presence, len(g.order))
	for i, e := range g.order {
		presences[i] = e.presence(out.Connections[i])
	}
	return out, presences
}

// presence returns that of a connection, of which c has the facts.
func (e *line) presence(c *Connection) Presence {
	p := Presence{Over: e.over, Seen: e.tracked.seen, Data: e.tracked.data}
	if e.tracked.first != c.Ends[Client].Address {
		p.Data[0], p.Data[1] = p.Data[1], p.Data[0]
	}
	return p
}

// swap returns the facts with client and server exchanged.
func (e *line) swap() *Connection {
	if e.swapped.Connection == nil {
		c := e.conn.swapped(func(n uint16) []string { return e.ways[n] })
		c.Number = e.number
		e.swapped = stated(c)
	}
	disputed := e.facts.Disputed
	c := e.swapped.alone()
	c.Disputed = disputed
	return c
}

// dispute finds the connections of which it is uncertain what belongs to them,
// and counts the damaged segments of those of which nothing else was seen; as
// [dispute] and [hidden].
func (g *Ledger) dispute() (hidden uint64) {
	for _, e := range slices.Backward(g.order) {
		a, b := &e.facts.TCP[Client], &e.facts.TCP[Server]
		own, empty := a.Odd().StrayData+b.Odd().StrayData > 0, a.Bytes+b.Bytes == 0
		e.facts.Disputed = e.facts.Disputed || own
		if e.before != nil && e.facts.Disputed && (own || empty) {
			e.before.facts.Disputed = true
		}
		if e.damaged > 0 && empty {
			hidden += uint64(e.damaged)
		}
	}
	return hidden
}

// inParallel calls f with 0 to n-1, on several processors; 0 workers are one for
// each.
func inParallel(n, workers int, f func(int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(cmp.Or(workers, runtime.GOMAXPROCS(0)), n) {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wait.Wait()
}
