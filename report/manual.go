package report

import (
	"fmt"
	"io"
	"strings"

	"distproof/internal/plural"
)

// maxProse is the width beyond which prose is hard to read.
const maxProse = 100

// WriteManual writes a text in Markdown for a terminal: prose is wrapped, code is
// left as it is. Of Markdown it knows headings, paragraphs, lists of one level,
// fenced code and `code`: what the project's own texts have.
func WriteManual(w io.Writer, markdown string, opt Options) error {
	p := &page{width: min(opt.columns(), maxProse), palette: palette{opt.Color}}
	var paragraph []string
	prose := func() {
		if len(paragraph) > 0 {
			p.prose(strings.Join(paragraph, " "))
			paragraph = nil
		}
	}
	inCode := false
	for line := range strings.SplitSeq(strings.TrimSuffix(markdown, "\n"), "\n") {
		heading := strings.TrimLeft(line, "#")
		switch {
		case strings.HasPrefix(line, "```"):
			prose()
			inCode = !inCode
		case inCode:
			p.line("    " + line)
		case strings.HasPrefix(line, "#"):
			prose()
			p.manualHeading(strings.TrimSpace(heading), len(line)-len(heading))
		case line == "":
			prose()
			p.line("")
		case strings.HasPrefix(line, "- "):
			prose()
			paragraph = []string{line}
		default:
			paragraph = append(paragraph, strings.TrimSpace(line))
		}
	}
	prose()
	return p.flush(w)
}

// manualHeading writes a heading; the deeper it is, the quieter.
func (p *page) manualHeading(s string, level int) {
	switch level {
	case 1:
		p.line(p.bold(s))
	case 2:
		p.line(p.bold(strings.ToUpper(s)))
	default:
		p.line(p.bold(s))
	}
}

// prose writes a paragraph, or an item of a list with its other lines below the
// first one's text. A word that is too long, as an address, is left whole.
func (p *page) prose(s string) {
	line, deeper := "", ""
	if item, ok := strings.CutPrefix(s, "- "); ok {
		s, line, deeper = item, "- ", "  "
	}
	used := 0
	for _, word := range words(s, p.width*2/3) {
		n := width(word)
		if used > 0 && width(line)+1+n > p.width {
			p.line(p.codes(line))
			line, used = deeper, 0
		}
		if used > 0 {
			line += " "
		}
		line += word
		used++
	}
	p.line(p.codes(line))
}

// words splits prose at spaces, but not inside `code` of up to n columns.
func words(s string, n int) []string {
	var out []string
	for i, part := range strings.Split(s, "`") {
		if i%2 == 0 || width(part) > n {
			part = strings.ReplaceAll(part, " ", "\x00")
		}
		if i > 0 {
			part = "`" + part
		}
		out = append(out, part)
	}
	return strings.FieldsFunc(strings.Join(out, ""), func(r rune) bool { return r == 0 })
}

// codes writes `code` in bold where there are colours. One that goes over the
// end of a line is left as it is.
func (p *page) codes(line string) string {
	if !p.on || strings.Count(line, "`")%2 != 0 {
		return line
	}
	parts := strings.Split(line, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = p.bold(parts[i])
	}
	return strings.Join(parts, "")
}

// ExplainFinding writes the evidence of the document's n-th finding, counted from
// 1 on, frame by frame, each with the filter that shows it in Wireshark.
func ExplainFinding(w io.Writer, doc *Document, n int, opt Options) error {
	if n < 1 || n > len(doc.Findings) {
		return fmt.Errorf("the report has %s, not number %d", plural.Of(len(doc.Findings), "finding", "findings"), n)
	}
	doc = legible(doc)
	f := &doc.Findings[n-1]
	p := &page{doc: doc, width: opt.columns(), palette: palette{opt.Color}, limits: limits{concerned: 20}}
	title := escape(f.Rule) + " " + escape(f.Title)
	severity := escape(f.Severity)
	for i, l := range wrap(title, max(p.width-width(severity)-2, minName)) {
		lead := p.severity(severity)
		if i > 0 {
			lead = strings.Repeat(" ", width(severity))
		}
		p.line(lead + "  " + p.bold(l))
	}
	if f.Status != "" && f.Status != "open" {
		p.line("(" + escape(f.waivedAs()) + ")")
	}
	p.line("")
	p.text(0, escape(f.Message))
	p.findingConnections(f)
	p.walk(f)
	p.wireshark(f)
	p.line("")
	p.fix(f.Fix)
	p.line("")
	p.line("What the rule means: distproof explain " + escape(f.Rule))
	return p.flush(w)
}

