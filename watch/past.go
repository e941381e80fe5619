package watch

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"distproof/capture"
	"distproof/decode"
	"distproof/decode/tls"
	"distproof/verify"
)

const (
	// mostOver is how many connections are kept that are over, until they are
	// folded. overCost is what one takes with the document's part about it, of
	// which a quarter of the memory may be.
	mostOver  = 4096
	leastOver = 64
	overCost  = 16 << 10
	// mostRows bounds the history.
	mostRows = 4096
	// mostTickets bounds the session tickets that are passed on to what stays of
	// the connections that issued them.
	mostTickets = 256
)

// The past is what is left of connections that are folded.
type past struct {
	keep   int
	rows   map[rowKey]*Folded
	folded uint64
	// asked counts what port mappers were asked in folded connections.
	asked    map[decode.Exchange]uint64
	requests map[string]uint64
}

type rowKey struct{ client, server, clientNode, serverNode, verdict string }

func newPast(memory int64) past {
	keep := mostOver
	if memory > 0 {
		keep = min(keep, max(leastOver, int(memory/4/overCost)))
	}
	return past{keep: keep, rows: make(map[rowKey]*Folded), asked: make(map[decode.Exchange]uint64), requests: make(map[string]uint64)}
}

// A kind is what connections have in common of which two stay, the first and the
// last.
type kind struct {
	client   netip.Addr
	server   netip.AddrPort
	nodes    [2]string
	protocol decode.Protocol
	verdict  verify.Verdict
	state    verify.State
	rules    string
	// queries are what a port mapper was asked, and announced the nodes that it
	// named.
	queries, announced string
	version            tls.Version
	suite              tls.Suite
}

// coarser leaves out more of k, of which less stays then: on which port the server
// listens and which names the nodes have; then who they are and what was asked, but
// not which nodes port mappers announced; then that, too. What is wrong stays. What
// is asked goes first, as anybody may ask for names that no node has.
func (k kind) coarser(by int) kind {
	if by >= 2 {
		k.client, k.queries = netip.Addr{}, ""
	}
	switch {
	case k.announced != "":
		if by >= 3 {
			k.server, k.announced = netip.AddrPort{}, ""
		}
	case k.queries == "" && by >= 2:
		k.server, k.nodes = netip.AddrPort{}, [2]string{}
	case k.queries == "" && by >= 1:
		k.server, k.nodes = netip.AddrPortFrom(k.server.Addr(), 0), [2]string{}
	}
	return k
}

// An ended connection may be folded.
type ended struct {
	*decode.Connection
	kind
	// telling says that there is something to tell of it.
	telling bool
	folded  bool
}

// fold chooses the connections that are not kept any more, when there are too many
// that are over, and counts them: those first of which the first and the last of
// the same kind stay.
func (p *past) fold(facts *decode.Capture, j *verify.Judgement, presences []decode.Presence) map[uint64]bool {
	over := 0
	for i := range presences {
		if presences[i].Over {
			over++
		}
	}
	if over <= p.keep {
		return nil
	}
	all := p.ended(facts, j, presences)
	excess := over - p.keep*3/4
	gone := make(map[uint64]bool)
	steps := []func() int{
		func() int { return thin(all, excess-len(gone), 0) },
		func() int { return drop(all, excess-len(gone)) },
		func() int { return thin(all, excess-len(gone), 1) },
		func() int { return thin(all, excess-len(gone), 2) },
		func() int { return thin(all, excess-len(gone), 3) },
	}
	for _, step := range steps {
		if step() == 0 {
			continue
		}
		for i := range all {
			if x := &all[i]; x.folded && !gone[x.Number] {
				gone[x.Number] = true
				p.add(x)
			}
		}
		if len(gone) >= excess {
			break
		}
	}
	return gone
}

// ended lists the connections that are over, and on which no other one rests.
func (p *past) ended(facts *decode.Capture, j *verify.Judgement, presences []decode.Presence) []ended {
	rules := make(map[*decode.Connection][]string)
	for _, f := range j.Findings {
		for _, c := range f.Connections {
			if r := string(f.Rule) + string(f.Effect); !slices.Contains(rules[c], r) {
				rules[c] = append(rules[c], r)
			}
		}
	}
	needed := make(map[*decode.Connection]bool)
	for _, c := range facts.Connections {
		if c.ResumedFrom != nil {
			needed[c.ResumedFrom] = true
		}
	}
	var out []ended
	for i, c := range facts.Connections {
		if !presences[i].Over || needed[c] {
			continue
		}
		slices.Sort(rules[c])
		x := ended{Connection: c, kind: kind{
			client: c.Ends[decode.Client].Address.Addr(), server: c.Ends[decode.Server].Address,
			nodes:    [2]string{c.Ends[decode.Client].Node, c.Ends[decode.Server].Node},
			protocol: c.Protocol, verdict: j.Conclusions[i].Verdict, state: j.Conclusions[i].State,
			rules: strings.Join(rules[c], " "),
		}}
		x.queries, x.announced = queries(c)
		if c.TLS != nil {
			x.version, x.suite = c.TLS.Version, c.TLS.Suite
		}
		x.telling = x.verdict != verify.NoVerdict || x.rules != "" || c.ToEPMD
		out = append(out, x)
	}
	return out
}

