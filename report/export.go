package report

// Escape makes a string from the wire safe to show, as renderers do: one line,
// no control characters, nothing that reorders or hides text.
func Escape(s string) string { return escape(s) }

// EffectOf says what a finding of doc does to its conclusion: violates,
// undecided, waived or noted.
func EffectOf(doc *Document, f *Finding) string { return string(effectOf(doc, f)) }
