package watch

import (
	"cmp"
	"slices"
	"strconv"

	"distproof/decode"
)

// A followed connection is what is remembered of one from State to State, beside its
// facts.
type followed struct {
	number uint64 // 0 for the capture as a whole
	// carried is how many bytes it had at the last State.
	carried uint64
	quiet   quiet
	told    told
}

func (x *followed) id() string { return "c" + strconv.FormatUint(x.number, 10) }

// following has what is remembered of the connections of a State, in their order,
// which is that of their numbers. What it returns is valid until it turns.
type following struct {
	all []followed
	// next is where a connection is looked for first: they are asked for in their
	// order, mostly.
	next int
}

// turn turns to the connections of the next State: what is remembered of those that are
// there stays. It returns what was told of those that are not.
func (f *following) turn(connections []*decode.Connection) (gone []told) {
	same := 0
	for same < min(len(f.all), len(connections)) && f.all[same].number == connections[same].Number {
		same++
	}
	rest := f.all[same:]
	if len(rest) > 0 {
		rest = slices.Clone(rest)
	}
	f.all = slices.Grow(f.all[:same], len(connections)-same)
	for _, c := range connections[same:] {
		for ; len(rest) > 0 && rest[0].number < c.Number; rest = rest[1:] {
			gone = append(gone, rest[0].told)
		}
		if len(rest) > 0 && rest[0].number == c.Number {
			f.all, rest = append(f.all, rest[0]), rest[1:]
		} else {
			f.all = append(f.all, followed{number: c.Number})
		}
	}
	for _, x := range rest {
		gone = append(gone, x.told)
	}
	clear(f.all[len(f.all):cap(f.all)])
	return gone
}

// find returns what is remembered of the connection with an id; nil if there is none.
func (f *following) find(id string) *followed {
	number, err := strconv.ParseUint(id[1:], 10, 64)
	if err != nil {
		return nil
	}
	at, there := f.next, true
	if at >= len(f.all) || f.all[at].number != number {
		at, there = slices.BinarySearchFunc(f.all, number, func(x followed, n uint64) int { return cmp.Compare(x.number, n) })
	}
	if f.next = at + 1; !there {
		return nil
	}
	return &f.all[at]
}
