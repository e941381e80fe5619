package main

import (
	"bytes"
	"slices"
	"testing"

	"distproof/internal/mutate"
	"distproof/report"
)

// TestWrongSignaturesProveNothing changes every byte of what a TLS 1.2 client
// signs and of its signature: after none of them the signature verifies, and
// mutual is claimed only where the change made it one that cannot be checked.
func TestWrongSignaturesProveNothing(t *testing.T) {
	packets, err := mutate.ReadFile(pcapsDir + "/mutual_tls12.pcap")
	if err != nil {
		t.Fatal(err)
	}
	original := distributionOf(t, packets)
	if *original.Verdict != "mutual" || original.ClientCertificate.Possession != "verified" || original.ServerCertificate.Possession != "verified" {
		t.Fatalf("%s, possession %s and %s", *original.Verdict, original.ClientCertificate.Possession, original.ServerCertificate.Possession)
	}
	// A Certificate message in a TLS 1.2 record; the first is the server's.
	start := []byte{22, 3, 3}
	client := slices.IndexFunc(packets, func(p mutate.Packet) bool {
		i := bytes.Index(p.Data, start)
		return i > 0 && p.Data[i+5] == 11 && bytes.Contains(p.Data[i:], []byte{20, 3, 3, 0, 1, 1})
	})
	if client < 0 {
		t.Fatal("the client's flight is not in one packet")
	}
	data := packets[client].Data
	from, to := bytes.Index(data, start)+5, bytes.Index(data, []byte{20, 3, 3, 0, 1, 1})
	broken := slices.Clone(packets)
	broken[client].Data = bytes.Clone(data)
	broken[client].Data[to-1] ^= 1 // the signature's last byte
	if c := distributionOf(t, broken); !slices.Contains(c.Findings, "DP105") {
		t.Errorf("a wrong signature gives the findings %v, want DP105", c.Findings)
	}
	headers := recordHeaders(data[from-5 : to])
	for i := from; i < to; i++ {
		if headers[i-from+5] {
			continue // not signed, and no part of the handshake
		}
		changed := slices.Clone(packets)
		changed[client].Data = bytes.Clone(data)
		changed[client].Data[i] ^= 1
		c := distributionOf(t, changed)
		if c.ClientCertificate.Possession == "verified" || *c.Verdict == "mutual" && c.ClientCertificate.Possession != "observed" {
			t.Errorf("byte %d changed: %s, possession %s (%s)", i-from, *c.Verdict, c.ClientCertificate.Possession, c.Reason)
		}
	}
}

// recordHeaders marks the bytes of TLS record headers.
func recordHeaders(records []byte) map[int]bool {
	at := make(map[int]bool)
	for i := 0; i+5 <= len(records); i += 5 + int(records[i+3])<<8 + int(records[i+4]) {
		for j := range 5 {
			at[i+j] = true
		}
	}
	return at
}

// distributionOf returns the one distribution connection of a capture.
func distributionOf(t *testing.T, packets []mutate.Packet) report.Connection {
	t.Helper()
	for _, c := range documentOfPackets(t, packets, mutate.Format{}).Connections {
		if c.Verdict != nil {
			return c
		}
	}
	t.Fatal("no distribution connection")
	return report.Connection{}
}
