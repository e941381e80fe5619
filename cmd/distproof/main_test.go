package main

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Tests are many runs in one process, which has one way to collect garbage.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		os.Setenv("GOGC", "100")
	}
	testscript.Main(m, map[string]func(){"distproof": main, "probe": probe, "confined": confined, "keeper": keeper})
}

// run is main, but for what locks the process down.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	return a.run(args)
}

// TestScripts runs the scripts of testdata/script. $PCAPS is the folder of the
// recorded captures. UPDATE_SCRIPTS=1 rewrites what they expect.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("many short runs of the program take long with the race detector; TestExitCodes has some")
	}
	pcaps, err := filepath.Abs("../../pcaps")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PCAPS", pcaps)
			return makeInputs(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode, "cut": cutFile},
	})
}

// exitCode runs a program and wants this very exit code:
//
//	exitcode 3 distproof verify empty.pcap
//
// testscript itself can only tell success from failure. Of distproof that could not
// run, the last line on stderr is to be the reason.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE PROGRAM [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got, want := codeOf(err), args[0]; got != want {
		ts.Fatalf("exit code %s, want %s (%v)", got, want, err)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	last := lines[len(lines)-1]
	if args[0] == "2" && args[1] == "distproof" && !strings.HasPrefix(last, "error: ") && !strings.HasPrefix(last, "exit code 2: ") {
		ts.Fatalf("the last line on stderr is %q, not the reason", last)
	}
}

// cutFile copies the first bytes of a file:
//
//	cut FILE BYTES COPY
func cutFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FILE BYTES COPY")
	}
	data := ts.ReadFile(args[0])
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n >= len(data) {
		ts.Fatalf("%s has only %d bytes", args[0], len(data))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(data[:n]), 0o666))
}
