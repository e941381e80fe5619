package capture

// The pcap format is https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html.
// A file header of 24 bytes,
//
//	magic u32 | major u16 | minor u16 | zone u32 | sigfigs u32 | snaplen u32 | link u32
//
// is followed by records of
//
//	seconds u32 | fraction u32 | captured u32 | length u32 | data

const (
	pcapHeaderLength     = 24
	recordLength         = 16
	modifiedRecordLength = 24
)

// A pcapVariant is what a magic says.
type pcapVariant struct {
	big, nano bool
	// modified records have 8 more bytes, which Linux kernels' patched libpcap
	// wrote: index u32 | protocol u16 | type u8 | padding u8.
	modified bool
}

// pcapMagics are the magics as they are in the file.
var pcapMagics = map[[4]byte]pcapVariant{
	{0xd4, 0xc3, 0xb2, 0xa1}: {},
	{0xa1, 0xb2, 0xc3, 0xd4}: {big: true},
	{0x4d, 0x3c, 0xb2, 0xa1}: {nano: true},
	{0xa1, 0xb2, 0x3c, 0x4d}: {big: true, nano: true},
	{0x34, 0xcd, 0xb2, 0xa1}: {modified: true},
	{0xa1, 0xb2, 0xcd, 0x34}: {big: true, modified: true},
}

type pcapState struct {
	nano   bool
	record int // length of a record header
	link   LinkType
	fcs    uint8
	limit  uint32
	order  lengthOrder
}

// A lengthOrder says in which order a record has its two lengths. Files of
// version 2.2 and older have them the other way round, those of 2.3 either way.
type lengthOrder int

const (
	capturedFirst lengthOrder = iota
	lengthFirst
	smallerIsCaptured
)

// openPcap reads the file header, of which the magic is there.
func (r *Reader) openPcap() {
	if !r.buf.need(pcapHeaderLength) {
		_ = r.end("the file header", pcapHeaderLength)
		return
	}
	h := r.buf.bytes()[:pcapHeaderLength]
	v := pcapMagics[[4]byte(h)]
	r.big = v.big
	link := r.u32(h[20:])
	r.pcap = pcapState{
		nano:   v.nano,
		record: recordLength,
		// Bits 16 to 25 are to be ignored by readers.
		link:  LinkType(link & 0xffff),
		limit: packetLimit(r.u32(h[16:])),
		order: orderOf(r.u16(h[4:]), r.u16(h[6:])),
	}
	if v.modified {
		r.pcap.record = modifiedRecordLength
	}
	if link&(1<<26) != 0 {
		r.pcap.fcs = uint8(link>>28) * 2 // the upper four bits count 16-bit words
	}
	r.buf.skip(pcapHeaderLength)
	l := layout{big: v.big, lengthAt: 8, more: r.pcap.record, markAt: 2, markLength: 2} // the upper half of the seconds
	if v.big {
		l.markAt = 0
	}
	r.buf.follow(l)
}

func orderOf(major, minor uint16) lengthOrder {
	switch {
	case major == 2 && minor < 3, major == 543 && minor == 0: // 543: DG/UX
		return lengthFirst
	case major == 2 && minor == 3:
		return smallerIsCaptured
	}
	return capturedFirst
}

// nextRecord reads the next record of a pcap file.
func (r *Reader) nextRecord(p *Packet) error {
	s := &r.pcap
	if !r.buf.need(s.record) {
		return r.end("a packet's header", s.record)
	}
	h := r.buf.bytes()
	seconds, fraction := r.u32(h), r.u32(h[4:])
	captured, length := r.u32(h[8:]), r.u32(h[12:])
	if s.order == lengthFirst || s.order == smallerIsCaptured && captured > length {
		captured, length = length, captured
	}
	if captured > s.limit {
		return r.stop("a packet claims %d captured bytes, more than the limit of %d", captured, s.limit)
	}
	end := s.record + int(captured)
	if !r.buf.need(end) {
		return r.end("a packet", end)
	}
	if !s.nano {
		// Fractions of a second and more are in real files; they add up.
		p.Time = int64(seconds)*1e9 + int64(fraction)*1000
	} else {
		p.Time = int64(seconds)*1e9 + int64(fraction)
	}
	p.Data = r.buf.bytes()[s.record:end:end]
	p.Length = int(max(captured, length))
	p.LinkType, p.FCSLength = s.link, s.fcs
	r.buf.skip(end)
	r.count(p)
	return nil
}
