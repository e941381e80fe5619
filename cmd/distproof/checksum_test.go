package main

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/internal/mutate"
	"distproof/internal/omission"
)

// summed returns a packet that a wire made, with its TCP checksum (RFC 9293,
// Section 3.1), or with another one.
func summed(p mutate.Packet, wrong bool) mutate.Packet {
	const ip, tcp = 14, 34
	p.Data = slices.Clone(p.Data)
	segment := p.Data[tcp:]
	copy(segment[16:], []byte{0, 0})
	sum := uint32(6 + len(segment))
	for _, b := range [][]byte{p.Data[ip+12 : ip+20], segment} {
		for i, x := range b {
			sum += uint32(x) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if wrong {
		sum ^= 0x55
	}
	binary.BigEndian.PutUint16(segment[16:], ^uint16(sum))
	return p
}

func allSummed(packets []mutate.Packet, wrong bool) []mutate.Packet {
	var out []mutate.Packet
	for _, p := range packets {
		out = append(out, summed(p, wrong))
	}
	return out
}

// TestWrongChecksumsClaimNothing adds packets with wrong checksums to sound and
// unsound conversations: everything stays as it was, but for the count of them.
func TestWrongChecksumsClaimNothing(t *testing.T) {
	const client, server = "10.0.0.1:40000", "10.0.0.2:9100"
	w := newWire()
	x := w.talk(client, server).mutual13()
	w.talk("10.0.0.3:40001", server).full12(nil, nil)
	w.talk("10.0.0.3:40002", server).open().plain("a@n1.lab", "b@n2.lab")
	sound := allSummed(w.packets, false)
	forged := newWire()
	forger := *x
	forger.wire = forged
	for _, from := range []int{fromClient, fromServer} {
		for _, flags := range []byte{tcpSYN, tcpSYN | tcpACK, tcpRST, tcpRST | tcpACK, tcpFIN | tcpACK, tcpACK, tcpPSH | tcpACK} {
			for _, payload := range [][]byte{nil, sealedRecords(24), []byte("in the clear"), recordOf(21, []byte{2, 40}), make([]byte, 4)} {
				for _, back := range []uint32{0, 1, 40, 1_000} {
					forger.raw(from, x.seq[from]-back, x.seq[1-from], flags, payload)
				}
			}
		}
	}
	want := essence(documentOfPackets(t, sound, mutate.Format{}))
	for i := range len(sound) + 1 {
		doc := documentOfPackets(t, slices.Concat(sound[:i], allSummed(forged.packets, true), sound[i:]), mutate.Format{})
		if diff := cmp.Diff(want, essence(doc)); diff != "" {
			t.Fatalf("before packet %d: %s", i+1, diff)
		}
		if n := doc.Inputs[0].Undecoded[omission.WrongChecksum]; n != uint64(len(forged.packets)) {
			t.Fatalf("before packet %d: %d packets have a wrong checksum, want %d", i+1, n, len(forged.packets))
		}
	}
	// The same packets with right checksums are not left out.
	doc := documentOfPackets(t, slices.Concat(sound, allSummed(forged.packets, false)), mutate.Format{})
	if diff := cmp.Diff(want, essence(doc)); diff == "" {
		t.Error("packets with right checksums change nothing either")
	}
}

// TestHiddenByChecksums: a connection of which nothing can be believed keeps the
// capture from passing.
func TestHiddenByChecksums(t *testing.T) {
	w, hidden := newWire(), newWire()
	w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
	hidden.talk("10.0.0.3:40002", "10.0.0.2:9200").open().plain("a@n1.lab", "b@n2.lab")
	packets := slices.Concat(allSummed(w.packets, false), allSummed(hidden.packets, true))
	doc := documentOfPackets(t, packets, mutate.Format{})
	const message = "6 packets could not be read (wrong TCP checksum): connections may have been missed"
	if doc.Conclusion != "inconclusive" || len(doc.Findings) != 1 || doc.Findings[0].Message != message {
		t.Errorf("%s: %+v", doc.Conclusion, doc.Findings)
	}
	if n := doc.Summary.Distribution.Cleartext; n != 0 {
		t.Errorf("%d connections in the clear are claimed", n)
	}
}

// TestDamageIsRepaired: what was sent again after a packet was damaged on its
// way is enough.
func TestDamageIsRepaired(t *testing.T) {
	w := newWire()
	w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
	sound := allSummed(w.packets, false)
	want := essence(documentOfPackets(t, sound, mutate.Format{}))
	for i := range sound {
		damaged := slices.Insert(slices.Clone(sound), i, summed(sound[i], true))
		doc := documentOfPackets(t, damaged, mutate.Format{})
		if diff := cmp.Diff(want, essence(doc)); diff != "" || doc.Conclusion != "pass" {
			t.Errorf("packet %d: %s %s", i+1, doc.Conclusion, diff)
		}
	}
}
