package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"distproof/capture"
	"distproof/capture/live"
	"distproof/decode/secrets"
	"distproof/internal/child"
	"distproof/report"
)

// recordSettings are the flags of record beside those of verify.
type recordSettings struct {
	settings
	capture captureSettings
	settle  time.Duration
	save    string
}

func (a *app) recordCommand() *cobra.Command {
	s := recordSettings{settings: settings{expiresWithin: 30}, settle: 2 * time.Second}
	cmd := &cobra.Command{
		Use:   "record -i INTERFACE [flags] -- COMMAND [ARG...]",
		Short: "Capture while a command runs, then judge",
		Long: `record captures on network interfaces (on Linux) while COMMAND runs, waits until
no more packets arrive, and judges what it captured as verify does. The report
follows the command's own output.

Capturing needs the capability CAP_NET_RAW (and CAP_SYS_ADMIN to enter another
network namespace); the command runs without it:
  sudo setcap cap_net_raw+ep "$(command -v distproof)"

Exit codes:
  0  the command succeeded, and every connection between nodes that came up is
     mutual TLS
  1  the command succeeded; at least one connection is not, or another rule is
     violated
  2  the command failed, or record could not run; the report, if there is one,
     and the last line on stderr still say what was captured
  3  the command succeeded; nothing is violated, but not everything is proven;
     also if there is no connection between nodes at all, or packets were lost

SIGINT and other signals that ask to end are passed to the command, and the
report is still written. The same signal again kills the command (a third time,
if typed at a terminal).`,
		Example: `  distproof record -i lo -- mix test
  distproof record -i any -- docker compose up --abort-on-container-exit
  distproof record -i any --netns lab --save cluster.pcapng -- ./cluster-test`,
		Args: needsCommand,
		RunE: func(_ *cobra.Command, args []string) error { return a.record(args, &s) },
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows the command is its own
	captureFlags(f, &s.capture)
	underHeading(f, "What is captured")
	f.DurationVar(&s.settle, "settle", s.settle, "after the command has ended, wait until no packet has arrived for `TIME`, at most five times as long")
	f.StringVar(&s.save, "save", "", "write the packets to `FILE` (pcapng)")
	judgeFlags(f, &s.settings)
	// Landlock would keep it from sending signals to the command, which is not in
	// the same domain.
	_ = f.MarkHidden("sandbox")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if flag := f.Lookup("sandbox"); flag != nil && flag.Value.String() == "required" {
			return usagef("record --save FILE --exit-zero, and distproof verify --sandbox required FILE", "record cannot lock itself down: it has a command to send signals to")
		}
		return nil
	}
	return cmd
}

func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("distproof record -i lo -- mix test\nsee "+cmd.CommandPath()+" --help", "name a command to run while packets are captured")
	}
	return nil
}

// A recording is a run of record.
type recording struct {
	publisher
	s *recordSettings
}

// record captures while a command runs, and judges.
func (a *app) record(argv []string, s *recordSettings) error {
	r := &recording{publisher{app: a, settings: &s.settings}, s}
	if err := r.prepare(argv); err != nil {
		return err
	}
	var inputs []string
	if s.save != "" {
		inputs = []string{s.save}
	}
	prover, err := a.newProver(inputs, &s.settings)
	if err != nil {
		return err
	}
	defer prover.close()
	source, err := s.capture.open(&s.settings, false)
	if err != nil {
		return err
	}
	defer source.Close()
	if !s.quiet {
		for _, note := range source.Notes() {
			fmt.Fprintln(a.stderr, "record: "+report.Escape(note))
		}
	}
	saved, err := newSaver(source, s.save)
	if err != nil {
		return err
	}
	defer saved.cleanup()
	watched := &pulse{prover.watch(saved), newHeartbeat()}

	x, failure, err := r.follow(argv, source, watched)
	if err == nil {
		proof, unsaved := prover, saved.finish()
		if unsaved != nil {
			proof = nil // what evidence is made from is not there
		}
		err = cmp.Or(r.publish(x, proof), unsaved)
	}
	if err != nil {
		if failure != nil { // which is not to be hidden
			fmt.Fprintln(a.stderr, "record: the command failed: "+report.Escape(failure.Error()))
		}
		return err
	}
	return a.concludeRecord(x.document, &s.settings, failure)
}

