package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"distproof/capture"
	"distproof/decode/secrets"
	"distproof/report"
)

// settings are the flags that several commands have.
type settings struct {
	outputs                      []string
	ports, epmdPorts, vxlanPorts ports
	color                        string
	quiet                        bool
	cas, keyLogs                 []string
	expiresWithin                days
	lists                        lists
	policy                       policySettings
	handshakeOnly, showPayload   bool
	exitZero, allowInconclusive  bool
	evidence                     string
	workers                      uint16
	evidenceSecrets              bool
	baseline                     string
	sandbox                      string
	anyChecksum                  bool
	maxMemory                    memory
}

func (a *app) verifyCommand() *cobra.Command {
	s := settings{expiresWithin: 30}
	cmd := &cobra.Command{
		Use:   "verify [flags] FILE|DIR|-...",
		Short: "Judge the connections between nodes: are they mutual TLS?",
		Long: `verify reads captures (pcap or pcapng, plain or compressed with gzip or zstd;
folders; - for standard input) and judges every connection between Erlang nodes
by a policy: that of --policy, else distproof.yaml in the working directory,
else the built-in policy mutual.

Exit codes:
  0  the policy holds: by default, every connection between nodes that came up
     is mutual TLS
  1  at least one is not, or another rule is violated
  2  could not run: wrong usage or unreadable input
  3  nothing is violated, but not everything is proven; also if there is no
     connection between nodes at all`,
		Example: `  distproof verify capture.pcap
  tcpdump -i any -U -w - | distproof verify -
  distproof verify --ca ca.pem -o wide -o json=report.json captures/`,
		Args: atLeastOneInput,
		RunE: func(_ *cobra.Command, args []string) error { return a.verify(args, &s) },
	}
	judgeFlags(cmd.Flags(), &s)
	return cmd
}

// judgeFlags are those of the commands that judge.
func judgeFlags(f *pflag.FlagSet, s *settings) {
	commonFlags(f, s)
	policyFlags(f, s)
	evidenceFlags(f, s)
	baselineFlag(f, s)
	exitFlags(f, s)
}

func (a *app) inspectCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "inspect [flags] FILE|DIR|-...",
		Short: "Show what is on the wire, without judging it",
		Long: `inspect shows the connections between nodes, as verify does, but without
findings or a conclusion. It also shows the nodes and all other TCP connections.
The exit code is 0, or 2 if it could not run.`,
		Example: `  distproof inspect capture.pcap
  distproof inspect -o json capture.pcap`,
		Args: atLeastOneInput,
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := a.report(args, &s, analyzeOptions{})
			return err
		},
	}
	commonFlags(cmd.Flags(), &s)
	return cmd
}

func commonFlags(f *pflag.FlagSet, s *settings) {
	f.SortFlags = false
	outputFlags(f, s)
	portFlags(f, s)
	f.Uint16Var(&s.workers, "workers", 0, "share the work among `N` goroutines; 0: one per processor; the report is the same")
	memoryFlag(f, &s.maxMemory)
	f.BoolVar(&s.anyChecksum, "ignore-checksums", false, "accept packets with wrong TCP checksums, as in captures that were rewritten")
	f.BoolVar(&s.showPayload, "show-payload", false, "show the first terms that crossed in the clear, without anything that looks secret")
	f.StringArrayVar(&s.keyLogs, "keylog", nil, "decrypt TLS with the NSS key log `FILE`, which may grow (repeatable)")
	f.BoolVar(&s.handshakeOnly, "handshake-only", false, "use only secrets that open handshakes, not the traffic after them")
	printFlags(f, s)
}

func atLeastOneInput(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("name a capture file, a folder, or - for standard input\nsee "+cmd.CommandPath()+" --help", "nothing to read")
	}
	return nil
}

// verify judges the inputs and maps the conclusion to the exit code.
func (a *app) verify(args []string, s *settings) error {
	o, err := s.judging()
	if err != nil {
		return err
	}
	if o.Baseline, err = a.readBaseline(s); err != nil {
		return err
	}
	doc, err := a.report(args, s, o)
	if err != nil {
		return err
	}
	return a.conclude(doc, s)
}

// judging is what to judge by.
func (s *settings) judging() (analyzeOptions, error) {
	f, err := s.readPolicy(time.Now())
	if err != nil {
		return analyzeOptions{}, err
	}
	return judgingBy(f)
}

