package decode

import (
	"distproof/capture"
	"distproof/capture/link"
	"distproof/internal/copies"
)

// Limits of a load.
const (
	// loadSegments are handed over at once: a worker that has nothing to do
	// sleeps, and to wake it takes as long as a hundred of them.
	loadSegments = 2048
	// loadSpan is how much of a file a load may have: what lies further back than
	// all loads is given back.
	loadSpan = 2 << 20
	// loadBytes is the room of a load for payloads that have to be copied.
	loadBytes = 256 << 10
)

// A load has segments in the order of the capture.
type load struct {
	segments [loadSegments]link.Segment
	n        int
	// frames is to be added to the numbers of the segments' frames.
	frames uint32
	span   int // bytes of payload
	copied []byte
	// number is that of the first segment in the capture, and sequence that of the
	// load.
	number, sequence uint64
	lists

	// reader is the worker that filled the load ahead of its turn; -1 if none did.
	// The rest is only for that.
	reader int
	filled chan error
	part   capture.Part
	links  *link.Decoder
	left   []leftPacket
}

// A leftPacket is one that has to be decoded in its turn.
type leftPacket struct {
	at     int // the place of its segment
	packet capture.Packet
}

func (b *load) clear() {
	b.n, b.frames, b.span, b.copied, b.reader, b.left = 0, 0, 0, b.copied[:0], -1, b.left[:0]
}

// keep returns a copy of payload that lives as long as the load.
func (b *load) keep(payload []byte) []byte { return copies.Keep(&b.copied, loadBytes, payload) }

// sort makes the lists of segments by shard.
func (b *load) sort() {
	b.lists.clear()
	for i := range b.segments[:b.n] {
		s := &b.segments[i]
		s.Frame.Number += b.frames
		b.add(s, i)
	}
}

// read fills b with the segments of its part, ahead of its turn.
func (b *load) read() error {
	var p capture.Packet
	for b.n < loadSegments && b.part.Next(&p) {
		switch {
		case b.links.Decode(&p, &b.segments[b.n]):
			b.n++
		case b.links.Left():
			b.left = append(b.left, leftPacket{b.n, p})
			b.n++
		}
	}
	return nil
}

// complete decodes the packets that were left, now that it is their turn.
func (b *load) complete(links *link.Decoder) {
	if len(b.left) == 0 {
		return
	}
	left, from, n := b.left, b.left[0].at, b.n
	b.n = from
	for i := from; i < n; i++ {
		s := &b.segments[b.n]
		if len(left) == 0 || left[0].at != i {
			*s = b.segments[i]
			b.n++
			continue
		}
		p := &left[0].packet
		left = left[1:]
		p.Frame.Number += b.frames
		if !links.Decode(p, s) {
			continue
		}
		s.Frame.Number -= b.frames // as the others
		if len(links.Parts()) > 0 {
			s.Payload = b.keep(s.Payload)
		}
		b.n++
	}
}