// prepare finds what is wrong before the command runs.
func (r *recording) prepare(argv []string) (err error) {
	s := r.s
	if err := s.capture.check(); err != nil {
		return err
	}
	if s.settle < 0 {
		return usagef("--settle 2s", "--settle %v is negative", s.settle)
	}
	if s.evidence != "" && s.save == "" {
		return usagef("--save FILE keeps it", "--evidence reads the capture twice, and it is not kept")
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return notRun(argv[0], err)
	}
	if r.outs, err = parseOutputs(s.outputs); err != nil {
		return err
	}
	if err := r.outs.refuseSave(s.save); err != nil {
		return err
	}
	if r.color, err = r.useColor(s.color); err != nil {
		return err
	}
	if r.judging, err = s.judging(); err != nil {
		return err
	}
	readings := r.readings(&s.settings, r.judging)
	if err := r.outs.refuse(readings); err != nil {
		return err
	}
	if s.save != "" {
		if err := refuseTarget("--save "+s.save, s.save, readings); err != nil {
			return err
		}
	}
	if r.judging.Baseline, err = r.readBaseline(&s.settings); err != nil {
		return err
	}
	r.judging.recognise(&s.settings)
	r.judging.Only, r.judging.Hurry = s.capture.only(s.epmdPorts), true
	r.judging.Keys, err = newKeyring(s.keyLogs, secrets.Options{HandshakeOnly: s.handshakeOnly}, true)
	return err
}

// follow runs the command, and captures until no more packets come. failure is the
// command's.
func (r *recording) follow(argv []string, source *live.Source, watched *pulse) (x *analysis, failure, err error) {
	command, err := child.Start(argv, child.Streams{In: r.stdin, Out: r.stdout, Err: r.stderr})
	if err != nil {
		return nil, nil, notRun(argv[0], err)
	}
	defer command.Stop()
	ended := make(chan error, 1)
	go func() {
		ended <- command.Wait()
		if !watched.settle(r.s.settle, command.Signals()) && !r.s.quiet {
			fmt.Fprintln(r.stderr, "record: packets still came when the capture was ended")
		}
		source.Stop()
	}()
	x, err = examine(watched, r.judging)
	failure = <-ended // also if the capture failed: the command is not left alone
	return x, failure, err
}

// refuseSave fails if the packets would go where a report goes.
func (outs outputs) refuseSave(path string) error {
	if path == "" {
		return nil
	}
	for _, out := range outs {
		if out.path != "" && (out.path == path || sameFile(out.path, path)) {
			return usagef("choose another name for the packets", "-o %s=%s and --save %s go to the same file", out.format, out.path, path)
		}
	}
	return nil
}

// notRun is the error of a command that does not start.
func notRun(name string, err error) error {
	why := cause(err)
	if e, ok := errors.AsType[*exec.Error](err); ok {
		why = e.Err
	}
	return usagef("distproof record [flags] -- COMMAND [ARG...]", "cannot run %q: %v", name, why)
}

// concludeRecord maps the document's conclusion and the command's end to the exit
// code. A command that failed may not have started the nodes that it was to
// start: what holds of the others is no proof. Nor is its failure a violation.
func (a *app) concludeRecord(doc *report.Document, s *settings, failure error) error {
	if failure == nil {
		return a.conclude(doc, s)
	}
	_, words, err := exitOf(doc.Conclusion)
	if err != nil {
		return err
	}
	if s.quiet {
		return fmt.Errorf("the command failed: %w", failure)
	}
	a.code = exitCouldNotRun
	a.reason = report.Escape(fmt.Sprintf("exit code %d: the command failed: %v; while it ran: %s: %s", a.code, failure, words, cmp.Or(doc.Reason, doc.Conclusion)))
	return nil
}

// A pulse notes when packets come.
type pulse struct {
	capture.Source
	*heartbeat
}

// Next implements [capture.Source].
func (p *pulse) Next(packet *capture.Packet) error {
	err := p.Source.Next(packet)
	p.beat()
	return err
}

// settle waits until no packet came for some time, a signal comes, or five times
// that time is over, and then says false.
func (p *pulse) settle(quiet time.Duration, signals <-chan os.Signal) bool {
	began := time.Now()
	for {
		silent := min(p.silence(), time.Since(began))
		left := 5*quiet - time.Since(began)
		switch {
		case silent >= quiet:
			return true
		case left <= 0:
			return false
		}
		select {
		case <-signals:
			return true
		case <-time.After(min(quiet-silent, left)):
		}
	}
}
