// Package reuse has memory that is used again, where a connection needs it for a
// moment and there are thousands of connections a second.
package reuse

import (
	"sync"
	"sync/atomic"
)

// A Pool has values that nobody needs just now. Several goroutines may use it at
// once. The garbage collector takes what is not used for a while.
type Pool[T any] struct {
	// New makes a value where there is none.
	New func() *T
	// Spoil overwrites what a value has, so that whoever still uses it reads
	// something else.
	Spoil func(*T)
	pool  sync.Pool
}

// Get returns a value for the caller alone, with anything in it.
func (p *Pool[T]) Get() *T {
	if x, ok := p.pool.Get().(*T); ok {
		return x
	}
	return p.New()
}

// Put gives back a value, which the caller must not use any more.
func (p *Pool[T]) Put(x *T) {
	if spoiling.Load() {
		p.Spoil(x)
	}
	p.pool.Put(x)
}

var spoiling atomic.Bool

// Spoil says whether everything is overwritten from now on that is given back. It is
// for tests, which find so what is used after that.
func Spoil(on bool) { spoiling.Store(on) }
