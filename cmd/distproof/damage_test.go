package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"distproof/capture"
	"distproof/report"
	"distproof/verify"
)

// cutStep is the distance in bytes between the places where captures are cut:
// a prime, so that all parts of packets are hit.
const cutStep = 97

// validated is one in how many documents is held against its schema.
const validated = 40

// bundled calls each for every capture of the project, as it is in the file;
// with -short for one in four.
func bundled(t *testing.T, each func(t *testing.T, data []byte, original *report.Document)) {
	files, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", pcapsDir, err)
	}
	for i, path := range files {
		if testing.Short() && i%4 != 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			each(t, data, documentOf(t, data))
		})
	}
}

// TestCutFilesClaimNothingMore: a file that ends anywhere claims nothing that
// the whole one does not.
func TestCutFilesClaimNothingMore(t *testing.T) {
	bundled(t, func(t *testing.T, data []byte, original *report.Document) {
		for end := cutStep; end < len(data); end += cutStep {
			doc := documentOf(t, data[:end])
			for _, problem := range stronger(original, doc) {
				t.Errorf("cut at %d: %s", end, problem)
			}
			if doc.Inputs[0].Truncated && doc.Conclusion == "pass" {
				t.Errorf("cut at %d: passes", end)
			}
			if end/cutStep%validated == 0 {
				checkDocument(t, doc)
			}
		}
	})
}

// changedVariants is how many times bytes of each capture are changed;
// DISTPROOF_DAMAGE is another number.
const changedVariants = 300

func variants(t *testing.T) int {
	n := changedVariants
	if testing.Short() {
		n /= 10
	}
	if text := os.Getenv("DISTPROOF_DAMAGE"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestChangedBytes changes bytes anywhere behind the file header. What then
// holds, since a changed byte of an address, a flag, a length or a message is a
// different capture:
//
//   - no connection gets a better verdict than it had, unless the file says that
//     packets are missing; it may get a worse one, or none;
//   - none comes up that was not there, but as inconclusive, or as cleartext if
//     there was some: a packet with another address;
//   - nothing passes that did not pass before, and no file that is damaged.
func TestChangedBytes(t *testing.T) {
	n := variants(t)
	bundled(t, func(t *testing.T, data []byte, original *report.Document) {
		for seed := range n {
			changed, places := change(data, uint64(seed))
			doc := documentOf(t, changed)
			for _, problem := range improved(original, doc) {
				t.Errorf("seed %d, bytes %v: %s", seed, places, problem)
			}
			if seed%validated == 0 {
				checkDocument(t, doc)
			}
		}
	})
}

// TestDamagedThirdParty cuts captures of other projects, and changes bytes of
// them: there is an error or a report each time, and none of them begins to have
// nodes in it. The larger ones are cut at fewer places.
func TestDamagedThirdParty(t *testing.T) {
	n := max(variants(t)/10, 1)
	thirdParty(t, func(t *testing.T, want wiresharked) {
		t.Parallel()
		data, err := os.ReadFile(filepath.Join(thirdPartyDir, want.Path))
		if err != nil {
			t.Fatal(err)
		}
		step := cutStep * (1 + len(data)/cutStep/(10*n))
		for end := min(cutStep, len(data)-1); end < len(data); end += step {
			checkDamaged(t, fmt.Sprintf("cut at %d", end), data[:end])
		}
		for seed := range n {
			if len(data) > firstHeader {
				changed, places := change(data, uint64(seed))
				checkDamaged(t, fmt.Sprintf("seed %d, bytes %v", seed, places), changed)
			}
		}
	})
}

// checkDamaged analyses what has no nodes in it.
func checkDamaged(t *testing.T, how string, data []byte) {
	t.Helper()
	src, err := capture.NewReader(bytes.NewReader(data), "test")
	if (err == nil) != (src != nil) {
		t.Fatalf("%s: %v, %v", how, src, err)
	}
	if err != nil {
		return
	}
	defer src.Close()
	// Believing checksums or not: those of some were never right.
	doc, err := analyze(src, analyzeOptions{Judge: true, AnyChecksum: true, Workers: 1})
	if err != nil {
		t.Errorf("%s: %v", how, err)
		return
	}
	// That an EPMD was reached from afar is what a changed address says.
	if doc.Conclusion == "pass" || doc.Summary.Distribution.Total() != doc.Summary.Distribution.Inconclusive {
		t.Errorf("%s: %s (%s), %+v", how, doc.Conclusion, doc.Reason, doc.Summary)
	}
	if len(data)%validated == 0 {
		checkDocument(t, doc)
	}
}

// firstHeader is as long as that of a pcap file; one of pcapng is longer.
const firstHeader = 24

// change gives one to eight bytes other values, and tells which.
func change(data []byte, seed uint64) (changed []byte, places []int) {
	r := rand.New(rand.NewPCG(seed, 0))
	changed = slices.Clone(data)
	for range 1 << r.IntN(4) {
		i := firstHeader + r.IntN(len(data)-firstHeader)
		changed[i] ^= byte(1 + r.IntN(255))
		places = append(places, i)
	}
	return changed, places
}

// improved lists what got better in got than it is in want.
func improved(want, got *report.Document) []string {
	var problems []string
	originals := byEndpoints(want)
	damaged := got.Inputs[0].Truncated || got.Inputs[0].Damage != ""
	for key, connections := range byEndpoints(got) {
		for _, c := range connections {
			switch v := text(c.Verdict); {
			case v == "null" || v == "inconclusive" || had(originals[key], v):
			case len(originals[key]) == 0 && v == "cleartext" && want.Summary.Distribution.Cleartext > 0:
			case len(originals[key]) > 0 && worse(v, originals[key]):
			case damaged && v == "refused" && len(originals[key]) > 0:
			default:
				problems = append(problems, fmt.Sprintf("%s: %s of %s", key, claims(c), claims(first(originals[key]))))
			}
		}
	}
	if got.Conclusion == "pass" && (want.Conclusion != "pass" || damaged) {
		problems = append(problems, "passes: "+got.Reason)
	}
	return problems
}

func had(connections []report.Connection, verdict string) bool {
	return slices.ContainsFunc(connections, func(c report.Connection) bool { return text(c.Verdict) == verdict })
}

// worse reports whether a verdict is worse news than those of all connections.
func worse(verdict string, connections []report.Connection) bool {
	for _, c := range connections {
		if c.Verdict == nil || !verify.Verdict(verdict).Worse(verify.Verdict(*c.Verdict)) {
			return false
		}
	}
	return true
}
