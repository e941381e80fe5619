//go:build linux && lab

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distproof/capture/live"
	"distproof/report"
)

// TestRecord has distproof record run scripts that start real nodes. `make
// labtest` runs it.
func TestRecord(t *testing.T) {
	t.Parallel()
	pki := testPKI(t)
	program := buildProgram(t)
	mutual := nodeSpec{name: "billing", host: 2, tls: both(2, "1.3")}
	another := nodeSpec{name: "stock", host: 3, tls: both(3, "1.2")}
	dialler := nodeSpec{name: "orders", host: 1, tls: both(1, "")}
	plainServer := nodeSpec{name: "legacy", host: 3}
	plainClient := nodeSpec{name: "shop", host: 2}
	fixed := nodeSpec{name: "billing", host: 2, tls: both(2, "1.3"), port: 9100}

	for _, tt := range []struct {
		name string
		// servers run until the clients, of which each dials a server, are done;
		// before has pairs of them that are connected before the recording.
		servers []nodeSpec
		clients []clientSpec
		before  []clientSpec
		last    string // the script's last line
		code    int
		reason  string // in the last line on stderr
		edges   []string
	}{
		{
			name:    "mutual cluster",
			servers: []nodeSpec{mutual, another},
			clients: []clientSpec{{dialler, mutual}, {nodeSpec{name: "audit", host: 1, tls: both(1, ""), hidden: true}, another}, {nodeSpec{name: "shop", host: 3, tls: both(3, "1.3")}, mutual}},
			code:    0, reason: "exit code 0: the policy holds: ",
		},
		{
			name:    "a single plain node",
			servers: []nodeSpec{mutual, plainServer},
			clients: []clientSpec{{dialler, mutual}, {plainClient, plainServer}},
			code:    1, reason: "exit code 1: the policy is violated: ",
			edges: []string{"shop@n2.lab legacy@n3.lab cleartext"},
		},
		{
			name: "starts nothing", last: "echo nothing to do",
			code: 3, reason: "exit code 3: not proven: nothing to verify",
		},
		{
			name: "fails before it starts anything", last: "exit 9",
			code: 2, reason: "exit code 2: the command failed: exit status 9; while it ran: not proven: ",
		},
		{
			name:    "fails after a violation",
			servers: []nodeSpec{plainServer}, clients: []clientSpec{{plainClient, plainServer}},
			last: "exit 9",
			code: 2, reason: "exit code 2: the command failed: exit status 9; while it ran: the policy is violated: ",
			edges: []string{"shop@n2.lab legacy@n3.lab cleartext"},
		},
		{
			name:   "connected before",
			before: []clientSpec{{dialler, fixed}},
			last:   fmt.Sprintf("sleep %d", 2*tickTime),
			code:   3, reason: "exit code 3: not proven: ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newRecordLab(t, pki)
			for _, c := range tt.before {
				l.connect(t, c)
				l.checkSockets(t, c)
			}
			script := l.script(t, tt.servers, tt.clients, tt.last)
			code, doc, stderr := l.record(t, program, script)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if last := lines[len(lines)-1]; code != tt.code || !strings.HasPrefix(last, tt.reason) {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, stderr)
			}
			for _, want := range tt.edges {
				if !hasEdge(doc, want) {
					t.Errorf("no edge %s; there are %+v", want, doc.Edges)
				}
			}
			if n := len(tt.clients) + len(tt.before); doc.Inputs[0].Dropped != 0 || distributions(doc) != n {
				t.Errorf("%d connections between nodes, want %d; %+v", distributions(doc), n, doc.Inputs[0])
			}
		})
	}
}

// testPKI makes the certificates for a test on real nodes, which fails if anything
// that it needs is missing.
func testPKI(t *testing.T, more ...need) *pki {
	t.Helper()
	if err := checkNeeds(t.Context(), more...); err != nil {
		t.Fatal(err)
	}
	pki, err := newPKI(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return pki
}

func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "distproof")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "distproof/cmd/distproof").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// A clientSpec is a node that dials another.
type clientSpec struct{ node, server nodeSpec }

type recordLab struct{ *lab }

