//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lab is what one scenario runs in. Everything it starts is ended by close,
// the last first.
type lab struct {
	dir     string
	out     string
	pki     *pki
	log     interface{ Write([]byte) (int, error) } // nil: the nodes' output is dropped
	net     *network
	nodes   []nodeTruth // of the scenario that is played, if it tells
	closers []func()
}

func (l *lab) onClose(f func()) { l.closers = append(l.closers, f) }

func (l *lab) close() {
	for i := len(l.closers) - 1; i >= 0; i-- {
		l.closers[i]()
	}
	l.closers = nil
}

// hold is how long connections stay up so that there are ticks in both
// directions; without a handshake in the capture, ticks are all there is.
func hold(s scenario) time.Duration {
	ticks := 2
	if s.midstream {
		ticks = 6
	}
	return time.Duration(ticks)*tickTime*time.Second/4 + time.Second
}

// record runs one scenario in a network of its own and returns its truth.
func (l *lab) record(ctx context.Context, s scenario) (_ truth, err error) {
	l.net, err = newNetwork(ctx, s.overlay)
	if err != nil {
		return truth{}, err
	}
	defer func() { err = errors.Join(err, l.net.close()) }()
	defer func() {
		l.close()
		if err != nil {
			err = errors.Join(err, discard(l.unfinished(s, ".pcap")), discard(l.unfinished(s, ".keylog")))
		}
	}()

	if err := l.prepare(ctx); err != nil {
		return truth{}, err
	}
	t := truth{Story: s.story}
	play := s.play
	if play == nil {
		play = playNodes
	}
	if t.Connections, err = play(ctx, l, s); err != nil {
		return truth{}, err
	}
	t.Nodes = l.nodes
	if s.keyLog {
		if err := os.Rename(l.unfinished(s, ".keylog"), filepath.Join(l.out, s.name+".keylog")); err != nil {
			return truth{}, err
		}
	}
	return t, os.Rename(l.unfinished(s, ".pcap"), filepath.Join(l.out, s.name+".pcap"))
}

// prepare makes what nodes in the network need: names, and an EPMD each.
func (l *lab) prepare(ctx context.Context) error {
	dir := filepath.Join(l.dir, l.net.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "inetrc"), []byte(strings.Join(l.net.resolver(), "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return l.startEPMDs(ctx)
}

func discard(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// startEPMDs runs an EPMD on every host in the foreground: started by a node
// it would be a daemon that outlives the lab.
func (l *lab) startEPMDs(ctx context.Context) error {
	for i := 1; i <= hostCount; i++ {
		p, err := start("epmd on "+hostName(i), nil, append(append([]string{"ip"}, l.net.in(i)...), "epmd", "-d")...)
		if err != nil {
			return err
		}
		l.onClose(func() { p.stop(os.Interrupt) })
		if _, err := p.await(ctx, "epmd running", func(s string) bool { return strings.Contains(s, "epmd running") }); err != nil {
			return err
		}
	}
	return nil
}

// captureTo starts the scenario's capture where the scenario wants it.
func (l *lab) captureTo(ctx context.Context, s scenario) (*capture, error) {
	iface, filter := "br0", "tcp"
	if s.anyInterface {
		iface = "any"
	}
	if s.overlay {
		filter = "udp port 8472"
	}
	return l.startCapture(ctx, l.net.bridge(), iface, filter, l.unfinished(s, ".pcap"))
}

// unfinished is a file of the capture until its truth is known: a recording
// that fails must not replace one that did not.
func (l *lab) unfinished(s scenario, extension string) string {
	return filepath.Join(l.out, s.name+extension+".part")
}

// playNodes starts the scenario's nodes, dials, waits for ticks, and stops
// the nodes, so that the capture also has the connections' ends.
func playNodes(ctx context.Context, l *lab, s scenario) ([]connection, error) {
	var c *capture
	var err error
	if !s.midstream {
		if c, err = l.captureTo(ctx, s); err != nil {
			return nil, err
		}
	}
	nodes := map[string]*node{}
	for _, spec := range s.nodes {
		if nodes[spec.name], err = l.startNode(ctx, spec); err != nil {
			return nil, err
		}
	}
	var connections []connection
	for _, d := range s.dials {
		connection, err := l.dial(ctx, nodes[d.from], nodes[d.to], d.want)
		if err != nil {
			return nil, fmt.Errorf("%s dialling %s: %w", d.from, d.to, err)
		}
		for _, call := range s.calls {
			if answer, err := nodes[d.from].ask(ctx, fmt.Sprintf("rpc:call('%s',%s,5000).", nodes[d.to].fullName(), call)); err != nil || strings.Contains(answer, "badrpc") {
				return nil, fmt.Errorf("%s calling %s: %s %w", d.from, call, answer, err)
			}
		}
		connection.Midstream = s.midstream
		connections = append(connections, connection)
	}
	if s.midstream {
		if c, err = l.captureTo(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, hold(s)); err != nil {
		return nil, err
	}
	if s.keyLog {
		first := s.nodes[0].name
		if err := l.writeKeyLog(ctx, nodes[first], len(s.dials), l.unfinished(s, ".keylog")); err != nil {
			return nil, fmt.Errorf("%s: %w", first, err)
		}
	}
	for _, spec := range s.nodes {
		n := nodes[spec.name]
		n.stop(nil)
		if l.log != nil {
			fmt.Fprintf(l.log, "--- %s\n%s\n", n.fullName(), strings.Join(n.tail, "\n"))
		}
	}
	return connections, c.finish(ctx)
}

// dial connects two nodes and checks the expectation against what the nodes
// themselves know: whether they are connected, which TLS version they use,
// and whether the server holds a certificate of the client.
func (l *lab) dial(ctx context.Context, from, to *node, want expectation) (connection, error) {
	answer, err := from.ask(ctx, fmt.Sprintf("net_kernel:connect_node('%s').", to.fullName()))
	if err != nil {
		return connection{}, err
	}
	if answer != fmt.Sprint(want.up) {
		return connection{}, fmt.Errorf("connect_node answered %s, expected %t", answer, want.up)
	}
	if want.up {
		if err := checkPeer(ctx, from, to, want); err != nil {
			return connection{}, err
		}
		// Some ordinary traffic: a remote procedure call.
		if answer, err := from.ask(ctx, fmt.Sprintf("rpc:call('%s',erlang,node,[],5000).", to.fullName())); err != nil || answer != "'"+to.fullName()+"'" {
			return connection{}, fmt.Errorf("rpc answered %s: %w", answer, err)
		}
	}
	port, err := to.port(ctx)
	if err != nil {
		return connection{}, err
	}
	return connection{
		Client: l.net.address(from.host), ClientNode: from.fullName(),
		Server: l.net.address(to.host), ServerPort: port, ServerNode: to.fullName(),
		Protocol: want.protocol, Verdict: &want.verdict, StateUp: want.up,
		ClientCertificate: want.clientCertificate, TLSVersion: want.tlsVersion,
	}, nil
}

func checkPeer(ctx context.Context, from, to *node, want expectation) error {
	answer, err := to.peer(ctx, from.fullName())
	if err != nil {
		return err
	}
	expected := "clear"
	if want.runtimeVersion != "" {
		expected = fmt.Sprintf("{'tlsv%s',%t}", want.runtimeVersion, want.runtimeCertificate)
	}
	if answer != expected {
		return fmt.Errorf("the server's runtime says %s, expected %s", answer, expected)
	}
	return nil
}
