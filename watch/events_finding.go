package watch

import (
	"cmp"
	"fmt"
	"maps"
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
		fresh := t.fresh(f, nth)
		if len(fresh) == 0 {
			continue
		}
		out.add(Event{Event: EventFinding, Severity: f.Severity, Finding: f, Message: f.Rule + " " + concerning(f, fresh)}, func() {
			for _, key := range fresh {
				delete(t.findings, key)
			}
		})
	}
	t.resolved(out)
}

// fresh notes that a finding is there, and returns what was not told of it, in the
// order of its connections. nth counts those before.
func (t *teller) fresh(f *report.Finding, nth map[findingKey]int) (fresh []findingKey) {
	about := f.Connections
	if len(about) == 0 {
		about = []string{""}
	}
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
				fresh = append(fresh, key)
			}
		}
		k.round, k.finding = t.round, f
	}
	return fresh
}

// resolved tells the findings that were told and are not there any more.
func (t *teller) resolved(out *events) {
	over := make(map[*report.Finding][]findingKey)
	for key, k := range t.findings {
		if k.round == t.round || nothingSeen(k.finding) && t.held == t.round {
			continue // what is under way may come to nothing
		}
		delete(t.findings, key)
		if c := t.connections[key.connection]; key.connection != "" && (c == nil || c.round != t.round || c.held) {
			continue // of a connection that is folded, nothing is resolved
		}
		over[k.finding] = append(over[k.finding], key)
	}
	order := slices.SortedFunc(maps.Keys(over), func(a, b *report.Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message), slices.Compare(a.Connections, b.Connections))
	})
	for _, f := range order {
		keys := over[f]
		slices.SortFunc(keys, func(a, b findingKey) int { return compareIDs(a.connection, b.connection) })
		out.add(Event{Event: EventResolved, Finding: f, Message: f.Rule + " does not hold any more: " + concerning(f, keys)}, func() {
			for _, key := range keys {
				t.findings[key] = &toldFinding{finding: f}
			}
		})
	}
}

// nothingSeen reports whether a finding is that something was not seen so far.
func nothingSeen(f *report.Finding) bool {
	return f.Rule == string(verify.NothingToVerify) || f.Rule == string(verify.NotSeen)
}

// concerning says a finding with the connections that it is about, by keys.
func concerning(f *report.Finding, keys []findingKey) string {
	const most = 10
	if keys[0].connection == "" {
		return f.Message
	}
	var ids []string
	for _, key := range keys[:min(len(keys), most)] {
		ids = append(ids, key.connection)
	}
	more := ""
	if n := len(keys) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return f.Message + " (" + strings.Join(ids, ", ") + more + ")"
}

// compareIDs orders ids by their numbers.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
