package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/internal/mutate"
	"distproof/report"
	"distproof/verify"
)

const pcapsDir = "../pcaps"

// recordings returns the captures of the project, and others if they are there.
func recordings(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", pcapsDir, err)
	}
	more, err := filepath.Glob("../../shared/captures/*.pcap")
	if err != nil {
		t.Fatal(err)
	}
	return append(files, more...)
}

// examine analyses a capture as the program does.
func examine(src capture.Source, log *secrets.Log) (Case, error) {
	links := link.NewDecoder(link.Options{})
	keys := func() *secrets.Log { return log }
	d := decode.NewDecoder(decode.Options{Secrets: keys})
	var p capture.Packet
	var s link.Segment
	for {
		err := src.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Case{}, err
		}
		if log == nil && src.HasSecrets() {
			log = new(secrets.Log)
		}
		if links.Decode(&p, &s) {
			d.Segment(&s)
		}
	}
	for _, in := range src.Inputs() {
		for _, text := range in.Secrets {
			if _, err := log.Read(bytes.NewReader(text), secrets.Options{}); err != nil {
				return Case{}, err
			}
		}
	}
	facts := d.Finish(links.Encapsulation)
	doc := report.New(report.Tool{Name: "distproof"}, src.Inputs(), make([]map[string]uint64, len(src.Inputs())), facts, verify.Observe(facts, verify.Options{}))
	return Case{Document: doc, Facts: facts, Inputs: src.Inputs(), Secrets: log}, nil
}

// trial is a capture whose evidence is written.
type trial struct {
	data   []byte
	log    *secrets.Log
	o      Options
	c      Case
	folder *Folder
	path   string
}

func newTrial(t *testing.T, data []byte) *trial {
	t.Helper()
	x := &trial{data: data, path: filepath.Join(t.TempDir(), "evidence")}
	x.o.Reopen = func() (capture.Source, error) { return capture.NewReader(bytes.NewReader(data), "original") }
	x.o.Examine = func(src capture.Source, withKeyLog bool) (*report.Document, error) {
		var log *secrets.Log
		if withKeyLog {
			log = x.c.Secrets
		}
		c, err := examine(src, log)
		return c.Document, err
	}
	var err error
	if x.folder, err = OpenFolder(x.path); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *trial) write(t *testing.T) (Summary, error) {
	t.Helper()
	src, err := x.o.Reopen()
	if err != nil {
		t.Fatal(err)
	}
	if x.c, err = examine(src, x.log); err != nil {
		t.Fatal(err)
	}
	return Write(context.Background(), x.folder, x.c, x.o)
}

func (x *trial) mustWrite(t *testing.T) Summary {
	t.Helper()
	s, err := x.write(t)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bundles reads the facts of all bundles, whose checksums must be right.
func (x *trial) bundles(t *testing.T) []Facts {
	t.Helper()
	sums, err := os.ReadFile(filepath.Join(x.path, Sums))
	if err != nil {
		t.Fatal(err)
	}
	var out []Facts
	files := 1
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		content, err := os.ReadFile(filepath.Join(x.path, name))
		if got := sha256.Sum256(content); !ok || err != nil || hex.EncodeToString(got[:]) != sum {
			t.Errorf("%q: %v", line, err)
		}
		files++
		if strings.HasSuffix(name, ".json") {
			var f Facts
			if err := json.Unmarshal(content, &f); err != nil {
				t.Fatal(err)
			}
			out = append(out, f)
		}
	}
	if entries, err := os.ReadDir(x.path); err != nil || len(entries) != files {
		t.Errorf("%d files, %d with checksums (%v)", len(entries), files, err)
	}
	return out
}

// check holds every bundle against the original.
func (x *trial) check(t *testing.T) []Facts {
	t.Helper()
	var bundles []Facts
	if x.c.Document.Summary.Distribution.Total() > 0 {
		bundles = x.bundles(t)
	} else if _, err := os.Stat(x.path); err == nil {
		t.Error("a folder without a bundle")
	}
	byID := make(map[string]Facts)
	for _, f := range bundles {
		byID[f.Connection.ID] = f
	}
	for _, want := range x.c.Document.Connections {
		f, ok := byID[want.ID]
		if ok != (want.Verdict != nil) {
			t.Errorf("%s: bundle %t", want.ID, ok)
		}
		if ok {
			x.checkBundle(t, &want, f)
		}
	}
	return bundles
}

