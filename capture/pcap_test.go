package capture

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const second = int64(1e9)

func TestPcapVariants(t *testing.T) {
	modified := func(b builder) []byte {
		return join(b.pcap(0xa1b2cd34, 65535, 1), b.fields(
			uint32(7), uint32(5), // time
			uint32(3), uint32(3), // lengths
			uint32(2), uint16(0x800), uint8(0), uint8(0), // interface index, protocol, packet type, padding
			"abc"))
	}
	micro := []seen{{1, 7*second + 5000, "abc", 3, 1, 0}}
	for _, test := range []struct {
		name string
		file []byte
		want []seen
	}{
		{"little endian, microseconds", join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(7, 5, "abc")), micro},
		{"big endian, microseconds", join(be.pcap(0xa1b2c3d4, 65535, 1), be.record(7, 5, "abc")), micro},
		{"little endian, nanoseconds", join(le.pcap(0xa1b23c4d, 65535, 1), le.record(7, 5, "abc")),
			[]seen{{1, 7*second + 5, "abc", 3, 1, 0}}},
		{"big endian, nanoseconds", join(be.pcap(0xa1b23c4d, 65535, 1), be.record(7, 5, "abc")),
			[]seen{{1, 7*second + 5, "abc", 3, 1, 0}}},
		{"little endian, modified", modified(le), micro},
		{"big endian, modified", modified(be), micro},
		{"no packets", le.pcap(0xa1b2c3d4, 65535, 1), nil},
		{"snapshot length 0", join(le.pcap(0xa1b2c3d4, 0, 1), le.record(7, 5, "abc")), micro},
		{"snapshot length below the packets", join(le.pcap(0xa1b2c3d4, 1, 1), le.record(7, 5, "abc")), micro},
		{"Linux cooked v2", join(le.pcap(0xa1b2c3d4, 65535, 276), le.record(7, 5, "abc")),
			[]seen{{1, 7*second + 5000, "abc", 3, 276, 0}}},
		{"check sequence of two words in the upper bits",
			join(le.pcap(0xa1b2c3d4, 65535, 2<<28|1<<26|1), le.record(7, 5, "abc")),
			[]seen{{1, 7*second + 5000, "abc", 3, 1, 4}}},
		{"upper bits without a check sequence",
			join(le.pcap(0xa1b2c3d4, 65535, 2<<28|3<<16|1), le.record(7, 5, "abc")), micro},
		{"more than a second of microseconds", join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(7, 2e6, "abc")),
			[]seen{{1, 9 * second, "abc", 3, 1, 0}}},
		{"seconds after 2038", join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(0xffffffff, 0, "abc")),
			[]seen{{1, 0xffffffff * second, "abc", 3, 1, 0}}},
		{"snapped", join(le.pcap(0xa1b2c3d4, 3, 1), le.fields(uint32(7), uint32(5), uint32(3), uint32(1500), "abc")),
			[]seen{{1, 7*second + 5000, "abc", 1500, 1, 0}}},
		{"length below captured", join(le.pcap(0xa1b2c3d4, 3, 1), le.fields(uint32(7), uint32(5), uint32(3), uint32(1), "abc")), micro},
		{"version 2.2 has the lengths swapped", join(
			le.fields(uint32(0xa1b2c3d4), uint16(2), uint16(2), uint32(0), uint32(0), uint32(99), uint32(1)),
			le.fields(uint32(7), uint32(5), uint32(60), uint32(3), "abc")),
			[]seen{{1, 7*second + 5000, "abc", 60, 1, 0}}},
		{"version 2.3 has them either way", join(
			le.fields(uint32(0xa1b2c3d4), uint16(2), uint16(3), uint32(0), uint32(0), uint32(99), uint32(1)),
			le.fields(uint32(7), uint32(5), uint32(60), uint32(3), "abc"),
			le.fields(uint32(7), uint32(5), uint32(3), uint32(60), "abc")),
			[]seen{{1, 7*second + 5000, "abc", 60, 1, 0}, {2, 7*second + 5000, "abc", 60, 1, 0}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, in := read(t, test.file)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
			if in.Damage != nil || in.Format != "pcap" {
				t.Errorf("damage %v, format %q", in.Damage, in.Format)
			}
		})
	}
}

