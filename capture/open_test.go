package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at is a pcap file with packets at these seconds; each packet's data is name
// and its number.
func at(name string, seconds ...uint32) []byte {
	out := le.pcap(0xa1b2c3d4, 65535, 1)
	for i, s := range seconds {
		out = append(out, le.record(s, 0, fmt.Sprintf("%s%d", name, i+1))...)
	}
	return out
}

// order reads all packets and returns their data in one string.
func order(t *testing.T, f *Files) string {
	t.Helper()
	var out []string
	var p Packet
	for {
		err := f.Next(&p)
		if err == io.EOF {
			return strings.Join(out, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := f.Inputs()[p.Frame.Input]; name.Packets == 0 {
			t.Errorf("frame %v is of input %q without packets", p.Frame, name.Path)
		}
		out = append(out, string(p.Data))
	}
}

func TestTimeline(t *testing.T) {
	untimed := join(le.section(), le.iface(1, 0), le.block(3, uint32(2), "s1"), le.packet(0, 2e6, "s2"), le.block(3, uint32(2), "s3"), le.packet(0, 4e6, "s4"))
	for _, test := range []struct {
		name  string
		files [][]byte
		want  string
	}{
		{"one", [][]byte{at("a", 1, 2)}, "a1 a2"},
		{"interleaved", [][]byte{at("a", 1, 4, 5), at("b", 2, 3, 6)}, "a1 b1 b2 a2 a3 b3"},
		{"equal times in the order given", [][]byte{at("a", 1, 2), at("b", 1, 2), at("c", 1, 2)}, "a1 b1 c1 a2 b2 c2"},
		{"given in the wrong order", [][]byte{at("c", 7), at("b", 4, 5), at("a", 1, 2)}, "a1 a2 b1 b2 c1"},
		{"a file's own order stays", [][]byte{at("a", 5, 1, 6), at("b", 2, 7)}, "b1 a1 a2 a3 b2"},
		{"without time directly after the packet before", [][]byte{at("a", 1, 2, 3), untimed}, "s1 a1 a2 s2 s3 a3 s4"},
		{"no packets in one", [][]byte{at("a"), at("b", 1)}, "b1"},
		{"no packets at all", [][]byte{at("a"), at("b")}, ""},
		{"a damaged first file does not hide the others", [][]byte{at("a", 1, 5)[:50], at("b", 2, 3)}, "a1 b1 b2"},
		{"a file cut in its header", [][]byte{at("a")[:9], at("b", 2, 3)}, "b1 b2"},
	} {
		for _, extra := range []int{0, keptOpen + 1} {
			t.Run(fmt.Sprintf("%s/%d more", test.name, extra), func(t *testing.T) {
				dir := t.TempDir()
				var paths []string
				for i, data := range test.files {
					paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
					write(t, paths[i], data)
				}
				want := test.want
				for i := range extra { // so many that files are closed and opened again
					paths = append(paths, filepath.Join(dir, fmt.Sprintf("z%d", i)))
					name := string(rune('A' + i))
					write(t, paths[len(paths)-1], at(name, uint32(100+i)))
					want = strings.TrimSpace(want + " " + name + "1")
				}
				f, err := Open(paths, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if got := order(t, f); got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				packets := uint64(0)
				for i, in := range f.Inputs() {
					packets += in.Packets
					if in.Path != paths[i] || in.Format == "" {
						t.Errorf("input %d is %+v", i, in)
					}
				}
				if n := len(strings.Fields(want)); packets != uint64(n) {
					t.Errorf("%d packets counted, want %d", packets, n)
				}
				if read, total := f.Progress(); read != total || total == 0 {
					t.Errorf("progress %d of %d at the end", read, total)
				}
			})
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.txt"), at("b", 1)) // the name does not matter
	write(t, filepath.Join(dir, "a", "2", "x"), gzipped(t, at("a", 1)))
	write(t, filepath.Join(dir, "c.pcap.json"), []byte("not a capture"))
	write(t, filepath.Join(dir, "d.gz"), gzipped(t, []byte("not a capture")))
	write(t, filepath.Join(dir, "e"), nil)
	write(t, filepath.Join(dir, "i.xz"), []byte("\xfd7zXZ\x00"))
	write(t, filepath.Join(dir, "._b.pcap"), []byte("\x00\x05\x16\x07")) // macOS puts such files beside others
	write(t, filepath.Join(dir, "f"), join(le.section(), le.iface(1, 0), le.packet(0, 1e6, "f1")))
	if err := os.Symlink("f", filepath.Join(dir, "g")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("..", filepath.Join(dir, "a", "loop")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "h")); err != nil {
		t.Skip(err)
	}
	f, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := order(t, f), "a1 b1 f1 f1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var names []string
	for _, in := range f.Inputs() {
		name, _ := filepath.Rel(dir, in.Path)
		names = append(names, filepath.ToSlash(name)+" "+in.Format)
	}
	if diff := cmp.Diff([]string{"a/2/x pcap+gzip", "b.txt pcap", "f pcapng", "g pcapng"}, names); diff != "" {
		t.Error(diff)
	}
}

// What would be missing of a folder is an error, not passed over.
func TestFolderWithUnreadable(t *testing.T) {
	for name, data := range map[string][]byte{
		"c.pcap": []byte("not a capture"), "c.PCAPNG": {1, 2, 3, 4, 5}, "c.cap": nil, "c.pcap12": nil,
		"c.pcap.gz": gzipped(t, []byte("not a capture")), "c.pcap3.gz": gzipped(t, nil), "c.pcap.xz": []byte("\xfd7zXZ\x00"),
		"c": []byte("snoop\x00\x00\x00"),
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.pcap"), at("a", 1))
		write(t, filepath.Join(dir, name), data)
		f, err := Open([]string{dir}, Options{})
		if err == nil {
			f.Close()
			t.Errorf("%s is passed over", name)
			continue
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Path != filepath.Join(dir, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	good, text := filepath.Join(dir, "good"), filepath.Join(dir, "texts", "text")
	write(t, good, at("a", 1))
	write(t, text, []byte("hello"))
	bare := filepath.Join(dir, "bare")
	if err := os.Mkdir(bare, 0o777); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	write(t, secret, at("a", 1))
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for _, test := range []struct {
		name  string
		paths []string
		stdin io.Reader
		want  string
		is    error
	}{
		{"nothing", nil, nil, "no capture given", nil},
		{"missing", []string{good, missing}, nil, missing + ": no such file", fs.ErrNotExist},
		{"text", []string{good, text}, nil, text + ": not a capture file: it is text", nil},
		{"folder without captures", []string{good, filepath.Join(dir, "texts")}, nil, "texts: no capture file in the folder", nil},
		{"empty folder", []string{bare}, nil, "bare: the folder is empty", nil},
		{"no permission", []string{secret}, nil, secret + ": no permission", fs.ErrPermission},
		{"empty stdin", []string{"-"}, strings.NewReader(""), "standard input: nothing came", nil},
		{"stdin twice", []string{"-", "-"}, strings.NewReader(""), "standard input: given twice", nil},
		{"text from stdin", []string{"-"}, strings.NewReader("hello"), "standard input: not a capture file: it is text", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.is == fs.ErrPermission && os.Geteuid() == 0 {
				t.Skip("root may read everything")
			}
			f, err := Open(test.paths, Options{Stdin: test.stdin})
			if err == nil {
				f.Close()
				t.Fatal("no error")
			}
			t.Log("OK error:", err)
			e, ok := errors.AsType[*Error](err)
			if !ok || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%T %q, want %q", err, err, test.want)
			}
			if e.Hint() == "" && test.is != fs.ErrNotExist && test.name != "stdin twice" {
				t.Error("no hint")
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
		})
	}
}

func TestFilesAndStdin(t *testing.T) {
	f, err := Open([]string{file(t, "x", at("a", 1, 3)), "-"}, Options{Stdin: bytes.NewReader(at("b", 2, 4))})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := order(t, f), "a1 b1 a2 b2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if path := f.Inputs()[1].Path; path != "-" {
		t.Errorf("path %q", path)
	}
	if _, total := f.Progress(); total != 0 {
		t.Errorf("total %d, want 0 for not known", total)
	}
}

// TestFewFilesOpen reads many rotated files and looks how many are open.
func TestFewFilesOpen(t *testing.T) {
	dir := t.TempDir()
	const files = 100
	var want []string
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprintf("%03d", i)), at(fmt.Sprintf("f%d.", i), uint32(10*i+1), uint32(10*i+2)))
		want = append(want, fmt.Sprintf("f%d.1", i), fmt.Sprintf("f%d.2", i))
	}
	f, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p Packet
	var got []string
	for f.Next(&p) == nil {
		got = append(got, string(p.Data))
		open := 0
		for _, track := range f.tracks {
			if track.file != nil {
				open++
			}
			if track.ended && track.reader.buf.data != nil {
				t.Fatalf("a file that is read keeps its buffer at %q", p.Data)
			}
		}
		if open > 1 {
			t.Fatalf("%d files open at %q", open, p.Data)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFileThatVanishesIsDamage(t *testing.T) {
	dir := t.TempDir()
	for i := range keptOpen + 2 {
		write(t, filepath.Join(dir, fmt.Sprintf("%02d", i)), at("x", uint32(i+1)))
	}
	f, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(filepath.Join(dir, "03")); err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(order(t, f))); n != keptOpen+1 {
		t.Errorf("%d packets, want those of the other files", n)
	}
	in := f.Inputs()[3]
	checkDamage(t, in.Damage, Damage{Reason: "cannot be opened again: no such file"})
	if in.Format != "pcap" || filepath.Base(in.Path) != "03" {
		t.Errorf("input %+v", in)
	}
}
