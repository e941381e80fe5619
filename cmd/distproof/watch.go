package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"distproof/capture/live"
	"distproof/decode/secrets"
	"distproof/internal/signals"
	"distproof/watch"
	"distproof/watch/keep"
	"distproof/watch/stream"
)

// watchSettings are the flags of watch beside those of verify.
type watchSettings struct {
	settings
	capture              captureSettings
	serve                serveSettings
	save                 saveSettings
	confine              confineSettings
	duration, untilQuiet time.Duration
	logFormat            string
	// input is the stream that is read; empty to capture.
	input string
}

func (a *app) watchCommand() *cobra.Command {
	s := watchSettings{settings: settings{expiresWithin: 30}}
	cmd := &cobra.Command{
		Use:   "watch [flags] -i INTERFACE | FILE | -",
		Short: "Follow the connections of a running system",
		Long: `watch captures on network interfaces (on Linux) and judges the connections
between nodes as verify does, for as long as it runs: minutes or months. On a
terminal it shows a live table (? explains the keys, q quits); elsewhere it
writes a line for each event: a connection that opened, a changed verdict, a
finding. With -o ndjson these lines are JSON (distproof.event/v1).

It ends on Ctrl-C or SIGTERM, or after --duration or --until-quiet, and then
writes a report on everything it saw; a second signal ends it without a report.
On SIGHUP it reads the policy again; an invalid one is refused, and the current
one stays.

Instead of capturing, it can read a capture that is still being written: a pipe
or a growing file. That needs no privileges and works on any system.

Capturing needs the capability CAP_NET_RAW (and CAP_SYS_ADMIN to enter another
network namespace):
  sudo setcap cap_net_raw+ep "$(command -v distproof)"

Connections that were already up are listed from the kernel's tables. Whether
they are mutual TLS is not known until the nodes reconnect: docs/watch.md says
how to make them do so safely.

Exit codes:
  0  the policy holds: by default, every connection between nodes that came up
     is mutual TLS
  1  at least one is not, or another rule is violated
  2  could not run: wrong usage, no permission to capture, unreadable input
  3  nothing is violated, but not everything is proven; also if there is no
     connection between nodes at all, or packets were lost`,
		Example: `  sudo distproof watch -i any
  sudo distproof watch -i eth0 --netns 4711 -o ndjson >> events.ndjson
  tcpdump -i any -U -w - | distproof watch -
  ssh host sudo tcpdump -i any -U -w - not port 22 | distproof watch -`,
		Args: oneStream,
		RunE: func(_ *cobra.Command, args []string) error {
			s.input = strings.Join(args, "")
			return a.watch(&s)
		},
	}
	f := cmd.Flags()
	captureFlags(f, &s.capture)
	underHeading(f, "What is captured")
	f.DurationVar(&s.duration, "duration", 0, "end after `TIME`, such as 8h; 0: never")
	f.DurationVar(&s.untilQuiet, "until-quiet", 0, "end when no packet has arrived for `TIME`; 0: never")
	commonFlags(f, &s.settings)
	f.Lookup("output").Usage = "at the end, report as `FORMAT[=FILE]` (repeatable), as verify does; ndjson without FILE: events, as they happen"
	f.Lookup("workers").Usage = "use no more than `N` processors; 0: all"
	f.Lookup("quiet").Usage = "no table: write findings only, and errors to stderr"
	f.StringVar(&s.logFormat, "log", "text", "log to stderr as `FORMAT`: text or json")
	confineFlags(f, &s.confine)
	underHeading(f, "How it runs, reads and writes")
	policyFlags(f, &s.settings)
	exitFlags(f, &s.settings)
	underHeading(f, "What it judges by")
	serveFlags(f, &s.serve)
	underHeading(f, "Metrics, health, API")
	saveFlags(f, &s.save)
	underHeading(f, "What is saved")
	return cmd
}

func oneStream(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("distproof verify reads captures that are complete, and as many as you like", "watch follows one stream, not %d", len(args))
	}
	return nil
}

// check finds what makes no sense.
func (s *watchSettings) check() error {
	const how = "-i any for all interfaces\ntcpdump -i any -U -w - | distproof watch - where distproof may not capture"
	switch {
	case s.input == "" && len(s.capture.interfaces) == 0:
		return usagef(how, "name an interface to capture on (-i NAME), or a capture that is being written")
	case s.input != "" && len(s.capture.interfaces) > 0:
		return usagef("", "watch captures (-i) or reads a capture (%s), not both", s.input)
	case s.duration < 0:
		return usagef("--duration 8h", "--duration %v is negative", s.duration)
	case s.untilQuiet < 0:
		return usagef("--until-quiet 1m", "--until-quiet %v is negative", s.untilQuiet)
	case s.logFormat != "text" && s.logFormat != "json":
		return usagef("--log takes text or json", "--log: unknown value %q", s.logFormat)
	}
	return s.serve.check()
}

