package capture

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPcapngPackets(t *testing.T) {
	for _, b := range []builder{le, be} {
		for _, test := range []struct {
			name string
			file []byte
			want []seen
		}{
			{"enhanced", join(b.section(), b.iface(1, 0), b.packet(0, 7_000_005, "abcde")),
				[]seen{{1, 7*second + 5000, "abcde", 5, 1, 0}}},
			{"no packets", b.section(), nil},
			{"simple", join(b.section(), b.iface(1, 0), b.block(3, uint32(5), "abcde")),
				[]seen{{1, 0, "abcde", 5, 1, 0}}},
			{"simple, cut to the interface's snapshot length",
				join(b.section(), b.iface(1, 5), b.block(3, uint32(100), "abcde")),
				[]seen{{1, 0, "abcde", 100, 1, 0}}},
			{"obsolete", join(b.section(), b.iface(1, 0), b.iface(113, 0),
				b.block(2, uint16(1), uint16(0xffff), uint32(0), uint32(7), uint32(3), uint32(60), b.padded("abc"))),
				[]seen{{1, 7000, "abc", 60, 113, 0}}},
			{"time with both halves", join(b.section(), b.iface(1, 0), b.packet(0, 1<<32|1, "a")),
				[]seen{{1, (1<<32 + 1) * 1000, "a", 1, 1, 0}}},
			{"two link types and resolutions", join(b.section(),
				b.iface(1, 0, b.option(9, uint8(9)), b.option(0)), b.iface(276, 0, b.option(9, uint8(0x80|1))),
				b.packet(1, 3, "a"), b.packet(0, 3, "b")),
				[]seen{{1, 1_500_000_000, "a", 1, 276, 0}, {2, 3, "b", 1, 1, 0}}},
			{"time offset", join(b.section(), b.iface(1, 0, b.option(14, uint64(100)), b.option(9, uint8(0))), b.packet(0, 5, "a")),
				[]seen{{1, 105 * second, "a", 1, 1, 0}}},
			{"negative time offset", join(b.section(), b.iface(1, 0, b.option(9, uint8(0)), b.option(14, ^uint64(1))), b.packet(0, 5, "a")),
				[]seen{{1, 3 * second, "a", 1, 1, 0}}},
			{"check sequence of the interface, in bits and in bytes", join(b.section(),
				b.iface(1, 0, b.option(13, uint8(32))), b.iface(1, 0, b.option(13, uint8(4))),
				b.packet(0, 1, "a"), b.packet(1, 1, "b")),
				[]seen{{1, 1000, "a", 1, 1, 4}, {2, 1000, "b", 1, 1, 4}}},
			{"check sequence of the packet", join(b.section(), b.iface(1, 0, b.option(13, uint8(32))),
				b.packet(0, 1, "abc", b.option(1, "comment"), b.option(2, uint32(2<<5)), b.option(0)),
				b.packet(0, 1, "abcd")),
				[]seen{{1, 1000, "abc", 3, 1, 2}, {2, 1000, "abcd", 4, 1, 4}}},
			{"options behind the end of options are not read", join(b.section(), b.iface(1, 0),
				b.packet(0, 1, "abcd", b.option(0), b.option(2, uint32(2<<5)), "\xff\xff\xff\xff")),
				[]seen{{1, 1000, "abcd", 4, 1, 0}}},
			{"every block that is no frame is passed over", join(b.section(), b.block(4, "name resolution"), b.iface(1, 0),
				b.block(5, uint32(0), uint64(0)), b.block(10, uint32(1), uint32(0)), b.block(0x12345678, "unknown"),
				b.block(0x80000001, "local"), b.block(7), b.packet(0, 1, "a")),
				[]seen{{1, 1000, "a", 1, 1, 0}}},
			{"custom blocks and journal entries have frame numbers in Wireshark", join(b.section(), b.block(0xbad, uint32(1), "x"), b.iface(1, 0),
				b.packet(0, 1, "a"), b.block(0x40000bad, uint32(1), "x"), b.block(9, "MESSAGE=x"), b.packet(0, 1, "b"),
				b.block(0x204, "sysdig"), b.packet(0, 1, "c")),
				[]seen{{2, 1000, "a", 1, 1, 0}, {5, 1000, "b", 1, 1, 0}, {7, 1000, "c", 1, 1, 0}}},
			{"sections of both byte orders, with their own interfaces", join(
				b.section(), b.iface(1, 0), b.iface(101, 0), b.packet(1, 1, "a"),
				le.section(), le.iface(113, 0), le.packet(0, 2, "b"),
				be.section(), be.iface(276, 0, be.option(9, uint8(9))), be.packet(0, 3, "c")),
				[]seen{{1, 1000, "a", 1, 101, 0}, {2, 2000, "b", 1, 113, 0}, {3, 3, "c", 1, 276, 0}}},
			{"lengths without their padding, as old writers have them", join(b.section(), b.iface(1, 0),
				b.fields(uint32(6), uint32(12+20+3), // not counting the padding of one byte
					uint32(0), uint32(0), uint32(1), uint32(3), uint32(3), "abc", uint8(0), uint32(12+20+3)),
				b.packet(0, 2, "d")),
				[]seen{{1, 1000, "abc", 3, 1, 0}, {2, 2000, "d", 1, 1, 0}}},
			{"the length at the end with its padding", join(b.section(), b.iface(1, 0),
				b.fields(uint32(6), uint32(12+20+3),
					uint32(0), uint32(0), uint32(1), uint32(3), uint32(3), "abc", uint8(0), uint32(12+20+4)),
				b.packet(0, 2, "d")),
				[]seen{{1, 1000, "abc", 3, 1, 0}, {2, 2000, "d", 1, 1, 0}}},
			{"simple after a packet with a time", join(b.section(), b.iface(1, 0), b.packet(0, 1, "a"), b.block(3, uint32(1), "b")),
				[]seen{{1, 1000, "a", 1, 1, 0}, {2, 0, "b", 1, 1, 0}}},
			{"a minor version to come", join(b.block(0x0a0d0d0a, uint32(0x1a2b3c4d), uint16(1), uint16(7), ^uint64(0)),
				b.iface(1, 0), b.packet(0, 1, "a")),
				[]seen{{1, 1000, "a", 1, 1, 0}}},
		} {
			t.Run(fmt.Sprintf("%v/%s", b.order, test.name), func(t *testing.T) {
				got, in := read(t, test.file)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("packets (-want +got):\n%s", diff)
				}
				if in.Damage != nil || in.Format != "pcapng" {
					t.Errorf("damage %v, format %q", in.Damage, in.Format)
				}
			})
		}
	}
}

