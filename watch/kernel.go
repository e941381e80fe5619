package watch

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"distproof/capture/link"
	"distproof/capture/live"
	"distproof/decode"
	"distproof/internal/plural"
)

const (
	// lookAgain is how often the kernel is asked at most for the processes of new
	// connections, and again for what it had before, and lookAnyway how often it is
	// asked at least: connections that are not captured come and go without a packet.
	lookAgain  = 10 * time.Second
	lookAnyway = time.Minute
	// darkAfter is for how long no packet must have come until the kernel is asked
	// whether there should have been some; nodes tick every 15 s. It is asked
	// again after lookDark, and what the sockets carried meanwhile counts.
	darkAfter = 30 * time.Second
	lookDark  = 20 * time.Second
	// onlySYN is what the kernel counts at most where nothing was sent: it may
	// count the SYN.
	onlySYN = 1
)

// A kernel knows the sockets of this host.
type kernel struct {
	ask         func() ([]live.Socket, error)
	ports, epmd []uint16
	only        link.Restriction

	looked time.Time
	up     map[ends]live.Socket // connections that are up
	listen []live.Socket        // of programs of Erlang
	// named says that processes could be found out.
	named bool
	// seen are the connections of which data came.
	seen map[ends]bool
	// numbers is how many connections were known when the kernel was asked last,
	// and interfaces are those as of then.
	numbers    uint64
	interfaces []live.InterfaceState
	// shown are the ends of what the last State lists, and shownBlind what it says
	// of blindness; news says that this is not what the State before said.
	shown      []netip.AddrPort
	shownBlind string
	news       bool

	// tables counts how often the kernel told all that it had, and judged is the one
	// by which connections were judged last: had are those, by number, whose socket
	// it had, missing those whose socket it had before and has not, and gone those
	// of which that is so for the second time at least. One time alone may be by
	// chance, as tables are made while sockets come and go, or packets of the end
	// of a connection may be on their way.
	tables, judged     uint64
	had, missing, gone map[uint64]bool

	// dark has the sockets as of when it was first looked at them because no
	// packet came; nil while packets come.
	dark   map[ends]live.Socket
	darkAt time.Time
	blind  string
}

// ends are the local one and the remote one.
type ends [2]netip.AddrPort

// look asks for the sockets, when there are that many connections. What it cannot
// be told stays as it is.
func (k *kernel) look(now time.Time, connections uint64) {
	if k.ask == nil {
		return
	}
	k.looked, k.numbers = now, connections
	all, err := k.ask()
	if err != nil {
		return
	}
	before := k.up
	k.up = make(map[ends]live.Socket)
	var listen []live.Socket
	for _, s := range all {
		if s.Listening {
			if runsErlang(s.Process) || s.Process.Name == "epmd" {
				listen = append(listen, s)
			}
			continue
		}
		at := ends{s.Local, s.Remote}
		if s.Process == (live.Process{}) {
			s.Process = before[at].Process // this may be less privileged by now
		}
		k.up[at] = s
		k.named = k.named || s.Process.ID != 0
	}
	if len(all) < live.MaxSockets {
		k.tables++
	}
	if len(listen) > 0 || k.listen == nil {
		k.listen = listen
	}
	maps.DeleteFunc(k.seen, func(at ends, _ bool) bool { _, up := k.up[at]; return !up })
}

// runsErlang reports whether a process is one of Erlang's runtime system, by the
// name of its program.
func runsErlang(p live.Process) bool { return strings.HasPrefix(p.Name, "beam") }

// compare fills in what the kernel knows of the connections of a State, and what
// it has beside them. It returns the connections between nodes of which nothing
// was captured, and those that may be, of which too little was.
func (k *kernel) compare(facts *decode.Capture, s *State, now time.Time, m *maker) (uncaptured, undecided []string) {
	if k.ask == nil || k.looked.IsZero() {
		return nil, nil
	}
	k.refresh(facts, s, now, m)
	k.judge(facts, s)
	if len(k.missing) > 0 {
		m.soonest(lookAgain - now.Sub(k.looked))
	}
	between, idle, over := k.match(facts, s)
	for at, socket := range k.up {
		if k.seen[at] || over[at] || idle[at] && socket.Received+socket.Sent <= onlySYN {
			continue
		}
		if k.mayMatter(socket, between) && k.only.Allows(socket.Local, socket.Remote) {
			s.Known = append(s.Known, socket)
		}
	}
	slices.SortFunc(s.Known, live.Socket.Compare)
	// As of when the kernel was asked for them.
	uncaptured, undecided = k.unproven(s.Known, between), k.unproven(k.undecided(facts, s), between)
	s.Listeners = k.listen
	s.Blind = k.whyBlind(s, between, now, m)
	k.show(s)
	m.soonest(lookAnyway - now.Sub(k.looked))
	return uncaptured, undecided
}

