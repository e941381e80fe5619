package pack

import (
	"sync"
	"sync/atomic"
)

// Limits of what a [Table] keeps. What is beyond them is kept by each.
const (
	mostInTable      = 4096
	mostBytesInTable = 2 << 20
	// From these on, it is full.
	enoughInTable      = mostInTable / 4 * 3
	enoughBytesInTable = mostBytesInTable / 4 * 3
)

// A Table has values that many connections have in common, once for all, by the
// bytes that they are made from. The values must not be changed. It is safe for
// concurrent use.
type Table[V any] struct {
	mu    sync.RWMutex
	known map[string]V
	bytes int
	// all has the values by their numbers less 1. It is only appended to, so that
	// it can be read while it grows.
	all  atomic.Pointer[[]V]
	full atomic.Bool
}

// Get returns the value for key, which is what is made if there is none yet.
func (t *Table[V]) Get(key []byte, value func() V) V {
	return t.Numbered(key, func(uint32) V { return value() })
}

// Numbered is Get for values that know by which number, from 1 on, the table has
// them: 0 if it does not.
func (t *Table[V]) Numbered(key []byte, value func(number uint32) V) V {
	t.mu.RLock()
	same, ok := t.known[string(key)]
	t.mu.RUnlock()
	if ok {
		return same
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if same, ok := t.known[string(key)]; ok {
		return same
	}
	if len(t.known) >= mostInTable || t.bytes+len(key) > mostBytesInTable {
		return value(0)
	}
	if t.known == nil {
		t.known = make(map[string]V)
		t.all.Store(new([]V))
	}
	all := *t.all.Load()
	made := value(uint32(len(all) + 1))
	t.known[string(key)] = made
	all = append(all, made)
	t.all.Store(&all)
	if t.bytes += len(key); len(all) > enoughInTable || t.bytes > enoughBytesInTable {
		t.full.Store(true)
	}
	return made
}

// Full reports whether most of the room is taken: what begins now had better use
// another table. What began before has the rest.
func (t *Table[V]) Full() bool { return t.full.Load() }

// Pack packs v, which the table has by the given number; none if that is 0. It
// returns the number.
func (t *Table[V]) Pack(p *Packer, v *V, number uint32) uint32 {
	if Uint(p, &number); !p.reading {
		return number
	}
	var none V
	if *v = none; number > 0 {
		*v = (*t.all.Load())[number-1]
	}
	return number
}
