package report

import (
	"maps"
	"slices"
	"strings"
)

// Limits of [Mesh].
const (
	// maxMissing is how many pairs are listed.
	maxMissing = 1000
	// maxMesh is how many nodes are looked at pair by pair: five million pairs.
	maxMesh = 3000
)

// newMesh counts the pairs of a full mesh of the document's nodes. Hidden nodes
// take no part in one.
func newMesh(doc *Document) *Mesh {
	m := meshOf(doc, meshNames(doc))
	n := len(m.names)
	if n < 2 {
		return nil
	}
	out := &Mesh{Nodes: n, Pairs: n * (n - 1) / 2, Seen: m.seen.count, Missing: [][]string{}}
	if n > maxMesh {
		out.Uncertain = out.Pairs - out.Seen
		return out
	}
	m.each(func(a, b int, k pairKind) {
		switch k {
		case pairUncertain:
			out.Uncertain++
		case pairMissing:
			out.MissingCount++
			if len(out.Missing) < maxMissing {
				out.Missing = append(out.Missing, []string{m.names[a], m.names[b]})
			}
		}
	})
	return out
}

// meshNames are the names of nodes that are not known to be hidden.
func meshNames(doc *Document) []string {
	names, hidden := map[string]bool{}, hiddenNames(doc)
	for _, n := range doc.Nodes {
		if !hidden[n.Name] {
			names[n.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// hiddenNames are the names of which all nodes are hidden.
func hiddenNames(doc *Document) map[string]bool {
	hidden := map[string]bool{}
	for _, n := range doc.Nodes {
		h, again := hidden[n.Name]
		hidden[n.Name] = n.Hidden != nil && *n.Hidden && (h || !again)
	}
	return hidden
}

// A mesh has the pairs of nodes that were seen to be connected, or that may be.
type mesh struct {
	names []string
	seen  pairSet
	// uncertain are the pairs that an edge with an unknown end may be; nodes
	// those whose every pair is, and all that every pair is.
	uncertain pairSet
	nodes     map[int]bool
	all       bool
}

// A pairSet is a set of pairs of different numbers below n, whatever their order.
type pairSet struct {
	n, count int
	bits     []uint64
	// sparse is used instead if bits would be too many.
	sparse map[[2]int]bool
}

func newPairSet(n int) pairSet {
	if n > maxMesh {
		return pairSet{n: n, sparse: map[[2]int]bool{}}
	}
	return pairSet{n: n, bits: make([]uint64, n*n/64+1)}
}

func (p *pairSet) has(a, b int) bool {
	a, b = min(a, b), max(a, b)
	if p.sparse != nil {
		return p.sparse[[2]int{a, b}]
	}
	at := a*p.n + b
	return p.bits[at/64]&(1<<(at%64)) != 0
}

func (p *pairSet) add(a, b int) {
	if a == b || p.has(a, b) {
		return
	}
	a, b = min(a, b), max(a, b)
	p.count++
	if p.sparse != nil {
		p.sparse[[2]int{a, b}] = true
		return
	}
	at := a*p.n + b
	p.bits[at/64] |= 1 << (at % 64)
}

type pairKind int

const (
	pairMissing pairKind = iota
	pairUncertain
	pairSeen
)

// meshOf finds the edges between nodes with the given names.
func meshOf(doc *Document, names []string) *mesh {
	m := &mesh{names: names, seen: newPairSet(len(names)), uncertain: newPairSet(len(names)), nodes: map[int]bool{}}
	who := newCandidates(doc, names)
	done := map[[2]string]bool{}
	for _, e := range doc.Edges {
		from, to := who.of(e.From), who.of(e.To)
		if from.certain() && to.certain() {
			m.seen.add(from.nodes[0], to.nodes[0])
			continue
		}
		if key := [2]string{from.key, to.key}; !done[key] && len(names) <= maxMesh {
			done[key] = true
			m.mayBe(from, to)
		}
	}
	return m
}

// mayBe notes what pairs an edge between two of these may be.
func (m *mesh) mayBe(from, to candidate) {
	switch {
	case from.anybody && to.anybody:
		m.all = true
	case from.anybody:
		m.mayBe(to, from)
	case to.anybody:
		for _, a := range from.nodes {
			m.nodes[a] = true
		}
	default:
		for _, a := range from.nodes {
			for _, b := range to.nodes {
				m.uncertain.add(a, b)
			}
		}
	}
}

// each calls f with every pair.
func (m *mesh) each(f func(a, b int, k pairKind)) {
	for a := range m.names {
		for b := a + 1; b < len(m.names); b++ {
			switch {
			case m.seen.has(a, b):
				f(a, b, pairSeen)
			case m.all, m.nodes[a], m.nodes[b], m.uncertain.has(a, b):
				f(a, b, pairUncertain)
			default:
				f(a, b, pairMissing)
			}
		}
	}
}

// A candidate is what the label of an edge's end may stand for.
type candidate struct {
	// nodes are indexes of names; valid unless it may be anybody.
	nodes   []int
	anybody bool
	// key is the same for labels that may stand for the same.
	key string
}

// certain reports whether it is the name of one of the nodes.
func (c candidate) certain() bool { return strings.HasPrefix(c.key, "n") }

// candidates find what labels stand for: a label is a node's name, its host, or
// an address. Addresses of a node are known only in part, so that one without an
// owner may be anybody's.
type candidates struct {
	known             map[string]bool // the names of all nodes
	index             map[string]int
	byHost, byAddress map[string][]int
	owned             map[string]bool
}

func newCandidates(doc *Document, names []string) *candidates {
	c := &candidates{
		known: map[string]bool{}, index: make(map[string]int, len(names)),
		byHost: map[string][]int{}, byAddress: map[string][]int{}, owned: map[string]bool{},
	}
	for i, name := range names {
		c.index[name] = i
		_, host, _ := strings.Cut(name, "@")
		c.byHost[host] = append(c.byHost[host], i)
	}
	for _, n := range doc.Nodes {
		c.known[n.Name] = true
		for _, a := range n.Addresses {
			c.owned[a] = true
			if i, ok := c.index[n.Name]; ok {
				c.byAddress[a] = append(c.byAddress[a], i)
			}
		}
	}
	return c
}

func (c *candidates) of(label string) candidate {
	host, hostOnly := strings.CutPrefix(label, "?@")
	i, named := c.index[label]
	switch {
	case named:
		return candidate{nodes: []int{i}, key: "n" + label}
	case hostOnly:
		return candidate{nodes: c.byHost[host], key: "h" + host}
	case c.known[label] || strings.Contains(label, "@"):
		return candidate{} // a node that takes no part
	case c.owned[label]:
		return candidate{nodes: c.byAddress[label], key: "a" + label}
	}
	return candidate{anybody: true, key: "*"}
}
