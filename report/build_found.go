package report

import (
	"slices"

	"distproof/decode"
	"distproof/verify"
)

// found has the rules of the findings by the connections that they concern.
type found struct {
	// by says for the connections which of lists they have; nil if there are no
	// findings. The first list is empty.
	by    []uint32
	lists [][]string
}

func newFound(all *decode.Capture, findings []verify.Finding) found {
	f := found{lists: [][]string{nil}}
	places := all.Places()
	for _, x := range findings {
		with := make(map[uint32]uint32) // which lists become which by this rule
		for _, c := range x.Connections {
			if f.by == nil {
				f.by = make([]uint32, len(all.Connections))
			}
			at := &f.by[places.Of(c)]
			list, ok := with[*at]
			if !ok {
				list = f.with(f.lists[*at], string(x.Rule))
				with[*at] = list
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
