package live

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"distproof/capture"
)

// until waits for interfaces, but for the others of a test, to be as wanted.
func until(t *testing.T, s *Source, want ...InterfaceState) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := slices.DeleteFunc(s.Interfaces(), func(i InterfaceState) bool { return i.Name == "other" || i.Name == "far" })
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

// eventually waits until a condition holds of what interfaces share.
func eventually(t *testing.T, s *Source, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		holds := condition()
		s.mu.Unlock()
		if holds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

// connected makes an interface left, to the namespace b, as pair does.
func (s *space) connected(b *space) {
	s.t.Helper()
	s.ip("link add left type veth peer name right netns "+b.name, "addr add 10.9.0.1/24 dev left", "link set left addrgenmode none", "link set left up")
	b.ip("addr add 10.9.0.2/24 dev right", "link set right addrgenmode none", "link set right up")
}

// An interface that goes away is captured on again when it is back, though it has
// another number then. As long as it is away, it is told that packets may be
// missing: not by whoever captures on all of them.
func TestInterfaceBack(t *testing.T) {
	lo, left := InterfaceState{Name: "lo", Up: true}, InterfaceState{Name: "left", Up: true}
	gone := InterfaceState{Name: "left", Vanished: 1}
	back := InterfaceState{Name: "left", Up: true, Vanished: 1}
	for _, tt := range []struct {
		interfaces            []string
		before, during, after []InterfaceState
	}{
		{[]string{"left"}, []InterfaceState{left}, []InterfaceState{gone}, []InterfaceState{back}},
		{[]string{"lo", "left"}, []InterfaceState{left, lo}, []InterfaceState{gone, lo}, []InterfaceState{back, lo}},
		{[]string{Any}, []InterfaceState{left, lo}, []InterfaceState{gone, lo}, []InterfaceState{back, lo}},
	} {
		t.Run(strings.Join(tt.interfaces, " "), func(t *testing.T) {
			a, b := pair(t)
			s := open(t, Options{Interfaces: tt.interfaces, Namespace: a.name})
			until(t, s, tt.before...)
			talk(t, a, b, "10.9.0.2:0", 1000)
			a.ip("link del left")
			until(t, s, tt.during...)
			d := s.Inputs()[0].Damage
			if (d == nil) != (tt.interfaces[0] == Any) || d != nil && !strings.Contains(d.Reason, "left went away") {
				t.Errorf("damage: %v", d)
			}
			a.ip("link add other type veth peer name far") // takes the next number
			a.ip("link del other")
			a.connected(b)
			until(t, s, tt.after...)
			talk(t, a, b, "10.9.0.2:0", 1000)
			segments := all(t, s)
			if n := covered(segments); n != 2000 {
				t.Errorf("%d bytes of payload, want 2000", n)
			}
			if in := s.Inputs()[0]; in.Damage != nil || in.Dropped != 0 {
				t.Errorf("%d packets were missed, damage: %v", in.Dropped, in.Damage)
			}
		})
	}
}

// One that was down for a while is captured on without anything being done.
func TestInterfaceFlaps(t *testing.T) {
	a, b := pair(t)
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name})
	a.ip("link set left down")
	until(t, s, InterfaceState{Name: "left", Vanished: 1})
	if d := s.Inputs()[0].Damage; d == nil || !strings.Contains(d.Reason, "left went down") {
		t.Errorf("damage: %v", d)
	}
	a.ip("link set left up")
	until(t, s, InterfaceState{Name: "left", Up: true, Vanished: 1})
	if in := s.Inputs()[0]; in.Damage != nil || in.Dropped != 0 {
		t.Errorf("%d packets were missed, damage: %v", in.Dropped, in.Damage)
	}
	b.ip("link set right down") // as a cable that is pulled
	until(t, s, InterfaceState{Name: "left", Vanished: 2})
	b.ip("link set right up")
	until(t, s, InterfaceState{Name: "left", Up: true, Vanished: 2})
	talk(t, a, b, "10.9.0.2:0", 1000)
	check(t, all(t, s), 1000, linkEthernet)
}

// Names count, not numbers.
func TestInterfaceRenamed(t *testing.T) {
	a, b := pair(t)
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name})
	a.ip("link set left down", "link set left name west", "link set west up")
	until(t, s, InterfaceState{Name: "left", Vanished: 1})
	a.ip("link set west down", "link set west name left", "link set left up")
	until(t, s, InterfaceState{Name: "left", Up: true, Vanished: 1})
	talk(t, a, b, "10.9.0.2:0", 1000)
	check(t, all(t, s), 1000, linkEthernet)
}

