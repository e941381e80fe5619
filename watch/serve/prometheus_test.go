//go:build lab

package serve

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distproof/capture"
	"distproof/watch"
)

// promtool runs promtool and fails if it finds something wrong.
func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "promtool", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestPromtool has promtool check what is in deploy/, and what is served.
func TestPromtool(t *testing.T) {
	promtool(t, nil, "check", "rules", rulesFile)
	promtool(t, nil, "check", "config", "../../deploy/prometheus.yml")
	promtool(t, nil, "test", "rules", "../../deploy/prometheus-rules_test.yml")
	queries := writeFile(t, filepath.Join(t.TempDir(), "dashboard.yml"), rulesOf(readDashboard(t)), 0o644)
	promtool(t, nil, "check", "rules", queries)
	_, metrics := get(t, "GET", newServer(t, Options{}).URL()+"metrics", nil)
	promtool(t, metrics, "check", "metrics")
}

// freePort returns a port that nobody listens on just now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startPrometheus returns the address of one with that configuration. It ends with
// the test.
func startPrometheus(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644)
	address := freePort(t)
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	start(t, cmd)
	return "http://" + address
}

// start starts a program that ends with the test. What it says is told if the test
// fails.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), &log)
		}
	})
}

// eventually asks Prometheus until what it answers is as it should be.
func eventually(t *testing.T, what, url string, done func(body []byte) bool) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		answer, err := http.Get(url)
		if err != nil { // it does not listen yet
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if last = string(body); err == nil && answer.StatusCode == 200 && done(body) {
			return
		}
	}
	t.Fatalf("%s: the last answer was %s", what, last)
}

// samples returns the values of an instant query's answer by the label instance.
func samples(body []byte) map[string]string {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	values := make(map[string]string)
	if json.Unmarshal(body, &answer) == nil {
		for _, r := range answer.Data.Result {
			values[r.Metric["instance"]] = fmt.Sprint(r.Value[1])
		}
	}
	return values
}

// TestPrometheus has a real Prometheus scrape two servers, one of this host alone
// and one as other hosts would reach it, and evaluate the alerts.
func TestPrometheus(t *testing.T) {
	state := newState()
	state.Activity[1].Open = true
	plain := newServer(t, Options{State: func() *watch.State { return state }})

	ca := newIdentity(t, "ca", nil)
	server, client := newIdentity(t, "server", ca), newIdentity(t, "client", ca)
	token := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600)
	secure := newServer(t, Options{CertFile: server.certFile, KeyFile: server.keyFile, ClientCAFile: ca.certFile, TokenFile: token})
	checkRefused(t, secure.URL(), ca)

	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	host := func(s *Server) string {
		u, err := url.Parse(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		return u.Host
	}
	if _, err := os.Stat(rules); err != nil {
		t.Fatal(err)
	}
	prometheus := startPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: distproof
    static_configs: [{targets: [%q]}]
  - job_name: distproof-nodes
    scheme: https
    tls_config: {ca_file: %s, cert_file: %s, key_file: %s}
    authorization: {credentials_file: %s}
    static_configs: [{targets: [%q]}]
`, rules, host(plain), ca.certFile, client.certFile, client.keyFile, token, host(secure)))

	query := func(expr string) string { return prometheus + "/api/v1/query?query=" + url.QueryEscape(expr) }
	both := func(value string) func([]byte) bool {
		return func(body []byte) bool {
			got := samples(body)
			return len(got) == 2 && got[host(plain)] == value && got[host(secure)] == value
		}
	}
	eventually(t, "targets", query("up"), both("1"))
	eventually(t, "verdicts", query(`distproof_connections{verdict="mutual", state="up", open="true"}`), both("1"))
	eventually(t, "a rejected sample", query(`scrape_samples_scraped - scrape_samples_post_metric_relabeling`), both("0"))
	eventually(t, "alert", query(`ALERTS{alertname="DistproofCleartext", alertstate="firing", rule="DP101"}`), func(body []byte) bool {
		got := samples(body)
		return len(got) == 1 && got[host(plain)] == "1" // where the connection is open, and the packets long ago
	})
	checkDashboard(t, prometheus)
	eventually(t, "rules", prometheus+"/api/v1/rules", func(body []byte) bool {
		return strings.Count(string(body), `"health":"ok"`) >= 13 && !strings.Contains(string(body), `"health":"err"`)
	})
}

// checkDashboard checks that everything on the dashboard has data.
func checkDashboard(t *testing.T, prometheus string) {
	t.Helper()
	for where, expr := range readDashboard(t).queries() {
		expr = strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "5s").Replace(expr)
		eventually(t, "dashboard: "+where, prometheus+"/api/v1/query?query="+url.QueryEscape(expr), func(body []byte) bool { return len(samples(body)) > 0 })
	}
}

// TestPrometheusOfAWatch has a real Prometheus scrape a real watch.
func TestPrometheusOfAWatch(t *testing.T) {
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	address := freePort(t)
	startWatch(t, "mixed.pcap", "--listen", address, "--sandbox", "off", "--save", filepath.Join(t.TempDir(), "saved"))
	prometheus := startPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: distproof
    static_configs: [{targets: [%q]}]
`, rules, address))
	query := func(expr string) string { return prometheus + "/api/v1/query?query=" + url.QueryEscape(expr) }
	for expr, want := range map[string]string{
		`sum by (instance) (distproof_connections{verdict="cleartext"})`:            "2",
		`distproof_conclusion{conclusion="fail"}`:                                   "1",
		`ALERTS{alertname="DistproofCleartext", alertstate="firing", rule="DP101"}`: "1",
		`ALERTS{alertname="DistproofNotMutual", alertstate="firing"}`:               "1",
	} {
		eventually(t, expr, query(expr), func(body []byte) bool { return samples(body)[address] == want })
	}
	checkDashboard(t, prometheus)
}

// startWatch starts distproof watch on a capture, as if its packets came now from
// something that goes on.
func startWatch(t *testing.T, name string, args ...string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "distproof")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/distproof").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	src, err := capture.Open([]string{filepath.Join("../../pcaps", name)}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	cmd := exec.Command(program, append([]string{"watch", "-o", "ndjson", "-"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	w, first := capture.NewWriter(in, "test", ""), int64(0)
	for began := time.Now(); ; {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			return // and it waits for more
		} else if err != nil {
			t.Fatal(err)
		}
		first = cmp.Or(first, p.Time)
		p.Time += began.UnixNano() - first
		if !w.HasInterface(&p) {
			err = w.WriteInterface(&p, "eth0", 0)
		}
		if err := errors.Join(err, w.WritePacket(&p)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkRefused checks that nobody gets in without both token and certificate.
func checkRefused(t *testing.T, url string, ca *identity) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.pair.Leaf)
	if status, err := ask(t, url, &tls.Config{RootCAs: roots}, "Bearer 0123456789abcdef0123456789abcdef"); err == nil {
		t.Errorf("served without a certificate: %d", status)
	}
}
