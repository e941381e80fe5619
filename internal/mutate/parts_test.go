package mutate

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
)

// Packets whose checksums Wireshark 4.0.17 calls good.
func TestSeal(t *testing.T) {
	for _, row := range []struct {
		name   string
		layers []layer
		zero   [][2]int // what seal has to fill in again: offset and length
		packet string
	}{
		{"IPv4", []layer{{protoIPv4, 14}, {protoTCP, 34}}, [][2]int{{16, 2}, {24, 2}, {50, 2}},
			ethernetIPv4 +
				"45 00 0030 0064 4000 40 06 2662 0a000001 0a000002" + // total length 48, checksum 2662
				"c000 1000 000003e8 00000000 70 02 7fff 1b71 0000" + // checksum 1b71
				"02040578 0402 01 01"}, // MSS, SACK permitted, padding
		{"IPv4 with a payload of odd length", []layer{{protoIPv4, 14}, {protoTCP, 34}}, [][2]int{{16, 2}, {24, 2}, {50, 2}},
			ethernetIPv4 +
				"45 00 002f 006a 4000 40 06 265d 0a000002 0a000001" + // total length 47, checksum 265d
				"1000 c000 80000271 000003fe 50 18 7fff 225c 0000" + // checksum 225c
				"74686520656e64"}, // "the end"
		{"VXLAN", []layer{{protoIPv4, 14}, {protoUDP, 34}, {protoIPv4, 64}, {protoTCP, 84}},
			[][2]int{{16, 2}, {24, 2}, {38, 2}, {66, 2}, {74, 2}, {100, 2}},
			ethernetIPv4 +
				"45 00 0062 0000 0000 40 11 6687 0a010001 0a010002" + // total length 98, checksum 6687
				"c351 2118 004e 0606" + // length 78, checksum 0606
				"08 000000 000001 00" + // VXLAN 1
				ethernetIPv4 +
				"45 00 0030 0064 4000 40 06 2662 0a000001 0a000002" +
				"c000 1000 000003e8 00000000 70 02 7fff 1b71 0000" +
				"02040578 0402 01 01"},
	} {
		t.Run(row.name, func(t *testing.T) {
			want := decodeHex(t, row.packet)
			got := bytes.Clone(want)
			for _, z := range row.zero {
				clear(got[z[0] : z[0]+z[1]])
			}
			if row.name == "VXLAN" {
				got[40] = 0xff // a UDP checksum of zero would stay
			}
			seal(got, row.layers)
			if !bytes.Equal(got, want) {
				t.Errorf("\n got %x\nwant %x", got, want)
			}
		})
	}
}

func TestResegment(t *testing.T) {
	packets := samples(t)["IPv4"]
	for _, p := range Resegment(packets, 7) {
		f, _ := parse(p)
		if f.length > 7 {
			t.Errorf("a segment of %d bytes", f.length)
		}
	}
	// "bye" with FIN, in pieces of one byte.
	pieces := Resegment(packets[11:12], 1)
	if len(pieces) != 3 {
		t.Fatalf("%d pieces, want 3", len(pieces))
	}
	whole, _ := parse(packets[11])
	for i, p := range pieces {
		f, _ := parse(p)
		if f.seq() != whole.seq()+uint32(i) || f.ack() != whole.ack() || string(f.data()) != "bye"[i:i+1] {
			t.Errorf("piece %d: sequence %d, acknowledgement %d, payload %q", i, f.seq(), f.ack(), f.data())
		}
		if fin := f.flags()&flagFIN != 0; fin != (i == 2) {
			t.Errorf("piece %d: FIN is %v", i, fin)
		}
	}
}

func TestCoalesceUndoesResegment(t *testing.T) {
	packets := samples(t)["IPv4"]
	merged := Coalesce(Resegment(packets, 1))
	// Packets 6 and 7 are no neighbours in the stream, so nothing else merges.
	if !slices.EqualFunc(packets, merged, same) {
		t.Errorf("%d packets, want the %d that there were", len(merged), len(packets))
	}
}

