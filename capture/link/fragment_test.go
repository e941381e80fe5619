package link

import (
	"bytes"
	"slices"
	"testing"

	"distproof/capture"
)

// fragment4 is the part [from:to] of a datagram, in an IPv4 fragment. The
// datagram ends with its last part.
func fragment4(id int, datagram []byte, from, to int) []byte {
	flags := 0
	if to < len(datagram) {
		flags = 0x2000 // more fragments
	}
	return join(
		[]byte{0x45, 0}, be16(20+to-from), // version, class, total length
		be16(id), be16(flags|from/8), // identification, flags, offset
		[]byte{64, ipTCP}, be16(0),
		[]byte{10, 0, 0, 1}, []byte{10, 0, 0, 2},
		datagram[from:to],
	)
}

// fragment6of is the same in IPv6.
func fragment6of(id int, datagram []byte, from, to int) []byte {
	field := from
	if to < len(datagram) {
		field |= 1
	}
	return ip6(ipFragment, join([]byte{ipTCP, 0}, be16(field), be32(id), datagram[from:to]))
}

// longTCP is a segment with 68 bytes of payload, that is of 100 bytes.
func longTCP() []byte {
	return join(tcpHello()[:32], bytes.Repeat([]byte("abcd"), 17))
}

func rawPackets(data ...[]byte) []*capture.Packet {
	var all []*capture.Packet
	for i, b := range data {
		p := packetOf(101, b)
		p.Frame.Number = uint32(i + 1)
		p.Time = int64(i)
		all = append(all, p)
	}
	return all
}

func TestFragments(t *testing.T) {
	whole := longTCP()
	other := patch(whole, 50, 'X')
	part := func(from, to int) []byte { return fragment4(1, whole, from, to) }
	part6 := func(from, to int) []byte { return fragment6of(1, whole, from, to) }
	repeated := func(n uint64) map[string]uint64 { return map[string]uint64{"IP fragment repeated": n} }
	incomplete := func(n uint64) map[string]uint64 { return map[string]uint64{"IP fragment incomplete": n} }
	conflict := func(n uint64) map[string]uint64 {
		return map[string]uint64{"IP fragments contradict each other": n}
	}
	bad := func(n uint64) map[string]uint64 { return map[string]uint64{"malformed IP fragment header": n} }
	var tiny, tinyReversed [][]byte
	for from := 0; from < len(whole); from += 8 {
		tiny = append(tiny, part(from, min(from+8, len(whole))))
	}
	tinyReversed = slices.Clone(tiny)
	slices.Reverse(tinyReversed)

	tests := []struct {
		name     string
		packets  [][]byte
		segments int
		reasons  map[string]uint64
	}{
		{"in order", [][]byte{part(0, 48), part(48, 96), part(96, 100)}, 1, nil},
		{"reversed", [][]byte{part(96, 100), part(48, 96), part(0, 48)}, 1, nil},
		{"IPv6", [][]byte{part6(0, 48), part6(48, 100)}, 1, nil},
		{"IPv6, reversed", [][]byte{part6(48, 100), part6(0, 48)}, 1, nil},
		{"tiny", tiny, 1, nil},
		{"tiny, reversed", tinyReversed, 1, nil},
		{"duplicates before the end", [][]byte{part(0, 48), part(0, 48), part(48, 100)}, 1, nil},
		{"duplicates after the end", [][]byte{part(0, 48), part(48, 100), part(0, 48), part(48, 100)}, 1, repeated(2)},
		{"every packet twice", [][]byte{part(0, 48), part(0, 48), part(48, 100), part(48, 100)}, 1, repeated(1)},
		{"cut differently the second time", [][]byte{part(0, 48), part(0, 56), part(40, 100)}, 1, nil},
		{"one missing", [][]byte{part(0, 48), part(96, 100)}, 0, incomplete(2)},
		{"first missing", [][]byte{part(48, 100)}, 0, incomplete(1)},
		{"last missing", [][]byte{part(0, 48), part(48, 96)}, 0, incomplete(2)},
		{"two datagrams mixed", [][]byte{
			part(0, 48), fragment4(2, other, 0, 48), part6(0, 48), part(48, 100), fragment4(2, other, 48, 100), part6(48, 100)}, 3, nil},
		{"identification used again", [][]byte{
			part(0, 48), part(48, 100), fragment4(1, other, 48, 100), fragment4(1, other, 0, 48)}, 2, nil},
		{"overlap with other bytes", [][]byte{part(0, 56), fragment4(1, other, 48, 100)}, 0, conflict(2)},
		{"overlap with other bytes, and more", [][]byte{
			part(0, 56), fragment4(1, other, 48, 100), part(48, 100), part(0, 48), part(48, 100)}, 0, conflict(5)},
		{"overlap with other bytes, reversed", [][]byte{fragment4(1, other, 48, 100), part(0, 56)}, 0, conflict(2)},
		{"two ends", [][]byte{part(0, 48), fragment4(1, whole[:96], 48, 96), part(48, 100)}, 1,
			incomplete(1)}, // the shorter one is whole, with a payload of 64 bytes
		{"an end below what was seen", [][]byte{part(64, 96), fragment4(1, whole[:64], 48, 64)}, 0, conflict(2)},
		{"beyond the end", [][]byte{fragment4(1, whole[:64], 48, 64), part(64, 96)}, 0, conflict(2)},
		{"another protocol at the beginning, IPv6", [][]byte{
			part6(0, 48), patch(part6(0, 48), 40, ipUDP), part6(48, 100)}, 0, conflict(3)},
		{"empty", [][]byte{part(48, 48)}, 0, bad(1)},
		{"not a multiple of eight", [][]byte{part(0, 47)}, 0, bad(1)},
		{"beyond the longest datagram", [][]byte{patch(part(0, 48), 6, 0x3f, 0xff)}, 0, bad(1)},
		{"of unknown length", [][]byte{patch(part(0, 48), 2, 0, 0)}, 0, bad(1)},
		{"with padding", [][]byte{join(part(0, 48), make([]byte, 6)), join(part(48, 100), make([]byte, 6))}, 1, nil},
		{"don't fragment is set", [][]byte{patch(part(0, 48), 6, 0x60), patch(part(48, 100), 6, 0x40)}, 1, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := NewDecoder(Options{})
			all := decodeAll(d, rawPackets(test.packets...)...)
			d.Finish()
			if len(all) != test.segments {
				t.Errorf("%d segments, want %d", len(all), test.segments)
			}
			for _, s := range all {
				if !bytes.HasPrefix(whole[32:], s.Payload) && !bytes.Equal(other[32:], s.Payload) || s.Length != len(s.Payload) {
					t.Errorf("payload %q of %d bytes", s.Payload, s.Length)
				}
			}
			wantReasons(t, d, test.reasons)
			if d.fragments.bytes != 0 {
				t.Errorf("%d bytes left", d.fragments.bytes)
			}
		})
	}
}

