// Package wireshark finds the programs of Wireshark for tests that compare with
// them.
package wireshark

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program of Wireshark's. `make test` only needs Go;
// where DISTPROOF_TSHARK says so, as in CI, the program must be there.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("DISTPROOF_TSHARK") == "required" {
		t.Fatal(err)
	}
	t.Skipf("%v; set DISTPROOF_TSHARK=required to have that fail", err)
	return ""
}
