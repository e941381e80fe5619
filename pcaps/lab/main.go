//go:build linux

// Command lab records the captures of this folder's parent: real Erlang
// nodes in network namespaces, tcpdump on the bridge between them, and the
// truth about every connection next to the packets.
//
//	go run ./pcaps/lab -list
//	go run ./pcaps/lab -out /tmp/captures mutual_tls13 mixed
//
// It needs root, Erlang/OTP with its ssl application, tcpdump, iproute2 and
// openssl. Nothing of the host is changed: the bridge lives in a namespace of
// its own, names are resolved by a file that only the nodes read, and keys and
// certificates are made anew for each run in a temporary folder. A run that is
// killed with SIGKILL may leave namespaces named distproof-… behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, w io.Writer) error {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	out := flags.String("out", "pcaps", "folder for the captures and truth.json")
	list := flags.Bool("list", false, "list the scenarios and exit")
	verbose := flags.Bool("v", false, "print what the nodes print")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *list {
		for _, s := range scenarios() {
			fmt.Fprintf(w, "%-24s %s\n", s.name, s.story)
		}
		return nil
	}
	chosen, err := choose(scenarios(), flags.Args())
	if err != nil {
		return err
	}
	var more []need
	for _, s := range chosen {
		more = append(more, s.needs...)
	}
	if err := checkNeeds(ctx, more...); err != nil {
		return err
	}
	return recordAll(ctx, w, chosen, *out, *verbose)
}

// choose picks scenarios by name, in the table's order; no names means all.
func choose(all []scenario, names []string) ([]scenario, error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.name == n }) {
			return nil, fmt.Errorf("no scenario is named %q (see -list)", n)
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.Contains(names, s.name) }), nil
}

// A need is a command, and what has it in Debian.
type need struct{ command, pkg string }

// checkNeeds names everything that is missing at once, so that it can be
// installed in one go.
func checkNeeds(ctx context.Context, more ...need) error {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root (network namespaces, packet capture)")
	}
	for _, need := range append([]need{
		{"erl", "erlang-nox"}, {"epmd", "erlang-nox"}, {"tcpdump", "tcpdump"}, {"ip", "iproute2"}, {"openssl", "openssl"},
	}, more...) {
		text := fmt.Sprintf("the command %s (Debian: apt-get install %s)", need.command, need.pkg)
		if _, err := exec.LookPath(need.command); err != nil && !slices.Contains(missing, text) {
			missing = append(missing, text)
		}
	}
	if len(missing) == 0 {
		if _, err := command(ctx, "erl", "-noshell", "-eval", "case code:lib_dir(ssl) of {error,_} -> halt(1); _ -> halt(0) end."); err != nil {
			missing = append(missing, "Erlang's ssl application (Debian: apt-get install erlang-nox)")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("cannot record here; missing:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}

// recordAll records the chosen scenarios one after the other, and writes the
// truth after each, so that an interrupted run keeps what it has.
func recordAll(ctx context.Context, w io.Writer, chosen []scenario, out string, verbose bool) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "distproof-lab-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	pki, err := newPKI(dir)
	if err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	// Until all captures are new, the older ones need their authority too.
	ca := filepath.Join(out, "ca.pem")
	if err := pki.publish(ca, true); err != nil {
		return err
	}
	truths, err := readTruth(filepath.Join(out, "truth.json"))
	if err != nil {
		return err
	}
	for _, s := range chosen {
		begin := time.Now()
		l := &lab{dir: dir, pki: pki, out: out}
		if verbose {
			l.log = w
		}
		truth, err := l.record(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		truths[s.name] = truth
		if err := writeTruth(filepath.Join(out, "truth.json"), truths); err != nil {
			return err
		}
		fmt.Fprintf(w, "%-24s %d connections, %.0f s\n", s.name, len(truth.Connections), time.Since(begin).Seconds())
	}
	if len(chosen) < len(scenarios()) {
		return nil
	}
	return pki.publish(ca, false)
}

// commandLimit bounds every helper command; none takes more than a second on
// an idle machine.
const commandLimit = 20 * time.Second

// command runs a helper to its end and returns what it printed.
func command(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	text, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(text), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(text)))
	}
	return string(text), nil
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
