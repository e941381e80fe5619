package explain_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/explain"
	"distproof/verify"
)

var update = flag.Bool("update", false, "write docs/rules.md anew")

// sections are those of every text, in this order.
func sections() []string {
	return []string{
		"What proves it", "What would disprove it", "What cannot be seen",
		"How to fix it", "OTP releases", "References",
	}
}

func TestTexts(t *testing.T) {
	for _, text := range explain.Texts() {
		t.Run(text.Rule, func(t *testing.T) {
			if !regexp.MustCompile(`^DP\d{3}$`).MatchString(text.Rule) || text.Title == "" {
				t.Errorf("rule %q, title %q", text.Rule, text.Title)
			}
			if judged := verify.Rule(text.Rule).Title(); judged != "" && judged != text.Title {
				t.Errorf("title %q, but findings say %q", text.Title, judged)
			}
			var found []string
			for _, m := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(text.Markdown, -1) {
				found = append(found, m[1])
			}
			if diff := cmp.Diff(sections(), found); diff != "" {
				t.Errorf("sections (-want +got):\n%s", diff)
			}
			if strings.Count(text.Markdown, "```")%2 != 0 || strings.Contains(text.Markdown, "{{") {
				t.Error("a block of code is not closed, or a part not put in")
			}
			for line := range strings.Lines(text.Markdown) {
				line = strings.TrimSuffix(line, "\n")
				if n := len([]rune(line)); n > 90 && !strings.Contains(line, "https://") || strings.TrimRight(line, " ") != line || strings.Contains(line, "\t") {
					t.Errorf("line of %d characters, or with blanks at its end or tabs: %q", n, line)
				}
			}
		})
	}
}

// Every rule that findings can have is explained, and those that are named in
// the texts exist.
func TestTextsAreComplete(t *testing.T) {
	var known []string
	for _, text := range explain.Texts() {
		known = append(known, text.Rule)
	}
	if !slices.IsSorted(known) {
		t.Errorf("not in order: %q", known)
	}
	for _, rule := range verify.Rules() {
		if !slices.Contains(known, string(rule)) {
			t.Errorf("%s has no text", rule)
		}
	}
	for _, text := range explain.Texts() {
		for _, named := range regexp.MustCompile(`DP\d+`).FindAllString(text.Markdown, -1) {
			if !slices.Contains(known, named) {
				t.Errorf("%s names %s, which is none", text.Rule, named)
			}
		}
	}
}

// Each text that mends something says how in all these places.
func TestTextsNameTheProducts(t *testing.T) {
	for _, text := range explain.Texts() {
		for _, product := range []string{"Plain Erlang", "Elixir release", "RabbitMQ", "CouchDB", "EMQX", "Kubernetes"} {
			_, fix, _ := strings.Cut(text.Markdown, "## How to fix it")
			if !strings.Contains(fix, product) {
				t.Errorf("%s says nothing of %s", text.Rule, product)
			}
		}
	}
}

func TestOf(t *testing.T) {
	if text, ok := explain.Of("dp101"); !ok || text.Rule != "DP101" {
		t.Errorf("dp101 is %q, %t", text.Rule, ok)
	}
	if _, ok := explain.Of("DP999"); ok {
		t.Error("DP999 is explained")
	}
}

// docs/rules.md is what explain prints. Run with -update after a text changed.
func TestPage(t *testing.T) {
	const path = "../docs/rules.md"
	if *update {
		if err := os.WriteFile(path, []byte(explain.Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), explain.Page()); diff != "" {
		t.Errorf("%s differs from the texts (-page +texts):\n%s", path, diff)
	}
	for _, m := range regexp.MustCompile(`\(#([^)]*)\)`).FindAllStringSubmatch(string(page), -1) {
		if strings.Count(string(page), "](#"+m[1]+")") != 1 {
			t.Errorf("two links to %s", m[1])
		}
	}
}
