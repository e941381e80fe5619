package live

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"distproof/capture"
	"distproof/capture/link"
)

// fanout opens n sources among which the kernel shares packets out by flow.
func fanout(t testing.TB, n int, o Options) (out []*Source) {
	t.Helper()
	for range n {
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, 7|unix.PACKET_FANOUT_HASH<<16); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// Why there is not a ring for each worker: the kernel shares packets out by their
// outermost headers. Both directions of a connection come to the same ring then,
// but not those of one in a tunnel: somebody would have to bring them in order.
func TestFanout(t *testing.T) {
	const connections, rings, port = 16, 2, 7001
	a, b := pair(t)
	for i, end := range []*space{a, b} {
		name := []string{"left", "right"}[i]
		end.ip(fmt.Sprintf("link add tunnel type vxlan id 7 dstport 4789 local 10.9.0.%d remote 10.9.0.%d dev %s", 1+i, 2-i, name),
			fmt.Sprintf("addr add 10.8.0.%d/24 dev tunnel", 1+i), "link set tunnel up")
	}
	for _, tt := range []struct {
		name, host string
		together   bool
	}{{"plain", "10.9.0.2", true}, {"VXLAN", "10.8.0.2", false}} {
		t.Run(tt.name, func(t *testing.T) {
			sources := fanout(t, rings, Options{Interfaces: []string{"left"}, Namespace: a.name})
			for i := range connections {
				talk(t, a, b, fmt.Sprintf("%s:%d", tt.host, port+i), 1000)
			}
			var in [rings]map[uint16]bool // the connections in each, by port
			both := 0
			for i, s := range sources {
				in[i] = ports(t, s)
			}
			for p := range in[0] {
				if in[1][p] {
					both++
				}
			}
			t.Logf("%d and %d connections are in the rings, %d of them in both", len(in[0]), len(in[1]), both)
			if len(in[0]) == 0 || len(in[1]) == 0 || len(in[0])+len(in[1])-both != connections || (both == 0) != tt.together {
				t.Errorf("%d and %d connections are in the rings, %d of them in both", len(in[0]), len(in[1]), both)
			}
		})
	}
}

// ports stops s and returns the servers' ports of the connections captured.
func ports(t *testing.T, s *Source) map[uint16]bool {
	t.Helper()
	s.Stop()
	out := make(map[uint16]bool)
	links := link.NewDecoder(link.Options{})
	var p capture.Packet
	var g link.Segment
	for s.Next(&p) == nil {
		if links.Decode(&p, &g) {
			out[min(g.Src.Port, g.Dst.Port)] = true
		}
	}
	return out
}

// BenchmarkRings takes packets out of a ring, and out of two at once among which
// the kernel shares them out; and tells how long it took to get them there, from
// two goroutines.
func BenchmarkRings(b *testing.B) {
	const packets, senders = 200_000, 2
	left, right := pair(b)
	for _, size := range []int{128, 800} {
		for _, rings := range []int{1, 2} {
			b.Run(fmt.Sprintf("%d/%d", size, rings), func(b *testing.B) {
				sources := fanout(b, rings, Options{Interfaces: []string{"left"}, Namespace: left.name, Buffer: 256 << 20 / rings})
				var filling time.Duration
				for b.Loop() {
					b.StopTimer()
					before := came(sources)
					began := time.Now()
					inTurns(senders, func(i int) { flood(b, right, i, size, packets/senders) })
					filling += time.Since(began)
					time.Sleep(5 * retirement * time.Millisecond) // until the last block is handed over
					b.StartTimer()
					inTurns(rings, func(i int) { drain(b, sources[i], sources[i].counted().packets) })
					if n := came(sources) - before; n != packets {
						b.Fatalf("%d packets of %d came", n, packets)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packets, "ns/packet")
				b.ReportMetric(float64(filling.Nanoseconds())/float64(b.N)/packets, "filling-ns/packet")
			})
		}
	}
}

// inTurns runs f in n goroutines.
func inTurns(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// came is how many packets came, and were not dropped.
func came(sources []*Source) (n uint64) {
	for _, s := range sources {
		n += s.counted().packets - s.counted().dropped
	}
	return n
}

// drain reads until as many packets were read ever.
func drain(b *testing.B, s *Source, all uint64) {
	links := link.NewDecoder(link.Options{})
	var p capture.Packet
	var g link.Segment
	for uint64(s.frame) < all {
		if err := s.Next(&p); err != nil {
			b.Error(err)
			return
		}
		if !links.Decode(&p, &g) {
			b.Error("no segment")
			return
		}
	}
}

// flood sends packets of 8 connections.
func flood(b *testing.B, from *space, sender, size, packets int) {
	fd := -1
	from.in(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		out, err := net.InterfaceByName("right")
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: out.Index})
	})
	defer unix.Close(fd)
	frame := make([]byte, size)
	copy(frame[12:], []byte{8, 0, 0x45, 0})
	binary.BigEndian.PutUint16(frame[16:], uint16(size-14))
	copy(frame[22:], []byte{64, unix.IPPROTO_TCP, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1})
	frame[34+12] = 5 << 4
	for i := range packets {
		binary.BigEndian.PutUint16(frame[34:], uint16(10_000+sender*100+i%8))
		if _, err := unix.Write(fd, frame); err != nil {
			b.Error(err)
			return
		}
	}
}
