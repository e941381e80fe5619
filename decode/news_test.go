package decode_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"distproof/decode"
	"distproof/internal/recorded"
	"distproof/report"
	"distproof/verify"
)

// Whenever there is no news, all is as before that is judged or told: verdicts, the
// reasons for them, and findings.
func TestNoNews(t *testing.T) {
	quiet, all := 0, 0
	for _, path := range recorded.Captures(t) {
		r := recordingOf(t, path)
		if r.keys != nil {
			continue // what is opened may tell anything
		}
		live, ledger := decode.NewLive(r.options(), r.encapsulation), decode.NewLedger(r.options())
		every := max(1, len(r.segments)/50)
		told := ""
		for i := range r.segments {
			s := r.segments[i]
			live.Segment(&s)
			if i%every != 0 {
				continue
			}
			news := live.News()
			for live.Changed() {
				ledger.Take(live.Changes(100))
			}
			c, _ := ledger.Capture(live.LeftOut())
			is := judged(t, c)
			if all++; !news {
				if quiet++; is != told {
					t.Fatalf("%s: no news in segment %d, but %s", filepath.Base(path), i+1, recorded.Difference(is, told))
				}
			}
			told = is
		}
	}
	t.Logf("%d of %d times nothing was new", quiet, all)
	if quiet < all/10 {
		t.Errorf("%d of %d times nothing was new", quiet, all)
	}
}

// judged renders what is told of a capture, without counters.
func judged(t *testing.T, c *decode.Capture) string {
	t.Helper()
	j := verify.Judge(c, verify.Coverage{}, verify.Options{})
	doc := report.New(report.Tool{}, nil, nil, c, j)
	for i := range doc.Connections {
		x := &doc.Connections[i]
		x.Bytes, x.Packets, x.LastSeen = report.Counts{}, report.Counts{}, ""
		if x.TLS != nil {
			of := *x.TLS
			of.Records = report.Records{}
			x.TLS = &of
		}
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
