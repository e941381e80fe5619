package report_test

import (
	"strings"
	"testing"

	"github.com/clipperhouse/displaywidth"

	"distproof/report"
)

// TestNodesTable: what is unusual about nodes is noted, within the width.
func TestNodesTable(t *testing.T) {
	d := document("x.pcap", 1)
	d.Nodes = []report.Node{
		{Name: "orders@warehouse-17.example.org", Basis: "handshake", Addresses: []string{"10.77.0.1", "10.77.0.2"}, Ports: []uint16{34513, 34514}, Creations: []uint32{5}, Hidden: ptr(false), Implementation: "erts", Listener: "cleartext", OTPRelease: &report.OTPRelease{AtLeast: 25}},
		{Name: "c17@n2.lab", Basis: "decrypted", Addresses: []string{"10.77.0.2"}, Hidden: ptr(true), Implementation: "other"},
		{Name: "audit@n3.lab", Basis: "handshake", Hidden: ptr(true), Implementation: "erts", Creations: []uint32{5, 6, 7}},
	}
	for _, width := range []int{80, 200} {
		out := string(render(t, d, "table", report.Options{Width: width}))
		for line := range strings.Lines(out) {
			if got := displaywidth.String(strings.TrimSuffix(line, "\n")); got > width {
				t.Errorf("%d columns at %d: %s", got, width, line)
			}
		}
		for _, want := range []string{"SPEAKS", "NOTES", " clear ", " 25+", " hidden, no ERTS\n", " hidden, 3 starts\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("at %d: no %q in\n%s", width, want, out)
			}
		}
	}
	d.Nodes = d.Nodes[:1]
	if out := string(render(t, d, "table", report.Options{Width: 80})); strings.Contains(out, "NOTES") || strings.Contains(out, "hidden") {
		t.Errorf("notes of nothing:\n%s", out)
	}
}
