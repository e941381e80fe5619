// Package capture reads packets: from capture files (pcap and pcapng, also
// compressed), from standard input, and from several of them as one timeline.
//
// Nothing that a file says can make the package allocate more than its named
// limits. Damage ends an input early; what was read before stays valid.
package capture

import (
	"fmt"
	"time"
)

// A Frame names one packet of one input.
type Frame struct {
	// Input is the index into [Source.Inputs].
	Input uint32
	// Number counts the packets of that input from 1, as Wireshark does for
	// the same file. Zero means "no frame". The largest number stands for all
	// packets from there on: a live capture may have more.
	Number uint32
}

// LinkType is a link-layer type of https://www.tcpdump.org/linktypes.html.
type LinkType uint16

// A Packet is one captured packet.
type Packet struct {
	// Data holds the captured bytes, starting at the link layer. It is valid
	// until the next call of [Source.Next], or, if Stays, of [Source.Close].
	Data  []byte
	Stays bool
	// Length is the packet's length on the wire in bytes. It is never below
	// len(Data); above it, the capture kept only a part (snaplen).
	Length int
	// Time is when the packet was captured, in nanoseconds since 1970-01-01
	// UTC. It is zero if the format has no time (pcapng Simple Packet Block).
	Time int64
	// Frame says which packet of which input this is.
	Frame Frame
	// LinkType says how Data begins.
	LinkType LinkType
	// FCSLength is the number of bytes of frame check sequence at the end of
	// Data, as far as the file tells.
	FCSLength uint8
}

// A Source yields packets in the order of their time.
type Source interface {
	// Next reads the next packet into p. It returns io.EOF at the end, also
	// when an input was cut or damaged: [Input.Damage] then says so. Any other
	// error means that an input could not be read at all.
	Next(p *Packet) error
	// Inputs describes the inputs. Counters are final after io.EOF.
	Inputs() []Input
	// HasSecrets reports whether a key log was found in the inputs so far.
	HasSecrets() bool
	Close() error
}

// An Input describes one capture file or stream.
type Input struct {
	// Path is the file's name as the user gave it, or found in a folder;
	// "-" is standard input.
	Path string
	// Format is "pcap" or "pcapng", with "+gzip" or "+zstd" if compressed.
	Format string
	// Packets and Bytes count what was read: packets, and their captured bytes.
	Packets, Bytes uint64
	// First and Last are the times of the earliest and latest packet, in
	// nanoseconds since 1970; valid if Timed.
	First, Last int64
	Timed       bool
	// Snapped counts packets of which only a part was captured.
	Snapped uint64
	// Dropped counts packets that the capturing system lost, as far as the
	// file tells (pcapng Interface Statistics Block, drop options).
	Dropped uint64
	// Damage is nil if the input was read to its proper end, and nothing in
	// it was unreadable.
	Damage *Damage
	// Secrets are the contents of the Decryption Secrets Blocks with TLS key
	// log text, in file order.
	Secrets [][]byte
}

// Damage says where and why packets of an input are missing.
type Damage struct {
	// Frame is the number of the last packet before the trouble.
	Frame uint32
	// Offset is the position in the (decompressed) file where the trouble begins.
	Offset int64
	// Reason says what is wrong, in words.
	Reason string
	// Skipped counts the packets that are in the file but could not be read,
	// while reading went on behind them. They keep their frame numbers.
	Skipped uint64
	// Continued says that the input was read to its end all the same: besides
	// the Skipped packets nothing is missing. Frame, Offset and Reason are then
	// those of the first damaged place. If it is false, the input ended there.
	Continued bool
}

// String says it in one line, as "truncated at frame 12: ...", where 12 is the
// last packet that could be read.
func (d *Damage) String() string {
	skipped := ""
	if d.Skipped == 1 {
		skipped = " (1 packet skipped)"
	} else if d.Skipped > 1 {
		skipped = fmt.Sprintf(" (%d packets skipped)", d.Skipped)
	}
	switch {
	case d.Continued:
		return fmt.Sprintf("damaged after frame %d: %s%s", d.Frame, d.Reason, skipped)
	case d.Frame == 0:
		return fmt.Sprintf("truncated before frame 1: %s%s", d.Reason, skipped)
	}
	return fmt.Sprintf("truncated at frame %d: %s%s", d.Frame, d.Reason, skipped)
}

// Time converts nanoseconds since 1970 to a time in UTC.
func Time(ns int64) time.Time { return time.Unix(0, ns).UTC() }
