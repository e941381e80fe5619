//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

//go:embed cnode/cnode.c
var cnodeSource []byte

// guestNeeds are the programs that only the scenarios with guests need.
var guestNeeds = []need{{"elixir", "elixir"}, {"erl_call", "erlang-base"}, {"gcc", "gcc libc6-dev erlang-dev"}, {"unshare", "util-linux"}, {"script", "bsdutils"}}

// guests is a cluster of one node, and all kinds of others that connect to it.
func guests(name, story, version string) scenario {
	s := scenario{name: name, story: story, needs: guestNeeds, play: playGuests}
	if version != "" {
		s.version, s.keyLog = version, true
	}
	return s
}

// playGuests records a node that others connect to: an ordinary one that is
// restarted, a hidden one, one of Elixir, a remote shell, one that is given its
// name, and in the clear erl_call and a C node, which have no TLS.
func playGuests(ctx context.Context, l *lab, s scenario) ([]connection, error) {
	c, err := l.captureTo(ctx, s)
	if err != nil {
		return nil, err
	}
	p := party{lab: l, scenario: s, want: cleartext(true), nodes: map[string]*nodeTruth{}}
	if s.version != "" {
		p.want = mutual(s.version)
	}
	if err := p.play(ctx); err != nil {
		return nil, err
	}
	for name, n := range p.nodes {
		n.Name = name
		l.nodes = append(l.nodes, *n)
	}
	slices.SortFunc(l.nodes, func(a, b nodeTruth) int { return strings.Compare(a.Name, b.Name) })
	return p.connections, c.finish(ctx)
}

// A party is the node orders with its guests, and what is true of them.
type party struct {
	*lab
	scenario
	want        expectation
	orders      *node
	guests      []*node
	connections []connection
	nodes       map[string]*nodeTruth
}

func (p *party) play(ctx context.Context) error {
	var err error
	if p.orders, err = p.startNode(ctx, p.spec("orders", 1)); err != nil {
		return err
	}
	listener := "cleartext"
	if p.version != "" {
		listener = "tls"
	}
	if err := p.know(ctx, p.orders, "false"); err != nil {
		return err
	}
	p.nodes[p.orders.fullName()].Listener = listener

	billing, hidden, elixir := p.spec("billing", 2), p.spec("audit", 3), p.spec("shop", 2)
	hidden.hidden, elixir.elixir = true, true
	for _, guest := range []nodeSpec{billing, hidden, elixir} {
		if err := p.comes(ctx, guest); err != nil {
			return fmt.Errorf("%s: %w", guest.name, err)
		}
	}
	if err := p.remoteShell(ctx); err != nil {
		return fmt.Errorf("remote shell: %w", err)
	}
	if err := p.nameless(ctx); err != nil {
		return fmt.Errorf("nameless: %w", err)
	}
	if p.version == "" {
		if err := p.erlCall(ctx); err != nil {
			return fmt.Errorf("erl_call: %w", err)
		}
		if err := p.cnode(ctx); err != nil {
			return fmt.Errorf("the C node: %w", err)
		}
	}
	if err := p.rests(ctx); err != nil {
		return err
	}
	p.guests[0].stop(nil)
	p.guests = p.guests[1:]
	if err := p.comes(ctx, billing); err != nil {
		return fmt.Errorf("billing again: %w", err)
	}
	if err := p.rests(ctx); err != nil {
		return err
	}
	for _, n := range append(p.guests, p.orders) {
		n.stop(nil)
	}
	return nil
}

func (p *party) spec(name string, host int) nodeSpec {
	n := nodeSpec{name: name, host: host}
	if p.version != "" {
		n.tls = keeping(both(host, p.version))
	}
	return n
}

// rests waits for ticks, and has the secrets written of the connections that are
// there.
func (p *party) rests(ctx context.Context) error {
	if err := pause(ctx, hold(p.scenario)); err != nil || !p.keyLog {
		return err
	}
	return p.writeKeyLog(ctx, p.orders, len(p.guests), p.unfinished(p.scenario, ".keylog"))
}

// comes starts a node that connects to orders.
func (p *party) comes(ctx context.Context, spec nodeSpec) error {
	n, err := p.startNode(ctx, spec)
	if err != nil {
		return err
	}
	c, err := p.dial(ctx, n, p.orders, p.want)
	if err != nil {
		return err
	}
	p.connections, p.guests = append(p.connections, c), append(p.guests, n)
	if err := callRex(ctx, n, p.orders); err != nil {
		return err
	}
	return p.know(ctx, n, strconv.FormatBool(spec.hidden))
}

