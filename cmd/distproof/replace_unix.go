//go:build !windows

package main

import (
	"io/fs"

	"github.com/google/renameio/v2"
)

// newReplacement begins a file that will replace path, or will be new with mode,
// from which the umask is taken.
func newReplacement(path string, mode fs.FileMode) (replacement, error) {
	return renameio.NewPendingFile(path, renameio.WithPermissions(mode), renameio.WithExistingPermissions())
}

// newPrivate begins a file that will replace path, for the owner alone.
func newPrivate(path string) (replacement, error) {
	return renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.IgnoreUmask())
}
