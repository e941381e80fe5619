package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"distproof/capture"
	"distproof/internal/mutate"
	"distproof/report"
)

// TestWorkers: how many goroutines share the work, and whether packets are read
// from a file or from a pipe, shows nowhere in the report.
func TestWorkers(t *testing.T) {
	for _, path := range append(captures(t), many(t)) {
		want := reportWith(t, path, nil, 1)
		for _, workers := range []int{2, 16} {
			if got := reportWith(t, path, nil, workers); !bytes.Equal(got, want) {
				t.Errorf("%s: with %d workers the report differs from that with one", path, workers)
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want = reportWith(t, "-", data, 1)
		for _, workers := range []int{2, 16} {
			if got := reportWith(t, "-", data, workers); !bytes.Equal(got, want) {
				t.Errorf("%s, through a pipe: with %d workers the report differs from that with one", path, workers)
			}
		}
	}
}

// many returns a capture with many packets of many connections, out of order.
func many(t *testing.T) string {
	t.Helper()
	packets, err := mutate.ReadFile(pcapsDir + "/mixed.pcap")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "many.pcap")
	packets = mutate.SwapNeighbours(mutate.Resegment(packets, 1), 0)
	if len(packets) < 10_000 {
		t.Fatalf("only %d packets", len(packets))
	}
	if err := mutate.WriteFile(path, packets, mutate.Format{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// reportWith returns the report about a capture as JSON.
func reportWith(t *testing.T, path string, stdin []byte, workers int) []byte {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{Stdin: struct{ io.Reader }{bytes.NewReader(stdin)}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	doc, err := analyze(src, analyzeOptions{Judge: true, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.Render(&out, doc, "json", report.Options{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