// A watching is a watch that was prepared.
type watching struct {
	*app
	s      *watchSettings
	log    *slog.Logger
	screen *screen // nil if there is none
	outs   outputs // of the end
	// events writes events; nil to none.
	events  *eventWriter
	color   colorMode
	judging analyzeOptions
	keys    *keyring
	source  watch.Source
	sockets *live.SocketTable // nil if there is none
	keeper  *keep.Keeper      // nil if nothing is saved
	pulse   *pulseTap
	engine  *watch.Engine
	closers []func()
}

// watch follows packets until it is asked to end, and judges.
func (a *app) watch(s *watchSettings) error {
	if err := s.check(); err != nil {
		return err
	}
	w := &watching{app: a, s: s}
	defer w.close()
	if err := w.prepare(); err != nil {
		return err
	}
	caught := signals.Catch()
	w.closeLater(caught.Stop)
	ctx, end := context.WithCancel(context.Background())
	defer end()
	if s.duration > 0 {
		ctx, end = context.WithTimeout(ctx, s.duration)
		defer end()
	}
	go w.obey(ctx, end, caught)
	if s.untilQuiet > 0 {
		go w.endWhenQuiet(ctx, end)
	}
	state, err := w.run(ctx, end)
	if err != nil {
		return err
	}
	return w.finish(state)
}

// closeLater notes what is to be given back, the last first.
func (w *watching) closeLater(f func()) { w.closers = append(w.closers, f) }

func (w *watching) close() {
	for _, f := range slices.Backward(w.closers) {
		f()
	}
}

// prepare opens all there is to open, and gives up the rights for it.
func (w *watching) prepare() error {
	if err := w.readFlags(); err != nil {
		return err
	}
	owner, err := w.s.confine.owner(w.s.sandbox)
	if err != nil {
		return err
	}
	if w.keys, err = newKeyring(w.s.keyLogs, secrets.Options{HandshakeOnly: w.s.handshakeOnly}, true); err != nil {
		return err
	}
	if err := w.openSource(); err != nil {
		return err
	}
	w.keys.src = w.source
	if w.keeper, err = w.s.save.open(owner, w.judging.links(), w.log); err != nil {
		return err
	}
	if w.keeper != nil {
		w.s.serve.saved = w.keeper.Counters
	}
	w.makeEngine()
	stop, address, err := w.s.serve.start(w.log, w.engine.State, toolVersion())
	if err != nil {
		return err
	}
	w.closeLater(stop)
	if address != "" {
		w.log.Info("serving", "address", address)
	}
	if err := w.confine(w.needs(), owner, w.s.sandbox, w.log); err != nil {
		return err
	}
	if w.keeper == nil {
		return nil
	}
	w.closeLater(func() {
		if err := w.keeper.Close(); err != nil {
			w.log.Error("packets are not saved", "error", err)
		}
	})
	return w.keeper.Start()
}

// readFlags finds out what to write where, and what to judge by.
func (w *watching) readFlags() (err error) {
	if w.color, err = w.useColor(w.s.color); err != nil {
		return err
	}
	if err := w.chooseOutputs(); err != nil {
		return err
	}
	if w.judging, err = w.s.judging(); err != nil {
		return err
	}
	w.judging.recognise(&w.s.settings)
	w.judging.Only = w.s.capture.only(w.s.epmdPorts)
	if n := int(w.s.workers); n > 0 {
		runtime.GOMAXPROCS(n)
	}
	return w.outs.refuse(append(w.readings(&w.s.settings, w.judging), w.readingsOf("the capture", w.s.inputs()...)...))
}

// inputs are the files that packets come from.
func (s *watchSettings) inputs() []string {
	if s.input == "" || s.input == "-" {
		return nil
	}
	return []string{s.input}
}

// chooseOutputs says what is written while it runs, and at the end.
func (w *watching) chooseOutputs() error {
	outs, err := parseOutputs(w.s.outputs)
	if err != nil {
		return err
	}
	given, toStdout := len(w.s.outputs) > 0, false
	for _, o := range outs {
		switch {
		case o.format == "ndjson" && o.path == "":
			w.events = newEventWriter(w.stdout, true, w.s.quiet, int64(w.s.maxMemory))
		case given || !w.s.quiet: // without -o, findings are all that --quiet leaves
			w.outs = append(w.outs, o)
			toStdout = toStdout || given && o.path == ""
		}
	}
	if w.events == nil && !w.s.quiet && isTerminal(w.stdout) && os.Getenv("TERM") != "dumb" {
		w.screen = newScreen(w.stdout, w.stderr, w.color.stdout)
	}
	if w.screen != nil {
		w.closeLater(w.screen.release)
	}
	if w.events == nil && w.screen == nil && !toStdout {
		w.events = newEventWriter(w.stdout, false, w.s.quiet, int64(w.s.maxMemory))
	}
	w.log = newLog(w.stderr, w.screen, w.s.logFormat, w.s.quiet)
	return nil
}

