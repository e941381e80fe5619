package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// A Reader reads one capture stream. It is a [Source] with one input.
type Reader struct {
	in    Input
	index uint32
	buf   buffer
	// unpacked is the decompressor, or nil.
	unpacked io.ReadCloser
	// big is the byte order of the file, or of the current pcapng section.
	big   bool
	isNG  bool
	pcap  pcapState
	ng    ngState
	frame uint32
	// secretBytes is what in.Secrets costs, against maxSecrets.
	secretBytes int
	done        bool
	// version counts what changes how packets are read.
	version int
	// ahead says that this reads ahead of its turn, see [Part], and aside that the
	// block at hand told more than a packet.
	ahead, aside bool
}

// NewReader returns a reader of the capture in r, of whichever known format;
// name is for [Input.Path] and errors. It reads r's first bytes at once. An
// error says that r holds no capture, and is an [*Error]; a capture that is
// cut, even within its file header, is no error.
func NewReader(r io.Reader, name string) (*Reader, error) {
	return newReader(newBuffer(r, maxRead), name, maxRead)
}

func newReader(buf buffer, name string, bufferSize int) (*Reader, error) {
	r := &Reader{in: Input{Path: name}, buf: buf}
	k, err := r.detect()
	if err != nil {
		return nil, err
	}
	compression := ""
	if k == kindGzip || k == kindZstd {
		if compression, err = r.unpack(k, bufferSize); err != nil {
			return nil, err
		}
		if k, err = r.detectInside(compression); err != nil {
			r.Close()
			return nil, err
		}
	}
	r.in.Format = "pcap"
	if k == kindPcapng {
		r.in.Format, r.isNG = "pcapng", true
	} else {
		r.openPcap()
	}
	if compression != "" {
		r.in.Format += "+" + compression
	}
	return r, nil
}

// detect reads the first bytes and says what they are.
func (r *Reader) detect() (kind, error) {
	r.buf.need(magicLength)
	head := r.buf.bytes()
	k := kindOf(head)
	switch {
	case k != kindUnknown:
		return k, nil
	case r.buf.err != nil && !isCut(r.buf.err):
		return k, &Error{Path: r.in.Path, Reason: "cannot be read: " + systemReason(r.buf.err), Err: r.buf.err}
	case len(head) == 0:
		return k, r.emptyError()
	}
	r.buf.need(512) // enough to tell text, and a tar archive
	return k, notCapture(r.in.Path, "", r.buf.bytes())
}

func (r *Reader) emptyError() error {
	e := &Error{Path: r.in.Path, Reason: "empty: it does not even have a capture's header", notCapture: true,
		Advice: "did the capture run, and with the rights to? tcpdump -w FILE writes the header first"}
	if r.in.Path == stdin {
		e.Reason = "nothing came: the input ended without a capture"
		e.Advice = "the command before the pipe may have failed; with tcpdump use -U -w -"
	}
	return e
}

func (r *Reader) unpack(k kind, bufferSize int) (string, error) {
	// What was read for detection goes first.
	head := bytes.NewReader(bytes.Clone(r.buf.bytes()))
	var src io.Reader = io.MultiReader(head, r.buf.src)
	if r.buf.err != nil {
		src = head
	}
	z, name, err := unpack(src, k)
	if err != nil {
		return name, r.compressionError(name, err)
	}
	r.unpacked = z
	r.buf = newBuffer(z, bufferSize)
	return name, nil
}

func (r *Reader) detectInside(compression string) (kind, error) {
	r.buf.need(magicLength)
	head := r.buf.bytes()
	k := kindOf(head)
	switch {
	case k == kindPcap || k == kindPcapng:
		return k, nil
	case len(head) < magicLength && r.buf.err != nil && r.buf.err != io.EOF:
		return k, r.compressionError(compression, r.buf.err)
	case len(head) == 0:
		return k, &Error{Path: r.in.Path, Reason: "empty inside the " + compression + " compression", notCapture: true}
	case k != kindUnknown:
		return k, &Error{Path: r.in.Path, Reason: "compressed twice", Advice: "unpack it once", notCapture: true}
	}
	r.buf.need(512)
	return k, notCapture(r.in.Path, compression, r.buf.bytes())
}

func (r *Reader) compressionError(name string, err error) error {
	e := &Error{Path: r.in.Path, Err: err, notCapture: true, Reason: "the " + name + " compression cannot be read: " + err.Error()}
	if isCut(err) {
		e.Reason = "the " + name + " compression is cut before the first packet"
	}
	return e
}

