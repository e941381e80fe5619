package decode_test

import (
	"os"
	"testing"

	"distproof/internal/reuse"
)

// TestMain has all tests find what is used after it was given back.
func TestMain(m *testing.M) {
	reuse.Spoil(true)
	os.Exit(m.Run())
}
