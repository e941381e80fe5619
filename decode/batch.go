package decode

import (
	"distproof/capture"
	"distproof/capture/link"
	"distproof/internal/copies"
)

// Limits of a batch.
const (
	// BatchSegments are handed over at once: a worker that has nothing to do
	// sleeps, and to wake it takes as long as a hundred of them.
	BatchSegments = 2048
	// batchSpan is how much of a file a batch may have: what lies further back than
	// all batches is given back.
	batchSpan = 2 << 20
	// batchBytes is the room of a batch for payloads that have to be copied.
	batchBytes = 256 << 10
)

// A Batch has segments in the order of the capture. From when it is handed over
// until it is done, it must not be changed.
type Batch struct {
	segments [BatchSegments]link.Segment
	n        int
	// frames is to be added to the numbers of the segments' frames.
	frames uint32
	span   int // bytes of payload
	copied []byte
	// number is that of the first segment in the capture, and sequence that of the
	// batch.
	number, sequence uint64
	// hurried says that more is waiting: what can be done later is.
	hurried bool
	lists
	done func()

	// clock is as of when the segments came, and conns are their connections. They
	// are only for a [Live] decoder.
	clock uint32
	conns []*conn

	// reader is the worker that filled the batch ahead of its turn; -1 if none did.
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

// NewBatch returns a Batch without segments. done is called when it was decoded, and
// all before it.
func NewBatch(done func()) *Batch { return &Batch{done: done, reader: -1} }

// Next returns the segment for the caller to fill that Add then adds. There must
// be room for it.
func (b *Batch) Next() *link.Segment { return &b.segments[b.n] }

// Add adds the segment that Next returned, whose payload must stay valid, and
// returns its index.
func (b *Batch) Add() int {
	b.n++
	return b.n - 1
}

// Len returns how many segments there are.
func (b *Batch) Len() int { return b.n }

// ConnectionOf returns the number of the connection of a segment, by its index; 0
// if it was left out. It is valid once a [Live] decoder has taken the batch.
func (b *Batch) ConnectionOf(i int) uint64 {
	if c := b.conns[i]; c != nil {
		return c.tracked.number
	}
	return 0
}

// Reset makes room again.
func (b *Batch) Reset() {
	if b.conns != nil {
		clear(b.conns[:b.n])
	}
	b.n, b.frames, b.span, b.copied, b.reader, b.left = 0, 0, 0, b.copied[:0], -1, b.left[:0]
}

// keep returns a copy of payload that lives as long as the batch.
func (b *Batch) keep(payload []byte) []byte { return copies.Keep(&b.copied, batchBytes, payload) }

// sort makes the lists of segments by shard.
func (b *Batch) sort() {
	b.lists.clear()
	for i := range b.segments[:b.n] {
		s := &b.segments[i]
		s.Frame.Number += b.frames
		b.add(s, i)
	}
}

// read fills b with the segments of its part, ahead of its turn.
func (b *Batch) read() error {
	var p capture.Packet
	for b.n < BatchSegments && b.part.Next(&p) {
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
func (b *Batch) complete(links *link.Decoder) {
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
