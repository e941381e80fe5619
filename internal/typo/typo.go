// Package typo finds the word that somebody meant who mistyped one.
package typo

// Nearest returns the word from which typed differs by the fewest letters, at most
// two, or "" if there is none. Of several it returns the first. Letters are bytes.
func Nearest(typed string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if d := distance(typed, w); d < least && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to change, add, remove or swap to make b of a
// (optimal string alignment). Long words are far from all others.
func distance(a, b string) int {
	const long = 40
	if len(a) > long || len(b) > long {
		return long
	}
	var before, last []int
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := range len(a) {
		row := []int{i + 1}
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}
