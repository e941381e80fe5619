package mutate

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/capture/link"
)

// step is one segment of a test conversation. Sequence numbers count from the
// initial ones.
type step struct {
	server   bool
	seq, ack uint32
	flags    byte
	payload  string
	options  string // hexadecimal
}

// conversation has what mutations have to cope with: data both ways, segments
// in a row, a selective acknowledgement of what came after a gap, a
// retransmission, an urge to push, and an end in both directions.
func conversation() []step {
	clientISN, serverISN := uint32(1000), uint32(0x7ffffff0)
	long := strings.Repeat("0123456789abcdef", 20)
	steps := []step{
		{false, 0, 0, flagSYN, "", "02040578" + "0402" + "0101"}, // MSS, SACK permitted
		{true, 0, 1, flagSYN | flagACK, "", "02040578" + "0402" + "0101"},
		{false, 1, 1, flagACK, "", ""},
		{false, 1, 1, flagACK | flagPSH, "hello from the client", ""},
		{true, 1, 22, flagACK, "", ""},
		{true, 1, 22, flagACK, long, ""},
		{true, 641, 22, flagACK | flagPSH, "the end", ""}, // 321 to 640 are missing
		{false, 22, 321, flagACK, "", "0101" + "050a" + hexSeq(serverISN+641) + hexSeq(serverISN+648)},
		{true, 321, 22, flagACK, long, ""},
		{false, 22, 648, flagACK | flagPSH, "thanks", ""},
		{false, 28, 648, flagACK | flagFIN, "", ""},
		{true, 648, 29, flagACK | flagFIN, "bye", ""},
		{false, 29, 652, flagACK, "", ""},
	}
	for i, s := range steps {
		mine, peers := clientISN, serverISN
		if s.server {
			mine, peers = peers, mine
		}
		steps[i].seq += mine
		if s.flags&flagACK != 0 {
			steps[i].ack += peers
		}
	}
	return steps
}

func hexSeq(seq uint32) string { return fmt.Sprintf("%08x", seq) }

// build makes packets of a conversation in a given Ethernet shell: everything
// up to the TCP header of a packet from the client.
func build(t *testing.T, shell string, layers []layer, steps []step, start int64) []Packet {
	t.Helper()
	var packets []Packet
	for i, s := range steps {
		data := decodeHex(t, shell)
		last := layers[len(layers)-2]
		ports := []byte{0xc0, 0x00, 0x10, 0x00}
		if s.server {
			pair := addresses(data[last.offset:])
			half := len(pair) / 2
			copy(pair, slices.Concat(pair[half:], pair[:half]))
			ports = []byte{0x10, 0x00, 0xc0, 0x00}
		}
		if last.proto == protoIPv4 {
			put16(data[last.offset:], 4, 100+i)
		}
		header := make([]byte, tcpHeader)
		copy(header, ports)
		put32(header, 4, s.seq)
		put32(header, 8, s.ack)
		header = append(header, decodeHex(t, s.options)...)
		header[12] = byte(len(header) / 4 << 4)
		header[13] = s.flags
		put16(header, 14, 0x7fff)
		data = append(append(data, header...), s.payload...)
		seal(data, layers)
		packets = append(packets, Packet{Data: data, Length: len(data), Time: start + int64(i)*10_000, LinkType: linkEthernet})
	}
	return packets
}

func decodeHex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const (
	ethernetIPv4 = "020000000002 020000000001 0800"
	ethernetIPv6 = "020000000002 020000000001 86dd"
	// 10.0.0.1 to 10.0.0.2, TCP, don't fragment
	headerIPv4 = "4500 0000 0000 4000 40 06 0000 0a000001 0a000002"
	// 10.1.0.1 to 10.1.0.2, UDP, to port 8472, with a checksum; VXLAN 1
	headerVXLAN = "4500 0000 0000 0000 40 11 0000 0a010001 0a010002" + "c351 2118 0000 ffff" + "0800 0000 0000 0100"
	// fd00::1 to fd00::2, TCP
	headerIPv6 = "60000000 0000 06 40" + "fd000000000000000000000000000001" + "fd000000000000000000000000000002"

	testStart = 1_700_000_000_123_456_000
)

