package verify

import (
	"fmt"
	"slices"
	"strings"

	"distproof/decode"
)

// A tally counts connections between nodes.
type tally struct {
	// count has them by verdict, of which total are of distribution.
	count map[Verdict]int
	total int
	// goal is what they should be, in words.
	goal string
}

// conclude says whether the policy holds. A violation outweighs what could not
// be shown, and that outweighs everything that is well.
func (j *Judgement) conclude(c *decode.Capture, require Requirement) (Outcome, string) {
	t := tally{count: make(map[Verdict]int), goal: "mutual TLS"}
	if require == RequireEncrypted {
		t.goal = "encrypted"
	}
	verdicts := make(map[*decode.Connection]Verdict)
	for i, k := range j.Conclusions {
		t.count[k.Verdict]++
		verdicts[c.Connections[i]] = k.Verdict
	}
	t.total = len(j.Conclusions) - t.count[NoVerdict]
	for _, f := range j.Findings {
		if f.Effect == Violates {
			return Fail, t.violation(j.concerned(verdicts, Violates), f)
		}
	}
	for _, f := range j.Findings {
		if f.Effect == Undecides {
			return Undecided, t.undecided(j.concerned(verdicts, Undecides), f)
		}
	}
	return Pass, t.wellDone(require)
}

// concerned counts the connections, by verdict, that do not meet the
// requirement, or are not shown to.
func (j *Judgement) concerned(verdicts map[*decode.Connection]Verdict, effect Effect) map[Verdict]int {
	count, counted := make(map[Verdict]int), make(map[*decode.Connection]bool)
	for _, f := range j.Findings {
		if f.Effect != effect || !slices.Contains(transportRules, f.Rule) {
			continue
		}
		for _, c := range f.Connections {
			if !counted[c] {
				counted[c] = true
				count[verdicts[c]]++
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
	good := t.count[Mutual]
	if require == RequireEncrypted {
		good += t.count[OneWay]
	}
	switch {
	case require == RequireNothing:
		return fmt.Sprintf("the policy asks nothing of %s: %s", plural(t.total, "distribution connection", "distribution connections"), t.kinds(Mutual, OneWay, Cleartext, Inconclusive, Refused))
	case good+t.count[Refused] < t.total:
		return t.letPass(require, good)
	}
	refused := ""
	if t.count[Refused] > 0 {
		refused = " that came up"
	}
	text := fmt.Sprintf("all %d distribution connections%s are %s", good, refused, t.goal)
	if good == 1 {
		text = fmt.Sprintf("the distribution connection%s is %s", refused, t.goal)
	}
	if t.count[Refused] > 0 {
		text += fmt.Sprintf("; %d more came to nothing", t.count[Refused])
	}
	return text
}

// letPass is of a capture with connections that do not meet the requirement, and
// need not.
func (t *tally) letPass(require Requirement, good int) string {
	if require == RequireEncrypted {
		// What is encrypted, whoever is at its ends, has no verdict of its own.
		return fmt.Sprintf("all of %s that had to be are encrypted: %s", plural(t.total, "distribution connection", "distribution connections"), t.kinds(Mutual, OneWay, Inconclusive, Cleartext, Refused))
	}
	return fmt.Sprintf("%d of %d distribution connections %s %s; the policy lets the others pass: %s", good, t.total, verb(good), t.goal, t.kinds(OneWay, Cleartext, Inconclusive, Refused))
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

func (t *tally) violation(bad map[Verdict]int, first Finding) string {
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
	return fmt.Sprintf("%d of %d distribution connections %s not %s: %s", clear+oneWay, t.total, verb(clear+oneWay), t.goal, strings.Join(kinds, ", "))
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

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
