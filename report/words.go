package report

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/fatih/color"
)

// severities lists the findings' severities, the worst first. One that is not
// in the list sorts before all others: what is not understood is not hidden
// at the end.
func severities() []string { return []string{"critical", "high", "medium", "low", "info"} }

// verdicts lists the verdicts, the worst first.
func verdicts() []string {
	return []string{"cleartext", "one-way", "inconclusive", "refused", "mutual"}
}

// A palette colours words. Colour only repeats what the words say.
type palette struct{ on bool }

func (p palette) paint(s string, attrs ...color.Attribute) string {
	if !p.on || s == "" {
		return s
	}
	c := color.New(attrs...)
	c.EnableColor() // the decision was made for this output, not for the process
	return c.Sprint(s)
}

func (p palette) good(s string) string  { return p.paint(s, color.FgGreen) }
func (p palette) bad(s string) string   { return p.paint(s, color.FgRed) }
func (p palette) doubt(s string) string { return p.paint(s, color.FgYellow) }
func (p palette) quiet(s string) string { return p.paint(s, color.Faint) }
func (p palette) bold(s string) string  { return p.paint(s, color.Bold) }

func (p palette) verdict(s string) string {
	switch s {
	case "mutual":
		return p.good(s)
	case "cleartext", "one-way":
		return p.bad(s)
	default:
		return p.doubt(s)
	}
}

func (p palette) severity(s string) string {
	switch s {
	case "critical", "high":
		return p.bad(s)
	case "medium", "low":
		return p.doubt(s)
	default:
		return s
	}
}

// verdictOf returns the verdict of a distribution connection, "" of others.
func verdictOf(c *Connection) string {
	if c.Verdict == nil {
		return ""
	}
	return *c.Verdict
}

// distribution returns the connections between nodes, the worst verdicts
// first, then in the order in which they were seen.
func distribution(doc *Document) []*Connection {
	var conns []*Connection
	for i := range doc.Connections {
		if doc.Connections[i].Verdict != nil {
			conns = append(conns, &doc.Connections[i])
		}
	}
	slices.SortStableFunc(conns, func(a, b *Connection) int {
		return cmp.Or(
			rank(verdicts(), verdictOf(a))-rank(verdicts(), verdictOf(b)),
			cmp.Compare(a.FirstSeen, b.FirstSeen),
			cmp.Compare(a.Input, b.Input),
			cmp.Compare(a.FirstFrame, b.FirstFrame),
		)
	})
	return conns
}

// rank is the position of s in the list, -1 if it is not there.
func rank(list []string, s string) int { return slices.Index(list, s) }

// clientName names the side that dialled. Its port is chance and not shown.
func clientName(e Endpoint) string { return escape(e.Label()) }

// serverName names the side that was dialled, by address and port if neither
// its node nor its host is known.
func serverName(e Endpoint) string {
	if e.Node == "" && e.Host == "" {
		return socket(e)
	}
	return escape(e.Label())
}

// socket writes address and port, the address in brackets if it is IPv6.
func socket(e Endpoint) string {
	addr, err := netip.ParseAddr(e.Address)
	if err != nil {
		return escape(e.Address)
	}
	return netip.AddrPortFrom(addr, e.Port).String()
}

// withoutTLS reports whether no TLS session began on a connection in the clear.
// An alert may have come back all the same.
func withoutTLS(c *Connection) bool {
	return verdictOf(c) == "cleartext" && (c.TLS == nil || c.TLS.Version == nil)
}

// withoutData reports whether nothing was sent that could be TLS or not.
func withoutData(c *Connection) bool { return c.Protocol == "none" && c.TLS == nil }

// unnamed reports whether a label has a host, but no node's name.
func unnamed(label string) bool { return strings.HasPrefix(label, "?@") }

// tlsVersion is the version for the table: a number, "?" if the ServerHello
// was not seen, "none" without TLS, "-" without any data.
func tlsVersion(c *Connection) string {
	switch {
	case withoutData(c):
		return "-"
	case withoutTLS(c):
		return "none"
	case c.TLS == nil, c.TLS.Version == nil:
		return "?"
	default:
		return escape(*c.TLS.Version)
	}
}

// clientCertificate says in words whether the client sent a certificate, and
// how that is known.
func clientCertificate(c *Connection) string {
	cert := c.ClientCertificate
	switch {
	case withoutTLS(c), withoutData(c):
		return "-"
	case cert == nil:
		return "unknown"
	}
	words := map[string]string{
		"presented":     "sent",
		"empty":         "empty",
		"not-requested": "not asked",
		"resumed":       "resumed",
	}
	word, known := words[cert.Status]
	if !known {
		return "unknown"
	}
	switch {
	case cert.Basis == "" || cert.Basis == "none":
		return word
	case cert.Possession == "verified":
		return word + ", verified"
	}
	return word + ", " + escape(cert.Basis)
}
