package keep

import (
	"distproof/capture"
	"distproof/capture/link"
)

const (
	// mostFragments bounds the bytes of the fragments that are held. They come one right
	// after the other.
	mostFragments = 2 << 20
	// fragmentsFor is for how long they are, in nanoseconds (RFC 8200, Section 4.5).
	fragmentsFor = 60e9
)

// fragments hold the packets with IP fragments until the one comes that completes
// their segment: before that, nobody knows to which connection they belong.
type fragments struct {
	links   *link.Decoder
	segment link.Segment
	count   uint32 // of packets looked at, by which they are told apart
	held    map[uint32][]byte
	order   []uint32 // of what is, or was, held
	bytes   int
}

func newFragments(o link.Options) fragments {
	return fragments{links: link.NewDecoder(o), held: make(map[uint32][]byte)}
}

// take looks at a packet, and returns the records of those that had the other
// fragments of its segment, with how many of them are not held. Only those that belong
// to no connection may have to wait, and only while some do may others end that.
func (f *fragments) take(p *capture.Packet, number uint64) (parts [][]byte, missing int) {
	f.trim(p.Time)
	if number != 0 && len(f.held) == 0 {
		return nil, 0
	}
	f.count++
	q := *p
	q.Frame = capture.Frame{Number: f.count}
	f.links.Decode(&q, &f.segment)
	if f.links.Waiting() {
		f.hold(p)
		return nil, 0
	}
	for _, part := range f.links.Parts() {
		if record := f.release(part.Number); record != nil {
			parts = append(parts, record)
		} else {
			missing++
		}
	}
	return parts, missing
}

// hold keeps a packet, in place of the oldest if there is no room.
func (f *fragments) hold(p *capture.Packet) {
	f.held[f.count] = appendRecord(nil, p)
	f.order = append(f.order, f.count)
	f.bytes += recordSize(p)
	f.trim(p.Time)
}

// trim gives up the oldest packets that there is no room for, or no time.
func (f *fragments) trim(now int64) {
	for len(f.order) > 0 {
		if record := f.held[f.order[0]]; record != nil && f.bytes <= mostFragments {
			var p capture.Packet
			if readRecord(record, &p); now-p.Time <= fragmentsFor {
				return
			}
		}
		f.release(f.order[0])
		f.order = f.order[1:]
	}
}

// release gives up a packet; nil if it is not held.
func (f *fragments) release(n uint32) []byte {
	record := f.held[n]
	f.bytes -= len(record)
	delete(f.held, n)
	return record
}