// TestPcapBytes does not rely on the builder.
func TestPcapBytes(t *testing.T) {
	got, in := read(t, []byte{
		0xd4, 0xc3, 0xb2, 0xa1, // magic: little endian, microseconds
		2, 0, 4, 0, // version 2.4
		0, 0, 0, 0, // zone
		0, 0, 0, 0, // significant figures
		0xff, 0xff, 0, 0, // snapshot length
		0x71, 0, 0, 0, // link type: Linux cooked
		0x00, 0xf1, 0x53, 0x65, // seconds: 1700000000
		0x40, 0xe2, 0x01, 0x00, // microseconds: 123456
		2, 0, 0, 0, // captured
		0xdc, 0x05, 0, 0, // length: 1500
		'h', 'i',
	})
	want := []seen{{1, 1700000000_123456000, "hi", 1500, 113, 0}}
	if diff := cmp.Diff(want, got); diff != "" || in.Damage != nil {
		t.Errorf("damage %v, (-want +got):\n%s", in.Damage, diff)
	}
}

func TestPcapDamage(t *testing.T) {
	good := join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(7, 5, "abc"), le.record(8, 0, "defg"))
	for _, test := range []struct {
		name    string
		file    []byte
		packets int
		frame   uint32
		offset  int64
		reason  string
	}{
		{"cut in the file header", good[:10], 0, 0, 0, "inside the file header: it has 10 of 24"},
		{"cut in a record header", good[:24+19+7], 1, 1, 24 + 19, "inside a packet's header: it has 7 of 16"},
		{"cut in a packet", good[:len(good)-1], 1, 1, 24 + 19, "inside a packet: it has 19 of 20"},
		{"3 GiB captured in 84 bytes", join(good, le.fields(uint32(9), uint32(0), uint32(3<<30), uint32(3<<30), "x")),
			2, 2, 63, "claims 3221225472 captured bytes, more than the limit of 262144"},
		{"the file's own snapshot length raises the limit, to a limit",
			join(le.pcap(0xa1b2c3d4, 0xffffffff, 1), le.fields(uint32(9), uint32(0), uint32(maxBlock+1), uint32(0))),
			0, 0, 24, "more than the limit of 16777216"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, in := read(t, test.file)
			if len(got) != test.packets {
				t.Errorf("%d packets, want %d", len(got), test.packets)
			}
			checkDamage(t, in.Damage, Damage{Frame: test.frame, Offset: test.offset, Reason: test.reason})
		})
	}
}

// checkDamage compares; the reason needs to be contained only.
func checkDamage(t *testing.T, got *Damage, want Damage) {
	t.Helper()
	if got == nil {
		t.Fatal("no damage reported")
	}
	t.Log(got)
	if !strings.Contains(got.Reason, want.Reason) {
		t.Errorf("reason %q, want %q", got.Reason, want.Reason)
	}
	g := *got
	g.Reason = want.Reason
	if diff := cmp.Diff(want, g); diff != "" {
		t.Errorf("damage (-want +got):\n%s", diff)
	}
}

func TestPcapEveryCut(t *testing.T) {
	whole := join(le.pcap(0xa1b2c3d4, 65535, 1), le.record(1, 0, "abc"), le.record(2, 0, ""), le.record(3, 0, "defg"))
	everyCut(t, whole, map[int]int{24: 0, 24 + 19: 1, 24 + 19 + 16: 2, len(whole): 3})
}

// everyCut reads every prefix of a capture. ends has the lengths at which it
// ends properly, and the number of packets up to there.
func everyCut(t *testing.T, whole []byte, ends map[int]int) {
	packets := 0
	for n := magicLength; n <= len(whole); n++ {
		got, in := read(t, whole[:n])
		proper, ok := ends[n]
		if ok {
			packets = proper
		}
		if len(got) != packets {
			t.Errorf("first %d bytes: %d packets, want %d", n, len(got), packets)
		}
		if (in.Damage == nil) != ok {
			t.Errorf("first %d bytes: damage %v", n, in.Damage)
		}
		if in.Damage != nil && (in.Damage.Frame != uint32(packets) || in.Damage.Continued) {
			t.Errorf("first %d bytes: damage %+v, want frame %d", n, in.Damage, packets)
		}
	}
}

func TestLargePacketsByOwnSnaplen(t *testing.T) {
	data := strings.Repeat("x", 3<<20)
	got, in := read(t, join(le.pcap(0xa1b2c3d4, 4<<20, 1), le.record(1, 0, data), le.record(2, 0, "y")))
	if len(got) != 2 || got[0].Data != data || got[1].Data != "y" || in.Damage != nil {
		t.Errorf("%d packets, damage %v", len(got), in.Damage)
	}
}

func TestStatistics(t *testing.T) {
	_, in := read(t, join(le.pcap(0xa1b2c3d4, 65535, 1),
		le.record(9, 0, "abc"), le.record(7, 0, "de"), le.record(11, 0, ""), le.record(8, 0, "f"),
		le.fields(uint32(8), uint32(0), uint32(1), uint32(2), "g")))
	want := Input{Path: "test", Format: "pcap", Packets: 5, Bytes: 7, First: 7 * second, Last: 11 * second, Timed: true, Snapped: 1}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
