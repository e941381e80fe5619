package mutate

import (
	"bytes"
	"iter"
	"slices"
)

// forge makes a segment that looks like f's sender's.
func (f *frame) forge(seq uint32, flags byte, payload []byte) Packet {
	header := f.header()
	put32(header, 4, seq)
	header[13] = flags
	return f.with(header, payload)
}

// next is the sequence number of what f's sender will send after f.
func (f *frame) next() uint32 {
	next := f.seq() + uint32(f.length)
	if f.flags()&(flagSYN|flagFIN) != 0 {
		next++
	}
	return next
}

// insert puts the packet that derive makes of packet i behind it. It returns nil
// if packet i is not a TCP segment, or derive makes nothing of it.
func insert(packets []Packet, i int, derive func(*frame) (Packet, bool)) []Packet {
	f, ok := parse(packets[i])
	if !ok {
		return nil
	}
	forged, ok := derive(&f)
	if !ok {
		return nil
	}
	return slices.Insert(slices.Clone(packets), i+1, forged)
}

// ForgeRST has a reset by the sender of packet i right after it, at the
// sequence number at which a receiver accepts it (RFC 9293, Section 3.10.7.4).
// Like all forgeries here, it is nil if packet i gives nothing to start from.
func ForgeRST(packets []Packet, i int) []Packet {
	return insert(packets, i, func(f *frame) (Packet, bool) {
		return f.forge(f.next(), flagRST|flagACK, nil), true
	})
}

// ForgeFIN has an end of the stream by the sender of packet i right after it.
func ForgeFIN(packets []Packet, i int) []Packet {
	return insert(packets, i, func(f *frame) (Packet, bool) {
		return f.forge(f.next(), flagFIN|flagACK, nil), true
	})
}

// ForgeSYN has the sender of packet i open the connection once more right
// after it, with another initial sequence number.
func ForgeSYN(packets []Packet, i int) []Packet {
	return insert(packets, i, func(f *frame) (Packet, bool) {
		return f.forge(f.seq()+0x40000000, flagSYN, nil), true
	})
}

// OverlapOther has other bytes at the sequence numbers of packet i's payload
// right after it.
func OverlapOther(packets []Packet, i int, payload []byte) []Packet {
	return insert(packets, i, func(f *frame) (Packet, bool) {
		return f.forge(f.seq(), f.flags()&^flagFIN, payload), f.length > 0
	})
}

// OverlapAhead has other bytes at the sequence numbers of packet i's payload
// right before it.
func OverlapAhead(packets []Packet, i int, payload []byte) []Packet {
	out := OverlapOther(packets, i, payload)
	if out != nil {
		out[i], out[i+1] = out[i+1], out[i]
	}
	return out
}

// InsertAhead has bytes of an attacker right after packet i, where the next
// payload of its sender is going to be.
func InsertAhead(packets []Packet, i int, payload []byte) []Packet {
	return insert(packets, i, func(f *frame) (Packet, bool) {
		return f.forge(f.next(), flagPSH|flagACK, payload), true
	})
}

// OldSequence has packet i's payload replaced, at sequence numbers so far back
// that they are not part of the connection, right after it.
func OldSequence(packets []Packet, i int, payload []byte) []Packet {
	const back = 0x20000000
	return insert(packets, i, func(f *frame) (Packet, bool) {
		return f.forge(f.seq()-back, flagPSH|flagACK, payload), f.length > 0
	})
}

// flipped returns the payload of packet i with every bit turned over, or
// something as long as a small message if it has none.
func flipped(packets []Packet, i int) []byte {
	f, ok := parse(packets[i])
	if !ok || len(f.data()) == 0 {
		return bytes.Repeat([]byte{0xa5}, 32)
	}
	payload := bytes.Clone(f.data())
	for j := range payload {
		payload[j] = ^payload[j]
	}
	return payload
}

// Attacks enumerates captures with one forged packet: each kind of forgery
// here after each packet that it applies to. There are about seven times as
// many as packets.
func Attacks(packets []Packet) iter.Seq[Variant] {
	kinds := []struct {
		name  string
		forge func(i int) []Packet
	}{
		{"RST after", func(i int) []Packet { return ForgeRST(packets, i) }},
		{"FIN after", func(i int) []Packet { return ForgeFIN(packets, i) }},
		{"SYN after", func(i int) []Packet { return ForgeSYN(packets, i) }},
		{"other bytes over", func(i int) []Packet { return OverlapOther(packets, i, flipped(packets, i)) }},
		{"other bytes ahead of", func(i int) []Packet { return OverlapAhead(packets, i, flipped(packets, i)) }},
		{"bytes inserted after", func(i int) []Packet { return InsertAhead(packets, i, flipped(packets, i)) }},
		{"old sequence numbers after", func(i int) []Packet { return OldSequence(packets, i, flipped(packets, i)) }},
	}
	return func(yield func(Variant) bool) {
		for i := range packets {
			for _, kind := range kinds {
				forged := kind.forge(i)
				if forged != nil && !yield(variant(forged, "%s packet %d", kind.name, i+1)) {
					return
				}
			}
		}
	}
}
