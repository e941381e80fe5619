package watch

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/capture/live"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/verify"
)

// A connection is told when it is opened, and when it is over; while nothing
// happens, no State is made.
func TestOpenedAndClosed(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617)
	up := len(mutual.open().steps)
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		synctest.Wait()
		p.wants("at first", "started")
		if n := p.made(); n != 1 {
			t.Errorf("%d States at the beginning", n)
		}
		p.sends(mutual.part(0, up), 1)
		time.Sleep(time.Second)
		p.wants("opened", "opened c1")
		if v := verdictOf(&p.now().Document.Connections[0]); v != "mutual" || !p.now().Activity[0].Open {
			t.Errorf("verdict %s, %+v", v, p.now().Activity[0])
		}
		if p.made() == 0 {
			t.Error("no State of it")
		}
		time.Sleep(seldom) // its last packets changed nothing but counters
		p.made()
		time.Sleep(60*time.Second - seldom)
		if n := p.made(); n != 0 {
			t.Errorf("%d States, and nothing happened", n)
		}
		time.Sleep(20 * time.Second)
		p.wants("silent", "stalled c1")
		for _, i := range mutual.open().lastData() { // they come again
			p.packets <- mutual.packet(i, 1, time.Now(), nil)
		}
		time.Sleep(time.Second)
		p.wants("ticking", "ticking c1")
		p.made()
		p.sends(mutual.part(up, len(mutual.steps)), 1)
		time.Sleep(time.Second)
		p.wants("closed", "closed c1")
		p.made()
		time.Sleep(24 * time.Hour)
		p.wants("for a day")
		if n := p.made(); n > 1 {
			t.Errorf("%d States in a day on which a connection was given up", n)
		}
		if s := p.end(); s.Document.Conclusion != "pass" || s.Connections != 1 {
			t.Errorf("in the end: %s, %d connections", s.Document.Reason, s.Connections)
		}
		p.wants("the end", "stopped")
	})
}

// That nothing was seen is told when something should have been, or when the watch
// ends.
func TestNothingSeen(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617)
	expecting := Options{Decode: ports(42617), Verify: verify.Options{Policy: verify.Policy{Expect: verify.Expectation{Connections: 2}}}}
	perform(t, expecting, func(p *play) {
		time.Sleep(firstSeen - time.Second)
		p.wants("soon", "started")
		time.Sleep(2 * time.Second)
		p.wants("after a while", "finding DP301", "finding DP303")
		p.sends(mutual, 1)
		time.Sleep(time.Second)
		p.wants("then", "opened c1", "resolved DP301", "closed c1")
	})
	perform(t, expecting, func(p *play) {
		time.Sleep(time.Second)
		p.end()
		p.wants("the end", "started", "finding DP301", "finding DP303", "stopped")
	})
}

// States are not made more often than twice a second, and every change shows in
// one within a second.
func TestHowOftenStatesAreMade(t *testing.T) {
	plain := crowdOf(t, "plain", portOf(t, "plain"))
	perform(t, Options{}, func(p *play) {
		synctest.Wait()
		p.made()
		began := time.Now()
		for k := range 100 {
			p.sends(plain.part(0, 1), k) // SYNs
			time.Sleep(100 * time.Millisecond)
			if n := len(p.now().Document.Connections); n < k-9 {
				t.Fatalf("%d of %d connections known", n, k+1)
			}
		}
		if n, most := p.made(), int(time.Since(began)/interval)+1; n > most || n < most/2 {
			t.Errorf("%d States in %v", n, time.Since(began))
		}
	})
}

// However long a State took, the next one is not far.
func TestSlowStates(t *testing.T) {
	plain := crowdOf(t, "plain", portOf(t, "plain"))
	perform(t, Options{}, func(p *play) {
		synctest.Wait()
		p.slows(time.Minute)
		p.sends(plain.part(0, 1), 0)
		time.Sleep(time.Minute + 2*time.Second)
		p.slows(0)
		p.sends(plain.part(0, 1), 1)
		time.Sleep(longest)
		if n := len(p.now().Document.Connections); n != 2 {
			t.Errorf("%d of 2 connections known", n)
		}
	})
}

