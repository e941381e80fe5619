package term

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAgainstErlang has Erlang make random terms, and read back what is printed
// of them.
func TestAgainstErlang(t *testing.T) {
	if _, err := exec.LookPath("escript"); err != nil || testing.Short() {
		t.Skip("needs escript, and a few seconds")
	}
	dir := t.TempDir()
	made, printed := filepath.Join(dir, "terms"), filepath.Join(dir, "texts")
	escript(t, "make", made)
	b, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	var texts []byte
	for i := 0; len(b) > 4; i++ {
		n := binary.BigEndian.Uint32(b)
		x := b[4 : 4+n]
		b = b[4+n:]
		c := NewCursor(x, nil)
		if c.Byte() != Version || !c.Skip(1) || c.Len() != 0 {
			t.Errorf("term %d: %v, %d bytes left of % x", i, c.State(), c.Len(), x[:min(len(x), 40)])
		}
		text, whole := Print(x[1:], nil, 1<<20, false)
		// Erlang's syntax has no words for pids and the like.
		if !whole || strings.Contains(text, "<nonode@nohost") || strings.Contains(text, "#Ref") || strings.Contains(text, "#Port") || strings.Contains(text, "fun ") {
			text = ""
		}
		texts = append(texts, cat(u32(len(text)), text)...)
	}
	if err := os.WriteFile(printed, texts, 0o600); err != nil {
		t.Fatal(err)
	}
	out := escript(t, "check", made, printed)
	if !strings.HasSuffix(out, " terms\n") || len(out) < len("1000 terms\n") {
		t.Errorf("Erlang says: %s", out)
	}
}

func escript(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("escript", append([]string{"testdata/terms.escript"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
