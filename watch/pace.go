package watch

import "time"

// When States are made.
const (
	// settle is how long the first change after a while waits for others.
	settle = 100 * time.Millisecond
	// interval is the least time between two States. It is longer if making one
	// takes more than a part of it, which is 1/share; but on a machine on which
	// others keep that from going on, it is not left for longer than longest.
	interval = 500 * time.Millisecond
	share    = 5
	longest  = 10 * time.Second
	// seldom is the least time between two States if nothing but counters changed.
	// It is longer, up to seldomest, if making one takes more than a part of it, which
	// is 1/seldomShare.
	seldom      = 5 * time.Second
	seldomest   = 30 * time.Second
	seldomShare = 50
	// patient is for how long a State waits while packets do.
	patient = 5 * time.Second
)

// A pace says when States are made.
type pace struct {
	// at is when the next one is, unless something comes before. It is at news at
	// the earliest, or at counters if nothing but these changed.
	at, news, counters time.Time
}

// made sets the pace after a State, which took so long. due is for how long nothing
// but time can change anything.
func (p *pace) made(began time.Time, took, due time.Duration) {
	p.news = began.Add(max(interval, min(share*took, took+longest)))
	p.counters = began.Add(min(max(seldom, seldomShare*took), seldomest))
	p.counters = later(p.counters, p.news)
	p.at = later(time.Now().Add(due), p.news)
}

// before has the next State made at t, if it would be later.
func (p *pace) before(t time.Time) {
	if t.Before(p.at) {
		p.at = t
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// follow makes States until the capture has ended.
func (e *Engine) follow(ended <-chan error) error {
	var noticed <-chan struct{}
	if n, ok := e.src.(noticer); ok {
		noticed = n.Noticed()
	}
	var p pace // at once
	timer := time.NewTimer(0)
	defer timer.Stop()
	looking := false // at what came, when the timer fires
	for {
		select {
		case err := <-ended:
			return err
		case <-noticed:
		case <-e.hurry:
		case <-e.wake:
			p.before(later(time.Now().Add(settle), p.news))
			timer.Reset(time.Until(p.at))
			continue
		case <-e.came:
			looking = true
			timer.Reset(min(settle, time.Until(p.at)))
			continue
		case <-timer.C:
			if looking && time.Until(p.at) > 0 {
				looking = false
				e.look(&p)
				timer.Reset(time.Until(p.at))
				continue
			}
		}
		looking = false
		e.crew.calm(patient)
		began := time.Now()
		e.maker.round(false)
		p.made(began, time.Since(began), e.maker.due())
		timer.Reset(time.Until(p.at))
	}
}

// look finds out what came, and whether it makes a State soon.
func (e *Engine) look(p *pace) {
	e.mu.Lock()
	e.seen = false
	e.mu.Unlock()
	e.flush()
	switch {
	case !p.at.After(p.news): // there is news already
	case e.awaited() || e.live.News() || e.losses():
		p.before(p.news)
	default:
		p.before(p.counters)
	}
}

// losses reports whether the kernel lost packets since the last State.
func (e *Engine) losses() bool {
	if _, ok := e.src.(wire); !ok {
		return false
	}
	dropped := uint64(0)
	for _, in := range e.src.Inputs() {
		dropped += in.Dropped
	}
	return dropped > e.State().Dropped
}
