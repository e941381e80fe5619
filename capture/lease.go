package capture

// A Lender is a [Source] that can keep packets valid after the next call of Next.
type Lender interface {
	// Lend keeps the last packet that Next returned valid until l ends. It reports
	// false, and does not, if the source needs the room for what comes. It is called
	// from the goroutine that calls Next.
	Lend(l *Lease) bool
}

// A Lease keeps packets valid. The zero Lease has none.
type Lease struct {
	blocks []int
	// back gives one of them back.
	back func(block int)
}

// Has reports whether a block was added last.
func (l *Lease) Has(block int) bool {
	n := len(l.blocks)
	return n > 0 && l.blocks[n-1] == block
}

// Add adds a block of packets, for which back is to be called at the end. It is for
// a [Lender], which has one back for all of its leases.
func (l *Lease) Add(block int, back func(block int)) {
	l.blocks, l.back = append(l.blocks, block), back
}

// End gives up the packets, and makes l ready for others. Any goroutine may do so,
// before the Source is closed.
func (l *Lease) End() {
	for _, block := range l.blocks {
		l.back(block)
	}
	l.blocks = l.blocks[:0]
}
