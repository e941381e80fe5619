//go:build !unix || solaris

package keep

import "os"

// lockFolder does nothing: there is no such lock.
func lockFolder(*os.File) error { return nil }
