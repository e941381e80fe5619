package capture

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// samples are a capture in each format, of the same two packets.
func samples() map[string][]byte {
	return map[string][]byte{
		"pcap":   join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(1, 0, "abc"), le.record(2, 0, "defg")),
		"pcapng": join(be.section(), be.iface(1, 0), be.packet(0, 1e6, "abc"), be.packet(0, 2e6, "defg")),
	}
}

var samplePackets = []seen{{1, second, "abc", 3, 1, 0}, {2, 2 * second, "defg", 4, 1, 0}}

func TestCompressed(t *testing.T) {
	for format, plain := range samples() {
		half := len(plain) / 2
		skippable := le.fields(uint32(0x184d2a53), uint32(3), "abc")
		for _, test := range []struct {
			name, format string
			file         []byte
		}{
			{"plain", format, plain},
			{"gzip", format + "+gzip", gzipped(t, plain)},
			{"gzip of several members", format + "+gzip", join(gzipped(t, plain[:half]), gzipped(t, nil), gzipped(t, plain[half:]))},
			{"zstd", format + "+zstd", zstdded(t, plain)},
			{"zstd of several frames", format + "+zstd", join(zstdded(t, plain[:half]), skippable, zstdded(t, plain[half:]))},
			{"zstd after a skippable frame", format + "+zstd", join(skippable, zstdded(t, plain))},
		} {
			t.Run(format+"/"+test.name, func(t *testing.T) {
				got, in := read(t, test.file)
				if diff := cmp.Diff(samplePackets, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if in.Damage != nil || in.Format != test.format {
					t.Errorf("damage %v, format %q, want %q", in.Damage, in.Format, test.format)
				}
			})
		}
	}
}

func TestCompressedEveryCut(t *testing.T) {
	for _, compress := range []func(testing.TB, []byte) []byte{gzipped, zstdded} {
		whole := compress(t, samples()["pcap"])
		for n := range whole {
			r, err := NewReader(bytes.NewReader(whole[:n]), "test")
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Errorf("first %d bytes: %v is no *Error", n, err)
				}
				continue
			}
			got := all(t, r)
			if len(got) > 0 && !cmp.Equal(got, samplePackets[:len(got)]) {
				t.Errorf("first %d bytes: %v", n, got)
			}
			if r.Inputs()[0].Damage == nil {
				t.Errorf("first %d bytes: no damage", n)
			}
			r.Close()
		}
	}
}

func TestCutGzipGivesEverythingBeforeTheCut(t *testing.T) {
	const packets = 3000
	plain := le.pcap(0xa1b2c3d4, 65535, 1)
	for i := range uint32(packets) {
		plain = append(plain, le.record(i, i, strings.Repeat(string(rune('a'+i%26)), int(i%97)))...)
	}
	packed := gzipped(t, plain)
	cut := packed[:len(packed)*3/4]

	// What the decompressor gives is the measure.
	z, err := gzip.NewReader(bytes.NewReader(cut))
	if err != nil {
		t.Fatal(err)
	}
	before, err := io.ReadAll(z)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("decompressing: %v", err)
	}
	want, _ := read(t, before)
	got, in := read(t, cut)
	if len(got) == 0 || len(got) == packets || !cmp.Equal(want, got) {
		t.Errorf("%d packets, want %d", len(got), len(want))
	}
	if in.Damage == nil || !strings.Contains(in.Damage.Reason, "compressed file is cut") {
		t.Errorf("damage %v", in.Damage)
	}
}

func TestDamagedGzip(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func([]byte) []byte
		want  string
	}{
		{"wrong checksum", func(b []byte) []byte { b[len(b)-8] ^= 1; return b }, "invalid checksum"},
		{"garbage behind", func(b []byte) []byte { return append(b, "garbage, more than a header"...) }, "invalid header"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, in := read(t, test.spoil(gzipped(t, samples()["pcap"])))
			if !cmp.Equal(got, samplePackets) {
				t.Errorf("packets %v", got)
			}
			checkDamage(t, in.Damage, Damage{Frame: 2, Offset: 24 + 19 + 20, Reason: test.want})
		})
	}
}

func TestZstdWindowIsBounded(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(2*maxWindow), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(samples()["pcap"]); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil { // so that the frame cannot shrink its window to its size
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = NewReader(&out, "test")
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("error %v, want %v", err, zstd.ErrWindowSizeExceeded)
	}
}