// Packets that the kernel lost are told. A few hide no connection, many do; and
// what misses some is not proven in any case.
func TestLosses(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617).open()
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		lose := func(n uint64) {
			p.stage.mu.Lock()
			p.stage.dropped += n
			p.stage.mu.Unlock()
		}
		p.sends(mutual, 1)
		time.Sleep(2 * time.Second)
		p.told()
		lose(6)
		p.sends(mutual, 2)
		time.Sleep(2 * time.Second)
		p.wants("few", "loss", "opened c2")
		if s := p.now(); s.Dropped != 6 || s.Document.Conclusion != "pass" || s.Document.Inputs[0].Dropped != 6 {
			t.Errorf("%d dropped: %s", s.Dropped, s.Document.Reason)
		}
		time.Sleep(time.Minute)
		p.told()
		lose(3)
		p.sends(mutual, 3)
		time.Sleep(time.Second)
		lose(4)
		p.sends(mutual, 4)
		time.Sleep(time.Second)
		if got := p.told(); !slices.Contains(got, "finding DP302") {
			t.Errorf("many: told %q", got)
		}
		if s := p.end(); s.Document.Conclusion != "inconclusive" {
			t.Errorf("in the end %s: %s", s.Document.Conclusion, s.Document.Reason)
		}
	})
}

// A loss on a connection makes just its own facts unknown.
func TestLossOnAConnection(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617).open()
	holed := &crowd{steps: slices.Concat(mutual.steps[:5], mutual.steps[6:])}
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		p.sends(mutual, 1)
		p.sends(holed, 2)
		time.Sleep(2 * time.Second)
		s := p.end()
		if a, b := verdictOf(&s.Document.Connections[0]), verdictOf(&s.Document.Connections[1]); a != "mutual" || b != "inconclusive" {
			t.Errorf("%s and %s", a, b)
		}
		if s.Activity[0].Lost != 0 || s.Activity[1].Lost == 0 {
			t.Errorf("lost %d and %d bytes", s.Activity[0].Lost, s.Activity[1].Lost)
		}
	})
}

func TestPolicies(t *testing.T) {
	oneway := crowdOf(t, "oneway_tls13", portOf(t, "oneway_tls13")).open()
	perform(t, Options{Decode: ports(portOf(t, "oneway_tls13"))}, func(p *play) {
		p.sends(oneway, 1)
		time.Sleep(2 * time.Second)
		if s := p.now(); s.Document.Conclusion != "fail" {
			t.Errorf("%s: %s", s.Document.Conclusion, s.Document.Reason)
		}
		p.told()
		p.RefusePolicy(errors.New("line 3 makes no sense"))
		time.Sleep(time.Second)
		p.wants("refused", "policy")
		if s := p.now(); s.PolicyError != "line 3 makes no sense" || s.Document.Conclusion != "fail" {
			t.Errorf("%q, %s", s.PolicyError, s.Document.Conclusion)
		}
		p.SetPolicy(verify.Options{Policy: verify.Policy{Name: "encrypted", Require: verify.RequireEncrypted}})
		time.Sleep(time.Second)
		if got := p.told(); !slices.Contains(got, "policy") || !slices.Contains(got, "resolved DP103") {
			t.Errorf("told %q", got)
		}
		if s := p.end(); s.PolicyError != "" || s.Policy != "encrypted" || s.Document.Conclusion != "pass" {
			t.Errorf("%q, %s, %s: %s", s.PolicyError, s.Policy, s.Document.Conclusion, s.Document.Reason)
		}
	})
}

