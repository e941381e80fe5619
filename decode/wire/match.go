package wire

// A Match says whether bytes are the beginning of a protocol.
type Match uint8

// The matches.
const (
	// No: they are not, whatever follows.
	No Match = iota
	// Maybe: they are too few, or too ordinary, to tell. More of them may, or the
	// opposite direction.
	Maybe
	// Yes: they are.
	Yes
)

func (m Match) String() string { return [...]string{"no", "maybe", "yes"}[m] }
