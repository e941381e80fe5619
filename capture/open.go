package capture

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
)

// stdin is the name for standard input.
const stdin = "-"

// Options of [Open].
type Options struct {
	// Stdin is read for the name "-"; nil is os.Stdin.
	Stdin io.Reader
}

// Open opens captures as one timeline. A path is a file, a folder, or "-" for
// standard input. A folder is searched, with the folders in it, for capture
// files, whatever their names; they come in the order of their names, and other
// files are passed over. Open reads the beginning of every input.
//
// It fails with an [*Error] that names the input if one does not exist, cannot
// be read or is no capture, and if a folder has no capture at all. Within a folder
// it fails also if a file cannot be read, has the name of a capture but is none, or
// is one of another format: what is in it would be missing. A capture that is cut
// or damaged is no error: see [Input.Damage].
func Open(paths []string, opts Options) (*Files, error) {
	if len(paths) == 0 {
		return nil, &Error{Reason: "no capture given", Advice: "name files or folders, or - for standard input"}
	}
	found, err := find(paths)
	if err != nil {
		return nil, err
	}
	f := &Files{alone: len(found) == 1, few: len(found) <= keptOpen, bufferSize: min(maxRead, allReads/len(found))}
	if err := f.add(found, opts); err != nil {
		f.Close()
		return nil, err
	}
	f.start()
	return f, nil
}

// captureName matches the names that capture tools give, also to the files of a
// series and compressed: a.pcap, a.pcap12, a.pcapng.xz.
var captureName = regexp.MustCompile(`(?i)^[^.].*\.(pcap|pcapng|cap)\d*(\.(gz|zst|xz|bz2|lz4|zip|7z))?$`)

// A candidate is a file to be opened.
type candidate struct {
	path string
	// folder is the path given by the user in which the file was found, or "".
	folder string
}

// find lists the files of the given paths.
func find(paths []string) ([]candidate, error) {
	var found []candidate
	stdins := 0
	for _, path := range paths {
		if path == stdin {
			if stdins++; stdins > 1 {
				return nil, &Error{Path: stdin, Reason: "given twice"}
			}
			found = append(found, candidate{path: path})
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, OpenError(path, err)
		}
		if !info.IsDir() {
			found = append(found, candidate{path: path})
			continue
		}
		before := len(found)
		if found, err = findIn(path, path, found); err != nil {
			return nil, err
		}
		if len(found) == before {
			return nil, &Error{Path: path, Reason: "the folder is empty", Advice: adviceFormats}
		}
	}
	return found, nil
}

// findIn appends the regular files below a folder, sorted by name. Links to
// files are followed, links to folders are not: they may lead in circles.
func findIn(top, folder string, found []candidate) ([]candidate, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, OpenError(folder, err)
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if e.IsDir() {
			if found, err = findIn(top, path, found); err != nil {
				return nil, err
			}
			continue
		}
		// Pipes and devices would block; a broken link is no capture.
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			found = append(found, candidate{path: path, folder: top})
		}
	}
	return found, nil
}

// OpenError is the error of a file or folder that cannot be opened or read.
func OpenError(path string, err error) *Error {
	e := &Error{Path: path, Err: err, Reason: systemReason(err)}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = "no such file"
	case errors.Is(err, fs.ErrPermission):
		e.Reason = "no permission to read it"
		e.Advice = "tcpdump and dumpcap write files as root or as their own user: sudo chown \"$USER\" FILE"
	}
	return e
}

// add looks into every candidate.
func (f *Files) add(found []candidate, opts Options) error {
	captures := map[string]int{} // by folder
	for _, c := range found {
		n, err := f.addOne(c, opts)
		if err != nil {
			return err
		}
		if c.folder != "" {
			captures[c.folder] += n
		}
	}
	for _, c := range found {
		if c.folder != "" && captures[c.folder] == 0 {
			return &Error{Path: c.folder, Reason: "no capture file in the folder or below it", Advice: adviceFormats}
		}
	}
	return nil
}

func (f *Files) addOne(c candidate, opts Options) (captures int, err error) {
	t := &track{files: f, path: c.path, index: uint32(len(f.tracks)), place: math.MinInt64}
	if c.path == stdin {
		err = t.openStdin(opts.Stdin)
	} else {
		err = t.openFile()
	}
	if e, ok := errors.AsType[*Error](err); ok && e.notCapture && c.folder != "" && !captureName.MatchString(filepath.Base(c.path)) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	f.tracks = append(f.tracks, t)
	f.total += t.size
	f.endless = f.endless || t.size == 0
	if f.alone {
		t.fresh = true // nothing to put in order, so do not wait for a packet yet
		return 1, nil
	}
	t.advance()
	if !f.few && t.regular && !t.ended {
		t.park()
	}
	return 1, nil
}

// openStdin starts to read standard input, or what stands for it.
func (t *track) openStdin(in io.Reader) error {
	if in == nil {
		in = os.Stdin
	}
	if file, ok := in.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			t.size = info.Size()
		}
	}
	return t.read(t.metered(in))
}

// openFile opens the file, or opens it again.
func (t *track) openFile() error {
	file, err := os.Open(t.path)
	if err != nil {
		return OpenError(t.path, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return OpenError(t.path, err)
	}
	if t.regular = info.Mode().IsRegular(); t.regular {
		t.size = info.Size()
	}
	if t.mapped = mapCapture(file, t.size, &t.consumed); t.mapped != nil {
		err = t.read(mappedBuffer(t.mapped))
	} else {
		err = t.read(t.metered(file))
	}
	t.file = file
	if err != nil {
		t.closeFile()
	}
	return err
}

// metered reads src and counts what was read.
func (t *track) metered(src io.Reader) buffer {
	return newBuffer(&meter{src: src, n: &t.consumed}, t.files.bufferSize)
}

func (t *track) read(buf buffer) error {
	t.consumed.Store(0)
	r, err := newReader(buf, t.path, t.files.bufferSize)
	if err != nil {
		return err
	}
	r.index = t.index
	t.reader = r
	return nil
}

// park closes the file until the timeline arrives at its first packet.
func (t *track) park() {
	t.idle = Input{Path: t.path, Format: t.reader.in.Format}
	t.closeFile()
	t.consumed.Store(0)
	t.parked, t.reader = true, nil
}

// wake reads the first packet, of a parked file by opening it again. What was
// readable a moment ago and is not any more is damage, so that it does not hide
// the other inputs.
func (t *track) wake() {
	if t.parked {
		if err := t.openFile(); err != nil {
			e, _ := errors.AsType[*Error](err)
			t.idle.Damage = &Damage{Reason: "the file cannot be opened again: " + e.Reason}
			t.ended = true
			return
		}
	}
	t.parked, t.fresh = false, false
	t.advance()
}

// A meter counts what is read through it.
type meter struct {
	src io.Reader
	n   *atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.src.Read(p)
	m.n.Add(int64(n))
	return n, err
}