func TestCoalesceStopsAtLimit(t *testing.T) {
	big := conversation()[3]
	big.payload = string(make([]byte, 40_000))
	more := big
	more.seq += 40_000
	packets := build(t, ethernetIPv4+headerIPv4, []layer{{protoIPv4, 14}, {protoTCP, 34}}, []step{big, more}, 0)
	if got := len(Coalesce(packets)); got != 2 {
		t.Errorf("%d packets, want 2: both do not fit into one", got)
	}
	packets = Resegment(packets, 10_000)
	if got := len(Coalesce(packets)); got != 2 {
		t.Errorf("%d packets, want 2: one of 60,000 bytes and one of 20,000", got)
	}
}

func TestCoalesceTakesTheLastAcknowledgement(t *testing.T) {
	first := conversation()[5]
	second := first
	second.seq += uint32(len(first.payload))
	second.ack += 6
	second.flags |= flagPSH
	packets := build(t, ethernetIPv4+headerIPv4, []layer{{protoIPv4, 14}, {protoTCP, 34}}, []step{first, second}, 0)
	merged := Coalesce(packets)
	if len(merged) != 1 {
		t.Fatalf("%d packets, want 1", len(merged))
	}
	f, _ := parse(merged[0])
	if f.seq() != first.seq || f.ack() != second.ack || f.flags() != flagACK|flagPSH || string(f.data()) != first.payload+second.payload {
		t.Errorf("sequence %d, acknowledgement %d, flags %#x, %d bytes", f.seq(), f.ack(), f.flags(), f.length)
	}
}

func TestWrap(t *testing.T) {
	for _, name := range []string{"IPv4", "IPv6", "VXLAN", "ports again", "without a SYN"} {
		packets := samples(t)[name]
		crossed := map[string]bool{}
		base := map[string][2]uint32{} // of sequence numbers: before and after
		for i, p := range Wrap(packets) {
			was, _ := parse(packets[i])
			is, _ := parse(p)
			if _, ok := base[was.src]; !ok || was.flags()&flagSYN != 0 {
				base[was.src] = [2]uint32{was.seq(), is.seq()}
			}
			own := base[was.src]
			if was.seq()-own[0] != is.seq()-own[1] {
				t.Errorf("%s: packet %d is elsewhere in its stream", name, i+1)
			}
			if peer, ok := base[was.dst]; ok && was.flags()&flagACK != 0 && was.ack()-peer[0] != is.ack()-peer[1] {
				t.Errorf("%s: packet %d acknowledges another byte", name, i+1)
			}
			// A stream that the ports are used again for need not cross.
			crossed[is.src] = crossed[is.src] || is.seq() > math.MaxUint32-100 && is.seq()+100 < 100
		}
		for src, ok := range crossed {
			if !ok {
				t.Errorf("%s: the stream from %x does not cross", name, src)
			}
		}
	}
}

func TestWrapMovesSACK(t *testing.T) {
	packets := Wrap(samples(t)["IPv4"])
	ack, _ := parse(packets[7])
	data, _ := parse(packets[6])
	var edges []uint32
	eachOption(ack.header(), func(kind byte, value []byte) {
		if kind == 5 {
			edges = append(edges, be32(value, 0), be32(value, 4))
		}
	})
	want := []uint32{data.seq(), data.seq() + uint32(data.length)}
	if !slices.Equal(edges, want) {
		t.Errorf("SACK block %d, want %d", edges, want)
	}
}

func TestRetransmitHasOtherIdentification(t *testing.T) {
	packets := samples(t)["IPv4"]
	out := Retransmit(packets)
	if len(out) != 2*len(packets) {
		t.Fatalf("%d packets, want %d", len(out), 2*len(packets))
	}
	for i := 0; i < len(out); i += 2 {
		if be16(out[i].Data, 18) == be16(out[i+1].Data, 18) || !bytes.Equal(out[i].Data[34:], out[i+1].Data[34:]) {
			t.Errorf("packet %d: want another identification and the same segment", i/2+1)
		}
	}
	sanity(t, out)
}

