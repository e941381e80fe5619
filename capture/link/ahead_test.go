package link

import (
	"maps"
	"slices"
	"testing"

	"distproof/capture"
)

// TestAheadChangesNothing: packets that are decoded ahead of their turn, and the
// rest in its turn, give the same as all of them in their order. There are more
// ways and more protocols than are told apart.
func TestAheadChangesNothing(t *testing.T) {
	var packets []capture.Packet
	add := func(data []byte) {
		packets = append(packets, capture.Packet{Data: data, Length: len(data), LinkType: linkEthernet, Time: int64(len(packets)) * 1e9,
			Frame: capture.Frame{Number: uint32(len(packets) + 1)}})
	}
	hello := ip4(ipTCP, tcpHello())
	for i := range MaxEncapsulations {
		add(ether(etherVLAN, join(be16(i%4000), be16(etherVLAN), be16(i/4000), be16(etherIPv4), hello)))
		add(ether(etherIPv4, hello))
		if i%2 == 0 {
			add(ether(0xa000+i, hello)) // of an unknown protocol
		}
		if i%8 == 0 {
			add(ether(etherARP, hello))
			add(ether(etherIPv4, ip4(ipUDP, udpTo(53, hello))))
		}
		if i%8 == 3 {
			first, second := slices.Clone(ip4(ipTCP, tcpHello()[:24])), slices.Clone(ip4(ipTCP, tcpHello()[24:]))
			first[6], second[6], second[7] = 0x20, 0, 3
			first[4], second[4] = byte(i>>8), byte(i>>8)
			first[5], second[5] = byte(i), byte(i)
			add(ether(etherIPv4, first))
			add(ether(etherIPv4, second))
		}
	}

	inOrder := NewDecoder(Options{})
	var want []Segment
	for i := range packets {
		var s Segment
		if inOrder.Decode(&packets[i], &s) {
			want = append(want, s)
		}
	}
	inOrder.Finish()

	d := NewDecoder(Options{})
	var got []Segment
	left := 0
	const piece = 100
	pieces := slices.Collect(slices.Chunk(packets, piece))
	aheads := make([]*Decoder, 3)
	results := make([][]Segment, len(pieces))
	lefts := make([][]int, len(pieces))
	for i := range len(pieces) + len(aheads) {
		if i >= len(aheads) { // the turn of a piece, with others decoded behind it
			turn := i - len(aheads)
			d.Join(aheads[turn%len(aheads)])
			for _, k := range lefts[turn] {
				left++
				if !d.Decode(&pieces[turn][k], &results[turn][k]) {
					results[turn][k] = Segment{}
				}
			}
			for _, s := range results[turn] {
				if s.Frame.Number != 0 {
					got = append(got, s)
				}
			}
		}
		if i < len(pieces) {
			a := aheads[i%len(aheads)]
			if a == nil {
				a = d.Ahead()
				aheads[i%len(aheads)] = a
			}
			results[i] = make([]Segment, len(pieces[i]))
			for k := range pieces[i] {
				if !a.Decode(&pieces[i][k], &results[i][k]) {
					results[i][k] = Segment{}
					if a.Left() {
						lefts[i] = append(lefts[i], k)
					}
				}
			}
		}
	}
	d.Finish()

	if !slices.EqualFunc(got, want, func(a, b Segment) bool {
		samePayload := string(a.Payload) == string(b.Payload)
		a.Payload, b.Payload = nil, nil
		return samePayload && a.Src == b.Src && a.Frame == b.Frame && a.Identity == b.Identity && a.Encapsulation == b.Encapsulation && a.Time == b.Time
	}) {
		t.Errorf("%d segments, want %d, or others", len(got), len(want))
	}
	if left == 0 || left > len(packets)*2/3 {
		t.Errorf("%d of %d packets were left", left, len(packets))
	}
	if !maps.Equal(d.Undecoded(0), inOrder.Undecoded(0)) {
		t.Errorf("not decoded:\n%v\nin their order:\n%v", d.Undecoded(0), inOrder.Undecoded(0))
	}
	for i := range uint16(MaxEncapsulations) {
		if !slices.Equal(d.Encapsulation(i), inOrder.Encapsulation(i)) {
			t.Fatalf("encapsulation %d is %v, in their order %v", i, d.Encapsulation(i), inOrder.Encapsulation(i))
		}
	}
}
