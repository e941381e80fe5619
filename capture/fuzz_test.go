package capture

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"distproof/internal/allocs"
)

func FuzzPcap(f *testing.F) {
	for _, b := range []builder{le, be} {
		f.Add(join(b.pcap(0xa1b2c3d4, 65535, 1), b.record(1, 2, "abc"), b.record(3, 4, "")))
		f.Add(join(b.pcap(0xa1b23c4d, 0, 276), b.fields(uint32(1), uint32(2), uint32(3<<30), uint32(3<<30))))
		f.Add(join(b.pcap(0xa1b2cd34, 1<<31, 1|1<<26|3<<28), b.fields(uint32(1), uint32(2), uint32(1), uint32(1), uint64(0), "x")))
	}
	f.Fuzz(checkAny)
}

func FuzzPcapng(f *testing.F) {
	for _, b := range []builder{le, be} {
		start := join(b.section(), b.iface(1, 96, b.option(9, uint8(0xff)), b.option(14, ^uint64(0)), b.option(13, uint8(32)), b.option(0)))
		f.Add(join(start, b.packet(0, 1, "abcde", b.option(2, uint32(0x1ff)), b.option(4, uint64(1)))))
		f.Add(join(start, b.block(3, uint32(5), "abcde"), b.block(2, uint16(0), uint16(7), uint64(1), uint32(1), uint32(1), "abcd")))
		f.Add(join(start, b.block(5, uint32(0), uint64(0), b.option(5, uint64(9))), b.block(10, uint32(secretsTLS), uint32(1), "x")))
		f.Add(join(start, b.block(0xbad, "abcd"), b.packet(1, 1, "x"), b.block(1), b.section(), b.packet(0, 1, "x")))
	}
	f.Fuzz(checkAny)
}

// checkAny reads anything, and what it reads in pieces, too.
func checkAny(t *testing.T, data []byte) {
	packed := false
	used := allocs.Of(func() { packed = checkRead(t, data) })
	if !packed && used > uint64(1<<20+100*len(data)) {
		t.Fatalf("%d bytes allocated for a file of %d", used, len(data))
	}
}

// checkRead reads anything, and reports whether it was compressed.
func checkRead(t *testing.T, data []byte) (packed bool) {
	r, err := NewReader(bytes.NewReader(data), "fuzz")
	if (r == nil) == (err == nil) {
		t.Fatalf("reader %v, error %v", r, err)
	}
	if err != nil {
		return true
	}
	defer r.Close()
	packed = strings.Contains(r.in.Format, "+")
	var p Packet
	var packets, bytesRead uint64
	last := Frame{}
	for {
		err := r.Next(&p)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("error %v", err)
		}
		packets++
		bytesRead += uint64(len(p.Data))
		if p.Length < len(p.Data) || len(p.Data) > maxBlock {
			t.Fatalf("length %d, %d bytes of data", p.Length, len(p.Data))
		}
		if p.Frame.Number <= last.Number {
			t.Fatalf("frame %d after %d", p.Frame.Number, last.Number)
		}
		last = p.Frame
		if !packed && (bytesRead > uint64(len(data)) || packets > uint64(len(data))) {
			t.Fatalf("%d packets, %d bytes of a file of %d", packets, bytesRead, len(data))
		}
	}
	in := r.Inputs()[0]
	if in.Packets != packets || in.Bytes != bytesRead {
		t.Fatalf("counted %d packets and %d bytes, read %d and %d", in.Packets, in.Bytes, packets, bytesRead)
	}
	if d := in.Damage; d != nil {
		if d.Reason == "" || d.Offset < 0 || !packed && d.Offset > int64(len(data)) {
			t.Fatalf("damage %+v", d)
		}
	}
	if len(r.buf.data) > max(firstRead, 4*len(data)) && !packed {
		t.Fatalf("buffer of %d for a file of %d", len(r.buf.data), len(data))
	}
	checkPieces(t, data, in)
	return packed
}

// checkPieces reads the same in small pieces: the result must not differ.
func checkPieces(t *testing.T, data []byte, want Input) {
	pieces := &stepReader{}
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+len(rest)%13)
		pieces.pieces = append(pieces.pieces, rest[:n])
		rest = rest[n:]
	}
	r, err := NewReader(pieces, "fuzz")
	if err != nil {
		t.Fatalf("in pieces: %v", err)
	}
	defer r.Close()
	all(t, r)
	got := r.Inputs()[0]
	if got.Packets != want.Packets || got.Bytes != want.Bytes || (got.Damage == nil) != (want.Damage == nil) {
		t.Fatalf("in pieces %+v, in one %+v", got, want)
	}
	if got.Damage != nil && *got.Damage != *want.Damage {
		t.Fatalf("in pieces %+v, in one %+v", got.Damage, want.Damage)
	}
}
