package capture

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// bigCapture writes a capture of n packets with 1000 bytes of their number each.
func bigCapture(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	b.Write([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0})
	for i := range n {
		b.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0xe8, 3, 0, 0, 0xe8, 3, 0, 0})
		b.Write(bytes.Repeat([]byte{byte(i)}, 1000))
	}
	path := filepath.Join(t.TempDir(), "big.pcap")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMappedFileIsReadToItsEnd(t *testing.T) {
	const packets = 3 * window / 1000
	src, err := Open([]string{bigCapture(t, packets)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if runtime.GOOS == "linux" && src.tracks[0].mapped == nil {
		t.Error("the file is not mapped")
	}
	var p Packet
	n := 0
	for ; src.Next(&p) == nil; n++ {
		if p.Data[0] != byte(n) || p.Data[999] != byte(n) {
			t.Fatalf("packet %d holds %d", n, p.Data[0])
		}
	}
	if n != packets {
		t.Errorf("%d packets, want %d", n, packets)
	}
	if read, total := src.Progress(); read != total {
		t.Errorf("read %d of %d bytes", read, total)
	}
}

func TestGuardReportsAFileThatShrinks(t *testing.T) {
	path := bigCapture(t, 3*window/1000)
	src, err := Open([]string{path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	err = Guard(func() error {
		var p Packet
		if err := src.Next(&p); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		for {
			if err := src.Next(&p); err != nil {
				return err
			}
			for _, b := range p.Data {
				_ = b
			}
		}
	})
	if runtime.GOOS == "linux" && (err == nil || err == io.EOF) {
		t.Errorf("Guard returned %v, want an error about the file", err)
	}
}

func TestGuardLetsOtherPanicsThrough(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the panic was swallowed")
		}
	}()
	_ = Guard(func() error { panic("a bug") })
}

// TestMappedFileIsGivenBack: what was read does not stay, but for the last part.
func TestMappedFileIsGivenBack(t *testing.T) {
	src, err := Open([]string{bigCapture(t, (behind+3*lump)/1000)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	m := src.tracks[0].mapped
	if m == nil {
		t.Skip("files are not mapped on this system")
	}
	var p Packet
	for src.Next(&p) == nil {
		if at := int(src.tracks[0].consumed.Load()); m.released < at-behind-lump {
			t.Fatalf("at %d bytes, %d were given back", at, m.released)
		}
	}
	if m.released < behind {
		t.Errorf("%d bytes were given back", m.released)
	}
}
