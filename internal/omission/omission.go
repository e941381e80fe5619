// Package omission puts together what was left out of captures: by whoever took
// them, by the link layer's decoder and by that of connections.
package omission

import (
	"maps"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/verify"
)

// Why packets were left out that could be read.
const (
	WrongChecksum = "wrong TCP checksum"
	TooManyEmpty  = "TCP without data: beyond the limit of connections without any"
	NoRoom        = "TCP beyond --max-memory"
)

// Packets counts those of an input in which no TCP segment was found, by reason.
type Packets struct {
	Undecoded, Unreadable, Sealed map[string]uint64
}

// Of returns what a link decoder left out of each of n inputs.
func Of(links *link.Decoder, n int) []Packets {
	out := make([]Packets, n)
	for i := range out {
		input := uint32(i)
		out[i] = Packets{links.Undecoded(input), links.Unreadable(input), links.Sealed(input)}
	}
	return out
}

// Undecoded says for each input why packets were left out.
func Undecoded(packets []Packets, l *decode.LeftOut) []map[string]uint64 {
	var out []map[string]uint64
	for i, p := range packets {
		input := uint32(i)
		all := map[string]uint64{WrongChecksum: l.Damaged[input], TooManyEmpty: l.Empty[input], NoRoom: l.Refused[input]}
		maps.DeleteFunc(all, func(_ string, n uint64) bool { return n == 0 })
		maps.Copy(all, p.Undecoded)
		out = append(out, all)
	}
	return out
}

// Coverage says what the inputs left out that matters to a judgement.
func Coverage(inputs []capture.Input, packets []Packets, l *decode.LeftOut) verify.Coverage {
	out := verify.Coverage{Unreadable: make(map[string]uint64), Sealed: make(map[string]uint64)}
	for i, in := range inputs {
		if in.Damage != nil {
			out.Damaged = append(out.Damaged, in.Path+": "+in.Damage.String())
		}
		out.Dropped += in.Dropped
		for why, n := range packets[i].Unreadable {
			out.Unreadable[why] += n
		}
		for why, n := range packets[i].Sealed {
			out.Sealed[why] += n
		}
	}
	if l.Hidden > 0 {
		out.Unreadable[WrongChecksum] = l.Hidden
	}
	for _, n := range l.Refused {
		out.Unreadable[NoRoom] += n
	}
	return out
}