// What crosses an interface that is back before it is captured on again is counted;
// if it is gone by then, it is told.
func TestInterfaceBackUnseen(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone %t", gone), func(t *testing.T) {
			a, b := pair(t)
			s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name})
			until(t, s, InterfaceState{Name: "left", Up: true})
			s.mu.Lock() // so that nobody listens
			a.ip("link del left")
			a.connected(b)
			talk(t, a, b, "10.9.0.2:0", 1000)
			if gone {
				a.ip("link del left")
			}
			s.mu.Unlock()
			until(t, s, InterfaceState{Name: "left", Up: !gone, Vanished: 1 + map[bool]uint64{true: 1}[gone]})
			eventually(t, s, func() bool { return s.missed > 0 || s.in.Damage != nil })
			// A connection and its data take seven packets. Of one that is gone, the
			// counters say nothing.
			in := s.Inputs()[0]
			if gone && !strings.Contains(in.Damage.String(), "left was up before") || !gone && (in.Dropped < 7 || in.Dropped > 50 || in.Damage != nil) {
				t.Errorf("%d packets were missed, damage: %v", in.Dropped, in.Damage)
			}
			if n := covered(all(t, s)); n != 0 {
				t.Errorf("%d bytes of payload were captured", n)
			}
		})
	}
}

// Packets to other hosts may not count for an interface that is not yet in
// promiscuous mode again.
func TestInterfaceBackPromiscuous(t *testing.T) {
	for _, unseen := range []bool{false, true} {
		a, b := pair(t)
		s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name, Promiscuous: true})
		a.ip("link del left")
		until(t, s, InterfaceState{Name: "left", Vanished: 1})
		a.ip("link add left type veth peer name right netns "+b.name, "link set left addrgenmode none")
		if unseen {
			s.mu.Lock()
			a.ip("link del left")
			a.connected(b)
			s.mu.Unlock()
		} else {
			until(t, s, InterfaceState{Name: "left", Vanished: 1})
			eventually(t, s, func() bool { return s.states["left"].index != 0 && s.states["left"].asked == 0 })
			a.ip("link set left up")
			b.ip("link set right up")
		}
		until(t, s, InterfaceState{Name: "left", Up: true, Vanished: 1})
		if d := s.Inputs()[0].Damage; (d != nil) != unseen || d != nil && !strings.Contains(d.Reason, "left was up before") {
			t.Errorf("unseen %t: damage: %v", unseen, d)
		}
	}
}

// Of an interface that leaves a bridge the kernel tells in the words for one that
// is gone.
func TestInterfaceLeavesBridge(t *testing.T) {
	a, b := pair(t)
	a.ip("link add name br7 type bridge", "link set left master br7")
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name})
	a.ip("link set left nomaster")
	talk(t, a, b, "10.9.0.2:0", 1000)
	check(t, all(t, s), 1000, linkEthernet)
	if got := s.Interfaces(); !slices.Equal(got, []InterfaceState{{Name: "left", Up: true}}) || s.Inputs()[0].Damage != nil {
		t.Errorf("%+v, %v", got, s.Inputs()[0].Damage)
	}
}

// When so much happens that the kernel tells no more of it, what there is is asked
// for anew. That something may have been missed is told if an interface is another
// one by then: it may have come and gone meanwhile.
func TestInterfacesMissed(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone %t", gone), func(t *testing.T) {
			a, b := pair(t)
			a.ip("link add other type veth peer name far")
			s := open(t, Options{Interfaces: []string{"left", "lo"}, Namespace: a.name})
			listed := s.links.listing
			s.mu.Lock() // so that nobody listens
			a.in(func() error {
				batch := exec.Command("ip", "-batch", "-")
				batch.Stdin = strings.NewReader(strings.Repeat("link set other up\nlink set other down\n", 500))
				return batch.Run()
			})
			left := InterfaceState{Name: "left", Up: true}
			if gone {
				left = InterfaceState{Name: "left", Up: true, Vanished: 1}
				a.ip("link del left")
				a.connected(b)
			}
			s.mu.Unlock()
			until(t, s, left, InterfaceState{Name: "lo", Up: true})
			eventually(t, s, func() bool { return s.links.listing != listed && s.links.listed == nil && !s.links.missed })
			if d := s.Inputs()[0].Damage; (d != nil) != gone || d != nil && !strings.Contains(d.Reason, "faster than could be followed") {
				t.Errorf("damage: %v", d)
			}
			talk(t, a, b, "10.9.0.2:0", 1000)
			check(t, all(t, s), 1000, linkCooked)
		})
	}
}

// What is not there yet can be waited for, also several.
func TestWaitForInterface(t *testing.T) {
	for _, interfaces := range [][]string{{"left"}, {"left", "east"}} {
		a, b := newSpace(t), newSpace(t)
		s := open(t, Options{Interfaces: interfaces, Namespace: a.name, Wait: true})
		if notes := s.Notes(); len(notes) != len(interfaces) || !strings.Contains(notes[0], "left: no such interface: it is waited for; the interfaces are lo, ") {
			t.Errorf("%q", notes)
		}
		if d := s.Inputs()[0].Damage; d == nil || !strings.Contains(d.Reason, "the interface left does not exist") {
			t.Errorf("damage while there is none: %v", d)
		}
		talk(t, a, a, "127.0.0.1:0", 1000) // not on any other
		a.connected(b)
		want := []InterfaceState{{Name: "left", Up: true}}
		if len(interfaces) > 1 {
			want = append([]InterfaceState{{Name: "east", Missing: "no such interface"}}, want...)
		}
		until(t, s, want...)
		talk(t, a, b, "10.9.0.2:0", 1000)
		check(t, all(t, s), 1000, map[bool]capture.LinkType{true: linkEthernet, false: linkCooked}[len(interfaces) == 1])
		if d := s.Inputs()[0].Damage; len(interfaces) == 1 && d != nil || len(interfaces) > 1 && (d == nil || d.Reason != "the interface east does not exist") {
			t.Errorf("damage: %v", d)
		}
	}
}

