// Package once keeps once what many connections have in common: a million
// connections of one cluster differ in little but addresses and times.
package once

import "sync"

// Most is how many values a [Table] keeps. What is beyond it is made as often as it
// is needed.
const Most = 4096

// A Table has values by what they are made from. They are in several places and must
// not be changed. Its zero value is ready for use, by several goroutines.
type Table[K comparable, V any] struct {
	mu     sync.RWMutex
	values map[K]V
}

// Find returns the value for key if there is one.
func (t *Table[K, V]) Find(key K) (V, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v, ok := t.values[key]
	return v, ok
}

// Get returns the value for key, which is what is made if there is none yet.
func (t *Table[K, V]) Get(key K, value func() V) V {
	if v, ok := t.Find(key); ok {
		return v
	}
	v := value()
	t.mu.Lock()
	defer t.mu.Unlock()
	if same, ok := t.values[key]; ok {
		return same
	}
	if t.values == nil {
		t.values = make(map[K]V)
	}
	if len(t.values) < Most {
		t.values[key] = v
	}
	return v
}
