package watch

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/copies"
)

const (
	// bundleBytes is the room of a bundle for packets that have to be copied.
	bundleBytes = 512 << 10
	// mostBundles may wait, with about a megabyte each: what comes before it is
	// decoded, when all nodes of a cluster connect again. Of a given memory they may
	// take a sixteenth.
	mostBundles, leastBundles = 64, 4
	bundleCost                = 1 << 20
	// few packets are decoded by whoever finds them: to wake others takes longer.
	few = 64
	// A worker that sleeps for less than idle times as long as it works has little
	// time to spare; it has some again when it was not so for rest.
	idle = 4
	rest = 100 * time.Millisecond
	// spare is how many bundles are kept for further use.
	spare = 4
)

// A crew decodes packets in several goroutines, each of which has a part of the
// connections, so that whoever takes packets from the source only has to find
// their segments. Packets wait in bundles, until one is full, or somebody asks.
// The tap is shown them when they were decoded, in their order.
type crew struct {
	live *decode.Live
	tap  Tap
	// filling is the bundle that is not handed over yet; nil if there are no
	// workers. The owner of the crew has locked it.
	filling *bundle
	workers []chan *bundle
	// slots has something for each bundle that may still be handed over.
	slots chan struct{}
	// held says that who reads packets has taken one out.
	held    bool
	running sync.WaitGroup

	mu               sync.Mutex
	turn             sync.Cond // a bundle was finished
	handed, finished uint64
	// free are those for further use: the last one first, whose memory the processor
	// has at hand.
	free []*bundle
	// hurried is when a worker had little time to spare last.
	hurried atomic.Int64
	began   time.Time
	failed  atomic.Pointer[error]
}

// A bundle has packets that wait to be decoded.
type bundle struct {
	packets [decode.BatchSegments]capture.Packet
	// segment has the index of the segment of each packet; -1 if it has none.
	segment [decode.BatchSegments]int16
	n       int
	batch   decode.Batch
	copied  []byte
	// left is how many workers are not done with it.
	left atomic.Int32
}

// start begins the work.
func (c *crew) start(memory int64) {
	n := min(runtime.GOMAXPROCS(0), decode.Parts)
	most := mostBundles
	if memory > 0 {
		most = min(most, max(leastBundles, int(memory/16/bundleCost)))
	}
	c.turn.L, c.began = &c.mu, time.Now()
	c.slots = make(chan struct{}, most)
	for range most {
		c.slots <- struct{}{}
	}
	c.filling = new(bundle)
	c.workers = make([]chan *bundle, n)
	for i := range c.workers {
		c.workers[i] = make(chan *bundle, most)
		c.running.Go(func() { c.work(i) })
	}
}

// room waits until a bundle may be handed over. It is called by who reads packets.
func (c *crew) room() {
	if !c.held && c.workers != nil {
		<-c.slots
		c.held = true
	}
}

// take has a packet decoded that decodes to a segment, if it is one.
func (c *crew) take(p *capture.Packet, links *link.Decoder, ways *encapsulations) {
	b := c.filling
	q := &b.packets[b.n]
	*q = *p
	if !p.Stays {
		q.Data = b.keep(p.Data)
	}
	s := b.batch.Next()
	b.segment[b.n] = -1
	if links.Decode(q, s) {
		ways.note(s, links)
		if !p.Stays && !within(s.Payload, q.Data) {
			s.Payload = b.keep(s.Payload) // of fragments
		}
		b.segment[b.n] = int16(b.batch.Add())
	}
	if b.n++; b.n == len(b.packets) || len(b.copied) > bundleBytes*3/4 {
		c.hand()
		c.held = false
	}
}

// within reports whether part is a part of whole; it may be so all the same if it
// says no.
func within(part, whole []byte) bool {
	a, b := cap(part), cap(whole)
	return a > 0 && b > 0 && &part[:a][a-1] == &whole[:b][b-1]
}

// keep returns a copy of data that lives as long as the bundle is not used again.
func (b *bundle) keep(data []byte) []byte { return copies.Keep(&b.copied, bundleBytes, data) }

