package watch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/capture/live"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/internal/omission"
	"distproof/report"
	"distproof/verify"
)

// Options of an [Engine].
type Options struct {
	Decode decode.Options
	Links  link.Options
	// Verify is the policy to begin with.
	Verify verify.Options
	Tool   report.Tool
	// Keys returns the key log as it is by now; nil if there is none. It is not
	// called from two goroutines at once.
	Keys func() *secrets.Log
	// Sockets returns the kernel's sockets; nil if it is not to be asked.
	Sockets func() ([]live.Socket, error)
	// Event is called for every Event, in order, from one goroutine, which it must
	// not keep waiting; nil for none. It reports false if it does not take e: what
	// that was about is told with the next State, as it is then. With last there is
	// none, and Event may wait.
	Event func(e Event, last bool) (taken bool)
	// Tap is shown what goes through; nil for none.
	Tap Tap
	// MaxMemory is how much memory is to be used, in bytes; 0 is as much as it takes.
	MaxMemory int64
}

// A Tap is shown what goes through an Engine.
type Tap interface {
	// Packet is shown every packet, in their order, with the number of its
	// connection: 12 for the one with the id c12, 0 if it belongs to none. It is
	// called from one goroutine at a time, up to a moment after the packet came, and
	// must not wait. p.Data is valid during the call.
	Packet(p *capture.Packet, connection uint64)
	// State is shown every State after it was made, from another goroutine.
	State(*State)
}

// An Engine follows a Source. Make it with [New]; its methods may be called from
// any goroutine.
type Engine struct {
	src Source
	o   Options
	// began is when the clock began that intervals are measured by.
	began time.Time
	// wake asks for a State, and hurry for one without the pause before it; came
	// says that packets do.
	wake, hurry, came chan struct{}
	// taken says that what changed was taken; nil if the source does not wait.
	taken chan struct{}
	maker maker

	live *decode.Live
	ways encapsulations

	// now is for the goroutine that reads packets.
	now clock

	// mu is over what the goroutine that reads packets shares with the one that
	// makes States. Neither holds it for long.
	mu     sync.Mutex
	links  *link.Decoder
	crew   crew
	intake intake
	// dirty says that there were packets since the last State was begun, seen that
	// there were some since they were looked at, and pressed that the decoder waits
	// for a State.
	dirty, seen, pressed bool

	keys sync.Mutex // over Options.Keys
	// log is the key log as of when it was asked for last, and ask has who reads
	// packets ask again: key logs may come from there.
	log atomic.Pointer[secrets.Log]
	ask atomic.Bool

	// view is over what everybody may ask for.
	view    sync.Mutex
	state   *State
	changed chan struct{}
	// waiting says that somebody waits for the next State.
	waiting bool
	policy  policyInForce
}

// intake is what came in, beside what the decoders know.
type intake struct {
	inputs []capture.Input
	// stale asks for new inputs: only who reads from a source may ask for them,
	// unless it is a live one.
	stale          bool
	packets, bytes uint64
	first, last    int64     // the earliest and the latest time of packets
	newest         int64     // the time of the last packet
	lastAt         time.Time // when the last packet came, by this host's clock
}

type policyInForce struct {
	verify.Options
	// changed is set until a State was made by it; err is why another one was
	// refused, and told whether that was said.
	changed bool
	err     error
	told    bool
}

// A wire is a source that captures live: it can be asked at any time.
type wire interface {
	Interfaces() []live.InterfaceState
}

// A noticer tells when its interfaces change.
type noticer interface {
	Noticed() <-chan struct{}
}

