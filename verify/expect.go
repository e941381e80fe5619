package verify

import (
	"fmt"
	"net/netip"

	"distproof/decode"
	"distproof/internal/plural"
)

// An Expectation is what a capture must show, beside what is asked of what it
// shows.
type Expectation struct {
	// Nodes are those of which each must be seen in a connection that came up,
	// and FullMesh says that each must be connected with each other.
	Nodes    []Peer
	FullMesh bool
	// Edges are pairs that must be connected, whoever dialled.
	Edges [][2]Peer
	// Connections is the least number of those that came up.
	Connections int
}

// maxMissing bounds the pairs that are named one by one.
const maxMissing = 20

// expectations has the rule about what should have been seen. What is not in
// the capture cannot be proven.
func (r *ruler) expectations() {
	e := &r.options.Policy.Expect
	if e.Connections+len(e.Nodes)+len(e.Edges) == 0 {
		return
	}
	up := r.cameUp()
	if n := len(up); n < e.Connections {
		r.missing("expect.connections", fmt.Sprintf("%s between nodes came up, and the policy expects at least %d", plural.Of(n, "connection", "connections"), e.Connections))
	}
	seen := make(map[[2]int]bool) // pairs of e.Nodes; a node with itself if seen at all
	for _, at := range nodesOf(up, e.Nodes) {
		for _, a := range at[0] {
			seen[[2]int{a, a}] = true
			for _, b := range at[1] {
				seen[[2]int{min(a, b), max(a, b)}] = true
			}
		}
		for _, b := range at[1] {
			seen[[2]int{b, b}] = true
		}
	}
	for i, node := range e.Nodes {
		if !seen[[2]int{i, i}] {
			r.missing(fmt.Sprintf("expect.nodes[%d]", i), fmt.Sprintf("the expected node %s is not seen in any connection that came up", clip(node.text)))
		}
	}
	if e.FullMesh {
		r.mesh(seen)
	}
	for i, edge := range e.Edges {
		if !anyJoins(up, edge) {
			r.missing(fmt.Sprintf("expect.edges[%d]", i), fmt.Sprintf("no connection between %s and %s came up in the capture", clip(edge[0].text), clip(edge[1].text)))
		}
	}
}

// mesh finds the expected nodes that are not connected with each other.
func (r *ruler) mesh(seen map[[2]int]bool) {
	nodes := r.options.Policy.Expect.Nodes
	missing := 0
	for i := range nodes {
		for k := i + 1; k < len(nodes); k++ {
			if seen[[2]int{i, k}] {
				continue
			}
			if missing++; missing <= maxMissing {
				r.missing("expect.full_mesh", fmt.Sprintf("no connection between %s and %s came up in the capture", clip(nodes[i].text), clip(nodes[k].text)))
			}
		}
	}
	if more := missing - maxMissing; more > 0 {
		r.missing("expect.full_mesh", fmt.Sprintf("%s more of the full mesh did not come up in the capture", plural.Of(more, "connection", "connections")))
	}
}

func (r *ruler) missing(setting, message string) {
	r.add(NotSeen, Medium, nil, message).by(setting)
}

// cameUp returns the connections between nodes whose session came up.
func (r *ruler) cameUp() []*decode.Connection {
	var up []*decode.Connection
	for i, c := range r.capture.Connections {
		if k := r.judgement.Conclusions[i]; k.Verdict != NoVerdict && k.Verdict != Refused && (k.State == Up || k.State == Midstream) {
			up = append(up, c)
		}
	}
	return up
}

// nodesOf finds for each connection which of the nodes are at its ends. Ends
// that are alike are looked up once; without nodes there is nothing to find.
func nodesOf(connections []*decode.Connection, nodes []Peer) [][2][]int {
	type label struct {
		node, host string
		address    netip.Addr
	}
	if len(nodes) == 0 {
		return nil
	}
	known := make(map[label][]int)
	out := make([][2][]int, len(connections))
	for i, c := range connections {
		for side, end := range c.Ends {
			l := label{end.Node, end.Host, end.Address.Addr()}
			found, ok := known[l]
			if !ok {
				for n, node := range nodes {
					if node.is(end) {
						found = append(found, n)
					}
				}
				known[l] = found
			}
			out[i][side] = found
		}
	}
	return out
}

func anyJoins(connections []*decode.Connection, edge [2]Peer) bool {
	for _, c := range connections {
		if joins(edge[0], edge[1], c) {
			return true
		}
	}
	return false
}
