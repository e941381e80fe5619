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
	// batchSegments are handed over at once, so that this costs little.
	batchSegments = 256
	// batchBytes is the room of a batch for payloads that have to be copied.
	batchBytes = 256 << 10
	// batchesEach is the number of batches per worker.
	batchesEach = 4
	// flushAfter segments all batches are handed over, full or not: what is
	// looked at much later may have to be fetched from the disk again.
	flushAfter = 4096
)

// A Pool has several goroutines decode for a [Decoder], each a part of the
// connections. The facts are the same as if one did.
type Pool struct {
	d       *Decoder
	workers []worker
	free    chan *batch
	running sync.WaitGroup
	failed  atomic.Bool
	err     error
	once    sync.Once
	waiting int
	over    bool
}

type worker struct {
	batches chan *batch
	filling *batch
}

type batch struct {
	entries []entry
	copied  []byte
}

// An entry is a segment, its shard and its number in the capture.
type entry struct {
	segment link.Segment
	number  uint64
	shard   uint8
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
	p.free = make(chan *batch, n*batchesEach)
	for range n * batchesEach {
		p.free <- &batch{entries: make([]entry, 0, batchSegments)}
	}
	p.workers = make([]worker, n)
	for i := range d.shards {
		d.shards[i].withoutSecrets = true
	}
	for i := range p.workers {
		w := &p.workers[i]
		w.batches = make(chan *batch, batchesEach)
		p.running.Go(func() { p.work(w) })
	}
	return p
}

// Segment takes the next segment. stays says that its payload is valid until
// Wait returns. It fails if the capture became shorter meanwhile.
func (p *Pool) Segment(s *link.Segment, stays bool) error {
	if p.over {
		p.d.Segment(s)
		return nil
	}
	shard := shardOf(s)
	w := &p.workers[shard%len(p.workers)]
	b := w.filling
	if b != nil && (len(b.entries) == batchSegments || !stays && len(s.Payload) > cap(b.copied)-len(b.copied)) {
		p.hand(w)
		b = nil
	}
	if b == nil {
		if p.failed.Load() {
			return p.Wait()
		}
		b = <-p.free
		b.entries, b.copied = b.entries[:0], b.copied[:0]
		w.filling = b
	}
	b.entries = append(b.entries, entry{*s, p.d.segments, uint8(shard)})
	p.d.segments++
	if !stays {
		e := &b.entries[len(b.entries)-1].segment
		e.Payload = b.keep(e.Payload)
	}
	if p.waiting++; p.waiting >= flushAfter {
		p.flush()
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

func (p *Pool) hand(w *worker) {
	w.batches <- w.filling
	w.filling = nil
}

func (p *Pool) flush() {
	for i := range p.workers {
		if w := &p.workers[i]; w.filling != nil {
			p.hand(w)
		}
	}
	p.waiting = 0
}

// Wait ends the work of the goroutines: what comes after it is decoded by the
// caller.
func (p *Pool) Wait() error {
	if !p.over {
		p.over = true
		p.flush()
		for i := range p.workers {
			close(p.workers[i].batches)
		}
		p.running.Wait()
		for i := range p.d.shards {
			p.d.shards[i].withoutSecrets = false
		}
	}
	return p.err
}

// work decodes the batches of a worker. After a failure it only takes them.
func (p *Pool) work(w *worker) {
	err := capture.Guard(func() error {
		for b := range w.batches {
			for i := range b.entries {
				e := &b.entries[i]
				p.d.shards[e.shard].segment(&e.segment, e.number)
			}
			p.free <- b
		}
		return nil
	})
	if err == nil {
		return
	}
	p.once.Do(func() { p.err = err })
	p.failed.Store(true)
	for b := range w.batches {
		p.free <- b
	}
}