func TestSwapNeighbours(t *testing.T) {
	packets := samples(t)["IPv4"][:5]
	for _, row := range []struct {
		first int
		want  []int
	}{
		{0, []int{1, 0, 3, 2, 4}},
		{1, []int{0, 2, 1, 4, 3}},
	} {
		for i, p := range SwapNeighbours(packets, row.first) {
			if !bytes.Equal(p.Data, packets[row.want[i]].Data) || p.Time != packets[i].Time {
				t.Errorf("from %d: place %d does not have packet %d at the place's time", row.first, i, row.want[i])
			}
		}
	}
}

func TestAnyInterfacesMixes(t *testing.T) {
	packets := samples(t)["IPv4"]
	seen := AnyInterfaces(packets)
	if len(seen) != 3*len(packets) {
		t.Fatalf("%d packets, want %d", len(seen), 3*len(packets))
	}
	var order []byte
	for _, p := range seen[:9] {
		order = append(order, p.Data[7]) // the interface's index
	}
	// Packets are 10 µs apart, and seen after 0, 15 and 40 µs.
	if want := []byte{7, 7, 5, 7, 5, 7, 5, 7, 2}; !bytes.Equal(order, want) {
		t.Errorf("seen on the interfaces %d, want %d", order, want)
	}
}

func TestEncapsulationTakesTrailersOff(t *testing.T) {
	packets := samples(t)["IPv4"]
	trailed := encapsulation(t, "ethernet with trailer").Apply(packets)
	raw := encapsulation(t, "raw")
	if want := raw.Apply(packets); !slices.EqualFunc(raw.Apply(trailed), want, same) {
		t.Error("what is behind the IP packets is still there")
	}
}

// What the project's decoder says of each encapsulation.
func TestEncapsulationsAreWhatTheySay(t *testing.T) {
	const none = "-" // cannot carry this IP version
	rows := []struct{ name, outer4, path4, outer6, path6 string }{
		{"ethernet", "IPv4", "", "IPv6", ""},
		{"ethernet with trailer", "IPv4", "", "IPv6", ""},
		{"802.1Q", "IPv4", "vlan 100", "IPv6", "vlan 100"},
		{"QinQ", "IPv4", "vlan 200 > vlan 100", "IPv6", "vlan 200 > vlan 100"},
		{"MPLS", "0x8847", "mpls 24002 > mpls 16001", "0x8847", "mpls 24002 > mpls 16001"},
		{"PPPoE", "0x8864", "pppoe 4660", "0x8864", "pppoe 4660"},
		{"PPPoE in 802.1Q", "0x8864", "vlan 7 > pppoe 4660", "0x8864", "vlan 7 > pppoe 4660"},
		{"linux cooked v1", "IPv4", "", "IPv6", ""},
		{"linux cooked v1 with 802.1Q", "0x8100", "vlan 100", "0x8100", "vlan 100"},
		{"linux cooked v2", "IPv4", "", "IPv6", ""},
		{"null little-endian", "IPv4", "", "IPv6", ""},
		{"null big-endian", "IPv4", "", "IPv6", ""},
		{"loop", "IPv4", "", "IPv6", ""},
		{"raw", "IPv4", "", "IPv6", ""},
		{"raw 12", "IPv4", "", "IPv6", ""},
		{"ipv4", "IPv4", "", none, none},
		{"ipv6", none, none, "IPv6", ""},
		{"IPv4 options", "IPv4", "", none, none},
		{"IPv6 extension headers", none, none, "IPv6", ""},
		{"fragments", "IPv4", "", "IPv6", ""},
		{"fragments reversed", "IPv4", "", "IPv6", ""},
		{"VXLAN", "IPv4", "vxlan 1", "IPv4", "vxlan 1"},
		{"VXLAN 8472", "IPv4", "vxlan 1", "IPv4", "vxlan 1"},
		{"VXLAN over IPv6", "IPv6", "vxlan 1", "IPv6", "vxlan 1"},
		{"VXLAN with inner 802.1Q", "IPv4", "vxlan 1 > vlan 100", "IPv4", "vxlan 1 > vlan 100"},
		{"VXLAN fragmented", "IPv4", "vxlan 1", "IPv4", "vxlan 1"},
		{"Geneve with options", "IPv4", "geneve 1", "IPv4", "geneve 1"},
		{"Geneve of IP", "IPv4", "geneve 1", "IPv4", "geneve 1"},
		{"GRE", "IPv4", "gre", "IPv4", "gre"},
		{"GRE with key", "IPv4", "gre key 42", "IPv4", "gre key 42"},
		{"GRE with checksum, key and sequence", "IPv4", "gre key 42", "IPv4", "gre key 42"},
		{"GRE over IPv6", "IPv6", "gre", "IPv6", "gre"},
		{"GRETAP", "IPv4", "gretap", "IPv4", "gretap"},
		{"ERSPAN II", "IPv4", "erspan 5", "IPv4", "erspan 5"},
		{"IP in IPv4", "IPv4", "ipip", "IPv4", "6in4"},
		{"IP in IPv6", "IPv6", "4in6", "IPv6", "6in6"},
		{"VXLAN in GRE in 802.1Q", "IPv4", "vlan 100 > gre > vxlan 1", "IPv4", "vlan 100 > gre > vxlan 1"},
		{"IP in Geneve in IPv6 in MPLS", "0x8847", "mpls 100 > 4in6 > geneve 1", "0x8847", "mpls 100 > 4in6 > geneve 1"},
	}
	if len(rows) != len(Encapsulations()) {
		t.Errorf("%d encapsulations, but %d rows", len(Encapsulations()), len(rows))
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e := encapsulation(t, row.name)
			for sample, want := range map[string][2]string{"IPv4": {row.outer4, row.path4}, "IPv6": {row.outer6, row.path6}} {
				got := [2]string{none, none}
				if packets := e.Apply(samples(t)[sample]); packets != nil {
					got = [2]string{outermost(packets[0]), path(packets)}
				}
				if got != want {
					t.Errorf("%s: outermost %q, decoded as %q, want %q", sample, got[0], got[1], want)
				}
			}
		})
	}
}