// An exception of the policy holds until its last day is over.
func TestExceptionExpiresWhileWatching(t *testing.T) {
	port := portOf(t, "oneway_tls13")
	oneway := crowdOf(t, "oneway_tls13", port).open()
	perform(t, Options{Decode: ports(port)}, func(p *play) {
		now := time.Now()
		p.SetPolicy(verify.Options{Policy: verify.Policy{Now: now, Exceptions: []verify.Exception{{
			Rules: []verify.Rule{verify.NoClientCertificate}, Reason: "a move", Owner: "ops", Expires: now.UTC().Truncate(24 * time.Hour),
		}}}})
		p.sends(oneway, 1)
		time.Sleep(2 * time.Second)
		if s := p.now(); s.Document.Conclusion == "fail" {
			t.Errorf("before: %s: %s", s.Document.Conclusion, s.Document.Reason)
		}
		time.Sleep(26 * time.Hour)
		if s := p.now(); s.Document.Conclusion != "fail" {
			t.Errorf("after: %s: %s", s.Document.Conclusion, s.Document.Reason)
		}
	})
}

func TestInterfacesComeAndGo(t *testing.T) {
	perform(t, Options{}, func(p *play) {
		p.told()
		for _, x := range []struct {
			now  live.InterfaceState
			want string
		}{
			{live.InterfaceState{Missing: "no such interface; did you mean veth1?"}, "veth0 is waited for: no such interface; did you mean veth1?"},
			{live.InterfaceState{Up: true}, "veth0 is up: it is captured on"},
			{live.InterfaceState{Vanished: 1}, "veth0 is down or gone: nothing is captured on it"},
			{live.InterfaceState{Up: true, Vanished: 1}, "veth0 was away and is back: it is captured on again"},
			{live.InterfaceState{Up: true, Vanished: 2}, "veth0 was away and is back: it is captured on again"}, // it was for a moment
		} {
			x.now.Name = "veth0"
			p.stage.mu.Lock()
			p.stage.interfaces = []live.InterfaceState{{Name: "lo", Up: true}, x.now} // of lo there is nothing to tell
			p.stage.mu.Unlock()
			p.stage.noticed <- struct{}{}
			time.Sleep(time.Second)
			synctest.Wait()
			p.mu.Lock()
			if len(p.events) != 1 || p.events[0].Event != EventInterface || p.events[0].Message != x.want {
				t.Errorf("%+v: told %+v", x.now, p.events)
			}
			p.mu.Unlock()
			p.told()
		}
		if s := p.end(); !slices.Equal(s.Interfaces, []live.InterfaceState{{Name: "lo", Up: true}, {Name: "veth0", Up: true, Vanished: 2}}) {
			t.Errorf("%+v", s.Interfaces)
		}
	})
}

// An interface that appears while the watch is on all of them is told, but not those
// that were there at its start.
func TestInterfaceAppears(t *testing.T) {
	perform(t, Options{}, func(p *play) {
		var now []live.InterfaceState
		for _, x := range []struct {
			name string
			want []string
		}{
			{"lo", nil},
			{"veth0", []string{"veth0 is up: it is captured on"}},
			{"veth1", []string{"veth1 is up: it is captured on"}},
		} {
			now = append(slices.Clone(now), live.InterfaceState{Name: x.name, Up: true})
			p.told()
			p.stage.mu.Lock()
			p.stage.interfaces = now
			p.stage.mu.Unlock()
			p.stage.noticed <- struct{}{}
			time.Sleep(time.Second)
			synctest.Wait()
			p.mu.Lock()
			var got []string
			for _, e := range p.events {
				if e.Event == EventInterface {
					got = append(got, e.Message)
				}
			}
			p.mu.Unlock()
			if !slices.Equal(got, x.want) {
				t.Errorf("%s: told %q", x.name, got)
			}
		}
		p.end()
	})
}

