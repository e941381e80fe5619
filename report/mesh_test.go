package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// naive finds out about pairs by asking every edge.
func naive(doc *Document, names []string) map[[2]string]pairKind {
	nodes := map[string]*Node{}
	owned := map[string]bool{}
	for i := range doc.Nodes {
		nodes[doc.Nodes[i].Name] = &doc.Nodes[i]
		for _, a := range doc.Nodes[i].Addresses {
			owned[a] = true
		}
	}
	may := func(label, name string) bool {
		switch host, hostOnly := strings.CutPrefix(label, "?@"); {
		case hostOnly:
			return strings.HasSuffix(name, "@"+host)
		case strings.Contains(label, "@"):
			return label == name
		case owned[label]:
			return nodes[name] != nil && slices.Contains(nodes[name].Addresses, label)
		}
		return true
	}
	isName := func(label string) bool { return strings.Contains(label, "@") && !strings.HasPrefix(label, "?@") }
	out := map[[2]string]pairKind{}
	for i, a := range names {
		for _, b := range names[i+1:] {
			kind := pairMissing
			for _, e := range doc.Edges {
				fits := may(e.From, a) && may(e.To, b) || may(e.From, b) && may(e.To, a)
				switch {
				case fits && isName(e.From) && isName(e.To):
					kind = pairSeen
				case fits && kind != pairSeen:
					kind = pairUncertain
				}
			}
			out[[2]string{a, b}] = kind
		}
	}
	return out
}

