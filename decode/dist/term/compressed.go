package term

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"sync"
)

// An inflater is kept for reuse: one is larger than most connections' state.
type inflater struct {
	in  bytes.Reader
	lim io.LimitedReader
	z   io.ReadCloser
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// Inflate expands a compressed term (131, 80 in OTP erl_ext_dist) of which the
// cursor stands behind the 80, and appends at most limit bytes of it to dst.
// The version is not part of it. whole says that this is all: then the cursor
// stands behind the term. It is malformed if it is no zlib data, or if there is
// more or less of it than it says.
//
// No more is allocated than what the bytes at hand expand to, and that is
// bounded by limit, whatever size the term states.
func (c *Cursor) Inflate(dst []byte, limit int) (out []byte, whole bool) {
	size := uint64(c.uint32())
	if !c.OK() {
		return dst, false
	}
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	f.in.Reset(c.b)
	defer f.in.Reset(nil)
	if err := f.open(); err != nil {
		c.fail(stateOf(err))
		return dst, false
	}
	want := min(size, uint64(max(0, limit)))
	n := len(dst)
	// One byte more than there should be shows that the size is wrong, and at
	// the end makes the reader check the sum.
	f.lim = io.LimitedReader{R: f.z, N: int64(want) + 1}
	buf := bytes.NewBuffer(dst)
	_, err := buf.ReadFrom(&f.lim)
	out = buf.Bytes()
	got := uint64(len(out) - n)
	switch {
	case got > want && size > want:
		// There is more, and nobody wants it.
		c.fail(Short)
		return out[:n+int(want)], false
	case got > size:
		c.fail(Malformed)
		return out[:n+int(want)], false
	case err != nil:
		c.fail(stateOf(err))
		return out, false
	case got < size:
		c.fail(Malformed)
		return out, false
	}
	c.b = c.b[len(c.b)-f.in.Len():]
	return out, true
}

func (f *inflater) open() error {
	if f.z == nil {
		z, err := zlib.NewReader(&f.in)
		f.z = z
		return err
	}
	return f.z.(zlib.Resetter).Reset(&f.in, nil)
}

func stateOf(err error) State {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return Short
	}
	return Malformed
}
