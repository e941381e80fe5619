package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A builder writes captures field by field, in its byte order.
type builder struct {
	order binary.AppendByteOrder
}

var (
	le = builder{binary.LittleEndian}
	be = builder{binary.BigEndian}
)

// fields concatenates uint8, uint16, uint32, uint64, []byte and string values.
func (b builder) fields(values ...any) []byte {
	var out []byte
	for _, v := range values {
		switch v := v.(type) {
		case uint8:
			out = append(out, v)
		case uint16:
			out = b.order.AppendUint16(out, v)
		case uint32:
			out = b.order.AppendUint32(out, v)
		case uint64:
			out = b.order.AppendUint64(out, v)
		case []byte:
			out = append(out, v...)
		case string:
			out = append(out, v...)
		default:
			panic("no field type")
		}
	}
	return out
}

// pcap is a file header with this magic, snapshot length and link type field.
func (b builder) pcap(magic, snaplen, link uint32) []byte {
	return b.fields(magic, uint16(2), uint16(4), uint32(0), uint32(0), snaplen, link)
}

// record is a pcap record of the whole of data.
func (b builder) record(seconds, fraction uint32, data string) []byte {
	n := uint32(len(data))
	return b.fields(seconds, fraction, n, n, data)
}

// block is a pcapng block; body is padded to 4 bytes.
func (b builder) block(kind uint32, values ...any) []byte {
	body := b.padded(values...)
	n := uint32(len(body) + 12)
	return b.fields(kind, n, body, n)
}

func (b builder) padded(values ...any) []byte {
	body := b.fields(values...)
	return append(body, make([]byte, -len(body)&3)...)
}

// section is a Section Header Block of unknown section length.
func (b builder) section() []byte {
	return b.block(0x0a0d0d0a, uint32(0x1a2b3c4d), uint16(1), uint16(0), ^uint64(0))
}

// iface is an Interface Description Block.
func (b builder) iface(link uint16, snaplen uint32, options ...any) []byte {
	return b.block(1, link, uint16(0), snaplen, b.fields(options...))
}

// option is one option of a block.
func (b builder) option(code uint16, values ...any) []byte {
	value := b.fields(values...)
	return b.fields(code, uint16(len(value)), b.padded(value))
}

// packet is an Enhanced Packet Block with the whole of data.
func (b builder) packet(iface uint32, ticks uint64, data string, options ...any) []byte {
	n := uint32(len(data))
	return b.block(6, iface, uint32(ticks>>32), uint32(ticks), n, n, b.padded(data), b.fields(options...))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func gzipped(t testing.TB, data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstdded(t testing.TB, data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// file writes data to a file in a fresh folder and returns its path.
func file(t testing.TB, name string, data []byte) string {
	path := filepath.Join(t.TempDir(), name)
	write(t, path, data)
	return path
}

func write(t testing.TB, path string, data []byte) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// A seen is a packet with a copy of its bytes.
type seen struct {
	Number uint32
	Time   int64
	Data   string
	Length int
	Link   LinkType
	FCS    uint8
}

func seenOf(p *Packet) seen {
	return seen{p.Frame.Number, p.Time, string(p.Data), p.Length, p.LinkType, p.FCSLength}
}

// all reads every packet of s.
func all(t testing.TB, s Source) []seen {
	t.Helper()
	var out []seen
	var p Packet
	for {
		err := s.Next(&p)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		out = append(out, seenOf(&p))
	}
	if err := s.Next(&p); err != io.EOF {
		t.Fatalf("Next after the end: %v, want io.EOF", err)
	}
	return out
}

// read reads a whole capture.
func read(t testing.TB, data []byte) ([]seen, Input) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(data), "test")
	if err != nil {
		t.Fatalf("NewReader: %v", err)
	}
	defer r.Close()
	packets := all(t, r)
	return packets, r.Inputs()[0]
}
