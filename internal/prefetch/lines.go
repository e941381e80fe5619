//go:build amd64 || arm64

package prefetch

import "unsafe"

// lines asks for n lines, at least one, from the one with p on.
//
//go:noescape
func lines(p unsafe.Pointer, n int)
