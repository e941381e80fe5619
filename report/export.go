package report

// Escape makes a string from the wire safe to show, as renderers do: one line,
// no control characters, nothing that reorders or hides text.
func Escape(s string) string { return escape(s) }
