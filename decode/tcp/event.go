package tcp

import "distproof/capture"

// Dir is a direction of a connection: From0 is what endpoint 0 sent.
type Dir uint8

// The directions.
const (
	From0 Dir = 0
	From1 Dir = 1
)

// Other returns the opposite direction.
func (d Dir) Other() Dir { return 1 - d }

// A Position says when and where bytes of a stream were seen.
type Position struct {
	// Offset is the stream offset of the first byte: 0 is the first byte after
	// the SYN, or the first that was captured if no SYN was.
	Offset int64
	// Acked is the number of bytes of the opposite direction that the sender
	// had acknowledged when it sent these, as a stream offset of that
	// direction; -1 if unknown. It orders the two directions by cause, however
	// the capture shuffled them.
	Acked int64
	// Time and Frame are those of the packet that brought the bytes.
	Time  int64
	Frame capture.Frame
}

// A Sink takes the reassembled bytes of both directions of one connection.
type Sink interface {
	// Data delivers the next bytes of direction d. b is valid during the call.
	Data(d Dir, at Position, b []byte)
	// Gap says that n bytes of direction d are missing from the capture.
	// at is the position of the first missing byte; its Time and Frame are
	// those of the packet after the gap.
	Gap(d Dir, at Position, n int64)
}

// Interest is how much of what comes next in a direction matters to a sink.
type Interest uint8

const (
	// Usual: what is in the first [Limits.Head] bytes.
	Usual Interest = iota
	// Long: what is in the first [Limits.LongHead] bytes.
	Long
	// NoMore: nothing.
	NoMore
)

// A Chooser is a Sink that knows what matters to it; to others it is [Usual].
type Chooser interface {
	// Interest is asked before what comes next in direction d is delivered.
	Interest(d Dir) Interest
}