// refresh asks for the sockets again if it is time.
func (k *kernel) refresh(facts *decode.Capture, s *State, now time.Time, m *maker) {
	if k.interfaces == nil {
		k.interfaces = s.Interfaces
	}
	ago := now.Sub(k.looked)
	// What an interface carried may have gone another way when it was down.
	moved := !slices.Equal(k.interfaces, s.Interfaces)
	if ago >= lookAnyway || ago >= lookAgain && (moved || len(k.missing) > 0 || k.named && s.Connections > k.numbers && k.lacksProcess(facts)) {
		k.look(now, s.Connections)
		k.interfaces = s.Interfaces
	} else if moved {
		m.soonest(lookAgain - ago)
	}
}

// match finds the sockets of connections, and says which processes have them. It
// returns where nodes listen, the ends of connections of which packets came, but no
// data, and those of connections of which data came, and that ended since the kernel
// was asked.
func (k *kernel) match(facts *decode.Capture, s *State) (between map[netip.AddrPort]bool, idle, over map[ends]bool) {
	if k.seen == nil {
		k.seen = make(map[ends]bool)
	}
	between, idle, over = make(map[netip.AddrPort]bool), make(map[ends]bool), make(map[ends]bool)
	for _, n := range facts.Registry.Names {
		between[netip.AddrPortFrom(n.Host, n.Port)] = true
	}
	for i, c := range facts.Connections {
		client, server := c.Ends[decode.Client].Address, c.Ends[decode.Server].Address
		if c.Protocol == decode.Dist || c.Protocol == decode.DistTLS {
			between[server] = true
		}
		carried := c.TCP[decode.Client].Bytes+c.TCP[decode.Server].Bytes > 0
		for _, at := range []ends{{client, server}, {server, client}} {
			switch {
			case !s.Activity[i].Open:
				// One that ended before may have had the addresses and ports of another.
				over[at] = over[at] || carried && c.Last >= k.looked.UnixNano()
				continue
			case carried:
				k.seen[at] = true
			default:
				idle[at] = true
			}
			socket, ok := k.up[at]
			// One that began since may have the addresses and ports of another.
			if ok && (c.Number <= k.numbers || !c.Start()) && s.Activity[i].Process.ID == 0 {
				s.Activity[i].Process = socket.Process
			}
		}
	}
	return between, idle, over
}

// judge finds the connections that are over although nothing of their end was
// captured: those whose socket the kernel of this host had and has no more, or no
// more as one that is up. Of what it never had, as connections of other hosts, it
// tells nothing.
func (k *kernel) judge(facts *decode.Capture, s *State) {
	if k.judged < k.tables {
		k.judged = k.tables
		k.compareTables(facts, s)
	}
	if len(k.gone) == 0 {
		return
	}
	for i, c := range facts.Connections {
		if a := &s.Activity[i]; a.Open && k.gone[c.Number] {
			a.Open, a.Gone = false, true
		}
	}
}

// compareTables goes through the connections that are open by what was captured.
func (k *kernel) compareTables(facts *decode.Capture, s *State) {
	had, missing, gone := make(map[uint64]bool), make(map[uint64]bool), make(map[uint64]bool)
	taken := make(map[ends]bool) // by later ones
	for i, c := range slices.Backward(facts.Connections) {
		at := endsOf(c)
		if s.Activity[i].Open {
			switch n := c.Number; {
			case k.has(at) && !taken[at]:
				had[n] = true
			case k.missing[n] || k.gone[n]:
				gone[n] = true
			case k.had[n]:
				missing[n] = true
			}
		}
		taken[at] = true
	}
	k.had, k.missing, k.gone = had, missing, gone
}

// endsOf returns the ends of a connection, always in the same order.
func endsOf(c *decode.Connection) ends {
	at := ends{c.Ends[decode.Client].Address, c.Ends[decode.Server].Address}
	if at[0].Compare(at[1]) > 0 {
		at[0], at[1] = at[1], at[0]
	}
	return at
}

// has reports whether one of the ends is a socket of this host that is up.
func (k *kernel) has(at ends) bool {
	_, one := k.up[at]
	_, other := k.up[ends{at[1], at[0]}]
	return one || other
}

// unproven names those of the sockets known that are of connections between
// nodes.
func (k *kernel) unproven(known []live.Socket, between map[netip.AddrPort]bool) []string {
	var out []string
	for _, x := range live.OneEach(known) {
		if k.nodes(x, between) {
			out = append(out, fmt.Sprintf("%s ↔ %s", x.Local, x.Remote))
		}
	}
	return out
}

// undecided returns the sockets of connections that are up, and whose packets do not
// show yet what they carry, since their beginning was not captured: TLS, until
// ticks come evenly, and what may be a tick in the clear.
func (k *kernel) undecided(facts *decode.Capture, s *State) (out []live.Socket) {
	for i, c := range facts.Connections {
		at := ends{c.Ends[decode.Client].Address, c.Ends[decode.Server].Address}
		socket, up := k.up[at]
		if !up || !s.Activity[i].Open || c.Start() {
			continue
		}
		foreign := c.Unidentified[decode.Client] || c.Unidentified[decode.Server]
		if c.Protocol == decode.TLS || c.Protocol == decode.Other && !foreign {
			out = append(out, socket)
		}
	}
	return out
}

