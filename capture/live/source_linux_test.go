package live

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"distproof/capture"
	"distproof/capture/link"
)

// A space is a network namespace with a thread in it.
type space struct {
	t     testing.TB
	calls chan func()
	// name is for Options.Namespace.
	name string
}

// newSpace makes a namespace that goes away with the test.
func newSpace(t testing.TB) *space {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW: run as root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	s := &space{t: t, calls: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		handle, err := netns.New()
		made <- err
		if err != nil {
			return
		}
		defer handle.Close()
		s.name = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(handle))
		made <- nil
		for f := range s.calls {
			f()
		}
	}()
	for range 2 {
		if err := <-made; errors.Is(err, unix.EPERM) {
			t.Skip("needs CAP_SYS_ADMIN to make a network namespace")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { close(s.calls) })
	s.ip("link set lo up")
	return s
}

// in runs f in the namespace.
func (s *space) in(f func() error) {
	s.t.Helper()
	done := make(chan error)
	s.calls <- func() { done <- f() }
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) ip(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		s.in(func() error {
			out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("ip %s: %w: %s", line, err, out)
			}
			return nil
		})
	}
}

// pair makes two namespaces with an interface each, left and right, that are connected.
func pair(t testing.TB) (a, b *space) {
	t.Helper()
	a, b = newSpace(t), newSpace(t)
	a.ip("link add left type veth peer name right netns "+b.name, "addr add 10.9.0.1/24 dev left", "link set left addrgenmode none", "link set left up")
	b.ip("addr add 10.9.0.2/24 dev right", "link set right addrgenmode none", "link set right up")
	return a, b
}

// counted is what the kernel counted so far.
func (s *Source) counted() statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countLost()
	return s.stats
}

func open(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// talk sends size bytes over TCP from one namespace to another, and waits until
// they have come.
func talk(t *testing.T, from, to *space, address string, size int) {
	t.Helper()
	var l net.Listener
	to.in(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	defer l.Close()
	received := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			received <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		received <- n
	}()
	from.in(func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(bytes.Repeat([]byte("x"), size))
		return err
	})
	if n := <-received; n != int64(size) {
		t.Fatalf("%d bytes came, of %d", n, size)
	}
}

// A segment is a TCP segment and the packet that it was in.
type segment struct {
	link.Segment
	packet        capture.Packet
	encapsulation []string
}

// all stops s and returns what was captured.
func all(t *testing.T, s *Source) []segment {
	t.Helper()
	s.Stop()
	d := link.NewDecoder(link.Options{})
	var out []segment
	var p capture.Packet
	for {
		err := s.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out); p.Length < len(p.Data) || n > 0 && p.Frame.Number != out[n-1].packet.Frame.Number+1 {
			t.Fatalf("frame %v, %d bytes of %d", p.Frame, len(p.Data), p.Length)
		}
		var g segment
		if d.Decode(&p, &g.Segment) {
			g.Payload = bytes.Clone(g.Payload)
			g.packet, g.encapsulation = p, d.Encapsulation(g.Encapsulation)
			out = append(out, g)
		} else {
			t.Errorf("no segment: %v: % x", d.Undecoded(0), p.Data)
		}
	}
	if err := s.Next(&p); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	in := s.Inputs()[0]
	if n := len(out); n > 0 && (in.Packets != uint64(n) || in.First != out[0].packet.Time || in.Last < in.First || !in.Timed) {
		t.Errorf("%d packets: %+v", n, in)
	}
	return out
}

// covered counts the bytes of the streams that segments brought, each once: on a
// busy machine the kernel sends some again.
func covered(segments []segment) int {
	sorted := slices.Clone(segments)
	slices.SortFunc(sorted, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.Src.Port, b.Src.Port), int(int32(a.Seq-b.Seq)))
	})
	n, port, end := 0, uint16(0), uint32(0)
	for _, g := range sorted {
		if len(g.Payload) == 0 {
			continue
		}
		from, to := g.Seq, g.Seq+uint32(len(g.Payload))
		if g.Src.Port != port {
			port, end = g.Src.Port, from
		}
		if int32(from-end) < 0 {
			from = end
		}
		if int32(to-from) > 0 {
			n += int(to - from)
			end = to
		}
	}
	return n
}

