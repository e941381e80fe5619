package evidence

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distproof/capture"
)

var errFull = errors.New("no space left")

// A failing writer has room for so many writes.
type failing struct {
	w    io.Writer
	room *int
}

func (f failing) Write(p []byte) (int, error) {
	if *f.room--; *f.room < 0 {
		n, _ := f.w.Write(p[:len(p)/2])
		return n, errFull
	}
	return f.w.Write(p)
}

// wantNames wants these very names in a folder.
func wantNames(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %q, want %q", folder, got, want)
	}
}

// Wherever writing fails, nothing is left behind: neither in a folder that was
// there before, nor one that was not.
func TestNothingLeftAfterFailure(t *testing.T) {
	data := readFile(t, pcapsDir+"/mutual_tls12.pcap")
	for room := range 4 {
		for _, made := range []bool{false, true} {
			x := newTrial(t, data)
			above := filepath.Dir(x.path)
			if made {
				if err := os.Mkdir(x.path, 0o755); err != nil {
					t.Fatal(err)
				}
				var err error
				if x.folder, err = OpenFolder(x.path); err != nil {
					t.Fatal(err)
				}
			}
			left := room
			x.folder.wrap = func(w io.Writer) io.Writer { return failing{w, &left} }
			_, err := x.write(t)
			if room == 3 { // a capture, its facts, the checksums
				if err != nil {
					t.Errorf("%v", err)
				}
				x.check(t)
				continue
			}
			if !errors.Is(err, errFull) {
				t.Errorf("error %v", err)
			}
			if err := x.folder.Discard(); err != nil {
				t.Error(err)
			}
			if made {
				wantNames(t, above, "evidence")
				wantNames(t, x.path)
			} else {
				wantNames(t, above)
			}
		}
	}
}

// An interrupt, and inputs that cannot be read again, leave nothing behind either.
func TestNothingLeftAfterInterrupt(t *testing.T) {
	x := newTrial(t, readFile(t, pcapsDir+"/mutual_tls12.pcap"))
	src, _ := x.o.Reopen()
	var err error
	if x.c, err = examine(src, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, x.folder, x.c, x.o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	x.folder.Discard()
	wantNames(t, filepath.Dir(x.path))

	x.o.Reopen = func() (capture.Source, error) { return nil, errFull }
	if _, err := Write(context.Background(), x.folder, x.c, x.o); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	x.folder.Discard()
	wantNames(t, filepath.Dir(x.path))
}

func TestOpenFolder(t *testing.T) {
	dir := t.TempDir()
	file, full := filepath.Join(dir, "file"), filepath.Join(dir, "full")
	if err := errors.Join(os.WriteFile(file, nil, 0o666), os.Mkdir(full, 0o777), os.WriteFile(full+"/.hidden", nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file: "is not a folder", full: "is not empty", dir + "/no/folder": "no such folder",
	} {
		_, err := OpenFolder(path)
		if _, ok := errors.AsType[*FolderError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	wantNames(t, dir, "file", "full")
}

// A folder that got other files while packets were read is not touched.
func TestFolderFilledMeanwhile(t *testing.T) {
	for _, made := range []bool{false, true} {
		x := newTrial(t, readFile(t, pcapsDir+"/mutual_tls12.pcap"))
		if made {
			if err := os.Mkdir(x.path, 0o755); err != nil {
				t.Fatal(err)
			}
			x.folder, _ = OpenFolder(x.path)
		} else {
			defer func() { wantNames(t, filepath.Dir(x.path), "evidence") }()
		}
		if err := errors.Join(os.MkdirAll(x.path, 0o755), os.WriteFile(x.path+"/other", nil, 0o666)); err != nil {
			t.Fatal(err)
		}
		if _, err := x.write(t); err == nil {
			t.Error("no error")
		}
		x.folder.Discard()
		wantNames(t, x.path, "other")
	}
}

// Standard input is kept where evidence goes, without a name.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.NewSpool(strings.NewReader("what came in"))
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
	got, err := io.ReadAll(s)
	if err != nil || string(got) != "what came in" {
		t.Errorf("%q, %v", got, err)
	}
	for range 2 {
		if got, err := io.ReadAll(s.Again()); err != nil || string(got) != "what came in" || s.Err() != nil {
			t.Errorf("again: %q, %v, %v", got, err, s.Err())
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	// That no copy can be kept does not keep the capture from being read.
	s, err = f.NewSpool(strings.NewReader("what came in"))
	if err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	if got, err := io.ReadAll(s); err != nil || string(got) != "what came in" || s.Err() == nil {
		t.Errorf("%q, %v, %v", got, err, s.Err())
	}
}