// As long as an interface is down, nothing is proven. After that all is as before,
// unless so much crossed it before it was captured on again that this may have been
// a connection. The kernel is asked at once what there is by then.
func TestInterfaceBack(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617)
	for _, x := range []struct {
		missed     uint64
		elsewhere  bool
		conclusion string
	}{{0, false, "pass"}, {6, false, "pass"}, {7, false, "inconclusive"}, {0, true, "inconclusive"}} {
		var sockets []live.Socket
		asked := func() ([]live.Socket, error) { return sockets, nil }
		perform(t, Options{Decode: ports(42617), Sockets: asked}, func(p *play) {
			set := func(up bool, vanished uint64, d *capture.Damage) {
				p.stage.mu.Lock()
				p.stage.interfaces = []live.InterfaceState{{Name: "veth0", Up: up, Vanished: vanished}}
				p.stage.damage = d
				p.stage.mu.Unlock()
				p.stage.noticed <- struct{}{}
				time.Sleep(lookAgain + time.Second)
			}
			set(true, 0, nil)
			p.sends(mutual.open(), 1)
			time.Sleep(time.Second)
			p.told()
			set(false, 1, &capture.Damage{Reason: "the interface veth0 went down", Continued: true})
			p.wants("down", "interface", "finding DP302")
			if s := p.now(); s.Document.Conclusion != "inconclusive" {
				t.Errorf("while it is down: %s", s.Document.Conclusion)
			}
			p.stage.dropped = x.missed
			if x.elsewhere {
				sockets = []live.Socket{socketOf("10.30.0.8:40000", "10.30.0.9:42617", 0)}
			}
			set(true, 1, nil)
			p.sends(mutual, 2)
			time.Sleep(time.Second)
			s := p.now()
			if s.Document.Conclusion != x.conclusion {
				t.Errorf("%+v: %s: %s", x, s.Document.Conclusion, s.Document.Reason)
			}
			for i := range s.Document.Connections {
				if v := verdictOf(&s.Document.Connections[i]); v != "mutual" {
					t.Errorf("%+v: %s is %s", x, s.Document.Connections[i].ID, v)
				}
			}
		})
	}
}

// The kernel is asked before the watch begins: later this process may not be
// allowed to see the processes behind the sockets.
func TestSocketsAtOnce(t *testing.T) {
	asked := false
	New(newQuietSource(), Options{Sockets: func() ([]live.Socket, error) { asked = true; return nil, nil }})
	if !asked {
		t.Error("the kernel was not asked")
	}
}

// What the kernel knows of connections that are older than the watch.
func TestSockets(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617).open()
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	first := mutual.packet(0, 1, time.Now(), nil)
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte(first.Data[sourceAt:])), uint16(first.Data[sourcePort])<<8|uint16(first.Data[sourcePort+1]))
	server := netip.AddrPortFrom(netip.AddrFrom4([4]byte(first.Data[sourceAt+4:])), 42617)
	beam := live.Process{ID: 7, Name: "beam.smp"}
	carried := uint64(0)
	sockets := func() ([]live.Socket, error) {
		carried += 40
		return []live.Socket{
			{Local: server, Listening: true, Process: beam},
			{Local: at("0.0.0.0:22"), Listening: true, Process: live.Process{ID: 1, Name: "sshd"}},
			{Local: server, Remote: client, Process: beam, Received: carried},
			{Local: at("10.0.0.9:40000"), Remote: at("10.0.0.8:9000"), Process: beam},
			{Local: at("10.0.0.9:40001"), Remote: at("10.0.0.8:4369"), Process: beam},
			{Local: at("10.0.0.9:22"), Remote: at("10.0.0.8:9000"), Process: live.Process{ID: 1, Name: "sshd"}},
		}, nil
	}
	perform(t, Options{Decode: ports(42617), Sockets: sockets}, func(p *play) {
		synctest.Wait()
		s := p.now()
		if len(s.Known) != 2 || s.Known[0].Process != beam || len(s.Listeners) != 1 || s.Listeners[0].Local != server {
			t.Errorf("known %+v, listeners %+v", s.Known, s.Listeners)
		}
		if got := p.told(); !slices.Equal(got, []string{"started", "known", "known", "finding DP302"}) {
			t.Errorf("told %q", got)
		}
		p.sends(mutual.part(12, len(mutual.steps)), 1)
		time.Sleep(time.Second)
		s = p.now()
		if len(s.Known) != 1 || len(s.Document.Connections) != 1 || s.Document.Connections[0].State != "midstream" || s.Activity[0].Process != beam {
			t.Errorf("known %+v, activity %+v", s.Known, s.Activity)
		}
		p.told()
		time.Sleep(darkAfter + lookDark + time.Second)
		if got := p.told(); !slices.Contains(got, "blind") {
			t.Errorf("told %q", got)
		}
		if s := p.now(); !strings.Contains(s.Blind, "although 1 connection between nodes carried 40 bytes") {
			t.Errorf("blind: %q", s.Blind)
		}
		p.sends(mutual.part(0, 1), 2)
		time.Sleep(time.Second)
		if s := p.now(); s.Blind != "" {
			t.Errorf("still blind: %q", s.Blind)
		}
	})
}

