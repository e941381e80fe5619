package main

import "io"

// A replacement is a file that is there under its name only when it is complete.
type replacement interface {
	io.Writer
	CloseAtomicallyReplace() error
	// Cleanup removes it, unless it has taken its place.
	Cleanup() error
}