// samples are small captures of the kinds that there are.
func samples(t *testing.T) map[string][]Packet {
	t.Helper()
	v4 := build(t, ethernetIPv4+headerIPv4, []layer{{protoIPv4, 14}, {protoTCP, 34}}, conversation(), testStart)
	again := conversation()
	for i := range again { // the ports used again, with other initial numbers
		if again[i].server {
			again[i].seq += 7_000_000
			again[i].ack += 5_000_000
		} else {
			again[i].seq += 5_000_000
			again[i].ack += 7_000_000
		}
		again[i].payload = strings.ToUpper(again[i].payload)
		again[i].options = ""
	}
	again[0].ack = 0
	reuse := build(t, ethernetIPv4+headerIPv4, []layer{{protoIPv4, 14}, {protoTCP, 34}}, again, testStart+1_000_000)
	v6 := build(t, ethernetIPv6+headerIPv6, []layer{{protoIPv6, 14}, {protoTCP, 54}}, conversation(), testStart)
	tunnelled := build(t, ethernetIPv4+headerVXLAN+ethernetIPv4+headerIPv4,
		[]layer{{protoIPv4, 14}, {protoUDP, 34}, {protoIPv4, 64}, {protoTCP, 84}}, conversation(), testStart)
	return map[string][]Packet{
		"IPv4":           v4,
		"IPv6":           v6,
		"VXLAN":          tunnelled,
		"ports again":    slices.Concat(v4, reuse),
		"without a SYN":  v4[2:],
		"late and early": v4[4 : len(v4)-3],
		"cooked":         encapsulation(t, "linux cooked v2").Apply(v4),
		"both versions":  byTime(slices.Concat(v4, v6)),
	}
}

