package capture

import (
	"bytes"
	"io"
	"math"
)

// The pcapng format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html;
// sections named below are its. Every block is
//
//	type u32 | total length u32 | body | total length u32

const (
	blockFrame = 12 // type and both lengths

	blockInterface  = 1
	blockPacket     = 2 // obsolete
	blockSimple     = 3
	blockStatistics = 5
	blockEnhanced   = 6
	blockJournal    = 9
	blockSecrets    = 10
	blockCustom     = 0x00000bad
	blockCustomKeep = 0x40000bad // a custom block that is not to be copied
	blockSysdig1    = 0x204
	blockSysdig2    = 0x216
	blockSysdig3    = 0x221
	blockSection    = 0x0a0d0d0a
)

const (
	byteOrderMagic = 0x1a2b3c4d
	// secretsTLS is "TLSK": TLS key log text, Section 4.7.
	secretsTLS = 0x544c534b
)

// Option codes, Sections 4.2 to 4.6.
const (
	optEnd               = 0
	optInterfaceTsresol  = 9
	optInterfaceFCSLen   = 13
	optInterfaceTsoffset = 14
	optPacketFlags       = 2
	optPacketDropCount   = 4
	optStatisticsIfDrop  = 5
	optStatisticsOSDrop  = 7
)

// ngState is the state of the current section.
type ngState struct {
	interfaces []ngInterface
	// foreign says that the section has a version that is not understood.
	foreign bool
}

type ngInterface struct {
	link  LinkType
	fcs   uint8
	clock clock
	// snaplen is the snapshot length, 0 for none.
	snaplen uint32
	// bad says that the block that describes the interface cannot be read.
	bad bool
	// reported is what the last statistics block says to be dropped, and
	// counted the sum over the packets' drop counts.
	reported, counted uint64
}

// nextBlocks reads blocks up to the next packet.
func (r *Reader) nextBlocks(p *Packet) error {
	for {
		if !r.buf.need(8) {
			return r.end("a block's header", 8)
		}
		h := r.buf.bytes()
		kind := r.u32(h)
		if kind == blockSection { // the same in both byte orders
			if !r.buf.need(blockFrame) {
				return r.end("a section header", 28)
			}
			h = r.buf.bytes()
			if err := r.setByteOrder(h[8:blockFrame]); err != nil {
				return err
			}
		}
		// Old writers did not count the padding that brings a block to a
		// multiple of 4 bytes; Wireshark reads their files, too.
		length := r.u32(h[4:])
		if length < blockFrame {
			return r.stop("a block claims a length of %d bytes, but the least is %d", length, blockFrame)
		}
		if length > maxBlock {
			return r.stop("a block claims a length of %d bytes, more than the limit of %d", length, maxBlock)
		}
		size := int(length+3) &^ 3
		if !r.buf.need(size) {
			return r.end(blockName(kind), size)
		}
		block := r.buf.bytes()[:size:size]
		if again := r.u32(block[size-4:]); again != length && again != uint32(size) {
			return r.stop("a block claims %d bytes at its beginning and %d at its end", length, again)
		}
		found, err := r.block(kind, block[8:size-4:size-4], p)
		if err != nil {
			return err
		}
		if r.ahead && (!found || r.aside) {
			return io.EOF // left to its turn
		}
		r.buf.skip(size)
		if found {
			r.count(p)
			return nil
		}
	}
}

func (r *Reader) setByteOrder(b []byte) error {
	for _, r.big = range []bool{false, true} {
		if r.u32(b) == byteOrderMagic {
			r.buf.follow(layout{big: r.big, lengthAt: 4, markLength: 4}) // the type of the block
			return nil
		}
	}
	return r.stop("a section header has the byte order mark % x, which is none", b)
}

func blockName(kind uint32) string {
	switch kind {
	case blockEnhanced, blockSimple, blockPacket:
		return "a packet block"
	case blockSection:
		return "a section header"
	case blockInterface:
		return "an interface description"
	}
	return "a block that is not a packet"
}

// block reads one block, and says whether it was a packet, now in p.
func (r *Reader) block(kind uint32, body []byte, p *Packet) (found bool, err error) {
	if kind == blockSection {
		return false, r.section(body)
	}
	if r.ng.foreign {
		if isFrame(kind) {
			r.skipPacket("")
		}
		return false, nil
	}
	switch kind {
	case blockEnhanced:
		return r.enhancedPacket(body, p), nil
	case blockSimple:
		return r.simplePacket(body, p), nil
	case blockPacket:
		return r.oldPacket(body, p), nil
	case blockInterface:
		r.interfaceDescription(body)
	case blockStatistics:
		r.statistics(body)
	case blockSecrets:
		r.secrets(body)
	default:
		if isFrame(kind) {
			r.nextFrame()
		}
	}
	return false, nil
}

