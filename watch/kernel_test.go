package watch

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/capture/live"
	"distproof/decode"
)

func socketOf(local, remote string, carried uint64) live.Socket {
	return live.Socket{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote), Sent: carried, Process: live.Process{ID: 1, Name: "beam.smp"}}
}

// of makes a socket that of another process.
func of(process int, s live.Socket) live.Socket {
	s.Process.ID = process
	return s
}

// A host is what a kernel says at times, of which no packet is captured.
type host struct {
	kernel
	sockets    []live.Socket
	asked      int
	uncaptured []string
}

func newHost(at time.Time) *host {
	h := &host{}
	h.ask = func() ([]live.Socket, error) {
		h.asked++
		return slices.Clone(h.sockets), nil
	}
	h.look(at, 0)
	return h
}

// state is what is said at a moment, and for how long nothing more can change.
func (h *host) state(started, now time.Time) (*State, time.Duration) {
	m := &maker{before: maxWait}
	s := &State{Started: started, At: now}
	h.uncaptured, _ = h.compare(&decode.Capture{}, s, now, m)
	return s, m.before
}

// TestUncaptured: what the kernel has beside what is captured comes and goes.
func TestUncaptured(t *testing.T) {
	started := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHost(started)
	for _, step := range []struct {
		name    string
		sockets []live.Socket
		known   int
		news    bool
	}{
		{"nothing", nil, 0, false},
		{"nodes connect", []live.Socket{socketOf("10.0.0.1:4001", "10.0.0.2:4002", 0)}, 1, true},
		{"nothing new", []live.Socket{socketOf("10.0.0.1:4001", "10.0.0.2:4002", 50)}, 1, false},
		{"another one", []live.Socket{socketOf("10.0.0.1:4001", "10.0.0.3:4002", 0)}, 1, true},
		{"all are gone", nil, 0, true},
	} {
		h.sockets = step.sockets
		started = started.Add(lookAnyway)
		s, wait := h.state(started, started)
		if len(s.Known) != step.known || h.news != step.news {
			t.Errorf("%s: %d connections, news: %v", step.name, len(s.Known), h.news)
		}
		if len(h.uncaptured) != 0 { // one end alone does not show that it is between nodes
			t.Errorf("%s: %q", step.name, h.uncaptured)
		}
		if wait > lookAnyway {
			t.Errorf("%s: the kernel is asked again after %v", step.name, wait)
		}
	}
}

// TestSeenIsForgotten: a connection of which packets came says nothing of a later
// one on the same ports.
func TestSeenIsForgotten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHost(now)
	same := socketOf("10.0.0.1:4001", "10.0.0.2:4002", 0)
	h.seen = map[ends]bool{{same.Local, same.Remote}: true}
	for _, step := range []struct {
		sockets []live.Socket
		known   int
	}{{[]live.Socket{same}, 0}, {nil, 0}, {[]live.Socket{same}, 1}} {
		h.sockets = step.sockets
		now = now.Add(lookAnyway)
		if s, _ := h.state(now, now); len(s.Known) != step.known {
			t.Errorf("%d connections, want %d", len(s.Known), step.known)
		}
	}
}

// TestEmptyPacketsShowNothing: packets without data, which anybody may have sent,
// say nothing of a connection that carries some.
func TestEmptyPacketsShowNothing(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		captured, carried uint64
		known             int
	}{{0, 1, 0}, {0, 500, 1}, {100, 500, 0}} {
		h := newHost(now)
		socket := socketOf("10.0.0.1:4001", "10.0.0.2:4002", x.carried)
		h.sockets = []live.Socket{socket}
		c := &decode.Connection{Ends: [2]decode.End{{Address: socket.Local}, {Address: socket.Remote}}}
		c.TCP[decode.Client].Bytes = x.captured
		s := &State{At: now, Activity: []Activity{{Open: true}}}
		h.look(now, 1)
		h.compare(&decode.Capture{Connections: []*decode.Connection{c}}, s, now, &maker{before: maxWait})
		if len(s.Known) != x.known {
			t.Errorf("%d of %d bytes were captured: %d connections are not captured, want %d", x.captured, x.carried, len(s.Known), x.known)
		}
	}
}