func outermost(p Packet) string {
	etherType, _, _ := peel(p)
	switch etherType {
	case etherIPv4:
		return "IPv4"
	case etherIPv6:
		return "IPv6"
	}
	return fmt.Sprintf("%#04x", etherType)
}

// path is the encapsulation of the last segment.
func path(packets []Packet) string {
	decoder := link.NewDecoder(link.Options{})
	found := "no segment"
	for i, p := range packets {
		in := capture.Packet{Data: p.Data, Length: p.Length, Time: p.Time, LinkType: p.LinkType,
			Frame: capture.Frame{Number: uint32(i + 1)}}
		var s link.Segment
		if decoder.Decode(&in, &s) {
			found = strings.Join(decoder.Encapsulation(s.Encapsulation), " > ")
		}
	}
	return found
}

func TestDropDirection(t *testing.T) {
	packets := samples(t)["IPv4"]
	for which, want := range map[Direction]byte{FirstSeen: 2, Other: 1} {
		out := DropDirection(packets, which)
		if len(out) == 0 || len(out) == len(packets) {
			t.Fatalf("%v: %d packets are left", which, len(out))
		}
		for _, p := range out {
			if got := p.Data[29]; got != want { // last byte of the source address
				t.Errorf("%v: a packet from 10.0.0.%d is left", which, got)
			}
		}
	}
}

