package fact

// A Digest tells whether facts changed without keeping them. Others that come to
// the same digest are not to be expected, unless somebody looks for them.
type Digest uint64

// Add adds numbers.
func (d *Digest) Add(numbers ...uint64) {
	h := uint64(*d)
	for _, n := range numbers {
		h = (h ^ n) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	*d = Digest(h)
}

// Flags adds up to 64 answers.
func (d *Digest) Flags(flags ...bool) {
	n := uint64(0)
	for i, f := range flags {
		if f {
			n |= 1 << i
		}
	}
	d.Add(n)
}
