package stream

import (
	"io"
	"io/fs"
	"os"

	"github.com/fsnotify/fsnotify"

	"distproof/capture"
)

// open opens what is to be read.
func open(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, capture.OpenError(path, err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		file.Close()
		return nil, capture.OpenError(path, err)
	case info.IsDir():
		file.Close()
		return nil, &capture.Error{Path: path, Reason: "is a folder", Advice: "distproof verify reads folders"}
	case !info.Mode().IsRegular():
		return file, nil
	}
	g, err := newGrowing(path, file, info)
	if err != nil {
		file.Close()
		return nil, &capture.Error{Path: path, Reason: "cannot be followed: " + err.Error(), Err: err, Advice: "tail -c +1 -f FILE | distproof watch -"}
	}
	return g, nil
}

// growing is a file to which bytes are added. It ends when it is closed, or when
// it is no longer what its path leads to.
type growing struct {
	path    string
	file    *os.File
	info    fs.FileInfo
	changes *fsnotify.Watcher
}

func newGrowing(path string, file *os.File, info fs.FileInfo) (*growing, error) {
	changes, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := changes.Add(path); err != nil {
		changes.Close()
		return nil, err
	}
	return &growing{path, file, info, changes}, nil
}

// Read waits at the end of the file until there is more.
func (g *growing) Read(p []byte) (int, error) {
	for {
		gone := g.gone() // what was written before is still read
		n, err := g.file.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		if gone {
			return 0, io.EOF
		}
		select {
		case _, more := <-g.changes.Events:
			if !more {
				return 0, io.EOF
			}
		case err := <-g.changes.Errors:
			// Changes may have been missed; the next ones will wake it again. The
			// channel is closed with that of the changes.
			if err == nil {
				return 0, io.EOF
			}
		}
	}
}

// gone reports whether the file was deleted, or another one took its place.
func (g *growing) gone() bool {
	info, err := os.Stat(g.path)
	return err != nil || !os.SameFile(info, g.info)
}

func (g *growing) Close() error {
	g.changes.Close()
	return g.file.Close()
}
