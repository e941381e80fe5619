package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/capture/live"
	"distproof/internal/recorded"
)

// A fleeting source has packets that are not valid any more when the next one is
// read, as of a network.
type fleeting struct {
	capture.Source
	buf []byte
}

func (s *fleeting) Stop() {}

func (s *fleeting) Next(p *capture.Packet) error {
	clear(s.buf)
	if err := s.Source.Next(p); err != nil {
		return err
	}
	s.buf = append(s.buf[:0], p.Data...)
	p.Data, p.Stays = s.buf, false
	return nil
}

// A witness remembers what the tap was shown.
type witness struct {
	mu      sync.Mutex
	packets []capture.Packet
	numbers []uint64
}

func (w *witness) Packet(p *capture.Packet, number uint64) {
	if !w.mu.TryLock() {
		panic("the tap is called by two at once")
	}
	defer w.mu.Unlock()
	q := *p
	q.Data, q.Stays = bytes.Clone(p.Data), false
	w.packets, w.numbers = append(w.packets, q), append(w.numbers, number)
}

func (w *witness) State(*State) {}

// alone takes all packets of a source one by one.
func alone(t *testing.T, path string) (*Engine, *witness) {
	w := new(witness)
	e := New(&fleeting{Source: openFile(t, path)}, Options{Tap: w})
	var p capture.Packet
	var s link.Segment
	for {
		if err := e.src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		e.packet(&p, &s)
	}
	e.maker.round(true)
	return e, w
}

func openFile(t *testing.T, path string) capture.Source {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// With any number of workers the end is the same, and the tap is shown the same
// packets, in their order and with the same numbers.
func TestCrew(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, path := range recorded.Captures(t) {
		single, want := alone(t, path)
		document, err := json.Marshal(single.State().Document)
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 2, 16} {
			runtime.GOMAXPROCS(workers)
			got := new(witness)
			s, err := New(&fleeting{Source: openFile(t, path)}, Options{Tap: got}).Run(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := json.Marshal(s.Document); !bytes.Equal(b, document) {
				t.Errorf("%s, %d workers: %s\nwant %s", filepath.Base(path), workers, b, document)
			}
			if !slices.Equal(got.numbers, want.numbers) {
				t.Errorf("%s, %d workers: connections %d\nwant %d", filepath.Base(path), workers, got.numbers, want.numbers)
			}
			same := func(a, b capture.Packet) bool {
				return bytes.Equal(a.Data, b.Data) && a.Frame == b.Frame && a.Time == b.Time && a.Length == b.Length && a.LinkType == b.LinkType
			}
			if !slices.EqualFunc(got.packets, want.packets, same) {
				t.Errorf("%s, %d workers: other packets were shown", filepath.Base(path), workers)
			}
		}
	}
}

// A flood has the packets of a crowd, one connection after the other so many at a
// time, as fast as they are taken.
type flood struct {
	*quietSource
	*crowd
	of, width int
	at        int
	buf       []byte
}

func (f *flood) Interfaces() []live.InterfaceState { return nil }

func (f *flood) Next(p *capture.Packet) error {
	per := f.width * len(f.steps)
	if f.at == f.of*len(f.steps) {
		return io.EOF
	}
	round, rest := f.at/per, f.at%per
	f.at++
	clear(f.buf)
	*p = f.packet(rest/f.width, round*f.width+rest%f.width, time.Unix(1_800_000_000, 0).Add(f.steps[rest/f.width].after), f.buf)
	p.Frame.Number, f.buf = uint32(f.at), p.Data
	return nil
}

// When more comes than can be decoded at once, nothing is lost or mixed up: more
// bundles are filled than may wait, and signatures are checked later.
func TestCrewInAFlood(t *testing.T) {
	const connections = 2_000
	crowd := crowdOf(t, "mutual_tls12", portOf(t, "mutual_tls12")).open()
	o := ports(portOf(t, "mutual_tls12"))
	o.AnyChecksum, o.MaxMemory = true, 1<<30
	taken := new(witness)
	src := &flood{quietSource: newQuietSource(), crowd: crowd, of: connections, width: 100}
	s, err := New(src, Options{Tap: taken, Decode: o, MaxMemory: 128 << 20}).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Document.Summary.Distribution.Mutual; got != connections || s.Connections != connections {
		t.Errorf("%d of %d connections are mutual TLS, want %d", got, s.Connections, connections)
	}
	if len(taken.packets) != connections*len(crowd.steps) {
		t.Fatalf("the tap was shown %d packets of %d", len(taken.packets), connections*len(crowd.steps))
	}
	for i, n := range taken.numbers {
		round, rest := i/(100*len(crowd.steps)), i%100
		if want := uint64(round*100 + rest + 1); n != want || taken.packets[i].Frame.Number != uint32(i+1) {
			t.Fatalf("packet %d is of connection %d, want %d", i+1, n, want)
		}
	}
}