// isFrame reports whether Wireshark gives blocks of this kind a frame number.
// Those that are not packets have one, and are not delivered.
func isFrame(kind uint32) bool {
	switch kind {
	case blockEnhanced, blockSimple, blockPacket,
		blockCustom, blockCustomKeep, blockJournal, blockSysdig1, blockSysdig2, blockSysdig3:
		return true
	}
	return false
}

// section reads a Section Header Block, Section 4.1: the byte order magic u32,
// major u16, minor u16 and the section length u64. The section length is not
// needed: sections are told by their headers.
func (r *Reader) section(body []byte) error {
	if len(body) < 16 {
		return r.stop("a section header of %d bytes is too short", len(body)+blockFrame)
	}
	r.in.Dropped = addClamped(r.in.Dropped, r.ng.sectionDropped())
	r.ng = ngState{interfaces: r.ng.interfaces[:0]}
	r.version++
	if major, minor := r.u16(body[4:]), r.u16(body[6:]); major != 1 {
		r.ng.foreign = true
		r.note("a section has the pcapng version %d.%d, which is not known", major, minor)
	}
	return nil
}

// interfaceDescription reads an Interface Description Block, Section 4.2:
// link type u16, reserved u16, snaplen u32, options.
func (r *Reader) interfaceDescription(body []byte) {
	if len(r.ng.interfaces) == maxInterfaces {
		r.note("a section describes more interfaces than the limit of %d", maxInterfaces)
		return
	}
	// A bad description has its number all the same.
	i := ngInterface{clock: microseconds}
	if len(body) < 8 {
		i.bad = true
		r.note("an interface description of %d bytes is too short", len(body)+blockFrame)
	} else {
		i.link, i.snaplen = LinkType(r.u16(body)), r.u32(body[4:])
		o := options{r: r, left: body[8:]}
		for o.next() {
			switch {
			case o.code == optInterfaceTsresol && len(o.value) == 1:
				i.clock = newClock(o.value[0], i.clock.offset)
			case o.code == optInterfaceTsoffset && len(o.value) == 8:
				i.clock.offset = int64(r.u64(o.value))
			case o.code == optInterfaceFCSLen && len(o.value) == 1:
				i.fcs = fcsBytes(o.value[0])
			}
		}
		if o.bad {
			r.note("the options of an interface description cannot be read; the times of its packets may be wrong")
		}
	}
	r.ng.interfaces = append(r.ng.interfaces, i)
	r.version++
}

// fcsBytes reads if_fcslen. The specification has it in bits, its own example
// in bytes, and writers do either.
func fcsBytes(v uint8) uint8 {
	if v >= 8 {
		return v / 8
	}
	return v
}

// enhancedPacket reads an Enhanced Packet Block, Section 4.3: interface u32,
// time u32 high and u32 low, captured u32, length u32, data, options.
func (r *Reader) enhancedPacket(body []byte, p *Packet) bool {
	if len(body) < 20 {
		r.skipPacket("a packet block of %d bytes is too short", len(body)+blockFrame)
		return false
	}
	i := r.interfaceOf(r.u32(body))
	if i == nil {
		r.skipPacket("a packet belongs to interface %d, which is not described", r.u32(body))
		return false
	}
	ticks := uint64(r.u32(body[4:]))<<32 | uint64(r.u32(body[8:]))
	return r.packet(i, ticks, r.u32(body[12:]), r.u32(body[16:]), body[20:], p)
}

// oldPacket reads a Packet Block, appendix A: interface u16, drops u16, and
// then as in an Enhanced Packet Block.
func (r *Reader) oldPacket(body []byte, p *Packet) bool {
	if len(body) < 20 {
		r.skipPacket("a packet block of %d bytes is too short", len(body)+blockFrame)
		return false
	}
	number, drops := r.u16(body), r.u16(body[2:])
	i := r.interfaceOf(uint32(number))
	if i == nil {
		r.skipPacket("a packet belongs to interface %d, which is not described", number)
		return false
	}
	if drops != math.MaxUint16 { // which says "not known"
		r.lose(i, uint64(drops))
	}
	ticks := uint64(r.u32(body[4:]))<<32 | uint64(r.u32(body[8:]))
	return r.packet(i, ticks, r.u32(body[12:]), r.u32(body[16:]), body[20:], p)
}

// lose counts packets that were lost before the one at hand.
func (r *Reader) lose(i *ngInterface, n uint64) {
	if n > 0 {
		i.counted = addClamped(i.counted, n)
		r.aside = true
	}
}

// packet takes the common part of both: data and options in rest.
func (r *Reader) packet(i *ngInterface, ticks uint64, captured, length uint32, rest []byte, p *Packet) bool {
	if !r.takeData(i, captured, length, rest, p) {
		return false
	}
	p.Time = i.clock.time(ticks)
	if o := (options{r: r, left: rest[min(len(rest), int(captured+3)&^3):]}); len(o.left) != 0 {
		r.packetOptions(i, &o, p)
	}
	return true
}

