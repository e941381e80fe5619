package dist

import (
	"bytes"
	"maps"
	"slices"
)

// Clone returns a decoder that goes on from here by itself, such as to find out
// with [Stream.End] what there is as of now. Both may be used at the same time.
func (s *Stream) Clone() *Stream {
	c := *s
	c.facts.Payloads = slices.Clip(s.facts.Payloads)
	c.buf, c.dec, c.work = s.buf.clone(), s.dec.clone(), nil
	c.activity, c.candidate = s.activity.clone(), s.candidate.clone()
	if s.search != nil {
		q := *s.search
		c.search = &q
	}
	return &c
}

func (p *piece) clone() piece { return piece{bytes.Clone(p.b), slices.Clone(p.marks)} }

// clone leaves out what is only used while a message is read.
func (d *decoder) clone() decoder {
	return decoder{tables: d.tables, cache: d.cache.clone(), show: d.show, expanded: d.expanded}
}

// clone shares the entries, which are not changed.
func (c *atomCache) clone() atomCache {
	out := atomCache{keys: slices.Clone(c.keys), entries: slices.Clone(c.entries), bytes: c.bytes}
	if c.index != nil {
		index := *c.index
		out.index = &index
	}
	return out
}

func (c *candidate) clone() *candidate {
	if c == nil {
		return nil
	}
	out := *c
	out.msg = c.msg.clone()
	return &out
}

func (a *activity) clone() *activity {
	if a == nil {
		return nil
	}
	out := *a
	out.names, out.spawned = a.names.clone(), a.spawned.clone()
	for i := range a.calls {
		out.calls[i] = a.calls[i].clone()
	}
	out.sequences, out.scratch = slices.Clone(a.sequences), nil
	return &out
}

// clone shares the names, which are not changed.
func (t *tally) clone() tally {
	return tally{slices.Clone(t.names), slices.Clone(t.counts), maps.Clone(t.index), t.bytes}
}

func (t *callTally) clone() callTally { return callTally{t.tally.clone(), slices.Clone(t.ends)} }
