package decode_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/allocs"
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

// TestMemory: a capture may have a million connections that are all open. Those
// that are at rest are packed; the bounds are a little above what they take then. It is
// measured in a process of its own: what other tests leave in use would count.
func TestMemory(t *testing.T) {
	const alone = "DISTPROOF_MEMORY_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
		cmd.Env = append(os.Environ(), alone+"=1")
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return
	}
	const first, n = 1000, 2000 // the first also fill what all have in common
	for _, c := range []struct {
		capture string
		most    uint64
	}{
		{"mutual_tls13", 400},
		{"mutual_tls12", 490},
		{"oneway_tls13", 400},
		{"plain", 512},
	} {
		segments := segmentsOf(t, c.capture)
		d := decode.NewDecoder(decode.Options{})
		d.KeepUnpacked(1)
		add := func(from, to int) {
			for i := from; i < to; i++ {
				for k, s := range segments {
					other(&s, i)
					s.Frame.Number = uint32(k*n + i) // as if all came at the same time
					d.Segment(&s)
				}
			}
		}
		add(0, first)
		before := allocs.InUse()
		add(first, first+n)
		each := (allocs.InUse() - before) / n
		packed, bytes := d.Packed()
		t.Logf("%s: %d bytes; %d are packed, into %d bytes each", c.capture, each, packed, bytes/max(packed, 1))
		if each > c.most {
			t.Errorf("%s: a connection that is up takes %d bytes, more than %d", c.capture, each, c.most)
		}
		if got := d.Finish(func(uint16) []string { return nil }); len(got.Connections) != first+n {
			t.Fatalf("%s: %d connections, want %d", c.capture, len(got.Connections), first+n)
		}
	}
}