// A name that is nearly that of an interface is likely a mistake, which is to be
// noticed at once.
func TestMistypedInterface(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	a.connected(b)
	s := open(t, Options{Interfaces: []string{"lfet"}, Namespace: a.name, Wait: true})
	until(t, s, InterfaceState{Name: "lfet", Missing: "no such interface; did you mean left?"})
	if notes := s.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "did you mean left? the interfaces are lo, left, ") {
		t.Errorf("%q", notes)
	}
	a.ip("link add name lfet type veth peer name far")
	until(t, s, InterfaceState{Name: "lfet"})
}

// An interface of another kind may take the name of one that is gone.
func TestInterfaceBackAnotherKind(t *testing.T) {
	a, _ := pair(t)
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name})
	a.ip("link del left")
	tun := a.tun("left")
	until(t, s, InterfaceState{Name: "left", Up: true, Vanished: 1})
	packet := between4("10.0.0.1", "10.0.0.2", 1, 2)
	if _, err := unix.Write(tun, packet); err != nil {
		t.Fatal(err)
	}
	if p := next(t, s); p.LinkType != linkCooked || !bytes.HasSuffix(p.Data, packet) {
		t.Errorf("link type %d: % x", p.LinkType, p.Data)
	}
}

// A process stands for its namespace, also after its end.
func TestNamespaceOfProcess(t *testing.T) {
	a := newSpace(t)
	sleep := exec.Command("sleep", "60")
	a.in(sleep.Start)
	s := open(t, Options{Interfaces: []string{"lo"}, Namespace: strconv.Itoa(sleep.Process.Pid)})
	sockets, err := OpenSockets(strconv.Itoa(sleep.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer sockets.Close()
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	sleep.Wait()
	client, server := a.connect("127.0.0.1:0")
	defer client.Close()
	defer server.Close()
	if got, err := sockets.List(); err != nil || len(got) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	talk(t, a, a, "127.0.0.1:0", 1000)
	if n := covered(all(t, s)); n != 1000 {
		t.Errorf("%d bytes of payload, want 1000", n)
	}
}

// Interfaces that come and go with names of their own are forgotten in time.
func TestInterfacesForgotten(t *testing.T) {
	s := &Source{options: Options{Interfaces: []string{Any}}, states: make(map[string]*state)}
	for i := range 10 * maxStates {
		one := netInterface{index: i + 1, name: fmt.Sprintf("veth%d", i), flags: 1}
		s.linkChanged(one, true)
		s.linkChanged(one, false)
	}
	if n := len(s.states); n > maxStates {
		t.Errorf("%d are remembered", n)
	}
}

// sleeps returns how often the threads slept that are in poll.
func sleeps(t *testing.T) map[string]int {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	waits := []string{fmt.Sprintf("%d ", unix.SYS_PPOLL)}
	if runtime.GOARCH == "amd64" {
		waits = append(waits, "7 ") // which others do not have
	}
	out := make(map[string]int)
	for _, thread := range threads {
		call, _ := os.ReadFile(thread + "/syscall")
		status, _ := os.ReadFile(thread + "/status")
		if !slices.ContainsFunc(waits, func(w string) bool { return strings.HasPrefix(string(call), w) }) {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if n, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				out[thread], _ = strconv.Atoi(strings.TrimSpace(n))
			}
		}
	}
	return out
}

// A capture that sees nothing sleeps: both who reads, and who follows interfaces.
func TestIdle(t *testing.T) {
	idle := time.Second
	if !testing.Short() {
		idle = 10 * time.Second
	}
	a, _ := pair(t)
	s := open(t, Options{Interfaces: []string{"lo"}, Namespace: a.name})
	talk(t, a, a, "127.0.0.1:0", 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s.Next(new(capture.Packet)) == nil {
		}
	}()
	time.Sleep(5 * retirement * time.Millisecond)
	var before map[string]int
	for deadline := time.Now().Add(10 * time.Second); len(before) != 2; time.Sleep(50 * time.Millisecond) {
		if before = sleeps(t); time.Now().After(deadline) {
			t.Fatalf("threads that wait: %v", before)
		}
	}
	time.Sleep(idle)
	after := sleeps(t)
	s.Stop()
	<-ended
	if !maps.Equal(before, after) {
		t.Errorf("threads, and how often they slept: %v; %v later: %v", before, idle, after)
	}
}
