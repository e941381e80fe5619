package mutate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"distproof/capture"
)

// Read reads all packets of a capture in any known format; name is for errors.
// A capture that is cut is an error.
func Read(r io.Reader, name string) ([]Packet, error) {
	source, err := capture.NewReader(r, name)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	var packets []Packet
	var p capture.Packet
	for {
		err := source.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		packets = append(packets, Packet{
			Data: bytes.Clone(p.Data), Length: p.Length, Time: p.Time, LinkType: p.LinkType,
		})
	}
	if damage := source.Inputs()[0].Damage; damage != nil {
		return nil, fmt.Errorf("%s: damaged after frame %d: %s", name, damage.Frame, damage.Reason)
	}
	return packets, nil
}

// ReadFile is [Read] for a file.
func ReadFile(path string) ([]Packet, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return Read(file, path)
}

// A Compression is around a whole file.
type Compression string

// The compressions of capture files.
const (
	Uncompressed Compression = ""
	Gzip         Compression = "gzip"
	Zstd         Compression = "zstd"
)

// A Format is a way to write packets to a file. The zero value is the most
// common one: pcap, little-endian, in microseconds. It cuts off what is below
// a microsecond; all others keep nanoseconds.
type Format struct {
	PCAPNG      bool
	BigEndian   bool
	Nanoseconds bool // pcap only
	// Interfaces is set for pcapng that comes from three interfaces, in turn,
	// which count time in three ways. Otherwise there is one for each link type.
	Interfaces bool
	// Sections is set for pcapng in two sections, half of the packets in each.
	// The second one has the other byte order.
	Sections    bool
	Compression Compression
}

// Formats lists all formats.
func Formats() []Format {
	plain := []Format{
		{},
		{BigEndian: true},
		{Nanoseconds: true},
		{Nanoseconds: true, BigEndian: true},
		{PCAPNG: true},
		{PCAPNG: true, BigEndian: true},
		{PCAPNG: true, Interfaces: true},
		{PCAPNG: true, Interfaces: true, Sections: true},
	}
	var all []Format
	for _, compression := range []Compression{Uncompressed, Gzip, Zstd} {
		for _, f := range plain {
			f.Compression = compression
			all = append(all, f)
		}
	}
	return all
}

func (f Format) String() string {
	name := "pcap"
	if f.PCAPNG {
		name = "pcapng"
	}
	for _, part := range []struct {
		set  bool
		name string
	}{
		{f.BigEndian, " big-endian"},
		{f.Nanoseconds, " nanoseconds"},
		{f.Interfaces, " three interfaces"},
		{f.Sections, " two sections"},
		{f.Compression != Uncompressed, "+" + string(f.Compression)},
	} {
		if part.set {
			name += part.name
		}
	}
	return name
}

func (f Format) order() byteOrder {
	if f.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// Write writes packets as a capture file. Packets of several link types need
// pcapng.
func Write(w io.Writer, packets []Packet, f Format) error {
	compressed, err := f.compressor(w)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(compressed)
	write := f.writePcap
	if f.PCAPNG {
		write = f.writePcapng
	}
	if err := write(buffered, packets); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return compressed.Close()
}

// Bytes is [Write] into memory.
func Bytes(packets []Packet, f Format) ([]byte, error) {
	var buffer bytes.Buffer
	err := Write(&buffer, packets, f)
	return buffer.Bytes(), err
}

// WriteFile is [Write] to a file.
func WriteFile(path string, packets []Packet, f Format) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(Write(file, packets, f), file.Close())
}

func (f Format) compressor(w io.Writer) (io.WriteCloser, error) {
	switch f.Compression {
	case Uncompressed:
		return uncompressed{w}, nil
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		// One goroutine, so that the output is the same every time.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("unknown compression %q", f.Compression)
}

type uncompressed struct{ io.Writer }

func (uncompressed) Close() error { return nil }

const (
	maxSnapped  = 262144 // tcpdump's default snap length
	nanoseconds = 1_000_000_000
)

// writePcap writes the format of draft-ietf-opsawg-pcap.
func (f Format) writePcap(w io.Writer, packets []Packet) error {
	order, magic, resolution := f.order(), uint32(0xa1b2c3d4), int64(1000)
	if f.Nanoseconds {
		magic, resolution = 0xa1b23c4d, 1
	}
	linkType := linkEthernet
	if len(packets) > 0 {
		linkType = packets[0].LinkType
	}
	header := order.AppendUint32(nil, magic)
	header = order.AppendUint16(header, 2) // version 2.4
	header = order.AppendUint16(header, 4)
	header = order.AppendUint32(header, 0) // reserved: time zone
	header = order.AppendUint32(header, 0) // reserved: accuracy
	header = order.AppendUint32(header, maxSnapped)
	header = order.AppendUint32(header, uint32(linkType))
	if _, err := w.Write(header); err != nil {
		return err
	}
	for i, p := range packets {
		if p.LinkType != linkType {
			return fmt.Errorf("packet %d has link type %d, the file has %d: needs pcapng", i+1, p.LinkType, linkType)
		}
		record := order.AppendUint32(nil, uint32(p.Time/nanoseconds))
		record = order.AppendUint32(record, uint32(p.Time%nanoseconds/resolution))
		record = order.AppendUint32(record, uint32(len(p.Data)))
		record = order.AppendUint32(record, uint32(p.Length))
		if _, err := w.Write(append(record, p.Data...)); err != nil {
			return err
		}
	}
	return nil
}

// Block types and options of draft-ietf-opsawg-pcapng.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6 // Enhanced Packet Block

	optionEnd        = 0
	optionName       = 2
	optionResolution = 9
	optionOffset     = 14
)

