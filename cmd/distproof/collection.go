package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// firstCollection is how much memory there is before garbage is collected for
	// the first time. By itself, the runtime begins at 4 MiB, and does it again and
	// again until there is that much: a sixth of a run that takes a tenth of a second.
	firstCollection = 64 << 20
	// Garbage may take as much as what is in use, which is Go's default, up to
	// usualHeap; beyond it, one part in garbageShare of what is more: where there are
	// a million connections, as much garbage as that would be too much.
	usualHeap    = 64 << 20
	garbageShare = 10
)

// A collection decides when garbage is collected.
type collection struct {
	mu sync.Mutex
	// usual and limit are what held before, in percent and bytes.
	usual, percent int
	limit          int64
	// late says that there was none yet, and that it waits for firstCollection.
	late, over bool
}

// paceCollection has garbage collected late, if that is asked for, and then more
// often the more memory is in use. The function that it returns ends that. Whoever
// sets GOGC gets what that says.
func paceCollection(late bool) (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	c := &collection{usual: debug.SetGCPercent(-1), percent: -1, limit: debug.SetMemoryLimit(-1), late: late}
	if late {
		debug.SetMemoryLimit(min(c.limit, firstCollection))
	} else {
		c.set(c.usual)
	}
	c.follow()
	return c.end
}

// follow has c look after the next garbage collection.
func (c *collection) follow() {
	collected := new([64]byte)
	runtime.AddCleanup(collected, (*collection).look, c)
}

func (c *collection) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.begun()
	// Each change stops the world for a moment.
	if p := min(c.usual, garbagePercent(heapInUse())); p < c.percent-4 || p > c.percent+4 || p == c.usual {
		c.set(p)
	}
	c.follow()
}

// begun ends the wait for the first collection.
func (c *collection) begun() {
	if c.late {
		c.late = false
		debug.SetMemoryLimit(c.limit)
	}
}

func (c *collection) set(percent int) {
	if percent != c.percent {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
}

func (c *collection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.begun()
	c.set(c.usual)
}

// garbagePercent is how much garbage there may be, in percent of inUse bytes.
func garbagePercent(inUse uint64) int {
	if inUse <= usualHeap {
		return 100
	}
	return int(100 * (usualHeap + (inUse-usualHeap)/garbageShare) / inUse)
}

// heapInUse is what the last garbage collection left.
func heapInUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
