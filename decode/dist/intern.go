package dist

import (
	"bytes"
	"encoding/binary"

	"distproof/decode/pack"
)

// Tables have what connections have in common: the nodes of a cluster have one
// another's names, registered names and functions, and nodes of the same release
// number their atoms in the same way. The zero value has nothing yet.
type Tables struct {
	words   pack.Table[*word]
	entries pack.Table[*entry]
	sayings pack.Table[*saying]
}

// Full reports whether one of the tables is full.
func (t *Tables) Full() bool { return t.words.Full() || t.entries.Full() || t.sayings.Full() }

// A word is a name, or anything else of which there are not many. It is not
// changed.
type word struct {
	text   string
	number uint32 // in Tables.words; 0 if it is not there
}

func (t *Tables) word(text []byte) *word {
	return t.words.Numbered(text, func(number uint32) *word { return &word{string(text), number} })
}

// An entry is what is in a slot of an atom cache. It is not changed.
type entry struct {
	text   []byte
	slot   uint16
	number uint32 // in Tables.entries; 0 if it is not there
}

func (t *Tables) entry(slot uint16, text []byte) *entry {
	var room [64]byte
	key := append(binary.BigEndian.AppendUint16(room[:0], slot), text...)
	return t.entries.Numbered(key, func(number uint32) *entry { return &entry{bytes.Clone(text), slot, number} })
}
