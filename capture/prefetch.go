//go:build amd64 || arm64

package capture

// prefetchHeader asks the processor to have the aheadHeader bytes from p on in its
// second cache soon. Go has no such function: to read them would mean to wait.
//
//go:noescape
func prefetchHeader(p *byte)
