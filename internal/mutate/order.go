package mutate

import (
	"bytes"
	"slices"
)

// Duplicate has every packet twice in a row.
func Duplicate(packets []Packet) []Packet {
	out := make([]Packet, 0, 2*len(packets))
	for _, p := range packets {
		out = append(out, p, p)
	}
	return out
}

// Retransmit has every TCP segment twice in a row, the second time as a packet
// of its own: over IPv4 with another identification, as a sender's
// retransmission has. (IPv6 has nothing that tells it from a copy.)
func Retransmit(packets []Packet) []Packet {
	out := make([]Packet, 0, 2*len(packets))
	for _, p := range packets {
		out = append(out, p)
		f, ok := parse(p)
		if !ok {
			continue
		}
		p.Data = bytes.Clone(p.Data)
		for _, l := range f.layers {
			if at := p.Data[l.offset:]; l.proto == protoIPv4 {
				put16(at, 4, be16(at, 4)^0x8000)
				sealIPv4(at)
			}
		}
		out = append(out, p)
	}
	return out
}

// SwapNeighbours exchanges the packets first and first+1, first+2 and first+3,
// and so on. The times stay where they were, so that the capture is still
// sorted.
func SwapNeighbours(packets []Packet, first int) []Packet {
	out := slices.Clone(packets)
	for i := first; i+1 < len(out); i += 2 {
		out[i], out[i+1] = out[i+1], out[i]
		out[i].Time, out[i+1].Time = out[i+1].Time, out[i].Time
	}
	return out
}

// byTime sorts packets by their time and keeps the order of equal ones.
func byTime(packets []Packet) []Packet {
	slices.SortStableFunc(packets, func(a, b Packet) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
	return packets
}