func TestLosses(t *testing.T) {
	packets := samples(t)["IPv4"]
	before := digest(packets)
	names := map[string]bool{}
	contents := map[string]string{}
	for v := range Losses(packets) {
		if names[v.Name] {
			t.Errorf("two variants are named %q", v.Name)
		}
		names[v.Name] = true
		contents[digest(v.Packets)] = v.Name
		if len(v.Packets) > len(packets) {
			t.Errorf("%s: more packets than before", v.Name)
		}
		for _, p := range v.Packets {
			if p.Length < len(p.Data) {
				t.Errorf("%s: a length of %d for %d bytes", v.Name, p.Length, len(p.Data))
			}
		}
	}
	for _, name := range []string{"without the direction first seen", "without the direction other", "snaplen 54",
		"without packet 1", "without packet 13", "without the first 13 packets", "without the last 1 packets"} {
		if !names[name] {
			t.Errorf("no variant %q", name)
		}
	}
	if contents[before] != "" {
		t.Errorf("%q loses nothing", contents[before])
	}
	if digest(packets) != before {
		t.Error("the packets were changed")
	}
}

func TestAttacks(t *testing.T) {
	packets := samples(t)["VXLAN"]
	before := digest(packets)
	count := 0
	for v := range Attacks(packets) {
		count++
		if len(v.Packets) != len(packets)+1 {
			t.Fatalf("%s: %d packets, want one more than %d", v.Name, len(v.Packets), len(packets))
		}
		for _, p := range v.Packets {
			f, ok := parse(p)
			if !ok {
				t.Fatalf("%s: a packet is no TCP segment", v.Name)
			}
			sealed := bytes.Clone(p.Data)
			if seal(sealed, f.layers); !bytes.Equal(sealed, p.Data) {
				t.Errorf("%s: a checksum is wrong", v.Name)
			}
		}
	}
	// Thirteen packets, of which six have a payload to put something over.
	if want := 4*13 + 3*6; count != want {
		t.Errorf("%d attacks, want %d", count, want)
	}
	if digest(packets) != before {
		t.Error("the packets were changed")
	}
}

func TestForgeries(t *testing.T) {
	packets := samples(t)["IPv4"]
	const at = 3 // "hello from the client", 21 bytes
	victim, _ := parse(packets[at])
	evil := []byte("evil")
	for _, row := range []struct {
		name    string
		packets []Packet
		at      int
		seq     uint32
		flags   byte
		payload string
	}{
		{"RST", ForgeRST(packets, at), at + 1, victim.seq() + 21, flagRST | flagACK, ""},
		{"FIN", ForgeFIN(packets, at), at + 1, victim.seq() + 21, flagFIN | flagACK, ""},
		{"SYN", ForgeSYN(packets, at), at + 1, victim.seq() + 0x40000000, flagSYN, ""},
		{"over", OverlapOther(packets, at, evil), at + 1, victim.seq(), flagPSH | flagACK, "evil"},
		{"ahead", OverlapAhead(packets, at, evil), at, victim.seq(), flagPSH | flagACK, "evil"},
		{"insert", InsertAhead(packets, at, evil), at + 1, victim.seq() + 21, flagPSH | flagACK, "evil"},
		{"old", OldSequence(packets, at, evil), at + 1, victim.seq() - 0x20000000, flagPSH | flagACK, "evil"},
	} {
		f, ok := parse(row.packets[row.at])
		if !ok || f.seq() != row.seq || f.flags() != row.flags || string(f.data()) != row.payload || f.src != victim.src {
			t.Errorf("%s: sequence %d, flags %#x, payload %q", row.name, f.seq(), f.flags(), f.data())
		}
	}
}

// SYN and FIN take a sequence number each (RFC 9293, Section 3.4).
func TestForgeriesAfterSYNAndFIN(t *testing.T) {
	packets := samples(t)["IPv4"]
	for i, length := range map[int]uint32{0: 1, 2: 0, 3: 21, 10: 1, 11: 3 + 1} {
		before, _ := parse(packets[i])
		reset, _ := parse(ForgeRST(packets, i)[i+1])
		if got := reset.seq() - before.seq(); got != length {
			t.Errorf("after packet %d: %d further, want %d", i+1, got, length)
		}
	}
}

