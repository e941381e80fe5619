package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// ExplainConnection writes what is known of a connection of the document, how it
// is known, and its findings with what shows them and how to mend them.
func ExplainConnection(w io.Writer, doc *Document, id string, opt Options) error {
	i := slices.IndexFunc(doc.Connections, func(c Connection) bool { return c.ID == id })
	if i < 0 {
		return fmt.Errorf("the report has no connection %q", id)
	}
	c := &doc.Connections[i]
	p := &page{doc: doc, width: opt.columns(), palette: palette{opt.Color}, limits: limits{evidence: 6}}
	p.text(0, clientName(c.Client)+" → "+serverName(c.Server))
	p.cameTo(c)
	p.heading("FACTS")
	for _, f := range p.facts(c) {
		p.fact(f)
	}
	p.findingsOf(c)
	return p.flush(w)
}

// cameTo says what the connection came to, and why.
func (p *page) cameTo(c *Connection) {
	plain := verdictOf(c)
	if plain == "" {
		p.text(0, "not between nodes, as far as is known: "+escape(c.Protocol))
		return
	}
	text := plain
	if c.Reason != "" {
		text += ": " + escape(c.Reason)
	}
	lines := wrap(text, p.width)
	p.line(p.verdict(plain) + strings.TrimPrefix(lines[0], plain))
	for _, l := range lines[1:] {
		p.line(l)
	}
}

// A knownFact is a line of what is known.
type knownFact struct{ what, text string }

// factColumn is the width of what a fact is about.
const factColumn = 20

func (p *page) fact(f knownFact) {
	if f.text == "" {
		return
	}
	for i, l := range wrap(f.text, max(p.width-factColumn-2, minName)) {
		what := ""
		if i == 0 {
			what = f.what
		}
		p.linef("  %-*s%s", factColumn, what, l)
	}
}

// facts lists what is known. What came off the wire is escaped.
func (p *page) facts(c *Connection) []knownFact {
	facts := []knownFact{
		{"id", escape(c.ID)},
		{"client", socket(c.Client) + namedBy(c.Client)},
		{"server", socket(c.Server) + namedBy(c.Server)},
		{"protocol", escape(c.Protocol) + within(escape(strings.Join(c.ProtocolBasis, ", ")))},
		{"state", escape(c.State)},
		{"roles", escape(c.RolesBasis)},
		{"seen", fmt.Sprintf("%s to %s, from frame %s on", escape(c.FirstSeen), escape(c.LastSeen), p.firstFrame(c))},
		{"from the client", fmt.Sprintf("%s, %s", plural.Of(c.Packets.Client, "packet", "packets"), plural.Of(c.Bytes.Client, "byte", "bytes"))},
		{"from the server", fmt.Sprintf("%s, %s", plural.Of(c.Packets.Server, "packet", "packets"), plural.Of(c.Bytes.Server, "byte", "bytes"))},
		{"tunnel", escape(strings.Join(c.Encapsulation, ", "))},
	}
	facts = append(facts, tlsFacts(c)...)
	facts = append(facts, certificateFacts(c)...)
	return append(facts, crossedFacts(c)...)
}

// namedBy says what a node's or host's name is known from.
func namedBy(e Endpoint) string {
	switch {
	case e.Node != "":
		return ", " + escape(e.Node) + within(escape(e.NodeBasis))
	case e.LikelyNode != "":
		return ", likely " + escape(e.LikelyNode) + " (the only node known of the host with a name that long)"
	case e.Host != "":
		return ", host " + escape(e.Host) + within(escape(e.HostBasis))
	}
	return ""
}

func within(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func tlsFacts(c *Connection) []knownFact {
	t := c.TLS
	if t == nil {
		return nil
	}
	version := tlsVersion(c)
	if version == "?" {
		version = "version not seen"
	}
	facts := []knownFact{
		{"TLS", strings.Join(nonEmpty(version, escape(t.CipherSuite), escape(t.Group)), ", ")},
		{"server name (SNI)", escape(t.SNI)},
		{"key log", escape(t.KeyLog)},
		{"records, client", recordSizes(t.Records.Client)},
		{"records, server", recordSizes(t.Records.Server)},
	}
	if t.Resumed {
		from := "a session that was not captured"
		if t.ResumedFrom != "" {
			from = "the session of " + escape(t.ResumedFrom)
		}
		facts = append(facts, knownFact{"resumed", from})
	}
	for _, a := range t.Alerts {
		facts = append(facts, knownFact{"alert", fmt.Sprintf("frame %d: by the %s, %s", a.Frame, escape(a.From), strings.Join(nonEmpty(escape(a.Level), escape(a.Description), escape(a.Basis)), ", "))})
	}
	return facts
}

func recordSizes(records []int) string {
	if len(records) == 0 {
		return ""
	}
	return sizeList(records) + " bytes"
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(s string) bool { return s == "" })
}