// A segment is that of the packet that completed it.
func TestFragmentFrame(t *testing.T) {
	whole := longTCP()
	all := decodeAll(NewDecoder(Options{}), rawPackets(fragment4(1, whole, 48, 100), fragment4(1, whole, 0, 48))...)
	if len(all) != 1 || all[0].Frame.Number != 2 || all[0].Time != 1 || all[0].Identity == 0 {
		t.Errorf("%+v", all)
	}
}

// Of fragments that the capture cut, the payload ends where bytes are missing.
func TestFragmentsCut(t *testing.T) {
	whole := longTCP()
	for keep := range 49 {
		packets := rawPackets(fragment4(1, whole, 0, 48), fragment4(1, whole, 48, 96), fragment4(1, whole, 96, 100))
		packets[1].Data = packets[1].Data[:20+keep]
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}} {
			d := NewDecoder(Options{})
			var all []Segment
			for _, i := range order {
				all = append(all, decodeAll(d, packets[i])...)
			}
			if len(all) != 1 {
				t.Fatalf("%d kept: %d segments", keep, len(all))
			}
			want := whole[32 : 48+keep]
			if keep == 48 {
				want = whole[32:]
			}
			if !bytes.Equal(all[0].Payload, want) || all[0].Length != 68 {
				t.Errorf("%d kept: payload %q of %d bytes, want %q", keep, all[0].Payload, all[0].Length, want)
			}
		}
	}
}

// Fragments of UDP are counted as UDP once they are whole, also those that
// waited, and those of several inputs each for its own.
func TestFragmentsCounted(t *testing.T) {
	datagram := udpTo(53, make([]byte, 92))
	first, last := fragment4(1, datagram, 0, 48), fragment4(1, datagram, 48, 100)
	first[9], last[9] = ipUDP, ipUDP
	packets := rawPackets(first, last, last)
	packets[0].Frame.Input = 1
	d := NewDecoder(Options{})
	decodeAll(d, packets...)
	d.Finish()
	wantReasons(t, d, map[string]uint64{"udp": 2})
	if got := d.Undecoded(1)["udp"]; got != 1 {
		t.Errorf("input 1: %d", got)
	}
}