// After a partition, nothing of the end of a connection is captured: it is over when
// this host's kernel does not have it any more. A connection of others is just silent.
func TestPartition(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617).open()
	var up atomic.Pointer[[]live.Socket]
	up.Store(new([]live.Socket))
	sockets := func() ([]live.Socket, error) { return *up.Load(), nil }
	perform(t, Options{Decode: ports(42617), Sockets: sockets}, func(p *play) {
		p.sends(mutual, 1, 2)
		time.Sleep(time.Second)
		c := p.now().Document.Connections[0]
		up.Store(&[]live.Socket{socketOf(c.Client.Socket(), c.Server.Socket(), 500)})
		time.Sleep(lookAnyway)
		up.Store(new([]live.Socket))
		p.told()
		time.Sleep(lookAnyway + lookAgain)
		p.wants("partition", "stalled c1", "stalled c2", "closed c1")
		if s := p.now(); s.Activity[0].Open || !s.Activity[1].Open {
			t.Errorf("%+v and %+v", s.Activity[0], s.Activity[1])
		}
		p.made()
		time.Sleep(6 * time.Hour)
		p.wants("for hours", "closed c2")
		if n := p.made(); n > 2 {
			t.Errorf("%d States in hours in which nothing happened", n)
		}
	})
}

// A connection between nodes of which nothing was captured keeps a watch from
// passing, whatever else is seen, unless it was told to leave it out.
func TestUncapturedIsNotProven(t *testing.T) {
	for name, tt := range map[string]struct {
		socket string
		only   link.Restriction
		want   string
	}{
		"where nodes listen": {socket: "10.30.0.9:42617", want: "inconclusive"},
		"left out":           {socket: "10.30.0.9:42617", only: link.Restriction{Nets: []netip.Prefix{netip.MustParsePrefix("10.30.0.2/32")}}, want: "pass"},
		"of whoever else":    {socket: "10.30.0.9:443", want: "pass"},
	} {
		t.Run(name, func(t *testing.T) {
			mutual := crowdOf(t, "mutual_tls13", 42617)
			socket := socketOf("10.30.0.8:40000", tt.socket, 0)
			sockets := func() ([]live.Socket, error) { return []live.Socket{socket}, nil }
			perform(t, Options{Decode: ports(42617), Links: link.Options{Only: tt.only}, Sockets: sockets}, func(p *play) {
				p.sends(mutual, 1)
				time.Sleep(time.Second)
				if s := p.end(); s.Document.Conclusion != tt.want {
					t.Errorf("%s: %s", s.Document.Conclusion, s.Document.Reason)
				}
			})
		})
	}
}

