package dist

import (
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
	// slots holds indices in texts, plus one.
	slots *[cacheSize]uint16
	// texts are nil where there was no room.
	texts [][]byte
	bytes int
}

func (c *atomCache) get(slot uint16) term.Atom {
	if c.slots == nil || c.slots[slot] == 0 {
		return term.Atom{}
	}
	text := c.texts[c.slots[slot]-1]
	return term.Atom{Text: text, Known: text != nil}
}

// set replaces the atom of a slot. Texts are not changed after they were given
// out.
func (c *atomCache) set(slot uint16, name []byte) {
	if c.slots == nil {
		c.slots = new([cacheSize]uint16)
	}
	if c.slots[slot] == 0 {
		c.texts = append(c.texts, nil)
		c.slots[slot] = uint16(len(c.texts))
	}
	text := &c.texts[c.slots[slot]-1]
	if *text != nil && string(*text) == string(name) {
		return
	}
	c.bytes -= len(*text)
	*text = nil
	if c.bytes+len(name) <= maxCachedBytes {
		*text = append(make([]byte, 0, len(name)), name...)
		c.bytes += len(name)
	}
}

// forget drops all entries: after a gap, any of them may have been replaced.
func (c *atomCache) forget() {
	if len(c.texts) > 0 {
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
		if text == nil || length > term.MaxAtom || !utf8.Valid(text) {
			return false
		}
		d.cache.set(slot, text)
		d.refs = append(d.refs, term.Atom{Text: text, Known: true})
	}
	return c.OK()
}
