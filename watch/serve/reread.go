package serve

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// recheck is how often it is looked whether files changed, at most.
const recheck = time.Second

// A rereader has what files say, and reads them anew when they change. What
// cannot be read is logged, and does not replace what was read before.
type rereader[T any] struct {
	log   *slog.Logger
	paths []string
	read  func() (T, error)

	mu      sync.Mutex
	value   T
	seen    []os.FileInfo
	checked time.Time
}

// newRereader reads for the first time.
func newRereader[T any](log *slog.Logger, paths []string, read func() (T, error)) (*rereader[T], error) {
	r := &rereader[T]{log: log, paths: paths, read: read, checked: time.Now()}
	r.seen = r.look() // before reading: what changes meanwhile is read again
	var err error
	r.value, err = read()
	return r, err
}

func (r *rereader[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.checked) < recheck {
		return r.value
	}
	r.checked = time.Now()
	seen := r.look()
	if slices.EqualFunc(seen, r.seen, sameContent) {
		return r.value
	}
	r.seen = seen
	value, err := r.read()
	if err != nil {
		r.log.Warn("files of --listen changed and cannot be used: what they said before holds", "files", strings.Join(r.paths, " "), "error", err)
		return r.value
	}
	r.value = value
	r.log.Info("files of --listen changed and were read", "files", strings.Join(r.paths, " "))
	return r.value
}

// look returns what the files look like from outside; nil for one that cannot be
// reached.
func (r *rereader[T]) look() []os.FileInfo {
	infos := make([]os.FileInfo, len(r.paths))
	for i, path := range r.paths {
		if info, err := os.Stat(path); err == nil {
			infos[i] = info
		}
	}
	return infos
}

func sameContent(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