// TLS between programs of Erlang whose beginning was not captured may be between
// nodes: the first records do not tell, and until they do, a watch does not pass.
func TestUndecidedIsNotProven(t *testing.T) {
	beam := func(local, remote netip.AddrPort, process int) live.Socket {
		return live.Socket{Local: local, Remote: remote, Process: live.Process{ID: process, Name: "beam.smp"}}
	}
	for name, tt := range map[string]struct {
		server  live.Process
		listens bool // for others than nodes
		ends    bool
		want    string
	}{
		"Erlang at both ends":              {server: live.Process{ID: 2, Name: "beam.smp"}, want: "inconclusive"},
		"one process":                      {server: live.Process{ID: 1, Name: "beam.smp"}, want: "pass"},
		"another program":                  {server: live.Process{ID: 2, Name: "nginx"}, want: "pass"},
		"a client of a node, not of it":    {server: live.Process{ID: 2, Name: "beam.smp"}, listens: true, want: "pass"},
		"Erlang at both ends, but it ends": {server: live.Process{ID: 2, Name: "beam.smp"}, ends: true, want: "pass"},
	} {
		t.Run(name, func(t *testing.T) {
			old := crowdOf(t, "mutual_tls13", 42617)
			old.listenOn(45000)
			tick := old.lastData()
			client := netip.MustParseAddrPort("10.100.0.0:10002")
			server := netip.AddrPortFrom(netip.AddrFrom4([4]byte(old.packet(tick[0], 2, time.Now(), nil).Data[sourceAt+4:])), 45000)
			sockets := func() ([]live.Socket, error) {
				there := beam(server, client, 0)
				there.Process = tt.server
				all := []live.Socket{beam(client, server, 1), there}
				if tt.listens {
					for _, port := range []uint16{42617, 45000} {
						all = append(all, live.Socket{Local: netip.AddrPortFrom(server.Addr(), port), Listening: true, Process: tt.server})
					}
				}
				return all, nil
			}
			perform(t, Options{Sockets: sockets}, func(p *play) {
				p.sends(crowdOf(t, "mutual_tls13", 42617), 1)
				for _, i := range tick {
					p.packets <- old.packet(i, 2, time.Now(), nil)
				}
				if tt.ends {
					p.sends(old.part(len(old.steps)-3, len(old.steps)), 2)
				}
				time.Sleep(time.Second)
				s := p.end()
				if s.Document.Conclusion != tt.want {
					t.Errorf("%s: %s", s.Document.Conclusion, s.Document.Reason)
				}
				if len(s.Known) > 0 {
					t.Errorf("%v", s.Known)
				}
			})
		})
	}
}

// A connection that goes on after a silence may be silent for that long again: its
// nodes have a longer net_ticktime.
func TestLongerTicktime(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617)
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		p.sends(mutual.open(), 1)
		time.Sleep(time.Second)
		p.told()
		after := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			for _, i := range mutual.open().lastData() {
				p.packets <- mutual.packet(i, 1, time.Now(), nil)
			}
			time.Sleep(time.Second)
			p.wants("after "+d.String(), want...)
		}
		after(150*time.Second, "stalled c1", "ticking c1")
		after(150 * time.Second)
		after(180 * time.Second)
		after(300*time.Second, "stalled c1", "ticking c1")
		after(300 * time.Second)
	})
}

// The packets' times may jump; nothing stalls or goes for that.
func TestClockSteps(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617).open()
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		p.sends(mutual, 1)
		time.Sleep(2 * time.Second)
		p.told()
		for _, step := range []time.Duration{-30 * 24 * time.Hour, 365 * 24 * time.Hour} {
			p.packets <- mutual.packet(len(mutual.steps)-1, 1, time.Now().Add(step), nil)
			time.Sleep(2 * time.Second)
		}
		p.wants("after steps")
		if s := p.end(); !s.Activity[0].Open || s.Activity[0].Stalled {
			t.Errorf("%+v", s.Activity[0])
		}
	})
}

