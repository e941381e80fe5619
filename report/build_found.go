package report

import (
	"cmp"
	"slices"

	"distproof/decode"
	"distproof/verify"
)

// found has the rules of the findings by the connections that they concern.
type found struct {
	connections []*decode.Connection
	// unnumbered are the places of connections without numbers.
	unnumbered map[*decode.Connection]int
	// by says for the connections which of lists they have; nil if there are no
	// findings. The first list is empty.
	by    []uint32
	lists [][]string
}

func newFound(connections []*decode.Connection, findings []verify.Finding) found {
	f := found{connections: connections, lists: [][]string{nil}}
	for i, c := range connections {
		if c.Number != 0 {
			continue
		}
		if f.unnumbered == nil {
			f.unnumbered = make(map[*decode.Connection]int)
		}
		f.unnumbered[c] = i
	}
	type addition struct {
		to   uint32
		rule string
	}
	known := make(map[addition]uint32)
	for _, x := range findings {
		for _, c := range x.Connections {
			if f.by == nil {
				f.by = make([]uint32, len(connections))
			}
			at := &f.by[f.place(c)]
			a := addition{*at, string(x.Rule)}
			list, ok := known[a]
			if !ok {
				list = f.with(f.lists[a.to], a.rule)
				known[a] = list
			}
			*at = list
		}
	}
	return f
}

// with returns the number of the list that has what list has, and rule, each once
// and in order.
func (f *found) with(list []string, rule string) uint32 {
	at, has := slices.BinarySearch(list, rule)
	if !has {
		list = slices.Insert(slices.Clone(list), at, rule)
	}
	for i, l := range f.lists {
		if slices.Equal(l, list) {
			return uint32(i)
		}
	}
	f.lists = append(f.lists, list)
	return uint32(len(f.lists) - 1)
}

// of returns the rules that the connection at a place is concerned by. Others may
// have the same list: it must not be changed.
func (f *found) of(i int) []string {
	if f.by == nil {
		return nil
	}
	return slices.Clip(f.lists[f.by[i]])
}

// place returns the place of a connection among all of them, which are in the order
// of their numbers.
func (f *found) place(c *decode.Connection) int {
	if i := c.Number - 1; i < uint64(len(f.connections)) && f.connections[i] == c {
		return int(i)
	}
	if c.Number == 0 {
		return f.unnumbered[c]
	}
	at, _ := slices.BinarySearchFunc(f.connections, c.Number, func(c *decode.Connection, n uint64) int { return cmp.Compare(c.Number, n) })
	return at
}
