package main

import (
	"io/fs"
	"os"
	"path/filepath"
)

// temporary is a file beside the one that it will replace; renameio, which the
// other systems use, is not for Windows. Permissions are those of the folder.
type temporary struct {
	*os.File
	path string
	done bool
}

func newReplacement(path string, _ fs.FileMode) (replacement, error) { return newPrivate(path) }

func newPrivate(path string) (replacement, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	return &temporary{File: f, path: path}, nil
}

func (t *temporary) CloseAtomicallyReplace() error {
	if err := t.Close(); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), t.path); err != nil {
		return err
	}
	t.done = true
	return nil
}

func (t *temporary) Cleanup() error {
	if t.done {
		return nil
	}
	t.Close()
	return os.Remove(t.Name())
}
