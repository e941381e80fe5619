package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distproof/capture"
)

// header begins a capture of Ethernet.
func header() []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, []uint32{0xa1b2c3d4, 4<<16 | 2, 0, 0, 65535, 1})
	return b.Bytes()
}

// packet is one of n bytes.
func packet(n int) []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, []uint32{1, 0, uint32(n), uint32(n)})
	b.Write(bytes.Repeat([]byte{'x'}, n))
	return b.Bytes()
}

// reading is a Source whose packets are counted as they come.
type reading struct {
	t *testing.T
	*Source
	packets chan int // their lengths; closed after the last
	end     chan error
}

func read(t *testing.T, s *Source) *reading {
	r := &reading{t, s, make(chan int, 100), make(chan error, 1)}
	go func() {
		for {
			var p capture.Packet
			if err := s.Next(&p); err != nil {
				r.end <- err
				close(r.packets)
				return
			}
			r.packets <- len(p.Data)
		}
	}()
	t.Cleanup(func() { s.Close() })
	return r
}

func (r *reading) want(lengths ...int) {
	r.t.Helper()
	for _, want := range lengths {
		select {
		case got, more := <-r.packets:
			if !more {
				r.t.Fatalf("ended: %v", <-r.end)
			}
			if got != want {
				r.t.Errorf("a packet of %d bytes, not %d", got, want)
			}
		case <-time.After(10 * time.Second):
			r.t.Fatal("no packet")
		}
	}
}

func (r *reading) wantEnd() error {
	r.t.Helper()
	select {
	case err := <-r.end:
		return err
	case n, more := <-r.packets:
		if !more {
			return <-r.end
		}
		r.t.Fatalf("a packet of %d bytes", n)
	case <-time.After(10 * time.Second):
		r.t.Fatal("it does not end")
	}
	return nil
}

func openPipe(t *testing.T) (*reading, io.WriteCloser) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	s, err := Open("-", r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, s), w
}

// Packets come when they are written, not when the pipe is full.
func TestPipe(t *testing.T) {
	r, w := openPipe(t)
	if in := r.Inputs(); len(in) != 1 || in[0].Path != "-" || in[0].Packets != 0 {
		t.Errorf("before the first byte: %+v", in)
	}
	w.Write(header())
	for i := 1; i < 4; i++ {
		w.Write(packet(100 * i))
		r.want(100 * i)
		if in := r.Inputs()[0]; in.Packets != uint64(i) || r.HasSecrets() {
			t.Errorf("%+v", in)
		}
	}
	w.Write(packet(1 << 17)) // more than a pipe holds, and than is read at once
	r.want(1 << 17)
	w.Close()
	if err := r.wantEnd(); err != io.EOF {
		t.Error(err)
	}
	if in := r.Inputs()[0]; in.Damage != nil || in.Packets != 4 {
		t.Errorf("%+v", in)
	}
}

// A capture that ends in a packet is cut; one that is stopped there is not.
func TestCutAndStopped(t *testing.T) {
	for _, stop := range []bool{false, true} {
		r, w := openPipe(t)
		w.Write(append(header(), packet(60)...))
		r.want(60)
		w.Write(packet(60)[:50])
		if stop {
			r.Stop()
			r.Stop()
		} else {
			w.Close()
		}
		if err := r.wantEnd(); err != io.EOF {
			t.Error(err)
		}
		if in := r.Inputs()[0]; (in.Damage == nil) != stop {
			t.Errorf("stopped: %v: %+v", stop, in)
		}
		var p capture.Packet
		if err := r.Next(&p); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	}
}

// Stop ends it also before the first byte, and in a stream that never pauses.
func TestStop(t *testing.T) {
	r, _ := openPipe(t)
	r.Stop()
	if err := r.wantEnd(); err != io.EOF {
		t.Error(err)
	}
	s, err := Open("-", io.MultiReader(bytes.NewReader(header()), endless{packet(60)}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Stop()
	var p capture.Packet
	for deadline := time.Now().Add(10 * time.Second); err == nil; err = s.Next(&p) {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
	if err != io.EOF || s.Inputs()[0].Damage != nil {
		t.Errorf("%v, %+v", err, s.Inputs()[0])
	}
}

// endless repeats its bytes, which fit whatever they are read into many times.
type endless struct{ data []byte }

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for len(p)-n >= len(e.data) {
		n += copy(p[n:], e.data)
	}
	return n, nil
}

// What tcpdump still writes when it is interrupted, too, is read.
func TestStopReadsWhatIsThere(t *testing.T) {
	r, w := openPipe(t)
	w.Write(append(header(), packet(60)...))
	r.want(60)
	r.Stop()
	w.Write(packet(61))
	w.Close()
	r.want(61)
	if err := r.wantEnd(); err != io.EOF {
		t.Error(err)
	}
}

func TestNoCapture(t *testing.T) {
	for _, text := range []string{"", "tcpdump: no permission\n" + strings.Repeat(".", 100)} {
		r, w := openPipe(t)
		io.WriteString(w, text)
		w.Close()
		var e *capture.Error
		if err := r.wantEnd(); !errors.As(err, &e) {
			t.Errorf("%q: %v", text, err)
		}
	}
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := Open(path, nil); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

// The error names the file, as the user does.
func TestNoCaptureIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("notes\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Next(new(capture.Packet)); err == nil || !strings.HasPrefix(err.Error(), path+": not a capture file") {
		t.Error(err)
	}
}

// A file that grows is read while it does, until another one takes its place.
func TestGrowingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growing.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write(header())
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, s)
	for n := range 5 {
		f.Write(packet(60 + n))
		r.want(60 + n)
	}
	if in := s.Inputs()[0]; in.Path != path || in.Packets != 5 {
		t.Errorf("%+v", in)
	}
	f.Write(packet(77))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	r.want(77)
	if err := r.wantEnd(); err != io.EOF {
		t.Error(err)
	}
	if in := s.Inputs()[0]; in.Damage != nil {
		t.Errorf("%+v", in)
	}
}
