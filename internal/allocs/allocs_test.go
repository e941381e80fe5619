package allocs

import (
	"runtime"
	"testing"
)

var sink []byte

func TestOf(t *testing.T) {
	if n := Of(func() { sink = make([]byte, 1<<20) }); n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes for a mebibyte", n)
	}
}

func TestInUse(t *testing.T) {
	before := InUse()
	b := make([]byte, 1<<20)
	if n := int(InUse() - before); n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes for a mebibyte", n)
	}
	runtime.KeepAlive(b)
	if n := int(InUse() - before); n > 1<<19 {
		t.Errorf("%d bytes that nobody needs", n)
	}
}
