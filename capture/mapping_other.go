//go:build !linux

package capture

import "os"

// mapFile is for systems whose files are mapped; here they are read.
func mapFile(*os.File, int64) []byte { return nil }

func unmapFile([]byte) error { return nil }

func populate([]byte) {}

func release([]byte) {}
