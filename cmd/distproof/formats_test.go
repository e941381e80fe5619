package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/internal/formatcheck"
	"distproof/report"
)

const documentSchema = "../../report/schema/distproof.report.v1.schema.json"

// Of every capture, what is written holds to the published schemas, and what
// was saved says in every format what the run said.
func TestFormatsOfCaptures(t *testing.T) {
	schema := filepath.FromSlash(documentSchema)
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			doc := documentOfFile(t, path)
			written := map[string]string{}
			for _, format := range report.Formats() {
				written[format] = rendered(t, doc, format)
			}
			if err := formatcheck.JSON([]byte(written["json"]), schema); err != nil {
				t.Error(err)
			}
			if err := formatcheck.SARIF([]byte(written["sarif"])); err != nil {
				t.Error(err)
			}
			if err := formatcheck.GitLab([]byte(written["gitlab"])); err != nil {
				t.Error(err)
			}
			if _, err := formatcheck.JUnit([]byte(written["junit"])); err != nil {
				t.Error(err)
			}
			// Green in the pipeline is green in the report.
			red := strings.Contains(written["junit"], "<failure ") || strings.Contains(written["junit"], "<error ")
			if red == (doc.Conclusion == "pass") {
				t.Errorf("conclusion %s, JUnit red: %t", doc.Conclusion, red)
			}
			saved, unknown, err := report.Read(strings.NewReader(written["json"]))
			if err != nil || len(unknown) > 0 {
				t.Fatalf("read back: %v, unknown %q", err, unknown)
			}
			for _, format := range report.Formats() {
				if diff := cmp.Diff(written[format], rendered(t, saved, format)); diff != "" {
					t.Errorf("%s of the saved report differs (-run +saved):\n%s", format, diff)
				}
			}
		})
	}
}

func rendered(t *testing.T, doc *report.Document, format string) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Render(&out, doc, format, report.Options{Width: 100, Color: true}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
