package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/internal/formatcheck"
	"distproof/report"
	"distproof/verify"
	"distproof/verify/policy"
)

const policySchema = "../../verify/policy/schema.json"

// refs are files as --ca names them.
func refs(paths ...string) []policy.Ref {
	var out []policy.Ref
	for _, path := range paths {
		out = append(out, policy.Ref{Path: path, Place: verify.Place{Path: "--ca"}})
	}
	return out
}

// runs runs a command line, wants its exit code, and returns its output.
func runs(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(args, strings.NewReader(""), &out, &errs); got != code {
		t.Fatalf("distproof %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// learnt writes the policy that is learnt from a bundled capture.
func learnt(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "distproof.yaml")
	args := []string{"policy", "init", "--from", filepath.Join(pcapsDir, name+".pcap"), "-o", path}
	if keyLog := filepath.Join(pcapsDir, name+".keylog"); exists(keyLog) {
		args = append(args, "--keylog", keyLog)
	}
	runs(t, exitHolds, args...)
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// judgedByPolicy returns the report on a bundled capture, by a policy.
func judgedByPolicy(t *testing.T, path, name string, code int) *report.Document {
	t.Helper()
	args := []string{"verify", "--policy", path, "-o", "json", filepath.Join(pcapsDir, name+".pcap")}
	if keyLog := filepath.Join(pcapsDir, name+".keylog"); exists(keyLog) {
		args = append(args, "--keylog", keyLog)
	}
	out, _ := runs(t, code, args...)
	doc := new(report.Document)
	if err := json.Unmarshal([]byte(out), doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestLearntPolicies: what is learnt from a capture passes on it, and fails on
// the others for the reasons that their names say. Other captures of the same
// nodes that are mutual TLS, too, are no violation.
func TestLearntPolicies(t *testing.T) {
	type want struct {
		code   int
		rules  string // those that decide, in their order
		reason string
	}
	const (
		nothing = "nothing to verify: no connection between Erlang nodes "
		older   = "TLS 1.2 is older than the policy takes: TLS 1.3 is the least"
		weaker  = "mutual TLS is proven only by what is inferred (the client's certificate); the policy takes nothing weaker than verified"
		clear   = "the distribution connection is in the clear"
		oneWay  = "the distribution connection is one-way TLS"
		mixed   = "4 of 7 distribution connections are not mutual TLS: 2 in the clear, 2 one-way"
		unknown = "the client's certificate is not signed by a CA whose fingerprint the policy names" // recorded with another CA
	)
	always := map[string]want{
		"empty_accepted_tls13":    {1, "DP104", oneWay},
		"empty_rejected_tls13":    {3, "DP301 DP303", nothing + "came up"},
		"epmd_only":               {3, "DP301 DP303", nothing + "was recognised"},
		"exposed_plain":           {1, "DP101 DP206 DP207 DP201 DP204 DP205", clear},
		"generic_tls13":           {3, "DP301 DP303", nothing + "was recognised"},
		"midstream_mutual_tls13":  {3, "", "the distribution connection could not be proven mutual TLS"},
		"mixed":                   {1, "", mixed},
		"oneway_tls12":            {1, "", oneWay},
		"oneway_tls13":            {1, "DP103", oneWay},
		"other_ca_rejected_tls12": {3, "DP301 DP303", nothing + "came up"},
		"plain":                   {1, "DP101 DP207 DP205", clear},
		"plain_to_tls":            {1, "DP101", clear},
		"tls_to_plain":            {3, "DP301 DP303", nothing + "came up"},
		"vxlan_mutual_tls13":      {1, "DP201 DP204", "EPMD was reached from outside the allowed networks, by 10.42.0.1"},
	}
	ok := want{0, "", "the distribution connection is mutual TLS"}
	bases := map[string]map[string]want{
		"mutual_tls13": {
			"mutual_tls13": ok, "any_mutual_tls13": ok, "mutual_keylog_tls13": ok,
			"mutual_tls12": {1, "DP107", older}, "mutual_keylog_tls12": {1, "DP107", older},
		},
		"mutual_tls12": {
			"mutual_tls12": ok,
			"mutual_tls13": {3, "", weaker}, "any_mutual_tls13": {3, "", weaker},
			"mutual_keylog_tls12": {1, "DP105 DP106", unknown}, "mutual_keylog_tls13": {1, "DP105 DP106", unknown},
		},
		"mutual_keylog_tls13": {
			"mutual_keylog_tls13": ok,
			"mutual_tls12":        {1, "DP105 DP106 DP107", unknown}, "mutual_keylog_tls12": {1, "DP107", older},
			"exposed_plain": {1, "DP101 DP206 DP207 DP201 DP203 DP204 DP205", clear}, // intruder@n1.lab is not orders@n1.lab
			"mutual_tls13":  {3, "", weaker}, "any_mutual_tls13": {3, "", weaker},
		},
	}
	files, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for base, table := range bases {
		path := learnt(t, base)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := formatcheck.YAML(text, policySchema); err != nil {
			t.Errorf("%s: %v", base, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".pcap")
			w, known := table[name]
			if !known {
				w, known = always[name]
			}
			if !known { // one that came later: its name says whether it may pass
				var out, errs bytes.Buffer
				code := run([]string{"verify", "--policy", path, file}, strings.NewReader(""), &out, &errs)
				if code != exitViolated && code != exitInconclusive && !strings.Contains(name, "mutual") {
					t.Errorf("by the policy learnt from %s, %s: code %d\n%s", base, name, code, errs.String())
				}
				continue
			}
			t.Run(base+"/"+name, func(t *testing.T) {
				doc := judgedByPolicy(t, path, name, w.code)
				if doc.Reason != w.reason || doc.Policy != path {
					t.Errorf("by %s: %q\nwant %q", doc.Policy, doc.Reason, w.reason)
				}
				effect := map[int]string{1: "violates", 3: "undecided"}[w.code]
				if got := deciding(doc, effect); w.rules != "" && got != w.rules {
					t.Errorf("%s decide, want %s", got, w.rules)
				}
				for _, f := range doc.Findings {
					if f.Policy == nil || f.Policy.Path != path || f.Policy.Line < 1 || f.Policy.Line > bytes.Count(text, []byte("\n")) {
						t.Errorf("%s is demanded by %+v", f.Rule, f.Policy)
					}
				}
			})
		}
	}
}

// deciding lists the rules of the findings with an effect, each once.
func deciding(doc *report.Document, effect string) string {
	var rules []string
	for _, f := range doc.Findings {
		if f.Effect == effect && !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	return strings.Join(rules, " ")
}

// TestLearningIsRefused: a policy is not learnt from what is not well.
func TestLearningIsRefused(t *testing.T) {
	for name, want := range map[string]string{
		"plain":                  "error: the capture is no good example (fail): the distribution connection is in the clear",
		"oneway_tls13":           "error: the capture is no good example (fail): the distribution connection is one-way TLS",
		"midstream_mutual_tls13": "error: the capture is no good example (inconclusive): the distribution connection could not be proven mutual TLS",
		"epmd_only":              "error: the capture is no good example (inconclusive): nothing to verify",
	} {
		out := filepath.Join(t.TempDir(), "p.yaml")
		_, stderr := runs(t, exitCouldNotRun, "policy", "init", "--from", filepath.Join(pcapsDir, name+".pcap"), "-o", out)
		if !strings.Contains("\n"+stderr, "\n"+want) || exists(out) {
			t.Errorf("%s: %s", name, stderr)
		}
	}
}

// TestDefaultPolicyChangesNothing: without a policy file, the report is what it
// is with the built-in one, but for the words about the policy.
func TestDefaultPolicyChangesNothing(t *testing.T) {
	for _, name := range []string{"mutual_tls12", "plain", "midstream_mutual_tls13", "mixed", "exposed_plain"} {
		path := filepath.Join(pcapsDir, name+".pcap")
		var plain, named bytes.Buffer
		code := run([]string{"verify", "-o", "json", path}, strings.NewReader(""), &plain, new(bytes.Buffer))
		if got := run([]string{"verify", "--policy", "builtin:mutual", "-o", "json", path}, strings.NewReader(""), &named, new(bytes.Buffer)); got != code {
			t.Errorf("%s: code %d, want %d", name, got, code)
		}
		if strings.Contains(plain.String(), `"effect"`) || strings.Contains(plain.String(), `"policy"`) {
			t.Errorf("%s: the default policy is named", name)
		}
		var lines []string
		for line := range strings.Lines(named.String()) {
			if !strings.HasPrefix(strings.TrimSpace(line), `"effect":`) && !strings.HasPrefix(line, `  "policy":`) {
				lines = append(lines, line)
			}
		}
		tidy := func(s string) string { return strings.ReplaceAll(s, ",\n", "\n") }
		if got := tidy(strings.Join(lines, "")); got != tidy(plain.String()) {
			t.Errorf("%s: with --policy builtin:mutual\n%s\nwithout\n%s", name, got, plain.String())
		}
	}
}

// TestLearningIsDeterministic, and what is learnt is what is shown.
func TestLearningIsDeterministic(t *testing.T) {
	var s initSettings
	s.from, s.require = []string{filepath.Join(pcapsDir, "mutual_tls12.pcap")}, "mutual"
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	a := &app{stdin: strings.NewReader("")}
	first, err := a.learn(&s, now)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := a.learn(&s, now); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%v\n%s\nthen\n%s", err, first, again)
		}
	}
}

// TestFormatsWithAPolicy: what pipelines read stays what they publish as their
// formats with findings that are waived, and points at the policy.
func TestFormatsWithAPolicy(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "version: 1\nexceptions:\n  - rules: [DP101, DP103, DP205]\n    node: 10.30.0.0/16\n    reason: \"a ]]> <b> | `x`\\n\\e[31m \\u202e %0A::\"\n    owner: \"o,:\"\n    expires: 2999-01-01\n"
	if err := os.WriteFile("distproof.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	mixed := pcapPath(t, "mixed")
	args := []string{"verify", mixed}
	formats := []string{"json", "sarif", "gitlab", "junit", "github", "markdown", "table"}
	for _, format := range formats {
		args = append(args, "-o", format+"=out."+format)
	}
	runs(t, exitViolated, args...) // DP207 is protected
	out := make(map[string][]byte)
	for _, format := range formats {
		data, err := os.ReadFile("out." + format)
		if err != nil {
			t.Fatal(err)
		}
		out[format] = data
		if bytes.ContainsRune(data, 0x1b) || bytes.ContainsRune(data, 0x202e) {
			t.Errorf("%s has control characters", format)
		}
	}
	root := filepath.Dir(filepath.Dir(mixed))
	if err := formatcheck.JSON(out["json"], filepath.Join(root, "report/schema/distproof.report.v1.schema.json")); err != nil {
		t.Error(err)
	}
	if err := formatcheck.GitLab(out["gitlab"]); err != nil {
		t.Error(err)
	}
	for format, want := range map[string]string{
		"sarif": `"uri": "distproof.yaml"`, "gitlab": `"path": "distproof.yaml"`, "github": "file=distproof.yaml,line=3", "table": "(waived)", "markdown": "waived", "junit": "<skipped",
	} {
		if !bytes.Contains(out[format], []byte(want)) {
			t.Errorf("%s: no %q in\n%s", format, want, out[format])
		}
	}
	var log struct {
		Runs []struct {
			Results []struct {
				RuleID       string
				Suppressions []struct{ Justification string }
			}
		}
	}
	if err := json.Unmarshal(out["sarif"], &log); err != nil {
		t.Fatal(err)
	}
	for _, r := range log.Runs[0].Results {
		waived := slices.Contains([]string{"DP101", "DP103", "DP205"}, r.RuleID)
		if waived != (len(r.Suppressions) == 1) || waived && !strings.HasPrefix(r.Suppressions[0].Justification, "waived until 2999-01-01 by o,:: a ]]> <b> | `x`") {
			t.Errorf("%s: %+v", r.RuleID, r.Suppressions)
		}
	}
}

// pcapPath is a bundled capture, from wherever the test is.
func pcapPath(t *testing.T, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), pcapsDir, name+".pcap")
	if !exists(path) {
		t.Fatalf("no %s", path)
	}
	return path
}
