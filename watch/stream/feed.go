package stream

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// errStopped ends a feed that was stopped.
var errStopped = errors.New("stopped")

// chunkSize is how much is read at a time; a pipe of Linux holds as much.
const chunkSize = 64 << 10

// A feed reads ahead, so that who takes its bytes need not wait for them for ever.
type feed struct {
	in io.ReadCloser
	// chunks brings what was read; it is closed at the end, whose reason is then
	// in err. free takes back what was used.
	chunks, free chan []byte
	err          error
	// rest is what was taken from chunks and not handed out.
	rest, chunk []byte
	// stopped is closed by stop, after deadline was set, and closed by close.
	stopped, closed chan struct{}
	deadline        atomic.Pointer[time.Time]
}

func newFeed(in io.ReadCloser) *feed {
	const ahead = 2
	f := &feed{in: in, chunks: make(chan []byte, ahead), free: make(chan []byte, ahead+2), stopped: make(chan struct{}), closed: make(chan struct{})}
	for range cap(f.free) {
		f.free <- make([]byte, chunkSize)
	}
	go f.fill()
	return f
}

// fill reads until there is no more, or nobody wants it. What waits in Read of a
// pipe cannot be woken: then this ends with the process.
func (f *feed) fill() {
	defer close(f.chunks)
	for {
		var buf []byte
		select {
		case buf = <-f.free:
		case <-f.closed:
			return
		}
		n, err := f.in.Read(buf)
		if n > 0 {
			select {
			case f.chunks <- buf[:n]:
			case <-f.closed:
				return
			}
		}
		if err != nil {
			f.err = err
			return
		}
	}
}

// read hands out bytes. It waits for them until the feed ends or is stopped.
func (f *feed) read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.chunk != nil {
			f.free <- f.chunk[:cap(f.chunk)]
			f.chunk = nil
		}
		chunk, err := f.next()
		if err != nil {
			return 0, err
		}
		f.chunk, f.rest = chunk, chunk
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *feed) next() ([]byte, error) {
	select {
	case chunk, more := <-f.chunks:
		return f.took(chunk, more)
	case <-f.stopped:
	}
	select {
	case chunk, more := <-f.chunks:
		return f.took(chunk, more)
	case <-time.After(time.Until(*f.deadline.Load())):
		return nil, errStopped
	}
}

func (f *feed) took(chunk []byte, more bool) ([]byte, error) {
	if !more {
		return nil, f.err
	}
	return chunk, nil
}

// late reports whether the time after stop is over.
func (f *feed) late() bool {
	d := f.deadline.Load()
	return d != nil && time.Now().After(*d)
}

// stop ends the feed soon. It is called once.
func (f *feed) stop() {
	deadline := time.Now().Add(grace)
	f.deadline.Store(&deadline)
	close(f.stopped)
}

// close gives everything back. It is called once.
func (f *feed) close() error {
	close(f.closed)
	return f.in.Close()
}
