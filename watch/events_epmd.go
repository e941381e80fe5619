package watch

import (
	"fmt"
	"time"

	"distproof/decode"
	"distproof/decode/epmd"
	"distproof/report"
)

type exchangeKey struct {
	client, server, request, node, outcome string
	port                                   uint16
}

type toldExchange struct {
	round, count uint64
	at           time.Time // when count was told
	pending      uint64    // the count that was held back, and since when
	since        time.Time
}

// asked tells what port mappers were asked.
func (t *teller) asked(out *events, m *maker, s *State, final bool) {
	all := s.Document.EPMD.Exchanges
	for i := range all {
		x := &all[i]
		key := exchangeKey{x.Client, x.Server, x.Request, x.Node, x.Outcome, x.Port}
		k := t.exchanges[key]
		if k == nil {
			k = &toldExchange{}
			t.exchanges[key] = k
		}
		k.round = t.round
		if x.Count <= k.count {
			k.count, k.pending = x.Count, 0 // an answer came after all, or a part was folded
			continue
		}
		if age := s.At.Sub(k.at); k.count > 0 && age < repeatsAfter && !final {
			m.soonest(repeatsAfter - age)
			continue
		}
		// What is not answered yet may be so in a moment.
		if waits := x.Outcome == epmd.Unanswered.String() || x.Request == decode.NoRequest; waits && !final {
			if k.pending != x.Count {
				k.pending, k.since = x.Count, s.At
			}
			if age := s.At.Sub(k.since); age < patience {
				m.soonest(patience - age)
				continue
			}
		}
		before, at := k.count, k.at
		k.count, k.at, k.pending = x.Count, s.At, 0
		out.add(Event{Event: EventEPMD, Exchange: x, Message: asks(x, x.Count-before)}, func() { k.count, k.at = before, at })
	}
}

// asks says in a sentence what somebody asked a port mapper.
func asks(x *report.EPMDExchange, times uint64) string {
	node := "a node"
	if x.Node != "" {
		node = fmt.Sprintf("%q", x.Node)
	}
	server := fmt.Sprintf("the port mapper %s port %d", x.Server, x.Port)
	what := map[string]string{
		epmd.NamesReq:       "asked " + server + " for all names",
		epmd.DumpReq:        "asked " + server + " for a dump of all names",
		epmd.KillReq:        "told " + server + " to end",
		epmd.StopReq:        "told " + server + " to forget " + node,
		epmd.Alive2Req:      "asked " + server + " to register " + node,
		epmd.PortPlease2Req: "asked " + server + " for the port of " + node,
		decode.NoRequest:    "dialled " + server + " and asked nothing",
	}[x.Request]
	if what == "" {
		what = "sent " + server + " what is none of its requests"
	}
	often := ""
	if times > 1 {
		often = fmt.Sprintf(", %d times", times)
	}
	outcome := x.Outcome
	if x.Request == epmd.PortPlease2Req && outcome == epmd.Refused.String() {
		outcome = "it has none of that name"
	}
	return fmt.Sprintf("%s %s: %s%s", x.Client, what, outcome, often)
}
