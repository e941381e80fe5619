package main

import (
	"bytes"
	"testing"
)

// Names of files may come from anybody, and stderr goes to terminals and to the logs
// of pipelines.
func TestErrorsAreEscaped(t *testing.T) {
	for name, want := range map[string]string{
		"a\x1b[31m.pcap":     `error: a\x1b[31m.pcap: no such file` + "\n",
		"a\nb.pcap":          `error: a\x0ab.pcap: no such file` + "\n",
		"gpj.\u202epacp":     `error: gpj.\u{202e}pacp: no such file` + "\n",
		"::add-mask::x.pcap": `error: \x3a:add-mask\x3a:x.pcap: no such file` + "\n",
		"fd00::1":            "error: fd00::1: no such file\n",
	} {
		var stdout, stderr bytes.Buffer
		a := &app{stdin: new(bytes.Buffer), stdout: &stdout, stderr: &stderr}
		if code := a.run([]string{"verify", name}); code != exitCouldNotRun || stderr.String() != want {
			t.Errorf("%q: code %d, stderr %q, want %q", name, code, stderr.String(), want)
		}
	}
}