// check wants one connection with every byte, and but for what was sent again
// once, whole.
func check(t *testing.T, segments []segment, size int, kind capture.LinkType) {
	t.Helper()
	syns, bytes := 0, 0
	for _, g := range segments {
		if g.Flags&link.SYN != 0 {
			syns++
		}
		bytes += len(g.Payload)
		if g.packet.LinkType != kind || len(g.Payload) != g.Length || len(g.packet.Data) != g.packet.Length {
			t.Errorf("link type %d, payload of %d bytes of %d, packet of %d bytes of %d", g.packet.LinkType, len(g.Payload), g.Length, len(g.packet.Data), g.packet.Length)
		}
		// What leaves this host has no checksum yet.
		if g.Damaged() {
			t.Errorf("a wrong checksum: % x", g.packet.Data)
		}
		if age := time.Since(capture.Time(g.packet.Time)); age < -time.Second || age > time.Minute {
			t.Errorf("captured %v ago", age)
		}
	}
	if got := covered(segments); syns != 2 || got != size || bytes > size+size/4 {
		t.Errorf("%d SYNs, want 2; %d bytes of payload, %d of them different, want %d", syns, bytes, got, size)
	}
}

// What is sent to oneself is there once, though it goes out and comes in.
func TestLoopback(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind capture.LinkType
	}{{"lo", linkEthernet}, {Any, linkCooked}} {
		t.Run(tt.name, func(t *testing.T) {
			a := newSpace(t)
			s := open(t, Options{Interfaces: []string{tt.name}, Namespace: a.name})
			talk(t, a, a, "127.0.0.1:0", 1000)
			check(t, all(t, s), 1000, tt.kind)
		})
	}
}

// Both directions, on a card and beside one, with frames as large as the kernel
// makes them.
func TestVeth(t *testing.T) {
	const size = 4 << 20
	for _, interfaces := range [][]string{{"left"}, {Any}, {"left", "lo"}} {
		t.Run(strings.Join(interfaces, " "), func(t *testing.T) {
			a, b := pair(t)
			a.ip("link set left gso_max_size 65536")
			s := open(t, Options{Interfaces: interfaces, Namespace: a.name, Promiscuous: true})
			talk(t, b, a, "10.9.0.1:0", 1000)
			b.ip("link set right gso_max_size 65536")
			kind := linkCooked
			if len(interfaces) == 1 && interfaces[0] != Any {
				kind = linkEthernet
			}
			check(t, all(t, s), 1000, kind)

			s = open(t, Options{Interfaces: interfaces, Namespace: a.name})
			talk(t, a, b, "10.9.0.2:0", size)
			segments := all(t, s)
			check(t, segments, size, kind)
			largest := 0
			for _, g := range segments {
				largest = max(largest, g.packet.Length)
			}
			if largest < 20_000 {
				t.Errorf("the largest packet has %d bytes: nothing was offloaded", largest)
			}
		})
	}
}

// Only the interfaces asked for are captured on.
func TestOtherInterfaces(t *testing.T) {
	a, b := pair(t)
	a.ip("link add name other type veth peer name far", "link set other up")
	for _, interfaces := range [][]string{{"lo"}, {"lo", "other"}} {
		s := open(t, Options{Interfaces: interfaces, Namespace: a.name})
		talk(t, a, b, "10.9.0.2:0", 1000)
		if segments := all(t, s); len(segments) > 0 {
			t.Errorf("%q: %d packets", interfaces, len(segments))
		}
	}
}

