package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/decode/secrets"
	"distproof/report"
)

// A described node is what truth.json says of one.
type describedNode struct {
	Name           string
	Creations      []uint32
	Hidden         bool
	Implementation string
	Listener       string
}

// TestNodesAgreeWithTruth compares with what real nodes say of themselves: ERTS,
// Elixir, hidden nodes, remote shells, given names, restarts, erl_call and C
// nodes; in the clear, and inside TLS with a key log.
func TestNodesAgreeWithTruth(t *testing.T) {
	var truth map[string]struct{ Nodes []describedNode }
	readJSON(t, filepath.Join(pcapsDir, "truth.json"), &truth)
	seen := 0
	for name, want := range truth {
		if len(want.Nodes) == 0 {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(pcapsDir, name)
			basis, log := "handshake", (*secrets.Log)(nil)
			if _, err := os.Stat(path + ".keylog"); err == nil {
				basis, log = "decrypted", readLog(t, secrets.Options{}, path+".keylog")
			}
			doc := documentWith(t, path+".pcap", log)
			checkNodes(t, doc, want.Nodes, basis)
			// Everybody was connected to orders, and to nobody else that does not
			// hide: of the others every pair is missing.
			visible := 0
			for _, n := range want.Nodes {
				if !n.Hidden {
					visible++
				}
			}
			pairs, seen := visible*(visible-1)/2, visible-1
			if m := doc.Mesh; m == nil || m.Nodes != visible || m.Pairs != pairs || m.Seen != seen || m.Uncertain != 0 || m.MissingCount != pairs-seen {
				t.Errorf("%d visible nodes, mesh %+v", visible, m)
			}
			if log == nil {
				return
			}
			// Without the key log nothing is known of the clients, and nothing made up.
			for _, n := range documentWith(t, path+".pcap", nil).Nodes {
				if n.Name != "orders@n1.lab" || n.Basis != "epmd+sni" || n.Listener != "tls" || n.Hidden != nil || n.Implementation != "" || len(n.Creations) > 0 {
					t.Errorf("without the key log: %+v", n)
				}
			}
		})
	}
	if seen < 2 {
		t.Errorf("the truth about the nodes of %d captures", seen)
	}
}

func checkNodes(t *testing.T, doc *report.Document, want []describedNode, basis string) {
	t.Helper()
	var got []describedNode
	for _, n := range doc.Nodes {
		if n.Basis != basis {
			t.Errorf("%s is known by %s, want %s", n.Name, n.Basis, basis)
		}
		d := describedNode{Name: n.Name, Creations: n.Creations, Hidden: n.Hidden != nil && *n.Hidden, Implementation: n.Implementation, Listener: n.Listener}
		i := slices.IndexFunc(want, func(w describedNode) bool { return w.Name == n.Name })
		if i >= 0 && want[i].Creations == nil { // it does not tell: it was started once
			if len(d.Creations) != 1 {
				t.Errorf("%s: creations %v", n.Name, d.Creations)
			}
			d.Creations = nil
		}
		got = append(got, d)
	}
	slices.SortFunc(got, func(a, b describedNode) int { return strings.Compare(a.Name, b.Name) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
