package tls

import (
	"bytes"
	"sync"
)

// Limits of the certificates that are kept once for all connections. What is
// beyond them is kept by each.
const (
	maxInterned      = 4096
	maxInternedBytes = 16 << 20
)

// certificates are those of all connections: a cluster has a few, and sends them
// in every handshake.
var certificates interned

type interned struct {
	sync.RWMutex
	known map[string][]byte
	bytes int
}

// intern returns a copy of b, which must not be changed.
func (t *interned) intern(b []byte) []byte {
	t.RLock()
	same, ok := t.known[string(b)]
	t.RUnlock()
	if ok {
		return same
	}
	b = bytes.Clone(b)
	t.Lock()
	defer t.Unlock()
	if same, ok := t.known[string(b)]; ok {
		return same
	}
	if len(t.known) >= maxInterned || t.bytes+len(b) > maxInternedBytes {
		return b
	}
	if t.known == nil {
		t.known = make(map[string][]byte)
	}
	t.known[string(b)] = b
	t.bytes += len(b)
	return b
}
