package epmd

import "distproof/decode/tcp"

// Outcome says what became of a request.
type Outcome uint8

// The outcomes.
const (
	// Unanswered: the reply was not captured, or not whole.
	Unanswered Outcome = iota
	// Accepted: EPMD registered the node, or named it.
	Accepted
	// Refused: EPMD refused to register the node, or does not know it.
	Refused
)

func (o Outcome) String() string { return [...]string{"unanswered", "accepted", "refused"}[o] }

// A Registration says that a node listens on a port, or that somebody asked.
type Registration struct {
	// Node has all fields if it came from ALIVE2_REQ or PORT2_RESP, else the
	// name and, if known, the port. It is a node of the host that EPMD runs on.
	Node Node
	// Op is what told: ALIVE2_REQ, PORT2_RESP, NAMES_RESP, DUMP_RESP, or
	// PORT_PLEASE2_REQ if there was no answer that names the node.
	Op      string
	Outcome Outcome
	// Creation is what EPMD gave the node; valid for ALIVE2_REQ if accepted.
	Creation uint32
	At       tcp.Position
}

// Combine puts the two directions of one connection together: what is known
// of nodes and ports, in the order of the requests, then of the replies that
// have none. Either of the facts may be empty.
func Combine(requests, replies Facts) []Registration {
	var out []Registration
	used := make([]bool, len(replies.Replies))
	// answer returns the first reply of the given kinds that is not taken yet.
	answer := func(ops ...string) (Reply, bool) {
		for i, r := range replies.Replies {
			for _, op := range ops {
				if !used[i] && r.Op == op {
					used[i] = true
					return r, true
				}
			}
		}
		return Reply{}, false
	}
	for _, q := range requests.Requests {
		switch q.Op {
		case Alive2Req:
			r, ok := answer(Alive2Resp, Alive2XResp)
			if q.Partial {
				continue
			}
			g := Registration{Node: q.Node, Op: q.Op, At: q.At}
			if ok {
				g.Outcome, g.Creation = r.outcome(), r.Creation
			}
			out = append(out, g)
		case PortPlease2Req:
			r, ok := answer(Port2Resp)
			if g, known := lookUp(q, r, ok); known {
				out = append(out, g)
			}
		}
	}
	for i, r := range replies.Replies {
		if !used[i] && r.Op == Port2Resp && !r.Partial && r.Result == 0 {
			out = append(out, Registration{Node: r.Node, Op: r.Op, Outcome: Accepted, At: r.At})
		}
	}
	return append(out, listed(replies)...)
}

// lookUp combines a request for a port with its reply, if ok. A reply that
// names a node needs no request.
func lookUp(q Request, r Reply, ok bool) (Registration, bool) {
	if ok && !r.Partial && r.Result == 0 {
		return Registration{Node: r.Node, Op: r.Op, Outcome: Accepted, At: r.At}, true
	}
	g := Registration{Node: q.Node, Op: q.Op, At: q.At}
	if ok {
		g.Outcome = r.outcome()
	}
	return g, !q.Partial
}

// outcome reads the result of a reply.
func (r Reply) outcome() Outcome {
	switch {
	case !r.Resulted:
		return Unanswered
	case r.Result != 0:
		return Refused
	case r.Partial:
		return Unanswered
	}
	return Accepted
}

// listed returns the nodes of text replies that are registered.
func listed(replies Facts) []Registration {
	op := NamesResp
	if replies.Counts[DumpResp] > 0 {
		op = DumpResp
	}
	var out []Registration
	for _, n := range replies.Names {
		if !n.Former {
			out = append(out, Registration{Node: Node{Name: n.Name, Port: n.Port}, Op: op, Outcome: Accepted, At: n.At})
		}
	}
	return out
}

// An Entry is a node's name and the port on which it listens.
type Entry struct {
	Node string
	Port uint16
	// Op is what told, as in [Registration].
	Op string
	At tcp.Position
}

// Entries returns what the two directions of a connection tell of who listens
// where: [Combine] without what EPMD refused or does not know. A registration
// whose answer was not captured is among them.
func Entries(requests, replies Facts) []Entry {
	var out []Entry
	for _, r := range Combine(requests, replies) {
		if r.Outcome != Refused && r.Node.Port != 0 {
			out = append(out, Entry{Node: r.Node.Name, Port: r.Node.Port, Op: r.Op, At: r.At})
		}
	}
	return out
}