// New returns an Engine that has seen nothing yet. It asks for the kernel's
// sockets, as the processes behind them may be out of sight once the process has
// given up its rights.
func New(src Source, o Options) *Engine {
	e := &Engine{src: src, o: o, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), came: make(chan struct{}, 1), changed: make(chan struct{}), links: link.NewDecoder(o.Links)}
	if _, ok := src.(wire); !ok {
		e.taken = make(chan struct{}, 1)
	}
	e.began = time.Now()
	e.policy.Options = o.Verify
	e.o.Decode.MaxMemory = cmp.Or(o.Decode.MaxMemory, o.MaxMemory)
	if o.Keys != nil {
		e.o.Decode.Secrets = e.keyLog
	}
	e.live = decode.NewLive(e.o.Decode, e.ways.of)
	e.crew.live, e.crew.tap = e.live, o.Tap
	e.intake.inputs = src.Inputs()
	e.maker = newMaker(e)
	e.maker.kernel.look(e.began, 0)
	e.state = e.maker.empty()
	return e
}

// keyLog returns the key log as it is by now.
func (e *Engine) keyLog() *secrets.Log {
	e.keys.Lock()
	defer e.keys.Unlock()
	log := e.o.Keys()
	e.log.Store(log)
	return log
}

// seconds is the clock of connections. It does not follow the host's when that
// is set.
func (e *Engine) seconds() uint32 { return uint32(time.Since(e.began)/time.Second) + 1 }

// Run reads packets until the source ends, or ctx does: then it stops the source.
// It returns the final State; and the error of a capture that failed.
func (e *Engine) Run(ctx context.Context) (*State, error) {
	stop := context.AfterFunc(ctx, e.src.Stop)
	defer stop()
	ended := make(chan error, 1)
	if e.divides() {
		e.crew.start(e.o.MaxMemory)
	}
	e.maker.start()
	go func() { ended <- capture.Guard(e.read) }()
	err := e.follow(ended)
	e.maker.round(true)
	return e.State(), err
}

// divides reports whether several goroutines may decode. It matters what was read
// of key logs when; and a source that waits where there is no room must not run
// ahead.
func (e *Engine) divides() bool {
	return (e.taken == nil || e.o.Decode.MaxMemory == 0) && (e.o.Keys == nil || e.keyLog() == nil)
}

// read takes packets until there are no more.
func (e *Engine) read() error {
	defer e.crew.stop(&e.mu)
	var p capture.Packet
	var s link.Segment
	for {
		err := e.src.Next(&p)
		if failed := e.crew.err(); failed != nil {
			return failed
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.o.Keys != nil && e.src.HasSecrets() {
			e.crew.stop(&e.mu)
		}
		e.crew.room()
		e.packet(&p, &s)
	}
}

// packet takes a packet. s is room for its segment.
func (e *Engine) packet(p *capture.Packet, s *link.Segment) {
	at := e.now.of(p)
	if e.ask.Load() {
		e.ask.Store(false)
		e.keyLog()
	}
	number := uint64(0)
	e.mu.Lock()
	e.live.Advance(uint32(at.Sub(e.began)/time.Second) + 1)
	shared := e.crew.filling != nil
	switch {
	case shared:
		e.crew.take(p, e.links, &e.ways)
	case e.links.Decode(p, s):
		e.ways.note(s, e.links)
		number = e.live.Segment(s)
	}
	e.intake.count(p, at)
	if e.intake.stale {
		e.intake.inputs, e.intake.stale = e.src.Inputs(), false
	}
	first, pressed := !e.seen, !e.pressed && e.live.Pressed()
	e.dirty, e.seen, e.pressed = true, true, e.pressed || pressed
	full := e.taken != nil && e.live.Full()
	e.mu.Unlock()
	if first {
		signal(e.came)
	}
	if !shared && e.o.Tap != nil {
		e.o.Tap.Packet(p, number)
	}
	if pressed {
		signal(e.hurry)
	}
	if full {
		<-e.taken
	}
}

// A clock tells this host's time when packets come. Of those that were captured
// within a millisecond it asks only once, which takes as long as to find a segment.
type clock struct {
	at     time.Time
	packet int64 // the time of the packet for which it asked
}

func (c *clock) of(p *capture.Packet) time.Time {
	if after := time.Duration(p.Time - c.packet); after <= 0 || after > time.Millisecond {
		c.at, c.packet = time.Now(), p.Time
	}
	return c.at
}

// flush has decoded what came so far.
func (e *Engine) flush() {
	e.mu.Lock()
	e.crew.push()
	e.mu.Unlock()
	e.crew.wait()
}

// encapsulations are those of [link.Decoder.Encapsulation], for whoever asks.
type encapsulations struct {
	mu    sync.Mutex
	texts [][]string
}

// note learns how a segment travelled.
func (w *encapsulations) note(s *link.Segment, links *link.Decoder) {
	if s.Encapsulation == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := len(w.texts); n <= int(s.Encapsulation); n++ {
		w.texts = append(w.texts, slices.Clone(links.Encapsulation(uint16(n))))
	}
}

func (w *encapsulations) of(n uint16) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.texts[n]
}

