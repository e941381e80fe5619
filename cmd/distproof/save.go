package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"distproof/capture"
)

// A saver writes the packets of a source to a file while they are read. What goes
// wrong with the file does not end the reading. Without a file it does nothing.
type saver struct {
	capture.Source
	path string
	file replacement
	buf  *bufio.Writer
	out  *capture.Writer
	err  error
	// last is the packet written last, without its bytes.
	last capture.Packet
}

// saveBuffer is written at once.
const saveBuffer = 1 << 20

func newSaver(src capture.Source, path string) (*saver, error) {
	s := &saver{Source: src, path: path}
	if path == "" {
		return s, nil
	}
	if path == "-" {
		return nil, usagef("--save FILE; what is on standard output is the command's, and the report", "--save - is not possible")
	}
	file, err := openSave(path)
	if err != nil {
		return nil, usagef("", "--save %s: %v", path, cause(err))
	}
	s.file, s.buf = file, bufio.NewWriterSize(file, saveBuffer)
	s.out = capture.NewWriter(s.buf, "distproof "+toolVersion(), "")
	return s, nil
}

// openSave opens the file that will replace path. Others may not read it: there
// may be secrets in what crossed in the clear.
func openSave(path string) (replacement, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("is a folder")
	case err == nil && !info.Mode().IsRegular(): // /dev/null, a pipe
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return inPlace{f}, err
	}
	return newPrivate(path)
}

// inPlace is what cannot be replaced.
type inPlace struct{ *os.File }

func (f inPlace) CloseAtomicallyReplace() error { return f.Close() }
func (f inPlace) Cleanup() error                { return f.Close() }

// Next implements [capture.Source].
func (s *saver) Next(p *capture.Packet) error {
	err := s.Source.Next(p)
	if err == nil && s.file != nil && s.err == nil {
		s.err = s.write(p)
	}
	return err
}

func (s *saver) write(p *capture.Packet) error {
	s.last = *p
	s.last.Data = nil
	if !s.out.HasInterface(p) {
		const snaplen = 0 // all of each packet
		if err := s.out.WriteInterface(p, s.Source.Inputs()[p.Frame.Input].Path, snaplen); err != nil {
			return err
		}
	}
	return s.out.WritePacket(p)
}

// Inputs implements [capture.Source]. The frames are those of the file, which is
// what one can look them up in.
func (s *saver) Inputs() []capture.Input {
	inputs := s.Source.Inputs()
	if s.file != nil && s.err == nil {
		for i := range inputs {
			inputs[i].Path, inputs[i].Format = s.path, "pcapng"
		}
	}
	return inputs
}

// finish puts the file in its place, with what was lost noted in it.
func (s *saver) finish() error {
	if s.file == nil {
		return nil
	}
	if s.err == nil {
		s.err = s.writeLosses()
	}
	err := cmp.Or(s.err, s.buf.Flush())
	if err == nil {
		err = s.file.CloseAtomicallyReplace()
	}
	if err != nil {
		return fmt.Errorf("the packets are not saved: cannot write %s: %w", s.path, cause(err))
	}
	return nil
}

// writeLosses writes how many packets the kernel lost. That an interface went
// away counts as one, as the format has no word for it.
func (s *saver) writeLosses() error {
	in := s.Source.Inputs()[0]
	lost, why := in.Dropped, ""
	if in.Damage != nil {
		lost, why = max(lost, 1), in.Damage.Reason
	}
	if !s.out.HasInterface(&s.last) {
		if lost == 0 {
			return nil
		}
		if err := s.out.WriteInterface(&s.last, in.Path, 0); err != nil {
			return err
		}
	}
	return s.out.WriteStatistics(&s.last, lost, why)
}

// cleanup removes a file that was not finished.
func (s *saver) cleanup() {
	if s.file != nil {
		s.file.Cleanup()
	}
}
