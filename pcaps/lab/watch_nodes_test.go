//go:build linux && lab

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"distproof/report"
	"distproof/verify"
	"distproof/watch"
)

// TestWatchNodes: a watch on the interface of a host tells of the connection that
// was up before, of nodes that join, leave, come back and change to TLS, and goes
// on when the interface goes and another one comes. `make labtest` runs it.
func TestWatchNodes(t *testing.T) {
	l := newRecordLab(t, testPKI(t))
	billing := nodeSpec{name: "billing", host: 2, tls: both(2, "1.3"), port: 9100}
	legacy := nodeSpec{name: "legacy", host: 3}
	l.connect(t, clientSpec{nodeSpec{name: "orders", host: 1, tls: both(1, "")}, billing})
	l.start(t, legacy)

	w := l.watch(t, buildProgram(t), l.net.namespace(1), "eth0")
	if s := w.until(watch.EventKnown).Socket; s.Remote != l.net.address(2)+":9100" || s.Program != "beam.smp" || s.PID == 0 {
		t.Errorf("%+v", s)
	}
	// Ticks show that it is distribution, and nothing whether it is mutual.
	before := w.opened(verify.Midstream, verify.Inconclusive)

	first := l.start(t, nodeSpec{name: "shop", host: 1})
	l.dial(t, first, legacy)
	joined := w.opened(verify.Up, verify.Cleartext)
	if joined.Client.Node != "shop@n1.lab" || joined.Server.Node != "legacy@n3.lab" {
		t.Errorf("%s and %s", joined.Client.Node, joined.Server.Node)
	}
	first.stop(nil)
	w.closed(joined)

	again := l.start(t, nodeSpec{name: "shop", host: 1})
	l.dial(t, again, legacy)
	restarted := w.opened(verify.Up, verify.Cleartext)
	if restarted.ID == joined.ID {
		t.Errorf("%s is taken for the connection before", restarted.ID)
	}
	again.stop(nil)
	w.closed(restarted)

	l.dial(t, l.start(t, nodeSpec{name: "shop", host: 1, tls: both(1, "1.3")}), billing)
	if secured := w.opened(verify.Up, verify.Mutual); secured.ID == before.ID {
		t.Errorf("%s is the connection that was up before", secured.ID)
	}

	l.ip(t, "-n "+l.net.namespace(1)+" link del eth0")
	w.interfaceSays("down or gone")
	for _, step := range l.net.plug(1) {
		if strings.Contains(step, "eth0") || strings.Contains(step, "p1") {
			l.ip(t, step)
		}
	}
	w.interfaceSays("is back")
	l.dial(t, l.start(t, nodeSpec{name: "audit", host: 1}), legacy)
	if back := w.opened(verify.Up, verify.Cleartext); back.Client.Node != "audit@n1.lab" {
		t.Errorf("%s", back.Client.Node)
	}
}

// TestWatchPartition: what ends while the network is parted is over for a watch on
// either host when its kernel gives the connection up, without a packet of it. The
// bridge between them, whose kernel never had it, only sees it fall silent.
func TestWatchPartition(t *testing.T) {
	t.Parallel()
	l := newRecordLab(t, testPKI(t))
	billing := nodeSpec{name: "billing", host: 2, tls: both(2, "1.3"), port: 9100}
	server, client := l.start(t, billing), l.start(t, nodeSpec{name: "orders", host: 1, tls: both(1, "")})
	program := buildProgram(t)
	here, there := l.watch(t, program, l.net.namespace(1), "eth0"), l.watch(t, program, l.net.namespace(2), "eth0")
	between := l.watch(t, program, l.net.bridge(), "br0", "--promiscuous")
	all := []*labWatch{here, there, between}
	for _, w := range all {
		w.until(watch.EventStarted)
	}
	l.dial(t, client, billing)
	for _, w := range all {
		w.opened(verify.Up, verify.Mutual)
	}
	time.Sleep(15 * time.Second) // the kernel is asked about new connections by then

	l.ip(t, "-n "+l.net.namespace(1)+" route add blackhole "+l.net.address(2)+"/32")
	l.ip(t, "-n "+l.net.namespace(2)+" route add blackhole "+l.net.address(1)+"/32")
	client.stop(nil)
	server.stop(nil)
	for _, w := range all {
		w.limit = 2 * time.Minute
	}
	gone := func(e watch.Event) bool { return strings.Contains(e.Message, "the kernel of this host has it no more") }
	for _, w := range []*labWatch{here, there} {
		if e := w.wait("it is gone", gone); e.Event != watch.EventClosed || *e.Connection.Verdict != string(verify.Mutual) {
			t.Errorf("%s: %s", e.Event, e.Message)
		}
	}
	between.wait("it is silent", func(e watch.Event) bool {
		if e.Event == watch.EventClosed {
			t.Errorf("the bridge: %s", e.Message)
		}
		return e.Event == watch.EventStalled
	})
}

