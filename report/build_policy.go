package report

import (
	"time"

	"distproof/verify"
)

// byPolicy says what the policy has to do with a finding. Of the default, which
// nobody wrote, there is nothing to say.
func (b *builder) byPolicy(out *Finding, f verify.Finding) {
	if b.judgement.Policy != "" {
		out.Effect = string(f.Effect)
	}
	if f.Place.Line > 0 {
		out.Policy = &PolicyLine{Path: f.Place.Path, Line: f.Place.Line}
	}
	if w := f.Waiver; w != nil {
		out.Status = statusWaived
		out.Waiver = &Waiver{Reason: w.Reason, Owner: w.Owner, Expires: w.Expires.Format(time.DateOnly)}
	}
}