// know notes what a node is and says of itself. orders must agree that it is
// hidden, or not.
func (p *party) know(ctx context.Context, n *node, hidden string) error {
	answer, err := n.ask(ctx, "erlang:system_info(creation).")
	if err != nil {
		return err
	}
	creation, err := strconv.ParseUint(answer, 10, 32)
	if err != nil {
		return err
	}
	if err := p.checkHidden(ctx, n.fullName(), hidden); err != nil {
		return err
	}
	t := p.nodes[n.fullName()]
	if t == nil {
		t = &nodeTruth{Hidden: n.hidden, Implementation: "erts"}
		p.nodes[n.fullName()] = t
	}
	t.Creations = append(t.Creations, uint32(creation))
	return nil
}

func (p *party) checkHidden(ctx context.Context, name, want string) error {
	answer, err := p.orders.ask(ctx, fmt.Sprintf("lists:member('%s',nodes(hidden)).", name))
	if err == nil && answer != want {
		err = fmt.Errorf("%s is hidden: %s, expected %s", name, answer, want)
	}
	return err
}

// from3 is a command that runs on host 3 with the lab's names, and that host's,
// for what asks the C library. They are for this process alone.
func (p *party) from3(argv ...string) ([]string, error) {
	hosts := filepath.Join(p.dir, p.net.id, "hosts")
	var text strings.Builder
	fmt.Fprintln(&text, "127.0.0.1 localhost")
	for i := 1; i <= hostCount; i++ {
		fmt.Fprintln(&text, p.net.address(i), hostName(i), shortName(i))
	}
	if err := os.WriteFile(hosts, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	all := append([]string{"ip"}, p.net.in(3)...)
	all = append(all, "unshare", "--mount", "--uts", "sh", "-c", `mount --bind "$0" /etc/hosts && hostname "$1" && shift && exec "$@"`, hosts, hostName(3))
	return append(all, argv...), nil
}

// remoteShell has somebody work on orders from host 3.
func (p *party) remoteShell(ctx context.Context) error {
	spec := p.spec("shell", 3)
	args, env, err := p.arguments(spec)
	if err != nil {
		return err
	}
	// Without a terminal it is no remote shell.
	erl := append(append([]string{"erl", "-name", spec.fullName()}, args...), "-remsh", p.orders.fullName())
	argv, err := p.from3("script", "-qec", strings.Join(erl, " "), "/dev/null")
	if err != nil {
		return err
	}
	shell, err := start("remote shell", append(env, "TERM=vt100"), argv...)
	if err != nil {
		return err
	}
	p.onClose(func() { shell.stop(syscall.SIGTERM) })
	if _, err := fmt.Fprintln(shell.stdin, "{here,node()}."); err != nil {
		return err
	}
	if _, err := shell.await(ctx, "answer of orders", func(s string) bool { return strings.Contains(s, "{here,'"+p.orders.fullName()+"'}") }); err != nil {
		return err
	}
	return p.joined(ctx, &node{spec, shell})
}

// nameless starts a node that asks orders for a name.
func (p *party) nameless(ctx context.Context) error {
	spec := p.spec("undefined", 3)
	env, command, err := p.nodeCommand(spec, shell)
	if err != nil {
		return err
	}
	argv, err := p.from3(command[1+len(p.net.in(3)):]...)
	if err != nil {
		return err
	}
	for i, arg := range argv {
		if arg == spec.fullName() {
			argv[i] = "undefined" // orders makes the name up
		}
	}
	started, err := start("nameless", env, argv...)
	if err != nil {
		return err
	}
	n := &node{spec, started}
	p.onClose(func() { started.stop(nil) })
	if _, err = started.await(ctx, "ready", func(s string) bool { return s == "ready" }); err != nil {
		return err
	}
	if answer, err := n.ask(ctx, fmt.Sprintf("net_kernel:connect_node('%s').", p.orders.fullName())); err != nil || answer != "true" {
		return fmt.Errorf("connecting: %s %w", answer, err)
	}
	name, err := n.ask(ctx, "node().")
	if err != nil {
		return err
	}
	before, host, _ := strings.Cut(strings.Trim(name, "'"), "@")
	if host != hostName(3) || before == "undefined" {
		return fmt.Errorf("it was named %s", name)
	}
	n.nodeSpec.name = before
	return p.joined(ctx, n)
}

// joined notes a node on host 3 that has connected to orders, by what orders
// knows of it.
func (p *party) joined(ctx context.Context, n *node) error {
	answer, err := p.orders.ask(ctx, fmt.Sprintf("{rpc:call('%s',erlang,system_info,[creation],5000),lists:member('%[1]s',nodes(hidden))}.", n.fullName()))
	if err != nil {
		return err
	}
	var t nodeTruth
	var creation uint32
	if _, err := fmt.Sscanf(strings.NewReplacer("{", "", "}", "", ",", " ").Replace(answer), "%d %t", &creation, &t.Hidden); err != nil {
		return fmt.Errorf("orders says of %s: %s: %w", n.fullName(), answer, err)
	}
	t.Implementation, t.Creations = "erts", []uint32{creation}
	p.nodes[n.fullName()] = &t
	p.guests = append(p.guests, n)
	if err := callRex(ctx, p.orders, n); err != nil {
		return err
	}
	return p.connectedFrom3(ctx, n.fullName())
}

// callRex has a node call another one through the registered name rex, which
// is what calls of rpc did before OTP 23, and some do still.
func callRex(ctx context.Context, from, to *node) error {
	answer, err := from.ask(ctx, fmt.Sprintf("rpc:block_call('%s',erlang,node,[],5000).", to.fullName()))
	if err == nil && answer != "'"+to.fullName()+"'" {
		err = fmt.Errorf("%s answered %s to %s", to.fullName(), answer, from.fullName())
	}
	return err
}

// erlCall has erl_call ask orders something.
func (p *party) erlCall(ctx context.Context) error {
	argv, err := p.from3("erl_call", "-name", p.orders.fullName(), "-c", cookie, "-h", "tool", "-a", "erlang node")
	if err != nil {
		return err
	}
	answer, err := command(ctx, argv[0], argv[1:]...)
	if err != nil {
		return err
	}
	if answer != "'"+p.orders.fullName()+"'" {
		return fmt.Errorf("it printed %q", answer)
	}
	name := "tool@" + hostName(3)
	p.nodes[name] = &nodeTruth{Hidden: true, Implementation: "other"}
	return p.connectedFrom3(ctx, name)
}

// cnode builds a C node, and has it ask orders something.
func (p *party) cnode(ctx context.Context) error {
	source, program := filepath.Join(p.dir, "cnode.c"), filepath.Join(p.dir, "cnode")
	if err := os.WriteFile(source, cnodeSource, 0o600); err != nil {
		return err
	}
	if _, err := command(ctx, "gcc", "-pthread", "-o", program, source, "-lei"); err != nil {
		return err
	}
	const creation = 4711
	argv, err := p.from3(program, "gauge", hostName(3), p.net.address(3), cookie, p.orders.fullName(), strconv.Itoa(creation))
	if err != nil {
		return err
	}
	gauge, err := start("C node", nil, argv...)
	if err != nil {
		return err
	}
	p.onClose(func() { gauge.stop(os.Interrupt) })
	if _, err := gauge.await(ctx, "connection", func(s string) bool { return s == "connected to "+p.orders.fullName() }); err != nil {
		return err
	}
	name := "gauge@" + hostName(3)
	if err := p.checkHidden(ctx, name, "true"); err != nil {
		return err
	}
	gauge.stop(nil)
	p.nodes[name] = &nodeTruth{Hidden: true, Implementation: "other", Creations: []uint32{creation}}
	return p.connectedFrom3(ctx, name)
}

// connectedFrom3 notes a connection from host 3 to orders that came up.
func (p *party) connectedFrom3(ctx context.Context, name string) error {
	port, err := p.orders.port(ctx)
	p.connections = append(p.connections, connection{
		Client: p.net.address(3), ClientNode: name,
		Server: p.net.address(p.orders.host), ServerPort: port, ServerNode: p.orders.fullName(),
		Protocol: p.want.protocol, Verdict: &p.want.verdict, StateUp: true,
		ClientCertificate: p.want.clientCertificate, TLSVersion: p.want.tlsVersion,
	})
	return err
}