// Next reads the next packet into p; see [Source]. The only error is io.EOF.
func (r *Reader) Next(p *Packet) error {
	if r.done {
		return io.EOF
	}
	if r.isNG {
		return r.nextBlocks(p)
	}
	return r.nextRecord(p)
}

// HasSecrets reports whether a key log was found so far.
func (r *Reader) HasSecrets() bool { return len(r.in.Secrets) > 0 }

// Inputs describes the one input.
func (r *Reader) Inputs() []Input { return []Input{r.input()} }

func (r *Reader) input() Input {
	in := r.in
	in.Dropped = addClamped(in.Dropped, r.ng.sectionDropped())
	if in.Damage != nil {
		d := *in.Damage
		in.Damage = &d
	}
	return in
}

// Close frees what the reader holds; Inputs still works. It does not close the
// stream that [NewReader] was given.
func (r *Reader) Close() error {
	r.done = true
	r.in = r.input()
	r.ng, r.buf = ngState{}, buffer{}
	if r.unpacked == nil {
		return nil
	}
	z := r.unpacked
	r.unpacked = nil
	if err := z.Close(); err != nil && !isCut(err) {
		return &Error{Path: r.in.Path, Reason: err.Error(), Err: err}
	}
	return nil
}

// count takes p, complete but for its frame, into the statistics.
func (r *Reader) count(p *Packet) {
	r.nextFrame()
	p.Frame = Frame{Input: r.index, Number: r.frame}
	p.Stays = r.buf.mapped != nil
	in := &r.in
	in.Packets++
	in.Bytes += uint64(len(p.Data))
	if p.Length > len(p.Data) {
		in.Snapped++
	}
	if p.Time == 0 {
		return
	}
	if !in.Timed {
		in.Timed, in.First, in.Last = true, p.Time, p.Time
	} else if p.Time > in.Last {
		in.Last = p.Time
	} else if p.Time < in.First {
		in.First = p.Time
	}
}

// add takes what was counted ahead of its turn.
func (in *Input) add(more *Input) {
	in.Packets += more.Packets
	in.Bytes += more.Bytes
	in.Snapped += more.Snapped
	if !more.Timed {
		return
	}
	if !in.Timed {
		in.Timed, in.First, in.Last = true, more.First, more.Last
	}
	in.First, in.Last = min(in.First, more.First), max(in.Last, more.Last)
}

// nextFrame counts one more of what Wireshark numbers as a frame.
func (r *Reader) nextFrame() {
	if r.frame != math.MaxUint32 {
		r.frame++
	}
}

// end finishes the input where no further byte can be read; what names the
// structure that should be there, and size is its length in bytes.
func (r *Reader) end(what string, size int) error {
	have, err := len(r.buf.bytes()), r.buf.err
	switch {
	case err == io.EOF && have == 0:
		r.done = true
		return io.EOF
	case err == io.EOF:
		return r.stop("the file ends inside %s: it has %d of %d bytes", what, have, size)
	case isCut(err):
		return r.stop("the compressed file is cut, in %s", what)
	}
	return r.stop("reading failed in %s: %s", what, systemReason(err))
}

// stop ends the input because of damage at the current offset.
func (r *Reader) stop(format string, args ...any) error {
	d := &Damage{Frame: r.frame, Offset: r.buf.offset(), Reason: fmt.Sprintf(format, args...)}
	if old := r.in.Damage; old != nil {
		d.Skipped = old.Skipped
	}
	r.in.Damage, r.done = d, true
	return io.EOF
}

// note records damage at the current offset that does not end the input.
func (r *Reader) note(format string, args ...any) {
	r.aside = true
	// Only the first is told; a file of nothing else must not cost anything.
	if r.in.Damage == nil {
		r.in.Damage = &Damage{Frame: r.frame, Offset: r.buf.offset(), Reason: fmt.Sprintf(format, args...), Continued: true}
	}
}

// skipPacket passes over a packet that cannot be read. It has a frame number,
// as every packet of the file.
func (r *Reader) skipPacket(format string, args ...any) {
	r.note(format, args...)
	r.in.Damage.Skipped++
	r.nextFrame()
}

func (r *Reader) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if r.big {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (r *Reader) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if r.big {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (r *Reader) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if r.big {
		v = bits.ReverseBytes64(v)
	}
	return v
}

// packetLimit is the largest packet of a file or interface with this snapshot
// length; a snapshot length of 0 says that there is none.
func packetLimit(snaplen uint32) uint32 {
	return min(max(snaplen, maxPacket), maxBlock)
}

func addClamped(a, b uint64) uint64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxUint64
}

// systemReason is the text of err without the name of the file, which the
// message around it has.
func systemReason(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}
