package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"distproof/internal/mutate"
)

// However many connections there are, few files are open at a time.
func TestEvidenceOfManyConnections(t *testing.T) {
	packets, err := mutate.ReadFile(pcapsDir + "/mutual_tls13.pcap")
	if err != nil {
		t.Fatal(err)
	}
	const copies = 200
	var all []mutate.Packet
	for i := range copies {
		for _, p := range packets {
			p.Data = bytes.Clone(p.Data)
			ip := p.Data[14:]
			for _, at := range []int{12, 16} { // the addresses' second byte
				ip[at+1] = byte(i)
			}
			binary.BigEndian.PutUint16(ip[10:], 0) // no checksum
			copy(ip[20+16:], []byte{0, 0})         // none in the TCP header either: the card would add it
			all = append(all, p)
		}
	}
	path := filepath.Join(t.TempDir(), "many.pcap")
	if err := mutate.WriteFile(path, all, mutate.Format{}); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: uint64(len(open)) + 8, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) //nolint:errcheck // it was possible before
	_, facts, _ := evidenceOf(t, exitHolds, nil, path)
	if len(facts) != copies {
		t.Errorf("%d bundles, want %d", len(facts), copies)
	}
}
