package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/internal/allocs"
	"distproof/internal/formatcheck"
	"distproof/internal/hostile"
	"distproof/internal/mutate"
	"distproof/report"
	"distproof/verify"
	"distproof/verify/policy"
)

// checkDocument wants a document that its schema takes, and that is read back as
// it was written.
func checkDocument(t testing.TB, doc *report.Document) {
	t.Helper()
	var written, again bytes.Buffer
	if err := report.Render(&written, doc, "json", report.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := formatcheck.JSON(written.Bytes(), documentSchema); err != nil {
		t.Fatalf("not valid by its schema: %v", err)
	}
	read, unknown, err := report.Read(bytes.NewReader(written.Bytes()))
	if err != nil || len(unknown) > 0 {
		t.Fatalf("cannot be read back: %v %q", err, unknown)
	}
	if err := report.Render(&again, read, "json", report.Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written.String(), again.String()); diff != "" {
		t.Fatalf("changed by being read back: %s", diff)
	}
}

// FuzzCapture takes its input for a whole capture file: there is an error or a
// document, never both; memory is bounded; the document is valid; and what is damaged,
// or is without a mutual connection, does not pass.
func FuzzCapture(f *testing.F) {
	for _, file := range hostile.Files() {
		f.Add(file.Data)
	}
	w := newWire()
	w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
	w.epmd("10.0.0.1:40002", "10.0.0.2", 9100, "b")
	w.talk("10.0.0.3:40001", "10.0.0.2:9100").open().plain("a@n1.lab", "b@n2.lab")
	for _, format := range []mutate.Format{{}, {PCAPNG: true}} {
		data, err := mutate.Bytes(w.packets, format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 64 << 10 // a compressed file may be a thousand times as large
		if len(data) > most {
			return
		}
		src, err := capture.NewReader(bytes.NewReader(data), "fuzz")
		if (err == nil) != (src != nil) {
			t.Fatalf("source %v, error %v", src, err)
		}
		if err != nil {
			return
		}
		defer src.Close()
		var doc *report.Document
		used := allocs.Of(func() { doc, err = analyze(src, analyzeOptions{Judge: true, Workers: 1}) })
		if err != nil {
			t.Fatal(err)
		}
		in := doc.Inputs[0]
		bound := 1<<20 + 200*(uint64(len(data))+in.Bytes)
		if strings.Contains(in.Format, "+") {
			bound += 256<<20 + 1000*in.Packets // for the window, and packets without a byte
		}
		if used > bound {
			t.Errorf("%d bytes allocated for %d", used, len(data))
		}
		checkDocument(t, doc)
		if doc.Conclusion == "pass" && (in.Truncated || in.Damage != "" || doc.Summary.Distribution.Mutual == 0) {
			t.Errorf("passes: %s", doc.Reason)
		}
	})
}

// FuzzPolicy judges captures by any policy: by none does it pass that nothing was
// seen. None that asks for TLS lets a capture pass that was cut, nor, without
// exceptions, cleartext, or, if it asks for mutual TLS, one-way TLS.
func FuzzPolicy(f *testing.F) {
	texts, err := filepath.Glob("../../verify/policy/testdata/right/*.yaml")
	if err != nil || len(texts) == 0 {
		f.Fatal(err)
	}
	for _, path := range texts {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, require := range []string{"mutual", "encrypted", "observe"} {
		f.Add([]byte("version: 1\ndistribution: {require: " + require + "}\nseverities: {DP107: off, DP205: info}\nfail_on: low\n"))
	}
	f.Add([]byte("version: 1\nexceptions:\n  - {rules: [DP101, DP103, DP109, DP205, DP207], reason: r, owner: o, expires: 2999-01-01, allow_critical: true}\n"))
	whole := make(map[string][]byte)
	for _, name := range []string{"mutual_tls12", "plain", "oneway_tls12", "epmd_only"} {
		if whole[name], err = os.ReadFile(filepath.Join(pcapsDir, name+".pcap")); err != nil {
			f.Fatal(err)
		}
	}
	whole["cut"] = whole["mutual_tls12"][:len(whole["mutual_tls12"])-5]
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse(text, "fuzz.yaml")
		if err != nil {
			return
		}
		p.CAs, p.Cookies = nil, nil // are files
		p.Options.Policy.Now = time.Unix(1_800_000_000, 0)
		require, excepts := p.Options.Policy.Require, len(p.Options.Policy.Exceptions) > 0
		never := map[string]bool{
			"epmd_only":    true,
			"cut":          require != verify.RequireNothing,
			"plain":        require != verify.RequireNothing && !excepts,
			"oneway_tls12": require == verify.RequireMutual && !excepts,
		}
		for name, data := range whole {
			src, err := capture.NewReader(bytes.NewReader(data), name)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := analyze(src, analyzeOptions{Judge: true, Workers: 1, Expect: p.Options})
			if err != nil {
				t.Fatal(err)
			}
			if doc.Conclusion == "pass" && never[name] {
				t.Errorf("%s passes: %s", name, doc.Reason)
			}
		}
	})
}
