package main

import (
	"os"
	"testing"

	"distproof/capture"
	"distproof/decode/secrets"
)

// benchmarkAnalyze runs the whole way from a capture file to the document. Set
// DISTPROOF_BENCH to the path of a large capture, as pcaps/bench makes them, to
// measure with that.
func benchmarkAnalyze(b *testing.B, options func() analyzeOptions) {
	path := os.Getenv("DISTPROOF_BENCH")
	if path == "" {
		path = pcapsDir + "/mixed.pcap"
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		src, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := analyze(src, options()); err != nil {
			b.Fatal(err)
		}
		if err := src.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnalyze(b *testing.B) {
	benchmarkAnalyze(b, func() analyzeOptions { return analyzeOptions{Judge: true} })
}

// BenchmarkKeyLogOfOthers shows what a key log costs connections of which it has
// nothing: it should be nothing. Set GOMAXPROCS to 1: with a key log connections
// are not decoded in parallel.
func BenchmarkKeyLogOfOthers(b *testing.B) {
	for name, keys := range map[string]*secrets.Log{
		"without": nil,
		"with":    readLog(b, secrets.Options{}, pcapsDir+"/mutual_keylog_tls13.keylog", pcapsDir+"/mutual_keylog_tls12.keylog"),
	} {
		b.Run(name, func(b *testing.B) {
			benchmarkAnalyze(b, func() analyzeOptions { return analyzeOptions{Judge: true, Keys: keyringOf(keys)} })
		})
	}
}
