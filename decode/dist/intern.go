package dist

import (
	"bytes"
	"encoding/binary"

	"distproof/decode/pack"
)

// What connections have in common: the nodes of a cluster have one another's
// names, registered names and functions, and nodes of the same release number
// their atoms in the same way.
var (
	words   pack.Table[*word]
	entries pack.Table[*entry]
)

// A word is a name, or anything else of which there are not many. It is not
// changed.
type word struct {
	text   string
	number uint32 // in words; 0 if it is not there
}

func wordOf(text []byte) *word {
	return words.Numbered(text, func(number uint32) *word { return &word{string(text), number} })
}

// An entry is what is in a slot of an atom cache. It is not changed.
type entry struct {
	text   []byte
	slot   uint16
	number uint32 // in entries; 0 if it is not there
}

func entryOf(slot uint16, text []byte) *entry {
	var room [64]byte
	key := append(binary.BigEndian.AppendUint16(room[:0], slot), text...)
	return entries.Numbered(key, func(number uint32) *entry { return &entry{bytes.Clone(text), slot, number} })
}
