//go:build linux && lab

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distproof/report"
)

// TestRunners has distproof record run mix and rebar3, whose tests start peers,
// in a network namespace of its own. `make labtest` runs it.
func TestRunners(t *testing.T) {
	t.Parallel()
	pki := testPKI(t, need{"mix", "elixir"}, need{"rebar3", "rebar3"})
	program := buildProgram(t)
	certified := side{cert: "localhost", verify: true, require: true}
	optfile := filepath.Join(t.TempDir(), "ssl_dist.conf")
	text := fmt.Sprintf("[%s,%s].\n", certified.erlang("server", pki), certified.erlang("client", pki))
	if err := os.WriteFile(optfile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tls := "-proto_dist inet_tls -ssl_dist_optfile " + optfile

	mix := []string{"mix", "test"}
	rebar3 := []string{"rebar3", "ct", "--sname", "tester@localhost"}
	for _, tt := range []struct {
		name    string
		command []string
		flags   string // of all nodes: peers inherit them
		code    int
		want    report.Verdicts
	}{
		{"mix in the clear", mix, "", 1, report.Verdicts{Cleartext: 3}},
		{"mix with TLS", mix, tls, 0, report.Verdicts{Mutual: 3}},
		{"rebar3 in the clear", rebar3, "", 1, report.Verdicts{Cleartext: 3}},
		{"rebar3 with TLS", rebar3, tls, 0, report.Verdicts{Mutual: 3}},
		// Erlang takes no notice of a -proto_dist that is there twice.
		{"TLS asked for twice", rebar3, tls + " " + tls, 1, report.Verdicts{Cleartext: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "runners", tt.command[0]))); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*commandLimit)
			defer cancel()
			script := `ip link set lo up; "$@"; code=$?; epmd -kill >/dev/null; exit $code`
			argv := append([]string{"--net", "sh", "-c", script, "sh", program, "record", "-i", "lo", "-o", "json=report.json", "--"}, tt.command...)
			cmd := exec.CommandContext(ctx, "unshare", argv...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+dir, "ERL_FLAGS=-setcookie "+cookie+" "+tt.flags)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Fatalf("exit code %d, want %d\n%s", code, tt.code, out)
			}
			f, err := os.Open(filepath.Join(dir, "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			doc, _, err := report.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			if got := doc.Summary.Distribution; got != tt.want {
				t.Errorf("%+v, want %+v\n%s", got, tt.want, out)
			}
			if !strings.Contains(string(out), "1 test, 0 failures") && !strings.Contains(string(out), "All 1 tests passed") {
				t.Errorf("the output of the tests is missing:\n%s", out)
			}
		})
	}
}
