package main

import (
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"distproof/capture/link"
	"distproof/internal/confine"
	"distproof/watch/keep"
)

// saveSettings are the flags of watch that save packets.
type saveSettings struct {
	dir   string
	size  int // MiB
	files int
	age   time.Duration
}

func saveFlags(f *pflag.FlagSet, s *saveSettings) {
	f.StringVar(&s.dir, "save", "", "save the packets of handshakes between nodes, and those around findings, in `DIR` (pcapng)")
	f.IntVar(&s.size, "save-size", 1024, "keep at most `MIB` in total; the oldest files are deleted")
	f.IntVar(&s.files, "save-files", 16, "keep at most `N` files")
	f.DurationVar(&s.age, "save-age", 0, "delete what is older than `TIME`, such as 720h; 0: keep")
}

// open prepares to save, in a folder that owner can write, if it has to be made;
// nil without --save. [keep.Keeper.Start] is for when rights are given up.
func (s *saveSettings) open(owner *confine.User, links link.Options, log *slog.Logger) (*keep.Keeper, error) {
	const least = 2 // MiB a file: less than the beginning of a connection makes no sense
	switch {
	case s.dir == "":
		return nil, nil
	case s.files < 1 || s.files > 1<<16:
		return nil, usagef("--save-files 16", "--save-files %d is not a number from 1 to %d", s.files, 1<<16)
	case s.size < least*s.files || s.size > 1<<30:
		return nil, usagef("--save-size is for all files together, at least 2 for each of --save-files", "--save-size %d is not a number from %d to %d", s.size, least*s.files, 1<<30)
	case s.age < 0:
		return nil, usagef("--save-age 720h", "--save-age %v is negative", s.age)
	}
	o := keep.Options{
		Program: "distproof " + toolVersion(),
		Size:    int64(s.size) << 20, Files: s.files, Age: s.age,
		UID: -1, GID: -1, Links: links, Log: log,
	}
	if owner != nil {
		o.UID, o.GID = owner.UID, owner.GID
	}
	k, err := keep.Open(s.dir, o)
	if err != nil {
		return nil, usagef("", "--save %s: %v", s.dir, cause(err))
	}
	return k, nil
}