// next reads a single packet.
func next(t *testing.T, s *Source) capture.Packet {
	t.Helper()
	s.Stop()
	var p capture.Packet
	if err := s.Next(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

// The kernel takes the outermost VLAN tag out of packets; here it is again.
func TestVLAN(t *testing.T) {
	addresses := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, tt := range []struct {
		name string
		tags []byte
	}{
		{"802.1Q", []byte{0x81, 0, 0xe0, 55}}, // priority 7
		{"802.1ad", []byte{0x88, 0xa8, 0, 55}},
		{"priority only", []byte{0x81, 0, 0x20, 0}},
		{"two", []byte{0x88, 0xa8, 0, 55, 0x81, 0, 0, 56}},
		{"none", nil},
	} {
		packet := bytesOf([]byte{0x08, 0}, ip4(6, with(make([]byte, 400), 12, 0x50)))
		frame := bytesOf(addresses, tt.tags, packet)
		for _, name := range []string{"left", Any} {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				a, b := pair(t)
				a.ip("link set left promisc on") // the frame's address is nobody's
				s := open(t, Options{Interfaces: []string{name}, Namespace: a.name})
				b.in(func() error { return inject("right", frame) })
				p := next(t, s)
				got, want := p.Data, frame
				if name == Any { // of the header, only the protocol is of interest here
					got, want = bytesOf(p.Data[:2], p.Data[20:]), bytesOf(tt.tags, packet)
				}
				if !bytes.Equal(got, want) || p.Length != len(p.Data) {
					t.Errorf("% x, length %d,\nwant % x", got, p.Length, want)
				}
			})
		}
	}
}

// inject sends a frame.
func inject(name string, frame []byte) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := packetSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index, Protocol: hostToNetwork(unix.ETH_P_ALL)})
}

// tun makes an interface without a link layer, and returns its other end.
func (s *space) tun(name string) (fd int) {
	s.t.Helper()
	s.in(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	})
	s.t.Cleanup(func() { unix.Close(fd) })
	s.ip("link set "+name+" addrgenmode none", "link set "+name+" up")
	return fd
}

// An interface without a link layer, as VPNs have: the packets are cooked.
func TestTUN(t *testing.T) {
	a := newSpace(t)
	tun := a.tun("tun7")
	s := open(t, Options{Interfaces: []string{"tun7"}, Namespace: a.name})
	packet := ip4(6, with(make([]byte, 40), 12, 0x50))
	if _, err := unix.Write(tun, packet); err != nil {
		t.Fatal(err)
	}
	p := next(t, s)
	want := bytesOf(
		be16(0x0800), be16(0), // IPv4; reserved
		p.Data[4:8],                // number of the interface
		be16(0xfffe), []byte{0, 0}, // ARPHRD_NONE; to us; no address
		make([]byte, 8), packet)
	if p.LinkType != linkCooked || !bytes.Equal(p.Data, want) {
		t.Errorf("link type %d: % x,\nwant % x", p.LinkType, p.Data, want)
	}
}

// What a bridge forwards is seen on it in promiscuous mode only; users are told.
func TestBridge(t *testing.T) {
	bridge, a, b := newSpace(t), newSpace(t), newSpace(t)
	bridge.ip("link add name br7 type bridge", "link set br7 addrgenmode none", "link set br7 up")
	for i, end := range []*space{a, b} {
		port := fmt.Sprintf("port%d", i)
		bridge.ip("link add name "+port+" type veth peer name far netns "+end.name, "link set "+port+" master br7 addrgenmode none", "link set "+port+" up")
		end.ip("link set far addrgenmode none", fmt.Sprintf("addr add 10.9.0.%d/24 dev far", i+1), "link set far up")
	}
	talk(t, a, b, "10.9.0.2:0", 10) // the bridge now knows who is where, and floods nothing
	s := open(t, Options{Interfaces: []string{"br7"}, Namespace: bridge.name})
	promiscuous := open(t, Options{Interfaces: []string{"br7"}, Namespace: bridge.name, Promiscuous: true})
	if notes := s.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "br7 is a bridge") {
		t.Errorf("%q", notes)
	}
	if notes := promiscuous.Notes(); len(notes) != 0 {
		t.Errorf("promiscuous: %q", notes)
	}
	talk(t, a, b, "10.9.0.2:0", 1000)
	check(t, all(t, promiscuous), 1000, linkEthernet)
}

