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

// edges puts the distribution connections from one node to another together, one
// after the other.
type edges struct {
	list []Edge
	// index has the places in list by labels, and seen by what labels are made of: many
	// connections have the same ends.
	index map[edgePair]int
	seen  map[[2]EndName]edgePlace
}

type edgePair struct{ from, to string }

// An edgePlace is an edge's place, and whether its connections are only likely its.
type edgePlace struct {
	at     int
	likely bool
}

func (es *edges) add(c *Connection) {
	if c.Verdict == nil {
		return
	}
	ends := [2]EndName{NameOf(&c.Client), NameOf(&c.Server)}
	place, ok := es.seen[ends]
	if !ok {
		place = es.place(c)
		es.seen[ends] = place
	}
	e := &es.list[place.at]
	e.Connections++
	if place.likely {
		e.Likely++
	}
	if *c.Verdict != e.Verdict && verify.Verdict(*c.Verdict).Worse(verify.Verdict(e.Verdict)) {
		e.Verdict = *c.Verdict
	}
}

// place finds the edge of a connection, which may be new.
func (es *edges) place(c *Connection) edgePlace {
	if es.index == nil {
		es.index, es.seen = make(map[edgePair]int), make(map[[2]EndName]edgePlace)
	}
	p := edgePair{c.Client.EdgeLabel(), c.Server.EdgeLabel()}
	at, ok := es.index[p]
	if !ok {
		at = len(es.list)
		es.index[p] = at
		es.list = append(es.list, Edge{From: p.from, To: p.to, Verdict: *c.Verdict})
	}
	return edgePlace{at, p != edgePair{c.Client.Label(), c.Server.Label()}}
}

func (es *edges) all() []Edge { return notNil(es.list) }
