package verify

import (
	"maps"
	"slices"
)

// Rules returns the rules that are judged, in the order of their ids.
func Rules() []Rule { return slices.Sorted(maps.Keys(titles)) }
