package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"distproof/internal/typo"
	"distproof/report"
	"distproof/verify"
	"distproof/verify/policy"
)

// builtinPrefix is before the names of built-in policies.
const builtinPrefix = "builtin:"

// policySettings are the flags that say what to judge by.
type policySettings struct {
	path   string
	failOn severityFlag
	flags  *pflag.FlagSet
}

// policyFlags are those of a policy, and those that say what a policy may say,
// too.
func policyFlags(f *pflag.FlagSet, s *settings) {
	p := &s.policy
	p.flags = f
	f.StringVar(&p.path, "policy", "", "judge by the policy `FILE|builtin:NAME` instead of ./"+policy.Name+"; NAME is one of "+strings.Join(policy.Builtins(), ", "))
	f.Var(&p.failOn, "fail-on", "findings of `SEVERITY` or higher violate the policy: high, medium or low")
	f.StringArrayVar(&s.cas, "ca", nil, "check certificates against the CAs in `FILE|DIR` (repeatable)")
	f.Var(&s.expiresWithin, "expires-within", "report certificates that expire within `DAYS` of the packet; 0: none")
	s.lists.flags(f)
}

// overrides are the flags that take the place of what the policy says. The
// cookies of --cookies come to those of the policy: a longer list finds more.
var overrides = map[string]string{
	"fail-on": "fail_on", "ca": "certificates.cas", "expires-within": "certificates.expires_within", "epmd-allow": "epmd.networks",
	"allow-node": "distribution.nodes", "allow-network": "distribution.networks", "allow-port": "distribution.ports", "cookies": "cookies",
}

// A severityFlag is the least severity that fails.
type severityFlag string

func (s *severityFlag) Set(text string) error {
	if !slices.Contains([]string{"high", "medium", "low"}, text) {
		return usagef("", "%q is not one of high, medium, low", text)
	}
	*s = severityFlag(text)
	return nil
}

func (s *severityFlag) String() string { return string(*s) }

// Type is the name of the value in help texts.
func (s *severityFlag) Type() string { return "SEVERITY" }

// given says by what each flag of the policy was set: itself, or the variable
// that stands for it. Flags outweigh variables.
func (p *policySettings) given() (map[string]string, error) {
	out := make(map[string]string)
	for _, name := range append([]string{"policy"}, sortedKeys(overrides)...) {
		flag := p.flags.Lookup(name)
		if flag.Changed {
			out[name] = "--" + name
			continue
		}
		variable := "DISTPROOF_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value := os.Getenv(variable)
		if value == "" {
			continue
		}
		if err := flag.Value.Set(value); err != nil {
			return nil, usagef("", "%s: %v", variable, err)
		}
		out[name] = variable
	}
	return out, nil
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// readPolicy reads the policy, and puts what the flags say into it. The paths of
// the files that it names are made those of this process.
func (s *settings) readPolicy(now time.Time) (*policy.File, error) {
	given, err := s.policy.given()
	if err != nil {
		return nil, err
	}
	f, err := findPolicy(s.policy.path, given["policy"])
	if err != nil {
		return nil, err
	}
	p := &f.Options.Policy
	p.Now = now
	for name, by := range given {
		if setting := overrides[name]; setting != "" {
			s.override(f, name)
			f.Set(setting, by)
		}
	}
	if p.Name == "" && given["fail-on"] != "" {
		p.Name = builtinPrefix + policy.Default
	}
	return f, nil
}

// override puts the value of a flag into the policy.
func (s *settings) override(f *policy.File, name string) {
	o := &f.Options
	here := func(paths []string) []policy.Ref {
		var out []policy.Ref
		for _, path := range paths {
			out = append(out, policy.Ref{Path: path, Place: verify.Place{Path: "--" + name}})
		}
		return out
	}
	switch name {
	case "fail-on":
		o.Policy.FailOn = verify.Severity(s.policy.failOn)
	case "ca":
		f.CAs = here(s.cas)
	case "expires-within":
		o.ExpiresWithin = s.expiresWithin.duration()
	case "epmd-allow":
		o.EPMDNetworks = s.lists.epmdNetworks
	case "allow-node":
		o.AllowNodes = s.lists.nodes
	case "allow-network":
		o.AllowNetworks = s.lists.networks
	case "allow-port":
		o.AllowPorts = s.lists.ports
	case "cookies":
		f.Cookies = append(here(s.lists.cookies), f.Cookies...)
	}
}

// findPolicy reads the policy that is named, or the one in the working folder;
// without either it is the default, which has no name. by says who named it.
func findPolicy(path, by string) (*policy.File, error) {
	if name, ok := strings.CutPrefix(path, builtinPrefix); ok {
		f, known := policy.Builtin(name)
		if !known {
			hint := "the built-in policies are " + strings.Join(policy.Builtins(), ", ")
			if near := typo.Nearest(name, policy.Builtins()); near != "" {
				hint = "did you mean " + builtinPrefix + near + "?\n" + hint
			}
			return nil, usagef(hint, "%s %s: unknown policy %q", by, path, name)
		}
		return f, nil
	}
	data, err := readPolicyFile(cmp.Or(path, policy.Name))
	switch {
	case path == "" && by == "" && errors.Is(err, fs.ErrNotExist):
		f, _ := policy.Builtin(policy.Default)
		f.Options.Policy.Name = ""
		return f, nil
	case err != nil:
		return nil, fileError("", by, cmp.Or(path, policy.Name), err)
	}
	f, err := parsePolicy(data, cmp.Or(path, policy.Name))
	if wrong, ok := errors.AsType[policy.Errors](err); ok {
		return nil, usagef("distproof policy check "+cmp.Or(path, policy.Name)+" lists everything that is wrong", "%v", wrong)
	}
	return f, err
}

// readPolicyFile reads no more than a policy may have.
func readPolicyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, policy.MaxSize+1))
}

