// Package fact has the three-valued answers of which verdicts are made.
package fact

// Basis says how a fact is known.
type Basis uint8

// The bases, from the weakest to the strongest.
const (
	// None: the fact is unknown.
	None Basis = iota
	// Inferred: concluded from record sizes or timing.
	Inferred
	// Observed: read in the clear from reassembled bytes.
	Observed
	// Decrypted: read after decryption with a key log.
	Decrypted
	// Verified: observed, and checked cryptographically.
	Verified
)

func (b Basis) String() string {
	return [...]string{"none", "inferred", "observed", "decrypted", "verified"}[b]
}

// Value is the answer to a question about a connection.
type Value uint8

// The values. The zero value is Unknown.
const (
	Unknown Value = iota
	No
	Yes
)

// A Fact is an answer, how it is known, and why it is not known if it isn't.
// The zero Fact is unknown.
type Fact struct {
	Value Value
	// Basis is None if and only if Value is Unknown.
	Basis Basis
	// Reason says in words why the fact is unknown, or what supports it.
	Reason string
}

// Is reports whether f is known to be yes.
func (f Fact) Is() bool { return f.Value == Yes }

// Isnt reports whether f is known to be no.
func (f Fact) Isnt() bool { return f.Value == No }

// YesBy returns a fact known to be true.
func YesBy(b Basis, reason string) Fact { return Fact{Yes, b, reason} }

// NoBy returns a fact known to be false.
func NoBy(b Basis, reason string) Fact { return Fact{No, b, reason} }

// UnknownBecause returns a fact that cannot be told, with the reason.
func UnknownBecause(reason string) Fact { return Fact{Reason: reason} }