// TestWatchFragments: what a router takes apart on its way is saved as it came, for
// verify and for tshark.
func TestWatchFragments(t *testing.T) {
	t.Parallel()
	l := newRecordLab(t, testPKI(t, need{"tshark", "tshark"}))
	// From host 1 to host 2 it goes by host 3, with a smaller MTU from there on, of
	// which host 1 learns nothing.
	l.sysctl(t, 1, "net.ipv4.ip_no_pmtu_disc=1")
	l.sysctl(t, 3, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
	l.ip(t, fmt.Sprintf("-n %s route add %s/32 via %s dev eth0", l.net.namespace(1), l.net.address(2), l.net.address(3)))
	l.ip(t, fmt.Sprintf("-n %s route add %s/32 dev eth0 mtu lock 600", l.net.namespace(3), l.net.address(2)))

	program := buildProgram(t)
	w := l.watch(t, program, l.net.namespace(2), "eth0")
	w.until(watch.EventStarted)
	l.connect(t, clientSpec{nodeSpec{name: "orders", host: 1, tls: both(1, "1.2")}, nodeSpec{name: "billing", host: 2, tls: both(2, "1.2"), port: 9100}})
	w.opened(verify.Up, verify.Mutual)
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = w.cmd.Wait()

	var doc report.Document
	out, err := exec.Command(program, "inspect", "-o", "json", w.saved).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	if v := doc.Summary.Distribution; v.Mutual != 1 || v.Total() != 1 {
		t.Errorf("saved: %+v", v)
	}
	files, err := filepath.Glob(w.saved + "/*.pcapng")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	for _, filter := range []string{"ip.flags.mf == 1", "ip.reassembled.length > 600 && tcp.dstport == 9100"} {
		frames, err := exec.CommandContext(t.Context(), "tshark", "-r", files[0], "-Y", filter).Output()
		if err != nil || len(frames) == 0 {
			t.Errorf("%s: %q, %v", filter, frames, err)
		}
	}
}

func (l *recordLab) sysctl(t *testing.T, host int, settings ...string) {
	t.Helper()
	for _, s := range settings {
		l.ip(t, fmt.Sprintf("netns exec %s sysctl -q -w %s", l.net.namespace(host), s))
	}
}

func (l *recordLab) start(t *testing.T, spec nodeSpec) *node {
	t.Helper()
	n, err := l.startNode(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (l *recordLab) dial(t *testing.T, from *node, to nodeSpec) {
	t.Helper()
	if answer, err := from.ask(t.Context(), fmt.Sprintf("net_kernel:connect_node('%s').", to.fullName())); answer != "true" {
		t.Fatalf("%s to %s: %s, %v", from.fullName(), to.fullName(), answer, err)
	}
}

func (l *recordLab) ip(t *testing.T, arguments string) {
	t.Helper()
	if _, err := command(context.Background(), "ip", strings.Fields(arguments)...); err != nil {
		t.Fatal(err)
	}
}

// opened waits until a connection has a state and a verdict that it did not have
// before, and logs how long after its first packet that was said.
func (w *labWatch) opened(state verify.State, verdict verify.Verdict) *report.Connection {
	w.Helper()
	e := w.wait(fmt.Sprintf("%s, %s", state, verdict), func(e watch.Event) bool {
		c := e.Connection
		return c != nil && (e.Event == watch.EventOpened || e.Event == watch.EventVerdict || e.Event == watch.EventChanged) &&
			c.State == string(state) && c.Verdict != nil && *c.Verdict == string(verdict)
	})
	told, _ := time.Parse(time.RFC3339Nano, e.Time)
	seen, _ := time.Parse(time.RFC3339Nano, e.Connection.FirstSeen)
	w.Logf("%s after %v", e.Event, told.Sub(seen))
	return e.Connection
}

func (w *labWatch) closed(c *report.Connection) {
	w.Helper()
	w.wait(c.ID+" closed", func(e watch.Event) bool { return e.Event == watch.EventClosed && e.Connection.ID == c.ID })
}

func (w *labWatch) interfaceSays(text string) {
	w.Helper()
	w.wait("eth0 "+text, func(e watch.Event) bool { return e.Event == watch.EventInterface && strings.Contains(e.Message, text) })
}
