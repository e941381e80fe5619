package serve

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distproof/capture/live"
	"distproof/report"
	"distproof/watch"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newState returns a State with one mutual and one cleartext connection.
func newState() *watch.State {
	mutual, cleartext := "mutual", "cleartext"
	yes := true
	doc := &report.Document{
		Schema: report.Schema, Conclusion: "fail", Policy: "mutual",
		Connections: []report.Connection{
			{
				ID: "c1", Protocol: "dist-tls", Verdict: &mutual, State: "up",
				Client:            report.Endpoint{Address: "10.0.0.1", Node: "a@one"},
				Server:            report.Endpoint{Address: "10.0.0.2"},
				ClientCertificate: &report.ClientCertificate{Accepted: &yes, Chain: []report.Certificate{{Subject: "CN=a", NotAfter: "2026-04-01T00:00:00Z"}}},
				ServerCertificate: &report.ServerCertificate{Accepted: &yes, Chain: []report.Certificate{{Subject: "CN=b", NotAfter: "2026-05-01T00:00:00Z"}, {Subject: "CN=ca", NotAfter: "2030-01-01T00:00:00Z"}}},
			},
			{ID: "c2", Protocol: "dist", Verdict: &cleartext, State: "up", Findings: []string{"DP101"}},
			{ID: "c3", Protocol: "epmd"},
		},
		Nodes:    []report.Node{{Name: "a@one"}, {Name: "b@two", Listener: "both"}},
		Edges:    []report.Edge{{From: "a@one", To: "b@two", Verdict: "cleartext"}},
		Findings: []report.Finding{{Rule: "DP101", Severity: "critical", Status: "open", Connections: []string{"c2"}}, {Rule: "DP205", Severity: "medium", Status: "waived", Effect: "waived"}},
	}
	return &watch.State{
		Started: began, At: began.Add(time.Minute), Number: 7, Document: doc,
		Activity: []watch.Activity{
			{Open: true, Last: began.Add(50 * time.Second), Ticks: true, Stalled: true},
			{Last: began.Add(40 * time.Second), Lost: 12},
			{Last: began.Add(30 * time.Second), Lost: 1},
		},
		Known: []live.Socket{
			{Local: netip.MustParseAddrPort("10.0.0.1:4369"), Remote: netip.MustParseAddrPort("10.0.0.1:5000")},
			{Local: netip.MustParseAddrPort("10.0.0.1:5000"), Remote: netip.MustParseAddrPort("10.0.0.1:4369")},
			{Local: netip.MustParseAddrPort("10.0.0.1:5001"), Remote: netip.MustParseAddrPort("10.0.0.2:4001")},
		},
		Listeners: []live.Socket{{Local: netip.MustParseAddrPort("0.0.0.0:5000"), Listening: true}},
		History: []watch.Folded{
			{Verdict: "refused", Connections: 5, Last: began.Add(20 * time.Second)},
			{Verdict: "refused", Connections: 2, Last: began.Add(10 * time.Second)},
			{Connections: 9, Last: began},
		},
		Counters: watch.Counters{
			Packets: 100, Bytes: 6400, Dropped: 3, LastPacket: began.Add(50 * time.Second),
			Interfaces:  []live.InterfaceState{{Name: "eth0", Up: true, Vanished: 2}, {Name: "veth1"}},
			Connections: 19, Folded: 16, Forgotten: 1,
		},
	}
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// newServer serves until the test ends. What o lacks is filled in.
func newServer(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.State == nil {
		s := newState()
		o.State = func() *watch.State { return s }
	}
	o.Log, o.Version, o.Saved = testLog(t), "v1.2.3", saved
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// get asks without following or undoing anything.
func get(t *testing.T, method, url string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	req.Host = header.Get("Host")
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, Timeout: time.Minute}
	answer, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, body
}

func TestPaths(t *testing.T) {
	s := newServer(t, Options{})
	for _, tt := range []struct {
		method, path string
		status       int
		has          string
	}{
		{"GET", "", 200, "/metrics"},
		{"GET", "healthz", 200, "ok\n"},
		{"GET", "metrics", 200, "distproof_build_info"},
		{"GET", "api/v1/report", 200, `"schema": "distproof.report/v1"`},
		{"HEAD", "", 200, ""},
		{"HEAD", "healthz", 200, ""},
		{"HEAD", "metrics", 200, ""},
		{"HEAD", "api/v1/report", 200, ""},
		{"GET", "api/v1/", 404, "not found"},
		{"GET", "etc/passwd", 404, "not found"},
		{"GET", "debug/pprof/", 404, "not found"},
		{"POST", "api/v1/report", 405, ""},
		{"DELETE", "metrics", 405, ""},
		{"PUT", "", 405, ""},
		{"TRACE", "healthz", 405, ""},
	} {
		t.Run(tt.method+" /"+tt.path, func(t *testing.T) {
			answer, body := get(t, tt.method, s.URL()+tt.path, nil)
			if answer.StatusCode != tt.status || !strings.Contains(string(body), tt.has) {
				t.Errorf("%s\n%s", answer.Status, body)
			}
			if tt.method == "HEAD" && len(body) > 0 {
				t.Errorf("HEAD has a body: %s", body)
			}
			for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
				if got := answer.Header.Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*watch.State)
		packets uint64
		want    string
	}{
		{"well", func(*watch.State) {}, 100, ""},
		{"idle for long", func(s *watch.State) { s.At = time.Now().Add(-time.Hour) }, 100, ""},
		{"a report is under way", func(s *watch.State) { s.At = time.Now() }, 101, ""},
		{"no report for long", func(s *watch.State) { s.At = time.Now().Add(-time.Hour) }, 101, "stuck: 1h0m0s without a new report, though packets come"},
		{"blind", func(s *watch.State) { s.Blind = "the kernel\nhas traffic" }, 100, `blind: the kernel\x0ahas traffic`},
		{"one interface is left", func(s *watch.State) { s.Interfaces = []live.InterfaceState{{Name: "a"}, {Name: "b", Up: true}} }, 100, ""},
		{"no interface is left", func(s *watch.State) { s.Interfaces = []live.InterfaceState{{Name: "a"}, {Name: "b"}} }, 100, "blind: no interface is up"},
		{"no interfaces at all", func(s *watch.State) { s.Interfaces = nil }, 100, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := newState()
			tt.change(state)
			s := newServer(t, Options{State: func() *watch.State { return state }, Packets: func() uint64 { return tt.packets }})
			answer, body := get(t, "GET", s.URL()+"healthz", nil)
			status, want := 503, tt.want
			if want == "" {
				status, want = 200, "ok"
			}
			if answer.StatusCode != status || string(body) != want+"\n" {
				t.Errorf("%s, %q; want %d, %q", answer.Status, body, status, want)
			}
			_, metrics := get(t, "GET", s.URL()+"metrics", nil)
			if line := fmt.Sprintf("\ndistproof_healthy %v\n", flag(tt.want == "")); !strings.Contains(string(metrics), line) {
				t.Errorf("the metrics lack %q", line)
			}
		})
	}
}

func TestReport(t *testing.T) {
	var current atomic.Pointer[watch.State]
	current.Store(newState())
	s := newServer(t, Options{State: current.Load})
	url := s.URL() + "api/v1/report"

	var want bytes.Buffer
	if err := report.Render(&want, current.Load().Document, "json", report.Options{}); err != nil {
		t.Fatal(err)
	}
	answer, body := get(t, "GET", url, nil)
	if diff := cmp.Diff(want.String(), string(body)); diff != "" || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v (-want +got):\n%s", answer.Header, diff)
	}
	tag := answer.Header.Get("ETag")

	answer, body = get(t, "GET", url, http.Header{"Accept-Encoding": {"gzip"}})
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %v", answer.Header, err)
	}
	if got, err := io.ReadAll(unzipped); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("compressed: %v\n%s", err, got)
	}

	for _, header := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
		answer, body = get(t, "GET", url, http.Header{"If-None-Match": {header}})
		if answer.StatusCode != 304 || len(body) > 0 {
			t.Errorf("If-None-Match: %s: %s, %d bytes", header, answer.Status, len(body))
		}
	}
	next := newState()
	next.Number++
	current.Store(next)
	answer, _ = get(t, "GET", url, http.Header{"If-None-Match": {tag}})
	if answer.StatusCode != 200 || answer.Header.Get("ETag") == tag {
		t.Errorf("after a change: %s, %s", answer.Status, answer.Header.Get("ETag"))
	}
	again := newState()
	again.Started = began.Add(time.Hour)
	current.Store(again)
	if answer, _ = get(t, "GET", url, http.Header{"If-None-Match": {tag}}); answer.StatusCode != 200 {
		t.Errorf("of another watch with the same number: %s", answer.Status)
	}
}

