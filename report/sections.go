package report

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"distproof/internal/plural"
)

// inputs says in a line each what was read.
func (p *page) inputs() {
	inputs := p.doc.Inputs
	shown := p.capped(p.limits.inputs, len(inputs))
	for _, in := range inputs[:shown] {
		words := []string{escape(in.Format), plural.Of(in.Packets, "packet", "packets")}
		if span, ok := span(in); ok {
			words = append(words, span)
		}
		p.item(0, p.inputName(in)+": "+strings.Join(words, ", "))
	}
	if rest := inputs[shown:]; len(rest) > 0 {
		var packets uint64
		for _, in := range rest {
			packets += in.Packets
		}
		p.linef("… and %s with %s", plural.Of(len(rest), "more file", "more files"), plural.Of(packets, "packet", "packets"))
	}
}

// inputName is the input's path; standard input has none.
func (p *page) inputName(in Input) string {
	if in.Path == "-" {
		return "standard input"
	}
	return cut(escape(in.Path), p.width-2)
}

// span says when an input was recorded, and for how long.
func span(in Input) (string, bool) {
	first, err1 := time.Parse(time.RFC3339Nano, in.First)
	last, err2 := time.Parse(time.RFC3339Nano, in.Last)
	if err1 != nil || err2 != nil {
		return "", false
	}
	length := last.Sub(first).Round(time.Second).String()
	if d := last.Sub(first); d < time.Minute {
		length = fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%s from %s UTC", length, first.UTC().Format("2006-01-02 15:04:05")), true
}

// closing writes everything below the table.
func (p *page) closing() {
	p.conclusion()
	p.findings()
	p.crossed()
	p.unseen()
	p.others()
}

// conclusion says how the run ended, in a sentence. Inspect has none.
func (p *page) conclusion() {
	if p.doc.Conclusion == "" {
		return
	}
	word := strings.ToUpper(escape(p.doc.Conclusion))
	plain := word
	switch p.doc.Conclusion {
	case "pass":
		word = p.good(word)
	case "fail":
		word = p.bad(word)
	default:
		word = p.doubt(word)
	}
	p.line("")
	if p.doc.Reason == "" {
		p.line(p.bold(word))
		return
	}
	lines := wrap(plain+": "+escape(p.doc.Reason), p.width)
	p.line(word + strings.TrimPrefix(lines[0], plain))
	for _, l := range lines[1:] {
		p.line(l)
	}
}

// findings writes what was found, the worst first; what has the same rule and
// the same fix stands together.
func (p *page) findings() {
	if len(p.doc.Findings) == 0 {
		return
	}
	p.heading("FINDINGS")
	groups := group(p.doc.Findings)
	shown := p.capped(p.limits.findings, len(groups))
	for i, g := range groups[:shown] {
		if i > 0 {
			p.line("")
		}
		p.findingGroup(g)
	}
	if rest := len(groups) - shown; rest > 0 {
		p.line("")
		p.linef("… and %s: -o wide or -o json shows all.", plural.Of(rest, "more rule", "more rules"))
	}
}

// group sorts findings by severity, and gathers those with the same rule,
// status and fix; else they keep the document's order.
func group(findings []Finding) [][]Finding {
	type key struct{ severity, rule, title, status, fix, waiver string }
	var groups [][]Finding
	at := map[key]int{}
	for _, f := range findings {
		k := key{f.Severity, f.Rule, f.Title, f.waivedAs(), f.Fix, f.Waiver.text()}
		i, seen := at[k]
		if !seen {
			i = len(groups)
			at[k] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], f)
	}
	slices.SortStableFunc(groups, func(a, b []Finding) int {
		return cmp.Compare(rank(severities(), a[0].Severity), rank(severities(), b[0].Severity))
	})
	return groups
}

// findingGroup writes findings that differ in message and evidence only.
func (p *page) findingGroup(g []Finding) {
	f := g[0]
	title := escape(f.Rule) + "  " + escape(f.Title)
	if f.Status != "" && f.Status != "open" {
		title += " (" + escape(f.waivedAs()) + ")"
	}
	severity := escape(f.Severity)
	for i, l := range wrap(title, p.width-width(severity)-2) {
		if i == 0 {
			p.line(p.severity(severity) + "  " + p.bold(strings.Replace(l, " ", "  ", 1)))
			continue
		}
		p.line(strings.Repeat(" ", width(severity)+2) + p.bold(l))
	}
	shown := p.capped(p.limits.messages, len(g))
	for _, f := range g[:shown] {
		// A finding about the whole capture may be the conclusion's reason.
		if f.Message != p.doc.Reason {
			p.text(2, escape(f.Message))
		}
		p.concerned(f.Connections)
		p.evidence(f.Evidence)
	}
	if rest := len(g) - shown; rest > 0 {
		p.linef("  … and %d more like these", rest)
	}
	if f.Waiver != nil {
		p.text(2, f.Waiver.text())
	}
	p.fix(f.Fix)
}

