package prefetch_test

import (
	"testing"

	"distproof/internal/prefetch"
)

// TestAnything: nothing is read, so nothing can go wrong.
func TestAnything(t *testing.T) {
	var none *[1000]byte
	prefetch.Value(none)
	prefetch.Value(new(struct{}))
	prefetch.Value(&[1000]byte{})
	prefetch.Bytes(nil)
	prefetch.Bytes(make([]byte, 1, 100))
	prefetch.Bytes(make([]byte, 1000))
}
