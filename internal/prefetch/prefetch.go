// Package prefetch asks the processor for memory ahead of its use, without waiting
// for it: it is in the second cache soon. Go has no such function, and to read the
// memory would mean to wait. On processors other than amd64 and arm64, nothing happens.
package prefetch

import "unsafe"

// line is the size of a line of the caches.
const line = 64

// Value asks for what p points to, which may be nil.
func Value[T any](p *T) { ask(unsafe.Pointer(p), unsafe.Sizeof(*p)) }

// Bytes asks for b.
func Bytes(b []byte) { ask(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b))) }

func ask(p unsafe.Pointer, size uintptr) { lines(p, int((uintptr(p)%line+size+line-1)/line)) }
