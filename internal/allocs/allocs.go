// Package allocs measures memory. Only tests use it: that memory is bounded by the
// input is an invariant of every parser of foreign bytes.
package allocs

import "runtime"

// Of returns how many bytes f allocates. What other goroutines allocate meanwhile
// is counted, too.
func Of(f func()) uint64 {
	// Not runtime/metrics: it counts small objects later, by the span.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// InUse returns how many bytes of the heap are in use. What is kept for further use
// by a [sync.Pool] is not.
func InUse() uint64 {
	runtime.GC()
	runtime.GC() // a pool gives up what it has in two steps
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
