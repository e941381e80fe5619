package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"distproof/capture"
	"distproof/decode/secrets"
	"distproof/verify"
	"distproof/verify/policy"
)

// initSettings are the flags of policy init.
type initSettings struct {
	settings
	from         []string
	out, require string
	force        bool
}

func (a *app) policyInitCommand() *cobra.Command {
	var s initSettings
	cmd := &cobra.Command{
		Use:   "init [flags] --from CAPTURE",
		Short: "Write a policy from the capture of a healthy cluster",
		Long: `init looks at a capture of a cluster that is as it should be, begun before its
nodes connected, and writes a policy with what it saw: nodes, networks, ports,
pairs, CAs. What cannot be known from the capture becomes a comment that says
so. A capture that would not pass is refused.`,
		Example: `  distproof policy init --from good.pcap -o distproof.yaml
  distproof policy init --from good.pcap --keylog keys.log`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.initPolicy(&s, time.Now()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVar(&s.from, "from", nil, "learn from `FILE|DIR|-` (repeatable)")
	f.StringVarP(&s.out, "output", "o", "", "write the policy to `FILE` (default standard output)")
	f.BoolVar(&s.force, "force", false, "replace FILE if it exists")
	f.StringVar(&s.require, "require", "mutual", "what all connections of the capture must be: `WHAT` is mutual or encrypted")
	portFlags(f, &s.settings)
	f.StringArrayVar(&s.keyLogs, "keylog", nil, "decrypt TLS with the NSS key log `FILE` (repeatable)")
	sandboxFlag(f, &s.settings)
	return cmd
}

func (a *app) initPolicy(s *initSettings, now time.Time) error {
	switch {
	case len(s.from) == 0:
		return usagef("--from CAPTURE names what to learn from", "nothing to learn from")
	case s.require != string(verify.RequireMutual) && s.require != string(verify.RequireEncrypted):
		return usagef("", "--require %s: only mutual or encrypted", s.require)
	}
	if err := s.refuseOverwrite(); err != nil {
		return err
	}
	if err := a.refuseTerminal(s.from); err != nil {
		return err
	}
	if s.out != "" {
		readings := slices.Concat(a.readingsOf("the capture", s.from...), a.readingsOf("a key log", s.keyLogs...))
		if err := refuseTarget("-o "+s.out, s.out, readings); err != nil {
			return err
		}
	}
	var box sandbox
	box.inputs(s.from)
	box.inputs(s.keyLogs)
	box.outputs(outputs{{path: s.out}})
	if err := a.lockDown(s.sandbox, &box); err != nil {
		return err
	}
	text, err := a.learn(s, now)
	if err != nil {
		return err
	}
	if s.out == "" {
		_, err = a.stdout.Write(text)
		return err
	}
	if err := writeFile(s.out, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.out, cause(err))
	}
	return nil
}

// refuseOverwrite keeps a policy that somebody has worked on.
func (s *initSettings) refuseOverwrite() error {
	if s.out == "" || s.force {
		return nil
	}
	if _, err := os.Lstat(s.out); !errors.Is(err, fs.ErrNotExist) {
		return usagef("name another file, or add --force", "-o %s: exists already", s.out)
	}
	return nil
}

func (a *app) learn(s *initSettings, now time.Time) ([]byte, error) {
	keys, err := newKeyring(s.keyLogs, secrets.Options{}, slices.Contains(s.from, "-"))
	if err != nil {
		return nil, err
	}
	src, err := capture.Open(s.from, capture.Options{Stdin: a.stdin})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	o := analyzeOptions{Keys: keys, Judge: true}
	o.recognise(&s.settings)
	x, err := examine(src, o)
	if err != nil {
		return nil, err
	}
	sample := policy.Sample{Capture: x.facts, Cover: x.judgement.Coverage, Require: verify.Requirement(s.require), Now: now}
	for _, in := range x.inputs {
		sample.Names = append(sample.Names, in.Path)
	}
	text, err := policy.Learn(sample)
	if err != nil {
		return nil, usagef("distproof verify shows why; a policy is learnt from a cluster that is as it should be", "%v", err)
	}
	return text, nil
}
