package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/omission"
	"distproof/report"
	"distproof/verify"
)

// At every moment the document that is made of what changed is the one that is
// made of everything that came so far.
func TestDocumentsMadeOfChanges(t *testing.T) {
	files, _ := filepath.Glob("../pcaps/*.pcap")
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			src, err := capture.Open([]string{path}, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			e := New(&replay{Source: src}, Options{})
			var p capture.Packet
			var s link.Segment
			var all []capture.Packet
			for n := 1; ; n++ {
				if err := src.Next(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				p.Data = append([]byte(nil), p.Data...)
				all = append(all, p)
				e.packet(&p, &s)
				if n%(n/10+1) == 0 {
					e.maker.round(false)
					compare(t, e.State().Document, wholly(all))
				}
			}
			e.maker.round(true)
			compare(t, e.State().Document, wholly(all))
		})
	}
}

// The same of captures whose packets come in a random order among each other, with
// States made at random moments.
func TestDocumentsOfRandomChanges(t *testing.T) {
	files, err := filepath.Glob("../pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			var parts [][]capture.Packet
			for range 5 {
				parts = append(parts, packetsOf(t, files[random.IntN(len(files))]))
			}
			e := New(newQuietSource(), Options{})
			var all []capture.Packet
			var s link.Segment
			for len(parts) > 0 {
				i := random.IntN(len(parts))
				for range 1 + random.IntN(30) {
					if len(parts[i]) == 0 {
						parts = slices.Delete(parts, i, i+1)
						break
					}
					p := parts[i][0]
					parts[i] = parts[i][1:]
					p.Time, p.Frame = int64(len(all)+1)*1e6, capture.Frame{Number: uint32(len(all) + 1)}
					all = append(all, p)
					e.packet(&p, &s)
				}
				if random.IntN(8) == 0 {
					e.maker.round(false)
					compare(t, e.State().Document, wholly(all))
				}
			}
			e.maker.round(true)
			compare(t, e.State().Document, wholly(all))
		})
	}
}

func packetsOf(t *testing.T, path string) (all []capture.Packet) {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.Data = append([]byte(nil), p.Data...)
		all = append(all, p)
	}
}

// wholly makes the document of packets at once.
func wholly(packets []capture.Packet) *report.Document {
	links, d := link.NewDecoder(link.Options{}), decode.NewDecoder(decode.Options{})
	var s link.Segment
	for _, p := range packets {
		if links.Decode(&p, &s) {
			d.Segment(&s)
		}
	}
	inputs := []capture.Input{{}}
	facts := d.Finish(links.Encapsulation)
	left := omission.Of(links, 1)
	return report.New(report.Tool{}, inputs, omission.Undecoded(left, &facts.LeftOut), facts,
		verify.Judge(facts, omission.Coverage(inputs, left, &facts.LeftOut), verify.Options{}))
}

func compare(t *testing.T, got, want *report.Document) {
	t.Helper()
	same := *got
	same.Inputs = want.Inputs
	a, _ := json.Marshal(&same)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Fatalf("got %s\nwant %s", a, b)
	}
}