// concerned names the connections with a finding, those between the same nodes
// once, with their number.
func (p *page) concerned(ids []string) {
	var names []string
	n := map[string]int{}
	for _, id := range ids {
		name := p.connectionName(id)
		if n[name] == 0 {
			names = append(names, name)
		}
		n[name]++
	}
	shown := p.capped(p.limits.concerned, len(names))
	for _, name := range names[:shown] {
		p.line("    " + name + " " + times(n[name]))
	}
	if rest := len(names) - shown; rest > 0 {
		p.linef("    … and %d more", rest)
	}
}

// connectionName says who dialled whom.
func (p *page) connectionName(id string) string {
	if p.byID == nil {
		p.byID = make(map[string]*Connection, len(p.doc.Connections))
		for i := range p.doc.Connections {
			p.byID[p.doc.Connections[i].ID] = &p.doc.Connections[i]
		}
	}
	c, known := p.byID[id]
	if !known {
		return escape(id)
	}
	half := max((p.width-width("     →  ×1000000"))/2, minName)
	return cut(clientName(c.Client), half) + " → " + cut(serverName(c.Server), half)
}

// evidence names the frames that show a finding.
func (p *page) evidence(evidence []Evidence) {
	shown := p.capped(p.limits.evidence, len(evidence))
	for _, e := range evidence[:shown] {
		p.item(4, p.frame(e)+escape(e.Text))
	}
	if rest := len(evidence) - shown; rest > 0 {
		p.linef("    … and %s", plural.Of(rest, "more frame", "more frames"))
	}
}

// frame names a frame, and its file if there are several.
func (p *page) frame(e Evidence) string {
	if e.Frame == 0 {
		return ""
	}
	name := fmt.Sprintf("frame %d: ", e.Frame)
	if len(p.doc.Inputs) > 1 && e.Input >= 0 && e.Input < len(p.doc.Inputs) {
		return cut(escape(path.Base(p.doc.Inputs[e.Input].Path)), p.width/2) + " " + name
	}
	return name
}

// fix writes how to mend it. Lines that begin with a letter are prose; others
// are configuration, to be copied as they are.
func (p *page) fix(fix string) {
	if strings.TrimSpace(fix) == "" {
		return
	}
	p.line("  fix:")
	for l := range strings.SplitSeq(strings.Trim(fix, "\n"), "\n") {
		l = escape(strings.ReplaceAll(l, "\t", "    "))
		if first, _ := utf8.DecodeRuneInString(l); unicode.IsLetter(first) {
			p.text(4, l)
			continue
		}
		p.line("    " + l)
	}
}

// unseen says what the capture hides or lost, because a reader must know what
// the conclusion cannot cover.
func (p *page) unseen() {
	items := slices.Concat(p.unseenInInputs(), unseenInConnections(p.doc))
	if len(items) == 0 {
		return
	}
	p.heading("COULD NOT BE SEEN")
	shown := p.capped(p.limits.unseen, len(items))
	for _, item := range items[:shown] {
		p.item(2, "- "+item)
	}
	if rest := len(items) - shown; rest > 0 {
		p.linef("  … and %d more: -o wide or -o json shows all.", rest)
	}
}

func (p *page) unseenInInputs() []string {
	var items []string
	for _, in := range p.doc.Inputs {
		name := p.inputName(in)
		if in.Truncated || in.Damage != "" {
			items = append(items, name+": "+cmp.Or(escape(in.Damage), "ends early, the rest is missing"))
		}
		if in.Dropped > 0 {
			items = append(items, fmt.Sprintf("%s: %s lost by the system that captured", name, plural.Of(in.Dropped, "packet was", "packets were")))
		}
		if in.Snapped > 0 {
			items = append(items, fmt.Sprintf("%s: %s cut short by the capture's snaplen", name, plural.Of(in.Snapped, "packet was", "packets were")))
		}
		for _, reason := range slices.Sorted(maps.Keys(in.Undecoded)) {
			if carriesNoTCP(reason) {
				continue
			}
			items = append(items, fmt.Sprintf("%s: %s without a TCP segment to look at: %s", name, plural.Of(in.Undecoded[reason], "packet", "packets"), escape(reason)))
		}
	}
	return items
}

