package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/internal/allocs"
	"distproof/internal/mutate"
	"distproof/internal/omission"
	"distproof/report"
)

// A stress is a capture that is made while it is read: what it would fill is our
// memory, not that of the test.
type stress struct {
	t    *testing.T
	wire *wire
	out  io.Writer
	err  error
	// peak is the most memory in use at any of the times when it was looked at.
	peak uint64
	// made is what was made since it was looked at.
	made int
}

// looks is how many bytes are made between two looks at the memory, which take a
// while.
const looks = 2 << 20

// send writes what is on the wire so far.
func (s *stress) send() {
	for _, p := range s.wire.packets {
		head := binary.LittleEndian.AppendUint32(nil, uint32(p.Time/1e9))
		head = binary.LittleEndian.AppendUint32(head, uint32(p.Time%1e9/1e3))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(p.Data)))
		head = binary.LittleEndian.AppendUint32(head, uint32(p.Length))
		if s.err == nil {
			_, s.err = s.out.Write(append(head, p.Data...))
		}
		if s.made += len(p.Data); s.made > looks {
			s.made = 0
			s.look()
		}
	}
	s.wire.packets = s.wire.packets[:0]
}

func (s *stress) look() { s.peak = max(s.peak, allocs.InUse()) }

// fileHeader is that of a pcap file of Ethernet packets.
var fileHeader = []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}

// stressed analyses what is made, with a sound connection that begins before it
// and ends after it. It returns the report and how much more memory was in use at
// the worst time than before: other tests leave things behind.
func stressed(t *testing.T, o analyzeOptions, produce func(s *stress)) (*report.Document, uint64) {
	t.Helper()
	before := allocs.InUse()
	r, w := io.Pipe()
	s := &stress{t: t, wire: newWire(), out: w}
	go func() {
		_, s.err = w.Write(fileHeader)
		sound := s.wire.talk("10.0.0.1:40000", "10.0.0.2:9100").hello13()
		s.send()
		produce(s)
		sound.wire = s.wire
		sound.say(fromServer, sealedRecords(23, 142, 1027, 96, 53))
		sound.say(fromClient, sealedRecords(1027, 96, 53)).dist13()
		s.send()
		w.CloseWithError(s.err)
	}()
	src, err := capture.NewReader(r, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	o.Judge = true
	doc, err := analyze(src, o)
	if err != nil {
		t.Fatal(err)
	}
	s.look()
	return doc, s.peak - min(before, s.peak)
}

// spoofed is the address of the i-th attacker.
func spoofed(i int) string {
	a := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
	return netip.AddrPortFrom(a, uint16(1024+i%60000)).String()
}

// dataOf sends n bytes of a pattern in segments of 16 KiB.
func (s *stress) dataOf(d *dialogue, from int, pattern []byte, n int) {
	payload := bytes.Repeat(pattern, 16<<10/len(pattern)+1)[:16<<10]
	for range n / len(payload) {
		d.say(from, payload)
		s.send()
	}
}

// stressTimes makes the stress test longer.
func stressTimes(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("DISTPROOF_STRESS"))
	if err != nil || n < 1 {
		return 1
	}
	if testing.Verbose() {
		t.Logf("%d times as much", n)
	}
	return n
}