// Fragments inside of a tunnel whose packets are fragmented, too.
func TestFragmentsNested(t *testing.T) {
	whole := longTCP()
	var packets [][]byte
	for i, inner := range [][]byte{fragment4(7, whole, 0, 56), fragment4(7, whole, 56, 100)} {
		outer := vxlanTo(4789, ether(0x0800, inner))
		for _, f := range [][]byte{fragment4(i, outer, 0, 40), fragment4(i, outer, 40, len(outer))} {
			f[9] = ipUDP
			packets = append(packets, f)
		}
	}
	d := NewDecoder(Options{})
	all := decodeAll(d, rawPackets(packets...)...)
	d.Finish()
	if len(all) != 1 || !bytes.Equal(all[0].Payload, whole[32:]) {
		t.Fatalf("%+v", all)
	}
	wantReasons(t, d, nil)
	if got := d.Encapsulation(all[0].Encapsulation); !slices.Equal(got, []string{"vxlan 42"}) {
		t.Errorf("encapsulation %q", got)
	}

	// Without the last packet, the other three wait in vain.
	d = NewDecoder(Options{})
	decodeAll(d, rawPackets(packets[:3]...)...)
	d.Finish()
	wantReasons(t, d, map[string]uint64{"IP fragment incomplete": 3})
}

// The same datagram inside and outside of something else is two.
func TestFragmentsOnPaths(t *testing.T) {
	whole := longTCP()
	for name, around := range map[string]func([]byte) []byte{
		"priority tag": func(b []byte) []byte { return ether(0x8100, join(be16(0), be16(0x0800), b)) },
		"GRE":          func(b []byte) []byte { return ether(0x0800, ip4(ipGRE, join([]byte{0, 0, 8, 0}, b))) },
	} {
		d := NewDecoder(Options{})
		segments := 0
		for _, f := range [][]byte{fragment4(1, whole, 0, 48), fragment4(1, whole, 48, 100)} {
			segments += len(decodeAll(d, packetOf(1, ether(0x0800, f)), packetOf(1, around(f))))
		}
		d.Finish()
		if segments != 2 {
			t.Errorf("%s: %d segments: %v", name, segments, d.Undecoded(0))
		}
	}
}

func TestFragmentsTimeout(t *testing.T) {
	whole := longTCP()
	for _, test := range []struct {
		wait     int64
		segments int
	}{{datagramTimeout, 1}, {datagramTimeout + 1, 0}} {
		packets := rawPackets(fragment4(1, whole, 0, 48), fragment4(1, whole, 48, 100))
		packets[1].Time = packets[0].Time + test.wait
		d := NewDecoder(Options{})
		if all := decodeAll(d, packets...); len(all) != test.segments {
			t.Errorf("after %d: %d segments", test.wait, len(all))
		}
	}
}

// However many datagrams are begun, and however they are cut, memory is bounded
// and every packet is counted.
func TestFragmentsLimit(t *testing.T) {
	whole := make([]byte, 65000)
	for name, make := range map[string]func(i int) []byte{
		"small": func(i int) []byte { return fragment4(i, whole, 0, 8) },
		"far":   func(i int) []byte { return fragment4(i, whole, 64800, 64808) },
		"many of one": func(i int) []byte {
			return fragment4(0, whole, i%8000*8, i%8000*8+8)
		},
	} {
		const n = 20_000
		d := NewDecoder(Options{})
		for i := range n {
			decodeAll(d, packetOf(101, make(i)))
			if len(d.fragments.byKey) > maxDatagrams || d.fragments.bytes > maxDatagramBytes {
				t.Fatalf("%s: %d datagrams, %d bytes", name, len(d.fragments.byKey), d.fragments.bytes)
			}
		}
		d.Finish()
		sum := uint64(0)
		for _, packets := range d.Undecoded(0) {
			sum += packets
		}
		if sum != n {
			t.Errorf("%s: %d packets counted", name, sum)
		}
		if d.fragments.bytes != 0 || d.fragments.order.Len() != 0 || len(d.fragments.byKey) != 0 {
			t.Errorf("%s: %d bytes left", name, d.fragments.bytes)
		}
	}
}

// The packets that had the other fragments of a segment are known, across
// tunnels too, and belong to no other segment.
func TestFragmentParts(t *testing.T) {
	whole := longTCP()
	var packets [][]byte
	for i, inner := range [][]byte{fragment4(7, whole, 0, 56), fragment4(7, whole, 56, 100)} {
		outer := vxlanTo(4789, ether(0x0800, inner))
		for _, f := range [][]byte{fragment4(i, outer, 0, 40), fragment4(i, outer, 40, len(outer))} {
			f[9] = ipUDP
			packets = append(packets, f)
		}
	}
	packets = append(packets, hello4())
	d := NewDecoder(Options{})
	var s Segment
	for i, p := range rawPackets(packets...) {
		found, last := d.Decode(p, &s), i == 3
		if found != (last || i == 4) || d.Waiting() != (i < 3) {
			t.Errorf("packet %d: segment %t, waiting %t", i+1, found, d.Waiting())
		}
		var numbers []uint32
		for _, f := range d.Parts() {
			numbers = append(numbers, f.Number)
		}
		if last && !slices.Equal(slices.Sorted(slices.Values(numbers)), []uint32{1, 2, 3}) || i == 4 && len(numbers) > 0 {
			t.Errorf("packet %d: parts %v", i+1, numbers)
		}
	}
}