// TestBlindToLaterNodes: nodes that connect after the watch began, where it does
// not capture, make it blind.
func TestBlindToLaterNodes(t *testing.T) {
	started := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHost(started)
	connected, carried, blindAt := started.Add(90*time.Second), uint64(0), time.Time{}
	for now := started; now.Sub(started) < 10*time.Minute && blindAt.IsZero(); {
		s, wait := h.state(started, now)
		if s.Blind != "" {
			blindAt = now
			if want := "although 1 connection between nodes carried"; !strings.Contains(s.Blind, want) {
				t.Errorf("%q, want %q", s.Blind, want)
			}
		}
		if wait <= 0 {
			t.Fatal("it does not wait")
		}
		if now = now.Add(wait); now.After(connected) {
			carried += 100
			h.sockets = []live.Socket{socketOf("10.0.0.1:4001", "10.0.0.1:4002", carried), of(2, socketOf("10.0.0.1:4002", "10.0.0.1:4001", carried))}
		}
	}
	if blindAt.Before(connected) || h.asked > 20 {
		t.Errorf("blind after %v, the kernel was asked %d times", blindAt.Sub(started), h.asked)
	}
}

// TestBlindIsToldOnce: for how long it has been blind is no news.
func TestBlindIsToldOnce(t *testing.T) {
	teller := newTeller(nil)
	var told []string
	for _, blind := range []string{"", "for 50 s", "for 70 s", "", "", "for 50 s"} {
		out := eventsAt(time.Time{})
		teller.surroundings(out, &State{Counters: Counters{Blind: blind}})
		for _, e := range out.list {
			told = append(told, e.Message)
		}
	}
	if got := strings.Join(told, ", "); got != "for 50 s, packets come again, for 50 s" {
		t.Error(got)
	}
}

// TestClientsAreNotNodes: what comes to other listeners of a node, and what a node
// has with itself, is not between nodes.
func TestClientsAreNotNodes(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	listener := func(at string) live.Socket {
		s := socketOf(at, "0.0.0.0:0", 0)
		s.Listening = true
		return s
	}
	amqp, dist := listener("[::]:5672"), listener("0.0.0.0:25672")
	client := socketOf("10.0.0.1:5672", "10.0.0.3:40000", 500)
	node := socketOf("10.0.0.1:25672", "10.0.0.2:40000", 500)
	dialled := socketOf("10.0.0.1:40000", "10.0.0.2:25672", 500)
	database := socketOf("10.0.0.1:40000", "10.0.0.9:5432", 500)
	here := socketOf("10.0.0.1:5672", "10.0.0.1:40000", 500)
	self := []live.Socket{here, socketOf("10.0.0.1:40000", "10.0.0.1:5672", 500)}
	other := []live.Socket{here, of(2, socketOf("10.0.0.1:40000", "10.0.0.1:5672", 500))}
	for _, row := range []struct {
		name              string
		ports             []uint16 // that nodes listen on
		sockets           []live.Socket
		known, uncaptured int
	}{
		{"a client", []uint16{25672}, []live.Socket{amqp, dist, client}, 0, 0},
		{"a client, where it is not known where nodes listen", nil, []live.Socket{amqp, dist, client}, 1, 0},
		{"a client of another process", []uint16{25672}, []live.Socket{of(2, amqp), dist, of(2, client)}, 1, 0},
		{"a client, where no process is known", []uint16{25672}, []live.Socket{of(0, amqp), of(0, dist), of(0, client)}, 1, 0},
		{"a node", []uint16{25672}, []live.Socket{amqp, dist, node}, 1, 1},
		{"a node was dialled", []uint16{25672}, []live.Socket{amqp, dist, dialled}, 1, 1},
		{"a database was dialled", []uint16{25672}, []live.Socket{amqp, dist, database}, 1, 0},
		{"with itself", nil, append(self, amqp), 0, 0},
		{"with another process of Erlang here", nil, append(other, amqp), 2, 1},
		{"with another process of Erlang here, as a client", []uint16{25672}, append(other, amqp, dist), 1, 0},
	} {
		h := newHost(now)
		h.ports, h.sockets = row.ports, row.sockets
		h.look(now, 0)
		s, _ := h.state(now, now)
		if len(s.Known) != row.known || len(h.uncaptured) != row.uncaptured {
			t.Errorf("%s: %d connections, %q between nodes", row.name, len(s.Known), h.uncaptured)
		}
	}
}

