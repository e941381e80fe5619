package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Rights in folders. Files are replaced by renaming temporary ones, which takes
// rights in the folder: there is no way to allow only one name in it. They are
// opened for reading, too.
const (
	rightsReplace = llsyscall.AccessFSReadFile | llsyscall.AccessFSWriteFile | llsyscall.AccessFSTruncate | llsyscall.AccessFSMakeReg | llsyscall.AccessFSRemoveFile
	rightsFill    = rightsReplace | llsyscall.AccessFSReadDir | llsyscall.AccessFSMakeDir | llsyscall.AccessFSRemoveDir
	rightsWrite   = llsyscall.AccessFSWriteFile | llsyscall.AccessFSTruncate
	rightsRead    = llsyscall.AccessFSReadFile
	rightsFolder  = rightsRead | llsyscall.AccessFSReadDir
)

// sandboxVersion is the version of Landlock in this kernel; 0 if it has none.
func sandboxVersion() int {
	n, err := llsyscall.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return n
}

// restrict locks the whole process down, for good. required fails where the
// kernel cannot keep it from the file system; what else newer kernels can, such
// as keeping it from the network, is done as far as they can.
func restrict(b *sandbox, required bool) error {
	if required && sandboxVersion() == 0 {
		return errors.New("this kernel has no Landlock, or it is switched off")
	}
	var rules []landlock.Rule
	allow := func(rights landlock.AccessFSSet, paths []string) {
		for _, path := range paths {
			if rule, ok := ruleFor(rights, path); ok {
				rules = append(rules, rule)
			}
		}
	}
	allow(rightsRead, b.read)
	allow(rightsWrite, b.write)
	allow(rightsReplace, b.replace)
	allow(rightsFill, b.fill)
	return landlock.V11.BestEffort().Restrict(rules...)
}

// ruleFor returns the rule for a path; false for what needs none: what is not
// there, and pipes without a name, which Landlock lets pass.
func ruleFor(rights landlock.AccessFSSet, path string) (landlock.Rule, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false
	}
	if info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
		if _, err := filepath.EvalSymlinks(path); err != nil { // /dev/stdin, /dev/fd/63
			return nil, false
		}
	}
	switch {
	case rights == rightsRead && info.IsDir():
		rights = rightsFolder
	case rights == rightsFill:
		return landlock.PathAccess(rights, path).WithRefer().IgnoreIfMissing(), true
	}
	return landlock.PathAccess(rights, path).IgnoreIfMissing(), true
}
