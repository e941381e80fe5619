package term

import (
	"bytes"
	"compress/zlib"
	"testing"

	"distproof/internal/allocs"
)

// deflate compresses b as 131, 80 does, but for these two.
func deflate(size int, b []byte) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	z.Write(b)
	z.Close()
	return cat(u32(size), out.Bytes())
}

func TestInflate(t *testing.T) {
	text := bytes.Repeat([]byte("some text, "), 100)
	good := deflate(len(text), text)
	broken := append([]byte(nil), good...)
	broken[len(broken)-1] ^= 1
	for _, x := range []struct {
		name  string
		b     []byte
		limit int
		state State
		out   int
		rest  int
	}{
		{"all", cat(good, 1, 2, 3), 1 << 20, OK, len(text), 3},
		{"all, to the byte", good, len(text), OK, len(text), 0},
		{"nothing", cat(deflate(0, nil), 1), 100, OK, 0, 1},
		{"more than wanted", good, 100, Short, 100, 0},
		{"nothing wanted", good, 0, Short, 0, 0},
		{"more than stated", deflate(len(text)-1, text), 1 << 20, Malformed, len(text) - 1, 0},
		{"less than stated", deflate(len(text)+1, text), 1 << 20, Malformed, len(text), 0},
		{"wrong sum", broken, 1 << 20, Malformed, len(text), 0},
		{"no zlib", cat(u32(100), "no zlib data"), 100, Malformed, 0, 0},
		{"no size", []byte{0, 0, 0}, 100, Short, 0, 0},
		{"a size only", u32(100), 100, Short, 0, 0},
		{"preset dictionary", cat(u32(100), 0x78, 0x20, 0, 0, 0, 2), 100, Malformed, 0, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := NewCursor(x.b, nil)
			out, whole := c.Inflate([]byte("ahead"), x.limit)
			if whole != (x.state == OK) || c.State() != x.state || c.Len() != x.rest {
				t.Errorf("whole %v, %v, %d bytes left", whole, c.State(), c.Len())
			}
			if string(out) != "ahead"+string(text[:x.out]) {
				t.Errorf("%d bytes of text: %q", len(out), out)
			}
		})
	}
	for n := range good {
		c := NewCursor(good[:n], nil)
		if out, whole := c.Inflate(nil, 1<<20); whole || c.State() != Short || !bytes.HasPrefix(text, out) {
			t.Errorf("%d of %d bytes: %v, %v", n, len(good), whole, c.State())
		}
	}
}

// TestBomb expands what would fill memory.
func TestBomb(t *testing.T) {
	bomb := deflate(256<<20, make([]byte, 256<<20))
	var out []byte
	took := allocs.Of(func() {
		for range 100 {
			c := NewCursor(bomb, nil)
			out, _ = c.Inflate(out[:0], 8<<10)
			if len(out) != 8<<10 || c.State() != Short {
				t.Fatalf("%d bytes, %v", len(out), c.State())
			}
		}
	})
	if took > 4<<20 {
		t.Errorf("%d bytes allocated", took)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add(deflate(5, []byte("hello")), uint16(100))
	f.Add(deflate(5000, make([]byte, 5000)), uint16(100))
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		c := NewCursor(b, nil)
		out, whole := c.Inflate(nil, int(limit))
		if len(out) > int(limit) || whole != (c.State() == OK) {
			t.Errorf("%d of at most %d bytes, %v, %v", len(out), limit, whole, c.State())
		}
	})
}
