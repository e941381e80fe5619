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
	likely := newLikely(doc.Nodes)
	for i := range doc.Connections {
		likely.name(&doc.Connections[i])
	}
}

// likely has the only nodes that are known of a host and have names of a length; ""
// if there are several.
type likely map[nameKind]string

type nameKind struct {
	host   string
	length int
}

func newLikely(nodes []Node) likely {
	known := make(likely)
	for _, n := range nodes {
		_, host, _ := strings.Cut(n.Name, "@")
		k := nameKind{host, len(n.Name)}
		name := n.Name
		if _, taken := known[k]; taken {
			name = "" // also one of the same name: which of them is not known
		}
		if _, tool := decode.ToolOf(name); tool {
			name = "" // the next one has another name that long
		}
		known[k] = name
	}
	return known
}

// name finds the likely nodes of the ends of c.
func (l likely) name(c *Connection) {
	for _, e := range [...]*Endpoint{&c.Client, &c.Server} {
		if e.Node == "" && e.Host != "" && e.NodeLength > 0 {
			e.LikelyNode = l[nameKind{e.Host, e.NodeLength}]
		}
	}
}

// newEdges puts the distribution connections from one node to another together.
func newEdges(connections []Connection) []Edge {
	var edges edges
	for i := range connections {
		edges.add(&connections[i])
	}
	return edges.all()
}

// edges are gathered connection by connection.
type edges struct {
	list  []Edge
	index map[edgePair]int
}

type edgePair struct{ from, to string }

func (es *edges) add(c *Connection) {
	if c.Verdict == nil {
		return
	}
	p := edgePair{c.Client.EdgeLabel(), c.Server.EdgeLabel()}
	at, ok := es.index[p]
	if !ok {
		if es.index == nil {
			es.index = make(map[edgePair]int)
		}
		at = len(es.list)
		es.index[p] = at
		es.list = append(es.list, Edge{From: p.from, To: p.to, Verdict: *c.Verdict})
	}
	e := &es.list[at]
	e.Connections++
	if p != (edgePair{c.Client.Label(), c.Server.Label()}) {
		e.Likely++
	}
	if verify.Verdict(*c.Verdict).Worse(verify.Verdict(e.Verdict)) {
		e.Verdict = *c.Verdict
	}
}

func (es *edges) all() []Edge { return notNil(es.list) }