// TestPcapngBytes does not rely on the builder.
func TestPcapngBytes(t *testing.T) {
	got, in := read(t, []byte{
		0x0a, 0x0d, 0x0d, 0x0a, // Section Header Block
		0, 0, 0, 28, // total length
		0x1a, 0x2b, 0x3c, 0x4d, // byte order magic: big endian
		0, 1, 0, 0, // version 1.0
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // section length: not known
		0, 0, 0, 28,

		0, 0, 0, 1, // Interface Description Block
		0, 0, 0, 32, // total length
		0, 1, 0, 0, // link type Ethernet, reserved
		0, 4, 0, 0, // snapshot length
		0, 9, 0, 1, 9, 0, 0, 0, // if_tsresol, 1 byte: 10^-9; padding
		0, 0, 0, 0, // end of options
		0, 0, 0, 32,

		0, 0, 0, 6, // Enhanced Packet Block
		0, 0, 0, 48, // total length
		0, 0, 0, 0, // interface
		0x17, 0x97, 0x9c, 0xfe, // time, upper half of 1700000000000000001
		0x36, 0x2a, 0x00, 0x01, // lower half
		0, 0, 0, 2, // captured
		0, 0, 5, 0xdc, // length: 1500
		'h', 'i', 0, 0, // data, padding
		0, 2, 0, 4, 0, 0, 0, 0x80, // epb_flags, 4 bytes: check sequence of 4 bytes
		0, 0, 0, 0, // end of options
		0, 0, 0, 48,
	})
	want := []seen{{1, 1700000000_000000001, "hi", 1500, 1, 4}}
	if diff := cmp.Diff(want, got); diff != "" || in.Damage != nil {
		t.Errorf("damage %v, (-want +got):\n%s", in.Damage, diff)
	}
}