// TestShortConnections: what was up when the kernel was asked, and is over by now,
// was captured all the same; but not by what had its addresses and ports before.
func TestShortConnections(t *testing.T) {
	asked := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		name     string
		ended    time.Duration // after the kernel was asked
		captured uint64
		known    int
	}{
		{"ended since", time.Second, 100, 0},
		{"had ended", -time.Second, 100, 1},
		{"ended since, without data", time.Second, 0, 1},
	} {
		h := newHost(asked)
		socket := socketOf("10.0.0.1:4001", "10.0.0.2:25672", 500)
		h.ports, h.sockets = []uint16{25672}, []live.Socket{socket}
		h.look(asked, 0)
		c := &decode.Connection{Ends: [2]decode.End{{Address: socket.Local}, {Address: socket.Remote}}, Last: asked.Add(x.ended).UnixNano()}
		c.TCP[decode.Client].Bytes = x.captured
		now := asked.Add(2 * time.Second)
		s := &State{At: now, Activity: []Activity{{Open: false}}}
		uncaptured, _ := h.compare(&decode.Capture{Connections: []*decode.Connection{c}}, s, now, &maker{before: maxWait})
		if len(s.Known) != x.known || len(uncaptured) != x.known {
			t.Errorf("%s: %d connections are not captured, %q between nodes; want %d", x.name, len(s.Known), uncaptured, x.known)
		}
	}
}

// TestGoneFromTheKernel: a connection is over whose socket the kernel had and has
// no more, and open again if it has it again. What it never had says nothing, nor
// does a single table, one that could not be read, or one that leaves some out.
func TestGoneFromTheKernel(t *testing.T) {
	const has, hasNot, cannotTell, leavesOut = 'y', 'n', '?', '<'
	local, remote := netip.MustParseAddrPort("10.0.0.1:4001"), netip.MustParseAddrPort("10.0.0.2:25672")
	for _, row := range []struct{ tables, want string }{
		{"yyyy", "oooo"},
		{"ynnn", "ooGG"},
		{"nnnn", "oooo"}, // of another host
		{"nynn", "oooG"},
		{"ynyn", "oooo"},
		{"ynny", "ooGo"},
		{"yn?n", "oooG"},
		{"yn<n", "oooG"},
		{"y??n", "oooo"},
	} {
		for _, at := range []ends{{local, remote}, {remote, local}} {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			h := newHost(now)
			got := ""
			for _, table := range row.tables {
				now = now.Add(lookAnyway)
				h.ask = func() ([]live.Socket, error) {
					switch table {
					case has:
						return []live.Socket{{Local: at[0], Remote: at[1]}}, nil
					case cannotTell:
						return nil, errors.New("no answer")
					case leavesOut:
						return make([]live.Socket, live.MaxSockets), nil
					}
					return nil, nil
				}
				c := &decode.Connection{Number: 1, Ends: [2]decode.End{{Address: local}, {Address: remote}}}
				s := &State{At: now, Activity: []Activity{{Open: true}}}
				h.compare(&decode.Capture{Connections: []*decode.Connection{c}}, s, now, &maker{before: maxWait})
				switch a := s.Activity[0]; a {
				case Activity{Open: true}:
					got += "o"
				case Activity{Gone: true}:
					got += "G"
				default:
					t.Errorf("%+v", a)
				}
			}
			if got != row.want {
				t.Errorf("%s, %s first: %s, want %s", row.tables, at[0], got, row.want)
			}
		}
	}
}

// TestPortsUsedAgain: the socket of a connection says nothing of an earlier one with
// the same addresses and ports.
func TestPortsUsedAgain(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHost(now)
	socket := socketOf("10.0.0.1:4001", "10.0.0.2:25672", 500)
	h.sockets = []live.Socket{socket}
	var all []*decode.Connection
	var s *State
	for n := range uint64(4) {
		if n < 2 {
			all = append(all, &decode.Connection{Number: n + 1, Ends: [2]decode.End{{Address: socket.Local}, {Address: socket.Remote}}})
		}
		now = now.Add(lookAnyway)
		s = &State{At: now, Activity: []Activity{{Open: true}, {Open: true}}[:len(all)]}
		h.compare(&decode.Capture{Connections: all}, s, now, &maker{before: maxWait})
	}
	if !s.Activity[0].Gone || !s.Activity[1].Open {
		t.Errorf("the earlier: %+v, the later: %+v", s.Activity[0], s.Activity[1])
	}
}
