//go:build linux && lab

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"distproof/keylog"
	"distproof/report"
)

// TestKeyLogScript runs the script that users run, on real nodes, and has
// distproof open what was recorded. `make labtest` runs it; it needs what
// the lab needs, and fails without.
func TestKeyLogScript(t *testing.T) {
	t.Parallel()
	pki := testPKI(t)
	t.Run("TLS 1.3", func(t *testing.T) { testKeyLogTLS13(t, newKeyLogLab(t, pki, "1.3")) })
	t.Run("TLS 1.2", func(t *testing.T) { testKeyLogTLS12(t, newKeyLogLab(t, pki, "1.2")) })
	t.Run("clear", func(t *testing.T) { testKeyLogClear(t, newKeyLogLab(t, pki, "")) })
}

// keyLogLab is three hosts with a node each: orders dials billing, and audit,
// a hidden node that keeps no secrets itself, dials orders.
type keyLogLab struct {
	*lab
	dir                    string
	pcap                   string
	capture                *capture
	orders, billing, audit *node
}

// newKeyLogLab starts and connects the nodes; without a version in the clear.
func newKeyLogLab(t *testing.T, pki *pki, version string) *keyLogLab {
	t.Helper()
	dir := t.TempDir()
	l := &keyLogLab{lab: &lab{dir: dir, pki: pki}, dir: dir, pcap: filepath.Join(dir, "test.pcap")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	var err error
	l.net, err = newNetwork(ctx, false)
	must(err)
	t.Cleanup(func() {
		l.close()
		if err := l.net.close(); err != nil {
			t.Error(err)
		}
	})
	must(l.prepare(ctx))
	l.capture, err = l.startCapture(ctx, l.net.bridge(), "br0", "tcp", l.pcap)
	must(err)
	start := func(name string, host int, hidden, keep bool) *node {
		t.Helper()
		spec := nodeSpec{name: name, host: host, hidden: hidden}
		if version != "" {
			spec.tls = both(host, version)
			if keep {
				spec.tls = keeping(spec.tls)
			}
		}
		n, err := l.startNode(ctx, spec)
		must(err)
		return n
	}
	l.billing = start("billing", 2, false, true)
	l.orders = start("orders", 1, false, true)
	l.audit = start("audit", 3, true, false)
	for _, d := range [][2]*node{{l.orders, l.billing}, {l.audit, l.orders}} {
		if answer := l.ask(t, d[0], fmt.Sprintf("net_kernel:connect_node('%s').", d[1].fullName())); answer != "true" {
			t.Fatalf("connecting %s to %s: %s", d[0].fullName(), d[1].fullName(), answer)
		}
	}
	return l
}

func (l *keyLogLab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *keyLogLab) ask(t *testing.T, n *node, expression string) string {
	t.Helper()
	answer, err := n.ask(t.Context(), expression)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// script runs the script on a node and returns its answer; options are those
// besides the file.
func (l *keyLogLab) script(t *testing.T, n *node, file, options string) string {
	t.Helper()
	return l.run(t, n, keylog.Script, fmt.Sprintf("file=>%q%s", l.path(file), options))
}

func (l *keyLogLab) run(t *testing.T, n *node, text, options string) string {
	t.Helper()
	call, err := l.keyLogCall(text, options)
	if err != nil {
		t.Fatal(err)
	}
	return l.ask(t, n, call)
}

// labels are the labels of a key log's lines, sorted. Each line must have the
// form of the format, and the file be its owner's alone.
func (l *keyLogLab) labels(t *testing.T, file string) []string {
	t.Helper()
	info, err := os.Stat(l.path(file))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("%s has mode %v", file, info.Mode())
	}
	line := regexp.MustCompile(`^([A-Z0-9_]+) [0-9A-F]{64} ([0-9A-F]{64}|[0-9A-F]{96})$`)
	var labels []string
	for _, text := range l.lines(t, file) {
		m := line.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s: not a key log line: %q", file, text)
		}
		labels = append(labels, m[1])
	}
	slices.Sort(labels)
	return labels
}

