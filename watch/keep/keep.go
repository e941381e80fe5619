// Package keep saves what a watch saw of distribution: the beginnings of its
// connections, the packets around findings, and what port mappers were asked. It
// goes to files of a bounded number, size and age, of which the oldest give way.
package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"distproof/capture"
	"distproof/watch"
)

// Options of [Open].
type Options struct {
	// Program is the name and version of the program, for the files.
	Program string
	// Size is how many bytes all files may have, Files how many there may be,
	// and Age how long packets are kept; zero is no limit for Age.
	Size  int64
	Files int
	Age   time.Duration
	// UID and GID own a folder that has to be made; -1 is who runs.
	UID, GID int
	Log      *slog.Logger
}

// A Keeper is a [watch.Tap] that saves packets.
type Keeper struct {
	dir string
	o   Options
}

// Open makes the folder, if there is none. Files are made by Start.
func Open(dir string, o Options) (*Keeper, error) {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		info, err := os.Stat(dir)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("%s is no folder", dir)
		}
	case err != nil:
		return nil, err
	case o.UID >= 0:
		if err := os.Chown(dir, o.UID, o.GID); err != nil {
			return nil, err
		}
	}
	return &Keeper{dir: dir, o: o}, nil
}

// Start begins to save.
func (k *Keeper) Start() error { return nil }

// Packet implements [watch.Tap].
func (k *Keeper) Packet(*capture.Packet, uint64) {}

// State implements [watch.Tap].
func (k *Keeper) State(*watch.State) {}

// Close writes what is left.
func (k *Keeper) Close() error { return nil }
