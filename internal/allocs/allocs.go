// Package allocs measures allocations. Only tests use it: that memory is bounded by
// the input is an invariant of every parser of foreign bytes.
package allocs

import "runtime/metrics"

// Of returns how many bytes f allocates. What other goroutines allocate meanwhile
// is counted, too, and small objects may be counted late.
func Of(f func()) uint64 {
	before := total()
	f()
	return total() - before
}

func total() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
