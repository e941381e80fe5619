package report_test

import (
	"bytes"
	"strings"
	"testing"

	"distproof/report"
)

// What is known of every connection of the document of all that can be known, and
// of one that is meant to do harm.
func TestExplainConnection(t *testing.T) {
	var out bytes.Buffer
	full := fixtures()["cleartext"]
	full.Connections = append(full.Connections, fixtures()["mixed"].Connections...)
	full.Connections = append(full.Connections, fixtures()["hostile"].Connections[0])
	for i := range full.Connections {
		if v := full.Connections[i].Verdict; v != nil && *v == "cleartext" {
			full.Findings = append(full.Findings, report.Finding{
				Rule: "DP101", Severity: "critical", Title: "cleartext distribution", Message: "it is in the clear",
				Connections: []string{strings.Repeat("c", i+1), "other", "another"}, Fix: "use TLS", Status: "open",
				Evidence: []report.Evidence{{Frame: 1, Text: "before it began"}, {Frame: 1000, Text: "later"}, {Frame: 999, Text: "its name"}},
			})
		}
		full.Connections[i].ID = strings.Repeat("c", i+1)
		if err := report.ExplainConnection(&out, full, full.Connections[i].ID, report.Options{Width: 80}); err != nil {
			t.Fatal(err)
		}
		out.WriteString("----\n")
	}
	golden(t, "testdata/connections.txt", out.Bytes())
	for l := range strings.Lines(out.String()) {
		if strings.ContainsAny(strings.TrimSuffix(l, "\n"), "\x1b\r\a\u202e") {
			t.Errorf("not escaped: %q", l)
		}
	}
}

func TestExplainConnectionThatIsNotThere(t *testing.T) {
	err := report.ExplainConnection(new(bytes.Buffer), fixtures()["mixed"], "c999", report.Options{})
	if err == nil || !strings.Contains(err.Error(), "c999") {
		t.Error(err)
	}
}