func TestPcapngDamageThatEnds(t *testing.T) {
	b := le
	good := join(b.section(), b.iface(1, 0), b.packet(0, 1, "abcd"))
	at := int64(len(good))
	for _, test := range []struct {
		name   string
		tail   []byte
		reason string
	}{
		{"block length 0", b.fields(uint32(6), uint32(0), uint32(0)), "claims a length of 0 bytes"},
		{"block length 11", b.fields(uint32(6), uint32(11), uint32(11)), "claims a length of 11 bytes"},
		{"block length 4 GiB", b.fields(uint32(6), ^uint32(0), uint32(0)), "claims a length of 4294967295 bytes, more than the limit"},
		{"block length at the limit, and nothing there", b.fields(uint32(6), uint32(maxBlock), uint32(0)), "ends inside a packet block: it has 12 of 16777216"},
		{"block above the limit", b.fields(uint32(6), uint32(maxBlock+1), uint32(0)), "more than the limit of 16777216"},
		{"lengths differ", b.fields(uint32(99), uint32(16), uint32(0), uint32(20)), "claims 16 bytes at its beginning and 20 at its end"},
		{"cut in a packet", b.packet(0, 1, "abcd")[:33], "ends inside a packet block: it has 33 of 36"},
		{"cut in a header", b.packet(0, 1, "abcd")[:5], "ends inside a block's header: it has 5 of 8"},
		{"cut in another block", b.block(4, "abcd")[:9], "ends inside a block that is not a packet"},
		{"section of no byte order", b.block(0x0a0d0d0a, "abcd", uint32(0), uint64(0)), "byte order mark 61 62 63 64"},
		{"section too short", b.block(0x0a0d0d0a, uint32(0x1a2b3c4d)), "section header of 16 bytes is too short"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, in := read(t, join(good, test.tail))
			if len(got) != 1 {
				t.Errorf("%d packets, want the one before the damage", len(got))
			}
			checkDamage(t, in.Damage, Damage{Frame: 1, Offset: at, Reason: test.reason})
		})
	}
}

func TestPcapngDamageThatIsPassedOver(t *testing.T) {
	b := le
	start := join(b.section(), b.iface(1, 0), b.packet(0, 1, "a"))
	at := int64(len(start))
	for _, test := range []struct {
		name    string
		middle  []byte
		number  uint32 // of the packet behind the damage
		skipped uint64
		reason  string
	}{
		{"interface out of range", b.packet(1, 1, "x"), 3, 1, "belongs to interface 1, which is not described"},
		{"interface out of range, obsolete packet", b.block(2, uint16(9), uint16(0), uint64(0), uint32(0), uint32(0)), 3, 1, "interface 9"},
		{"more captured than the block has", b.block(6, uint32(0), uint64(0), uint32(8), uint32(8), "abcd"), 3, 1, "claims 8 captured bytes in a block with 4"},
		{"3 GiB captured", b.block(6, uint32(0), uint64(0), uint32(3<<30), uint32(3<<30), "abcd"), 3, 1, "claims 3221225472 captured bytes"},
		{"largest captured", b.block(6, uint32(0), uint64(0), ^uint32(0), ^uint32(0), "abcd"), 3, 1, "claims 4294967295 captured bytes"},
		{"packet above the limit", b.packet(0, 1, strings.Repeat("x", maxPacket+1)), 3, 1, "more than the limit of 262144"},
		{"simple packet larger than its block", b.block(3, uint32(100), "abcd"), 3, 1, "claims 100 captured bytes"},
		{"enhanced packet too short", b.block(6, uint32(0)), 3, 1, "packet block of 16 bytes is too short"},
		{"obsolete packet too short", b.block(2, uint32(0)), 3, 1, "too short"},
		{"simple packet too short", b.block(3), 3, 1, "too short"},
		{"option longer than the block", b.packet(0, 1, "x", b.fields(uint16(2), uint16(255), "ab")), 3, 0, "options of a packet"},
		{"interface description too short", b.block(1), 2, 0, "interface description of 12 bytes"},
		{"interface with bad options", b.iface(1, 0, b.fields(uint16(9), uint16(255))), 2, 0, "options of an interface"},
		{"secrets too short", b.block(10, uint32(secretsTLS), uint32(9), "abcd"), 2, 0, "decryption secrets is too short"},
		{"two packets of no interface", join(b.packet(7, 1, "x"), b.packet(8, 1, "y")), 4, 2, "interface 7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, in := read(t, join(start, test.middle, b.packet(0, 2, "z")))
			last := got[len(got)-1]
			if last.Data != "z" || last.Number != test.number {
				t.Errorf("last packet %+v, want frame %d", last, test.number)
			}
			checkDamage(t, in.Damage, Damage{Frame: 1, Offset: at, Reason: test.reason, Skipped: test.skipped, Continued: true})
		})
	}
}

