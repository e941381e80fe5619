// Package recorded gives tests the byte streams of recorded captures.
package recorded

import (
	"errors"
	"io"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/tcp"
)

// Connections reassembles the connections of a capture, each into a sink of its
// own, and returns the sinks in the order in which the connections begin.
// [tcp.From0] is the direction of a connection's first packet.
func Connections[S tcp.Sink](t testing.TB, path string, newSink func() S) []S {
	t.Helper()
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	type conn struct {
		first link.Endpoint
		tcp   *tcp.Conn
		sink  S
	}
	decoder, budget := link.NewDecoder(link.Options{}), tcp.NewBudget(64<<20)
	known := make(map[[2]link.Endpoint]*conn)
	var all []*conn
	var p capture.Packet
	var s link.Segment
	for {
		if err := files.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if !decoder.Decode(&p, &s) {
			continue
		}
		c := known[[2]link.Endpoint{s.Src, s.Dst}]
		if c == nil {
			c = &conn{s.Src, tcp.New(tcp.Limits{}, budget), newSink()}
			known[[2]link.Endpoint{s.Src, s.Dst}], known[[2]link.Endpoint{s.Dst, s.Src}] = c, c
			all = append(all, c)
		}
		d := tcp.From1
		if s.Src == c.first {
			d = tcp.From0
		}
		c.tcp.Segment(d, &s, c.sink)
	}
	var out []S
	for _, c := range all {
		c.tcp.Flush(c.sink)
		out = append(out, c.sink)
	}
	return out
}