func (l *keyLogLab) lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(l.path(file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func checkLabels(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("labels %q, want %q", got, want)
	}
}

// checkAnswer wants one entry per peer: "PEER STATUS".
func checkAnswer(t *testing.T, answer string, want ...string) {
	t.Helper()
	var got []string
	for _, m := range regexp.MustCompile(`\{'([^']+)',([a-z_]+),<<`).FindAllStringSubmatch(answer, -1) {
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the script answered %s, want %q", answer, want)
	}
}

func (l *keyLogLab) checkAbsent(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Lstat(l.path(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v)", file, err)
	}
}

// checkNothingLeft wants none of the script's private folders, and no secret of
// a key log in anything that a node printed.
func (l *keyLogLab) checkNothingLeft(t *testing.T, keyLogs ...string) {
	t.Helper()
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.Contains(e.Name(), ".keylog.") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	for _, n := range []*node{l.orders, l.billing, l.audit} {
		n.stop(nil)
		said := strings.ToUpper(strings.Join(n.tail, "\n"))
		for _, file := range keyLogs {
			for _, line := range l.lines(t, file) {
				if secret := strings.Fields(line)[2]; strings.Contains(said, secret) {
					t.Errorf("%s printed a secret:\n%s", n.fullName(), said)
				}
			}
		}
	}
}

// verify ends the recording and judges it, with further arguments. The key log
// must open both connections, and both must be mutual.
func (l *keyLogLab) verify(t *testing.T, args ...string) {
	t.Helper()
	if err := l.capture.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	program := l.path("distproof")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "distproof/cmd/distproof").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What becomes of the policy does not matter here.
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, append([]string{"verify", "--exit-zero", "-o", "json", l.pcap}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var doc report.Document
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for _, c := range doc.Connections {
		if c.Protocol != "dist-tls" {
			continue
		}
		sessions++
		if c.TLS == nil || c.TLS.KeyLog != "opened" || c.Verdict == nil || *c.Verdict != "mutual" {
			text, _ := json.MarshalIndent(c, "", "  ")
			t.Errorf("not opened as mutual:\n%s", text)
		}
	}
	if sessions != 2 {
		t.Errorf("%d connections of TLS, want 2", sessions)
	}
}

// The labels of one connection's handshake secrets, and of the others.
var (
	handshakeLabels = []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"}
	trafficLabels   = []string{"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
)

// twice are the sorted labels of two connections.
func twice(labels ...string) []string {
	labels = append(labels, labels...)
	slices.Sort(labels)
	return labels
}

func testKeyLogTLS13(t *testing.T, l *keyLogLab) {
	bothOK := []string{"audit@n3.lab ok", "billing@n2.lab ok"}

	// What is there without an option is the handshake's alone.
	checkAnswer(t, l.script(t, l.orders, "handshake.keylog", ""), bothOK...)
	checkLabels(t, l.labels(t, "handshake.keylog"), twice(handshakeLabels...)...)

	// Again: nothing is new, nothing is written.
	before := l.lines(t, "handshake.keylog")
	checkAnswer(t, l.script(t, l.orders, "handshake.keylog", ",handshake_only=>true"), bothOK...)
	if after := l.lines(t, "handshake.keylog"); !slices.Equal(after, before) {
		t.Error("asked again, the script changed the file")
	}

	// More of the same connections goes behind what is there.
	checkAnswer(t, l.script(t, l.orders, "handshake.keylog", ",handshake_only=>false"), bothOK...)
	checkLabels(t, l.labels(t, "handshake.keylog"), twice(append(handshakeLabels, trafficLabels...)...)...)
	if after := l.lines(t, "handshake.keylog"); !slices.Equal(after[:len(before)], before) {
		t.Error("the script changed lines that were there")
	}

	// From another node, as an operator does it.
	call, err := l.keyLogCall(keylog.Script, fmt.Sprintf("file=><<%q>>", l.path("rpc.keylog")))
	if err != nil {
		t.Fatal(err)
	}
	call = strings.Replace(strings.TrimSuffix(call, ")."), "file:script(", "rpc:call('orders@n1.lab',file,script,[", 1) + "],20000)."
	checkAnswer(t, l.ask(t, l.audit, call), bothOK...)
	checkLabels(t, l.labels(t, "rpc.keylog"), twice(handshakeLabels...)...)

	// Where tls_sender does not hand out its socket, as in OTP 28 and later:
	// the other way must find the same.
	other := strings.Replace(keylog.Script, "erlang:function_exported(tls_sender, dist_tls_socket, 1)", "false", 1)
	checkAnswer(t, l.run(t, l.orders, other, fmt.Sprintf("file=>%q", l.path("sibling.keylog"))), bothOK...)
	if got, want := l.lines(t, "sibling.keylog"), l.lines(t, "rpc.keylog"); other == keylog.Script || !slices.Equal(got, want) {
		t.Error("the way without the socket finds other lines")
	}

	// A connection whose process is stuck is given up, and the others are not.
	sender := "element(2,lists:keyfind('billing@n2.lab',1,erlang:system_info(dist_ctrl)))"
	l.ask(t, l.orders, "erlang:suspend_process("+sender+").")
	checkAnswer(t, l.script(t, l.orders, "stuck.keylog", ",timeout=>300"), "audit@n3.lab ok", "billing@n2.lab timeout")
	l.ask(t, l.orders, "erlang:resume_process("+sender+").")
	checkLabels(t, l.labels(t, "stuck.keylog"), handshakeLabels...)

	// A node that was not told to keep secrets says so.
	checkAnswer(t, l.script(t, l.audit, "none.keylog", ""), "orders@n1.lab no_secrets")
	l.checkAbsent(t, "none.keylog")

	testKeyLogRefusals(t, l)
	l.checkNothingLeft(t, "handshake.keylog")

	l.verify(t, "--keylog", l.path("rpc.keylog"), "--handshake-only", "--ca", l.pki.path("ca.crt"))
}

// testKeyLogRefusals: a file that could show the secrets to others gets none.
func testKeyLogRefusals(t *testing.T, l *keyLogLab) {
	t.Helper()
	if err := os.WriteFile(l.path("open"), []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(l.path("open"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", l.path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.path("foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(l.path("foreign"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, why string }{
		{"open", "others may read it"},
		{"link", "not a regular file"},
		{"foreign", "somebody else's file"},
		{"no/such/folder", "cannot be written"},
	} {
		if answer := l.script(t, l.orders, tt.file, ""); !strings.HasPrefix(answer, "{ok,{error,<<") || !strings.Contains(answer, tt.why) {
			t.Errorf("%s: the script answered %s, want %q", tt.file, answer, tt.why)
		}
	}
	if got := l.lines(t, "open"); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("the file that others may read was changed: %d lines", len(got))
	}
	if text, err := os.ReadFile(l.path("foreign")); err != nil || len(text) != 0 {
		t.Errorf("somebody else's file has %d bytes (%v)", len(text), err)
	}
	l.checkAbsent(t, "elsewhere")
	if answer := l.run(t, l.orders, keylog.Script, "handshake_only=>true"); !strings.HasPrefix(answer, "{ok,{error,") {
		t.Errorf("without a file the script answered %s", answer)
	}
}

func testKeyLogTLS12(t *testing.T, l *keyLogLab) {
	// The one secret of TLS 1.2 opens the traffic; it is not given by default.
	checkAnswer(t, l.script(t, l.orders, "handshake.keylog", ""), "audit@n3.lab handshake_only", "billing@n2.lab handshake_only")
	l.checkAbsent(t, "handshake.keylog")

	checkAnswer(t, l.script(t, l.orders, "all.keylog", ",handshake_only=>false"), "audit@n3.lab ok", "billing@n2.lab ok")
	checkLabels(t, l.labels(t, "all.keylog"), "CLIENT_RANDOM", "CLIENT_RANDOM")
	l.checkNothingLeft(t, "all.keylog")

	l.verify(t, "--keylog", l.path("all.keylog"))
	packets, err := os.ReadFile(l.pcap)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range l.lines(t, "all.keylog") {
		random, err := hex.DecodeString(strings.Fields(line)[1])
		if err != nil || !bytes.Contains(packets, random) {
			t.Errorf("the client random of a key log line is not in the capture (%v)", err)
		}
	}
}

func testKeyLogClear(t *testing.T, l *keyLogLab) {
	checkAnswer(t, l.script(t, l.orders, "clear.keylog", ",handshake_only=>false"), "audit@n3.lab not_tls", "billing@n2.lab not_tls")
	l.checkAbsent(t, "clear.keylog")
}
