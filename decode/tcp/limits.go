package tcp

// The default limits.
const (
	// defaultBuffer is the out-of-order data held per direction: the largest
	// receive window that Erlang nodes commonly reach on a fast network is
	// below it, so a sender cannot have more than this in flight behind a
	// reordered segment.
	defaultBuffer = 1 << 20
	// defaultHead covers every handshake of TLS and of the distribution
	// protocol, with long certificate chains, several times over.
	defaultHead = 64 << 10
	// defaultWait is far beyond the reordering of networks and of captures on
	// several interfaces (a handful of segments), and below the segments that
	// fill defaultBuffer.
	defaultWait = 64
	// shortWait is that where the [Budget] is tight and nothing matters any more: still
	// more than such a handful.
	shortWait = 8
	// defaultBudget bounds all connections together.
	defaultBudget = 256 << 20
)

// Fixed limits.
const (
	// plausible is the largest distance in bytes of a segment from where the
	// stream is: the largest window of TCP (RFC 7323, Section 2.3), 1 GiB.
	plausible = 1 << 30
	// maxChunks bounds the list of held pieces per direction, which is kept
	// sorted by insertion: it keeps the worst case of one-byte segments cheap.
	maxChunks = 4096
	// chunkCost is what holding a piece costs besides its bytes.
	chunkCost = 96
	// startSegments and startBytes say how long a direction without a known
	// beginning is held before its lowest sequence number becomes its
	// beginning.
	startSegments = 8
	startBytes    = 64 << 10
	// initialWindow is how far a direction may be when its SYN is captured late:
	// a little more than the ten segments that are sent without an
	// acknowledgement (RFC 6928).
	initialWindow = 16 << 10
	// maxHeadHoles bounds the gaps noted inside the retained head.
	maxHeadHoles = 64
	// recentSegments is how many segments back a copy of a packet from another
	// interface is recognised.
	recentSegments = 8
)

// Limits bounds what reassembly of one connection may hold. Zero fields mean
// the defaults.
type Limits struct {
	// Buffer is the number of bytes held out of order, per direction; the
	// default is 1 MiB.
	Buffer int
	// Head is the number of bytes from the beginning of each direction that
	// are kept to compare retransmissions with; the default is 64 KiB. A
	// negative number keeps none.
	Head int
	// LongHead is that number as long as the sink is a [Chooser] to which that
	// much matters; 0 if that is never so.
	LongHead int
	// Wait is the number of further segments with data after which a hole that
	// the receiver has acknowledged counts as lost; the default is 64. It is 8
	// where the [Budget] is tight and a [Chooser] wants no more.
	Wait int
}

func (l Limits) withDefaults() Limits {
	if l.Buffer == 0 {
		l.Buffer = defaultBuffer
	}
	if l.Head == 0 {
		l.Head = defaultHead
	}
	if l.Wait == 0 {
		l.Wait = defaultWait
	}
	return l
}

// A Budget bounds what all connections of a run hold together. It is not safe
// for concurrent use. A nil *Budget bounds nothing.
type Budget struct {
	left  int
	total int
	// spare has room that is used again for what is held: where segments come in
	// another order, most of what is allocated is for that, and memory that was
	// not touched before is what takes longest.
	spare [][]byte
}

const (
	// spareRoom is that of a segment of full size, and mostSpare how many are kept.
	spareRoom = 1536
	mostSpare = 512
)

// NewBudget returns a budget of the given number of bytes; zero means 256 MiB.
func NewBudget(bytes int) *Budget {
	if bytes == 0 {
		bytes = defaultBudget
	}
	return &Budget{left: bytes, total: bytes}
}

// Used returns the number of bytes that are held now.
func (b *Budget) Used() int {
	if b == nil {
		return 0
	}
	return b.total - b.left
}

// tight reports whether more than a quarter of it is held.
func (b *Budget) tight() bool { return b != nil && b.left < b.total-b.total/4 }

// Scarce reports whether more than half of it is held.
func (b *Budget) Scarce() bool { return b != nil && b.left < b.total/2 }

func (b *Budget) take(n int) bool {
	if b == nil {
		return true
	}
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

func (b *Budget) give(n int) {
	if b != nil {
		b.left += n
	}
}

// room returns n bytes to hold data in.
func (b *Budget) room(n int) []byte {
	if b == nil || n <= spareRoom/2 || n > spareRoom {
		return make([]byte, n)
	}
	last := len(b.spare) - 1
	if last < 0 {
		return make([]byte, n, spareRoom)
	}
	room := b.spare[last]
	b.spare[last], b.spare = nil, b.spare[:last]
	return room[:n]
}

// reuse takes back what room returned and nobody looks at any more.
func (b *Budget) reuse(room []byte) {
	if b != nil && cap(room) == spareRoom && len(b.spare) < mostSpare {
		b.spare = append(b.spare, room)
	}
}