// queries lists what a connection asked a port mapper, and with what result, and
// which nodes were announced.
func queries(c *decode.Connection) (asked, announced string) {
	if !c.ToEPMD {
		return "", ""
	}
	var questions, nodes []string
	for _, e := range c.Exchanges() {
		questions = append(questions, e.Op+" "+e.Node+" "+e.Outcome.String())
	}
	for _, e := range c.Entries() {
		nodes = append(nodes, fmt.Sprintf("%s at %d", e.Node, e.Port))
	}
	return strings.Join(questions, "\n"), strings.Join(nodes, "\n")
}

// thin folds the oldest connections between the first and the last of their kind,
// most of them.
func thin(all []ended, most, by int) (n int) {
	last := make(map[kind]int)
	for i := range all {
		if !all[i].folded {
			last[all[i].coarser(by)] = i
		}
	}
	first := make(map[kind]bool)
	for i := range all {
		x := &all[i]
		k := x.coarser(by)
		if n >= most || x.folded {
			continue
		}
		if !first[k] || last[k] == i {
			first[k] = true
			continue
		}
		x.folded = true
		passOn(x.Connection, all[last[k]].Connection)
		n++
	}
	return n
}

// drop folds the oldest connections of which there is nothing to tell.
func drop(all []ended, most int) (n int) {
	for i := range all {
		if x := &all[i]; n < most && !x.folded && !x.telling {
			x.folded = true
			n++
		}
	}
	return n
}

// passOn has a session that from made be known as that of a connection of the
// same kind, which stays.
func passOn(from, to *decode.Connection) {
	if from.TLS == nil || to.TLS == nil || len(from.TLS.Issued) == 0 {
		return
	}
	to.TLS.Issued = slices.Concat(from.TLS.Issued, to.TLS.Issued)
	if n := len(to.TLS.Issued) - mostTickets; n > 0 {
		to.TLS.Issued = to.TLS.Issued[n:]
	}
}

// add counts a connection that is folded.
func (p *past) add(x *ended) {
	p.folded++
	client, server := x.Ends[decode.Client], x.Ends[decode.Server]
	key := rowKey{client.Address.Addr().String(), server.Address.String(), client.Node, server.Node, string(x.verdict)}
	row := p.rows[key]
	if row == nil {
		row = &Folded{Client: key.client, Server: key.server, ClientNode: key.clientNode, ServerNode: key.serverNode, Verdict: key.verdict}
		p.rows[key] = row
	}
	row.Connections++
	row.Bytes += x.TCP[0].Bytes + x.TCP[1].Bytes
	row.span(capture.Time(x.First), capture.Time(x.Last))
	if x.ToEPMD {
		for _, e := range x.Exchanges() {
			key := decode.Exchange{Client: client.Address.Addr(), Server: server.Address, Request: e.Op, Node: e.Node, Outcome: e.Outcome}
			if _, known := p.asked[key]; known || len(p.asked) < mostRows {
				p.asked[key]++
			}
		}
	}
	if x.Protocol == decode.EPMD {
		for _, q := range x.EPMD[decode.Client].Requests {
			p.requests[q.Op]++
		}
	}
	if len(p.rows) > mostRows {
		p.merge()
	}
}

func (f *Folded) span(first, last time.Time) {
	if f.First.IsZero() || first.Before(f.First) {
		f.First = first
	}
	if last.After(f.Last) {
		f.Last = last
	}
}

// merge makes room in the history: of its rows, the older half become one for
// each verdict.
func (p *past) merge() {
	all := p.history()
	slices.SortStableFunc(all, func(a, b Folded) int { return a.Last.Compare(b.Last) })
	for _, f := range all[:len(all)/2] {
		key := rowKey{f.Client, f.Server, f.ClientNode, f.ServerNode, f.Verdict}
		sum := rowKey{verdict: f.Verdict}
		if key == sum {
			continue
		}
		row := p.rows[sum]
		if row == nil {
			row = &Folded{Verdict: f.Verdict}
			p.rows[sum] = row
		}
		row.Connections += f.Connections
		row.Bytes += f.Bytes
		row.span(f.First, f.Last)
		delete(p.rows, key)
	}
}

// history lists what is folded.
func (p *past) history() []Folded {
	out := make([]Folded, 0, len(p.rows))
	for _, f := range p.rows {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Folded) int {
		return cmp.Or(strings.Compare(a.Client, b.Client), strings.Compare(a.Server, b.Server), strings.Compare(a.ClientNode, b.ClientNode),
			strings.Compare(a.ServerNode, b.ServerNode), strings.Compare(a.Verdict, b.Verdict))
	})
	return out
}

// recount adds what port mappers were asked in connections that are folded.
func (p *past) recount(facts *decode.Capture) {
	if len(p.asked) == 0 {
		return
	}
	all := facts.Registry.Exchanges
	for i := range all {
		key := all[i]
		key.Count, key.First = 0, decode.Frame{}
		all[i].Count += p.asked[key]
	}
	for op, n := range p.requests {
		facts.Registry.Requests[op] += n
	}
}
