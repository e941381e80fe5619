package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distproof/decode/secrets"
)

// keyLogLine is the secret of the handshake whose ClientHello has 32 bytes n.
func keyLogLine(n byte) string {
	return fmt.Sprintf("CLIENT_RANDOM %s %s\n", strings.Repeat(fmt.Sprintf("%02x", n), 32), strings.Repeat("ab", 48))
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func (k *keyring) has(n byte) bool {
	return k.log.Lookup([32]byte(bytes.Repeat([]byte{n}, 32))) != nil
}

// A key log is read again while the capture is, and to its very end at the end;
// one that is replaced by a shorter one, from its beginning.
func TestKeyLogGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.log")
	appendTo(t, path, keyLogLine(1))
	k, err := newKeyring([]string{path}, secrets.Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	half := keyLogLine(3)
	appendTo(t, path, keyLogLine(2)+half[:40])
	k.read = time.Now().Add(-2 * reread)
	if k.current(); !k.has(1) || !k.has(2) || k.has(3) {
		t.Errorf("has 1: %t, 2: %t, 3: %t", k.has(1), k.has(2), k.has(3))
	}
	appendTo(t, path, strings.TrimSuffix(half[40:], "\n"))
	if err := k.finish(); err != nil || !k.has(3) {
		t.Errorf("the last line is not read: %v", err)
	}
	if s := k.files[0].stats; s.Bad > 0 || s.Secrets != 3 || s.Lines != 3 {
		t.Errorf("%+v", s)
	}
	if err := os.WriteFile(path, []byte(keyLogLine(4)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.finish(); err != nil || !k.has(4) {
		t.Errorf("the new file is not read: %v", err)
	}
}

// Beside standard input a key log may be empty at first; that it stayed so is
// told. Beside files it is refused.
func TestKeyLogEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.log")
	appendTo(t, path, "# nothing yet\n")
	if _, err := newKeyring([]string{path}, secrets.Options{}, false); err == nil {
		t.Error("taken")
	}
	k, err := newKeyring([]string{path}, secrets.Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	if err := k.finish(); err != nil {
		t.Fatal(err)
	}
	if k.tell(&told); !strings.Contains(told.String(), "no secret found") {
		t.Errorf("told %q", told.String())
	}
}

// A pipe is read once: at its end nothing more comes, and opening it again would
// wait for somebody to write.
func TestKeyLogPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(strings.TrimSuffix(keyLogLine(1), "\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	k, err := newKeyring([]string{fmt.Sprintf("/dev/fd/%d", r.Fd())}, secrets.Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.finish(); err != nil || !k.has(1) {
		t.Errorf("%v, secret found: %t", err, k.has(1))
	}
}