func TestPcapngBadInterfaceKeepsItsNumber(t *testing.T) {
	got, in := read(t, join(le.section(), le.block(1), le.iface(113, 0), le.packet(0, 1, "a"), le.packet(1, 1, "b")))
	if diff := cmp.Diff([]seen{{2, 1000, "b", 1, 113, 0}}, got); diff != "" {
		t.Error(diff)
	}
	if in.Damage == nil || in.Damage.Skipped != 1 {
		t.Errorf("damage %+v", in.Damage)
	}
}

func TestPcapngDamageThatEndsAfterSkipping(t *testing.T) {
	b := le
	whole := join(b.section(), b.iface(1, 0), b.packet(5, 1, "a"), b.packet(0, 1, "b"))
	_, in := read(t, whole[:len(whole)-1])
	checkDamage(t, in.Damage, Damage{Frame: 1, Offset: int64(len(whole) - 36), Reason: "ends inside a packet block", Skipped: 1})
}

func TestPcapngUnknownVersionIsPassedOver(t *testing.T) {
	b := be
	got, in := read(t, join(
		b.section(), b.iface(1, 0), b.packet(0, 1, "a"),
		b.block(0x0a0d0d0a, uint32(0x1a2b3c4d), uint16(2), uint16(0), ^uint64(0)), b.iface(1, 0), b.packet(0, 1, "b"),
		b.section(), b.iface(1, 0), b.packet(0, 1, "c")))
	if diff := cmp.Diff([]seen{{1, 1000, "a", 1, 1, 0}, {3, 1000, "c", 1, 1, 0}}, got); diff != "" {
		t.Error(diff)
	}
	if in.Damage == nil || in.Damage.Skipped != 1 || !strings.Contains(in.Damage.Reason, "version 2.0") {
		t.Errorf("damage %+v", in.Damage)
	}
}

func TestPcapngEveryCut(t *testing.T) {
	b := be
	parts := [][]byte{b.section(), b.iface(1, 0), b.packet(0, 1, "abc"), b.block(3, uint32(2), "de"), b.block(4, "x"), b.packet(0, 2, "")}
	ends, n, packets := map[int]int{}, 0, 0
	for i, p := range parts {
		n += len(p)
		if i == 2 || i == 3 || i == 5 {
			packets++
		}
		ends[n] = packets
	}
	everyCut(t, join(parts...), ends)
}