func newRecordLab(t *testing.T, pki *pki) *recordLab {
	t.Helper()
	l := &recordLab{&lab{dir: t.TempDir(), pki: pki}}
	var err error
	if l.net, err = newNetwork(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.close()
		if err := l.net.close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *recordLab) connect(t *testing.T, c clientSpec) {
	t.Helper()
	if _, err := l.startNode(t.Context(), c.server); err != nil {
		t.Fatal(err)
	}
	n, err := l.startNode(t.Context(), c.node)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := n.ask(t.Context(), fmt.Sprintf("net_kernel:connect_node('%s').", c.server.fullName())); answer != "true" {
		t.Fatalf("%s, %v", answer, err)
	}
}

// checkSockets wants the kernel to know the connection, the node's listener, and
// that they are those of an Erlang runtime.
func (l *recordLab) checkSockets(t *testing.T, c clientSpec) {
	t.Helper()
	server := netip.AddrPortFrom(netip.MustParseAddr(l.net.address(c.server.host)), uint16(c.server.port))
	sockets := l.sockets(t, c.node.host)
	if !slices.ContainsFunc(sockets, func(s live.Socket) bool { return s.Remote == server && s.Process.Name == "beam.smp" }) {
		t.Errorf("no connection to %v: %+v", server, sockets)
	}
	sockets = l.sockets(t, c.server.host)
	if !slices.ContainsFunc(sockets, func(s live.Socket) bool {
		return s.Listening && s.Local.Port() == server.Port() && s.Process.Name == "beam.smp"
	}) {
		t.Errorf("no listener on %v: %+v", server, sockets)
	}
}

// sockets lists those of a host.
func (l *recordLab) sockets(t *testing.T, host int) []live.Socket {
	t.Helper()
	table, err := live.OpenSockets(l.net.namespace(host))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	all, err := table.List()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Programs of nodes. A server ends with its standard input, as the script keeps
// a pipe open to it.
const (
	serverEval = `io:get_line(""),halt(0).`
	// clientEval waits until the server is there, dials it, and calls it.
	clientEval = `L=fun L(0)->io:format("not connected~n"),halt(5);` +
		`L(N)->case net_kernel:connect_node('%[1]s') of true->ok;_->timer:sleep(200),L(N-1) end end,` +
		`case L(50) of ok->'%[1]s'=rpc:call('%[1]s',erlang,node,[],5000),halt(0) end.`
)

// script writes a shell script that starts the nodes, as a test of a cluster
// does: servers in the background, clients one after the other.
func (l *recordLab) script(t *testing.T, servers []nodeSpec, clients []clientSpec, last string) string {
	t.Helper()
	text := "#!/bin/sh\nset -e\nmkfifo " + l.path("hold") + "\n"
	command := func(spec nodeSpec, eval string) string {
		env, argv, err := l.nodeCommand(spec, eval)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, word := range append(append([]string{"env"}, env...), argv...) {
			words = append(words, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
		}
		return strings.Join(words, " ")
	}
	for _, s := range servers {
		text += command(s, serverEval) + " < " + l.path("hold") + " &\n"
	}
	if len(servers) > 0 {
		text += "exec 3> " + l.path("hold") + "\n"
	}
	for _, c := range clients {
		text += command(c.node, fmt.Sprintf(clientEval, c.server.fullName())) + "\n"
	}
	if len(servers) > 0 {
		text += "exec 3>&-\nwait\n"
	}
	path := l.path("start-cluster")
	if err := os.WriteFile(path, []byte(text+last+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func (l *recordLab) path(name string) string { return filepath.Join(l.dir, name) }

// record runs the script below record, on the bridge between the nodes.
func (l *recordLab) record(t *testing.T, program, script string) (code int, doc report.Document, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "record", "--netns", l.net.bridge(), "-i", "br0", "--promiscuous", "-o", "table", "-o", "json="+l.path("report.json"), "--", script)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s%s", out, &errs)
	text, err := os.ReadFile(l.path("report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return code, doc, errs.String()
}

// distributions counts the connections between nodes.
func distributions(doc report.Document) int {
	n := 0
	for _, c := range doc.Connections {
		if c.Verdict != nil {
			n++
		}
	}
	return n
}

// hasEdge looks for "FROM TO VERDICT".
func hasEdge(doc report.Document, want string) bool {
	for _, e := range doc.Edges {
		if fmt.Sprint(e.From, " ", e.To, " ", e.Verdict) == want {
			return true
		}
	}
	return false
}
