package serve

import (
	"fmt"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"distproof/capture/live"
	"distproof/report"
	"distproof/watch"
	"distproof/watch/keep"
)

func options(s *watch.State) *Options {
	return &Options{State: func() *watch.State { return s }, Version: "v1.2.3", Saved: saved}
}

// saved is what a watch saved that could not write all.
func saved() keep.Counters {
	return keep.Counters{Packets: 1000, Lost: 20, Forgotten: 3, Missed: 1, Errors: 2, Failing: true, Files: 4, Bytes: 5 << 20}
}

// TestNothingSaved: without --save there are no metrics of it.
func TestNothingSaved(t *testing.T) {
	o := options(newState())
	o.Saved = nil
	if text := scrape(t, newCollector(o)); strings.Contains(text, "save") {
		t.Error(text)
	}
}

// scrape returns what Prometheus gets of the State, without the runtime's.
func scrape(t testing.TB, c *collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// series returns the lines of a metric.
func series(text, name string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// TestMetrics compares with testdata/metrics.txt; UPDATE_METRICS=1 writes it.
func TestMetrics(t *testing.T) {
	const golden = "testdata/metrics.txt"
	got := strings.ReplaceAll(scrape(t, newCollector(options(newState()))), runtime.Version(), "go")
	if os.Getenv("UPDATE_METRICS") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNamesOfMetrics asks what promtool check metrics does.
func TestNamesOfMetrics(t *testing.T) {
	problems, err := testutil.CollectAndLint(newCollector(options(newState())))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestFirstState: nothing was captured so far.
func TestFirstState(t *testing.T) {
	text := scrape(t, newCollector(options(&watch.State{Started: began, Document: &report.Document{}})))
	for name, want := range map[string]int{
		"distproof_last_packet_timestamp_seconds": 0, "distproof_report_timestamp_seconds": 0, "distproof_verdict_last_packet_timestamp_seconds": 0,
		"distproof_connections": 50, "distproof_captured_packets_total": 1,
	} {
		if got := series(text, name); len(got) != want {
			t.Errorf("%d of %s, want %d: %q", len(got), name, want, got)
		}
	}
}

// withCertificates returns a State with a connection for each certificate.
func withCertificates(certificates ...report.ClientCertificate) *watch.State {
	s := newState()
	mutual := "mutual"
	s.Document.Connections, s.Activity = nil, nil
	for i := range certificates {
		s.Document.Connections = append(s.Document.Connections, report.Connection{Verdict: &mutual, State: "up", Client: report.Endpoint{Node: "n@host"}, ClientCertificate: &certificates[i]})
		s.Activity = append(s.Activity, watch.Activity{Open: true, Last: s.LastPacket})
	}
	return s
}

func presented(subject, expires string, accepted bool) report.ClientCertificate {
	return report.ClientCertificate{Accepted: &accepted, Chain: []report.Certificate{{Subject: subject, NotAfter: expires}}}
}

func TestCertificates(t *testing.T) {
	line := func(subject, accepted string, expires string) string {
		at, err := time.Parse(time.RFC3339, expires)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`distproof_certificate_expiry_timestamp_seconds{accepted="%s",node="n@host",role="client",subject="%s"} %v`, accepted, subject, seconds(at))
	}
	t.Run("renewed", func(t *testing.T) {
		s := withCertificates(presented("CN=a", "2026-04-01T00:00:00Z", true), presented("CN=b", "2026-01-01T00:00:00Z", true), presented("CN=a", "2027-04-01T00:00:00Z", true))
		got := series(scrape(t, newCollector(options(s))), "distproof_certificate_expiry_timestamp_seconds")
		want := []string{line("CN=a", "true", "2027-04-01T00:00:00Z"), line("CN=b", "true", "2026-01-01T00:00:00Z")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("gone", func(t *testing.T) {
		s := withCertificates(presented("CN=open", "2026-04-01T00:00:00Z", true), presented("CN=gone", "2026-01-01T00:00:00Z", true), presented("CN=lately", "2027-04-01T00:00:00Z", false))
		s.LastPacket = time.Now() // the host's clock is not the capture's
		s.Activity = append(s.Activity, watch.Activity{Last: began})
		s.Activity[0].Last = began.Add(-1000 * time.Hour)
		s.Activity[1] = watch.Activity{Last: began.Add(-lately - time.Second)}
		s.Activity[2] = watch.Activity{Last: began.Add(-lately + time.Second)}
		got := series(scrape(t, newCollector(options(s))), "distproof_certificate_expiry_timestamp_seconds")
		want := []string{line("CN=lately", "false", "2027-04-01T00:00:00Z"), line("CN=open", "true", "2026-04-01T00:00:00Z")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("crowded", func(t *testing.T) {
		certificates := []report.ClientCertificate{presented("CN=ours", "2030-01-01T00:00:00Z", true)}
		for i := range 10000 {
			certificates = append(certificates, presented(fmt.Sprintf("CN=theirs %d", i), "2020-01-01T00:00:00Z", false))
		}
		text := scrape(t, newCollector(options(withCertificates(certificates...))))
		got := series(text, "distproof_certificate_expiry_timestamp_seconds")
		if len(got) != maxCertificates {
			t.Errorf("%d certificates", len(got))
		}
		if !strings.Contains(strings.Join(got, "\n"), "ours") {
			t.Error("those that were not accepted displaced one that was")
		}
		if got := series(text, "distproof_certificates"); len(got) != 1 || got[0] != "distproof_certificates 10001" {
			t.Errorf("%q", got)
		}
	})
}

// TestHostileNames checks that nothing on the wire can break a scrape, be it by
// characters, by length, by number, or by becoming the same when escaped.
func TestHostileNames(t *testing.T) {
	var certificates []report.ClientCertificate
	for _, name := range []string{
		"a\"} 1\nfake_metric 1\n", `back\slash`, "\xff\xfe", "nul\x00", "\u202eevil", strings.Repeat("ü", 10000), strings.Repeat("\x01", 1000),
		"same\x1b", `same\x1b`, strings.Repeat("x", 200) + "1", strings.Repeat("x", 200) + "2", "",
	} {
		certificates = append(certificates, presented(name, "2026-04-01T00:00:00Z", true))
	}
	s := withCertificates(certificates...)
	s.Interfaces = nil
	for i := range 1000 {
		s.Interfaces = append(s.Interfaces, live.InterfaceState{Name: fmt.Sprintf("veth%d\n\xff", i), Up: i%4 == 0})
	}
	s.Interfaces = append(s.Interfaces, s.Interfaces[0])
	text := scrape(t, newCollector(options(s)))
	for line := range strings.Lines(text) {
		if !utf8.ValidString(line) || len(line) > 1000 || !strings.HasPrefix(line, "distproof_") && !strings.HasPrefix(line, "# ") {
			t.Errorf("%q", line)
		}
	}
	if got := series(text, "distproof_interface_up"); len(got) != maxInterfaces {
		t.Errorf("%d interfaces", len(got))
	}
	if got := strings.Join(series(text, "distproof_interfaces"), " "); got != `distproof_interfaces{up="0"} 750 distproof_interfaces{up="1"} 251` {
		t.Error(got)
	}
	if got := series(text, "distproof_certificate_expiry_timestamp_seconds"); len(got) != 10 {
		t.Errorf("%d certificates: %s", len(got), strings.Join(got, "\n"))
	}
}

func TestFindings(t *testing.T) {
	s := newState()
	s.Document.Connections[0].Findings = []string{"DP107"}
	s.Document.Connections[1].Findings = []string{"DP101", "DP107"}
	s.Document.Findings = []report.Finding{
		{Rule: "DP101", Severity: "critical", Connections: []string{"c2"}}, {Rule: "DP107", Severity: "high", Connections: []string{"c2", "c1"}},
		{Rule: "DP109", Severity: "medium", Connections: []string{"c2"}}, {Rule: "DP302", Severity: "medium"},
	}
	for conclusion, want := range map[string][2]string{"fail": {"violates", "undecided"}, "inconclusive": {"noted", "undecided"}, "pass": {"noted", "noted"}} {
		s.Document.Conclusion = conclusion
		got := series(scrape(t, newCollector(options(s))), "distproof_findings")
		if diff := cmp.Diff([]string{
			`distproof_findings{effect="` + want[0] + `",open="false",rule="DP101",severity="critical"} 1`,
			`distproof_findings{effect="` + want[0] + `",open="true",rule="DP107",severity="high"} 1`,
			`distproof_findings{effect="` + want[1] + `",open="false",rule="DP109",severity="medium"} 1`,
			`distproof_findings{effect="` + want[1] + `",open="true",rule="DP302",severity="medium"} 1`,
		}, slices.SortedFunc(slices.Values(got), byRule)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", conclusion, diff)
		}
	}
}

func byRule(a, b string) int {
	return strings.Compare(a[strings.Index(a, "rule"):], b[strings.Index(b, "rule"):])
}

// manyConnections returns a document of n connections.
func manyConnections(n int) *report.Document {
	doc := newState().Document
	some := doc.Connections
	doc.Connections = make([]report.Connection, n)
	for i := range doc.Connections {
		c := some[i%2]
		c.ID = fmt.Sprintf("c%d", i+1)
		c.Client.Node = fmt.Sprintf("node%d@host", i%500)
		doc.Connections[i] = c
	}
	return doc
}

func manyState(n int) *watch.State {
	s := newState()
	s.Document = manyConnections(n)
	s.Activity = make([]watch.Activity, n)
	for i := range s.Activity {
		s.Activity[i] = watch.Activity{Open: i%3 != 0, Last: s.LastPacket, Lost: 1}
	}
	return s
}

// TestManyConnections checks that 100,000 connections are counted right, once for
// each State.
func TestManyConnections(t *testing.T) {
	var current atomic.Pointer[watch.State]
	current.Store(manyState(100_000))
	c := newCollector(&Options{State: current.Load})
	text := scrape(t, c)
	for _, want := range []string{
		`distproof_connections{open="true",state="up",verdict="mutual"} 33333`,
		`distproof_connections{open="false",state="up",verdict="cleartext"} 16667`,
		"distproof_lost_bytes 100000",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%q is missing", want)
		}
	}
	counted := c.figures
	if scrape(t, c) != text || c.figures != counted {
		t.Error("the same State was counted again")
	}
	next := *current.Load()
	next.Number++
	current.Store(&next)
	scrape(t, c)
	if c.figures == counted {
		t.Error("the next State was not counted")
	}
}

// BenchmarkScrape measures a scrape of 100,000 connections, of a State that was
// not scraped before.
func BenchmarkScrape(b *testing.B) {
	s := manyState(100_000)
	c := newCollector(options(s))
	for b.Loop() {
		s.Number++
		scrape(b, c)
	}
}
