//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestEveryScenarioIsRecorded keeps the folder and the table together: each
// scenario has its capture and its truth, and nothing else is there.
func TestEveryScenarioIsRecorded(t *testing.T) {
	truths, err := readTruth(filepath.Join("..", "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("..", "*.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(scenarios()) || len(truths) != len(scenarios()) {
		t.Errorf("%d captures and %d truths for %d scenarios", len(files), len(truths), len(scenarios()))
	}
	for _, s := range scenarios() {
		if _, err := os.Stat(filepath.Join("..", s.name+".pcap")); err != nil {
			t.Error(err)
		}
		truth, ok := truths[s.name]
		if !ok {
			t.Errorf("%s: no truth", s.name)
			continue
		}
		if s.play == nil && len(truth.Connections) != len(s.dials) {
			t.Errorf("%s: truth has %d connections, the scenario %d", s.name, len(truth.Connections), len(s.dials))
		}
		for i := range min(len(truth.Connections), len(s.dials)) {
			if got := truth.Connections[i]; got.Verdict == nil || *got.Verdict != s.dials[i].want.verdict {
				t.Errorf("%s: connection %d: recorded with another verdict than the table has now; record it again", s.name, i+1)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	all := []scenario{{name: "a"}, {name: "b"}, {name: "c"}}
	for _, tt := range []struct {
		args, want []string
		ok         bool
	}{
		{nil, []string{"a", "b", "c"}, true},
		{[]string{"c", "a"}, []string{"a", "c"}, true},
		{[]string{"a", "x"}, nil, false},
	} {
		got, err := choose(slices.Clone(all), tt.args)
		if (err == nil) != tt.ok {
			t.Errorf("choose(%q): error %v", tt.args, err)
		}
		var names []string
		for _, s := range got {
			names = append(names, s.name)
		}
		if !slices.Equal(names, tt.want) {
			t.Errorf("choose(%q) = %q, want %q", tt.args, names, tt.want)
		}
	}
}

func TestOptfileSide(t *testing.T) {
	p := &pki{dir: "/pki"}
	for _, tt := range []struct {
		name string
		side side
		role string
		want string
	}{
		{"nothing", side{}, "client", `{client,[{verify,verify_none},{versions,['tlsv1.3','tlsv1.2']}]}`},
		{"mutual server", side{cert: "n1", verify: true, require: true, version: "1.3"}, "server",
			`{server,[{certfile,"/pki/n1.crt"},{keyfile,"/pki/n1.key"},{verify,verify_peer},{cacertfile,"/pki/ca.crt"},{fail_if_no_peer_cert,true},{versions,['tlsv1.3']}]}`},
		{"verifying client", side{verify: true, version: "1.2"}, "client",
			`{client,[{verify,verify_peer},{cacertfile,"/pki/ca.crt"},{versions,['tlsv1.2']}]}`},
	} {
		if got := tt.side.erlang(tt.role, p); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
