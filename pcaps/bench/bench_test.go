//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/verify"
)

const tiny = 0.0002

// made returns a capture, and what it should prove.
func made(t *testing.T, k kind) ([]byte, map[string]int, uint64) {
	t.Helper()
	real, err := loadTemplates("..")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := newWriter(&out)
	want, err := k.make(w, real, tiny)
	if err := errors.Join(err, w.close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), want, w.packets
}

// TestVerdicts: what is measured is work on captures that are understood.
func TestVerdicts(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			file, want, packets := made(t, k)
			r, err := capture.NewReader(bytes.NewReader(file), k.name)
			if err != nil {
				t.Fatal(err)
			}
			links, decoder := link.NewDecoder(link.Options{}), decode.NewDecoder(decode.Options{})
			var p capture.Packet
			var s link.Segment
			for err = r.Next(&p); err == nil; err = r.Next(&p) {
				if !links.Decode(&p, &s) {
					t.Fatalf("frame %d has no TCP segment", p.Frame.Number)
				}
				decoder.Segment(&s)
			}
			in := r.Inputs()[0]
			if !errors.Is(err, io.EOF) || in.Damage != nil || in.Packets != packets {
				t.Fatalf("%v, %v, %d packets of %d", err, in.Damage, in.Packets, packets)
			}
			links.Finish()
			facts := decoder.Finish(links.Encapsulation)
			got := make(map[string]int)
			for i, c := range verify.Observe(facts, verify.Options{}).Conclusions {
				got[fmt.Sprint(c.Verdict)]++
				for side, s := range facts.Connections[i].TCP {
					if k.name != "lossy" && (s.Gap+s.Odd().Conflicts > 0 || s.Odd().Strays > 0) {
						t.Errorf("connection %d, side %d: %+v", i, side, s)
					}
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
		})
	}
}

// TestDeterministic: ratios of one week can be compared with those of the next.
func TestDeterministic(t *testing.T) {
	for _, k := range kinds {
		a, _, _ := made(t, k)
		b, _, _ := made(t, k)
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same twice", k.name)
		}
	}
}

// TestChecksums: tools that check them must not throw the packets away.
func TestChecksums(t *testing.T) {
	for _, k := range kinds {
		file, _, _ := made(t, k)
		file = file[24:]
		for n := 1; len(file) > 0; n++ {
			size := binary.LittleEndian.Uint32(file[8:])
			packet := file[recordLength:][:size]
			file = file[recordLength+size:]
			if packet[etherLength+9] == 17 {
				checkIP(t, k, n, packet)
				packet = packet[tunnelLength:]
			}
			checkIP(t, k, n, packet)
			ip := packet[etherLength:]
			segment := ip[ipLength:]
			if c := fold(words(ip[12:20]) + 6 + uint64(len(segment)) + words(segment)); c != 0xffff {
				t.Fatalf("%s: packet %d: the TCP checksum is off by %x", k.name, n, ^c)
			}
		}
	}
}

func checkIP(t *testing.T, k kind, n int, packet []byte) {
	t.Helper()
	ip := packet[etherLength:]
	if c := fold(words(ip[:ipLength])); c != 0xffff || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
		t.Fatalf("%s: packet %d: IPv4 checksum off by %x, length %d", k.name, n, ^c, len(ip))
	}
}

// words is sum, one word after the other.
func words(b []byte) uint64 {
	total := uint64(0)
	for i, c := range b {
		total += uint64(c) << (8 * (1 - i%2))
	}
	return total
}

// BenchmarkMemory is what the machine's memory can do, as a measure for the
// stages: reading it, and copying it.
func BenchmarkMemory(b *testing.B) {
	data, to := make([]byte, 256<<20), make([]byte, 256<<20)
	for i := range data {
		data[i], to[i] = 1, 1 // or no memory is behind it
	}
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if bytes.IndexByte(data, 0) >= 0 { // the fastest reader in the library
				b.Fatal("read what is not there")
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			copy(to, data)
		}
	})
}
