package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"distproof/report"
	"distproof/verify"
)

// firstSeen is for how long after its beginning a watch does not say that it saw
// nothing: nodes that are connected tick every 15 s.
const firstSeen = 30 * time.Second

type findingKey struct {
	rule, severity, connection string
	// nth tells findings of one rule about one connection apart.
	nth int
}

type toldFinding struct {
	round   uint64
	finding *report.Finding
}

// found tells the findings that are new, and those that are not there any more.
func (t *teller) found(out *events, m *maker, s *State, final bool) {
	early := firstSeen - s.At.Sub(s.Started)
	nth := make(map[findingKey]int)
	for i := range s.Document.Findings {
		f := &s.Document.Findings[i]
		if nothingSeen(f) && early > 0 && !final {
			m.soonest(early)
			continue
		}
		about := f.Connections
		if len(about) == 0 {
			about = []string{""}
		}
		var fresh []string
		var keys []findingKey
		for _, id := range about {
			concerned := t.connections[id]
			if concerned != nil && concerned.held {
				continue
			}
			key := findingKey{rule: f.Rule, severity: f.Severity, connection: id}
			nth[key]++
			key.nth = nth[key]
			k := t.findings[key]
			if k == nil {
				k = &toldFinding{}
				t.findings[key] = k
				if !t.foldedWith(concerned, f) {
					fresh, keys = append(fresh, id), append(keys, key)
				}
			}
			k.round, k.finding = t.round, f
		}
		if len(fresh) > 0 {
			out.add(Event{Event: EventFinding, Severity: f.Severity, Finding: f, Message: f.Rule + " " + concerning(f, fresh)}, func() {
				for _, key := range keys {
					delete(t.findings, key)
				}
			})
		}
	}
	over, keys := make(map[*report.Finding][]string), make(map[*report.Finding][]findingKey)
	var order []*report.Finding
	for key, k := range t.findings {
		if k.round == t.round {
			continue
		}
		delete(t.findings, key)
		if c := t.connections[key.connection]; key.connection != "" && (c == nil || c.round != t.round || c.held) {
			continue // of a connection that is folded, nothing is resolved
		}
		if over[k.finding] == nil {
			order = append(order, k.finding)
		}
		over[k.finding], keys[k.finding] = append(over[k.finding], key.connection), append(keys[k.finding], key)
	}
	slices.SortFunc(order, func(a, b *report.Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message), slices.Compare(a.Connections, b.Connections))
	})
	for _, f := range order {
		slices.SortFunc(over[f], compareIDs)
		out.add(Event{Event: EventResolved, Finding: f, Message: f.Rule + " does not hold any more: " + concerning(f, over[f])}, func() {
			for _, key := range keys[f] {
				t.findings[key] = &toldFinding{finding: f}
			}
		})
	}
}

// nothingSeen reports whether a finding is that something was not seen so far.
func nothingSeen(f *report.Finding) bool {
	return f.Rule == string(verify.NothingToVerify) || f.Rule == string(verify.NotSeen)
}

// concerning says a finding with the connections that it is about.
func concerning(f *report.Finding, ids []string) string {
	const most = 10
	if ids[0] == "" {
		return f.Message
	}
	more := ""
	if n := len(ids) - most; n > 0 {
		ids, more = ids[:most], fmt.Sprintf(" and %d more", n)
	}
	return f.Message + " (" + strings.Join(ids, ", ") + more + ")"
}

// compareIDs orders ids by their numbers.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
