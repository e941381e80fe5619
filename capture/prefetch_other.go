//go:build !amd64 && !arm64

package capture

// prefetchHeader does nothing: on other processors, scouts wait for the lengths
// that lead them on, and so fetch at least those.
func prefetchHeader(*byte) {}
