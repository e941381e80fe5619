package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/internal/mutate"
	"distproof/report"
)

// documentOfFiles analyses several captures in one run.
func documentOfFiles(t *testing.T, parts ...[]mutate.Packet) *report.Document {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, packets := range parts {
		path := filepath.Join(dir, fmt.Sprintf("%d.pcap", i))
		if err := mutate.WriteFile(path, packets, mutate.Format{}); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return documentOfPaths(t, paths...)
}

// documentOfPaths analyses files and folders in one run.
func documentOfPaths(t *testing.T, paths ...string) *report.Document {
	t.Helper()
	src, err := capture.Open(paths, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	doc, err := analyze(src, analyzeOptions{Judge: true})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestFilesMakeOneCapture: it does not matter how a capture is spread over
// files, in which order they are named, and whether one is named twice.
func TestFilesMakeOneCapture(t *testing.T) {
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		want := essence(original)
		n := len(packets)
		even, odd := every(packets, 2, 0), every(packets, 2, 1)
		for name, parts := range map[string][][]mutate.Packet{
			"halves":           {packets[:n/2], packets[n/2:]},
			"halves, swapped":  {packets[n/2:], packets[:n/2]},
			"thirds":           {packets[:n/3], packets[n/3 : 2*n/3], packets[2*n/3:]},
			"every second":     {even, odd},
			"twice":            {packets, packets},
			"half of it twice": {packets, packets[:n/2]},
			"overlapping":      {packets[:2*n/3], packets[n/3:]},
		} {
			if diff := cmp.Diff(want, essence(documentOfFiles(t, parts...))); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}

func every(packets []mutate.Packet, step, from int) []mutate.Packet {
	var out []mutate.Packet
	for i := from; i < len(packets); i += step {
		out = append(out, packets[i])
	}
	return out
}

// TestDisorderNeverStrengthens: packets in the wrong order, or with a clock that
// steps back, show no more than in the right one.
func TestDisorderNeverStrengthens(t *testing.T) {
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		n := len(packets)
		backwards := slices.Clone(packets)
		slices.Reverse(backwards)
		stepped := slices.Clone(packets)
		for i := n / 2; i < n; i++ {
			stepped[i].Time -= 3600e9
		}
		for name, p := range map[string][]mutate.Packet{
			"second half first": slices.Concat(packets[n/2:], packets[:n/2]),
			"backwards":         backwards,
			"clock steps back":  stepped,
			"twice in a row":    slices.Concat(packets, packets),
		} {
			for _, problem := range stronger(original, documentOfPackets(t, p, mutate.Format{})) {
				t.Errorf("%s: %s", name, problem)
			}
		}
	})
}
