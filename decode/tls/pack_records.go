package tls

import (
	"bytes"
	"math/bits"

	"distproof/decode/pack"
)

// shapedRecords is how many records of a direction at most are packed by what they
// have in common with those of other connections: those of both handshakes. What
// comes behind them is new in every connection.
const shapedRecords = 12

// A logShape has the first records of a direction, as they are packed, without the
// numbers of their packets. It is not changed.
type logShape struct {
	packed []byte
	n      int
	number uint32 // in Tables.shapes
}

// pack packs the numbers of the packets, and what the shapes of t do not have.
func (l *Records) pack(p *pack.Packer, t *Tables) {
	pack.Int(p, &l.n)
	if p.Reading() {
		l.read(p, t)
		return
	}
	// Of records that were added to those of a shape, some may be in another one, once
	// there are as many as that may have.
	if l.shape != nil && (l.shape.n == shapedRecords || l.n < shapedRecords) {
		t.shapes.Pack(p, &l.shape, l.shape.number)
		p.View(l.packed)
		return
	}
	var room [3][256]byte
	all := l.whole(room[0][:0])
	x := splitLog{b: all, shape: room[1][:0], own: room[2][:0]}
	n := min(l.n, shapedRecords)
	x = x.split(n)
	number := uint32(0)
	if !x.failed {
		number = t.shapes.Numbered(x.shape, func(number uint32) *logShape { return &logShape{bytes.Clone(x.shape), n, number} }).number
	}
	var s *logShape
	if t.shapes.Pack(p, &s, number) == 0 {
		p.View(all)
		return
	}
	p.View(append(x.own, x.b...))
}

// read restores the records, of which there are l.n. They keep the shape, so that it
// need not be found again.
func (l *Records) read(p *pack.Packer, t *Tables) {
	if t.shapes.Pack(p, &l.shape, 0) == 0 {
		p.Bytes(&l.packed)
		return
	}
	l.packed = append(l.packed[:0], p.View(nil)...)
}

// whole returns all records as they are packed without a shape. It uses room for them,
// or returns what l has: they must not be changed.
func (l *Records) whole(room []byte) []byte {
	if l.shape == nil {
		return l.packed
	}
	x := splitLog{b: room, shape: l.shape.packed, own: l.packed}
	x = x.join(l.shape.n)
	return append(x.b, x.own...)
}

// A splitLog has packed records b, and others in two parts: the numbers of their
// packets, own, and all else, shape. It is given back changed, so that it need not
// be on the heap.
type splitLog struct {
	b, shape, own []byte
	failed        bool
}

// split moves the first n records of b to the two parts. It fails if the input changes.
func (x splitLog) split(n int) splitLog {
	b, shape, own := x.b, x.shape, x.own
	for range n {
		if b[0]&packInput != 0 {
			x.failed = true
			break
		}
		head := recordHead(b)
		shape = few(shape, b[:head])
		if b[0]&packPlace != 0 {
			number := numberEnd(b, head)
			own, head = few(own, b[head:number]), number
		}
		end := numberEnd(b, head)
		shape, b = few(shape, b[head:end]), b[end:]
	}
	x.b, x.shape, x.own = b, shape, own
	return x
}

// join appends the n records to b that are the first of the two parts.
func (x splitLog) join(n int) splitLog {
	b, shape, own := x.b, x.shape, x.own
	for range n {
		head := recordHead(shape)
		b = few(b, shape[:head])
		if shape[0]&packPlace != 0 {
			number := numberEnd(own, 0)
			b, own = few(b, own[:number]), own[number:]
		}
		end := numberEnd(shape, head)
		b, shape = few(b, shape[head:end]), shape[end:]
	}
	x.b, x.shape, x.own = b, shape, own
	return x
}

// few appends a few bytes, which takes less time one by one.
func few(to, from []byte) []byte {
	for ; len(from) > 0; from = from[1:] {
		to = append(to, from[0])
	}
	return to
}

// recordHead returns the length of what is packed of a record ahead of the number of
// its packet, in the same input as before.
func recordHead(b []byte) int {
	n := 1 + bits.OnesCount8(b[0]&(packType|packMessage))
	if b[0]&packPlace != 0 {
		n = numberEnd(b, numberEnd(b, n))
	}
	return n
}

// numberEnd returns the end of the number at b[from:].
func numberEnd(b []byte, from int) int {
	for b[from] >= 0x80 {
		from++
	}
	return from + 1
}
