package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// fullMesh is a report about n nodes, each of which was seen to dial all that are
// before it: mutual TLS, but for a pair in the clear. Clients are known by their
// hosts and the lengths of their names, servers by their names.
func fullMesh(n int) *Document {
	doc := &Document{
		Schema: Schema, Conclusion: "fail", Nodes: []Node{}, Findings: []Finding{},
		EPMD: EPMD{Names: []EPMDName{}, Requests: map[string]uint64{}, Clients: []string{}, Exchanges: []EPMDExchange{}},
	}
	mutual, clear := "mutual", "cleartext"
	for i := range n {
		host := fmt.Sprintf("n%04d.lab", i)
		doc.Nodes = append(doc.Nodes, Node{Name: "app@" + host, Basis: "epmd+sni", Addresses: []string{}, Ports: []uint16{}, Creations: []uint32{}})
		for j := range i {
			c := Connection{
				ID: fmt.Sprint("c", len(doc.Connections)+1), Protocol: "dist-tls", ProtocolBasis: []string{}, Verdict: &mutual, State: "up",
				Client: Endpoint{Host: host, HostBasis: "certificate", NodeLength: len("app@") + len(host)},
				Server: Endpoint{Node: doc.Nodes[j].Name}, Encapsulation: []string{}, Findings: []string{},
			}
			if i == 7 && j == 3 {
				c.Verdict = &clear
			}
			doc.Summary.add(&c)
			doc.Connections = append(doc.Connections, c)
		}
	}
	nameLikely(doc)
	doc.Edges = newEdges(doc.Connections)
	doc.Mesh = newMesh(doc)
	return doc
}

// TestFullMesh: with a thousand nodes, what is for people stays readable and
// says what it leaves out. JSON leaves nothing out, however many there are.
func TestFullMesh(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 200
	}
	pairs := n * (n - 1) / 2
	doc := fullMesh(n)
	if m := doc.Mesh; m == nil || m.Nodes != n || m.Pairs != pairs || m.Seen != pairs || len(doc.Edges) != pairs {
		t.Fatalf("%d edges, mesh %+v", len(doc.Edges), m)
	}
	for _, tt := range []struct {
		format   string
		lines    int
		contains []string
	}{
		{"table", 100, []string{"app@n0003.lab", "cleartext", "mutual", "Not all rows are shown"}},
		{"matrix", 80, []string{"C", "c", fmt.Sprintf("and %d more nodes with %d edges", n-30, pairs-30*29/2), "All pairs of a full mesh of the 30 nodes"}},
		{"dot", 7000, []string{"app@n0003.lab", fmt.Sprintf("and %d more edges, not drawn: %[1]d mutual", pairs-maxDOTEdges)}},
		{"mermaid", 2000, []string{"app@n0003.lab", fmt.Sprintf("and %d more edges, not drawn: %[1]d mutual", pairs-maxMermaidEdges)}},
	} {
		var b bytes.Buffer
		if err := Render(&b, doc, tt.format, Options{Width: 80}); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		if got := strings.Count(out, "\n"); got > tt.lines {
			t.Errorf("%s: %d lines", tt.format, got)
		}
		flat := strings.Join(strings.Fields(out), " ")
		for _, s := range tt.contains {
			if !strings.Contains(flat, s) {
				t.Errorf("%s lacks %q:\n%.2000s", tt.format, s, out)
			}
		}
	}
	const fewer = 120
	pairs = fewer * (fewer - 1) / 2
	var b bytes.Buffer
	if err := Render(&b, fullMesh(fewer), "json", Options{}); err != nil {
		t.Fatal(err)
	}
	connections, edges := bytes.Count(b.Bytes(), []byte(`"likely_node": `)), bytes.Count(b.Bytes(), []byte(`"likely": 1`))
	if connections != pairs || edges != pairs || !json.Valid(b.Bytes()) {
		t.Errorf("JSON has %d connections and %d edges, want %d", connections, edges, pairs)
	}
}

func nameLikely(doc *Document) {
	likely := newLikely(doc.Nodes)
	for i := range doc.Connections {
		likely.name(&doc.Connections[i])
	}
}

func newEdges(connections []Connection) []Edge {
	var edges edges
	for i := range connections {
		edges.add(&connections[i])
	}
	return edges.all()
}
