package report

import "fmt"

// text says in a sentence why a finding is let pass; "" if it is not.
func (w *Waiver) text() string {
	if w == nil {
		return ""
	}
	return fmt.Sprintf("waived until %s by %s: %s", escape(w.Expires), escape(w.Owner), escape(w.Reason))
}

// justification says why a waived problem is let pass.
func (p *problem) justification() string {
	switch {
	case p.Known:
		return "known from the baseline"
	case p.Waiver == nil:
		return "waived by the policy"
	}
	return p.Waiver.text()
}
