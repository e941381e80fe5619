package main

import (
	"bytes"
	"errors"
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
	for _, path := range append(captures(t), many(t), withKeyLog(t)) {
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

// withKeyLog returns a capture with a key log among its packets. From there on, one
// goroutine decodes.
func withKeyLog(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(pcapsDir + "/mutual_keylog_tls13.keylog")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := mutate.ReadFile(pcapsDir + "/mutual_keylog_tls13.pcap")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := capture.NewWriter(&out, "test", "")
	for i := range packets {
		p := capture.Packet{Data: packets[i].Data, Length: packets[i].Length, Time: packets[i].Time, LinkType: packets[i].LinkType}
		if i == 0 {
			err = w.WriteInterface(&p, "test", 0)
		}
		if i == 5 {
			err = errors.Join(err, w.WriteSecrets(log))
		}
		if err = errors.Join(err, w.WritePacket(&p)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "keylog.pcapng")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(reportWith(t, path, nil, 2), []byte(`"decryption"`)) {
		t.Fatal("nothing was decrypted")
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
