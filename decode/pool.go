package decode

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"distproof/capture"
	"distproof/capture/link"
)

const (
	// waiting is how many batches there are beside those that are read ahead.
	waiting = 3
	// In a hurry, mostBatches may wait, with about batchCost bytes each: what comes
	// before it is decoded, when all nodes of a cluster connect again. Of a given
	// memory they may take a sixteenth.
	mostBatches, leastBatches = 64, 4
	batchCost                 = 1 << 20
	// waves is more than there are batches.
	waves = 2 * mostBatches
	// finished is what a wave is at when its batch is done.
	finished = shards + 1
	// patience is how often a worker lets others go first before it sleeps.
	patience = 20
	// A worker that sleeps for less than idle times as long as it works has little
	// time to spare; it has some again when it was not so for rest. What takes few
	// segments does not tell how long work takes.
	idle = 4
	rest = 100 * time.Millisecond
	few  = 64
)

// Waiting returns how many batches may wait in a hurry, if so much memory is to be
// used; 0 is as much as it takes.
func Waiting(memory int64) int {
	if memory == 0 {
		return mostBatches
	}
	return min(mostBatches, max(leastBatches, int(memory/16/batchCost)))
}

// A Pool has several goroutines decode for a [Decoder], or a [Live] one. The facts
// are the same as if one did: the connections are in parts, the shards, and each
// shard gets its segments in the order of the capture. A batch is decoded by one
// worker, shard by shard, each as soon as the batch before is done with that shard:
// the workers follow one another through the shards. If possible, it is decoded by
// the worker that read it, whose processor has it in its cache.
type Pool struct {
	d    *Decoder
	live *Live // nil unless it is for a Live decoder
	// hurry says that what can be done later is while more is waiting, and hurried is
	// when a worker had little time to spare last, since the Pool began.
	hurry   bool
	began   time.Time
	hurried atomic.Int64
	running sync.WaitGroup
	over    bool
	// single is the segment at hand where all is decoded by the caller.
	single link.Segment

	// The batches that Take fills. more is how many may still be made.
	free    chan *Batch
	more    int
	filling *Batch

	// mu protects what workers are to do; changed says that there is something new.
	mu      sync.Mutex
	changed sync.Cond
	// ready are batches to be decoded, and begun in this order; unread those to be
	// filled.
	ready, unread []*Batch
	handed        uint64
	closed        bool
	err           error
	failed        atomic.Bool

	// waves has how far the latest batches are, by their sequence numbers.
	waves [waves]wave
	// asleep are those that sleep until one of the waves is further.
	asleep atomic.Int32
	moved  sync.Cond
}

// A wave is the number of shards that a batch and all before it are done with. It
// has a line of the processors' caches for itself.
type wave struct {
	done atomic.Int32
	_    [60]byte
}

// Work starts n goroutines that decode the segments given to the Pool, no more
// than there are shards. With none, for key logs, of which it matters when they are
// read, and with one, unless in a hurry, all is decoded by the caller. [Pool.Wait]
// must be called before [Decoder.Finish], and before the packets' source is closed.
func (d *Decoder) Work(n int) *Pool {
	p := &Pool{d: d, hurry: d.options.Hurry}
	if n < 1 || n == 1 && !p.hurry {
		p.over = true
		return p
	}
	least := aheadOf(min(n, shards)) + waiting
	most := least
	if p.hurry {
		most = max(least, Waiting(d.options.MaxMemory))
	}
	p.free, p.more = make(chan *Batch, most), most-least
	for range least {
		p.free <- p.newBatch()
	}
	p.filling = p.room()
	p.start(n)
	return p
}

// Work starts n goroutines that decode the batches given to Hand, no more than there
// are parts. Until [Pool.Wait] has returned, the key log is not asked for: it matters
// what is read of it when, so that only one goroutine may decode with it.
func (l *Live) Work(n int) *Pool {
	p := &Pool{d: l.d, live: l, hurry: true}
	p.start(n)
	return p
}

// start starts n goroutines.
func (p *Pool) start(n int) {
	p.began = time.Now()
	p.changed.L, p.moved.L = &p.mu, &p.mu
	p.waves[waves-1].done.Store(finished)
	for i := range p.d.shards {
		p.d.shards[i].withoutSecrets = true
	}
	for i := range min(n, shards) {
		p.running.Go(func() { p.work(i) })
	}
}

