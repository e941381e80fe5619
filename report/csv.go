package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// renderCSV writes a row for every connection. What is not known is empty.
func renderCSV(w io.Writer, doc *Document, _ Options) error { return writeCSV(w, doc, doc.lists()) }

func writeCSV(w io.Writer, doc *Document, all lists) error {
	out := csv.NewWriter(w)
	columns := csvColumns(doc)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	if err := out.Write(row); err != nil {
		return err
	}
	for i := range all.connections.n {
		connection := all.connections.at(i)
		for j, c := range columns {
			row[j] = cell(c.value(connection))
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

type csvColumn struct {
	name  string
	value func(*Connection) string
}

func csvColumns(doc *Document) []csvColumn {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	tls := func(value func(*TLS) string) func(*Connection) string {
		return func(c *Connection) string {
			if c.TLS == nil {
				return ""
			}
			return value(c.TLS)
		}
	}
	return []csvColumn{
		{"id", func(c *Connection) string { return c.ID }},
		{"verdict", verdictOf},
		{"state", func(c *Connection) string { return c.State }},
		{"reason", func(c *Connection) string { return c.Reason }},
		{"protocol", func(c *Connection) string { return c.Protocol }},
		{"client", func(c *Connection) string { return c.Client.Label() }},
		{"client_address", func(c *Connection) string { return c.Client.Address }},
		{"client_port", func(c *Connection) string { return number(uint64(c.Client.Port)) }},
		{"server", func(c *Connection) string { return c.Server.Label() }},
		{"server_address", func(c *Connection) string { return c.Server.Address }},
		{"server_port", func(c *Connection) string { return number(uint64(c.Server.Port)) }},
		{"tls_version", tls(func(t *TLS) string {
			if t.Version == nil {
				return ""
			}
			return *t.Version
		})},
		{"cipher_suite", tls(func(t *TLS) string { return t.CipherSuite })},
		{"sni", tls(func(t *TLS) string { return t.SNI })},
		{"client_certificate", func(c *Connection) string {
			if c.ClientCertificate == nil {
				return ""
			}
			return c.ClientCertificate.Status
		}},
		{"client_certificate_basis", func(c *Connection) string {
			if c.ClientCertificate == nil {
				return ""
			}
			return c.ClientCertificate.Basis
		}},
		{"client_subject", func(c *Connection) string {
			if c.ClientCertificate == nil || len(c.ClientCertificate.Chain) == 0 {
				return ""
			}
			return c.ClientCertificate.Chain[0].Subject
		}},
		{"server_subject", func(c *Connection) string {
			if c.ServerCertificate == nil || len(c.ServerCertificate.Chain) == 0 {
				return ""
			}
			return c.ServerCertificate.Chain[0].Subject
		}},
		{"packets_client", func(c *Connection) string { return number(c.Packets.Client) }},
		{"packets_server", func(c *Connection) string { return number(c.Packets.Server) }},
		{"bytes_client", func(c *Connection) string { return number(c.Bytes.Client) }},
		{"bytes_server", func(c *Connection) string { return number(c.Bytes.Server) }},
		{"first_seen", func(c *Connection) string { return c.FirstSeen }},
		{"last_seen", func(c *Connection) string { return c.LastSeen }},
		{"input", func(c *Connection) string {
			if c.Input < 0 || c.Input >= len(doc.Inputs) {
				return ""
			}
			return doc.Inputs[c.Input].Path
		}},
		{"first_frame", func(c *Connection) string { return fmt.Sprint(c.FirstFrame) }},
		{"findings", func(c *Connection) string { return strings.Join(c.Findings, " ") }},
	}
}

// cell makes a value safe for programs that show CSV: escaped, and with an
// apostrophe before what a spreadsheet would take for a formula.
func cell(s string) string {
	s = escape(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}
