package watch

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"distproof/decode"
)

// A node that tries again and again to connect, and is refused, is told when it
// begins, and from then on once a minute; another reason, another verdict and another
// node's attempts at once.
func TestRepeats(t *testing.T) {
	refused, other := crowdOf(t, "empty_rejected_tls13", portOf(t, "empty_rejected_tls13")), crowdOf(t, "other_ca_rejected_tls12", portOf(t, "other_ca_rejected_tls12"))
	mutual := crowdOf(t, "mutual_tls13", 42617)
	const same = 31337
	for _, c := range []*crowd{refused, other, mutual} {
		c.listenOn(same)
	}
	const elsewhere = 50_000 // another address
	perform(t, Options{Decode: decode.Options{Ports: []uint16{same}}}, func(p *play) {
		attempts := 0
		try := func(c *crowd, for_ time.Duration) {
			for until := time.Now().Add(for_); time.Now().Before(until); attempts++ {
				for i := range c.steps {
					p.packets <- c.packet(i, attempts, time.Now(), nil)
				}
				time.Sleep(5 * time.Second)
			}
		}
		try(refused, 5*time.Second)
		p.wants("the first", "started", "opened c1", "closed c1", "finding DP112")
		time.Sleep(2 * time.Second) // no attempt at the very end of a minute
		try(refused, 50*time.Second)
		p.wants("further ones", "finding DP301")
		try(refused, 10*time.Second)
		p.mu.Lock()
		e := p.events[0]
		p.mu.Unlock()
		p.wants("after a minute", "repeated c12")
		if e.Repeated != 11 || !strings.Contains(e.Message, "the last of 11 attempts within 60 s that came to nothing as c1 did: refused: ") {
			t.Errorf("%d: %s", e.Repeated, e.Message)
		}
		for i := range refused.steps {
			p.packets <- refused.packet(i, attempts, time.Now(), nil)
			time.Sleep(300 * time.Millisecond)
			p.wants("under way")
		}
		attempts++
		try(refused, 5*time.Second)
		p.wants("and on")
		try(other, 5*time.Second)
		p.wants("for another reason", "opened c16", "closed c16", "finding DP112")
		for i := range refused.steps {
			p.packets <- refused.packet(i, elsewhere, time.Now(), nil)
		}
		time.Sleep(time.Second)
		p.wants("another node", "opened c17", "closed c17", "finding DP112")
		try(mutual, 5*time.Second)
		p.wants("it comes up", "opened c18", "closed c18", "resolved DP301")
		time.Sleep(2 * repeatsAfter)
		p.wants("what was not told yet", "repeated c15")
		p.made()
		time.Sleep(time.Hour)
		if n := p.made(); n > 1 {
			t.Errorf("%d States in an hour in which nothing happened", n)
		}
		try(refused, 15*time.Second)
		p.wants("again", "opened c19", "closed c19", "finding DP112")
		p.end()
		p.wants("the end", "repeated c21", "stopped")
	})
}

// Every attempt is told, or counted, also where the output takes nothing for a while.
func TestRepeatsAreCounted(t *testing.T) {
	port := portOf(t, "empty_rejected_tls13")
	refused := crowdOf(t, "empty_rejected_tls13", port)
	perform(t, Options{Decode: decode.Options{Ports: []uint16{port}}}, func(p *play) {
		const attempts = 100
		var all []Event
		for k := range attempts {
			if k%30 == 0 {
				full := k%60 == 0
				synctest.Wait()
				p.mu.Lock()
				p.room = func(*Event) bool { return !full }
				p.mu.Unlock()
				p.Tell()
			}
			for i := range refused.steps {
				p.packets <- refused.packet(i, k, time.Now(), nil)
			}
			time.Sleep(3 * time.Second)
		}
		p.end()
		all = p.events
		told := uint64(0)
		for _, e := range all {
			switch e.Event {
			case EventOpened:
				told++
			case EventRepeated:
				told += e.Repeated
			case EventOmitted:
				t.Error(e.Message)
			}
		}
		if told != attempts || len(all) > 20 {
			t.Errorf("%d attempts told with %d events", told, len(all))
		}
	})
}

// What a handshake under way comes to is waited for where the one before failed.
func TestRepeatsTakeTheirTime(t *testing.T) {
	port := portOf(t, "empty_rejected_tls13")
	refused := crowdOf(t, "empty_rejected_tls13", port)
	perform(t, Options{Decode: decode.Options{Ports: []uint16{port}}}, func(p *play) {
		half := len(refused.steps) / 2
		for k := range 5 {
			p.sends(refused.part(0, half), k)
			time.Sleep(6 * time.Second)
			p.sends(refused.part(half, len(refused.steps)), k)
			time.Sleep(time.Second)
		}
		got := p.told()
		if n := slices.Index(got, "closed c1"); n < 0 || slices.ContainsFunc(got[n+1:], func(s string) bool { return strings.Contains(s, "c2") || strings.Contains(s, "c5") }) {
			t.Errorf("told %q", got)
		}
	})
}