func TestNotACapture(t *testing.T) {
	tar := make([]byte, 512)
	copy(tar, "capture.pcap")
	copy(tar[257:], "ustar")
	var wide []byte
	for _, u := range utf16.Encode([]rune("\ufeffNo. Time Source")) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for _, test := range []struct {
		name       string
		file       []byte
		reason, to string
	}{
		{"empty", nil, "empty", "did the capture run"},
		{"one byte", []byte{0}, "begins with the bytes 00", "pcap or pcapng"},
		{"text", []byte("12:00:00.1 IP 10.0.0.1.4369 > 10.0.0.2.1: Flags [S]\n"), "it is text", "tcpdump -w"},
		{"short text", []byte("x"), "it is text", "tcpdump -w"},
		{"text with letters", []byte("Knotenübersicht"), "it is text", "tcpdump -w"},
		{"text cut in a letter", []byte("Knotenü")[:7], "it is text", "tcpdump -w"},
		{"wide text", wide, "it is text", "tcpdump -w"},
		{"program", []byte("\x7fELF\x02\x01\x01\x00\x00\x00"), "begins with the bytes 7f 45 4c 46 02 01 01 00", "pcap or pcapng"},
		{"snoop", []byte("snoop\x00\x00\x00\x00\x00\x00\x02"), "it is a snoop capture", "editcap"},
		{"xz", []byte("\xfd7zXZ\x00\x00"), "compressed with xz", "xz -d"},
		{"tar", tar, "tar archive", "unpack"},
		{"tar.gz", gzipped(t, tar), "inside the gzip compression: it is a tar archive", "unpack"},
		{"text.gz", gzipped(t, []byte("hello")), "inside the gzip compression: it is text", "tcpdump -w"},
		{"text.zst", zstdded(t, []byte("hello")), "inside the zstd compression: it is text", "tcpdump -w"},
		{"empty gzip", gzipped(t, nil), "empty inside the gzip compression", ""},
		{"twice", gzipped(t, zstdded(t, samples()["pcap"])), "compressed twice", "once"},
		{"cut gzip header", []byte{0x1f, 0x8b, 8}, "gzip compression is cut before the first packet", ""},
		{"bad gzip header", []byte{0x1f, 0x8b, 9, 0, 0, 0, 0, 0, 0, 0}, "gzip compression cannot be read", ""},
		{"cut zstd", zstdded(t, samples()["pcap"])[:6], "zstd compression is cut", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(test.file), "some.file")
			if err == nil {
				t.Fatalf("no error; read as %q", r.in.Format)
			}
			t.Log("OK error:", err)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("%T is no *Error", err)
			}
			if e.Path != "some.file" || !strings.Contains(e.Error(), "some.file: ") || !strings.Contains(e.Reason, test.reason) {
				t.Errorf("error %q, want %q", e, test.reason)
			}
			if !strings.Contains(e.Hint(), test.to) {
				t.Errorf("hint %q, want %q", e.Hint(), test.to)
			}
		})
	}
}

// A stepReader gives one piece a read, and counts how many it has given.
type stepReader struct {
	pieces [][]byte
	given  int
}

func (s *stepReader) Read(p []byte) (int, error) {
	if s.given == len(s.pieces) {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[s.given])
	s.given++
	return n, nil
}

// flusher is a compressor whose output so far can be read.
type flusher interface {
	io.Writer
	Flush() error
}

func TestPacketsAreDeliveredAsTheyCome(t *testing.T) {
	head := join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(1, 0, "abc"))
	plain := [][]byte{head, le.record(2, 0, "d"), le.record(3, 0, "e"), le.record(4, 0, strings.Repeat("f", 1000))}
	packed := func(newWriter func(io.Writer) flusher) [][]byte {
		var out bytes.Buffer
		w := newWriter(&out)
		var pieces [][]byte
		for _, p := range plain {
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			pieces = append(pieces, bytes.Clone(out.Bytes()))
			out.Reset()
		}
		return pieces
	}
	for name, pieces := range map[string][][]byte{
		"plain": plain,
		"gzip":  packed(func(w io.Writer) flusher { return gzip.NewWriter(w) }),
		"zstd": packed(func(w io.Writer) flusher {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			return z
		}),
		"pcapng": {join(le.section(), le.iface(1, 0), le.packet(0, 1, "a")), le.packet(0, 2, "b"), le.packet(0, 3, "c"), le.packet(0, 4, "d")},
	} {
		t.Run(name, func(t *testing.T) {
			src := &stepReader{pieces: pieces}
			f, err := Open([]string{"-"}, Options{Stdin: src})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var p Packet
			for i := range pieces {
				if err := f.Next(&p); err != nil {
					t.Fatalf("packet %d: %v", i+1, err)
				}
				if src.given != i+1 {
					t.Errorf("packet %d came after %d pieces", i+1, src.given)
				}
			}
		})
	}
}