func TestMix(t *testing.T) {
	all := samples(t)
	captures := [][]Packet{all["IPv4"], all["IPv4"], all["VXLAN"], all["IPv6"]}
	for i := range captures[2] {
		captures[2][i].Time += 3600 * nanoseconds
	}
	mixed, names := Mix(captures...)
	sanity(t, mixed)
	used := map[netip.Addr]int{}
	for i, n := range names {
		for _, addr := range n {
			if other, ok := used[addr]; ok {
				t.Errorf("captures %d and %d both have %v", other, i, addr)
			}
			used[addr] = i
		}
	}
	// Each capture's streams are there under their new names.
	got := streams(t, mixed)
	count := 0
	for i, packets := range captures {
		renamed, own := Renumber(packets)
		back := map[netip.Addr]netip.Addr{}
		for was, is := range own {
			back[is] = names[i][was]
		}
		moved, again := rename(renamed, back)
		for flow, s := range streams(t, moved) {
			count++
			if got[flow] != s {
				t.Errorf("capture %d: %s is not the same (%v)", i, flow, again)
			}
		}
	}
	if count != len(got) {
		t.Errorf("%d streams, want %d", len(got), count)
	}
	if mixed[1].Time != mixed[0].Time || mixed[3].Time != mixed[0].Time {
		t.Error("the captures do not begin at the same time")
	}
}

// rename gives packets the addresses of a map.
func rename(packets []Packet, names Renaming) ([]Packet, Renaming) {
	var book addressBook
	out := slices.Clone(packets)
	for i := range out {
		out[i] = book.rename(out[i], names)
	}
	return out, names
}

// Offloading leaves checksums to the network card, after the capture.
func TestMixAndEncapsulationMakeChecksumsRight(t *testing.T) {
	packets := samples(t)["IPv4"]
	for i := range packets {
		packets[i].Data = bytes.Clone(packets[i].Data)
		put16(packets[i].Data, 50, 0xdead)
	}
	mixed, _ := Mix(packets)
	sanity(t, mixed)
	sanity(t, encapsulation(t, "raw").Apply(packets))
}

func TestMixTakesOutChecksumOfCutTunnel(t *testing.T) {
	cut, _ := Renumber(Snaplen(samples(t)["VXLAN"], 100))
	for i, p := range cut {
		if got := be16(p.Data, 40); got != 0 {
			t.Errorf("packet %d: the UDP checksum is %#x, want none", i+1, got)
		}
	}
}

func TestMixCorrectsCutPackets(t *testing.T) {
	packets := samples(t)["IPv4"]
	whole, _ := Renumber(packets)
	cut, _ := Renumber(Snaplen(packets, 60))
	if !slices.EqualFunc(Snaplen(whole, 60), cut, same) {
		t.Error("cut packets have other checksums than whole ones")
	}
}

func TestFormatsReadBack(t *testing.T) {
	packets := samples(t)["IPv4"]
	packets = append(packets, Snaplen(packets[5:6], 80)...)
	for i := range packets {
		packets[i].Time = testStart + int64(i)*10_000
	}
	packets[4].Time += 789 // nanoseconds
	seen := map[string]bool{}
	for _, f := range Formats() {
		t.Run(f.String(), func(t *testing.T) {
			if seen[f.String()] {
				t.Error("the name is there twice")
			}
			seen[f.String()] = true
			file, err := Bytes(packets, f)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Read(bytes.NewReader(file), f.String())
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Clone(packets)
			if !f.PCAPNG && !f.Nanoseconds {
				want[4].Time -= 789
			}
			if !slices.EqualFunc(want, got, same) {
				t.Errorf("read back:\n%swant:\n%s", digest(got), digest(want))
			}
			again, _ := Bytes(packets, f)
			if !bytes.Equal(file, again) {
				t.Error("not the same file when written again")
			}
		})
	}
}

func TestLinkTypesNeedPCAPNG(t *testing.T) {
	packets := slices.Concat(samples(t)["IPv4"], samples(t)["cooked"])
	if _, err := Bytes(packets, Format{}); err == nil {
		t.Error("pcap took two link types")
	}
	file, err := Bytes(packets, Format{PCAPNG: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(file), "mixed")
	if err != nil || !slices.EqualFunc(packets, got, same) {
		t.Errorf("pcapng did not read back: %v", err)
	}
}
