package main

import (
	"os"
	"testing"

	"distproof/capture"
)

// BenchmarkAnalyze runs the whole way from a capture file to the document. Set
// DISTPROOF_BENCH to the path of a large capture to measure with that.
func BenchmarkAnalyze(b *testing.B) {
	path := os.Getenv("DISTPROOF_BENCH")
	if path == "" {
		path = pcapsDir + "/mixed.pcap"
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		src, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := analyze(src, analyzeOptions{Judge: true}); err != nil {
			b.Fatal(err)
		}
		if err := src.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
