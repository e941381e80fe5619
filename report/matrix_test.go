package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clipperhouse/displaywidth"

	"distproof/report"
)

func edges(nodes []string, pairs ...string) *report.Document {
	d := document("x.pcap", 1)
	for _, n := range nodes {
		d.Nodes = append(d.Nodes, report.Node{Name: n, Basis: "epmd", Addresses: []string{"10.0.0." + n[1:2]}, Ports: []uint16{}, Creations: []uint32{}})
	}
	for _, p := range pairs {
		from, to, _ := strings.Cut(p, ">")
		d.Edges = append(d.Edges, report.Edge{From: from, To: to, Verdict: "mutual", Connections: 1})
	}
	return d
}

// A pair counts as not seen only if no edge can be that pair.
func TestMatrixMesh(t *testing.T) {
	nodes := []string{"a1@h1", "b2@h2", "c3@h3"}
	for _, tt := range []struct {
		name       string
		pairs      []string
		want, none string
	}{
		{"whole mesh", []string{"a1@h1>b2@h2", "c3@h3>a1@h1", "b2@h2>c3@h3"}, "All pairs of a full mesh of the nodes above were seen", "Not seen, of"},
		{"one pair missing", []string{"a1@h1>b2@h2", "a1@h1>c3@h3"}, ": b2@h2 – c3@h3", "possibly among"},
		{"both directions are one pair", []string{"a1@h1>b2@h2", "b2@h2>a1@h1", "a1@h1>c3@h3"}, ": b2@h2 – c3@h3", "possibly among"},
		{"host of a node", []string{"a1@h1>b2@h2", "a1@h1>c3@h3", "?@h2>c3@h3"}, "possibly among the edges with an unnamed end: b2@h2 – c3@h3", "Not seen, of"},
		{"host of another", []string{"a1@h1>b2@h2", "a1@h1>c3@h3", "?@h1>c3@h3"}, ": b2@h2 – c3@h3", "possibly among"},
		{"address of a node", []string{"a1@h1>b2@h2", "a1@h1>c3@h3", "10.0.0.3>b2@h2"}, "possibly among the edges with an unnamed end: b2@h2 – c3@h3", "Not seen, of"},
		{"address of another", []string{"a1@h1>b2@h2", "a1@h1>c3@h3", "10.0.0.1>b2@h2"}, ": b2@h2 – c3@h3", "possibly among"},
		{"address of nobody", []string{"a1@h1>b2@h2", "a1@h1>c3@h3", "10.9.9.9>b2@h2"}, "possibly among the edges with an unnamed end: b2@h2 – c3@h3", "Not seen, of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := strings.Join(strings.Fields(string(render(t, edges(nodes, tt.pairs...), "matrix", report.Options{}))), " ")
			if !strings.Contains(out, tt.want) || strings.Contains(out, tt.none) {
				t.Errorf("want %q and not %q in\n%s", tt.want, tt.none, out)
			}
		})
	}
}

// A hidden node is not part of the mesh, and nothing is missing if it is not
// connected to all.
func TestMatrixMeshWithoutHiddenNodes(t *testing.T) {
	d := edges([]string{"a1@h1", "b2@h2", "c3@h3"}, "a1@h1>b2@h2", "c3@h3>a1@h1")
	hidden := true
	d.Nodes[2].Hidden = &hidden
	if out := string(render(t, d, "matrix", report.Options{})); !strings.Contains(out, "All pairs of a full mesh of the 2 nodes") {
		t.Error(out)
	}
}

// The matrix fits the terminal, with as many nodes as it takes.
func TestMatrixFits(t *testing.T) {
	for _, n := range []int{0, 1, 2, 5, 15, 30, 31, 100} {
		d := document("x.pcap", 1)
		for i := range n {
			for j := range i {
				d.Edges = append(d.Edges, report.Edge{From: fmt.Sprintf("node%d@host%d", i, i), To: fmt.Sprintf("node%d@host%d", j, j), Verdict: []string{"mutual", "cleartext", "inconclusive"}[(i+j)%3], Connections: 1})
			}
		}
		// 30 nodes by 30 need 130 columns even with letters.
		for _, width := range []int{80, 140} {
			out := string(render(t, d, "matrix", report.Options{Width: width}))
			for line := range strings.Lines(out) {
				if got := displaywidth.String(strings.TrimSuffix(line, "\n")); got > max(width, 140) || n <= 12 && got > width {
					t.Errorf("%d nodes at %d: %d columns: %s", n, width, got, line)
				}
			}
			if left := strings.Contains(out, "70 more nodes"); left != (n == 100) {
				t.Errorf("%d nodes: says that 70 are left out: %t", n, left)
			}
		}
	}
}

// The nodes shown are those with the worst edges.
func TestMatrixKeepsTheWorst(t *testing.T) {
	d := document("x.pcap", 1)
	for i := range 50 {
		verdict := "mutual"
		if i == 49 {
			verdict = "cleartext"
		}
		d.Edges = append(d.Edges, report.Edge{From: fmt.Sprintf("n%02d@h", i), To: "m@h", Verdict: verdict, Connections: 1})
	}
	out := string(render(t, d, "matrix", report.Options{Width: 200}))
	if !strings.Contains(out, "n49@h") || strings.Contains(out, "n40@h") {
		t.Error(out)
	}
}