func (p *Pool) newBatch() (b *Batch) {
	b = NewBatch(func() { b.Reset(); p.free <- b })
	b.filled = make(chan error, 1)
	return b
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
	if b.n < BatchSegments && b.span < batchSpan && len(b.copied) < batchBytes/2 {
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

// Err returns why the work failed, if it did: then batches are only taken.
func (p *Pool) Err() error {
	if !p.failed.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// flush hands over what was taken, and goes on with the next batch.
func (p *Pool) flush() {
	if p.filling.n > 0 {
		p.Hand(p.filling)
		p.filling = p.room()
	}
}

// room returns a batch to be filled, once there is one.
func (p *Pool) room() *Batch {
	if len(p.free) == 0 && p.more > 0 {
		p.more--
		return p.newBatch()
	}
	return <-p.free
}

// Hand has b decoded behind all that was handed over before. There may be up to
// [Waiting] batches that are not done.
func (p *Pool) Hand(b *Batch) {
	p.d.begin(b, p.live)
	p.mu.Lock()
	defer p.mu.Unlock()
	b.sequence = p.handed
	p.handed++
	p.waves[b.sequence%waves].done.Store(0)
	p.ready = append(p.ready, b)
	p.changed.Broadcast()
}

// read has b filled by a worker, which says so on b.filled.
func (p *Pool) read(b *Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread = append(p.unread, b)
	p.changed.Broadcast()
}

// Wait ends the work of the goroutines: what comes after it is decoded by the
// caller.
func (p *Pool) Wait() error {
	if !p.over {
		if p.over = true; p.filling != nil {
			p.flush()
		}
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
	var ended time.Time
	var took time.Duration
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
			began := time.Now()
			if b.hurried = p.hurry && (b.hurried || began.Sub(ended) < idle*took); b.hurried {
				p.hurried.Store(int64(began.Sub(p.began)))
			}
			n := b.n
			p.complete(b)
			if ended = time.Now(); n > few {
				took = ended.Sub(began)
			}
		}
	}
}

// complete decodes b, and is done with it once all before it is.
func (p *Pool) complete(b *Batch) {
	sequence := b.sequence
	if err := capture.Guard(func() error { return p.decode(b) }); err != nil {
		p.fail(err)
	}
	p.await(sequence-1, finished)
	if p.live != nil && !p.failed.Load() {
		p.live.numberAll(b)
	}
	b.done()
	p.reach(sequence, finished)
}

// Busy reports whether the workers have little time to spare.
func (p *Pool) Busy() bool {
	last := p.hurried.Load()
	return last != 0 && time.Since(p.began)-time.Duration(last) < rest
}

// Idle reports whether all that was handed over is done.
func (p *Pool) Idle() bool { return int(p.waves[p.latest()%waves].done.Load()) == finished }

// CatchUp waits until all is done that was handed over so far.
func (p *Pool) CatchUp() { p.await(p.latest(), finished) }

// latest returns the sequence number of the batch that was handed over last.
func (p *Pool) latest() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handed - 1
}

// task waits for the next batch that the worker is to decode, or to read; nil if
// there will be no more. Batches are begun in their order, so that the first of
// those at work never waits.
func (p *Pool) task(worker int) (b *Batch, read bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(p.ready) > 0 && (len(p.unread) == 0 || p.ready[0].reader == worker):
			b, p.ready = pop(p.ready)
			b.hurried = len(p.ready) > 0
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
func pop(list []*Batch) (*Batch, []*Batch) {
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

func (p *Pool) decode(b *Batch) error {
	if p.failed.Load() {
		return nil
	}
	b.sort()
	for shard, i := range b.first {
		if i == 0 && p.live == nil {
			continue
		}
		p.await(b.sequence-1, shard+1)
		p.reach(b.sequence, shard)
		p.d.take(b, shard, p.live)
		p.reach(b.sequence, shard+1)
	}
	return nil
}

// await waits until a batch and all before it are done with n shards.
func (p *Pool) await(sequence uint64, n int) {
	done := &p.waves[sequence%waves].done
	for range patience {
		if int(done.Load()) >= n {
			return
		}
		runtime.Gosched()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asleep.Add(1)
	defer p.asleep.Add(-1)
	for int(done.Load()) < n {
		p.moved.Wait()
	}
}

// reach says that a batch and all before it are done with n shards.
func (p *Pool) reach(sequence uint64, n int) {
	p.waves[sequence%waves].done.Store(int32(n))
	if p.asleep.Load() > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.moved.Broadcast()
	}
}

// begin notes that b is the next batch to be taken.
func (d *Decoder) begin(b *Batch, l *Live) {
	b.number = d.segments
	d.segments += uint64(b.n)
	if l != nil {
		b.clock = l.clock.Load()
		if b.conns == nil {
			b.conns = make([]*conn, BatchSegments)
		}
	}
}

// take takes the segments of a shard, for l unless that is nil.
func (d *Decoder) take(b *Batch, shard int, l *Live) {
	if l != nil {
		part := &l.parts[shard]
		part.mu.Lock()
		defer part.mu.Unlock()
	}
	s := &d.shards[shard]
	s.hurry(b.hurried)
	var ahead lookahead
	ahead.begin(s, shard, b.segments[:], &b.lists)
	for i := b.first[shard]; i != 0; i = b.next[i-1] {
		ahead.step()
		x, order := &b.segments[i-1], b.number+uint64(i-1)
		if l != nil {
			b.conns[i-1] = l.take(shard, x, order, b.clock)
		} else {
			s.segment(x, order)
		}
	}
}
