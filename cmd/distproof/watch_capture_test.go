package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func captureOf(t *testing.T, args ...string) (captureSettings, error) {
	t.Helper()
	var s captureSettings
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	captureFlags(f, &s)
	return s, f.Parse(args)
}

func TestCaptureFlags(t *testing.T) {
	s, err := captureOf(t, "-i", "eth0,eth1", "--only-host", "10.0.0.1,::ffff:10.0.0.2", "--only-net", "fd00::/8", "--only-port", "9100", "--only-port", "4369,80")
	if err != nil {
		t.Fatal(err)
	}
	only := s.only(ports{4370})
	if got := fmt.Sprint(only.Nets); got != "[10.0.0.1/32 10.0.0.2/32 fd00::/8]" {
		t.Error(got)
	}
	if !slices.Equal(only.Ports, []uint16{80, 4369, 4370, 9100}) { // with EPMD
		t.Error(only.Ports)
	}
	s, err = captureOf(t, "-i", "any")
	if only := s.only(ports{4370}); err != nil || !only.IsZero() || s.buffer.bytes() != 64<<20 {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestCaptureFlagErrors(t *testing.T) {
	for _, tt := range []struct {
		args, want string
	}{
		{"--only-host=10.0.0.0/8", `"10.0.0.0/8" is not an IP address`},
		{"--only-host=node.example", `"node.example" is not an IP address`},
		{"--only-host=fe80::1%eth0", "is not an IP address"},
		{"--only-net=10.0.0.1", `"10.0.0.1" is not a network`},
		{"--only-net=10.0.0.1/8", `"10.0.0.1/8" has bits set beyond its length: 10.0.0.0/8?`},
		{"--only-net=::ffff:10.0.0.0/104", "is not a network"},
		{"--only-port=0", `"0" is not a port`},
		{"--buffer=1", "is not a number from 2 to"},
	} {
		if _, err := captureOf(t, tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.args, err, tt.want)
		}
	}
}

// What is wrong with a filter is said with its line, before anything is opened.
func TestReadFilter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "filter")
	if err := os.WriteFile(path, []byte("2\n40 0 0 12\n40 0 0 12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := captureSettings{interfaces: []string{"no-such-interface"}, filter: path}
	if _, err := s.open(new(settings), false); err == nil || !strings.Contains(err.Error(), "line 3: the last instruction gives no answer") {
		t.Error(err)
	}
	s.filter += ".missing"
	if _, err := s.open(new(settings), false); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}
