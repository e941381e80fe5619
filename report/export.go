package report

// Escape makes a string from the wire safe to show, as renderers do: one line,
// no control characters, nothing that reorders or hides text.
func Escape(s string) string { return escape(s) }

// EffectOf says what a finding of doc does to its conclusion: violates,
// undecided, waived or noted.
func EffectOf(doc *Document, f *Finding) string { return string(effectOf(doc, f)) }

// Cut shortens an escaped string to n columns of a terminal by taking out its
// middle: names of nodes differ at their beginnings and ends.
func Cut(s string, n int) string { return cut(s, n) }

// Wrap breaks an escaped string into lines of at most n columns, at least one.
func Wrap(s string, n int) []string { return wrap(s, n) }

// VerdictWords lists the verdicts, the worst first, and SeverityWords the
// severities of findings.
func VerdictWords() []string  { return verdicts() }
func SeverityWords() []string { return severities() }

// Words are what the table says of a connection; all are escaped. Verdict is
// empty if it is not between nodes.
type Words struct {
	Client, Server, TLS, ClientCertificate, Verdict, Reason string
}

// Words puts the connection into words.
func (c *Connection) Words() Words {
	r := rowOf(c)
	return Words{r.client, r.server, r.tls, r.certificate, r.verdict, r.reason}
}

// Socket writes address and port, that of IPv6 in brackets; escaped.
func (e Endpoint) Socket() string { return socket(e) }