// Fragments arrive, datagrams of others do not.
func TestKernelLeavesOut(t *testing.T) {
	a, b := pair(t)
	talk(t, a, b, "10.9.0.2:0", 10) // the kernel now knows where it is, and sends at once
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name, VXLANPorts: []uint16{extraPort}})
	send := func(port, size int) {
		t.Helper()
		a.in(func() error {
			c, err := net.Dial("udp", fmt.Sprintf("10.9.0.2:%d", port))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write(bytes.Repeat([]byte{0xff}, size))
			return err
		})
	}
	send(53, 100)        // left out
	send(extraPort, 200) // taken
	send(53, 3000)       // in three fragments
	send(54, 100)        // left out
	s.Stop()
	var lengths []int
	var p capture.Packet
	for s.Next(&p) == nil {
		if p.Data[14+9] == unix.IPPROTO_UDP { // neither errors that come back, nor the end of the talk
			lengths = append(lengths, p.Length)
		}
	}
	// 14 bytes Ethernet, 20 IPv4, 8 UDP
	if want := []int{242, 1514, 1514, 14 + 20 + 8 + 3000 - 2*1480}; !slices.Equal(lengths, want) {
		t.Errorf("packets of %d bytes, want %d", lengths, want)
	}
}

// Next waits, and Stop from elsewhere ends that.
func TestStopWhileWaiting(t *testing.T) {
	a := newSpace(t)
	s := open(t, Options{Interfaces: []string{Any}, Namespace: a.name})
	ended := make(chan error)
	go func() {
		var p capture.Packet
		ended <- s.Next(&p)
	}()
	time.Sleep(10 * time.Millisecond)
	s.Stop()
	s.Stop()
	select {
	case err := <-ended:
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Next still waits")
	}
	// Nothing that comes later is captured.
	talk(t, a, a, "127.0.0.1:0", 10)
	if in := s.Inputs()[0]; in.Packets != 0 || in.Dropped != 0 {
		t.Errorf("%+v", in)
	}
}

// What finds no room is counted, and with what was captured it is everything.
func TestDrops(t *testing.T) {
	const size, packets = 40_000, 400
	a, b := pair(t)
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name, Buffer: MinBuffer, VXLANPorts: []uint16{extraPort}})
	reference := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name, Buffer: 64 << 20, VXLANPorts: []uint16{extraPort}})
	b.in(func() error {
		c, err := net.Dial("udp", fmt.Sprintf("10.9.0.1:%d", extraPort))
		if err != nil {
			return err
		}
		defer c.Close()
		for range packets {
			if _, err := c.Write(make([]byte, size)); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return err
			}
		}
		return nil
	})
	for before := uint64(0); ; time.Sleep(200 * time.Millisecond) {
		n := reference.counted().packets
		if n == before && s.counted().packets == n {
			break
		}
		before = n
	}
	count := func(s *Source) (read, lost uint64) {
		s.Stop()
		var p capture.Packet
		for s.Next(&p) == nil {
			read++
		}
		if in := s.Inputs()[0]; in.Packets != read {
			t.Errorf("%d packets read, %+v", read, in)
		}
		return read, s.Inputs()[0].Dropped
	}
	sent, missed := count(reference)
	read, lost := count(s)
	if missed != 0 || read == 0 || lost == 0 || read+lost != sent {
		t.Errorf("%d packets read and %d lost; with a larger ring %d and %d", read, lost, sent, missed)
	}
	if again, n := s.Inputs()[0].Dropped, s.counted(); again != lost || n.packets != sent || n.dropped != lost || n.full == 0 {
		t.Errorf("asked again, %d lost; %+v", again, n)
	}
}

