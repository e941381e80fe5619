package capture

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// shared is a folder beside the repository with captures that are not part of
// it. Tests that compare with it are left out where it is absent.
var shared = filepath.Join("..", "..", "shared")

// frames reads a capture and returns the number of frames in Wireshark's
// counting: packets, and blocks that have a number without being packets.
func frames(t *testing.T, path string) (uint32, Input) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := NewReader(f, path)
	if err != nil {
		t.Fatal(err)
	}
	var p Packet
	for err == nil {
		err = r.Next(&p)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	return r.frame, r.Inputs()[0]
}

// TestFramesOfOthers compares the number of frames with what tshark reads.
func TestFramesOfOthers(t *testing.T) {
	list, err := os.Open(filepath.Join(shared, "third-party", "tshark.jsonl"))
	if err != nil {
		return
	}
	defer list.Close()
	// tshark gives up where reading can go on.
	more := map[string]uint32{
		// A Bluetooth packet of 3 bytes, too short for its pseudo-header; the
		// capture file is in order.
		"pcap-ng_Wi-Fi_Bluetooth_USB_Cooked_timestamps_issue_1.ntar": 413,
		// A section of pcapng version 2.0 between two of version 1.0.
		"test901.pcapng": 3,
	}
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var entry struct {
			Path   string
			Frames uint32
			Exit   int `json:"tshark_rc"`
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatal(err)
		}
		got, in := frames(t, filepath.Join(shared, "third-party", entry.Path))
		want, others := entry.Frames, false
		for suffix, n := range more {
			if strings.HasSuffix(entry.Path, suffix) {
				want, others = n, true
			}
		}
		if got != want {
			t.Errorf("%s: %d frames, want %d", entry.Path, got, want)
		}
		if !others && (in.Damage != nil) != (entry.Exit != 0) {
			t.Errorf("%s: damage %v, tshark ends with %d", entry.Path, in.Damage, entry.Exit)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestFramesOfRecordings compares with capinfos where it is installed.
func TestFramesOfRecordings(t *testing.T) {
	paths, _ := filepath.Glob(filepath.Join(shared, "captures", "*.pcap"))
	capinfos, err := exec.LookPath("capinfos")
	if len(paths) == 0 || err != nil {
		return
	}
	// Table of the file's name and its number of packets, without a header.
	out, err := exec.Command(capinfos, append([]string{"-T", "-M", "-r", "-c"}, paths...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(paths) {
		t.Fatalf("%d lines for %d captures", len(lines), len(paths))
	}
	for _, line := range lines {
		path, count, _ := strings.Cut(line, "\t")
		want, err := strconv.ParseUint(count, 10, 32)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if got, in := frames(t, path); uint64(got) != want || in.Damage != nil {
			t.Errorf("%s: %d frames, want %d; damage %v", path, got, want, in.Damage)
		}
	}
}
