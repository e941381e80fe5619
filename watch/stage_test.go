package watch

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"distproof/capture"
	"distproof/capture/live"
	"distproof/decode"
	"distproof/report"
)

// A stage is a live source in a test, whose time is the test's.
type stage struct {
	packets chan capture.Packet
	stop    chan struct{}
	once    sync.Once

	mu         sync.Mutex
	dropped    uint64
	damage     *capture.Damage
	interfaces []live.InterfaceState
	noticed    chan struct{}
}

func newStage() *stage {
	return &stage{packets: make(chan capture.Packet), noticed: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (s *stage) Next(p *capture.Packet) error {
	select {
	case *p = <-s.packets:
		return nil
	case <-s.stop:
		return io.EOF
	}
}

func (s *stage) Inputs() []capture.Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []capture.Input{{Path: "test", Format: "live", Dropped: s.dropped, Damage: s.damage}}
}

func (s *stage) Interfaces() []live.InterfaceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.interfaces)
}
func (s *stage) Noticed() <-chan struct{} { return s.noticed }

func (s *stage) HasSecrets() bool { return false }
func (s *stage) Close() error     { return nil }
func (s *stage) Stop()            { s.once.Do(func() { close(s.stop) }) }

// A play is an Engine at work on a stage.
type play struct {
	*Engine
	*stage
	t      *testing.T
	mu     sync.Mutex
	events []Event
	room   func(*Event) bool // whether an event is taken; nil: all are
	slow   time.Duration     // how long a State takes
	states int
	end    func() *State
}

// perform runs f with an Engine whose time is that of the test.
func perform(t *testing.T, o Options, f func(*play)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &play{stage: newStage(), t: t}
		o.Decode.AnyChecksum = true
		o.Event = func(e Event, last bool) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.room != nil && !p.room(&e) && !last {
				return false
			}
			p.events = append(p.events, e)
			return true
		}
		o.Tap = p
		p.Engine = New(p.stage, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan *State)
		go func() {
			s, err := p.Run(ctx)
			if err != nil {
				t.Error(err)
			}
			ended <- s
		}()
		var final *State
		p.end = func() *State {
			if final == nil {
				cancel()
				final = <-ended
			}
			return final
		}
		f(p)
		p.end()
	})
}

// slows makes every State take so long.
func (p *play) slows(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = by
}

// Packet and State make a play a Tap.
func (p *play) Packet(*capture.Packet, uint64) {}
func (p *play) State(s *State) {
	p.mu.Lock()
	slow := p.slow
	p.mu.Unlock()
	time.Sleep(slow)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states++
	if len(s.Activity) != len(s.Document.Connections) {
		p.t.Errorf("%d activities of %d connections", len(s.Activity), len(s.Document.Connections))
	}
}

func (p *play) now() *State { return p.Engine.State() }

// told returns what was told since, and forgets it.
func (p *play) told() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.events {
		text := e.Event
		if e.Connection != nil {
			text += " " + e.Connection.ID
		}
		if e.Finding != nil {
			text += " " + e.Finding.Rule
		}
		out = append(out, text)
	}
	p.events = nil
	return out
}

// wants fails if other things were told.
func (p *play) wants(what string, want ...string) {
	p.t.Helper()
	if got := p.told(); !slices.Equal(got, want) {
		p.t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

// made returns how many States were made since.
func (p *play) made() int {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.states
	p.states = 0
	return n
}

// sends has copies of the crowd send their steps, at their times.
func (p *play) sends(c *crowd, copies ...int) {
	began := time.Now()
	for i := range c.steps {
		time.Sleep(time.Until(began.Add(c.steps[i].after)))
		for _, k := range copies {
			p.packets <- c.packet(i, k, time.Now(), nil)
		}
	}
}

func ports(p ...uint16) decode.Options { return decode.Options{Ports: p} }

// verdictOf returns the verdict of a connection; "" if it has none.
func verdictOf(c *report.Connection) string {
	if c.Verdict == nil {
		return ""
	}
	return *c.Verdict
}

// portOf returns the port of the nodes in a capture: that of the first connection
// between nodes.
func portOf(tb testing.TB, name string) uint16 {
	tb.Helper()
	src, err := capture.Open([]string{"../pcaps/" + name + ".pcap"}, capture.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	e := New(&replay{Source: src}, Options{})
	s, err := e.Run(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range s.Document.Connections {
		if c.Verdict != nil {
			return c.Server.Port
		}
	}
	tb.Fatal("no connection between nodes")
	return 0
}

// A replay is a capture as a Source.
type replay struct{ capture.Source }

func (*replay) Stop() {}
