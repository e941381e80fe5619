// Package plural writes numbers with their nouns.
package plural

import "fmt"

// Of writes a number with its noun in the singular or the plural, such as "1 packet"
// or "2 packets".
func Of[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
