package dist

import (
	"slices"
	"unicode/utf8"

	"distproof/decode/dist/term"
)

// Limits of what is kept of atoms.
const (
	// maxCachedBytes bounds the text of the atoms that are kept for one
	// direction: atoms are short, ERTS itself keeps none above 255 characters.
	maxCachedBytes = 64 << 10
	// cacheSize is the number of slots of an atom cache: 8 segments of 256.
	cacheSize = 8 << 8
)

// An atomCache has the atoms that a direction's headers announced, by slot: the
// segment times 256 and the index in it. A slot that is empty is not known: its
// entry was not captured, or there was no room.
type atomCache struct {
	// keys are the slots that were used, entries what is in them: nil where there
	// was no room.
	keys    []uint16
	entries []*entry
	// index finds keys when they are many: their place plus one, by slot.
	index *[cacheSize]uint16
	bytes int
}

// manyKeys is how many keys are searched one by one. Most sessions have fewer,
// and a capture may have a million sessions.
const manyKeys = 48

// find returns the place of a slot, -1 if it was not used.
func (c *atomCache) find(slot uint16) int {
	if c.index != nil {
		return int(c.index[slot]) - 1
	}
	return slices.Index(c.keys, slot)
}

// place returns the place of a slot, and makes one if it was not used.
func (c *atomCache) place(slot uint16) int {
	if i := c.find(slot); i >= 0 {
		return i
	}
	c.keys, c.entries = append(c.keys, slot), append(c.entries, nil)
	if c.index != nil {
		c.index[slot] = uint16(len(c.keys))
	} else if len(c.keys) > manyKeys {
		c.index = new([cacheSize]uint16)
		c.fillIndex()
	}
	return len(c.keys) - 1
}

func (c *atomCache) fillIndex() {
	for i, k := range c.keys {
		c.index[k] = uint16(i + 1)
	}
}

func (c *atomCache) get(slot uint16) term.Atom {
	i := c.find(slot)
	if i < 0 {
		return term.Atom{}
	}
	if e := c.entries[i]; e != nil {
		return term.Atom{Text: e.text, Known: true}
	}
	return term.Atom{}
}

// holds reports whether the atom of a slot is known to be name.
func (c *atomCache) holds(slot uint16, name []byte) bool {
	i := c.find(slot)
	return i >= 0 && c.entries[i] != nil && string(c.entries[i].text) == string(name)
}

// set replaces the atom of a slot.
func (c *atomCache) set(t *Tables, slot uint16, name []byte) {
	e := &c.entries[c.place(slot)]
	if *e != nil {
		c.bytes -= len((*e).text)
		*e = nil
	}
	if c.bytes+len(name) <= maxCachedBytes {
		*e = t.entry(slot, name)
		c.bytes += len(name)
	}
}

// forget drops all entries: after a gap, any of them may have been replaced.
func (c *atomCache) forget() {
	if len(c.keys) > 0 {
		*c = atomCache{}
	}
}

// header reads a distribution header behind its tag: the list of atoms that the
// terms refer to by position (OTP erl_ext_dist, "Distribution Header").
func (d *decoder) header(c *term.Cursor) bool {
	d.refs = d.refs[:0]
	n := int(c.Byte())
	if n == 0 {
		return c.OK()
	}
	// Four bits for each reference, and four for all of them.
	flags := c.Bytes(n/2 + 1)
	if flags == nil {
		return false
	}
	nibble := func(i int) byte { return flags[i/2] >> (i % 2 * 4) & 15 }
	long := nibble(n)&1 != 0
	for i := range n {
		slot := uint16(nibble(i)&7)<<8 | uint16(c.Byte())
		if nibble(i)&8 == 0 {
			d.refs = append(d.refs, d.cache.get(slot))
			continue
		}
		length := int(c.Byte())
		if long {
			length = length<<8 | int(c.Byte())
		}
		text := c.Bytes(length)
		if text == nil {
			return false
		}
		if !d.cache.holds(slot, text) { // it often does: then it is valid, too
			if length > term.MaxAtom || !utf8.Valid(text) {
				return false
			}
			d.cache.set(d.tables, slot, text)
		}
		d.refs = append(d.refs, term.Atom{Text: text, Known: true})
	}
	return c.OK()
}
