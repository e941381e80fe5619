package keep

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"distproof/capture"
	"distproof/report"
	"distproof/watch"
)

// A phase is what happens to the packets of a connection.
type phase uint8

const (
	// waiting: nobody knows yet what it is; its beginning is held.
	waiting phase = iota
	// saving: its beginning is saved.
	saving
	// following: that is done; the latest packets are held, for a finding.
	following
	// ignored: its beginning was forgotten.
	ignored
)

// A connection is what is held of one.
type connection struct {
	number uint64
	phase  phase
	order  int
	// packets are records. Of one that is followed, older are those before.
	packets, older []byte
	// taken counts the bytes of packets held or saved from the beginning.
	taken int
	// after is how many packets are saved after a finding, and until the time
	// after which none is.
	after int
	until int64
	// upTo is the last frame that was saved.
	upTo capture.Frame
	// notes are for the next packet that is saved.
	notes []string
	// rules are the findings that it had so far.
	rules []string
	// state is the number of the last State that it was in, or was made after.
	state uint64
	links [2]links
}

// The lists that a connection is in: one of what is forgotten first, and one of
// all, in which those that were in the last State are at the end.
const (
	byWorth = iota
	byState
)

type links struct{ before, next *connection }

// The orders in which connections are forgotten to make room: those of the first
// list first, and in each the oldest first.
const (
	orderOther   = iota // data that is no distribution
	orderNone           // no data
	orderTLS            // TLS that may yet turn out to be distribution
	orderUnknown        // not in a State yet
	orderSaved          // distribution, the beginning is saved
	orderNowhere        // nothing is held
	orders
)

// A list of connections, the oldest first.
type list struct {
	which       int // of the links
	first, last *connection
}

func (l *list) push(c *connection) {
	c.links[l.which] = links{before: l.last}
	if l.last != nil {
		l.last.links[l.which].next = c
	} else {
		l.first = c
	}
	l.last = c
}

func (l *list) remove(c *connection) {
	at := c.links[l.which]
	if at.before != nil {
		at.before.links[l.which].next = at.next
	} else {
		l.first = at.next
	}
	if at.next != nil {
		at.next.links[l.which].before = at.before
	} else {
		l.last = at.before
	}
	c.links[l.which] = links{}
}

// overhead is about what a connection takes beside its packets.
const overhead = 300

func (k *Keeper) add(number uint64) *connection {
	c := &connection{number: number, order: orderUnknown, state: k.states}
	k.connections[number] = c
	k.order[c.order].push(c)
	k.all.push(c)
	k.memory += overhead
	return c
}

func (k *Keeper) move(c *connection, order int) {
	if c.order != order {
		k.order[c.order].remove(c)
		c.order = order
		k.order[order].push(c)
	}
}

// release gives up what a connection holds.
func (k *Keeper) release(c *connection) {
	k.memory -= cap(c.packets) + cap(c.older)
	c.packets, c.older = nil, nil
}

// makeRoom forgets what is least likely to be of use, but not c.
func (k *Keeper) makeRoom(c *connection) {
	for i := 0; k.memory > k.o.Memory && i < orderNowhere; {
		victim := k.order[i].first
		if victim == c {
			victim = c.links[byWorth].next
		}
		if victim == nil {
			i++
			continue
		}
		k.release(victim)
		if victim.phase == waiting {
			victim.phase = ignored
			k.counters.Forgotten++
		}
		k.move(victim, orderNowhere)
	}
}

// forgetGone forgets what is neither in the last State nor in the one before: the
// engine has folded it, or given it up.
func (k *Keeper) forgetGone() {
	for c := k.all.first; c != nil && c.state+1 < k.states; c = k.all.first {
		k.release(c)
		k.memory -= overhead
		k.order[c.order].remove(c)
		k.all.remove(c)
		delete(k.connections, c.number)
		if k.last == c {
			k.last = nil
		}
	}
}

// news is what a State says of a connection.
type news struct {
	number uint64
	of     *report.Connection
	order  int
	// texts are the findings. evidence is what frames show, also those of others
	// with the same findings, and own are the frames that are surely its own.
	texts    []string
	evidence map[capture.Frame][]string
	own      []capture.Frame
}

// newsOf reads a State.
func newsOf(s *watch.State) []news {
	all := s.Document.Connections
	out := make([]news, 0, len(all))
	for i := range all {
		c := &all[i]
		number, err := strconv.ParseUint(strings.TrimPrefix(c.ID, "c"), 10, 64)
		if err != nil {
			continue
		}
		n := news{number: number, of: c, order: orderOther}
		switch {
		case c.Verdict != nil || c.Protocol == "epmd" || len(c.Findings) > 0:
			n.order = orderSaved
		case c.Protocol == "tls":
			n.order = orderTLS
		case c.Protocol == "none":
			n.order = orderNone
		}
		out = append(out, n)
	}
	return out
}

