package report

import (
	"strings"

	"distproof/decode"
	"distproof/verify"
)

// EdgeLabel names the endpoint as the end of an edge.
func (e Endpoint) EdgeLabel() string {
	if e.Node == "" && e.LikelyNode != "" {
		return e.LikelyNode
	}
	return e.Label()
}

// nameLikely finds the likely nodes of ends of which the host and the length of
// the name are known.
func nameLikely(doc *Document) {
	type kind struct {
		host   string
		length int
	}
	known := map[kind]string{} // "" if there are several
	for _, n := range doc.Nodes {
		_, host, _ := strings.Cut(n.Name, "@")
		k := kind{host, len(n.Name)}
		name := n.Name
		if _, taken := known[k]; taken {
			name = "" // also one of the same name: which of them is not known
		}
		if _, tool := decode.ToolOf(name); tool {
			name = "" // the next one has another name that long
		}
		known[k] = name
	}
	for i := range doc.Connections {
		c := &doc.Connections[i]
		for _, e := range []*Endpoint{&c.Client, &c.Server} {
			if e.Node == "" && e.Host != "" && e.NodeLength > 0 {
				e.LikelyNode = known[kind{e.Host, e.NodeLength}]
			}
		}
	}
}

// newEdges puts the distribution connections from one node to another together.
func newEdges(connections []Connection) []Edge {
	type pair struct{ from, to string }
	index := make(map[pair]int)
	edges := []Edge{}
	for i := range connections {
		c := &connections[i]
		if c.Verdict == nil {
			continue
		}
		p := pair{c.Client.EdgeLabel(), c.Server.EdgeLabel()}
		at, ok := index[p]
		if !ok {
			at = len(edges)
			index[p] = at
			edges = append(edges, Edge{From: p.from, To: p.to, Verdict: *c.Verdict})
		}
		e := &edges[at]
		e.Connections++
		if p != (pair{c.Client.Label(), c.Server.Label()}) {
			e.Likely++
		}
		if verify.Verdict(*c.Verdict).Worse(verify.Verdict(e.Verdict)) {
			e.Verdict = *c.Verdict
		}
	}
	return edges
}
