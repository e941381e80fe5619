package watch

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"distproof/decode"
)

// What was not taken is told later, as it is then, and once.
func TestToldLater(t *testing.T) {
	mutual, plain := crowdOf(t, "mutual_tls13", 42617), crowdOf(t, "plain", portOf(t, "plain")).open()
	up := len(mutual.open().steps)
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		p.takes(func(*Event) bool { return false })
		p.sends(mutual.part(0, up), 1)
		p.sends(plain, 50_000)
		p.sends(mutual.part(up, len(mutual.steps)), 1)
		p.sends(mutual.part(0, up), 2)
		p.RefusePolicy(errors.New("line 1"))
		time.Sleep(90 * time.Second) // they fall silent
		p.made()
		time.Sleep(time.Hour)
		if n := p.made(); n > 1 {
			t.Errorf("%d States in an hour in which nothing happened but that a connection was given up", n)
		}
		p.wants("while nothing is taken")
		p.takes(nil)
		p.Tell()
		time.Sleep(time.Second)
		p.wants("at once", "policy", "opened c1", "closed c1", "opened c2", "stalled c2", "opened c3", "stalled c3", "finding DP101", "finding DP207", "finding DP205")
		time.Sleep(time.Hour)
		p.wants("afterwards")
	})
}

// What matters is told even if there is no room for more, and of a connection
// nothing before it was opened.
func TestToldFirst(t *testing.T) {
	mutual, plain := crowdOf(t, "mutual_tls13", 42617), crowdOf(t, "plain", portOf(t, "plain"))
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		p.told()
		room := 3
		p.takes(func(e *Event) bool {
			if e.Event == EventClosed {
				return true // as if there were room again
			}
			room--
			return e.Matters() || room >= 0
		})
		p.sends(plain, 50_000)
		time.Sleep(time.Second)
		p.sends(mutual, 1)
		time.Sleep(time.Second)
		got := p.told()
		for _, want := range []string{"finding DP101", "opened c1"} {
			if !slices.Contains(got, want) {
				t.Errorf("not told: %s", want)
			}
		}
		if slices.Contains(got, "opened c2") || slices.Contains(got, "closed c2") {
			t.Errorf("told %q", got)
		}
		p.takes(nil)
		p.Tell()
		time.Sleep(time.Second)
		p.wants("then", "opened c2", "closed c2")
	})
}

// Connections that came and went while nothing was taken are counted: those and
// the ones that were told are all.
func TestOmitted(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617)
	perform(t, Options{Decode: decode.Options{Ports: []uint16{42617}, MaxMemory: 1 << 30}, MaxMemory: 1 << 20}, func(p *play) { // 64 connections that are over
		p.takes(func(*Event) bool { return false })
		const connections = 300
		for k := range connections {
			for i := range mutual.steps {
				p.packets <- mutual.packet(i, k, time.Now(), nil)
			}
			time.Sleep(10 * time.Second)
		}
		p.takes(nil)
		p.Tell()
		time.Sleep(3 * time.Minute)
		opened, closed, omitted := uint64(0), uint64(0), uint64(0)
		for _, e := range p.events {
			switch e.Event {
			case EventOpened:
				opened++
			case EventClosed:
				closed++
			case EventOmitted:
				omitted += e.Omitted
			}
		}
		if omitted == 0 || opened+omitted != connections || closed != opened {
			t.Errorf("%d were opened and %d closed, of %d something was not told", opened, closed, omitted)
		}
	})
}

// takes says which events are taken from now on; nil: all.
func (p *play) takes(room func(*Event) bool) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = room
	p.events = nil
}
