package epmd

import "distproof/decode/tcp"

// An Exchange is a request and what became of it.
type Exchange struct {
	// Op is the request's name. Where only the reply was captured, it is that
	// of the request which it answers.
	Op string
	// Node is the name that was registered, looked up or to be stopped; "" if
	// the request has none, or it was not captured.
	Node string
	// Outcome is Unanswered also where EPMD closed the connection instead: that
	// shows in the connection only. Answered says that there was a reply.
	Outcome  Outcome
	Answered bool
	At       tcp.Position
}

// answers has the replies to each request.
var answers = map[string][]string{
	Alive2Req:      {Alive2Resp, Alive2XResp},
	PortPlease2Req: {Port2Resp},
	NamesReq:       {NamesResp},
	DumpReq:        {DumpResp, NamesResp}, // without any line they are the same
	KillReq:        {KillResp},
	StopReq:        {StopResp},
}

// Exchanges puts the two directions of one connection together: what was asked,
// in the order of the requests, then the replies whose requests were not
// captured. Either of the facts may be empty.
func Exchanges(requests, replies Facts) []Exchange {
	var out []Exchange
	used := make([]bool, len(replies.Replies))
	for _, q := range requests.Requests {
		e := Exchange{Op: q.Op, Node: q.Node.Name, At: q.At}
		if i := replies.answerTo(q.Op, used); i >= 0 {
			used[i] = true
			e.take(replies.Replies[i])
		}
		out = append(out, e)
	}
	for i, r := range replies.Replies {
		if !used[i] {
			e := Exchange{Op: requestOf(r.Op), At: r.At}
			e.take(r)
			out = append(out, e)
		}
	}
	return out
}

// take adds what a reply tells.
func (e *Exchange) take(r Reply) {
	e.Answered, e.Outcome = true, r.result()
	if e.Node == "" {
		e.Node = r.Node.Name
	}
}

// answerTo returns the index of the first reply to a request that is not used
// yet; -1 if there is none.
func (f Facts) answerTo(op string, used []bool) int {
	for i, r := range f.Replies {
		for _, want := range answers[op] {
			if !used[i] && r.Op == want {
				return i
			}
		}
	}
	return -1
}

// requestOf returns the request that is answered so.
func requestOf(reply string) string {
	for _, request := range []string{Alive2Req, PortPlease2Req, NamesReq, DumpReq, KillReq, StopReq} {
		if answers[request][0] == reply || reply == Alive2XResp && request == Alive2Req {
			return request
		}
	}
	return Unknown
}

// result says what a reply of any kind means for the request.
func (r Reply) result() Outcome {
	switch r.Op {
	case NamesResp, DumpResp:
		return Accepted
	case KillResp, StopResp:
		if r.Text == "OK" || r.Text == "STOPPED" {
			return Accepted
		}
		return Refused
	case Unknown:
		return Unanswered
	}
	return r.outcome()
}