// An interface that is not there any more at the end may hide what went another way.
func TestInterfaceDown(t *testing.T) {
	for _, tt := range []struct {
		name, step, want string
		interfaces       []string
	}{
		{"down", "link set left down", "left went down", []string{"left"}},
		{"down, one of two", "link set left down", "left went down", []string{"lo", "left"}},
		{"away", "link del left", "left went ", []string{"left"}}, // down, then away
		{"another", "link set other down", "", []string{"left"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t)
			a.ip("link add name other type veth peer name far", "link set other up")
			s := open(t, Options{Interfaces: tt.interfaces, Namespace: a.name})
			talk(t, a, b, "10.9.0.2:0", 1000)
			a.ip(tt.step)
			check(t, all(t, s), 1000, map[bool]capture.LinkType{true: linkEthernet, false: linkCooked}[len(tt.interfaces) == 1])
			d := s.Inputs()[0].Damage
			if (d != nil) != (tt.want != "") || d != nil && (!strings.Contains(d.Reason, tt.want) || !d.Continued) {
				t.Errorf("damage %v, want %q", d, tt.want)
			}
		})
	}
}

// After an interface was down, packets are captured again, and none was missed.
func TestInterfaceUpAgain(t *testing.T) {
	a, b := pair(t)
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name})
	a.ip("link set left down", "link set left up")
	talk(t, a, b, "10.9.0.2:0", 1000)
	check(t, all(t, s), 1000, linkEthernet)
	if in := s.Inputs()[0]; in.Damage != nil || in.Dropped != 0 {
		t.Errorf("%d packets were missed, damage: %v", in.Dropped, in.Damage)
	}
}

func TestOpenErrors(t *testing.T) {
	a := newSpace(t)
	a.ip("link add name idle type veth peer name far")
	for _, tt := range []struct {
		name           string
		o              Options
		reason, advice string
	}{
		{"no interface", Options{}, "no interface", "any"},
		{"any and another", Options{Interfaces: []string{Any, "lo"}}, "any: has all", ""},
		{"unknown", Options{Interfaces: []string{"lo", "eth7"}, Namespace: a.name}, "eth7: no such interface", "idle (down)"},
		{"mistyped", Options{Interfaces: []string{"ilde"}, Namespace: a.name}, "ilde: no such interface", "did you mean idle?\nthe interfaces are lo"},
		{"any, mistyped", Options{Interfaces: []string{"ayn"}, Namespace: a.name}, "ayn: no such interface", "did you mean any?\n"},
		{"down", Options{Interfaces: []string{"idle"}, Namespace: a.name}, "idle: the interface is down", "interfaces are lo, "},
		{"no namespace", Options{Interfaces: []string{"lo"}, Namespace: "no-such-namespace"}, "network namespace no-such-namespace: there is none", "ip netns list"},
		{"no process", Options{Interfaces: []string{"lo"}, Namespace: "999999999"}, "there is none", "docker inspect"},
		{"no namespace file", Options{Interfaces: []string{"lo"}, Namespace: "/dev/null"}, "no network namespace", ""},
		{"too many ports", Options{Interfaces: []string{"lo"}, Namespace: a.name, VXLANPorts: make([]uint16, 300)}, "more than 255", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(tt.o)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			t.Logf("OK error: %v", err)
			e, ok := errors.AsType[*capture.Error](err)
			if !ok || !strings.Contains(e.Error(), tt.reason) || !strings.Contains(e.Hint(), tt.advice) {
				t.Errorf("%v; hint %q", err, e.Hint())
			}
		})
	}
}

// Without the capability the error names it, and how to give it.
func TestNoCapability(t *testing.T) {
	a := newSpace(t)
	check := func(err error, reason, advice string) {
		t.Helper()
		e, ok := errors.AsType[*capture.Error](err)
		if !ok || !strings.Contains(e.Error(), reason) || !strings.Contains(e.Hint(), advice) {
			t.Errorf("%v", err)
		}
	}
	a.in(func() error {
		// Capabilities are those of the thread, which ends with the test.
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		_, err := Open(Options{Interfaces: []string{"lo"}})
		check(err, "CAP_NET_RAW", "setcap cap_net_raw+ep")
		_, err = Open(Options{Interfaces: []string{Any}})
		check(err, "CAP_NET_RAW", "setcap cap_net_raw+ep")
		return nil
	})
	check(namespaceError("x", unix.EPERM), "CAP_SYS_ADMIN", "cap_sys_admin")
}
