package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"distproof/report"
	"distproof/watch"
)

// capturedState is what a watch would make of a recorded capture at its end.
func capturedState(t *testing.T, name string) *watch.State {
	t.Helper()
	doc := documentOfPaths(t, filepath.Join(pcapsDir, name))
	return &watch.State{Number: 1, Document: doc, Activity: make([]watch.Activity, len(doc.Connections))}
}

func parseServe(t *testing.T, args ...string) *serveSettings {
	t.Helper()
	s := new(serveSettings)
	f := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	serveFlags(f, s)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServe(t *testing.T) {
	state := capturedState(t, "mixed.pcap")
	s := parseServe(t, "--listen", "127.0.0.1:0")
	stop, url, err := s.start(slog.New(slog.DiscardHandler), func() *watch.State { return state }, toolVersion())
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		answer, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("/%s: %s, %v", path, answer.Status, err)
		}
		return string(body)
	}
	var want bytes.Buffer
	if err := report.Render(&want, state.Document, "json", report.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := get("api/v1/report"); got != want.String() {
		t.Errorf("the report is not that of -o json, but %s", got)
	}
	metrics := get("metrics")
	for _, want := range []string{
		`distproof_connections{open="false",state="up",verdict="cleartext"} `,
		`distproof_connections{open="false",state="up",verdict="mutual"} `,
		`distproof_findings{effect="violates",open="false",rule="DP101",severity="critical"} `,
		`distproof_certificate_expiry_timestamp_seconds{accepted="true",`,
		"go_goroutines ",
	} {
		if !strings.Contains(metrics, "\n"+want) || strings.Contains(metrics, "\n"+want+"0\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Error("it is served after the end")
	}
}

func TestServeNothing(t *testing.T) {
	stop, url, err := parseServe(t).start(nil, nil, "")
	if err != nil || url != "" {
		t.Fatalf("%q, %v", url, err)
	}
	stop()
}

func TestServeRefused(t *testing.T) {
	s := parseServe(t, "--listen", ":https", "--listen", "0.0.0.0:9464")
	_, _, err := s.start(slog.New(slog.DiscardHandler), nil, "")
	if err == nil {
		t.Fatal("it is served to everybody")
	}
	var stderr strings.Builder
	printError(&stderr, err)
	const want = `hint: --tls-cert FILE --tls-key FILE --token-file FILE
hint: --tls-cert FILE --tls-key FILE --client-ca FILE
hint: --listen :9464 serves this host alone
error: --listen 0.0.0.0:9464 can be reached from other hosts, and the report names nodes: it needs TLS, and a token or client certificates
`
	if stderr.String() != want {
		t.Errorf("%s", stderr.String())
	}
}
