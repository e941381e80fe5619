package verify

import (
	"fmt"
	"strings"

	"distproof/decode"
	"distproof/internal/plural"
)

// A tally counts connections between nodes.
type tally struct {
	// count has them by verdict, of which total are of distribution.
	count map[Verdict]int
	total int
	// goal is what they should be, in words, and good how many are; sessionless of
	// all were turned away behind the TLS handshake, such as for their cookie.
	goal              string
	good, sessionless int
}

// conclude says whether the policy holds. A violation outweighs what could not
// be shown, and that outweighs everything that is well. count has the connections
// by verdict.
func (j *Judgement) conclude(c *decode.Capture, require Requirement, count map[Verdict]int) (Outcome, string) {
	t := tally{count: count, goal: "mutual TLS", good: count[Mutual]}
	if require == RequireEncrypted {
		t.goal = "encrypted"
		for i, k := range j.Conclusions {
			if k.Verdict != Mutual && encrypted(c.Connections[i]) {
				t.good++
			}
		}
	}
	for _, k := range j.Conclusions {
		if k.State == DistRefused {
			t.sessionless++
		}
	}
	t.total = len(j.Conclusions) - t.count[NoVerdict]
	for _, f := range j.Findings {
		if f.Effect == Violates {
			return Fail, t.violation(require, j.concerned(c, Violates), f)
		}
	}
	for _, f := range j.Findings {
		if f.Effect == Undecides {
			return Undecided, t.undecided(j.concerned(c, Undecides), f)
		}
	}
	return Pass, t.wellDone(require)
}

// concerned counts the connections, by verdict, that do not meet the
// requirement, or are not shown to.
func (j *Judgement) concerned(c *decode.Capture, effect Effect) map[Verdict]int {
	count, counted, places := make(map[Verdict]int), make([]bool, len(j.Conclusions)), c.Places()
	for _, f := range j.Findings {
		if f.Effect != effect || !isTransport(f.Rule) {
			continue
		}
		for _, x := range f.Connections {
			if i := places.Of(x); !counted[i] {
				counted[i] = true
				count[j.Conclusions[i].Verdict]++
			}
		}
	}
	return count
}

// verb is "is" for one thing, and "are" for several.
func verb(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func (t *tally) wellDone(require Requirement) string {
	switch {
	case require == RequireNothing:
		return fmt.Sprintf("the policy asks nothing of %s: %s", plural.Of(t.total, "distribution connection", "distribution connections"), t.kinds(Mutual, OneWay, Cleartext, Inconclusive, Refused))
	case t.good+t.count[Refused] < t.total:
		return fmt.Sprintf("%d of %d distribution connections %s %s; the policy lets the others pass%s", t.good, t.total, verb(t.good), t.goal, t.others(require))
	}
	refused := ""
	if t.count[Refused] > 0 {
		refused = " that came up"
	}
	text := fmt.Sprintf("all %d distribution connections%s are %s", t.good, refused, t.goal)
	if t.good == 1 {
		text = fmt.Sprintf("the distribution connection%s is %s", refused, t.goal)
	}
	switch {
	case t.sessionless > 0 && t.good == 1:
		text += "; no session came up in it"
	case t.sessionless > 0:
		text += fmt.Sprintf("; in %d of them no session came up", t.sessionless)
	}
	if t.count[Refused] > 0 {
		text += fmt.Sprintf("; %d more came to nothing", t.count[Refused])
	}
	return text
}

// others names what does not meet the requirement. What is encrypted, and not
// more, has no verdict of its own.
func (t *tally) others(require Requirement) string {
	if require == RequireEncrypted {
		return ""
	}
	return ": " + t.kinds(OneWay, Cleartext, Inconclusive, Refused)
}

// kinds lists how many connections have which of the verdicts.
func (t *tally) kinds(verdicts ...Verdict) string {
	words := map[Verdict]string{Mutual: "mutual TLS", OneWay: "one-way TLS", Cleartext: "in the clear", Inconclusive: "not proven mutual TLS", Refused: "refused"}
	var parts []string
	for _, v := range verdicts {
		if n := t.count[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words[v]))
		}
	}
	return strings.Join(parts, ", ")
}

func (t *tally) violation(require Requirement, bad map[Verdict]int, first Finding) string {
	clear, oneWay := bad[Cleartext], bad[OneWay]
	switch {
	case clear+oneWay == 0:
		return first.Message
	case t.total == 1 && clear == 1:
		return "the distribution connection is in the clear"
	case t.total == 1:
		return "the distribution connection is one-way TLS"
	}
	var kinds []string
	if clear > 0 {
		kinds = append(kinds, fmt.Sprintf("%d in the clear", clear))
	}
	if oneWay > 0 {
		kinds = append(kinds, fmt.Sprintf("%d one-way", oneWay))
	}
	text := fmt.Sprintf("%d of %d distribution connections %s not %s: %s", clear+oneWay, t.total, verb(clear+oneWay), t.goal, strings.Join(kinds, ", "))
	rest := t.count[Cleartext] - clear
	if require != RequireEncrypted {
		rest += t.count[OneWay] - oneWay
	}
	if rest > 0 {
		text += fmt.Sprintf("; the policy lets %d more pass", rest)
	}
	return text
}

func (t *tally) undecided(doubtful map[Verdict]int, first Finding) string {
	switch n := doubtful[Inconclusive]; {
	case n == 0:
		return first.Message
	case t.total == 1:
		return fmt.Sprintf("the distribution connection could not be proven %s", t.goal)
	default:
		return fmt.Sprintf("%d of %d distribution connections could not be proven %s", n, t.total, t.goal)
	}
}
