package watch

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/copies"
)

const (
	// bundleBytes is the room of a bundle for packets that have to be copied.
	bundleBytes = 512 << 10
	// few packets are decoded by whoever finds them: to wake others takes longer.
	few = 64
	// rest is how long who waits for the workers to have time to spare sleeps.
	rest = 100 * time.Millisecond
	// spare is how many bundles are kept for further use.
	spare = 4
)

// A crew has packets decoded by several goroutines, so that whoever takes packets
// from the source only has to find their segments. Packets wait in bundles, until
// one is full, or somebody asks. The tap is shown them when they were decoded, in
// their order.
type crew struct {
	live *decode.Live
	tap  Tap
	// filling is the bundle that is not handed over yet; nil if there are no
	// workers. The owner of the crew has locked it.
	filling *bundle
	pool    *decode.Pool // nil if there never were any
	// slots has something for each bundle that may still be handed over.
	slots chan struct{}
	// held says that who reads packets has taken one out, and over that the workers
	// have ended.
	held, over bool

	// free are the bundles for further use: the last one first, whose memory the
	// processor has at hand. mu is over them.
	mu   sync.Mutex
	free []*bundle
}

// A bundle has packets that wait to be decoded.
type bundle struct {
	packets [decode.BatchSegments]capture.Packet
	// segment has the index of the segment of each packet; -1 if it has none.
	segment [decode.BatchSegments]int16
	n       int
	batch   *decode.Batch
	copied  []byte
}

// start begins the work.
func (c *crew) start(memory int64) {
	most := decode.Waiting(memory)
	c.slots = make(chan struct{}, most)
	for range most {
		c.slots <- struct{}{}
	}
	c.filling = c.next()
	c.pool = c.live.Work(runtime.GOMAXPROCS(0))
}

// next returns an empty bundle.
func (c *crew) next() *bundle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.free) - 1; last >= 0 {
		b := c.free[last]
		c.free = slices.Delete(c.free, last, last+1)
		return b
	}
	b := new(bundle)
	b.batch = decode.NewBatch(func() { c.finish(b) })
	return b
}

// room waits until a bundle may be handed over. It is called by who reads packets.
func (c *crew) room() {
	if !c.held && !c.over && c.pool != nil {
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
	c.pool.Hand(c.filling.batch)
	c.filling = c.next()
}

// push has what waits be decoded. The owner of the crew has locked it, so that
// nothing comes meanwhile.
func (c *crew) push() {
	b := c.filling
	switch {
	case b == nil || b.n == 0:
		return
	case b.n <= few && c.pool.Idle():
		c.live.Take(b.batch, false)
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

// wait waits until what was handed over so far is decoded.
func (c *crew) wait() {
	if c.pool != nil {
		c.pool.CatchUp()
	}
}

// busy reports whether the workers have little time to spare.
func (c *crew) busy() bool { return c.pool != nil && c.pool.Busy() }

// err returns why decoding failed, if it did.
func (c *crew) err() error {
	if c.pool == nil {
		return nil
	}
	return c.pool.Err()
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
	if c.over || c.pool == nil {
		return
	}
	c.room()
	lock.Lock()
	c.hand()
	c.filling, c.held, c.over = nil, false, true
	lock.Unlock()
	_ = c.pool.Wait() // who reads packets asks for its error
}

// finish makes room again for a bundle that was decoded.
func (c *crew) finish(b *bundle) {
	c.show(b)
	c.mu.Lock()
	c.free = append(c.free, b)
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
	if c.tap != nil && c.err() == nil {
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
