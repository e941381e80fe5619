package decode_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
)

// segmentsOf returns the segments of a recorded capture that are not to EPMD,
// without the end of the connection.
func segmentsOf(t testing.TB, name string) []link.Segment {
	t.Helper()
	files, err := capture.Open([]string{"../pcaps/" + name + ".pcap"}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var out []link.Segment
	links := link.NewDecoder(link.Options{})
	var p capture.Packet
	var s link.Segment
	for err = files.Next(&p); err == nil; err = files.Next(&p) {
		if !links.Decode(&p, &s) || s.Src.Port == decode.EPMDPort || s.Dst.Port == decode.EPMDPort {
			continue
		}
		if s.Flags.Has(link.FIN) {
			break
		}
		s.Payload = bytes.Clone(s.Payload)
		out = append(out, s)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return out
}

// other gives a segment's lower address, the client's in the captures, another
// value.
func other(s *link.Segment, i int) {
	for _, e := range []*link.Endpoint{&s.Src, &s.Dst} {
		if e.Addr[15] == 1 {
			binary.BigEndian.PutUint32(e.Addr[12:], 10<<24|uint32(i)<<1|1)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemory: a capture may have a million connections that are all open. The
// bounds are a little above what they take; the aim is 512 bytes.
func TestMemory(t *testing.T) {
	const n = 2000
	for _, c := range []struct {
		capture string
		most    uint64
	}{
		{"mutual_tls13", 1750},
		{"mutual_tls12", 2450},
		{"oneway_tls13", 1750},
		{"plain", 8900},
	} {
		segments := segmentsOf(t, c.capture)
		d := decode.NewDecoder(decode.Options{})
		before := heap()
		for i := range n {
			for _, s := range segments {
				other(&s, i)
				d.Segment(&s)
			}
		}
		if each := (heap() - before) / n; each > c.most {
			t.Errorf("%s: a connection that is up takes %d bytes, more than %d", c.capture, each, c.most)
		}
		if got := d.Finish(func(uint16) []string { return nil }); len(got.Connections) != n {
			t.Fatalf("%s: %d connections, want %d", c.capture, len(got.Connections), n)
		}
	}
}