func (x *trial) checkBundle(t *testing.T, want *report.Connection, f Facts) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(x.path, f.Capture.File))
	if err != nil {
		t.Fatal(err)
	}
	src, err := capture.NewReader(bytes.NewReader(data), f.Capture.File)
	if err != nil {
		t.Fatal(err)
	}
	got, err := examine(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(got.Document.Connections, func(c report.Connection) bool { return c.ID == f.Recheck.Connection })
	if i < 0 || !f.Recheck.Reproduces {
		t.Fatalf("%s: not in the bundle: %+v", want.ID, f.Recheck)
	}
	c := got.Document.Connections[i]
	if *c.Verdict != *want.Verdict || c.State != want.State || c.Reason != want.Reason || certificates(&c) != certificates(want) {
		t.Errorf("%s: bundle gives %s %s (%s, %s), want %s %s (%s, %s)", want.ID, *c.Verdict, c.State, c.Reason, certificates(&c), *want.Verdict, want.State, want.Reason, certificates(want))
	}
	if c.Client.Address != want.Client.Address || c.Client.Port != want.Client.Port || c.Server.Port != want.Server.Port || c.FirstSeen != want.FirstSeen {
		t.Errorf("%s: another connection: %+v", want.ID, c)
	}
	x.checkPackets(t, data, f)
}

// checkPackets wants the packets of the original, with the comments that the
// facts tell of.
func (x *trial) checkPackets(t *testing.T, data []byte, f Facts) {
	t.Helper()
	original, err := mutate.Read(bytes.NewReader(x.data), "original")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := mutate.Read(bytes.NewReader(data), "bundle")
	if err != nil {
		t.Fatal(err)
	}
	comments := commentsIn(t, data)
	if len(packets) != len(f.Frames) || len(comments) != len(packets) {
		t.Fatalf("%s: %d packets, %d frames", f.Connection.ID, len(packets), len(f.Frames))
	}
	shown := 0
	for i, p := range packets {
		o := original[f.Frames[i].Original-1]
		if f.Frames[i].Frame != uint32(i+1) || !bytes.Equal(p.Data, o.Data) || p.Length != o.Length || p.Time != o.Time || p.LinkType != o.LinkType {
			t.Errorf("%s: packet %d is not packet %d of the original", f.Connection.ID, i+1, f.Frames[i].Original)
		}
		want := ""
		if len(f.Frames[i].Shows) > 0 {
			shown++
			want = fmt.Sprintf("%s [original frame %d]", strings.Join(f.Frames[i].Shows, "; "), f.Frames[i].Original)
		}
		if comments[i] != want {
			t.Errorf("%s: packet %d: comment %q, want %q", f.Connection.ID, i+1, comments[i], want)
		}
	}
	if shown == 0 {
		t.Errorf("%s: no packet has a comment", f.Connection.ID)
	}
}

// commentsIn reads the comments on the packets of a little-endian pcapng.
func commentsIn(t *testing.T, data []byte) []string {
	t.Helper()
	le := binary.LittleEndian
	var out []string
	for len(data) > 0 {
		kind, size := le.Uint32(data), le.Uint32(data[4:])
		if kind == 6 {
			options := data[28+(le.Uint32(data[20:])+3)&^3 : size-4]
			text := ""
			for len(options) > 0 && le.Uint16(options) != 0 {
				n := le.Uint16(options[2:])
				if le.Uint16(options) == 1 {
					text += string(options[4 : 4+n])
				}
				options = options[4+(n+3)&^3:]
			}
			out = append(out, text)
		}
		data = data[size:]
	}
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Every bundle gives the verdict of its original: with all of a small
// connection, and with no more of it than the verdict was read from.
func TestBundlesReproduce(t *testing.T) {
	for _, path := range recordings(t) {
		data := readFile(t, path)
		for name, cutAll := range map[string]bool{"": false, "cut": true} {
			t.Run(filepath.Base(path)+name, func(t *testing.T) {
				x := newTrial(t, data)
				x.o.testOnlyCutAll = cutAll
				if s := x.mustWrite(t); len(s.Differ) > 0 || s.NeedKeyLog > 0 {
					t.Errorf("%+v", s)
				}
				for _, f := range x.check(t) {
					if up := f.Connection.State == "up"; cutAll && up && f.Capture.Whole {
						t.Errorf("%s: nothing was left out", f.Capture.File)
					}
					// What is recognised by nothing but ticks needs many of them.
					onlyTicks := slices.Equal(f.Connection.ProtocolBasis, []string{"ticks"})
					if f.Capture.Bytes > 48<<10 && !onlyTicks {
						t.Errorf("%s: %d bytes of %d", f.Capture.File, f.Capture.Bytes, len(data))
					}
				}
			})
		}
	}
}
