package capture

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyCapture draws a capture of everything that may be between packets.
func anyCapture(t *rapid.T) []byte {
	b := rapid.SampledFrom([]builder{le, be}).Draw(t, "order")
	n := rapid.IntRange(60, 150).Draw(t, "blocks")
	data := func() string { return strings.Repeat("data", rapid.IntRange(10, 100).Draw(t, "words")) }
	seconds := uint32(1_700_000_000)
	if rapid.Bool().Draw(t, "pcap") {
		out := b.pcap(0xa1b2c3d4, 65535, 1)
		for range n {
			seconds += rapid.SampledFrom([]uint32{0, 0, 0, 0, 0, 1, 300, 1 << 16}).Draw(t, "later")
			out = append(out, b.record(seconds, 5, data())...)
		}
		return out
	}
	out := join(b.section(), b.iface(1, 0))
	interfaces := uint32(1)
	for i := range n {
		switch rapid.IntRange(0, 150).Draw(t, "block") {
		case 100:
			out = append(out, b.iface(uint16(i), 0, b.option(optInterfaceTsresol, uint8(9)))...)
			interfaces++
		case 101:
			b = rapid.SampledFrom([]builder{le, be}).Draw(t, "order")
			out, interfaces = append(out, join(b.section(), b.iface(101, 0))...), 1
		case 102:
			out = append(out, b.block(blockStatistics, uint32(0), uint64(1), b.option(optStatisticsIfDrop, uint64(i)))...)
		case 103:
			out = append(out, b.packet(0, uint64(i), data(), b.option(optPacketDropCount, uint64(3)))...)
		case 104:
			out = append(out, b.block(blockPacket, uint16(0), uint16(2), uint64(i), uint32(4), uint32(4), "data")...)
		case 105:
			out = append(out, b.block(blockCustom, uint32(1), "data")...)
		case 106:
			out = append(out, b.packet(interfaces, 1, "of an interface that is not there")...)
		case 107:
			out = append(out, b.packet(0, 1, data(), b.fields(uint16(9), uint16(999)))...) // bad options
		case 108:
			out = append(out, b.block(blockSecrets, uint32(secretsTLS), uint32(8), "CLIENT_R")...)
		case 109:
			out = append(out, b.block(blockSimple, uint32(4), "data")...)
		case 110:
			out = append(out, b.block(blockEnhanced, uint32(0), uint32(0), uint32(i), uint32(4), uint32(2000), "snap")...)
		default:
			out = append(out, b.packet(rapid.Uint32Range(0, interfaces-1).Draw(t, "interface"), uint64(i), data(), b.option(optPacketFlags, uint32(4<<5)))...)
		}
	}
	return out
}

// readParts reads a file in parts, as many ahead of their turn as there are in
// ahead, each of about size bytes and at most limit packets; joined is how many
// packets of them counted.
func readParts(t *rapid.T, path string, ahead, size, limit int) (out []seen, in Input, joined int) {
	f, err := Open([]string{path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type read struct {
		part    Part
		packets []Packet
	}
	var parts []*read
	var p Packet
	for {
		for len(parts) > 0 && f.Reached(&parts[0].part) {
			first := parts[0]
			parts = parts[1:]
			frames, ok := f.Join(&first.part)
			if !ok {
				continue
			}
			joined += len(first.packets)
			for i := range first.packets {
				p = first.packets[i]
				p.Frame.Number += frames
				out = append(out, seenOf(&p))
			}
		}
		for len(parts) < ahead {
			next := new(read)
			if !f.Part(&next.part, 1<<20, size) {
				break
			}
			for len(next.packets) < limit && next.part.Next(&p) {
				next.packets = append(next.packets, p)
			}
			parts = append(parts, next)
		}
		if err := f.Next(&p); err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			return out, f.Inputs()[0], joined
		}
		out = append(out, seenOf(&p))
	}
}

// TestPartsChangeNothing: in whatever parts a file is read, its packets are the
// same, and what is told of it.
func TestPartsChangeNothing(t *testing.T) {
	folder := t.TempDir()
	files, joined := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		data := anyCapture(t)
		if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
			data = data[:rapid.IntRange(min(24, len(data)), len(data)).Draw(t, "cut at")]
		}
		if rapid.IntRange(0, 3).Draw(t, "damaged") == 0 {
			data[rapid.IntRange(8, len(data)-1).Draw(t, "damaged at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		path := filepath.Join(folder, fmt.Sprint(files))
		files++
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		want, wantIn, _ := readParts(t, path, 0, 0, 0)
		got, in, n := readParts(t, path, rapid.IntRange(1, 5).Draw(t, "parts"), rapid.SampledFrom([]int{1000, 3000, 500, 2000, 50, 1}).Draw(t, "size"), rapid.SampledFrom([]int{100, 5, 1}).Draw(t, "limit"))
		joined += n
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%d packets in parts, %d without:\n%+v\n%+v", len(got), len(want), got, want)
		}
		if !reflect.DeepEqual(in, wantIn) {
			t.Fatalf("in parts:\n%+v\nwithout:\n%+v", in, wantIn)
		}
	})
	if runtime.GOOS == "linux" && joined < files {
		t.Errorf("of %d files, %d packets were read in parts", files, joined)
	}
}
