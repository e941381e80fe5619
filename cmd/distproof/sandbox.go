package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"distproof/report"
)

// A sandbox says what the process still needs once it locks itself down. That
// happens before it reads the first byte that somebody else wrote: whoever
// finds a way to make it do something else then finds nothing to do it with.
type sandbox struct {
	// read has files, and folders with what is below them; write has files that
	// exist and are not replaced. In a folder of replace, files are made and
	// renamed, and in one of fill also folders, and all are read.
	read, write, replace, fill []string
}

// The values of --sandbox.
const (
	sandboxAuto     = "auto"
	sandboxRequired = "required"
	sandboxOff      = "off"
)

func sandboxFlag(f *pflag.FlagSet, s *settings) {
	f.StringVar(&s.sandbox, "sandbox", sandboxAuto, "give up access to all other files and the network: `WHEN` is auto (if the kernel can), required or off")
}

// lockDown gives up all rights but those of the sandbox, as --sandbox wants it.
func (a *app) lockDown(when string, box *sandbox) error {
	switch when {
	case sandboxOff:
		return nil
	case sandboxAuto, sandboxRequired:
	default:
		return usagef("--sandbox takes auto, required or off", "--sandbox: unknown value %q", when)
	}
	if a.restrict == nil {
		return nil
	}
	err := a.restrict(box, when == sandboxRequired)
	if err != nil && when == sandboxRequired {
		return usagef("Landlock needs Linux 5.13 or later, and must not be missing from lsm= if that is set; --sandbox auto does without it", "--sandbox required: %v", err)
	}
	if err != nil {
		fmt.Fprintln(a.stderr, "warning: not locked down: "+report.Escape(err.Error()))
	}
	return nil
}

// inputs allows to read captures, or other files and folders.
func (b *sandbox) inputs(paths []string) {
	for _, path := range paths {
		if path == "-" {
			continue
		}
		b.read = append(b.read, path)
		b.read = append(b.read, linked(path)...)
	}
}

// outputs allows to write the reports. They replace files, unless those are
// pipes or devices.
func (b *sandbox) outputs(outs outputs) {
	for _, out := range outs {
		if out.path == "" {
			continue
		}
		path := out.path
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			b.write = append(b.write, path)
			continue
		}
		b.replace = append(b.replace, filepath.Dir(path))
	}
}

// folder allows to fill a folder, which may still have to be made.
func (b *sandbox) folder(path string) {
	if path == "" {
		return
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		path = filepath.Dir(filepath.Clean(path))
	}
	b.fill = append(b.fill, path)
}

// linked lists the files to which links below a folder lead: they may be
// anywhere.
func linked(folder string) []string {
	var out []string
	_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink == 0 {
			return nil // what cannot be read is an error where it is read
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			out = append(out, path)
		}
		return nil
	})
	return out
}

// sandboxed tells in one word whether this system can lock a process down.
func sandboxed() string {
	if n := sandboxVersion(); n > 0 {
		return fmt.Sprintf("Landlock %d", n)
	}
	return "none"
}