func certificateFacts(c *Connection) []knownFact {
	var facts []knownFact
	if k := c.ClientCertificate; k != nil {
		facts = append(facts,
			knownFact{"client certificate", strings.Join(nonEmpty(clientCertificate(c), escape(k.Reason)), ": ")},
			knownFact{"its key", strings.Join(nonEmpty(escape(k.Possession), escape(k.PossessionReason)), ": ")},
			knownFact{"the server went on", yesNo(k.Accepted)})
		facts = append(facts, chainFacts(k.Chain, k.Verification)...)
	}
	if k := c.ServerCertificate; k != nil {
		facts = append(facts,
			knownFact{"server certificate", escape(k.Basis)},
			knownFact{"its key", strings.Join(nonEmpty(escape(k.Possession), escape(k.PossessionReason)), ": ")},
			knownFact{"the client went on", yesNo(k.Accepted)})
		facts = append(facts, chainFacts(k.Chain, k.Verification)...)
	}
	return facts
}

// chainFacts says who the first certificate of a chain names, and whether the
// chain was found good.
func chainFacts(chain []Certificate, v Verification) []knownFact {
	if len(chain) == 0 {
		return nil
	}
	c := chain[0]
	return []knownFact{
		{"  subject", escape(c.Subject)},
		{"  issuer", escape(c.Issuer)},
		{"  names", escape(strings.Join(slices.Concat(c.DNSNames, c.IPAddresses, c.URIs), ", "))},
		{"  valid", escape(c.NotBefore) + " to " + escape(c.NotAfter)},
		{"  checked", strings.Join(nonEmpty(escape(v.Status), escape(v.Reason)), ": ")},
	}
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return "not known"
	case *b:
		return "yes"
	}
	return "no"
}

// crossedFacts says what is known of what crossed, and what is missing of it.
func crossedFacts(c *Connection) []knownFact {
	var facts []knownFact
	if k := c.Cleartext; k != nil {
		facts = append(facts,
			knownFact{"in the clear", escape(k.Account)},
			knownFact{"  messages", tallyOf(k.Messages)},
			knownFact{"  to names", tallyOf(k.RegisteredNames)})
	}
	if k := c.Decrypted; k != nil {
		facts = append(facts,
			knownFact{"decrypted", escape(k.Account)},
			knownFact{"  messages", tallyOf(k.Messages)},
			knownFact{"  to names", tallyOf(k.RegisteredNames)},
			knownFact{"  incomplete", escape(k.Incomplete)})
	}
	if n := c.Gaps.Client + c.Gaps.Server; n > 0 {
		facts = append(facts, knownFact{"not captured", fmt.Sprintf("%s of the client's, %s of the server's", plural.Of(c.Gaps.Client, "byte", "bytes"), plural.Of(c.Gaps.Server, "byte", "bytes"))})
	}
	if c.Gaps.Conflicts > 0 {
		facts = append(facts, knownFact{"sent again", plural.Of(c.Gaps.Conflicts, "retransmission", "retransmissions") + " with other bytes than the first time"})
	}
	return facts
}

// tallyOf lists what was counted, the most frequent first.
func tallyOf(counts map[string]uint64) string {
	const most = 8
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	var words []string
	for _, name := range names[:min(len(names), most)] {
		words = append(words, fmt.Sprintf("%d %s", counts[name], escape(name)))
	}
	if rest := len(names) - most; rest > 0 {
		words = append(words, fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(words, ", ")
}

// findingsOf writes the findings about the connection.
func (p *page) findingsOf(c *Connection) {
	var its []Finding
	for _, f := range p.doc.Findings {
		if slices.Contains(f.Connections, c.ID) {
			its = append(its, of(f, c))
		}
	}
	if len(its) == 0 {
		p.heading("NO FINDINGS")
		return
	}
	p.heading("FINDINGS")
	for i, g := range group(its) {
		if i > 0 {
			p.line("")
		}
		p.findingGroup(g)
	}
}

// of is a finding as it is about one of its connections. Which frame is evidence
// of which connection, a document does not say: those before it began are not.
func of(f Finding, c *Connection) Finding {
	others := len(f.Connections) - 1
	f.Connections = nil
	if others == 0 {
		return f
	}
	f.Evidence = slices.DeleteFunc(slices.Clone(f.Evidence), func(e Evidence) bool {
		return e.Input != c.Input || e.Frame < c.FirstFrame
	})
	slices.SortStableFunc(f.Evidence, byFrame)
	f.Message += fmt.Sprintf("; so with %s, and some of these frames may be of those", plural.Of(others, "other connection", "other connections"))
	return f
}