func TestOpenDoesNotWaitForAPacket(t *testing.T) {
	src := &stepReader{pieces: [][]byte{le.pcap(0xa1b2c3d4, 65535, 1), le.record(1, 0, "a")}}
	f, err := Open([]string{"-"}, Options{Stdin: src})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if src.given != 1 {
		t.Errorf("%d pieces read, want the header only", src.given)
	}
}

func TestOneByteAtATime(t *testing.T) {
	for name, data := range samples() {
		for _, packed := range [][]byte{data, gzipped(t, data), zstdded(t, data)} {
			pieces := make([][]byte, len(packed))
			for i := range packed {
				pieces[i] = packed[i : i+1]
			}
			r, err := NewReader(&stepReader{pieces: pieces}, "test")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(samplePackets, all(t, r)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

type failingReader struct {
	data []byte
	err  error
}

func (f *failingReader) Read(p []byte) (int, error) {
	n := copy(p, f.data)
	f.data = f.data[n:]
	if n == 0 {
		return 0, f.err
	}
	return n, nil
}

func TestFailingReads(t *testing.T) {
	bad := errors.New("disk on fire")
	r, err := NewReader(&failingReader{samples()["pcap"], bad}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, r); !cmp.Equal(got, samplePackets) {
		t.Errorf("packets %v", got)
	}
	checkDamage(t, r.Inputs()[0].Damage, Damage{Frame: 2, Offset: 63, Reason: "reading failed in a packet's header: disk on fire"})

	if _, err := NewReader(&failingReader{nil, bad}, "test"); !errors.Is(err, bad) {
		t.Errorf("error %v, want %v", err, bad)
	}
	// A reader that gives neither bytes nor an error must not hang.
	r, err = NewReader(&failingReader{samples()["pcap"], nil}, "test")
	if err != nil {
		t.Fatal(err)
	}
	all(t, r)
	checkDamage(t, r.Inputs()[0].Damage, Damage{Frame: 2, Offset: 63, Reason: io.ErrNoProgress.Error()})
}

// TestManyBuffers has packets of all sizes across all buffer borders.
func TestManyBuffers(t *testing.T) {
	plain := join(le.section(), le.iface(1, 0))
	sizes := []int{}
	for i := 0; len(plain) < 5<<20; i++ {
		sizes = append(sizes, i*7919%70000)
		plain = append(plain, le.packet(0, uint64(i+1), strings.Repeat(string(rune('a'+i%26)), sizes[i]))...)
	}
	got, in := read(t, plain)
	if len(got) != len(sizes) || in.Damage != nil {
		t.Fatalf("%d packets, want %d; damage %v", len(got), len(sizes), in.Damage)
	}
	for i, p := range got {
		if want := strings.Repeat(string(rune('a'+i%26)), sizes[i]); p.Data != want {
			t.Fatalf("packet %d differs", i+1)
		}
	}
}

func TestDamageString(t *testing.T) {
	for want, d := range map[string]Damage{
		"truncated at frame 12: x":                     {Frame: 12, Reason: "x"},
		"truncated before frame 1: x":                  {Reason: "x"},
		"truncated at frame 12: x (2 packets skipped)": {Frame: 12, Reason: "x", Skipped: 2},
		"damaged after frame 0: x (1 packet skipped)":  {Reason: "x", Skipped: 1, Continued: true},
	} {
		if got := d.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestReadingDoesNotAllocate(t *testing.T) {
	for name, data := range map[string][]byte{
		"pcap":   append(le.pcap(0xa1b2c3d4, 65535, 1), strings.Repeat(string(le.record(1, 1, "abcdefg")), 2000)...),
		"pcapng": append(join(be.section(), be.iface(1, 0)), strings.Repeat(string(be.packet(0, 1, "abcdefg", be.option(2, uint32(1)), be.option(4, uint64(1)))), 2000)...),
	} {
		f, err := Open([]string{file(t, name, data), file(t, name, data)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var p Packet
		if n := testing.AllocsPerRun(3000, func() {
			if err := f.Next(&p); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
		f.Close()
	}
}
