package tcp

import (
	"math"

	"distproof/capture"
)

// StartKind says how the beginning of a direction is known.
type StartKind uint8

// The kinds of beginnings.
const (
	// StartUnknown: the capture began later; offset 0 is the first byte seen.
	StartUnknown StartKind = iota
	// StartSYN: the direction's own SYN was captured.
	StartSYN
	// StartAck: the peer's SYN+ACK acknowledged the SYN that was not captured.
	StartAck
	// StartFirstAck: neither was captured; the beginning is taken from the
	// first acknowledgement of a peer that had sent nothing but its SYN. Bytes
	// that were sent before it and are missing from the capture do not show.
	StartFirstAck
)

func (k StartKind) String() string {
	return [...]string{"unknown", "syn", "ack", "first-ack"}[k]
}

// Stats describes one direction of a connection. Gap and End are final after
// [Conn.Flush]; then Bytes + Gap = End.
type Stats struct {
	// Packets counts segments, each once even if it was captured on several
	// interfaces.
	Packets uint64
	// Bytes counts the captured bytes of the stream, each offset once.
	Bytes uint64
	// Gap counts the bytes known to be missing: lost by the capture, cut off
	// by its snaplen, or only known from the peer's acknowledgements or the
	// sequence number of the FIN. An acknowledged FIN that was not captured
	// looks like one missing byte and is counted as such.
	Gap uint64
	// Start says how the beginning is known.
	Start StartKind
	// FIN and RST say whether one was captured.
	FIN, RST bool
	// HeadLost says that the head was not kept whole, because the [Budget] was
	// exhausted.
	HeadLost bool
	// Rare has what most connections have nothing of while they are open; nil if
	// there is nothing, see [Stats.Odd].
	Rare *Rare
	// End is the highest known stream offset.
	End int64
	// SYNFrame is the frame of the first SYN; valid iff Start is StartSYN.
	SYNFrame capture.Frame
	// FirstFrame is the frame of the first packet; First and Last are the
	// earliest and the latest time of a packet, in nanoseconds since 1970.
	// Valid iff Packets > 0.
	FirstFrame  capture.Frame
	First, Last int64
}

// Rare is the part of [Stats] that is about what goes wrong, and about the end.
type Rare struct {
	// Conflicts counts the segments that contradict earlier ones: other bytes
	// for the same offsets, data after the FIN, a second FIN elsewhere.
	Conflicts uint64
	// FirstConflict is the frame of the first of them, ConflictOffset the
	// lowest stream offset of any; valid iff Conflicts > 0.
	FirstConflict  capture.Frame
	ConflictOffset int64
	// Unchecked counts bytes that came for offsets already passed (as data or
	// as a gap) and that there was nothing left to compare with.
	// UncheckedOffset is the lowest of these offsets; valid iff Unchecked > 0.
	Unchecked       uint64
	UncheckedOffset int64
	// Strays counts segments that were ignored because their sequence number
	// is implausible: more than 1 GiB from where the stream is, before its
	// beginning, or a SYN that does not fit.
	Strays uint32
	// StrayData counts those of them that carried data, and that no beginning of
	// the stream before the capture's explains.
	StrayData uint32
	// Overflows counts holes that were given up because a buffer or the
	// budget was full.
	Overflows uint64
	// Answers says that the FIN acknowledges the peer's FIN: the peer closed
	// first, in whichever order the capture has the two.
	Answers bool
	// FINAt and RSTAt say where the first FIN and the first RST were; valid iff there
	// was one. FINAt.Offset is the length of the stream. RSTAt.Offset is 0 if the
	// direction sent nothing else.
	FINAt, RSTAt Position
}

var nothingRare Rare

// Odd returns s.Rare, which must not be changed; never nil.
func (s *Stats) Odd() *Rare {
	if s.Rare == nil {
		return &nothingRare
	}
	return s.Rare
}

func most32(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) }

// Waits reports whether bytes of a direction are held until it is known where they
// belong: [Conn.Flush] would hand them over.
func (c *Conn) Waits(d Dir) bool {
	h := &c.half[d]
	return h.state != stateFixed || h.held != nil
}

// Stats returns what is known about direction d.
func (c *Conn) Stats(d Dir) Stats {
	h := &c.half[d]
	s := Stats{
		Packets:    h.packets,
		Bytes:      uint64(h.next-h.gap) + uint64(h.heldBytes()),
		Gap:        uint64(h.gap),
		HeadLost:   h.flags&headLost != 0,
		Start:      h.start,
		End:        h.end(),
		SYNFrame:   h.synFrame,
		FirstFrame: h.firstFrame,
		First:      h.first,
		Last:       h.last,
	}
	if r := h.rare; r != nil {
		s.FIN, s.RST = r.fin, r.rst
		s.Rare = &Rare{
			Conflicts: r.conflicts, FirstConflict: r.firstConflict, ConflictOffset: r.conflictOffset,
			Unchecked: r.unchecked, UncheckedOffset: r.uncheckedOffset,
			Strays: most32(r.strays), StrayData: most32(r.strayData), Overflows: r.overflows,
			FINAt: r.finAt.position(c.peerOf(d)), RSTAt: r.rstAt.position(c.peerOf(d)),
			Answers: r.fin && c.peerOf(d).hasFINAt(r.finAt),
		}
	}
	return s
}
