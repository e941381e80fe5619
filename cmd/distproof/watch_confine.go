package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"distproof/internal/confine"
)

// confineSettings are the flags of what watch gives up once everything is open,
// beside --sandbox.
type confineSettings struct{ user string }

func confineFlags(f *pflag.FlagSet, s *confineSettings) {
	f.StringVar(&s.user, "user", "", "when started as root, continue as `NAME`, or UID[:GID] (default nobody)")
}

// owner returns the user as whom watch will go on; nil if it stays the one who
// started it.
func (s *confineSettings) owner(sandbox string) (*confine.User, error) {
	if os.Geteuid() != 0 {
		if s.user != "" {
			return nil, usagef("", "--user %s: only root can change the user", s.user)
		}
		return nil, nil
	}
	if sandbox == sandboxOff && s.user == "" {
		return nil, nil
	}
	if s.user == "" {
		nobody := confine.Nobody()
		return &nobody, nil
	}
	u, err := confine.LookupUser(s.user)
	if err != nil {
		return nil, usagef("--user takes a name of /etc/passwd, or numbers: --user 65534:65534", "--user: %v", err)
	}
	return &u, nil
}

// A confinement is what watch still needs once everything is open.
type confinement struct {
	sandbox
	// again are files that are read anew now and then, such as the policy: who
	// replaces one puts another in its place.
	again []string
}

// confine gives up all rights but those of c: with --sandbox auto as far as
// possible, and says what is not.
func (a *app) confine(c *confinement, owner *confine.User, when string, log *slog.Logger) error {
	if when == sandboxOff && owner == nil || a.restrict == nil {
		return nil
	}
	_, _ = time.Now().Local().Zone() // reads /etc/localtime, once
	box := c.sandbox
	for _, path := range c.again {
		box.again(path)
	}
	var kept []string
	keep := func(err error) {
		if err != nil {
			kept = append(kept, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	keep(confine.Privileges(owner))
	if when != sandboxOff {
		keep(a.restrict(&box, true))
		keep(confine.SystemCalls())
	}
	name := "unchanged"
	if owner != nil {
		name = owner.Name
	}
	switch {
	case len(kept) > 0 && when == sandboxRequired:
		return usagef("--sandbox auto does as much as this system can", "--sandbox required: %s", strings.Join(kept, "; "))
	case len(kept) > 0:
		log.Warn("not all rights are given up", "user", name, "kept", strings.Join(kept, "; "))
	default:
		log.Info("rights are given up", "user", name)
	}
	return c.check(log)
}

// check finds out whether what is still needed can be reached. Root may have
// given away more than it meant to.
func (c *confinement) check(log *slog.Logger) error {
	const hint = "choose a user who may (--user NAME), or give that user access with chown or chmod, also to the folders above"
	for _, path := range c.read {
		if f, err := os.Open(path); err == nil {
			f.Close()
		} else if errors.Is(err, os.ErrPermission) {
			return usagef(hint, "%s cannot be read without root's rights", path)
		}
	}
	for _, folder := range append(c.replace, c.fill...) {
		if err := tryFolder(folder); err != nil {
			return usagef(hint, "nothing can be written to %s without root's rights: %v", folder, cause(err))
		}
	}
	for _, path := range c.again {
		if f, err := os.Open(path); err == nil {
			f.Close()
		} else {
			log.Warn("cannot be read again without the rights of root: changes will be refused", "path", path, "error", cause(err))
		}
	}
	return nil
}

// again allows to read a file, also when another one has taken its place: that
// takes its folder, if that is one of its own.
func (b *sandbox) again(path string) {
	b.read = append(b.read, path)
	full, err := filepath.Abs(path)
	if err != nil {
		return
	}
	if folder := filepath.Dir(full); !common(folder) {
		b.inputs([]string{folder})
	}
}

// common reports whether a folder has much that is none of our business.
func common(folder string) bool {
	work, _ := os.Getwd()
	home, _ := os.UserHomeDir()
	for _, c := range []string{"/", "/etc", "/tmp", "/var/tmp", "/root", "/home", filepath.Dir(home), home, work} {
		if folder == c {
			return true
		}
	}
	return false
}
