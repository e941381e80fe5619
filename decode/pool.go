package decode

import (
	"runtime"
	"sync"
	"sync/atomic"

	"distproof/capture"
	"distproof/capture/link"
)

const (
	// waiting is how many loads there are beside those that are read ahead.
	waiting = 3
	// waves is more than there are loads.
	waves = 64
	// patience is how often a worker lets others go first before it sleeps.
	patience = 20
)

// A Pool has several goroutines decode for a [Decoder]. The facts are the same as
// if one did: the connections are in parts, the shards, and each shard gets its
// segments in the order of the capture. A load is decoded by one worker, shard by
// shard, each as soon as the load before is done with that shard: the workers
// follow one another through the shards. If possible, it is decoded by the worker
// that read it, whose processor has it in its cache.
type Pool struct {
	d       *Decoder
	free    chan *load
	filling *load
	running sync.WaitGroup
	over    bool
	// single is the segment at hand where all is decoded by the caller.
	single link.Segment

	// mu protects what workers are to do; changed says that there is something new.
	mu      sync.Mutex
	changed sync.Cond
	// ready are loads to be decoded, and begun in this order; unread those to be
	// filled.
	ready, unread []*load
	handed        uint64
	closed        bool
	err           error
	failed        atomic.Bool

	// waves has how far the latest loads are, by their sequence numbers.
	waves [waves]wave
	// asleep are the workers that sleep until one of the waves is further.
	asleep atomic.Int32
	moved  sync.Cond
}

// A wave is the number of shards that a load and all before it are done with. It
// has a line of the processors' caches for itself.
type wave struct {
	done atomic.Int32
	_    [60]byte
}

// Work starts n goroutines that decode the segments given to the Pool, no more
// than there are shards. With one, or with key logs, of which it matters when
// they are read, all is decoded by the caller. [Pool.Wait] must be called
// before [Decoder.Finish], and before the packets' source is closed.
func (d *Decoder) Work(n int) *Pool {
	p := &Pool{d: d}
	if n = min(n, shards); n < 2 {
		p.over = true
		return p
	}
	p.changed.L, p.moved.L = &p.mu, &p.mu
	p.waves[waves-1].done.Store(shards)
	p.free = make(chan *load, aheadOf(n)+waiting)
	for range cap(p.free) {
		p.free <- &load{reader: -1, filled: make(chan error, 1)}
	}
	p.filling = <-p.free
	for i := range d.shards {
		d.shards[i].withoutSecrets = true
	}
	for i := range n {
		p.running.Go(func() { p.work(i) })
	}
	return p
}

// Next returns the segment that is given next to Take, for the caller to fill:
// to copy it would take longer than to hand it over.
func (p *Pool) Next() *link.Segment {
	if p.over {
		return &p.single
	}
	return &p.filling.segments[p.filling.n]
}

// Take takes the segment that Next returned. stays says that its payload is
// valid until Wait returns. It fails if the capture became shorter meanwhile.
func (p *Pool) Take(s *link.Segment, stays bool) error {
	if p.over {
		p.d.Segment(s)
		return nil
	}
	b := p.filling
	if !stays {
		s.Payload = b.keep(s.Payload)
	}
	b.n++
	b.span += len(s.Payload)
	if b.n < loadSegments && b.span < loadSpan && len(b.copied) < loadBytes/2 {
		return nil
	}
	p.flush()
	return p.failure()
}

// failure ends the work if there was one.
func (p *Pool) failure() error {
	if p.failed.Load() {
		return p.Wait()
	}
	return nil
}

// flush hands over what was taken, and goes on with the next load.
func (p *Pool) flush() {
	if p.filling.n > 0 {
		p.hand(p.filling)
		p.filling = <-p.free
	}
}

// hand has b decoded behind all that was handed over before.
func (p *Pool) hand(b *load) {
	b.number = p.d.segments
	p.d.segments += uint64(b.n)
	p.mu.Lock()
	defer p.mu.Unlock()
	b.sequence = p.handed
	p.handed++
	p.waves[b.sequence%waves].done.Store(0)
	p.ready = append(p.ready, b)
	p.changed.Broadcast()
}

// read has b filled by a worker, which says so on b.filled.
func (p *Pool) read(b *load) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread = append(p.unread, b)
	p.changed.Broadcast()
}

// Wait ends the work of the goroutines: what comes after it is decoded by the
// caller.
func (p *Pool) Wait() error {
	if !p.over {
		p.flush()
		p.over = true
		p.mu.Lock()
		p.closed, p.unread = true, nil
		p.changed.Broadcast()
		p.mu.Unlock()
		p.running.Wait()
		for i := range p.d.shards {
			p.d.shards[i].withoutSecrets = false
		}
	}
	return p.err
}

// work does what there is to do. After a failure it only takes it.
func (p *Pool) work(worker int) {
	for {
		b, read := p.task(worker)
		switch {
		case b == nil:
			return
		case read:
			b.reader = worker
			b.filled <- capture.Guard(b.read)
			runtime.Gosched() // to who waits for it
		default:
			if err := capture.Guard(func() error { return p.decode(b) }); err != nil {
				p.fail(err)
			}
			p.await(b, shards)
			p.reach(b, shards)
			b.clear()
			p.free <- b
		}
	}
}

// task waits for the next load that the worker is to decode, or to read; nil if
// there will be no more. Loads are begun in their order, so that the first of
// those at work never waits.
func (p *Pool) task(worker int) (b *load, read bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(p.ready) > 0 && (len(p.unread) == 0 || p.ready[0].reader == worker):
			b, p.ready = pop(p.ready)
			return b, false
		case len(p.unread) > 0:
			b, p.unread = pop(p.unread)
			return b, true
		case p.closed && len(p.ready) == 0:
			return nil, false
		}
		p.changed.Wait()
	}
}

// pop takes the first one of a short list, whose memory is used on.
func pop(list []*load) (*load, []*load) {
	first := list[0]
	return first, append(list[:0], list[1:]...)
}

func (p *Pool) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed.Swap(true) {
		p.err = err
	}
}

func (p *Pool) decode(b *load) error {
	if p.failed.Load() {
		return nil
	}
	b.sort()
	for shard, i := range b.first {
		if i == 0 {
			continue
		}
		p.await(b, shard+1)
		p.reach(b, shard)
		d := &p.d.shards[shard]
		var ahead lookahead
		ahead.begin(d, shard, b.segments[:], &b.lists)
		for ; i != 0; i = b.next[i-1] {
			ahead.step()
			d.segment(&b.segments[i-1], b.number+uint64(i-1))
		}
		p.reach(b, shard+1)
	}
	return nil
}

// await waits until the load before b is done with n shards.
func (p *Pool) await(b *load, n int) {
	before := &p.waves[(b.sequence-1)%waves].done
	for range patience {
		if int(before.Load()) >= n {
			return
		}
		runtime.Gosched()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asleep.Add(1)
	defer p.asleep.Add(-1)
	for int(before.Load()) < n {
		p.moved.Wait()
	}
}

// reach says that b and all loads before it are done with n shards.
func (p *Pool) reach(b *load, n int) {
	p.waves[b.sequence%waves].done.Store(int32(n))
	if p.asleep.Load() > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.moved.Broadcast()
	}
}
