package typo_test

import (
	"strings"
	"testing"

	"distproof/internal/typo"
)

func TestNearest(t *testing.T) {
	words := []string{"policy", "port", "o", "epmd-port", "keylog"}
	for typed, want := range map[string]string{
		"polcy":                 "policy", // a letter is missing
		"ploicy":                "policy", // two are swapped
		"policies":              "",       // three differ
		"pot":                   "port",
		"keylogs":               "keylog",
		"x":                     "", // every word is as near to it
		"":                      "",
		strings.Repeat("o", 99): "",
	} {
		if got := typo.Nearest(typed, words); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