// slowWriter blocks its first Write until it is told to go on.
type slowWriter struct {
	http.ResponseWriter
	writing, go_ chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.writing <- struct{}{}
	<-w.go_
	return w.ResponseWriter.Write(p)
}

func TestReportReadersAtOnce(t *testing.T) {
	state := newState()
	h := &reportHandler{func() *watch.State { return state }, testLog(t), make(chan struct{}, maxReports)}
	ask := func(w http.ResponseWriter) {
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/report", nil))
	}
	writing, proceed := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	for range maxReports {
		go func() {
			ask(&slowWriter{httptest.NewRecorder(), writing, proceed})
			ended <- struct{}{}
		}()
		<-writing
	}
	refused := httptest.NewRecorder()
	ask(refused)
	if refused.Code != 503 || refused.Header().Get("Retry-After") == "" || refused.Header().Get("ETag") != "" {
		t.Errorf("one more: %d, %v", refused.Code, refused.Header())
	}
	close(proceed)
	for range maxReports {
		<-ended
	}
	served := httptest.NewRecorder()
	ask(served)
	if served.Code != 200 {
		t.Errorf("after they are done: %d", served.Code)
	}
}

type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

// TestCutReport checks that half a report cannot be taken for a whole one.
func TestCutReport(t *testing.T) {
	state := newState()
	h := &reportHandler{func() *watch.State { return state }, testLog(t), make(chan struct{}, maxReports)}
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{\n")
		h.ServeHTTP(brokenWriter{w}, r)
	}))
	defer cut.Close()
	cut.Config.ErrorLog = slog.NewLogLogger(testLog(t).Handler(), slog.LevelDebug)
	answer, err := cut.Client().Get(cut.URL)
	if err == nil {
		defer answer.Body.Close()
		_, err = io.ReadAll(answer.Body)
	}
	if err == nil {
		t.Error("the answer looks whole")
	}
	if len(h.running) > 0 {
		t.Error("it still counts as running")
	}
}

