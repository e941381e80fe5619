package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distproof/capture"
	"distproof/internal/wireshark"
	"distproof/report"
	"distproof/watch"
	"distproof/watch/keep"
)

// keeper is run in a process of its own: it saves into $KEEP the packets of
// $CAPTURE again and again, a millisecond apart, until it is killed.
func keeper() {
	if err := keepOn(os.Getenv("KEEP"), os.Getenv("CAPTURE")); err != nil {
		fmt.Println(err)
	}
}

func keepOn(dir, path string) error {
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		return err
	}
	var packets []capture.Packet
	for {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		packets = append(packets, p)
	}
	k, err := keep.Open(dir, keep.Options{Size: 8 << 20, Files: 64, UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := k.Start(); err != nil {
		return err
	}
	fmt.Println("started")
	verdict, begun := "cleartext", time.Now().UnixNano()
	for n := range 1_000_000 {
		number := uint64(n + 1)
		for i := range packets {
			p := packets[i]
			p.Time = begun + int64(n*len(packets)+i)*1e6
			k.Packet(&p, number)
		}
		k.State(&watch.State{Document: &report.Document{Connections: []report.Connection{
			{ID: fmt.Sprintf("c%d", number), Protocol: "dist", Verdict: &verdict},
		}}})
		for int(k.Counters().Packets) < (n+1)*len(packets) {
			time.Sleep(50 * time.Microsecond)
		}
	}
	return nil
}

// TestKilled: whenever a watch is killed, all that it wrote can be read, but for
// the block that was being written; and the next one leaves it alone.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "saved")
	const runs = 50
	for range runs {
		var out bytes.Buffer
		cmd := exec.Command("keeper") // testscript puts it there
		cmd.Env = append(os.Environ(), "KEEP="+dir, "CAPTURE="+pcapsDir+"/plain.pcap")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(&out, stdout)
		_ = cmd.Wait()
		if text := out.String(); text != "tarted\n" {
			t.Fatal(text)
		}
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) < runs/2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var cut, packets int
	for _, file := range files {
		damaged, n := readKept(t, file)
		if damaged {
			cut++
		}
		packets += n
	}
	t.Logf("%d files, %d of them cut in their last block, %d packets", len(files), cut, packets)
	if packets < runs {
		t.Errorf("only %d packets are saved", packets)
	}
	var report, said bytes.Buffer
	if code := run([]string{"verify", "-o", "json", dir}, nil, &report, &said); code != exitViolated {
		t.Errorf("verify ends with %d: %s", code, &said)
	}
	t.Run("capinfos", func(t *testing.T) { sharkReads(t, files) })
}

// readKept reads a file, whose packets must be a millisecond apart. It returns
// whether its last block is cut, and how many packets there are.
func readKept(t *testing.T, file string) (cut bool, packets int) {
	t.Helper()
	src, err := capture.Open([]string{file}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	last := int64(0)
	for {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if last > 0 && p.Time != last+1e6 {
			t.Errorf("%s: packet %d comes %v after the one before", file, p.Frame.Number, time.Duration(p.Time-last))
		}
		last = p.Time
		packets++
	}
	damage := src.Inputs()[0].Damage
	if damage != nil && (damage.Continued || damage.Skipped > 0 || int(damage.Frame) != packets) {
		t.Errorf("%s: %s", file, damage)
	}
	return damage != nil, packets
}

// sharkReads has Wireshark read files, which may be cut at the end.
func sharkReads(t *testing.T, files []string) {
	capinfos := wireshark.Tool(t, "capinfos")
	for _, file := range files {
		var said bytes.Buffer
		cmd := exec.Command(capinfos, "-c", "-T", "-m", "-r", file)
		cmd.Stderr = &said
		out, err := cmd.Output()
		_, want := readKept(t, file)
		if got := strings.TrimSpace(string(out)); !strings.HasSuffix(got, fmt.Sprintf(",%d", want)) {
			t.Errorf("capinfos says %q, not %d packets: %v: %s", got, want, err, &said)
		}
		if err != nil && !strings.Contains(said.String(), "cut short in the middle of a packet") {
			t.Errorf("%s: %v: %s", file, err, &said)
		}
	}
}
