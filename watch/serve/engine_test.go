package serve

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"distproof/capture"
	"distproof/report"
	"distproof/watch"
)

// A slow source delivers a capture in a second or so.
type slow struct {
	capture.Source
	packets int
}

func (s *slow) Next(p *capture.Packet) error {
	if s.packets++; s.packets%100 == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	return s.Source.Next(p)
}

func (*slow) Stop() {}

// TestEngine asks for everything while an Engine runs, and compares what is served
// at the end. The race detector sees the rest.
func TestEngine(t *testing.T) {
	src, err := capture.Open([]string{"../../pcaps/mixed.pcap"}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	engine := watch.New(&slow{Source: src}, watch.Options{Tool: report.Tool{Name: "distproof"}})
	s := newServer(t, Options{State: engine.State})
	ended := make(chan struct{})
	var asking sync.WaitGroup
	for _, path := range []string{"metrics", "healthz", "api/v1/report"} {
		asking.Go(func() {
			for {
				if answer, _ := get(t, "GET", s.URL()+path, nil); answer.StatusCode != 200 {
					t.Errorf("/%s: %s", path, answer.Status)
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	state, err := engine.Run(t.Context())
	close(ended)
	asking.Wait()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := report.Render(&want, state.Document, "json", report.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, got := get(t, "GET", s.URL()+"api/v1/report", nil); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("served:\n%s\nwant:\n%s", got, &want)
	}
	_, metrics := get(t, "GET", s.URL()+"metrics", nil)
	for _, want := range []string{`distproof_findings{effect="violates",open="false",rule="DP101",severity="critical"} `, "distproof_captured_packets_total "} {
		if !strings.Contains(string(metrics), "\n"+want) {
			t.Errorf("the metrics lack %s:\n%s", want, metrics)
		}
	}
}
