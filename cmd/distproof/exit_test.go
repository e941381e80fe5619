package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A sample is a capture, and what it does to the exit code.
type sample struct {
	name, path string
	// good has a connection that is mutual TLS; low a finding that is low, beside
	// that.
	good, low bool
	// waivable says which rules must be let pass for the sample to do nothing.
	violates, undecides bool
	waivable            string
}

func samples(t *testing.T) []sample {
	t.Helper()
	whole, err := os.ReadFile(filepath.Join(pcapsDir, "mutual_tls13.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(cut, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	pcap := func(name string) string { return filepath.Join(pcapsDir, name+".pcap") }
	return []sample{
		{name: "mutual", path: pcap("mutual_tls13"), good: true},
		{name: "low", path: pcap("mutual_tls12"), good: true, low: true},
		{name: "violation", path: pcap("plain"), violates: true, waivable: "DP101, DP205, DP207"},
		{name: "inconclusive", path: pcap("midstream_mutual_tls13"), undecides: true, waivable: "DP109"},
		{name: "empty", path: pcap("epmd_only")},
		{name: "lossy", path: cut, good: true, undecides: true},
	}
}

// exceptionsFor lets the samples pass that can be, until a day; without a day
// there is no policy.
func exceptionsFor(day string) string {
	if day == "" {
		return ""
	}
	return fmt.Sprintf(`version: 1
exceptions:
  - {rules: [DP101, DP205, DP207], reason: r, owner: o, expires: %s, allow_critical: true}
  - {rules: [DP109], reason: r, owner: o, expires: %[1]s}
`, day)
}

// wantedCode is the exit code by the table of README, from what the samples are.
func wantedCode(set []sample, waived, expired bool, failOn string, exitZero, allowInconclusive bool) int {
	violated, undecided, good, revived := false, false, false, false
	for _, s := range set {
		good = good || s.good
		excused := waived && s.waivable != ""
		violated = violated || s.violates && !excused || s.low && failOn == "low"
		undecided = undecided || s.undecides && !excused
		revived = revived || expired && s.waivable != ""
	}
	// That an exception has expired is a finding of medium severity.
	violated = violated || revived && failOn != "high"
	// Where nothing is left to judge, nothing is proven. What violates was seen.
	undecided = undecided || !good
	switch {
	case violated && !exitZero:
		return exitViolated
	case violated:
		return exitHolds
	case undecided && !exitZero && !allowInconclusive:
		return exitInconclusive
	}
	return exitHolds
}

// TestExitCodes: every combination of what can be in a capture, of exceptions
// that hold and that have expired, and of the flags that change exit codes.
func TestExitCodes(t *testing.T) {
	all := samples(t)
	dir := t.TempDir()
	for _, day := range []string{"", "2999-12-31", "2020-01-31"} {
		policy := "builtin:mutual"
		if text := exceptionsFor(day); text != "" {
			policy = filepath.Join(dir, day+".yaml")
			if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for bits := 1; bits < 1<<len(all); bits++ {
			if testing.Short() && bits%7 != 0 {
				continue
			}
			var set []sample
			var names, paths []string
			for i, s := range all {
				if bits&(1<<i) != 0 {
					set, names, paths = append(set, s), append(names, s.name), append(paths, s.path)
				}
			}
			for flags := range 12 {
				failOn := []string{"high", "medium", "low"}[flags/4]
				args := slices.Concat([]string{"verify", "--policy", policy, "--fail-on", failOn}, paths)
				exitZero, allow := flags&1 != 0, flags&2 != 0
				if exitZero {
					args = append(args, "--exit-zero")
				}
				if allow {
					args = append(args, "--allow-inconclusive")
				}
				var out, errs bytes.Buffer
				got := run(args, strings.NewReader(""), &out, &errs)
				if want := wantedCode(set, day == "2999-12-31", day == "2020-01-31", failOn, exitZero, allow); got != want {
					t.Errorf("%s, exceptions until %q, fail-on %s, exit-zero %t, allow-inconclusive %t: code %d, want %d\n%s%s", strings.Join(names, "+"), day, failOn, exitZero, allow, got, want, out.String(), errs.String())
					return
				}
				if !strings.HasPrefix(reasonLine(errs.String()), fmt.Sprintf("exit code %d: ", got)) {
					t.Errorf("the last line is %q", reasonLine(errs.String()))
				}
			}
		}
	}
}

func reasonLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