// findingConnections lists the connections of a finding with what is known of them.
func (p *page) findingConnections(f *Finding) {
	conns := p.connectionsOf(f)
	if len(conns) == 0 {
		return
	}
	p.heading("CONNECTIONS")
	shown := p.capped(p.limits.concerned, len(conns))
	for _, c := range conns[:shown] {
		p.item(2, p.connectionName(c.ID))
		p.item(4, fmt.Sprintf("%s: %s to %s, %s, %s, from frame %d on", escape(c.ID), socket(c.Client), socket(c.Server), escape(c.Protocol), escape(verdictOf(c)), c.FirstFrame))
		if c.Reason != "" {
			p.item(4, escape(c.Reason))
		}
		if c.TLS != nil && len(c.TLS.Records.Client)+len(c.TLS.Records.Server) > 0 {
			p.item(4, "record sizes, client: "+sizeList(c.TLS.Records.Client))
			p.item(4, "record sizes, server: "+sizeList(c.TLS.Records.Server))
		}
	}
	if rest := len(conns) - shown; rest > 0 {
		p.linef("  … and %s", plural.Of(rest, "more connection", "more connections"))
	}
}

// connectionsOf finds the connections of a finding that the document has.
func (p *page) connectionsOf(f *Finding) []*Connection {
	var out []*Connection
	for _, id := range f.Connections {
		p.connectionName(id) // fills byID
		if c := p.byID[id]; c != nil {
			out = append(out, c)
		}
	}
	return out
}

// walk goes through the evidence, frame by frame.
func (p *page) walk(f *Finding) {
	p.heading("EVIDENCE")
	if len(f.Evidence) == 0 {
		p.text(2, "No frame shows it: it is about what is missing, or about the capture as a whole.")
		return
	}
	for i, e := range f.Evidence {
		p.item(2, fmt.Sprintf("%d. %s%s", i+1, p.frame(e), escape(e.Text)))
		if e.Frame != 0 {
			p.linef("     frame.number == %d", e.Frame)
		}
	}
}

// wireshark says how to look at the frames. Wireshark takes a port that EPMD
// announced in the same capture for distribution in the clear, and then shows
// no TLS on it at all, without a word.
func (p *page) wireshark(f *Finding) {
	if len(f.Evidence) == 0 && len(f.Connections) == 0 {
		return
	}
	var ports []string
	seen := map[string]bool{}
	for _, c := range p.connectionsOf(f) {
		port := fmt.Sprint(c.Server.Port)
		if (c.Protocol == "dist-tls" || c.Protocol == "tls") && !seen[port] {
			seen[port] = true
			ports = append(ports, port)
		}
	}
	p.heading("IN WIRESHARK")
	p.text(2, "Frame numbers are Wireshark's for the same file; the lines above are display filters.")
	for _, input := range p.inputsOf(f) {
		p.line("")
		p.line("    tshark -r " + shellWord(input.name) + " \\")
		if len(ports) > 0 {
			p.line("      --disable-protocol erldp \\")
			for _, port := range ports {
				p.line("      -d tcp.port==" + port + ",tls \\")
			}
		}
		p.line("      -Y '" + input.filter + "'")
	}
	if len(ports) > 0 {
		p.line("")
		p.text(2, "Without these options Wireshark shows no TLS on a port that EPMD announced in the same capture: it takes the connection for distribution in the clear. With the window: Analyze, Enabled Protocols, without erldp; Analyze, Decode As, TCP port as TLS.")
	}
}

// An input of a finding is a file, and the filter for its frames.
type findingInput struct{ name, filter string }

// inputsOf makes a filter for each file that the finding's frames are in, or
// for its connections if there are no frames.
func (p *page) inputsOf(f *Finding) []findingInput {
	const maxFrames = 20
	frames := map[int][]string{}
	for _, e := range f.Evidence {
		if e.Frame != 0 && len(frames[e.Input]) < maxFrames {
			frames[e.Input] = append(frames[e.Input], fmt.Sprint(e.Frame))
		}
	}
	if len(frames) == 0 {
		for _, c := range p.connectionsOf(f) {
			if len(frames[c.Input]) < maxFrames {
				frames[c.Input] = append(frames[c.Input], fmt.Sprint(c.FirstFrame))
			}
		}
	}
	var out []findingInput
	for i, in := range p.doc.Inputs {
		if len(frames[i]) > 0 {
			out = append(out, findingInput{in.Path, "frame.number == " + strings.Join(frames[i], " || frame.number == ")})
		}
	}
	return out
}

// shellWord quotes a file's name for a shell. One that cannot be shown as it is
// would not be that file's name.
func shellWord(path string) string {
	if path == "-" || escape(path) != path {
		return "FILE"
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