func (i *intake) count(p *capture.Packet, at time.Time) {
	if i.packets == 0 {
		i.first, i.last = p.Time, p.Time
	}
	i.packets++
	i.bytes += uint64(len(p.Data))
	i.first, i.last = min(i.first, p.Time), max(i.last, p.Time)
	i.newest, i.lastAt = p.Time, at
}

// rouse asks for a State.
func (e *Engine) rouse() { signal(e.wake) }

// signal notes that something is asked for.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// newest returns the inputs as of now. With final, nobody reads any more.
func (e *Engine) newest(final bool) []capture.Input {
	if _, ok := e.src.(wire); ok || final {
		return e.src.Inputs()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := append([]capture.Input(nil), e.intake.inputs...)
	if len(out) == 1 && e.intake.packets > 0 {
		in := &out[0]
		in.Packets, in.Bytes, in.First, in.Last, in.Timed = e.intake.packets, e.intake.bytes, e.intake.first, e.intake.last, true
	}
	e.intake.stale = true
	return out
}

// omitted returns what was left out so far.
func (e *Engine) omitted(inputs int) ([]omission.Packets, decode.LeftOut) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return omission.Of(e.links, inputs), e.live.LeftOut()
}

// publish makes a State the newest one.
func (e *Engine) publish(s *State) {
	e.view.Lock()
	defer e.view.Unlock()
	e.state = s
	close(e.changed)
	e.changed, e.waiting = make(chan struct{}), false
}

// State returns the newest State. Before the first packet its document is empty.
func (e *Engine) State() *State {
	e.view.Lock()
	defer e.view.Unlock()
	return e.state
}

// Changed returns a channel that is closed when there is a newer State than that
// of the last call of [Engine.State]. While somebody waits for one, it is also made
// soon when nothing but counters changed.
func (e *Engine) Changed() <-chan struct{} {
	e.view.Lock()
	defer e.view.Unlock()
	if !e.waiting {
		e.waiting = true
		e.mu.Lock()
		dirty := e.dirty
		e.mu.Unlock()
		if dirty {
			signal(e.came)
		}
	}
	return e.changed
}

// awaited reports whether somebody waits for the next State.
func (e *Engine) awaited() bool {
	e.view.Lock()
	defer e.view.Unlock()
	return e.waiting
}

// SetPolicy has everything judged by another policy from now on.
func (e *Engine) SetPolicy(o verify.Options) {
	e.view.Lock()
	e.policy = policyInForce{Options: o, changed: true}
	e.view.Unlock()
	e.rouse()
}

// RefusePolicy tells that a policy was not taken, and why.
func (e *Engine) RefusePolicy(err error) {
	e.view.Lock()
	e.policy.err, e.policy.told = err, false
	e.view.Unlock()
	e.rouse()
}

// Tell has told what [Options.Event] did not take.
func (e *Engine) Tell() { e.rouse() }

// judgeBy returns the policy in force, and what is to be said of it, once.
func (e *Engine) judgeBy() policyInForce {
	e.view.Lock()
	defer e.view.Unlock()
	p := e.policy
	e.policy.changed, e.policy.told = false, true
	return p
}