// learn takes over what a connection is, and reports whether something of it is
// to be saved now.
func (k *Keeper) learn(n *news) bool {
	c := k.connections[n.number]
	if c == nil {
		return false
	}
	k.all.remove(c)
	c.state = k.states
	k.all.push(c)
	if n.order != orderSaved {
		if c.phase == waiting {
			k.move(c, n.order)
		}
		return false
	}
	return c.phase == waiting || c.phase == ignored || len(fresh(c, n)) > 0
}

// fresh lists the rules that a connection breaks and did not break before.
func fresh(c *connection, n *news) []string {
	var out []string
	for _, rule := range n.of.Findings {
		if !slices.Contains(c.rules, rule) {
			out = append(out, rule)
		}
	}
	return out
}

// annotate puts to the news what the State's findings say of their connections.
// A finding may be of thousands, and does not tell whose its frames are.
func annotate(all []news, s *watch.State) {
	by := make(map[string]*news, len(all))
	evidence := make(map[capture.Frame][]string)
	for i := range all {
		by[all[i].of.ID] = &all[i]
		all[i].evidence = evidence
	}
	for i := range s.Document.Findings {
		f := &s.Document.Findings[i]
		concerned := false
		for _, id := range f.Connections {
			if n := by[id]; n != nil {
				n.add(f)
				concerned = true
			}
		}
		if !concerned {
			continue
		}
		for _, e := range f.Evidence {
			at := frameOf(e)
			evidence[at] = append(evidence[at], f.Rule+": "+e.Text)
		}
	}
}

func frameOf(e report.Evidence) capture.Frame {
	return capture.Frame{Input: uint32(e.Input), Number: e.Frame}
}

func (n *news) add(f *report.Finding) {
	n.texts = append(n.texts, fmt.Sprintf("finding %s (%s): %s", f.Rule, f.Severity, f.Message))
	if len(f.Connections) > 1 {
		return
	}
	for _, e := range f.Evidence {
		n.own = append(n.own, frameOf(e))
	}
}

// about says in a line what a connection is.
func about(c *report.Connection) string {
	what := c.Protocol
	if c.Verdict != nil {
		what += ", " + *c.Verdict + ": " + c.Reason
	}
	return fmt.Sprintf("connection %s: %s to %s: %s", c.ID, end(&c.Client), end(&c.Server), what)
}

func end(e *report.Endpoint) string {
	at := net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port)))
	if e.Node == "" {
		return at
	}
	return e.Node + " (" + at + ")"
}

// save saves what is held of a connection: its beginning, or the latest packets.
// Later ones follow.
func (k *Keeper) save(n *news) {
	c := k.connections[n.number]
	if c == nil {
		return
	}
	rules := fresh(c, n)
	c.rules = append(c.rules, rules...)
	notes := append([]string{about(n.of)}, n.texts...)
	switch {
	case c.phase == waiting && c.taken < k.o.Head:
		c.phase = saving
	case c.phase == waiting:
		c.phase = following
	case c.phase == ignored:
		k.counters.Missed++
		c.phase = following
		notes = append(notes, "its beginning was not kept: too many other connections waited to be told apart")
	case len(rules) == 0:
		return
	case c.phase == following:
		c.after, c.until = afterPackets, math.MaxInt64
	}
	held := [2][]byte{c.older, c.packets}
	if text := n.missing(c.upTo, held); text != "" {
		notes = append(notes, text)
	}
	k.release(c)
	k.move(c, orderSaved)
	if len(held[0])+len(held[1]) == 0 {
		c.notes = append(c.notes, notes...)
		return
	}
	for _, records := range held {
		if len(records) > 0 {
			k.push(c, records, n.notesFor(records, notes))
			notes = nil
		}
	}
}

// missing says which of its own frames show something and are neither saved, up to
// the given one, nor held.
func (n *news) missing(upTo capture.Frame, held [2][]byte) string {
	lost := make(map[capture.Frame]bool)
	for _, f := range n.own {
		if f.Number > upTo.Number {
			lost[f] = true
		}
	}
	var p capture.Packet
	for _, records := range held {
		for at := 0; at < len(records); {
			at += readRecord(records[at:], &p)
			delete(lost, p.Frame)
		}
	}
	if len(lost) == 0 {
		return ""
	}
	var numbers []uint32
	for f := range lost {
		numbers = append(numbers, f.Number)
	}
	slices.Sort(numbers)
	return fmt.Sprintf("what showed it is not saved: it came too long before (frames %d to %d of the watch)", numbers[0], numbers[len(numbers)-1])
}

// notesFor are those of the first packet of records, and of what others show.
func (n *news) notesFor(records []byte, first []string) []note {
	var out []note
	var p capture.Packet
	for at := 0; at < len(records); {
		size := readRecord(records[at:], &p)
		texts := n.evidence[p.Frame]
		if at == 0 {
			texts = slices.Concat(first, texts)
		}
		if len(texts) > 0 {
			out = append(out, note{at, texts})
		}
		at += size
	}
	return out
}
