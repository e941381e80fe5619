package report

import (
	"fmt"
	"io"
	"strings"
)

// unlimited is the width of lines that are not to be wrapped.
const unlimited = 1 << 20

// renderWide writes what renderTable does, but with a row for every
// connection, more columns, no limits, and no regard to the width.
func renderWide(w io.Writer, doc *Document, opt Options) error {
	p := &page{doc: doc, width: unlimited, palette: palette{opt.Color}}
	p.inputs()
	p.line("")
	if err := p.wideTable(); err != nil {
		return err
	}
	if err := p.surroundings(); err != nil {
		return err
	}
	p.closing()
	return p.flush(w)
}

// verdictColumn is the index of the verdict in both tables.
const verdictColumn = 4

func (p *page) wideTable() error {
	conns := distribution(p.doc)
	if len(conns) == 0 {
		p.line("No connection between Erlang nodes was seen.")
		return nil
	}
	header := []string{
		"CLIENT", "SERVER", "TLS", "CLIENT CERTIFICATE", "VERDICT", "STATE", "CLIENT ADDRESS", "SERVER ADDRESS",
		"CIPHER SUITE", "SNI", "CLIENT SUBJECT", "SERVER SUBJECT", "RECORDS CLIENT", "RECORDS SERVER",
		"PACKETS", "BYTES", "FRAME", "ID", "KNOWN BY", "REASON",
	}
	rows := make([][]string, len(conns))
	for i, c := range conns {
		rows[i] = p.wideRow(c)
	}
	lines, err := grid(p.headings(header), p.colored(rows))
	p.lines = append(p.lines, lines...)
	p.legend(fold(conns))
	return err
}

func (p *page) wideRow(c *Connection) []string {
	r := rowOf(c)
	cells := []string{
		r.client, r.server, r.tls, r.certificate, r.verdict, escape(c.State), socket(c.Client), socket(c.Server),
	}
	cells = append(cells, tlsCells(c)...)
	return append(cells,
		fmt.Sprintf("%d/%d", c.Packets.Client, c.Packets.Server),
		fmt.Sprintf("%d/%d", c.Bytes.Client, c.Bytes.Server),
		p.firstFrame(c), escape(c.ID), dash(escape(strings.Join(c.ProtocolBasis, ", "))), r.reason)
}

// tlsCells are suite, server name, subjects and record sizes.
func tlsCells(c *Connection) []string {
	client, server := "-", "-"
	if k := c.ClientCertificate; k != nil {
		client = subject(k.Chain, k.Verification)
	}
	if k := c.ServerCertificate; k != nil {
		server = subject(k.Chain, k.Verification)
	}
	t := c.TLS
	if t == nil {
		t = &TLS{}
	}
	return []string{
		dash(escape(t.CipherSuite)), dash(escape(t.SNI)), client, server,
		sizeList(t.Records.Client), sizeList(t.Records.Server),
	}
}

func (p *page) firstFrame(c *Connection) string {
	if len(p.doc.Inputs) > 1 && c.Input >= 0 && c.Input < len(p.doc.Inputs) {
		return fmt.Sprintf("%s:%d", escape(p.doc.Inputs[c.Input].Path), c.FirstFrame)
	}
	return fmt.Sprint(c.FirstFrame)
}

// subject is the subject of the chain's first certificate, and whether that
// verifies, where it was checked.
func subject(chain []Certificate, v Verification) string {
	if len(chain) == 0 {
		return "-"
	}
	s := dash(escape(chain[0].Subject))
	if v.Status == "ok" || v.Status == "failed" {
		s += " (" + v.Status + ")"
	}
	return s
}

func sizeList(records []int) string {
	return dash(strings.Trim(fmt.Sprint(records), "[]"))
}

// dash stands for nothing, so that columns can be told apart.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
