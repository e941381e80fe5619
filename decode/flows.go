package decode

import (
	"math/bits"
	"math/rand/v2"

	"distproof/capture/link"
	"distproof/internal/prefetch"
)

// Flows finds connections by their endpoints. It is a hash table of pointers
// without keys: a key would take as much room as a tenth of a connection.
type flows struct {
	// seed cannot be foreseen, so that nobody can have many in the same place.
	seed  [2]uint64
	slots []*conn // a power of two of them, of which at most two thirds are used
	// tags have a few bits of the hash for each slot, 0 if it is empty: most that are
	// not looked for need not be read from memory.
	tags []uint8
	n    int
}

func newFlows() flows { return flows{seed: [2]uint64{rand.Uint64(), rand.Uint64()}} }

// hash is the same for both orders of a and b.
func (f *flows) hash(a, b *link.Endpoint) uint64 {
	h := f.fingerprint(a) + f.fingerprint(b)
	return h ^ h>>32
}

func (f *flows) fingerprint(e *link.Endpoint) uint64 {
	high, low := words(e)
	hi, lo := bits.Mul64(low^f.seed[0], uint64(e.Port)<<32^high^f.seed[1])
	return hi ^ lo
}

// tagOf returns the tag for a hash.
func tagOf(h uint64) uint8 { return 1<<7 | uint8(h>>57) }

// slot returns where the connection between a and b is, or would be. There must be
// slots.
func (f *flows) slot(a, b *link.Endpoint) (i int, tag uint8) {
	h, last := f.hash(a, b), len(f.slots)-1
	i, tag = int(h)&last, tagOf(h)
	for f.tags[i] != 0 && (f.tags[i] != tag || !f.slots[i].between(a, b)) {
		i = (i + 1) & last
	}
	return i, tag
}

// ask returns the hash of a and b, and has the processor fetch where likely looks. There
// must be slots.
func (f *flows) ask(a, b *link.Endpoint) uint64 {
	h := f.hash(a, b)
	i := int(h) & (len(f.slots) - 1)
	prefetch.Value(&f.tags[i])
	prefetch.Value(&f.slots[i])
	return h
}

// likely returns the connection that a hash is probably of; nil if there is none.
func (f *flows) likely(h uint64) *conn {
	last := len(f.slots) - 1
	i, tag := int(h)&last, tagOf(h)
	for f.tags[i] != 0 && f.tags[i] != tag {
		i = (i + 1) & last
	}
	return f.slots[i]
}

// between reports whether a and b are the ends of c.
func (c *conn) between(a, b *link.Endpoint) bool {
	return *a == c.ends[0] && *b == c.ends[1] || *a == c.ends[1] && *b == c.ends[0]
}

// find returns the connection between a and b; nil if there is none.
func (f *flows) find(a, b *link.Endpoint) *conn {
	if f.n == 0 {
		return nil
	}
	i, _ := f.slot(a, b)
	return f.slots[i]
}

// put adds c in place of the connection with the same ends.
func (f *flows) put(c *conn) {
	if 3*(f.n+1) > 2*len(f.slots) {
		before := f.slots
		n := max(16, 2*len(before))
		f.slots, f.tags = make([]*conn, n), make([]uint8, n)
		for _, c := range before {
			if c != nil {
				f.fill(c)
			}
		}
	}
	if f.fill(c) {
		f.n++
	}
}

// fill puts c where it belongs, and reports whether that was empty.
func (f *flows) fill(c *conn) bool {
	i, tag := f.slot(&c.ends[0], &c.ends[1])
	empty := f.slots[i] == nil
	f.slots[i], f.tags[i] = c, tag
	return empty
}

// remove takes c out, if it is there.
func (f *flows) remove(c *conn) {
	if f.find(&c.ends[0], &c.ends[1]) != c {
		return
	}
	i, _ := f.slot(&c.ends[0], &c.ends[1])
	last := len(f.slots) - 1
	f.slots[i], f.tags[i] = nil, 0
	f.n--
	// Those behind it may be nearer to where they belong now.
	for i = (i + 1) & last; f.slots[i] != nil; i = (i + 1) & last {
		c := f.slots[i]
		f.slots[i], f.tags[i] = nil, 0
		f.fill(c)
	}
}
