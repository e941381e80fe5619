package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
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
	if err := writeDocument(&got, doc); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%s: not the same in pieces:\n%s", name, got.Bytes())
	}
}
