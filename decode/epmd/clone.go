package epmd

import "bytes"

// Clone returns a decoder that goes on from here by itself, such as to find out
// with [Stream.End] what there is as of now. Both may be used at the same time.
func (s *Stream) Clone() *Stream {
	c := *s
	c.facts, c.buf = s.Facts(), bytes.Clone(s.buf)
	return &c
}
