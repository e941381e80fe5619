package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// TestStream: writing the document piece by piece shows nowhere.
func TestStream(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no reports: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		doc, _, err := Read(bytes.NewReader(data))
		if err != nil {
			continue // not a report
		}
		same(t, path, doc)
	}
	same(t, "empty", &Document{})
	large := &Document{}
	for i := range 3*chunk + 1 {
		large.Connections = append(large.Connections, Connection{ID: fmt.Sprint("c", i)})
	}
	same(t, "large", large)
}

func same(t *testing.T, name string, doc *Document) {
	t.Helper()
	var want, got bytes.Buffer
	if err := WriteJSON(&want, doc); err != nil {
		t.Fatal(err)
	}
	if err := writeDocument(&got, doc, doc.lists()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%s: not the same in pieces:\n%s", name, got.Bytes())
	}
}

// TestStreamShared: what is in several places is written in each, as deep as it
// is there, and strange strings as WriteJSON has them.
func TestStreamShared(t *testing.T) {
	verdict, version := "mutual", "1.3"
	yes := true
	for _, text := range []string{"plain", `"`, `\`, "##[error]", "#", "\x1b[31m", "ä", "\u202e", "\xff", "<&>", "\u2028", "😀"} {
		chain := []Certificate{{Subject: text, DNSNames: []string{text, ""}, KeyUsage: []string{}}}
		shared := &TLS{Version: &version, SNI: text, Alerts: []Alert{}, Records: Records{Client: []int{1, 2}}}
		client := &ClientCertificate{Status: text, Requested: &yes, Chain: chain}
		doc := &Document{Reason: text, Inputs: []Input{{Path: text, Undecoded: map[string]uint64{text: 1, "b": 2}}}}
		for range 3 {
			doc.Connections = append(doc.Connections, Connection{
				ID: text, Verdict: &verdict, TLS: shared, ClientCertificate: client, ServerCertificate: &ServerCertificate{Chain: chain},
				Cleartext: &Cleartext{Messages: map[string]uint64{text: 3}, Calls: []Call{{Function: text}}}, Findings: []string{text},
			})
		}
		same(t, text, doc)
	}
}

// goneWriter is for a reader who goes away.
type goneWriter struct{ left int }

var errGone = errors.New("gone")

func (w *goneWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errGone
	}
	return len(p), nil
}

// TestStreamGone: when nobody reads any more, nothing goes on in the background.
func TestStreamGone(t *testing.T) {
	large := &Document{Connections: make([]Connection, 100*chunk)}
	for _, left := range []int{0, 1, 20, 50} {
		synctest.Test(t, func(t *testing.T) { // which waits for all goroutines
			if err := writeDocument(&goneWriter{left}, large, large.lists()); !errors.Is(err, errGone) {
				t.Error(err)
			}
		})
	}
}
