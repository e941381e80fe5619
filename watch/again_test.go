package watch

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
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
