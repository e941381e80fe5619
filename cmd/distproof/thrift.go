package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Garbage may take as much as what is in use, which is Go's default, up to usualHeap;
// beyond it, one part in garbageShare of what is more.
const (
	usualHeap    = 64 << 20
	garbageShare = 10
)

// beThrifty has garbage collected more often the more memory is in use: where there
// are a million connections, as much garbage as that would be too much. The function
// that it returns ends that. Who sets GOGC gets what that says.
func beThrifty() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	usual := debug.SetGCPercent(100)
	t := thrift{usual: usual, percent: usual}
	debug.SetGCPercent(usual)
	t.watch()
	return t.end
}

// A thrift follows garbage collection.
type thrift struct {
	mu             sync.Mutex
	usual, percent int
	over           bool
}

// watch has t look after the next garbage collection.
func (t *thrift) watch() {
	collected := new([64]byte)
	runtime.AddCleanup(collected, (*thrift).look, t)
}

func (t *thrift) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	// Each change stops the world for a moment.
	if p := min(t.usual, garbagePercent(heapInUse())); p < t.percent-4 || p > t.percent+4 || p == t.usual {
		t.set(p)
	}
	t.watch()
}

func (t *thrift) set(percent int) {
	if percent != t.percent {
		t.percent = percent
		debug.SetGCPercent(percent)
	}
}

func (t *thrift) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.set(t.usual)
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
