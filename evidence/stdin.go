package evidence

import (
	"io"
	"os"
)

// A Spool hands through a stream and keeps what passed, to be read again: in a
// file without a name in the folder's file system, where evidence needs room
// anyway.
type Spool struct {
	src    io.Reader
	file   *os.File
	folder *Folder
	size   int64
	err    error
}

// NewSpool returns a Spool of src.
func (f *Folder) NewSpool(src io.Reader) (*Spool, error) {
	file, err := os.CreateTemp(f.parent(), ".distproof-input-*")
	if err != nil {
		return nil, err
	}
	if os.Remove(file.Name()) != nil { // not every system removes open files
		f.spool = file.Name()
	}
	return &Spool{src: src, file: file, folder: f}, nil
}

// Read implements [io.Reader]. That a copy cannot be kept does not keep the
// stream from being read; [Spool.Err] tells.
func (s *Spool) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	if n > 0 && s.err == nil {
		_, s.err = s.file.Write(p[:n])
		s.size += int64(n)
	}
	return n, err
}

// Err says why the copy is not whole; nil if it is.
func (s *Spool) Err() error { return s.err }

// Again returns what has passed so far, from the beginning.
func (s *Spool) Again() io.Reader { return io.NewSectionReader(s.file, 0, s.size) }

// Close forgets the copy.
func (s *Spool) Close() error {
	err := s.file.Close()
	if s.folder.spool != "" {
		_ = os.Remove(s.folder.spool) // it was wanted no longer than this
	}
	return err
}
