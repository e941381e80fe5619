package allocs

import "testing"

var sink []byte

func TestOf(t *testing.T) {
	if n := Of(func() { sink = make([]byte, 1<<20) }); n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes for a mebibyte", n)
	}
}