// TestNames checks that a page which has a browser ask under its own name is
// refused.
func TestNames(t *testing.T) {
	s := newServer(t, Options{})
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:9464": 200, "127.0.0.1": 200, "127.1.2.3:80": 200, "[::1]:9464": 200, "[::1]": 200,
		"evil.example": 421, "evil.example:9464": 421, "10.0.0.1": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
	} {
		if answer, _ := get(t, "GET", s.URL()+"healthz", http.Header{"Host": {host}}); answer.StatusCode != want {
			t.Errorf("Host: %s: %s, want %d", host, answer.Status, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		o    Options
		want string // of the error
		hint string
	}{
		{"this host", Options{Listen: ":0"}, "", ""},
		{"by name", Options{Listen: "localhost:0"}, "", ""},
		{"IPv6", Options{Listen: "[::1]:0"}, "", ""},
		{"another loopback address", Options{Listen: "127.8.9.10:0"}, "", ""},
		{"IPv4 in IPv6", Options{Listen: "[::ffff:127.0.0.1]:0"}, "", ""},
		{"nothing", Options{}, "", ""},
		{"all addresses", Options{Listen: "0.0.0.0:9464"}, "can be reached from other hosts", "--tls-cert FILE --tls-key FILE --token-file FILE"},
		{"all IPv6 addresses", Options{Listen: "[::]:9464"}, "can be reached from other hosts", "--client-ca FILE"},
		{"an address", Options{Listen: "192.0.2.1:9464", TokenFile: "t"}, "it needs TLS, and a token or client certificates", "--tls-cert"},
		{"TLS alone", Options{Listen: "192.0.2.1:9464", CertFile: "c", KeyFile: "k"}, "it needs TLS, and a token or client certificates", "--token-file"},
		{"all that is needed", Options{Listen: "192.0.2.1:9464", CertFile: "c", KeyFile: "k", TokenFile: "t"}, "", ""},
		{"client certificates", Options{Listen: "192.0.2.1:9464", CertFile: "c", KeyFile: "k", ClientCAFile: "t"}, "", ""},
		{"half of TLS", Options{Listen: ":0", CertFile: "c"}, "--tls-cert and --tls-key go together", ""},
		{"the other half", Options{Listen: ":0", KeyFile: "c"}, "--tls-cert and --tls-key go together", ""},
		{"client certificates without TLS", Options{Listen: ":0", ClientCAFile: "c"}, "--client-ca needs TLS", ""},
		{"nothing to serve", Options{TokenFile: "t"}, "are for what --listen serves", "--listen :9464"},
		{"no port", Options{Listen: "127.0.0.1"}, "is no HOST:PORT", "--listen :9464"},
		{"a port alone", Options{Listen: "9464"}, "is no HOST:PORT", "--listen :9464"},
		{"an empty port", Options{Listen: "localhost:"}, "is no HOST:PORT", "--listen :9464"},
		{"no such port", Options{Listen: ":99999"}, "is no HOST:PORT", "--listen :9464"},
		{"no such host", Options{Listen: "nowhere.invalid:9464"}, "nowhere.invalid", "an address of this host"},
		{"socket", Options{Listen: "unix:" + filepath.Join(dir, "s")}, "", ""},
		{"socket without a path", Options{Listen: "unix:"}, "has no path", "unix:/"},
		{"socket with TLS", Options{Listen: "unix:s", CertFile: "c", KeyFile: "k"}, "no TLS on a Unix socket", "folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.o.Check()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wrong, ok := errors.AsType[*OptionError](err)
			if !ok || !strings.Contains(wrong.Error(), tt.want) || !strings.Contains(wrong.Hint(), tt.hint) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

// TestAllIPv4 checks that 0.0.0.0 does not mean all addresses of IPv6.
func TestAllIPv4(t *testing.T) {
	at, err := parseAddress("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := at.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().String(); !strings.HasPrefix(got, "0.0.0.0:") {
		t.Errorf("it listens on %s", got)
	}
}

func TestAddressInUse(t *testing.T) {
	first := newServer(t, Options{})
	o := Options{Listen: strings.TrimSuffix(strings.TrimPrefix(first.URL(), "http://"), "/"), Log: testLog(t)}
	if s, err := New(o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v, %v", s, err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	// One that ended without closing it leaves it.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	s := newServer(t, Options{Listen: "unix:" + path})
	if s.URL() != "unix:"+path {
		t.Error(s.URL())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://any.name/healthz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
	_, err = New(Options{Listen: "unix:" + path, Log: testLog(t)})
	if taken, ok := errors.AsType[*OptionError](err); !ok || taken.Error() != "--listen unix:"+path+": address already in use" || !strings.HasPrefix(taken.Hint(), "another program listens there") {
		t.Error(err)
	}
	s.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestUnixSocketOfOthers: what is no socket that was left stays.
func TestUnixSocketOfOthers(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "file"), []byte("x"), 0o600)
	socket := filepath.Join(dir, "log")
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Skip("needs datagram sockets: ", err)
	}
	defer other.Close()
	for _, path := range []string{file, socket} {
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := New(Options{Listen: "unix:" + path, Log: testLog(t)}); err == nil {
			t.Errorf("%s is taken", path)
			s.Close()
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is not there any more: %v", path, err)
		}
	}
}

// TestClose checks that an answer that nobody reads does not keep it from ending.
func TestClose(t *testing.T) {
	state := newState()
	state.Document = manyConnections(20000)
	s := newServer(t, Options{State: func() *watch.State { return state }})
	conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(s.URL(), "http:"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /api/v1/report HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := net.Dial("tcp", conn.RemoteAddr().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestLargeHeader(t *testing.T) {
	s := newServer(t, Options{})
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("x", 2*maxHeader))
	answer, err := http.DefaultClient.Do(req)
	if err != nil { // it need not read to the end, and may close before its answer is read
		return
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(answer.Status)
	}
}
