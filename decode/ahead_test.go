package decode

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/internal/mutate"
)

// A result is all that a capture is found to have.
type result struct {
	Capture   *Capture
	Inputs    []capture.Input
	Undecoded map[string]uint64
}

// decoded reads a file with so many workers, as set arranges.
func decoded(t rapid.TB, path string, workers int, set func(*Ahead)) result {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	d, links := NewDecoder(Options{}), link.NewDecoder(link.Options{})
	pool := d.Work(workers)
	ahead := pool.Ahead(src, links)
	set(ahead)
	var p capture.Packet
	for {
		if err := ahead.Take(); err != nil {
			t.Fatal(err)
		}
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		}
		if s := pool.Next(); links.Decode(&p, s) {
			if err := pool.Take(s, p.Stays && len(links.Parts()) == 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := pool.Wait(); err != nil {
		t.Fatal(err)
	}
	links.Finish()
	return result{d.Finish(links.Encapsulation), src.Inputs(), links.Undecoded(0)}
}

// variants writes a capture in all formats that are mapped, and in all
// encapsulations: fragments, tunnels, and all of them one after the other.
func variants(t *testing.T, path string) (files []string) {
	t.Helper()
	packets, err := mutate.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	packets = packets[:min(len(packets), 400)]
	folder := t.TempDir()
	write := func(name string, packets []mutate.Packet, f mutate.Format) {
		path := filepath.Join(folder, fmt.Sprintf("%d", len(files)))
		if err := mutate.WriteFile(path, packets, f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files = append(files, path)
	}
	for _, f := range mutate.Formats() {
		if f.Compression == mutate.Uncompressed {
			write(f.String(), packets, f)
		}
	}
	var all []mutate.Packet
	for _, e := range mutate.Encapsulations() {
		if changed := e.Apply(packets); changed != nil {
			write(e.Name, changed, mutate.Format{PCAPNG: true, Interfaces: true})
			all = append(all, changed...)
		}
	}
	write("all", all, mutate.Format{PCAPNG: true})
	return files
}

// TestPartsShowNowhere: in however large parts a file is read ahead, by whomever,
// the same is found.
func TestPartsShowNowhere(t *testing.T) {
	files := variants(t, "../pcaps/mutual_tls13.pcap")
	wants := make(map[string]result)
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(files).Draw(t, "file")
		want, ok := wants[path]
		if !ok {
			want = decoded(t, path, 1, func(*Ahead) {})
			wants[path] = want
		}
		got := decoded(t, path, rapid.IntRange(2, 16).Draw(t, "workers"), func(a *Ahead) {
			a.after = rapid.IntRange(1, 50).Draw(t, "after")
			a.packets = rapid.IntRange(1, 100).Draw(t, "packets")
			a.size = rapid.IntRange(200, 20_000).Draw(t, "size")
		})
		if !reflect.DeepEqual(got.Inputs, want.Inputs) || !reflect.DeepEqual(got.Undecoded, want.Undecoded) {
			t.Errorf("%s: %+v, %v, want %+v, %v", path, got.Inputs, got.Undecoded, want.Inputs, want.Undecoded)
		}
		if !reflect.DeepEqual(got.Capture.Connections, want.Capture.Connections) || !reflect.DeepEqual(got.Capture.orders, want.Capture.orders) {
			t.Errorf("%s: other facts", path)
		}
	})
}

// manyPackets writes a capture of at least that many packets.
func manyPackets(t *testing.T, n int) string {
	t.Helper()
	packets, err := mutate.ReadFile("../pcaps/mixed.pcap")
	if err != nil {
		t.Fatal(err)
	}
	var many []mutate.Packet
	for len(many) < n {
		many = append(many, packets...)
	}
	path := filepath.Join(t.TempDir(), "many.pcap")
	if err := mutate.WriteFile(path, many, mutate.Format{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPartsAreRead: most of a large file is read ahead of its turn.
func TestPartsAreRead(t *testing.T) {
	var ahead *Ahead
	decoded(t, manyPackets(t, 10_000), 2, func(a *Ahead) { ahead = a })
	if runtime.GOOS == "linux" && ahead.read > 2*aheadAfter {
		t.Errorf("%d packets were not read ahead", ahead.read)
	}
}

// TestPartsOfAFileThatShrinks: what is not there any more is an error of the
// reader, although another goroutine found that out.
func TestPartsOfAFileThatShrinks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files are not mapped on this system")
	}
	path := manyPackets(t, 10_000)
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	links := link.NewDecoder(link.Options{})
	pool := NewDecoder(Options{}).Work(2)
	ahead := pool.Ahead(src, links)
	ahead.after, ahead.size = 2, 100_000
	var p capture.Packet
	if err := errors.Join(ahead.Take(), src.Next(&p), os.Truncate(path, 300_000)); err != nil {
		t.Fatal(err)
	}
	if err := ahead.Take(); err == nil {
		t.Error("all parts were read")
	}
	if err := pool.Wait(); err != nil {
		t.Error(err) // what was read is still there
	}
}
