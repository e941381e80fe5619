package decode

import "distproof/capture/link"

// BatchSegments is the room of a [Batch].
const BatchSegments = loadSegments

// A Batch has segments that wait to be taken by a [Live] decoder, in the order of
// the capture. Between all workers' Take and [Live.Number] it must not be changed.
type Batch struct {
	segments [BatchSegments]link.Segment
	conns    [BatchSegments]*conn
	lists    lists
	n        int
	// first is the number of the first segment in the capture, and clock as of
	// when they came.
	first uint64
	clock uint32
}

// Next returns the segment for the caller to fill that Add then adds. There must
// be room for it.
func (b *Batch) Next() *link.Segment { return &b.segments[b.n] }

// Add adds the segment that Next returned, whose payload must stay valid, and
// returns its index.
func (b *Batch) Add() int {
	b.lists.add(&b.segments[b.n], b.n)
	b.n++
	return b.n - 1
}

// Len returns how many segments there are.
func (b *Batch) Len() int { return b.n }

// Reset makes room again.
func (b *Batch) Reset() {
	clear(b.conns[:b.n])
	b.lists.clear()
	b.n = 0
}

// Begin notes that b is the next batch to be taken. It is called for one batch
// after the other, before Take.
func (l *Live) Begin(b *Batch) {
	b.first, b.clock = l.d.segments, l.clock.Load()
	l.d.segments += uint64(b.n)
}

// Take takes the segments of every workers-th part, from the worker-th on. Each of
// the workers may do so in a goroutine of its own, in the order of the batches.
// With hurried, more are waiting: what can be done later is.
func (l *Live) Take(b *Batch, worker, workers int, hurried bool) {
	for i := worker; i < shards; i += workers {
		l.takePart(b, i, hurried)
	}
}

func (l *Live) takePart(b *Batch, i int, hurried bool) {
	p := &l.parts[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &l.d.shards[i]
	if d.hurried = hurried; !hurried {
		d.resume()
	}
	var ahead lookahead
	ahead.begin(d, i, b.segments[:], &b.lists)
	for n := b.lists.first[i]; n != 0; n = b.lists.next[n-1] {
		ahead.step()
		at := n - 1
		b.conns[at] = l.take(i, &b.segments[at], b.first+uint64(at), b.clock)
	}
}

// Number gives the connections that are new in b their numbers, once all workers
// have taken it. It is called for one batch after the other.
func (l *Live) Number(b *Batch) {
	for at, c := range b.conns[:b.n] {
		if c != nil && c.tracked.number == 0 {
			p := &l.parts[shardOf(&b.segments[at])]
			p.mu.Lock()
			l.number(c)
			p.mu.Unlock()
		}
	}
}

// ConnectionOf returns the number of the connection of a segment, by its index; 0
// if it was left out. It is valid after Number.
func (b *Batch) ConnectionOf(i int) uint64 {
	if c := b.conns[i]; c != nil {
		return c.tracked.number
	}
	return 0
}
