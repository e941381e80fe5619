package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sums is the name of the file with the checksums, in the form of sha256sum. It
// is written last: a folder with it is complete.
const Sums = "SHA256SUMS"

// A FolderError says why a folder is not fit for evidence.
type FolderError struct{ Reason, Advice string }

func (e *FolderError) Error() string { return e.Reason }

// Hint is what the user can do about it.
func (e *FolderError) Hint() string { return e.Advice }

// A Folder is where evidence is to go. Until all of it is there, it is gathered
// in a temporary folder in the same file system.
type Folder struct {
	path string
	// made says that the folder was there before; then files are moved into it,
	// else the temporary folder becomes it.
	made  bool
	stage string
	// spool is a file that could not be removed while it is open.
	spool string
	sums  []string
	names []string
	// wrap stands between the folder and its files; tests have writes fail with it.
	wrap func(io.Writer) io.Writer
}

// OpenFolder checks that evidence can be written to the folder: it is empty, or
// is not there but the folder above it is. Nothing is left behind.
func OpenFolder(path string) (*Folder, error) {
	f := &Folder{path: filepath.Clean(path), wrap: func(w io.Writer) io.Writer { return w }}
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if above, err := os.Stat(filepath.Dir(f.path)); err != nil || !above.IsDir() {
			return nil, &FolderError{Reason: fmt.Sprintf("no such folder: %s", filepath.Dir(f.path))}
		}
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, &FolderError{path + " is not a folder", "name a folder that is empty or does not exist yet"}
	default:
		f.made = true
		if err := f.empty(); err != nil {
			return nil, err
		}
	}
	// Better now than after an hour.
	if err := f.begin(); err != nil {
		return nil, err
	}
	return f, f.Discard()
}

// Path is the folder's name.
func (f *Folder) Path() string { return f.path }

// empty fails if there is something else in the folder than what is being made.
func (f *Folder) empty() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path := filepath.Join(f.path, e.Name()); path != f.stage && path != f.spool {
			return &FolderError{f.path + " is not empty", "evidence is not mixed with other files: name a folder that is empty or does not exist yet"}
		}
	}
	return nil
}

// parent is where temporary files go.
func (f *Folder) parent() string {
	if f.made {
		return f.path
	}
	return filepath.Dir(f.path)
}

// begin makes the temporary folder, with the permissions that the user's umask
// leaves.
func (f *Folder) begin() error {
	for range 100 {
		stage := filepath.Join(f.parent(), fmt.Sprintf(".distproof-%08x", rand.Uint32()))
		err := os.Mkdir(stage, 0o777)
		if err == nil {
			f.stage, f.sums, f.names = stage, nil, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.New("no name left for a temporary folder")
}

// scratch is where files that are not evidence may be until [Folder.commit].
func (f *Folder) scratch() string { return f.stage }

// add writes a file. One with secrets is for its owner only.
func (f *Folder) add(name string, content []byte, secret bool) error {
	mode := os.FileMode(0o666)
	if secret {
		mode = 0o600
	}
	file, err := os.OpenFile(filepath.Join(f.stage, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.wrap(file).Write(content)
	if err := cmp.Or(err, file.Close()); err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	f.sums = append(f.sums, hex.EncodeToString(sum[:])+"  "+name+"\n")
	f.names = append(f.names, name)
	return nil
}

// commit puts the files where they belong.
func (f *Folder) commit() error {
	sums := strings.Join(f.sums, "")
	if err := f.add(Sums, []byte(sums), false); err != nil {
		return err
	}
	if !f.made {
		// Nothing but an empty folder can be replaced so.
		err := os.Rename(f.stage, f.path)
		if err == nil {
			f.stage = ""
		}
		return err
	}
	if err := f.empty(); err != nil {
		return err
	}
	for i, name := range f.names {
		if err := os.Rename(filepath.Join(f.stage, name), filepath.Join(f.path, name)); err != nil {
			for _, moved := range slices.Backward(f.names[:i]) {
				_ = os.Remove(filepath.Join(f.path, moved)) // the first error counts
			}
			return err
		}
	}
	return f.Discard()
}

// Discard removes what is not committed.
func (f *Folder) Discard() error {
	if f.stage == "" {
		return nil
	}
	err := os.RemoveAll(f.stage)
	f.stage = ""
	return err
}