// A clock is one way in which pcapng counts time.
type clock struct {
	resolution int64 // of one unit, in nanoseconds
	offset     int64 // seconds that are not counted
	options    func(byteOrder) []byte
}

// clocks are those of the three interfaces.
var clocks = []clock{
	{1, 0, func(order byteOrder) []byte {
		return option(order, optionResolution, []byte{9})
	}},
	{1000, 0, func(byteOrder) []byte { return nil }}, // the default is microseconds
	{1, 1_000_000, func(order byteOrder) []byte {
		return append(option(order, optionResolution, []byte{9}),
			option(order, optionOffset, order.AppendUint64(nil, 1_000_000))...)
	}},
}

func (f Format) writePcapng(w io.Writer, packets []Packet) error {
	if !f.Sections {
		return writeSection(w, f.order(), f.Interfaces, packets)
	}
	half := len(packets) / 2
	other := f
	other.BigEndian = !f.BigEndian
	if err := writeSection(w, f.order(), f.Interfaces, packets[:half]); err != nil {
		return err
	}
	return writeSection(w, other.order(), f.Interfaces, packets[half:])
}

// writeSection writes a section. An interface is described before its first
// packet, not at the beginning, as the format allows.
func writeSection(w io.Writer, order byteOrder, interfaces bool, packets []Packet) error {
	body := order.AppendUint32(nil, 0x1a2b3c4d)
	body = order.AppendUint16(body, 1) // version 1.0
	body = order.AppendUint16(body, 0)
	body = order.AppendUint64(body, ^uint64(0)) // length unknown
	if err := writeBlock(w, order, blockSection, body); err != nil {
		return err
	}
	type key struct {
		linkType capture.LinkType
		clock    int
	}
	known := map[key]int{}
	for i, p := range packets {
		k := key{linkType: p.LinkType}
		if interfaces {
			k.clock = i % len(clocks)
		}
		if p.Time%clocks[k.clock].resolution != 0 {
			k.clock = 0 // the only one that is fine enough
		}
		index, ok := known[k]
		if !ok {
			index = len(known)
			known[k] = index
			if err := writeInterface(w, order, index, p.LinkType, clocks[k.clock]); err != nil {
				return err
			}
		}
		if err := writePacket(w, order, index, p, clocks[k.clock]); err != nil {
			return err
		}
	}
	return nil
}

func writeInterface(w io.Writer, order byteOrder, index int, linkType capture.LinkType, c clock) error {
	body := order.AppendUint16(nil, uint16(linkType))
	body = order.AppendUint16(body, 0) // reserved
	body = order.AppendUint32(body, maxSnapped)
	body = append(body, option(order, optionName, fmt.Appendf(nil, "if%d", index))...)
	body = append(body, c.options(order)...)
	body = append(body, option(order, optionEnd, nil)...)
	return writeBlock(w, order, blockInterface, body)
}

func writePacket(w io.Writer, order byteOrder, index int, p Packet, c clock) error {
	ticks := uint64((p.Time - c.offset*nanoseconds) / c.resolution)
	body := order.AppendUint32(nil, uint32(index))
	body = order.AppendUint32(body, uint32(ticks>>32))
	body = order.AppendUint32(body, uint32(ticks))
	body = order.AppendUint32(body, uint32(len(p.Data)))
	body = order.AppendUint32(body, uint32(p.Length))
	return writeBlock(w, order, blockPacket, append(body, p.Data...))
}

func option(order byteOrder, code int, value []byte) []byte {
	out := order.AppendUint16(nil, uint16(code))
	out = order.AppendUint16(out, uint16(len(value)))
	return pad(append(out, value...))
}

func writeBlock(w io.Writer, order byteOrder, kind uint32, body []byte) error {
	body = pad(body)
	length := uint32(len(body) + 12)
	block := order.AppendUint32(nil, kind)
	block = order.AppendUint32(block, length)
	block = append(block, body...)
	_, err := w.Write(order.AppendUint32(block, length))
	return err
}

// pad fills up to a multiple of 4 bytes.
func pad(data []byte) []byte {
	for len(data)%4 != 0 {
		data = append(data, 0)
	}
	return data
}