// carriesNoTCP reports whether packets that were not decoded for this reason
// (see link.Decoder) cannot hide a connection. Of a reason that is not listed
// that is not known, and the reader is told.
func carriesNoTCP(reason string) bool {
	return slices.Contains([]string{
		"arp", "icmp", "icmpv6", "igmp", "sctp", "udp", "lldp", "netlink", "802.2 LLC",
		"IPv6 without payload", "PPPoE discovery", "IP fragment repeated",
	}, reason)
}

// unseenInConnections counts what is missing from connections between nodes.
func unseenInConnections(doc *Document) []string {
	var midstream, encrypted, gaps, conflicts int
	var missing uint64
	unopened := make(map[string]int) // by reason
	for _, c := range doc.Connections {
		if c.Verdict == nil {
			continue
		}
		if c.State == "midstream" {
			midstream++
		}
		if hidesCertificates(&c) {
			encrypted++
		}
		if c.TLS != nil && c.TLS.KeyLog != "" && c.TLS.KeyLog != "opened" {
			unopened[c.TLS.KeyLog]++
		}
		if n := c.Gaps.Client + c.Gaps.Server; n > 0 {
			gaps++
			missing += n
		}
		if c.Gaps.Conflicts > 0 {
			conflicts++
		}
	}
	var items []string
	if midstream > 0 {
		items = append(items, plural.Of(midstream, "connection was", "connections were")+" already up when the capture began: the handshake was not captured")
	}
	if encrypted > 0 {
		items = append(items, "the certificates in "+plural.Of(encrypted, "TLS 1.3 connection", "TLS 1.3 connections")+" are encrypted: their names and CAs are not known")
	}
	for _, why := range slices.Sorted(maps.Keys(unopened)) {
		items = append(items, "the key log does not open "+plural.Of(unopened[why], "handshake", "handshakes")+": "+escape(why))
	}
	if gaps > 0 {
		items = append(items, fmt.Sprintf("%s missing from %s between nodes", plural.Of(missing, "byte is", "bytes are"), plural.Of(gaps, "connection", "connections")))
	}
	if conflicts > 0 {
		items = append(items, plural.Of(conflicts, "connection has", "connections have")+" retransmissions with other bytes than the first time: what the receiver took is not known")
	}
	return items
}

// hidesCertificates reports whether certificates crossed, as far as is known,
// where nobody can read them.
func hidesCertificates(c *Connection) bool {
	return c.TLS != nil && c.TLS.Version != nil && *c.TLS.Version == "1.3" && !c.TLS.Resumed &&
		(c.ServerCertificate == nil || len(c.ServerCertificate.Chain) == 0)
}

// others counts what is not a connection between nodes, and warns of secrets.
// UDP is among it since it may be a tunnel on a port that was not named.
func (p *page) others() {
	s := p.doc.Summary
	var words []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{s.EPMD, "EPMD"},
		{s.TLS, "TLS that is not shown to be distribution"},
		{s.Other, "other"},
		{s.None, "without data"},
	} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(words) > 0 {
		p.line("")
		hint := ""
		if p.doc.Conclusion != "" && s.TLS+s.Other+s.None > 0 {
			hint = " distproof inspect lists them."
		}
		p.text(0, "Other TCP connections: "+strings.Join(words, ", ")+"."+hint)
	}
	if words := p.notTCP(); len(words) > 0 {
		if s.EPMD+s.TLS+s.Other+s.None == 0 {
			p.line("")
		}
		p.text(0, "Packets that are not TCP: "+strings.Join(words, ", ")+".")
	}
	for _, in := range p.doc.Inputs {
		if in.Secrets > 0 {
			p.line("")
			p.text(0, p.inputName(in)+" holds "+plural.Of(in.Secrets, "TLS key log", "TLS key logs")+": whoever gets the file can read the sessions.")
		}
	}
}

// notTCP counts the packets that are not TCP, by protocol.
func (p *page) notTCP() []string {
	sum := map[string]uint64{}
	for _, in := range p.doc.Inputs {
		for reason, n := range in.Undecoded {
			if carriesNoTCP(reason) {
				sum[reason] += n
			}
		}
	}
	var words []string
	for _, reason := range slices.Sorted(maps.Keys(sum)) {
		words = append(words, fmt.Sprintf("%d %s", sum[reason], reason))
	}
	return words
}