// openSource opens what packets come from.
func (w *watching) openSource() error {
	if w.s.input != "" {
		if err := w.refuseTerminal([]string{w.s.input}); err != nil {
			return err
		}
		source, err := stream.Open(w.s.input, w.stdin)
		if err != nil {
			return err
		}
		w.source = source
		w.closeLater(func() { source.Close() })
		return nil
	}
	source, err := w.s.capture.open(&w.s.settings, true)
	if err != nil {
		return err
	}
	w.source = source
	w.closeLater(func() { source.Close() })
	for _, note := range source.Notes() {
		w.log.Warn(note, "interfaces", strings.Join(w.s.capture.interfaces, ","))
	}
	if w.sockets, err = live.OpenSockets(w.s.capture.namespace); err != nil {
		w.log.Warn("connections that were up before are not listed", "error", err)
		return nil
	}
	w.closeLater(func() { w.sockets.Close() })
	return nil
}

// makeEngine wires what follows the packets.
func (w *watching) makeEngine() {
	o := w.judging
	options := watch.Options{
		Decode:    o.decoding(),
		Links:     o.links(),
		Verify:    o.judgeBy(),
		Tool:      tool(),
		Keys:      w.keys.current,
		Event:     w.event,
		Tap:       w.tap(),
		MaxMemory: o.MaxMemory,
	}
	if w.sockets != nil {
		options.Sockets = w.listSockets
	}
	w.engine = watch.New(w.source, options)
	if w.events != nil {
		w.events.start(w.engine.Tell)
	}
}

// listSockets asks the kernel. Whose sockets they are can be found out the first
// time, before rights are given up; later only of those found then.
func (w *watching) listSockets() ([]live.Socket, error) {
	all, err := w.sockets.List()
	if err != nil {
		w.log.Warn("connections that were up before are not listed", "error", err)
	}
	return all, err
}

// tap is what is shown the packets.
func (w *watching) tap() watch.Tap {
	w.pulse = &pulseTap{heartbeat: newHeartbeat()}
	w.s.serve.packets = w.pulse.packets.Load
	if w.keeper == nil {
		return w.pulse
	}
	return taps{w.pulse, w.keeper}
}

// needs is what has to stay possible when rights are given up.
func (w *watching) needs() *confinement {
	c := new(confinement)
	for _, f := range policyFiles(w.judging.Policy) { // SIGHUP has them read again
		c.again = append(c.again, f.path)
	}
	c.inputs(w.s.inputs())
	c.inputs(w.s.keyLogs)
	c.outputs(w.outs)
	c.folder(w.s.save.dir)
	c.again = append(c.again, w.s.serve.files()...)
	return c
}

// obey does what signals ask for.
func (w *watching) obey(ctx context.Context, end func(), caught *signals.Signals) {
	for {
		select {
		case s := <-caught.End:
			w.log.Info("ending", "signal", s.String())
			end()
			return
		case <-caught.Again:
			w.rereadPolicy()
		case <-ctx.Done():
			caught.Stop() // a signal now ends what is left
			return
		}
	}
}

// rereadPolicy judges by the policy as it is now. One that is wrong is refused.
func (w *watching) rereadPolicy() {
	judging, err := w.s.judging()
	if err != nil {
		w.log.Error("the policy is refused, the one before stays", "error", err)
		w.engine.RefusePolicy(err)
		return
	}
	w.engine.SetPolicy(judging.judgeBy())
	w.log.Info("the policy was read again", "policy", cmp.Or(judging.Expect.Policy.Name, "default"))
}

// endWhenQuiet ends the watch when no packet came for some time.
func (w *watching) endWhenQuiet(ctx context.Context, end func()) {
	for {
		left := w.s.untilQuiet - w.pulse.silence()
		if left <= 0 {
			w.log.Info("ending: no packet came", "time", w.s.untilQuiet.String())
			end()
			return
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return
		}
	}
}

// run follows the packets, and shows them on the screen, if there is one.
func (w *watching) run(ctx context.Context, end func()) (*watch.State, error) {
	if w.screen == nil {
		return w.engine.Run(ctx)
	}
	shown := make(chan error, 1)
	go func() {
		shown <- w.screen.show(ctx, w.engine)
		end()
	}()
	state, err := w.engine.Run(ctx)
	end()
	return state, cmp.Or(err, <-shown)
}

// finish writes the report, and says how it ended.
func (w *watching) finish(state *watch.State) error {
	if err := w.keys.finish(); err != nil {
		w.log.Warn(err.Error())
	}
	w.keys.tell(w.stderr)
	if unseen := live.OneEach(state.Known); len(unseen) > 0 {
		w.log.Warn("no data was captured of some connections of Erlang programs: the report does not judge them", "connections", len(unseen), "first", fmt.Sprintf("%s ↔ %s", unseen[0].Local, unseen[0].Remote))
	}
	doc := state.Document
	w.s.tolerate(doc)
	outs := w.outs
	var failed error
	if w.events != nil {
		failed = w.events.finish()
	}
	if failed != nil { // files can still be written
		failed = fmt.Errorf("cannot write the events: %w", failed)
		outs = slices.DeleteFunc(slices.Clone(outs), func(o output) bool { return o.path == "" })
	}
	if err := errors.Join(failed, outs.write(doc, w.stdout, w.color, w.width())); err != nil {
		return err
	}
	return w.conclude(doc, &w.s.settings)
}
