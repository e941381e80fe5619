package plural_test

import (
	"testing"

	"distproof/internal/plural"
)

func TestOf(t *testing.T) {
	for n, want := range []string{"0 policies", "1 policy", "2 policies"} {
		if got := plural.Of(n, "policy", "policies"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