// show notes what s says.
func (k *kernel) show(s *State) {
	before := k.shown
	k.shown = nil
	for _, list := range [][]live.Socket{s.Known, s.Listeners} {
		for _, x := range list {
			k.shown = append(k.shown, x.Local, x.Remote)
		}
	}
	k.news = !slices.Equal(k.shown, before) || s.Blind != k.shownBlind
	k.shownBlind = s.Blind
}

// lacksProcess reports whether a connection between nodes is new.
func (k *kernel) lacksProcess(facts *decode.Capture) bool {
	for _, c := range slices.Backward(facts.Connections) {
		if c.Number <= k.numbers {
			return false
		}
		if c.Protocol == decode.Dist || c.Protocol == decode.DistTLS {
			return true
		}
	}
	return false
}

// mayMatter reports whether a connection is one between programs of Erlang, and
// not one to a port mapper.
func (k *kernel) mayMatter(s live.Socket, between map[netip.AddrPort]bool) bool {
	for _, port := range []uint16{s.Local.Port(), s.Remote.Port()} {
		if port == decode.EPMDPort || slices.Contains(k.epmd, port) {
			return false
		}
	}
	if k.isBetween(s, between) {
		return true
	}
	return runsErlang(s.Process) && !k.withItself(s) && !k.fromClient(s, between)
}

// withItself reports whether both ends of a connection are one process: a node has
// no connection with itself.
func (k *kernel) withItself(s live.Socket) bool {
	other, here := k.up[ends{s.Remote, s.Local}]
	return here && s.Process.ID != 0 && s.Process.ID == other.Process.ID
}

// fromClient reports whether a connection came to a listener of a node that is
// there for others than nodes, such as AMQP's: for nodes it listens on another one,
// which is the only one that a port mapper can tell of.
func (k *kernel) fromClient(s live.Socket, between map[netip.AddrPort]bool) bool {
	came, nodes := false, false
	for _, l := range k.listen {
		if l.Process.ID == 0 || l.Process.ID != s.Process.ID {
			continue
		}
		port := l.Local.Port()
		came = came || port == s.Local.Port()
		nodes = nodes || slices.Contains(k.ports, port) || between[netip.AddrPortFrom(s.Local.Addr(), port)]
	}
	return came && nodes
}

// isBetween reports whether an end of a connection is where a node listens.
func (k *kernel) isBetween(s live.Socket, between map[netip.AddrPort]bool) bool {
	return between[s.Local] || between[s.Remote] || slices.Contains(k.ports, s.Local.Port()) || slices.Contains(k.ports, s.Remote.Port())
}

// whyBlind says why nothing is seen although connections between nodes carry
// data; "" if that is not so, or not known.
func (k *kernel) whyBlind(s *State, between map[netip.AddrPort]bool, now time.Time, m *maker) string {
	last := s.LastPacket
	if last.Before(s.Started) {
		last = s.Started
	}
	quiet := now.Sub(last)
	if k.darkAt.Before(last) {
		k.dark, k.blind = nil, ""
	}
	if !k.hasNodes(between) {
		return k.blind
	}
	switch {
	case quiet < darkAfter:
		m.soonest(darkAfter - quiet)
		return k.blind
	case k.dark != nil && now.Sub(k.darkAt) < lookDark:
		m.soonest(lookDark - now.Sub(k.darkAt))
		return k.blind
	}
	before := k.dark
	k.look(now, s.Connections)
	k.dark, k.darkAt = k.up, now
	m.soonest(lookDark)
	if before == nil {
		return k.blind
	}
	k.blind = ""
	n, carried := 0, uint64(0)
	for at, x := range k.up {
		old, ok := before[at]
		if _, both := k.up[ends{at[1], at[0]}]; both && at[0].Compare(at[1]) > 0 {
			continue // both ends are on this host: it is counted at the other
		}
		if more := x.Received + x.Sent - old.Received - old.Sent; ok && k.nodes(x, between) && int64(more) > 0 {
			n++
			carried += more
		}
	}
	if n > 0 {
		k.blind = fmt.Sprintf("no packet came for %d s, although %s between nodes carried %s meanwhile",
			int(quiet.Seconds()), plural.Of(n, "connection", "connections"), plural.Of(carried, "byte", "bytes"))
	}
	return k.blind
}

// nodes reports whether a connection is one between nodes: one end is where a
// node listens, or both are processes of Erlang on this host.
func (k *kernel) nodes(s live.Socket, between map[netip.AddrPort]bool) bool {
	if k.isBetween(s, between) {
		return true
	}
	other, ok := k.up[ends{s.Remote, s.Local}]
	return ok && runsErlang(s.Process) && runsErlang(other.Process) &&
		!k.withItself(s) && !k.fromClient(s, between) && !k.fromClient(other, between)
}

// hasNodes reports whether any connection is one between nodes.
func (k *kernel) hasNodes(between map[netip.AddrPort]bool) bool {
	for _, s := range k.up {
		if k.nodes(s, between) {
			return true
		}
	}
	return false
}