func encapsulation(t *testing.T, name string) Encapsulation {
	t.Helper()
	for _, e := range Encapsulations() {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no encapsulation %q", name)
	return Encapsulation{}
}

// stream is what one direction of one connection carried.
type stream struct {
	bytes    string // a byte that was not captured is 0xff
	syn, fin bool
}

// streams decodes a capture with the project's own decoder and puts the bytes
// of each direction together.
func streams(t *testing.T, packets []Packet) map[string]stream {
	t.Helper()
	flows := map[string][]link.Segment{}
	decoder := link.NewDecoder(link.Options{})
	for i, p := range packets {
		in := capture.Packet{Data: p.Data, Length: p.Length, Time: p.Time, LinkType: p.LinkType,
			Frame: capture.Frame{Number: uint32(i + 1)}}
		var s link.Segment
		if decoder.Decode(&in, &s) {
			s.Payload = bytes.Clone(s.Payload)
			flow := fmt.Sprint(s.Src.AddrPort(), " > ", s.Dst.AddrPort())
			flows[flow] = append(flows[flow], s)
		}
	}
	out := map[string]stream{}
	for flow, segments := range flows {
		for i, s := range assemble(segments) {
			out[fmt.Sprint(flow, " #", i)] = s
		}
	}
	return out
}

// assemble puts the segments of one direction together: a stream for each
// initial sequence number, or one that begins with the lowest number.
func assemble(segments []link.Segment) []stream {
	var bases []uint32
	for _, s := range segments {
		if s.Flags.Has(link.SYN) && !slices.Contains(bases, s.Seq+1) {
			bases = append(bases, s.Seq+1)
		}
	}
	out := make([]stream, max(1, len(bases)))
	if len(bases) == 0 {
		lowest := segments[0].Seq
		for _, s := range segments {
			if int32(s.Seq-lowest) < 0 {
				lowest = s.Seq
			}
		}
		bases = append(bases, lowest)
	} else {
		for i := range out {
			out[i].syn = true
		}
	}
	data := make([][]byte, len(out))
	for _, s := range segments {
		if s.Flags.Has(link.SYN) {
			continue
		}
		nearest := 0
		for i := range bases {
			if s.Seq-bases[i] < s.Seq-bases[nearest] {
				nearest = i
			}
		}
		at := int(s.Seq - bases[nearest])
		for missing := at + len(s.Payload) - len(data[nearest]); missing > 0; missing-- {
			data[nearest] = append(data[nearest], 0xff)
		}
		copy(data[nearest][at:], s.Payload)
		out[nearest].fin = out[nearest].fin || s.Flags.Has(link.FIN)
	}
	for i := range out {
		out[i].bytes = string(data[i])
	}
	return out
}

// diff compares streams without printing megabytes.
func diff(want, got map[string]stream) string {
	if maps.Equal(want, got) {
		return ""
	}
	short := func(all map[string]stream) map[string]string {
		out := map[string]string{}
		for name, s := range all {
			out[name] = fmt.Sprintf("syn %v fin %v, %d bytes, %08x: %.60q", s.syn, s.fin, len(s.bytes), identification([]byte(s.bytes)), s.bytes)
		}
		return out
	}
	return cmp.Diff(short(want), short(got))
}

// sanity checks what every capture has to fulfil: order of times, lengths, and
// the checksums of all TCP segments that were captured whole.
func sanity(t *testing.T, packets []Packet) {
	t.Helper()
	for i, p := range packets {
		if i > 0 && p.Time < packets[i-1].Time {
			t.Fatalf("packet %d is earlier than the one before", i+1)
		}
		if p.Length < len(p.Data) {
			t.Fatalf("packet %d: length %d below the %d bytes captured", i+1, p.Length, len(p.Data))
		}
		f, ok := parse(p)
		if !ok || !f.whole() {
			continue
		}
		sealed := bytes.Clone(p.Data[:f.end])
		seal(sealed, f.layers)
		if !bytes.Equal(sealed, p.Data[:f.end]) {
			t.Fatalf("packet %d: a length or checksum is wrong:\n got %x\nwant %x", i+1, p.Data[:f.end], sealed)
		}
	}
}

func TestMutationsKeepTheBytes(t *testing.T) {
	for name, packets := range samples(t) {
		before := digest(packets)
		want := streams(t, packets)
		applied := 0
		for _, m := range All() {
			t.Run(name+"/"+m.Name, func(t *testing.T) {
				mutated := m.Apply(packets)
				if mutated == nil {
					t.Skip("nothing to work on")
				}
				applied++
				sanity(t, mutated)
				if d := diff(want, streams(t, mutated)); m.Equal && d != "" {
					t.Error(d)
				}
				if !slices.EqualFunc(mutated, m.Apply(packets), same) {
					t.Error("not the same when done again")
				}
			})
		}
		if digest(packets) != before {
			t.Errorf("%s: the packets were changed", name)
		}
		if applied < 40 {
			t.Errorf("%s: only %d mutations were applied", name, applied)
		}
	}
}

func digest(packets []Packet) string {
	var all strings.Builder
	for _, p := range packets {
		fmt.Fprintf(&all, "%x %d %d %d\n", p.Data, p.Length, p.Time, p.LinkType)
	}
	return all.String()
}

func same(a, b Packet) bool {
	return bytes.Equal(a.Data, b.Data) && a.Length == b.Length && a.Time == b.Time && a.LinkType == b.LinkType
}

// Real captures have more than the samples: every mutation of those beside the
// repository, if they are there.
func TestMutationsOfRecordedCaptures(t *testing.T) {
	const tooLarge = 100_000 // bytes; the rest says the same more slowly
	paths, _ := filepath.Glob("../../../shared/captures/*.pcap")
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.Size() > tooLarge || testing.Short() {
			continue
		}
		packets, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := streams(t, packets)
		for _, m := range All() {
			mutated := m.Apply(packets)
			if mutated == nil {
				continue
			}
			if d := diff(want, streams(t, mutated)); m.Equal && d != "" {
				t.Errorf("%s: %s: %s", filepath.Base(path), m.Name, d)
			}
		}
	}
}