func TestDropped(t *testing.T) {
	b := le
	statistics := func(iface uint32, options ...any) []byte {
		return b.block(5, iface, uint64(0), b.fields(options...))
	}
	for _, test := range []struct {
		name string
		body []byte
		want uint64
	}{
		{"the last statistics of each interface, summed", join(
			statistics(0, b.option(5, uint64(1))), statistics(1, b.option(5, uint64(10))), statistics(0, b.option(5, uint64(3)))), 13},
		{"by the interface and by the system", statistics(0, b.option(4, uint64(99)), b.option(5, uint64(1)), b.option(7, uint64(2))), 3},
		{"not known", statistics(0, b.option(5, uint64(math.MaxUint64))), 0},
		{"statistics without drops change nothing", join(statistics(0, b.option(5, uint64(1))), statistics(0)), 1},
		{"statistics of no interface", statistics(9, b.option(5, uint64(1))), 0},
		{"the packets' own counts", join(b.packet(0, 1, "a", b.option(4, uint64(2))), b.packet(0, 1, "a", b.option(4, uint64(3)))), 5},
		{"the same loss told in both ways counts once", join(b.packet(0, 1, "a", b.option(4, uint64(2))), statistics(0, b.option(5, uint64(5)))), 5},
		{"obsolete packets", join(
			b.block(2, uint16(0), uint16(4), uint64(0), uint32(0), uint32(0)),
			b.block(2, uint16(0), uint16(0xffff), uint64(0), uint32(0), uint32(0))), 4},
		{"over sections", join(statistics(0, b.option(5, uint64(1))), b.section(), b.iface(1, 0), statistics(0, b.option(5, uint64(2)))), 3},
		{"no overflow", join(statistics(0, b.option(5, uint64(math.MaxUint64-1))), statistics(1, b.option(5, uint64(5)))), math.MaxUint64},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, in := read(t, join(b.section(), b.iface(1, 0), b.iface(1, 0), test.body))
			if in.Dropped != test.want {
				t.Errorf("dropped %d, want %d", in.Dropped, test.want)
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	b := be
	_, in := read(t, join(b.section(),
		b.block(10, uint32(0x544c534b), uint32(5), "CLIEN"), // before the first interface
		b.iface(1, 0),
		b.block(10, uint32(0x57474b4c), uint32(4), "WGKL"), // WireGuard keys
		b.block(10, uint32(0x544c534b), uint32(3), "T_R"),  // in the middle
		le.section(), le.block(10, uint32(0x544c534b), uint32(2), "xy")))
	if diff := cmp.Diff([][]byte{[]byte("CLIEN"), []byte("T_R"), []byte("xy")}, in.Secrets); diff != "" {
		t.Error(diff)
	}
	if in.Damage != nil {
		t.Errorf("damage %v", in.Damage)
	}
}

func TestClock(t *testing.T) {
	for _, test := range []struct {
		tsresol uint8
		offset  int64
		ticks   uint64
		want    int64
	}{
		{6, 0, 1_000_001, 1_000_001_000},
		{9, 0, 1_000_000_001, 1_000_000_001},
		{0, 0, 5, 5e9},
		{10, 0, 19, 1}, // rounds down
		{12, 0, 1_234_567_890_123, 1_234_567_890},
		{19, 0, math.MaxUint64, 1_844_674_407},
		{28, 0, math.MaxUint64, 1},
		{29, 0, math.MaxUint64, 0},
		{127, 0, math.MaxUint64, 0},
		{0x80, 0, 7, 7e9},
		{0x80 | 20, 0, 1<<20 + 1, 1_000_000_953},                     // 2^-20 s is 953.67 ns
		{0x80 | 30, 0, 3<<30 + 1<<29, 3_500_000_000},                 // an integral scale of 1e9/2^30 would give 0
		{0x80 | 32, 0, 1_700_000_000<<32 | 1, 1_700_000_000e9},       //
		{0x80 | 32, 0, 1_700_000_000<<32 | 1<<31, 17000000005 * 1e8}, // as NTP time
		{0x80 | 63, 0, 1<<63 | 1<<62, 1_500_000_000},
		{0x80 | 64, 0, 1 << 63, 500_000_000},
		{0x80 | 65, 0, 1 << 63, 250_000_000},
		{0x80 | 127, 0, math.MaxUint64, 0},
		{0, 0, 1 << 40, 0},            // beyond 2262: no time
		{6, 0, math.MaxUint64, 0},     //
		{0, 1 << 62, 1, 0},            //
		{0, math.MinInt64, 1, 0},      //
		{0, -1 << 40, 1<<40 + 3, 3e9}, // each out of range, the sum is not
		{6, -10, 4_000_000, -6e9},     // before 1970
		{9, 1_700_000_000, 12, 1_700_000_000e9 + 12},
		{0, math.MinInt64, math.MaxUint64, 0},
	} {
		c := newClock(test.tsresol, test.offset)
		if got := c.time(test.ticks); got != test.want {
			t.Errorf("resolution %#x, offset %d: time(%d) = %d, want %d", test.tsresol, test.offset, test.ticks, got, test.want)
		}
	}
}

// TestBounded has files that announce, or repeat, more than may be kept.
func TestBounded(t *testing.T) {
	b := le
	repeat := func(n int, block []byte) []byte { return []byte(strings.Repeat(string(block), n)) }
	for _, test := range []struct {
		name   string
		file   []byte
		limit  uint64 // bytes allocated in all, over the life of the reader
		reason string
	}{
		{"captured 3 GiB", join(b.pcap(0xa1b2c3d4, 0xffffffff, 1), b.fields(uint32(0), uint32(0), uint32(3<<30), uint32(3<<30))), 1 << 20, "more than the limit"},
		{"captured 16 MiB", join(b.pcap(0xa1b2c3d4, 0xffffffff, 1), b.fields(uint32(0), uint32(0), uint32(maxBlock), uint32(maxBlock))), 1 << 20, "ends inside"},
		{"block of 16 MiB", join(b.section(), b.fields(uint32(6), uint32(maxBlock), "abcd")), 1 << 20, "ends inside"},
		{"a million interfaces", join(b.section(), repeat(1e6, b.iface(1, 0))), 40 << 20, "more interfaces than the limit"},
		{"a million empty secrets", join(b.section(), repeat(1e6, b.block(10, uint32(0x544c534b), uint32(0)))), 4 << 20, ""},
		{"a million short secrets", join(b.section(), repeat(1e6, b.block(10, uint32(0x544c534b), uint32(1), "x"))), 120 << 20, "key log text of the file is larger"},
		{"large secrets", join(b.section(), repeat(5, b.block(10, uint32(0x544c534b), uint32(10<<20), strings.Repeat("x", 10<<20)))), 100 << 20, "key log text of the file is larger"},
		{"a million bad packets", join(b.section(), repeat(1e6, b.packet(1, 1, ""))), 64 << 20, "interface 1"},
		{"a million sections", join(b.section(), repeat(1e6, b.section())), 4 << 20, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, in := read(t, test.file)
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes allocated for %d; damage: %v", used, len(test.file), in.Damage)
			if used > test.limit {
				t.Errorf("%d bytes allocated, limit %d", used, test.limit)
			}
			if test.reason != "" && (in.Damage == nil || !strings.Contains(in.Damage.Reason, test.reason)) {
				t.Errorf("damage %v, want %q", in.Damage, test.reason)
			}
		})
	}
}

func TestInterfacesBeyondTheLimitAreSkippedAndTold(t *testing.T) {
	b := le
	interfaces := []byte(strings.Repeat(string(b.iface(1, 0)), maxInterfaces+1))
	got, in := read(t, join(b.section(), interfaces, b.packet(maxInterfaces, 1, "x"), b.packet(maxInterfaces-1, 1, "y")))
	if diff := cmp.Diff([]seen{{2, 1000, "y", 1, 1, 0}}, got); diff != "" {
		t.Error(diff)
	}
	if in.Damage == nil || in.Damage.Skipped != 1 {
		t.Errorf("damage %+v", in.Damage)
	}
}
