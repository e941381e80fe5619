package tcp

import (
	"testing"
	"unsafe"
)

// TestSize: a live capture has a million connections, each of which may take
// 512 bytes with everything.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 320 {
		t.Errorf("a Conn takes %d bytes", n)
	}
}