func (r *Reader) packetOptions(i *ngInterface, o *options, p *Packet) {
	for o.next() {
		switch {
		case o.code == optPacketFlags && len(o.value) == 4:
			// Bits 5 to 8 are the length of the check sequence in bytes, 0 for
			// "not known".
			if fcs := uint8(r.u32(o.value) >> 5 & 0xf); fcs != 0 {
				p.FCSLength = fcs
			}
		case o.code == optPacketDropCount && len(o.value) == 8:
			r.lose(i, r.u64(o.value))
		}
	}
	if o.bad {
		r.note("the options of a packet cannot be read")
	}
}

// simplePacket reads a Simple Packet Block, Section 4.4: length u32, data. It
// belongs to the first interface and has no time.
func (r *Reader) simplePacket(body []byte, p *Packet) bool {
	if len(body) < 4 {
		r.skipPacket("a packet block of %d bytes is too short", len(body)+blockFrame)
		return false
	}
	i := r.interfaceOf(0)
	if i == nil {
		r.skipPacket("a packet belongs to interface 0, which is not described")
		return false
	}
	length := r.u32(body)
	captured := length
	if i.snaplen != 0 {
		captured = min(captured, i.snaplen)
	}
	p.Time = 0
	return r.takeData(i, captured, length, body[4:], p)
}

// interfaceOf returns the interface of that number, or nil.
func (r *Reader) interfaceOf(number uint32) *ngInterface {
	if uint64(number) >= uint64(len(r.ng.interfaces)) || r.ng.interfaces[number].bad {
		return nil
	}
	return &r.ng.interfaces[number]
}

// takeData sets all of p that does not depend on the time.
func (r *Reader) takeData(i *ngInterface, captured, length uint32, rest []byte, p *Packet) bool {
	if uint64(captured) > uint64(len(rest)) {
		r.skipPacket("a packet claims %d captured bytes in a block with %d", captured, len(rest))
		return false
	}
	if limit := packetLimit(i.snaplen); captured > limit {
		r.skipPacket("a packet claims %d captured bytes, more than the limit of %d", captured, limit)
		return false
	}
	p.Data = rest[:captured:captured]
	p.Length = int(max(captured, length))
	p.LinkType, p.FCSLength = i.link, i.fcs
	return true
}

// statistics reads an Interface Statistics Block, Section 4.6: interface u32,
// time u64, options. Its counters run from the beginning of the capture.
func (r *Reader) statistics(body []byte) {
	if len(body) < 12 {
		return
	}
	i := r.interfaceOf(r.u32(body))
	if i == nil {
		return
	}
	dropped, told := uint64(0), false
	o := options{r: r, left: body[12:]}
	for o.next() {
		if (o.code == optStatisticsIfDrop || o.code == optStatisticsOSDrop) && len(o.value) == 8 {
			if v := r.u64(o.value); v != math.MaxUint64 { // which says "not known"
				dropped, told = addClamped(dropped, v), true
			}
		}
	}
	if told {
		i.reported = dropped
	}
}

// sectionDropped is the number of packets lost in the current section. The
// packets' own counts and the statistics count the same losses.
func (s *ngState) sectionDropped() uint64 {
	sum := uint64(0)
	for i := range s.interfaces {
		sum = addClamped(sum, max(s.interfaces[i].reported, s.interfaces[i].counted))
	}
	return sum
}

// secrets reads a Decryption Secrets Block, Section 4.7: type u32, length u32, data.
func (r *Reader) secrets(body []byte) {
	if len(body) < 8 || uint64(r.u32(body[4:])) > uint64(len(body)-8) {
		r.note("a block with decryption secrets is too short")
		return
	}
	data := body[8 : 8+r.u32(body[4:])]
	if r.u32(body) != secretsTLS || len(data) == 0 {
		return
	}
	if r.secretBytes += len(data) + secretCost; r.secretBytes > maxSecrets {
		r.note("the key log text of the file is larger than the limit of %d bytes", maxSecrets)
		return
	}
	r.in.Secrets = append(r.in.Secrets, bytes.Clone(data))
}

// options reads options, Section 3.5: code u16, length u16, value, padding to 4.
type options struct {
	r     *Reader
	left  []byte
	code  uint16
	value []byte
	bad   bool
}

// next reads one option, and reports whether there was one. bad says that what
// is left makes no sense.
func (o *options) next() bool {
	if len(o.left) == 0 {
		return false
	}
	if len(o.left) < 4 {
		o.bad = true
		return false
	}
	o.code = o.r.u16(o.left)
	if o.code == optEnd {
		return false
	}
	length := int(o.r.u16(o.left[2:]))
	size := 4 + (length+3)&^3
	if size > len(o.left) {
		o.bad = true
		return false
	}
	o.value, o.left = o.left[4:4+length], o.left[size:]
	return true
}