// TestMeshOf compares with the slow way, for random edges.
func TestMeshOf(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	kinds := map[pairKind]int{}
	for range 300 {
		doc := &Document{}
		var labels []string
		for i := range 6 {
			n := Node{Name: fmt.Sprintf("n%d@h%d", i, random.IntN(3)), Addresses: []string{fmt.Sprint("10.0.0.", random.IntN(4))}}
			if random.IntN(4) == 0 {
				yes := true
				n.Hidden = &yes
			}
			doc.Nodes = append(doc.Nodes, n)
			labels = append(labels, n.Name, n.Name, n.Name)
		}
		labels = append(labels, "?@h0", "?@h1", "?@h9", "10.0.0.0", "10.0.0.2", "asked@for")
		if random.IntN(8) == 0 {
			labels = append(labels, "10.9.9.9")
		}
		for range random.IntN(9) {
			doc.Edges = append(doc.Edges, Edge{From: labels[random.IntN(len(labels))], To: labels[random.IntN(len(labels))]})
		}
		m := meshOf(doc, meshNames(doc))
		want := naive(doc, m.names)
		got := map[[2]string]pairKind{}
		m.each(func(a, b int, k pairKind) { got[[2]string{m.names[a], m.names[b]}] = k; kinds[k]++ })
		for pair, k := range want {
			if got[pair] != k {
				t.Fatalf("%v is %d, want %d: %+v %+v", pair, got[pair], k, doc.Nodes, doc.Edges)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d pairs, want %d", len(got), len(want))
		}
	}
	if kinds[pairSeen] < 100 || kinds[pairUncertain] < 100 || kinds[pairMissing] < 100 {
		t.Errorf("hardly tested: %v", kinds)
	}
}

func TestNewMesh(t *testing.T) {
	yes := true
	named := func(names ...string) *Document {
		doc := &Document{}
		for _, n := range names {
			doc.Nodes = append(doc.Nodes, Node{Name: n})
		}
		return doc
	}
	edges := func(doc *Document, pairs ...string) *Document {
		for _, p := range pairs {
			from, to, _ := strings.Cut(p, ">")
			doc.Edges = append(doc.Edges, Edge{From: from, To: to, Verdict: "refused"})
		}
		return doc
	}
	hidden := named("a@x", "b@y", "c@z", "d@y")
	hidden.Nodes[2].Hidden = &yes
	for _, row := range []struct {
		name string
		doc  *Document
		want string
	}{
		{"none", named(), "<nil>"},
		{"one", named("a@x"), "<nil>"},
		{"two of one name", named("a@x", "a@x"), "<nil>"},
		{"not connected", named("a@x", "b@y"), "&{2 1 0 0 1 [[a@x b@y]]}"},
		{"both dialled", edges(named("b@y", "a@x"), "a@x>b@y", "b@y>a@x"), "&{2 1 1 0 0 []}"},
		{"a node with itself", edges(named("a@x", "b@y"), "a@x>a@x"), "&{2 1 0 0 1 [[a@x b@y]]}"},
		{"a hidden node", edges(hidden, "c@z>a@x", "c@z>10.0.0.1"), "&{3 3 0 0 3 [[a@x b@y] [a@x d@y] [b@y d@y]]}"},
		{"a host", edges(named("a@x", "b@y", "d@y"), "?@y>a@x"), "&{3 3 0 2 1 [[b@y d@y]]}"},
		{"anybody", edges(named("a@x", "b@y", "d@y"), "10.0.0.1>a@x"), "&{3 3 0 2 1 [[b@y d@y]]}"},
		{"anybody and anybody", edges(named("a@x", "b@y", "d@y"), "10.0.0.1>10.0.0.2", "a@x>b@y"), "&{3 3 1 2 0 []}"},
	} {
		if got := fmt.Sprint(newMesh(row.doc)); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// TestMeshIsBounded: the list of what is missing has an end, and so has the work.
func TestMeshIsBounded(t *testing.T) {
	for _, n := range []int{200, maxMesh, maxMesh + 1, 5 * maxMesh} {
		doc := &Document{}
		for i := range n {
			doc.Nodes = append(doc.Nodes, Node{Name: fmt.Sprintf("n%05d@h", i)})
		}
		for i := range n - 1 {
			doc.Edges = append(doc.Edges, Edge{From: "n00000@h", To: doc.Nodes[i+1].Name}, Edge{From: fmt.Sprint("10.0.0.", i), To: "n00000@h"})
		}
		m := newMesh(doc)
		if m.Nodes != n || m.Pairs != n*(n-1)/2 || m.Seen != n-1 || m.Seen+m.Uncertain+m.MissingCount != m.Pairs {
			t.Errorf("%d nodes: %+v", n, m)
		}
		if looked := n <= maxMesh; looked != (m.MissingCount > 0) || looked != (len(m.Missing) == maxMissing) {
			t.Errorf("%d nodes: %d missing, %d listed", n, m.MissingCount, len(m.Missing))
		}
	}
}

func TestLikelyNode(t *testing.T) {
	dial := func(client Endpoint) Connection {
		verdict := "mutual"
		return Connection{ID: "c1", Verdict: &verdict, Client: client, Server: Endpoint{Node: "b@n2.lab"}}
	}
	for _, row := range []struct {
		name  string
		nodes []string
		end   Endpoint
		want  string
	}{
		{"the only one", []string{"orders@n1.lab", "b@n2.lab"}, Endpoint{Host: "n1.lab", NodeLength: 13}, "orders@n1.lab"},
		{"the only one of this length", []string{"orders@n1.lab", "x@n1.lab"}, Endpoint{Host: "n1.lab", NodeLength: 13}, "orders@n1.lab"},
		{"another length", []string{"orders@n1.lab"}, Endpoint{Host: "n1.lab", NodeLength: 14}, ""},
		{"the length is not known", []string{"orders@n1.lab"}, Endpoint{Host: "n1.lab"}, ""},
		{"another host", []string{"orders@n3.lab"}, Endpoint{Host: "n1.lab", NodeLength: 13}, ""},
		{"two of this length", []string{"orders@n1.lab", "stocks@n1.lab"}, Endpoint{Host: "n1.lab", NodeLength: 13}, ""},
		{"two of the same name", []string{"orders@n1.lab", "orders@n1.lab"}, Endpoint{Host: "n1.lab", NodeLength: 13}, ""},
		{"a tool that runs again and again", []string{"rabbitmqcli-126-rabbit@mq1"}, Endpoint{Host: "mq1", NodeLength: 26}, ""},
		{"its name is known", []string{"orders@n1.lab"}, Endpoint{Node: "stocks@n1.lab", NodeLength: 13}, ""},
	} {
		doc := &Document{Connections: []Connection{dial(row.end)}}
		for _, n := range row.nodes {
			doc.Nodes = append(doc.Nodes, Node{Name: n})
		}
		nameLikely(doc)
		c := doc.Connections[0]
		if c.Client.LikelyNode != row.want || c.Server.LikelyNode != "" {
			t.Errorf("%s: %q, %q", row.name, c.Client.LikelyNode, c.Server.LikelyNode)
		}
		e := newEdges(doc.Connections)[0]
		from, likely := c.Client.Label(), 0
		if row.want != "" {
			from, likely = row.want, 1
		}
		if e.From != from || e.Likely != likely {
			t.Errorf("%s: %+v", row.name, e)
		}
		// What is found on the edge names the same edge: else a format would show
		// it as one without findings.
		doc.Edges = newEdges(doc.Connections)
		doc.Findings = []Finding{{Rule: "DP103", Severity: "high", Connections: []string{"c1"}}}
		if p := problems(doc); len(p) != 1 || p[0].edge != edgeName(e.From, e.To) {
			t.Errorf("%s: problem on %q, edge %+v", row.name, p[0].edge, e)
		}
	}
}
