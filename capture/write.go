package capture

import (
	"encoding/binary"
	"io"
	"slices"
)

// Options that the writer sets, beside those that the reader knows; Sections
// 3.5 and 4.1 to 4.2.
const (
	optComment        = 1
	optSectionProgram = 4
	optInterfaceAbout = 3
)

// maxOption is the length of the longest option value.
const maxOption = 1<<16 - 1

// A Writer writes a pcapng file: one section, little endian, times in
// nanoseconds.
type Writer struct {
	w          io.Writer
	err        error
	block      []byte
	interfaces []writtenInterface
}

type writtenInterface struct {
	input uint32
	link  LinkType
	fcs   uint8
}

// NewWriter returns a Writer that has written the file's header, with the name
// of the program and a comment on the whole file; either may be empty. Errors of
// w are those of the next call, and of all that follow.
func NewWriter(w io.Writer, program, comment string) *Writer {
	out := &Writer{w: w}
	out.begin(blockSection)
	out.u32(byteOrderMagic)
	out.u16(1)
	out.u16(0)
	out.u64(^uint64(0)) // the section's length is not told
	out.option(optComment, comment)
	out.option(optSectionProgram, program)
	_ = out.end() // the next call tells
	return out
}

// WriteSecrets writes TLS key log text (a Decryption Secrets Block). What it
// opens must come later.
func (w *Writer) WriteSecrets(keyLog []byte) error {
	w.begin(blockSecrets)
	w.u32(secretsTLS)
	w.u32(uint32(len(keyLog)))
	w.padded(keyLog)
	return w.endWithoutOptions()
}

// WriteInterface describes the interface of the packets that follow, from the
// given input, of the given link type and frame check sequence.
func (w *Writer) WriteInterface(p *Packet, name string, snaplen uint32) error {
	w.interfaces = append(w.interfaces, writtenInterface{p.Frame.Input, p.LinkType, p.FCSLength})
	w.begin(blockInterface)
	w.u16(uint16(p.LinkType))
	w.u16(0)
	w.u32(snaplen)
	w.option(optInterfaceAbout, name)
	w.optionBytes(optInterfaceTsresol, []byte{9})
	if fcs := p.FCSLength; fcs >= 8 {
		w.optionBytes(optInterfaceFCSLen, []byte{8 * min(fcs, 31)}) // see fcsBytes
	} else if fcs > 0 {
		w.optionBytes(optInterfaceFCSLen, []byte{fcs})
	}
	return w.end()
}

// HasInterface reports whether the interface of p was described.
func (w *Writer) HasInterface(p *Packet) bool { return w.interfaceOf(p) >= 0 }

func (w *Writer) interfaceOf(p *Packet) int {
	return slices.Index(w.interfaces, writtenInterface{p.Frame.Input, p.LinkType, p.FCSLength})
}

// WritePacket writes p with comments. Its interface must have been described.
func (w *Writer) WritePacket(p *Packet, comments ...string) error {
	w.begin(blockEnhanced)
	w.u32(uint32(w.interfaceOf(p)))
	w.u32(uint32(uint64(p.Time) >> 32))
	w.u32(uint32(uint64(p.Time)))
	w.u32(uint32(len(p.Data)))
	w.u32(uint32(p.Length))
	w.padded(p.Data)
	for _, c := range comments {
		w.option(optComment, c)
	}
	return w.end()
}

// WriteStatistics says how many packets the capturing system lost at the
// interface of p, which must have been described, and remarks on that, if any
// (an Interface Statistics Block). It belongs at the end.
func (w *Writer) WriteStatistics(p *Packet, dropped uint64, comment string) error {
	w.begin(blockStatistics)
	w.u32(uint32(w.interfaceOf(p)))
	w.u32(uint32(uint64(p.Time) >> 32))
	w.u32(uint32(uint64(p.Time)))
	w.option(optComment, comment)
	w.optionBytes(optStatisticsOSDrop, binary.LittleEndian.AppendUint64(nil, dropped))
	return w.end()
}

// begin starts a block; its length is filled in by end.
func (w *Writer) begin(kind uint32) {
	w.block = w.block[:0]
	w.u32(kind)
	w.u32(0)
}

func (w *Writer) u16(v uint16) { w.block = binary.LittleEndian.AppendUint16(w.block, v) }
func (w *Writer) u32(v uint32) { w.block = binary.LittleEndian.AppendUint32(w.block, v) }
func (w *Writer) u64(v uint64) { w.block = binary.LittleEndian.AppendUint64(w.block, v) }

func (w *Writer) padded(b []byte) {
	w.block = append(w.block, b...)
	w.block = append(w.block, 0, 0, 0)
	w.block = w.block[:len(w.block)&^3]
}

// option adds a text; none if it is empty.
func (w *Writer) option(code uint16, text string) {
	if text != "" {
		w.optionBytes(code, []byte(text[:min(len(text), maxOption)]))
	}
}

func (w *Writer) optionBytes(code uint16, value []byte) {
	w.u16(code)
	w.u16(uint16(len(value)))
	w.padded(value)
}

// end writes the block after the end of its options.
func (w *Writer) end() error {
	w.u32(optEnd)
	return w.endWithoutOptions()
}

func (w *Writer) endWithoutOptions() error {
	if w.err != nil {
		return w.err
	}
	n := uint32(len(w.block) + 4)
	w.u32(n)
	binary.LittleEndian.PutUint32(w.block[4:], n)
	_, w.err = w.w.Write(w.block)
	return w.err
}
