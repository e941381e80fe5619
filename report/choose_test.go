package report

import (
	"fmt"
	"testing"
)

// Every row is shown, counted as hidden behind one that is alike, or in rest.
func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		name                            string
		kinds, each                     int
		shown, hidden, rest, kindsShown int
	}{
		{"none", 0, 0, 0, 0, 0, 0},
		{"few", 3, 4, 12, 0, 0, 3},
		{"just all of a kind", 1, maxAlike, maxAlike, 0, 0, 1},
		{"one too many of a kind", 1, maxAlike + 1, maxAlike, 1, 0, 1},
		{"many of few kinds", 2, 1000, 2 * maxAlike, 2*1000 - 2*maxAlike, 0, 2},
		{"the limit within a kind", 2, 40, 2 * maxAlike, 40, 0, 2},
		{"many kinds", 100, 1, maxRows, 0, 40, maxRows},
		{"many kinds, cut within one", 20, 7, maxRows, 3, 20*7 - 63, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rows []counted
			for k := range tt.kinds {
				for range tt.each {
					rows = append(rows, counted{row: row{verdict: "mutual", reason: fmt.Sprint(k)}, n: 1})
				}
			}
			shown, rest := choose(rows)
			hidden, kinds := 0, map[string]bool{}
			for _, r := range shown {
				hidden += r.hidden
				kinds[r.reason] = true
			}
			if len(shown) != tt.shown || hidden != tt.hidden || len(rest) != tt.rest || len(kinds) != tt.kindsShown {
				t.Errorf("shown %d, hidden %d, rest %d, kinds %d; want %d, %d, %d, %d",
					len(shown), hidden, len(rest), len(kinds), tt.shown, tt.hidden, tt.rest, tt.kindsShown)
			}
		})
	}
}
