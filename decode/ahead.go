package decode

import (
	"distproof/capture"
	"distproof/capture/link"
)

const (
	// aheadSize is how much of a file is read ahead of its turn.
	aheadSize = 8 << 20
	// aheadAfter is the packet before which that begins: the first ones tell how
	// large packets are, and through which tunnels they come.
	aheadAfter = 256
	// aheadPackets is about how many packets a part has, so that most parts fit
	// into a batch. What does not is read in its turn.
	aheadPackets = BatchSegments * 3 / 4
)

// aheadOf returns how many parts n workers read ahead of their turn: while one
// waits for it, there is another to read.
func aheadOf(n int) int { return 2 * n }

// Ahead has the workers of a [Pool] read and decode parts of a capture ahead of
// their turn. What depends on what is before them in the capture is then done
// by the caller, who reads as if nobody else did.
type Ahead struct {
	pool  *Pool
	files *capture.Files // nil if they cannot be read ahead
	links *link.Decoder
	// parts are what is being read, in the order of the capture.
	parts []*Batch
	most  int // how many
	// read is how many packets were not read ahead, and after how many of them the
	// first part is.
	read, after int
	// packets and size are what a part is to have.
	packets, size int
}

// Ahead returns an Ahead of src, whose packets links decodes.
func (p *Pool) Ahead(src capture.Source, links *link.Decoder) *Ahead {
	if p.over {
		return &Ahead{pool: p}
	}
	files, _ := src.(*capture.Files)
	most := cap(p.free) - waiting
	return &Ahead{pool: p, files: files, links: links, most: most, after: aheadAfter, packets: aheadPackets, size: aheadSize / most}
}

// Take takes the packets that were read ahead, if it is their turn: src goes on
// behind them. It is to be called before every packet that is read of src.
func (a *Ahead) Take() error {
	if a.files == nil || a.pool.over {
		return nil
	}
	if a.read++; a.read == a.after {
		a.start()
	}
	for len(a.parts) > 0 && a.files.Reached(&a.parts[0].part) {
		var b *Batch
		b, a.parts = pop(a.parts)
		if err := <-b.filled; err != nil {
			return err
		}
		a.join(b)
		if err := a.pool.failure(); err != nil {
			return err
		}
		a.start()
	}
	return nil
}

// start has further parts read.
func (a *Ahead) start() {
	for len(a.parts) < a.most {
		var b *Batch
		select {
		case b = <-a.pool.free:
		default:
			if len(a.parts) > 0 {
				return
			}
			b = <-a.pool.free // there is no hurry to read: decoding is behind
		}
		if !a.files.Part(&b.part, a.packets, a.size) {
			a.pool.free <- b
			return
		}
		if b.links == nil {
			b.links = a.links.Ahead()
		}
		a.parts = append(a.parts, b)
		a.pool.read(b)
	}
}

// join takes the segments of b, unless it was misread.
func (a *Ahead) join(b *Batch) {
	frames, ok := a.files.Join(&b.part)
	if !ok {
		b.links.Drop()
		b.Reset()
		a.pool.free <- b
		return
	}
	a.links.Join(b.links)
	b.frames = frames
	b.complete(a.links)
	a.pool.flush()
	a.pool.Hand(b)
}