// Connections that are over are folded, but what is wrong stays.
func TestFolding(t *testing.T) {
	plain := crowdOf(t, "plain", portOf(t, "plain"))
	mutual := crowdOf(t, "mutual_tls13", 42617)
	perform(t, Options{Decode: decode.Options{Ports: []uint16{42617}, MaxMemory: 1 << 30}, MaxMemory: 1 << 20}, func(p *play) { // 64 connections that are over
		p.sends(plain, 50_000) // another address
		p.sends(mutual, 0)
		for k := 1; k < 200; k++ {
			p.sends(mutual.part(0, 1), k)
			for i := 1; i < len(mutual.steps); i++ {
				p.packets <- mutual.packet(i, k, time.Now(), nil)
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(3 * time.Minute)
		s := p.end()
		if n := len(s.Document.Connections); n > 100 {
			t.Errorf("%d connections are kept", n)
		}
		if s.Document.Conclusion != "fail" || s.Document.Connections[0].ID != "c1" || verdictOf(&s.Document.Connections[0]) != "cleartext" {
			t.Errorf("%s: %s", s.Document.Conclusion, s.Document.Reason)
		}
		if verdictOf(&s.Document.Connections[1]) != "mutual" || s.Document.Connections[1].ID != "c2" {
			t.Errorf("the first of the others is %s", s.Document.Connections[1].ID)
		}
		total := uint64(len(s.Document.Connections))
		for _, f := range s.History {
			total += f.Connections
			if f.Verdict != "mutual" || f.Bytes == 0 || f.First.IsZero() || f.Last.Before(f.First) {
				t.Errorf("%+v", f)
			}
		}
		if total != s.Connections || s.Folded == 0 || len(s.History) == 0 {
			t.Errorf("%d connections in %d and %d folded ones", s.Connections, len(s.Document.Connections), s.Folded)
		}
		for _, e := range p.events {
			if e.Event == EventResolved && e.Finding.Rule != "DP301" {
				t.Errorf("resolved: %s", e.Message)
			}
		}
		ids := make([]string, 0, len(s.Document.Connections))
		for _, c := range s.Document.Connections {
			ids = append(ids, c.ID)
		}
		if !slices.IsSortedFunc(ids, compareIDs) {
			t.Errorf("ids are %v", ids)
		}
	})
}

// A certificate with which an open connection was made may expire.
func TestCertificateExpiresWhileWatching(t *testing.T) {
	port := portOf(t, "mutual_tls12")
	mutual := crowdOf(t, "mutual_tls12", port).open()
	perform(t, Options{Decode: ports(port)}, func(p *play) {
		made := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		for i, s := range mutual.steps {
			p.packets <- mutual.packet(i, 1, made.Add(s.after), nil)
		}
		time.Sleep(2 * time.Second)
		c := p.now().Document.Connections[0]
		until, err := time.Parse(time.RFC3339Nano, c.ServerCertificate.Chain[0].NotAfter)
		if err != nil {
			t.Fatal(err)
		}
		p.packets <- mutual.packet(len(mutual.steps)-1, 1, until.Add(-time.Minute), nil)
		time.Sleep(30 * time.Second)
		p.told()
		time.Sleep(31 * time.Second)
		if got := p.told(); !slices.Contains(got, "finding DP108") {
			t.Errorf("told %q", got)
		}
		if s := p.end(); verdictOf(&s.Document.Connections[0]) != "mutual" || s.Document.Conclusion != "pass" {
			t.Errorf("%s: %s", s.Document.Conclusion, s.Document.Reason)
		}
	})
}

// Secrets that come into a key log after the handshake open it, even if no packet
// follows.
func TestKeyLogGrows(t *testing.T) {
	port := portOf(t, "mutual_keylog_tls13")
	mutual := crowdOf(t, "mutual_keylog_tls13", port).open()
	keys, err := os.ReadFile("../pcaps/mutual_keylog_tls13.keylog")
	if err != nil {
		t.Fatal(err)
	}
	log := new(secrets.Log)
	perform(t, Options{Decode: ports(port), Keys: func() *secrets.Log { return log }}, func(p *play) {
		p.sends(mutual, 1)
		time.Sleep(time.Second)
		if c := p.now().Document.Connections[0]; c.ClientCertificate.Basis != "inferred" || c.TLS.KeyLog == "opened" {
			t.Errorf("without secrets: %s, key log %q", c.ClientCertificate.Basis, c.TLS.KeyLog)
		}
		if _, err := log.Read(bytes.NewReader(keys), secrets.Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if c := p.now().Document.Connections[0]; c.ClientCertificate.Basis != "decrypted" || c.TLS.KeyLog != "opened" {
			t.Errorf("with secrets: %s, key log %q", c.ClientCertificate.Basis, c.TLS.KeyLog)
		}
	})
}
