// Command distproof proves from captured packets whether the connections
// between Erlang and Elixir nodes are mutual TLS, and names those that are not.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes. A violation wins over doubt, and a run that could not be done
// wins over both.
const (
	exitHolds        = 0
	exitViolated     = 1
	exitCouldNotRun  = 2
	exitInconclusive = 3
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, restrict: restrict}
	os.Exit(a.run(os.Args[1:]))
}

// An app is what a command may touch, and how its run ended.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// code is the exit code of a command that could do its work, and reason
	// the last line on stderr, which says why; empty for none.
	code   int
	reason string
	// restrict locks the process down, for good; nil in tests, which share one.
	restrict func(b *sandbox, required bool) error
}

// run executes the command line and returns the exit code.
func (a *app) run(args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	strict(root, args)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		completeWords(root)
	}
	if err := root.Execute(); err != nil {
		printError(a.stderr, err)
		return exitCouldNotRun
	}
	if a.reason != "" {
		fmt.Fprintln(a.stderr, a.reason)
	}
	return a.code
}
