package main

import (
	"io"
	"testing"

	"distproof/capture"
	"distproof/report"
	"distproof/verify"
)

// BenchmarkReport is what comes behind the facts: judgement, document, JSON.
func BenchmarkReport(b *testing.B) {
	src, err := capture.Open([]string{pcapsDir + "/mixed.pcap"}, capture.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	x, err := examine(src, analyzeOptions{Judge: true})
	if err != nil {
		b.Fatal(err)
	}
	undecoded := make([]map[string]uint64, len(x.inputs))
	b.ReportAllocs()
	for b.Loop() {
		judgement := verify.Judge(x.facts, verify.Coverage{}, verify.Options{})
		doc := report.New(report.Tool{}, x.inputs, undecoded, x.facts, judgement)
		if err := report.Render(io.Discard, doc, "json", report.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