// TestLimits: whatever comes, memory stays below a bound, the sound connection is
// mutual, and the report says what was cut.
func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("floods take long with the race detector; one goroutine reads them anyway")
	}
	const server = "10.0.0.2:9100"
	times := stressTimes(t)
	tests := []struct {
		name string
		make func(s *stress)
		most uint64 // MiB
		says string
		// bound is --max-memory; 0 is none.
		bound int64
	}{
		{"handshakes that are never finished", func(s *stress) {
			for i := range 10_000 * times {
				d := s.wire.talk(spoofed(i), server).open()
				d.say(fromClient, clientHelloWith(nil, serverName("n2.lab")))
				if i%2 == 0 {
					d.say(fromServer, serverHelloWith(suite12, nil))
				}
				s.send()
			}
		}, 128, "TCP beyond --max-memory", 128 << 20},
		{"SYNs from everywhere", func(s *stress) {
			for i := range 300_000 * times {
				s.wire.talk(spoofed(i), server).segment(fromClient, tcpSYN, nil)
				s.send()
			}
		}, 256, "TCP without data", 0},
		{"connections that nobody uses", func(s *stress) {
			for i := range 100_000 * times {
				s.wire.talk(spoofed(i), server).open()
				s.send()
			}
		}, 256, "TCP without data", 0},
		{"SYNs from one port", func(s *stress) {
			for i := range 100_000 * times {
				d := s.wire.talk("11.0.0.1:1024", server)
				d.seq[0] = uint32(i) * 100_000
				d.open()
				s.send()
			}
		}, 256, "TCP without data", 0},
		{"a hole and much behind it", func(s *stress) {
			d := s.wire.talk("11.0.0.1:1024", server).open()
			d.seq[fromClient] += 100
			s.dataOf(d, fromClient, []byte{23, 3, 3, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, times*32<<20)
		}, 96, `"client":100`, 0},
		{"records that never end", func(s *stress) {
			d := s.wire.talk("11.0.0.1:1024", server).hello13()
			s.dataOf(d, fromServer, recordOf(23, bytes.Repeat([]byte{0xa5}, 1<<14+100)), times*32<<20)
		}, 96, "mutual", 0},
		{"a certificate of 16 MB", func(s *stress) {
			d := s.wire.talk("11.0.0.1:1024", server).open()
			d.say(fromClient, clientHelloWith(nil, serverName("n2.lab")))
			d.say(fromServer, serverHelloWith(suite12, nil))
			d.say(fromServer, recordOf(22, append([]byte{11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc}, make([]byte, 16000)...)))
			s.dataOf(d, fromServer, recordOf(22, make([]byte, 1<<14-5)), 16<<20)
		}, 96, "longer than the limit of 256 KiB", 0},
		{"names without end", func(s *stress) {
			d := s.wire.talk("11.0.0.1:1024", "10.0.0.2:4369").open()
			d.say(fromClient, []byte{0, 1, 'n'})
			d.say(fromServer, []byte{0, 0, 0x11, 0x11})
			s.dataOf(d, fromServer, []byte("name abcdefghijklmnop at port 12345\n"), times*16<<20)
			long := s.wire.talk("11.0.0.2:1024", "10.0.0.2:4369").open()
			long.say(fromClient, []byte{0, 1, 'n'})
			long.say(fromServer, []byte{0, 0, 0x11, 0x11})
			s.dataOf(long, fromServer, []byte("name without an end"), times*16<<20)
		}, 96, "mutual", 0},
		{"distribution messages without end", func(s *stress) {
			d := s.wire.talk("11.0.0.1:1024", "10.0.0.2:9200").open().plain("a@n1.lab", "b@n2.lab")
			d.say(fromClient, []byte{0x7f, 0xff, 0xff, 0xff, 112, 131})
			s.dataOf(d, fromClient, []byte{104, 255}, times*32<<20)
		}, 96, "cleartext", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, used := stressed(t, analyzeOptions{MaxMemory: tt.bound}, tt.make)
			t.Logf("%d MiB", used>>20)
			if used>>20 > tt.most {
				t.Errorf("%d MiB of memory, more than %d", used>>20, tt.most)
			}
			checkSound(t, doc)
			if all, err := json.Marshal(doc); err != nil || !strings.Contains(string(all), tt.says) {
				t.Errorf("the report does not say %q (%v)", tt.says, err)
			}
		})
	}
}

func checkSound(t *testing.T, doc *report.Document) {
	t.Helper()
	for _, c := range doc.Connections {
		if c.Client.Address == "10.0.0.1" && c.Client.Port == 40000 {
			if text(c.Verdict) != "mutual" {
				t.Errorf("the sound connection: %s", claims(c))
			}
			return
		}
	}
	t.Error("the sound connection is not in the report")
}

// TestMaxMemory: with a bound there is no room for all connections; those that
// are there keep their verdicts, and the capture does not pass.
func TestMaxMemory(t *testing.T) {
	const most = 96 << 20
	doc, used := stressed(t, analyzeOptions{MaxMemory: most}, func(s *stress) {
		for i := range 20_000 {
			s.wire.talk(spoofed(i), "10.0.0.2:443").hello13()
			s.send()
		}
	})
	t.Logf("%d MiB", used>>20)
	if used > most {
		t.Errorf("%d MiB of memory, more than %d", used>>20, most>>20)
	}
	checkSound(t, doc)
	if doc.Conclusion != "inconclusive" || doc.Inputs[0].Undecoded[omission.NoRoom] == 0 {
		t.Errorf("%s, %v", doc.Conclusion, doc.Inputs[0].Undecoded)
	}
}

// TestManyInterfaces: a pcapng file describes a million interfaces.
func TestManyInterfaces(t *testing.T) {
	w := newWire()
	w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
	data, err := mutate.Bytes(w.packets, mutate.Format{PCAPNG: true})
	if err != nil {
		t.Fatal(err)
	}
	const many = 1_000_000
	block := []byte{1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0}
	all := append(bytes.Clone(data), bytes.Repeat(block, many)...)
	var doc *report.Document
	if used := allocs.Of(func() { doc = documentOf(t, all) }) >> 20; used > 64 {
		t.Errorf("%d MiB were allocated", used)
	}
	checkSound(t, doc)
	if doc.Conclusion == "pass" || !strings.Contains(doc.Inputs[0].Damage, "interfaces") {
		t.Errorf("%s: %q", doc.Conclusion, doc.Inputs[0].Damage)
	}
}

// TestNestedTunnels: packets in packets in packets, and a sound connection.
func TestNestedTunnels(t *testing.T) {
	w := newWire()
	w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
	a, b := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	inner := w.packets[0].Data[14:]
	for depth := 1; depth < 2000; depth *= 2 {
		nested := inner
		for range depth {
			nested = ipPacket(4, 1, a, b, nested)
		}
		frame := ethernetFrame(nested)
		w.packets = append(w.packets, mutate.Packet{Data: frame, Length: len(frame), Time: w.now, LinkType: 1})
	}
	doc := documentOfPackets(t, w.packets, mutate.Format{})
	checkSound(t, doc)
	if n := doc.Inputs[0].Undecoded["too many nested encapsulations"]; n != 6 || doc.Conclusion != "inconclusive" {
		t.Errorf("%d packets nested too deeply, %s: %s", n, doc.Conclusion, fmt.Sprint(doc.Inputs[0].Undecoded))
	}
}