// hand hands over what was taken. It does not wait: there is a slot for it.
func (c *crew) hand() {
	b := c.filling
	c.live.Begin(&b.batch)
	b.left.Store(int32(len(c.workers)))
	c.filling = c.next()
	for _, w := range c.workers {
		w <- b
	}
}

// next counts a bundle as handed over, and returns an empty one.
func (c *crew) next() *bundle {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handed++
	last := len(c.free) - 1
	if last < 0 {
		return new(bundle)
	}
	b := c.free[last]
	c.free = slices.Delete(c.free, last, last+1)
	return b
}

// push has what waits be decoded. The owner of the crew has locked it, so that
// nothing comes meanwhile.
func (c *crew) push() {
	b := c.filling
	switch {
	case b == nil || b.n == 0:
		return
	case b.n <= few && c.backlog() == 0:
		c.live.Begin(&b.batch)
		c.live.Take(&b.batch, 0, 1, false)
		c.show(b)
	default:
		select {
		case <-c.slots:
			c.hand()
		default: // there is enough to do
		}
	}
	c.trim()
}

// backlog returns how many bundles are not decoded yet.
func (c *crew) backlog() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handed - c.finished
}

// wait waits until what was handed over so far is decoded.
func (c *crew) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for upTo := c.handed; c.finished < upTo; {
		c.turn.Wait()
	}
}

// busy reports whether the workers have little time to spare.
func (c *crew) busy() bool {
	last := c.hurried.Load()
	return last != 0 && time.Since(c.began)-time.Duration(last) < rest
}

// calm waits while the workers have little time to spare, as long as there is room
// and for no longer than most.
func (c *crew) calm(most time.Duration) {
	for until := time.Now().Add(most); c.busy() && !c.live.Pressed() && time.Now().Before(until); {
		time.Sleep(rest)
	}
}

// stop ends the work: what comes after it is not for the crew. It is called by who
// reads packets.
func (c *crew) stop(lock sync.Locker) {
	if c.workers == nil {
		return
	}
	c.room()
	lock.Lock()
	c.hand()
	c.filling, c.held = nil, false
	lock.Unlock()
	for _, w := range c.workers {
		close(w)
	}
	c.running.Wait()
	c.workers = nil
}

// work decodes a part of all bundles. After a failure it only takes them.
func (c *crew) work(i int) {
	var ended time.Time
	var took time.Duration
	for b := range c.workers[i] {
		began := time.Now()
		hurried := len(c.workers[i]) > 0 || began.Sub(ended) < idle*took
		if hurried {
			c.hurried.Store(int64(time.Since(c.began)))
		}
		c.decode(b, i, hurried)
		if ended = time.Now(); b.batch.Len() > few {
			took = ended.Sub(began)
		}
		if b.left.Add(-1) == 0 {
			c.finish(b)
		}
	}
}

func (c *crew) decode(b *bundle, worker int, hurried bool) {
	if c.failed.Load() != nil {
		return
	}
	err := capture.Guard(func() error {
		c.live.Take(&b.batch, worker, len(c.workers), hurried)
		return nil
	})
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
	}
}

// finish ends the work on a bundle. The last of its workers does so before it goes
// on with the next one: so they are finished in their order.
func (c *crew) finish(b *bundle) {
	if c.failed.Load() == nil {
		c.show(b)
	}
	c.mu.Lock()
	c.free = append(c.free, b)
	c.finished++
	c.turn.Broadcast()
	c.mu.Unlock()
	c.trim()
	c.slots <- struct{}{}
}

// trim gives up the room of bundles that was needed when much came.
func (c *crew) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) > spare && !c.busy() {
		c.free = slices.Delete(c.free, 0, len(c.free)-spare)
	}
}

// show shows the tap what was decoded, and makes room again.
func (c *crew) show(b *bundle) {
	c.live.Number(&b.batch)
	if c.tap != nil {
		for i := range b.packets[:b.n] {
			number := uint64(0)
			if at := b.segment[i]; at >= 0 {
				number = b.batch.ConnectionOf(int(at))
			}
			c.tap.Packet(&b.packets[i], number)
		}
	}
	clear(b.packets[:b.n])
	b.batch.Reset()
	b.n, b.copied = 0, b.copied[:0]
}
