package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
	"github.com/google/go-cmp/cmp"

	"distproof/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// variants are the ways in which the golden files show each document.
func variants() []struct {
	name, format string
	opt          report.Options
} {
	return []struct {
		name, format string
		opt          report.Options
	}{
		{"80.txt", "table", report.Options{Width: 80}},
		{"160.txt", "table", report.Options{Width: 160}},
		{"color.txt", "table", report.Options{Color: true}},
		{"wide.txt", "wide", report.Options{}},
		{"json", "json", report.Options{}},
	}
}

func TestGolden(t *testing.T) {
	for name, doc := range fixtures() {
		for _, v := range variants() {
			if (name == "many" || name == "folded") && v.format != "table" {
				continue // thousands of lines that say nothing new
			}
			t.Run(name+"."+v.name, func(t *testing.T) {
				golden(t, filepath.Join("testdata", name+"."+v.name), render(t, doc, v.format, v.opt))
			})
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if the change is meant:\n%s", path, diff)
	}
}

func render(t testing.TB, doc *report.Document, format string, opt report.Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.Render(&out, doc, format, opt); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The table must fit the width it was given, whatever the names are. Lines of
// configuration are to be copied and may be longer.
func TestTableFits(t *testing.T) {
	for name, doc := range fixtures() {
		for _, width := range []int{0, 80, 81, 100, 119, 120, 121, 160, 200, 1000} {
			want := min(max(width, report.MinWidth), report.MaxWidth)
			for line := range bytes.Lines(render(t, doc, "table", report.Options{Width: width})) {
				line := strings.TrimSuffix(string(line), "\n")
				if got := displaywidth.String(line); got > want {
					t.Errorf("%s at %d: line of %d columns: %s", name, width, got, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s at %d: blanks at the end of %q", name, width, line)
				}
			}
		}
	}
}

// No format may pass on a character that drives a terminal or hides text.
func TestNothingReachesTheTerminal(t *testing.T) {
	for _, format := range report.Formats() {
		out := render(t, hostile(), format, report.Options{Width: 200})
		if !utf8.Valid(out) {
			t.Errorf("%s: output is not UTF-8", format)
		}
		for _, r := range string(out) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: output has %U", format, r)
			}
		}
	}
}

// In colour the only escape sequences are ours.
func TestColorAddsOnlySGR(t *testing.T) {
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for name, doc := range fixtures() {
		for _, width := range []int{80, 160} {
			plain := render(t, doc, "table", report.Options{Width: width})
			colored := render(t, doc, "table", report.Options{Width: width, Color: true})
			if bytes.Equal(plain, colored) {
				t.Errorf("%s: no colour", name)
			}
			if diff := cmp.Diff(string(plain), string(sgr.ReplaceAll(colored, nil))); diff != "" {
				t.Errorf("%s: colour changes the words (-plain +colored):\n%s", name, diff)
			}
		}
	}
}

// JSON is read back to the same document, but for bytes that are no text.
func TestJSONRoundTrip(t *testing.T) {
	for name, doc := range fixtures() {
		var got report.Document
		if err := json.Unmarshal(render(t, doc, "json", report.Options{}), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "hostile" {
			// encoding/json has no way to keep bytes that are not UTF-8.
			doc.Connections[4].Client.Node = got.Connections[4].Client.Node
			doc.Connections[4].Reason = got.Connections[4].Reason
			doc.Findings[0].Message = got.Findings[0].Message
		}
		if diff := cmp.Diff(doc, &got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every array of the contract is an array, also when it is empty.
func TestJSONHasNoNullArrays(t *testing.T) {
	for name, doc := range fixtures() {
		if path := nilSlice(reflect.ValueOf(doc).Elem(), name); path != "" {
			t.Errorf("fixture has a nil slice: %s", path)
		}
	}
}

func nilSlice(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return nilSlice(v.Elem(), path)
	case reflect.Slice:
		if v.IsNil() {
			return path
		}
		for i := range v.Len() {
			if p := nilSlice(v.Index(i), path); p != "" {
				return p
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if p := nilSlice(v.Field(i), path+"."+v.Type().Field(i).Name); p != "" {
				return p
			}
		}
	}
	return ""
}

func TestRenderTwiceIsTheSame(t *testing.T) {
	for name, doc := range fixtures() {
		for _, format := range report.Formats() {
			if !bytes.Equal(render(t, doc, format, report.Options{}), render(t, doc, format, report.Options{})) {
				t.Errorf("%s: %s differs from run to run", name, format)
			}
		}
	}
}

// Rendering must not change the document: several formats are made of one.
func TestRenderLeavesTheDocument(t *testing.T) {
	for name, doc := range fixtures() {
		for _, format := range report.Formats() {
			render(t, doc, format, report.Options{Color: true})
		}
		if diff := cmp.Diff(fixtures()[name], doc); diff != "" {
			t.Errorf("%s changed:\n%s", name, diff)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	err := report.Render(&bytes.Buffer{}, empty(), "yaml", report.Options{})
	if err == nil || !strings.Contains(err.Error(), "table, wide, json") {
		t.Errorf("error %v does not list the formats", err)
	}
}
