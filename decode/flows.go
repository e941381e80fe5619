package decode

import (
	"math/bits"
	"math/rand/v2"

	"distproof/capture/link"
)

// Flows finds connections by their endpoints. It is a hash table of pointers
// without keys: a key would take as much room as a tenth of a connection.
type flows struct {
	// seed cannot be foreseen, so that nobody can have many in the same place.
	seed  [2]uint64
	slots []*conn // a power of two of them, of which at most two thirds are used
	n     int
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

// slot returns where the connection between a and b is, or would be. There must be
// slots.
func (f *flows) slot(a, b *link.Endpoint) int {
	last := len(f.slots) - 1
	i := int(f.hash(a, b)) & last
	for f.slots[i] != nil && !f.slots[i].between(a, b) {
		i = (i + 1) & last
	}
	return i
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
	return f.slots[f.slot(a, b)]
}

// put adds c in place of the connection with the same ends.
func (f *flows) put(c *conn) {
	if 3*(f.n+1) > 2*len(f.slots) {
		before := f.slots
		f.slots = make([]*conn, max(16, 2*len(before)))
		for _, c := range before {
			if c != nil {
				f.slots[f.slot(&c.ends[0], &c.ends[1])] = c
			}
		}
	}
	i := f.slot(&c.ends[0], &c.ends[1])
	if f.slots[i] == nil {
		f.n++
	}
	f.slots[i] = c
}

// remove takes c out, if it is there.
func (f *flows) remove(c *conn) {
	if f.find(&c.ends[0], &c.ends[1]) != c {
		return
	}
	i, last := f.slot(&c.ends[0], &c.ends[1]), len(f.slots)-1
	f.slots[i] = nil
	f.n--
	// Those behind it may be nearer to where they belong now.
	for i = (i + 1) & last; f.slots[i] != nil; i = (i + 1) & last {
		c := f.slots[i]
		f.slots[i] = nil
		f.slots[f.slot(&c.ends[0], &c.ends[1])] = c
	}
}
