package decode

import (
	"bytes"
	"sync"
	"sync/atomic"

	"distproof/capture"
	"distproof/capture/link"
)

// Limits of what waits for the workers of a [Pool].
const (
	// batchSegments are handed over at once: a worker that has nothing to do
	// sleeps, and to wake it takes as long as a hundred of them.
	batchSegments = 2048
	// batchSpan is how much payload a batch may have, and batches their number: of
	// a mapped file, what lies further back than all of them is given back.
	batchSpan = 2 << 20
	batches   = 5
	// batchBytes is the room of a batch for payloads that have to be copied.
	batchBytes = 256 << 10
)

// A Pool has several goroutines decode for a [Decoder], each a part of the
// connections. The facts are the same as if one did.
type Pool struct {
	d *Decoder
	// workers have what each of the goroutines is to take: all batches.
	workers []chan *batch
	free    chan *batch
	filling *batch
	running sync.WaitGroup
	failed  atomic.Bool
	err     error
	once    sync.Once
	over    bool
	// single is the segment at hand where all is decoded by the caller.
	single link.Segment
}

// A batch has segments in the order of the capture. All workers get it, and each
// takes those of its connections.
type batch struct {
	segments [batchSegments]link.Segment
	shards   [batchSegments]uint8
	n        int
	span     int // bytes of payload
	// number is that of the first segment in the capture.
	number uint64
	copied []byte
	// readers is how many workers are not done with it.
	readers atomic.Int32
}

// Work starts n goroutines that decode the segments given to the Pool, no more
// than there are parts. With one, or with key logs, of which it matters when
// they are read, all is decoded by the caller. [Pool.Wait] must be called
// before [Decoder.Finish], and before the packets' source is closed.
func (d *Decoder) Work(n int) *Pool {
	p := &Pool{d: d}
	if n = min(n, shards); n < 2 {
		p.over = true
		return p
	}
	p.free = make(chan *batch, batches)
	for range batches {
		p.free <- new(batch)
	}
	p.filling = <-p.free
	for i := range d.shards {
		d.shards[i].withoutSecrets = true
	}
	p.workers = make([]chan *batch, n)
	for i := range p.workers {
		p.workers[i] = make(chan *batch, batches)
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
	b.shards[b.n] = uint8(shardOf(s))
	b.n++
	b.span += len(s.Payload)
	p.d.segments++
	if b.n < batchSegments && b.span < batchSpan && len(b.copied) < batchBytes/2 {
		return nil
	}
	p.hand()
	if p.failed.Load() {
		return p.Wait()
	}
	return nil
}

// keep returns a copy of payload that lives as long as the batch.
func (b *batch) keep(payload []byte) []byte {
	if b.copied == nil {
		b.copied = make([]byte, 0, batchBytes)
	}
	if len(payload) > cap(b.copied)-len(b.copied) {
		return bytes.Clone(payload)
	}
	from := len(b.copied)
	b.copied = append(b.copied, payload...)
	return b.copied[from:len(b.copied):len(b.copied)]
}

// hand hands over what was taken, and goes on with the next batch.
func (p *Pool) hand() {
	p.filling.readers.Store(int32(len(p.workers)))
	for _, w := range p.workers {
		w <- p.filling
	}
	b := <-p.free
	b.n, b.span, b.number, b.copied = 0, 0, p.d.segments, b.copied[:0]
	p.filling = b
}

// Wait ends the work of the goroutines: what comes after it is decoded by the
// caller.
func (p *Pool) Wait() error {
	if !p.over {
		p.hand()
		p.over = true
		for _, w := range p.workers {
			close(w)
		}
		p.running.Wait()
		for i := range p.d.shards {
			p.d.shards[i].withoutSecrets = false
		}
	}
	return p.err
}

// work decodes one part of all batches. After a failure it only takes them.
func (p *Pool) work(part int) {
	for b := range p.workers[part] {
		if !p.failed.Load() {
			if err := capture.Guard(func() error { return p.decode(b, part) }); err != nil {
				p.once.Do(func() { p.err = err })
				p.failed.Store(true)
			}
		}
		if b.readers.Add(-1) == 0 {
			p.free <- b
		}
	}
}

func (p *Pool) decode(b *batch, part int) error {
	for i, shard := range b.shards[:b.n] {
		if int(shard)%len(p.workers) == part {
			p.d.shards[shard].segment(&b.segments[i], b.number+uint64(i))
		}
	}
	return nil
}