// recognise takes over what tells connections between nodes from others.
func (o *analyzeOptions) recognise(s *settings) {
	o.Ports, o.EPMDPorts, o.VXLANPorts = s.ports, s.epmdPorts, s.vxlanPorts
	o.Payload, o.Workers, o.AnyChecksum = s.showPayload, int(s.workers), s.anyChecksum
	o.MaxMemory = int64(s.maxMemory)
	s.maxMemory.apply()
}

// exitOf maps a conclusion to an exit code and its meaning.
func exitOf(conclusion string) (code int, words string, err error) {
	switch conclusion {
	case "pass":
		return exitHolds, "the policy holds", nil
	case "fail":
		return exitViolated, "the policy is violated", nil
	case "inconclusive":
		return exitInconclusive, "not proven", nil
	default:
		return exitCouldNotRun, "", fmt.Errorf("the report has the unknown conclusion %q", conclusion)
	}
}

// report is the way of the data: open, analyze, write.
func (a *app) report(args []string, s *settings, judging analyzeOptions) (*report.Document, error) {
	defer paceCollection(s.maxMemory == 0)()
	p := &publisher{app: a, settings: s, judging: judging}
	readings, err := p.prepare(args)
	if err != nil {
		return nil, err
	}
	prover, err := a.newProver(args, s)
	if err != nil {
		return nil, err
	}
	defer prover.close()
	stop := a.finishOnInterrupt(args)
	defer stop()
	src, err := capture.Open(args, capture.Options{Stdin: prover.input(a.stdin)})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	for _, in := range src.Inputs() {
		readings = append(readings, a.readingsOf("the capture", in.Path)...)
	}
	if err := p.outs.refuse(readings); err != nil {
		return nil, err
	}
	clear := a.showProgress(src, s.quiet)
	x, err := examine(prover.watch(src), p.judging)
	clear()
	if err != nil {
		return nil, err
	}
	return x.document, p.publish(x, prover)
}

// A publisher writes what comes out of an analysis.
type publisher struct {
	*app
	settings *settings
	judging  analyzeOptions
	outs     outputs
	color    colorMode
}

// prepare finds what is wrong before captures are opened, and gives up all rights
// but to read them. It returns what is read besides.
func (p *publisher) prepare(args []string) (readings []reading, err error) {
	if p.outs, err = parseOutputs(p.settings.outputs); err != nil {
		return nil, err
	}
	if !p.judging.Judge {
		if err := p.outs.refuseUnjudged(); err != nil {
			return nil, err
		}
	}
	if p.color, err = p.useColor(p.settings.color); err != nil {
		return nil, err
	}
	if err := p.refuseTerminal(args); err != nil {
		return nil, err
	}
	readings = p.readings(p.settings, p.judging) // while folders of certificates can be read
	var box sandbox
	box.inputs(args)
	box.inputs(p.settings.keyLogs)
	box.outputs(p.outs)
	box.folder(p.settings.evidence)
	if err := p.lockDown(p.settings.sandbox, &box); err != nil {
		return nil, err
	}
	p.judging.recognise(p.settings)
	// What a baseline lets pass, and what is proved, are connections of the document.
	p.judging.Lazy = p.outs.oneByOne() && p.judging.Baseline == nil && p.settings.evidence == ""
	p.judging.Keys, err = newKeyring(p.settings.keyLogs, secrets.Options{HandshakeOnly: p.settings.handshakeOnly}, slices.Contains(args, "-"))
	return readings, err
}

// publish writes the report, and the evidence unless prover is nil.
func (p *publisher) publish(x *analysis, prover *prover) error {
	p.judging.Keys.tell(p.stderr)
	if err := p.judging.Baseline.apply(x); err != nil {
		return err
	}
	p.settings.tolerate(x.document)
	// The report is right, even if there is no evidence to hand out.
	unproven := p.prove(prover, x, p.judging, p.settings.quiet)
	render := func(w io.Writer, format string, opt report.Options) error {
		if x.lazy != nil {
			return x.lazy.Render(w, format)
		}
		return report.Render(w, x.document, format, opt)
	}
	return cmp.Or(p.outs.writeBy(render, p.stdout, p.color, p.width()), unproven)
}
