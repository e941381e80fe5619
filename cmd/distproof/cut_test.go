package main

import (
	"fmt"
	"sync/atomic"
	"testing"

	"distproof/decode/dist"
	"distproof/internal/mutate"
	"distproof/report"
)

// TestCutCleartext begins to capture later and later: what is told of cleartext
// connections must be a part of what the whole tells. Atoms whose definition was
// not seen are not known; none is taken for another.
func TestCutCleartext(t *testing.T) {
	var compared atomic.Int64
	small(t, func(t *testing.T, packets []mutate.Packet, whole *report.Document) {
		known := told(whole)
		if len(known) == 0 {
			return
		}
		step := 1
		if testing.Short() {
			step = 7
		}
		for k := step; k < len(packets); k += step {
			doc := documentOfPackets(t, packets[k:], mutate.Format{})
			for what, n := range told(doc) {
				compared.Add(1)
				if n > known[what] {
					t.Errorf("from packet %d on: %s ×%d, of %d", k+1, what, n, known[what])
				}
			}
			for _, problem := range strangers(whole, doc) {
				t.Errorf("from packet %d on: %s", k+1, problem)
			}
		}
	})
	t.Cleanup(func() { // the captures are tested in parallel
		if n := compared.Load(); n < 1000 && !testing.Short() {
			t.Errorf("%d facts compared", n)
		}
	})
}

// told has everything that is counted of what crossed in the clear. Messages of
// which the operation is not known may be any.
func told(doc *report.Document) map[string]uint64 {
	out := map[string]uint64{}
	for _, c := range doc.Connections {
		if c.Cleartext == nil {
			continue
		}
		// Who is the client may not show from the middle on.
		a, b := fmt.Sprintf("%s:%d", c.Client.Address, c.Client.Port), fmt.Sprintf("%s:%d", c.Server.Address, c.Server.Port)
		where := max(a, b) + " " + min(a, b) + " "
		sum := uint64(0)
		for op, n := range c.Cleartext.Messages {
			if sum += n; op != dist.Unknown {
				out[where+op] += n
			}
		}
		out[where+"messages"] += sum
		for name, n := range c.Cleartext.RegisteredNames {
			out[where+"to "+name] += n
		}
		for _, call := range c.Cleartext.Calls {
			out[where+call.Means+" "+call.Function] += call.Count
		}
	}
	return out
}

// strangers lists the nodes of a document that another one of the same capture
// does not have.
func strangers(whole, doc *report.Document) []string {
	names := map[string]bool{}
	for _, n := range whole.Nodes {
		names[n.Name] = true
	}
	var out []string
	for _, n := range doc.Nodes {
		if !names[n.Name] {
			out = append(out, fmt.Sprintf("node %s (%s)", n.Name, n.Basis))
		}
	}
	return out
}
