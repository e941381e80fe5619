// Package stream reads a capture that is being written: by tcpdump into a pipe, or
// into a file that grows. It is for systems on which distproof cannot capture
// itself, and for captures that come from elsewhere.
package stream

import (
	"errors"
	"io"
	"sync"
	"time"

	"distproof/capture"
)

// grace is how long the stream may go on after Stop: the terminal interrupts
// tcpdump, too, which then writes what it still has.
const grace = 100 * time.Millisecond

// A Source reads one stream. Its methods but Next and Close may be called from any
// goroutine.
type Source struct {
	path string
	feed *feed
	stop sync.Once

	// mu is over files. Next holds it, but not while it waits for bytes.
	mu    sync.Mutex
	files *capture.Files
	// ended is set when there is no more.
	ended bool
	// cut says that the stream was stopped where it was, and did not end there.
	cut bool
}

// Open opens a file or a named pipe, or stdin for the path "-". A named pipe is
// waited for until somebody opens it to write. That a stream is no capture shows
// when it is read.
func Open(path string, stdin io.Reader) (*Source, error) {
	in, err := open(path, stdin)
	if err != nil {
		return nil, err
	}
	return &Source{path: path, feed: newFeed(in)}, nil
}

// Next implements [capture.Source]: it waits for packets until the stream ends, or
// Stop is called.
func (s *Source) Next(p *capture.Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feed.late() {
		s.ended, s.cut = true, true
	}
	if s.ended {
		return io.EOF
	}
	err := s.next(p)
	if err != nil && s.cut {
		err = io.EOF
	}
	if wrong, ok := errors.AsType[*capture.Error](err); ok {
		wrong.Path = s.path // it was read as standard input
	}
	s.ended = err != nil
	return err
}

func (s *Source) next(p *capture.Packet) error {
	if s.files == nil {
		files, err := capture.Open([]string{"-"}, capture.Options{Stdin: (*unlocked)(s)})
		if err != nil {
			return err
		}
		s.files = files
	}
	return s.files.Next(p)
}

// Inputs implements [capture.Source].
func (s *Source) Inputs() []capture.Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		return []capture.Input{{Path: s.path}}
	}
	inputs := s.files.Inputs()
	for i := range inputs {
		inputs[i].Path = s.path
		if d := inputs[i].Damage; s.cut && d != nil && !d.Continued {
			inputs[i].Damage = nil // that is where it was stopped
		}
	}
	return inputs
}

// HasSecrets implements [capture.Source].
func (s *Source) HasSecrets() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files != nil && s.files.HasSecrets()
}

// Stop ends the stream where it is, or very soon after.
func (s *Source) Stop() { s.stop.Do(s.feed.stop) }

// Close gives everything back. It must not be called while Next runs.
func (s *Source) Close() error {
	s.Stop()
	err := s.feed.close()
	if s.files != nil {
		s.files.Close()
	}
	return err
}

// unlocked reads the feed for Next. Others may look at the Source while it waits.
type unlocked Source

func (u *unlocked) Read(p []byte) (int, error) {
	u.mu.Unlock()
	n, err := u.feed.read(p)
	u.mu.Lock()
	if errors.Is(err, errStopped) {
		u.cut = true
		err = io.EOF
	}
	return n, err
}
