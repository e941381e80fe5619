package link

import (
	"bytes"
	"container/list"

	"distproof/capture"
)

// Limits of reassembling IP datagrams. TCP avoids fragments, so that what is
// kept is little but in hostile captures and in tunnels with a too small MTU.
const (
	// maxDatagrams is the number of datagrams kept, among them finished ones.
	maxDatagrams = 1024
	// maxDatagramBytes is their size together. It has room for 240 of the longest.
	maxDatagramBytes = 16 << 20
	// maxDatagram is the longest datagram (RFC 791, Section 3.1; RFC 8200, Section 3).
	maxDatagram = 65535
	// datagramTimeout is how long a datagram waits for its fragments, in
	// nanoseconds of capture time (RFC 8200, Section 4.5: 60 seconds; RFC 1122,
	// Section 3.3.2: 60 to 120 seconds).
	datagramTimeout = 60e9
	// fragmentUnit is what fragment offsets count in.
	fragmentUnit = 8
	maxUnits     = (maxDatagram + fragmentUnit - 1) / fragmentUnit
	// MaxParts is the number of packets of a datagram that are remembered by
	// number. The longest in fragments of 1280 bytes has 52.
	MaxParts = 128
	// datagramOverhead is about what a datagram takes beside its bytes.
	datagramOverhead = 2048
)

// A fragmentHeader is what IP says about a fragment.
type fragmentHeader struct {
	id     uint32
	proto  byte
	offset int // in bytes
	more   bool
	v6     bool
}

// A datagramKey tells datagrams apart (RFC 791, Section 3.2; RFC 8200, Section
// 4.5). The same datagram seen inside and outside of a tunnel is two: otherwise
// fragments left over from one would wait for others in vain.
type datagramKey struct {
	src, dst [16]byte
	id       uint32
	proto    byte // zero for IPv6, where fragments may differ in it
	v6       bool
	path     path
}

// The states of a datagram.
type datagramState uint8

const (
	gathering datagramState = iota
	// complete datagrams are kept to recognise repeated fragments.
	complete
	// contradictory datagrams are kept so that no later fragment begins them anew
	// (RFC 5722, Section 4: those "not yet received" are discarded, too).
	contradictory
)

// A datagram is an IP datagram in fragments.
type datagram struct {
	key     datagramKey
	element *list.Element
	started int64 // time of the first fragment seen
	state   datagramState
	buf     []byte
	have    [(maxUnits + 63) / 64]uint64 // bit per unit seen
	units   int                          // number of bits set
	end     int                          // highest end seen
	total   int                          // length; zero while unknown
	// cut is the lowest position that was on the wire but not captured.
	cut int
	// proto is the protocol that the fragment at offset zero announced.
	proto byte
	// held are the packets that wait for the rest.
	held  []share
	parts []capture.Frame
	// outcome is what became of the datagram; valid if complete.
	outcome reason
}

// fragments are the datagrams kept, oldest first.
type fragments struct {
	byKey map[datagramKey]*datagram
	order *list.List
	bytes int
}

func newFragments() fragments {
	return fragments{byKey: make(map[datagramKey]*datagram), order: list.New()}
}

func (f *fragments) oldest() *datagram {
	if e := f.order.Front(); e != nil {
		return e.Value.(*datagram)
	}
	return nil
}

func (f *fragments) start(key datagramKey, now int64) *datagram {
	g := &datagram{key: key, started: now, cut: maxDatagram + 1}
	g.element = f.order.PushBack(g)
	f.byKey[key] = g
	f.bytes += datagramOverhead
	return g
}

func (f *fragments) remove(g *datagram) {
	f.order.Remove(g.element)
	delete(f.byKey, g.key)
	f.bytes -= datagramOverhead + cap(g.buf)
}

// evict forgets a datagram. If it is unfinished, its packets are counted.
func (d *Decoder) evict(g *datagram, why reason) {
	d.fragments.remove(g)
	if g.state == gathering {
		d.countShares(g.held, why)
	}
}

// fragment adds a fragment to its datagram, and goes on with the datagram if
// that completes it.
func (d *Decoder) fragment(f fragmentHeader, r rest) reason {
	if r.wire == 0 || f.offset+r.wire > maxDatagram || f.more && r.wire%fragmentUnit != 0 {
		return malformed(protoFragment)
	}
	if d.ahead {
		return pending
	}
	g, why := d.datagramFor(f, r)
	if why != found {
		return why
	}
	before := cap(g.buf)
	ok := g.add(f, r)
	d.fragments.bytes += cap(g.buf) - before
	switch {
	case !ok:
		return d.contradict(g)
	case !g.whole():
		g.hold(d.packet.Frame.Input, d.joined)
		g.remember(d.packet.Frame, d.parts)
		d.trim(g)
		return pending
	}
	d.trim(g)
	g.state = complete
	d.joined, d.parts = append(d.joined, g.held...), append(d.parts, g.parts...)
	g.held, g.parts = nil, nil
	data := rest{b: g.buf[:min(len(g.buf), g.total, g.cut)], wire: g.total}
	if f.v6 {
		g.outcome = d.extensions(g.proto, data)
	} else {
		g.outcome = d.transport(g.proto, data, false)
	}
	return g.outcome
}

