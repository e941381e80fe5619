package report_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/clipperhouse/displaywidth"
	"github.com/google/go-cmp/cmp"

	"distproof/report"
)

const manual = "# T the title\n\nSome prose that is wrapped at the width, with `code that stays together` and more\nafter it.\n\n" +
	"## A section\n\n- an item of a list that goes on and on and on until it needs another line\n- https://example.org/an/address/that/is/far/too/long/for/eighty/columns/and/stays/whole\n\n```\n{code, [is,   left]}\n  - `as` it # is\n```\n"

func TestWriteManual(t *testing.T) {
	var out bytes.Buffer
	if err := report.WriteManual(&out, manual, report.Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	want := `T the title

Some prose that is wrapped at the width, with ` + "`code that stays together`" + ` and
more after it.

A SECTION

- an item of a list that goes on and on and on until it needs another line
- https://example.org/an/address/that/is/far/too/long/for/eighty/columns/and/stays/whole

    {code, [is,   left]}
      - ` + "`as`" + ` it # is
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteManualInColor(t *testing.T) {
	var plain, colored bytes.Buffer
	if err := report.WriteManual(&plain, manual, report.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteManual(&colored, manual, report.Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "")
	if diff := cmp.Diff(strings.Replace(plain.String(), "`code that stays together`", "code that stays together", 1), stripped); diff != "" {
		t.Errorf("colour changes more than the marks of code (-plain +colored):\n%s", diff)
	}
}

func explained(t *testing.T, doc *report.Document, n int) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.ExplainFinding(&out, doc, n, report.Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExplainFinding(t *testing.T) {
	got := explained(t, mixed(), 2)
	for _, want := range []string{
		"critical  DP103 No client certificate",
		"c@n3.lab → a@n1.lab",
		"1. frame 21: the server's flight has 4 records",
		"     frame.number == 21\n",
		"tshark -r 'pcaps/mixed.pcap' \\\n      --disable-protocol erldp \\\n      -d tcp.port==34513,tls \\\n      -Y 'frame.number == 21 || frame.number == 23'",
		"{fail_if_no_peer_cert, true},",
		"distproof explain DP103",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("without %q:\n%s", want, got)
		}
	}
	// In the clear there is nothing to decode as TLS.
	if got := explained(t, mixed(), 3); strings.Contains(got, "erldp") || !strings.Contains(got, "frame.number == 44") {
		t.Error(got)
	}
	// Each file has its own frames.
	got = explained(t, damaged(), 1)
	for _, want := range []string{"mutual.pcap frame 88", "second.pcapng.gz frame 1", "-r 'pcaps/mutual.pcap' \\\n      -Y 'frame.number == 88'", "-r 'second.pcapng.gz' \\\n      -Y 'frame.number == 1'"} {
		if !strings.Contains(got, want) {
			t.Errorf("without %q:\n%s", want, got)
		}
	}
	if got := explained(t, empty(), 1); !strings.Contains(got, "No frame shows it") {
		t.Error(got)
	}
	for _, n := range []int{-1, 0, 4} {
		if err := report.ExplainFinding(&bytes.Buffer{}, mixed(), n, report.Options{}); err == nil || !strings.Contains(err.Error(), "3 findings") {
			t.Errorf("finding %d: %v", n, err)
		}
	}
}

func TestExplainFindingIsInert(t *testing.T) {
	doc := attacks()
	for n := range doc.Findings {
		out := explained(t, doc, n+1)
		for _, r := range out {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("finding %d: %U", n+1, r)
			}
		}
		for line := range strings.Lines(out) {
			if displaywidth.String(strings.TrimSuffix(line, "\n")) > 80 && !strings.HasPrefix(line, "      ") {
				t.Errorf("finding %d: line is too wide: %s", n+1, line)
			}
		}
	}
}

// A file's name cannot end the quotes of the command that is shown.
func TestExplainFindingQuotesPaths(t *testing.T) {
	for path, want := range map[string]string{
		"a b.pcap":        "-r 'a b.pcap' ",
		"it's.pcap":       `-r 'it'\''s.pcap' `,
		"-":               "-r FILE ",
		"x\x1b[2J\n.pcap": "-r FILE ",
		"$(id).pcap":      "-r '$(id).pcap' ",
	} {
		doc := mixed()
		doc.Inputs[0].Path = path
		if got := explained(t, doc, 2); !strings.Contains(got, want) {
			t.Errorf("%q: no %s in\n%s", path, want, got)
		}
	}
}

// Every frame is a step, also if there are many.
func TestExplainFindingShowsAllFrames(t *testing.T) {
	doc := mixed()
	doc.Findings[1].Evidence = nil
	for i := range 100 {
		doc.Findings[1].Evidence = append(doc.Findings[1].Evidence, report.Evidence{Frame: uint32(1000 + i), Text: "x"})
	}
	got := explained(t, doc, 2)
	for i := range 100 {
		if want := fmt.Sprintf("     frame.number == %d\n", 1000+i); !strings.Contains(got, want) {
			t.Errorf("without %q", want)
		}
	}
}
