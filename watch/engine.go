package watch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/capture/live"
	"distproof/decode"
	"distproof/decode/secrets"
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
	// Keys returns the key log as it is by now; nil if there is none.
	Keys func() *secrets.Log
	// Sockets returns the kernel's sockets; nil if it is not to be asked.
	Sockets func() ([]live.Socket, error)
	// Event is called for every Event, in order, from one goroutine; nil for none.
	Event func(Event)
	// Tap is shown what goes through; nil for none.
	Tap Tap
	// MaxMemory is how much memory is to be used, in bytes; 0 is as much as it takes.
	MaxMemory int64
}

// A Tap is shown what goes through an Engine.
type Tap interface {
	// Packet is shown every packet, with the number of its connection: 12 for the
	// one with the id c12, 0 if it belongs to none. It is called from the goroutine
	// that reads packets and must not wait. p.Data is valid during the call.
	Packet(p *capture.Packet, connection uint64)
	// State is shown every State after it was made, from another goroutine.
	State(*State)
}

// An Engine follows a Source. Make it with [New]; its methods may be called from
// any goroutine.
type Engine struct {
	src Source
	o   Options

	mu      sync.Mutex
	state   *State
	changed chan struct{}
}

// New returns an Engine that has seen nothing yet.
func New(src Source, o Options) *Engine {
	e := &Engine{src: src, o: o, changed: make(chan struct{})}
	now := time.Now()
	e.state = e.stateOf(&decode.Capture{}, now)
	e.state.Started = now
	return e
}

// Run reads packets until the source ends, or ctx does: then it stops the source.
// It returns the final State; and the error of a capture that failed.
func (e *Engine) Run(ctx context.Context) (*State, error) {
	stop := context.AfterFunc(ctx, e.src.Stop)
	defer stop()
	decoder, links := decode.NewDecoder(e.o.Decode), link.NewDecoder(e.o.Links)
	var p capture.Packet
	var segment link.Segment
	for {
		err := e.src.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return e.State(), err
		}
		if links.Decode(&p, &segment) {
			decoder.Segment(&segment)
		}
	}
	e.publish(e.stateOf(decoder.Finish(links.Encapsulation), time.Now()))
	return e.State(), nil
}

// stateOf makes a State of the facts.
func (e *Engine) stateOf(facts *decode.Capture, at time.Time) *State {
	inputs := e.src.Inputs()
	judgement := verify.Judge(facts, verify.Coverage{}, e.o.Verify)
	s := &State{At: at, Document: report.New(e.o.Tool, inputs, make([]map[string]uint64, len(inputs)), facts, judgement)}
	s.Activity = make([]Activity, len(facts.Connections))
	s.Policy = judgement.Policy
	return s
}

func (e *Engine) publish(s *State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Started, s.Number = e.state.Started, e.state.Number+1
	e.state = s
	close(e.changed)
	e.changed = make(chan struct{})
}

// State returns the newest State. Before the first packet its document is empty.
func (e *Engine) State() *State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

// Changed returns a channel that is closed when there is a newer State than that
// of the last call of [Engine.State].
func (e *Engine) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// SetPolicy has everything judged by another policy from now on.
func (e *Engine) SetPolicy(o verify.Options) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.o.Verify = o
}

// RefusePolicy tells that a policy was not taken, and why.
func (e *Engine) RefusePolicy(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = err
}
