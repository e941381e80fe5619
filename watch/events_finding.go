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

// A noted finding is one of which was told that it is about a connection.
type noted struct {
	rule, severity string
	// nth tells findings of one rule about one connection apart.
	nth int
	// round is the last one in which it was there, as finding.
	round   uint64
	finding *report.Finding
}

// A concern is that a finding is about a connection.
type concern struct {
	*followed
	noted
}

// undo has t not know that it was told.
func (c *concern) undo(t *teller) {
	c.told.findings = slices.DeleteFunc(c.told.findings, func(n noted) bool {
		return n.rule == c.rule && n.severity == c.severity && n.nth == c.nth
	})
	t.noted--
}

// found tells the findings that are new, and those that are not there any more.
func (t *teller) found(out *events, m *maker, s *State, final bool) {
	early := firstSeen - s.At.Sub(s.Started)
	t.current = 0
	for i := range s.Document.Findings {
		f := &s.Document.Findings[i]
		if nothingSeen(f) && early > 0 && !final {
			m.soonest(early)
			continue
		}
		fresh := t.fresh(f, m)
		if len(fresh) == 0 {
			continue
		}
		out.add(Event{Event: EventFinding, Severity: f.Severity, Finding: f, Message: f.Rule + " " + concerning(f, fresh)}, func() {
			for i := range fresh {
				fresh[i].undo(t)
			}
		})
	}
	t.resolved(out, m)
}

// fresh notes that a finding is there, and returns what was not told of it, in the
// order of its connections.
func (t *teller) fresh(f *report.Finding, m *maker) (fresh []concern) {
	if len(f.Connections) == 0 {
		if n, is := t.note(&t.capture, f); is {
			fresh = append(fresh, concern{&t.capture, n})
		}
	}
	for _, id := range f.Connections {
		x := m.following.find(id)
		if x == nil || x.told.held {
			continue
		}
		if n, is := t.note(x, f); is && !t.foldedWith(&x.told, f) {
			fresh = append(fresh, concern{x, n})
		}
	}
	return fresh
}

// note notes that a finding is there that is about x, and reports whether it was not
// before.
func (t *teller) note(x *followed, f *report.Finding) (n noted, fresh bool) {
	k := &x.told
	t.current++
	n = noted{f.Rule, f.Severity, 1, t.round, f}
	for i := range k.findings {
		if before := &k.findings[i]; before.rule == n.rule && before.severity == n.severity && before.round == t.round {
			n.nth++
		}
	}
	for i := range k.findings {
		if before := &k.findings[i]; before.rule == n.rule && before.severity == n.severity && before.nth == n.nth {
			*before = n
			return n, false
		}
	}
	k.findings = append(k.findings, n)
	t.noted++
	return n, true
}

// resolved tells the findings that were told and are not there any more.
func (t *teller) resolved(out *events, m *maker) {
	if t.current == t.noted {
		return
	}
	over := make(map[*report.Finding][]concern)
	t.resolve(&t.capture, over)
	for i := range m.following.all {
		t.resolve(&m.following.all[i], over)
	}
	order := slices.SortedFunc(maps.Keys(over), func(a, b *report.Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message), slices.Compare(a.Connections, b.Connections))
	})
	for _, f := range order {
		out.add(Event{Event: EventResolved, Finding: f, Message: f.Rule + " no longer applies: " + concerning(f, over[f])}, func() {
			for _, c := range over[f] {
				c.told.findings = append(c.told.findings, c.noted)
				t.noted++
			}
		})
	}
}

// resolve drops the findings about x that are not there any more, and adds them to
// over.
func (t *teller) resolve(x *followed, over map[*report.Finding][]concern) {
	k := &x.told
	k.findings = slices.DeleteFunc(k.findings, func(n noted) bool {
		if n.round == t.round || nothingSeen(n.finding) && t.held == t.round {
			return false // what is under way may come to nothing
		}
		t.noted--
		if !k.held { // of what nothing is said yet, nothing is resolved
			over[n.finding] = append(over[n.finding], concern{x, n})
		}
		return true
	})
}

// nothingSeen reports whether a finding is that something was not seen so far.
func nothingSeen(f *report.Finding) bool {
	return f.Rule == string(verify.NothingToVerify) || f.Rule == string(verify.NotSeen)
}

// concerning says a finding with some of the connections that it is about.
func concerning(f *report.Finding, some []concern) string {
	const most = 10
	if some[0].number == 0 {
		return f.Message
	}
	var ids []string
	for _, c := range some[:min(len(some), most)] {
		ids = append(ids, c.id())
	}
	more := ""
	if n := len(some) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return f.Message + " (" + strings.Join(ids, ", ") + more + ")"
}

// compareIDs orders ids by their numbers.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