// datagramFor finds or starts the datagram of a fragment, or says why the
// fragment is of no use.
func (d *Decoder) datagramFor(f fragmentHeader, r rest) (*datagram, reason) {
	key := datagramKey{src: d.seg.Src.Addr, dst: d.seg.Dst.Addr, id: f.id, v6: f.v6}
	if !f.v6 {
		key.proto = f.proto
	}
	key.path.n = copy(key.path.layers[:], d.path.layers[:d.path.n])
	now := d.packet.Time
	d.expire(now)
	g := d.fragments.byKey[key]
	switch {
	case g == nil:
		return d.fragments.start(key, now), found
	case g.state == contradictory:
		return nil, reasonFragmentConflict
	case g.state == gathering:
		return g, found
	case !g.repeats(f, r): // the identification is in use again
		d.evict(g, reasonIncomplete)
		return d.fragments.start(key, now), found
	case g.outcome == found || g.outcome == pending:
		return nil, reasonFragmentRepeated
	default:
		return nil, g.outcome
	}
}

// expire forgets what waits for too long. Time may go backwards between inputs;
// then the other limits bound what is kept.
func (d *Decoder) expire(now int64) {
	for g := d.fragments.oldest(); g != nil && now-g.started > datagramTimeout; g = d.fragments.oldest() {
		d.evict(g, reasonIncomplete)
	}
}

// trim keeps the limits, sparing g.
func (d *Decoder) trim(g *datagram) {
	f := &d.fragments
	for f.order.Len() > maxDatagrams || f.bytes > maxDatagramBytes {
		if f.oldest() == g {
			f.order.MoveToBack(g.element)
			continue
		}
		d.evict(f.oldest(), reasonFragmentLimit)
	}
}

// contradict gives up a datagram whose fragments overlap with different bytes:
// which ones the receiver took cannot be known.
func (d *Decoder) contradict(g *datagram) reason {
	d.joined = append(d.joined, g.held...)
	d.fragments.bytes -= cap(g.buf)
	g.state, g.buf, g.held, g.parts = contradictory, nil, nil, nil
	return reasonFragmentConflict
}

// hold remembers that the packet of an input, and those joined to it, wait.
func (g *datagram) hold(input uint32, joined []share) {
	g.holdShare(share{input, 1})
	for _, s := range joined {
		g.holdShare(s)
	}
}

func (g *datagram) holdShare(s share) {
	for i := range g.held {
		if g.held[i].input == s.input {
			g.held[i].packets += s.packets
			return
		}
	}
	g.held = append(g.held, s)
}

// remember notes a packet that waits, and those that it completed.
func (g *datagram) remember(f capture.Frame, parts []capture.Frame) {
	for _, p := range append(parts, f) {
		if len(g.parts) < MaxParts {
			g.parts = append(g.parts, p)
		}
	}
}

// whole reports whether all of g was seen.
func (g *datagram) whole() bool {
	return g.total > 0 && g.units == (g.total+fragmentUnit-1)/fragmentUnit
}

// add notes a fragment. It returns false if the fragment contradicts an earlier
// one.
func (g *datagram) add(f fragmentHeader, r rest) bool {
	end := f.offset + r.wire
	if !g.noteEnd(end, f.more) {
		return false
	}
	if !g.agrees(f.offset, r.b) {
		return false
	}
	if f.offset == 0 {
		if g.seen(0) && g.proto != f.proto {
			return false
		}
		g.proto = f.proto
	}
	if captured := f.offset + len(r.b); captured < end {
		g.cut = min(g.cut, captured)
	}
	g.store(f.offset, end, r.b)
	return true
}

func (g *datagram) noteEnd(end int, more bool) bool {
	if g.total > 0 && end > g.total {
		return false
	}
	g.end = max(g.end, end)
	if !more {
		if g.end > end {
			return false
		}
		g.total = end
	}
	return true
}

// store copies the units that are new. First bytes win, but as g.agrees was
// asked before, that makes no difference.
func (g *datagram) store(offset, end int, b []byte) {
	if n := offset + len(b); n > len(g.buf) {
		g.buf = append(g.buf, make([]byte, n-len(g.buf))...)
	}
	copy(g.buf[offset:], b)
	for u := offset / fragmentUnit; u*fragmentUnit < end; u++ {
		if !g.seen(u) {
			g.have[u/64] |= 1 << (u % 64)
			g.units++
		}
	}
}

func (g *datagram) seen(unit int) bool { return g.have[unit/64]&(1<<(unit%64)) != 0 }

// agrees reports whether b is equal to what is known at offset. Bytes that the
// capture cut are not compared.
func (g *datagram) agrees(offset int, b []byte) bool {
	known := min(len(g.buf), g.cut)
	for at := offset; at < offset+len(b) && at < known; at += fragmentUnit {
		if !g.seen(at / fragmentUnit) {
			continue
		}
		end := min(at+fragmentUnit, offset+len(b), known)
		if !bytes.Equal(g.buf[at:end], b[at-offset:end-offset]) {
			return false
		}
	}
	return true
}

// repeats reports whether a fragment of the complete datagram g was seen before.
func (g *datagram) repeats(f fragmentHeader, r rest) bool {
	end := f.offset + r.wire
	if end > g.total || f.more == (end == g.total) {
		return false
	}
	return g.agrees(f.offset, r.b)
}