// parsePolicy reads a policy whose files are named from its own folder.
func parsePolicy(data []byte, path string) (*policy.File, error) {
	f, err := policy.Parse(data, path)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]policy.Ref{f.CAs, f.Cookies} {
		for i := range list {
			if !filepath.IsAbs(list[i].Path) {
				list[i].Path = filepath.Join(filepath.Dir(path), list[i].Path)
			}
		}
	}
	return f, nil
}

// judgingBy reads the files that a policy names.
func judgingBy(f *policy.File) (analyzeOptions, error) {
	o := analyzeOptions{Judge: true, Policy: f, Expect: f.Options}
	var err error
	if o.CAs, err = loadCAs(f.CAs); err != nil {
		return o, err
	}
	o.Expect.Cookies, err = readCookies(f.Cookies)
	return o, err
}

// loadCAs reads the CAs of --ca and of the policy; nil if there are none.
func loadCAs(files []policy.Ref) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, f := range files {
		if err := addCAs(pool, f.Place.String(), f.Path); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write, check and show policies",
		Long: `A policy, in YAML, says what you require of a cluster: how distribution must be
protected, which nodes, networks and ports may take part, what must be there,
and which exceptions hold until when. verify judges by ` + policy.Name + ` in the
working directory, or by the policy that --policy names.`,
		Example: `  distproof policy init --from good.pcap -o distproof.yaml
  distproof policy check
  distproof policy show --policy builtin:encrypted`,
		Args: cobra.ArbitraryArgs,
		RunE: needsSubcommand,
	}
	cmd.AddCommand(a.policyInitCommand(), a.policyCheckCommand(), a.policyShowCommand(), a.policySchemaCommand())
	return cmd
}

func (a *app) policyCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "List what is wrong with a policy, with line and column",
		Long: `check reads a policy (default: ` + policy.Name + ` in the working directory) and the
files that it names. The exit code is 0, or 2 if something is wrong.`,
		Example: `  distproof policy check
  distproof policy check ci/distproof.yaml`,
		Args:                  atMostOne("policy"),
		DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.checkPolicy(cmp.Or(strings.Join(args, ""), policy.Name), time.Now())
		},
	}
}

func (a *app) checkPolicy(path string, now time.Time) error {
	data, err := readPolicyFile(path)
	if err != nil {
		return fileError("distproof policy check FILE checks another one; distproof policy init --from CAPTURE writes one", "", path, err)
	}
	f, err := parsePolicy(data, path)
	if wrong, ok := errors.AsType[policy.Errors](err); ok {
		for _, e := range wrong {
			fmt.Fprintln(a.stderr, "error: "+report.Escape(e.Error()))
		}
		a.code = exitCouldNotRun
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := judgingBy(f); err != nil {
		return err
	}
	exceptions := f.Options.Policy.Exceptions
	for i := range exceptions {
		if e := &exceptions[i]; e.ExpiredAt(now) {
			fmt.Fprintln(a.stderr, report.Escape(fmt.Sprintf("warning: %s: the exception expired at the end of %s", e.Place, e.Expires.Format(time.DateOnly))))
		}
	}
	_, err = fmt.Fprintln(a.stdout, report.Escape(path+": ok"))
	return err
}

func (a *app) policyShowCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "show [flags]",
		Short: "Show the effective policy, and where each value comes from",
		Long: `show writes the policy that verify would judge by with the same flags, and
beside each value where it comes from: a line of the file, a flag, a variable,
or the default. The output is itself a valid policy.`,
		Example: `  distproof policy show
  distproof policy show --policy builtin:observe --fail-on medium`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			f, err := s.readPolicy(time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.stdout, policy.Show(f))
			return err
		},
	}
	cmd.Flags().SortFlags = false
	s.expiresWithin = 30
	policyFlags(cmd.Flags(), &s)
	return cmd
}

func (a *app) policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Write the JSON Schema of policies, for editors",
		Long: `schema writes the JSON Schema of policies. Editors with a YAML language server
complete and check a policy whose first line names the schema's file:
  # yaml-language-server: $schema=` + policy.SchemaName,
		Example:               `  distproof policy schema > ` + policy.SchemaName,
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: func(*cobra.Command, []string) error {
			_, err := bytes.NewReader(policy.Schema()).WriteTo(a.stdout)
			return err
		},
	}
}
