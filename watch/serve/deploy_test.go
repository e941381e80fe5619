package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"distproof/report"
	"distproof/verify"
	"distproof/watch"
)

const (
	dashboardFile = "../../deploy/grafana-dashboard.json"
	rulesFile     = "../../deploy/prometheus-rules.yml"
)

// A gridPos is where a panel is, on a grid of 24 columns.
type gridPos struct{ X, Y, W, H int }

type dashboard struct {
	UID        string
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []panel
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos gridPos
	Targets []struct{ Expr, LegendFormat, RefID string }
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	d := new(dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries returns all that the dashboard asks Prometheus, by where that is.
func (d *dashboard) queries() map[string]string {
	all := make(map[string]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, a := range d.Annotations.List {
		all["annotation"] = a.Expr
	}
	return all
}

// exported is what a watch exports that has all there is: series, as their
// labels, by metric.
func exported(t *testing.T) map[string][]map[string]string {
	t.Helper()
	s := newState()
	for _, rule := range verify.Rules() {
		for _, effect := range []verify.Effect{verify.Violates, verify.Undecides, verify.Waived, verify.Noted} {
			for _, connection := range []string{"c1", "c2"} {
				s.Document.Findings = append(s.Document.Findings, report.Finding{Rule: string(rule), Severity: "high", Effect: string(effect), Connections: []string{connection}})
			}
		}
	}
	s.Document.Connections[0].Findings = []string{"DP109"}
	_, text := get(t, "GET", newServer(t, Options{State: func() *watch.State { return s }}).URL()+"metrics", nil)
	all := make(map[string][]map[string]string)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := regexp.MustCompile(`^(\w+)(?:\{(.*)\})? \S+\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%q is no sample", line)
		}
		labels := map[string]string{"job": "distproof", "instance": "127.0.0.1:9464"}
		for _, pair := range regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(m[2], -1) {
			labels[pair[1]] = pair[2]
		}
		all[m[1]] = append(all[m[1]], labels)
	}
	return all
}

var (
	metricName = regexp.MustCompile(`\b(?:distproof|process|go)_\w+\b`)
	selector   = regexp.MustCompile(`\b(\w+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping   = regexp.MustCompile(`\bby \(([^)]*)\)`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// wrong says what an expression asks for that is not exported.
func wrong(expr string, all map[string][]map[string]string) []string {
	var problems []string
	expr = strings.NewReplacer("$job", ".*", "$instance", ".*").Replace(expr)
	for _, name := range metricName.FindAllString(quoted.ReplaceAllString(expr, ""), -1) {
		if all[name] == nil {
			problems = append(problems, name+" is not exported")
		}
	}
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		if metricName.MatchString(m[1]) && !slices.ContainsFunc(all[m[1]], func(labels map[string]string) bool { return selects(m[2], labels) }) {
			problems = append(problems, m[0]+" selects nothing")
		}
	}
	known := make(map[string]bool)
	for _, series := range all {
		for _, labels := range series {
			for name := range labels {
				known[name] = true
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			if !known[strings.TrimSpace(name)] {
				problems = append(problems, "there is no label "+name)
			}
		}
	}
	return problems
}

// selects reports whether the matchers of a selector select a series.
func selects(matchers string, labels map[string]string) bool {
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		value, ok := labels[m[1]]
		if !ok {
			return false
		}
		equal := value == m[3]
		if strings.HasSuffix(m[2], "~") {
			equal = regexp.MustCompile("^(?:" + m[3] + ")$").MatchString(value)
		}
		if equal == strings.HasPrefix(m[2], "!") {
			return false
		}
	}
	return true
}

func TestWrong(t *testing.T) {
	all := exported(t)
	for expr, want := range map[string]int{
		`sum(distproof_connections{job=~"$job", verdict="mutual"})`:                    0,
		`sum(distproof_connections{verdict="mutal"})`:                                  1,
		`sum(distproof_connections{verdikt="mutual"})`:                                 1,
		`sum by (verdikt) (distproof_connections{verdict=~"mutual|one-way"})`:          1,
		`distproof_conections > 0`:                                                     1,
		`distproof_findings{rule!~".*"} or process_resident_memory or distproof_blind`: 2,
	} {
		if got := wrong(expr, all); len(got) != want {
			t.Errorf("%s: %q", expr, got)
		}
	}
}

// TestDashboard checks that all that is shown is exported, and in its place.
func TestDashboard(t *testing.T) {
	d, all := readDashboard(t), exported(t)
	for where, expr := range d.queries() {
		for _, problem := range wrong(expr, all) {
			t.Errorf("%s: %s", where, problem)
		}
	}
	ids := make(map[int]string)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] != "" {
			t.Errorf("%s has the id of %s", p.Title, ids[p.ID])
		}
		ids[p.ID] = p.Title
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("%s shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s is over %s at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			by := strings.Join(slices.Concat(grouping.FindAllString(target.Expr, -1), []string{"instance"}), " ")
			for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !strings.Contains(by, m[1]) {
					t.Errorf("%s: the legend has %s, by which nothing is grouped", p.Title, m[1])
				}
			}
		}
	}
	for _, v := range d.Templating.List {
		for _, problem := range wrong(fmt.Sprint(v.Query), all) {
			t.Errorf("$%s: %s", v.Name, problem)
		}
	}
}

type ruleGroups struct {
	Groups []struct {
		Name  string
		Rules []struct{ Alert, Expr string }
	}
}

// TestRules checks that all that alerts are about is exported. Whether they fire
// is tested by promtool, see TestPromtool.
func TestRules(t *testing.T) {
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules ruleGroups
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	all := exported(t)
	alerts := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			alerts++
			for _, problem := range wrong(rule.Expr, all) {
				t.Errorf("%s: %s", rule.Alert, problem)
			}
		}
	}
	if alerts == 0 {
		t.Error("there are no alerts")
	}
}

// TestDocumented checks that every metric is in the manual.
func TestDocumented(t *testing.T) {
	manual, err := os.ReadFile("../../docs/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, name := range metricName.FindAllString(string(manual), -1) {
		documented[name] = true
	}
	all := exported(t)
	for name := range all {
		if strings.HasPrefix(name, "distproof_") && !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
	for name := range documented {
		if strings.HasPrefix(name, "distproof_") && all[name] == nil {
			t.Errorf("%s is documented, and there is no such metric", name)
		}
	}
}

// rulesOf returns the dashboard's queries as recording rules, which promtool can
// check.
func rulesOf(d *dashboard) []byte {
	queries := d.queries()
	var out strings.Builder
	out.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, where := range slices.Sorted(maps.Keys(queries)) {
		expr := strings.ReplaceAll(queries[where], "$__rate_interval", "1m")
		fmt.Fprintf(&out, "      - record: query:%d\n        expr: %s\n", i, strconv.Quote(expr))
	}
	return []byte(out.String())
}
