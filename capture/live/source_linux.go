package live

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"distproof/capture"
)

// A Source captures until it is stopped. It is a [capture.Source] with a single
// input, whose packets are in the order in which the kernel saw them.
type Source struct {
	mu sync.Mutex // over what Stop, Inputs and Close share with Next
	in capture.Input
	// fd is the packet socket, wake an eventfd; -1 when closed.
	fd, wake int
	stopping bool

	ring  *ring
	links *links // nil with Any
	notes []string
	frame uint32
	// ended is set when nothing more will come.
	ended bool
}

// Open begins to capture. An [*capture.Error] says what is missing: the
// interface, or which capability.
func Open(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Source{fd: -1, wake: -1}
	s.in.Path, s.in.Format = strings.Join(o.Interfaces, ","), "live"
	if err := within(o.Namespace, func() error { return s.open(o) }); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open opens everything, in the namespace.
func (s *Source) open(o Options) error {
	names, err := resolve(o.Interfaces)
	if err != nil {
		return err
	}
	// Without a protocol the socket gets no packet before it is bound: none comes
	// in before the filter and the ring are there.
	cooked := true
	if len(names) == 1 {
		if cooked, err = lacksEthernet(indexes(names)[0]); err != nil {
			return permission(err)
		}
	}
	if s.fd, err = packetSocket(); err != nil {
		return permission(err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return systemError("eventfd", err)
	}
	if len(names) > 0 {
		if s.links, err = watchLinks(names); err != nil {
			return systemError("netlink", err)
		}
	}
	if err := s.prepare(o, names, cooked); err != nil {
		return err
	}
	return s.bind(o, names)
}

// prepare sets up the socket.
func (s *Source) prepare(o Options, names map[int]string, cooked bool) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return systemError("PACKET_VERSION", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_RESERVE, headroom); err != nil {
		return systemError("PACKET_RESERVE", err)
	}
	var only []int
	if len(names) > 1 {
		only = indexes(names)
	}
	filter, err := kernelFilter(only, o.VXLANPorts)
	if err != nil {
		return &capture.Error{Reason: err.Error()}
	}
	if err := attach(s.fd, filter); err != nil {
		return systemError("SO_ATTACH_FILTER", err)
	}
	s.ring, err = openRing(s.fd, cmp.Or(o.Buffer, DefaultBuffer), cooked)
	if errors.Is(err, unix.ENOMEM) {
		return &capture.Error{Reason: "no memory for the ring of packets", Advice: "give it less: --buffer", Err: err}
	}
	if err != nil {
		return systemError("PACKET_RX_RING", err)
	}
	return nil
}

// bind lets packets in.
func (s *Source) bind(o Options, names map[int]string) error {
	address := &unix.SockaddrLinklayer{Protocol: hostToNetwork(unix.ETH_P_ALL)}
	if len(names) == 1 {
		address.Ifindex = indexes(names)[0]
	}
	if err := unix.Bind(s.fd, address); err != nil {
		return systemError("bind", err)
	}
	if !o.Promiscuous {
		s.warn(names)
		return nil
	}
	for _, index := range indexes(names) {
		m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return systemError("promiscuous mode of "+names[index], err)
		}
	}
	return nil
}

// warn notes bridges: what they forward they do not see.
func (s *Source) warn(names map[int]string) {
	for _, index := range indexes(names) {
		name := names[index]
		if info, err := unix.IoctlGetEthtoolDrvinfo(s.fd, name); err == nil && unix.ByteSliceToString(info.Driver[:]) == "bridge" {
			s.notes = append(s.notes, name+" is a bridge: what passes it from one port to another is seen in promiscuous mode only")
		}
	}
}

// Notes are remarks on what may not be captured, for the user.
func (s *Source) Notes() []string { return s.notes }

// resolve looks names up; there are none for [Any].
func resolve(interfaces []string) (map[int]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, systemError("interfaces", err)
	}
	names := make(map[int]string)
	for _, name := range interfaces {
		if name == Any {
			return nil, nil
		}
		i := slices.IndexFunc(all, func(i net.Interface) bool { return i.Name == name })
		if i < 0 {
			return nil, &capture.Error{Path: name, Reason: "no such interface", Advice: adviceInterfaces(all), Err: unix.ENODEV}
		}
		if all[i].Flags&net.FlagUp == 0 {
			return nil, &capture.Error{Path: name, Reason: "the interface is down", Advice: adviceInterfaces(all), Err: unix.ENETDOWN}
		}
		names[all[i].Index] = name
	}
	return names, nil
}

func indexes(names map[int]string) []int {
	var list []int
	for index := range names {
		list = append(list, index)
	}
	slices.Sort(list)
	return list
}

// packetSocket opens a socket, which gets packets from where the link layer
// begins.
func packetSocket() (int, error) {
	return unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// lacksEthernet reports whether the packets of an interface begin with something
// other than an Ethernet header.
func lacksEthernet(index int) (bool, error) {
	fd, err := packetSocket()
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		return false, err
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return false, err
	}
	l, _ := address.(*unix.SockaddrLinklayer)
	return l == nil || !isEthernet(l.Hatype), nil
}

// isEthernet says whether interfaces of an ARPHRD type have Ethernet headers.
func isEthernet(hardware uint16) bool {
	return hardware == arphrdEther || hardware == arphrdLoopback
}

func attach(fd int, filter []bpf.RawInstruction) error {
	code := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		code[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

func hostToNetwork(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// permission says which capability is missing.
func permission(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &capture.Error{
			Reason: "no permission to capture: the capability CAP_NET_RAW is missing",
			Advice: setcap("cap_net_raw") + "\nin a container: docker run --cap-add NET_RAW; or be root",
			Err:    err,
		}
	case errors.Is(err, unix.EAFNOSUPPORT):
		return &capture.Error{Reason: "this kernel has no packet sockets (CONFIG_PACKET)", Err: err}
	}
	return systemError("AF_PACKET", err)
}

func systemError(what string, err error) error {
	return &capture.Error{Reason: "cannot capture: " + what + ": " + reasonOf(err), Err: err}
}

// Next waits for the next packet; see [capture.Source]. After [Source.Stop] it
// returns what is in the ring, and then io.EOF. Packet data is that of the ring.
func (s *Source) Next(p *capture.Packet) error {
	for !s.ended && !s.ring.ready() {
		if err := s.wait(); err != nil {
			s.ended = true
			return err
		}
	}
	if s.ended {
		return io.EOF
	}
	s.ring.next(p)
	if s.frame < math.MaxUint32 {
		s.frame++
	}
	p.Frame = capture.Frame{Number: s.frame}
	s.count(p)
	return nil
}

// count keeps the input's counters.
func (s *Source) count(p *capture.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &s.in
	in.Packets++
	in.Bytes += uint64(len(p.Data))
	if p.Length > len(p.Data) {
		in.Snapped++
	}
	if !in.Timed {
		in.First, in.Last, in.Timed = p.Time, p.Time, true
	}
	in.First, in.Last = min(in.First, p.Time), max(in.Last, p.Time)
}

// lastBlock is how long the kernel may take to hand over the block that it was
// filling when the filter was closed.
const lastBlock = 3 * retirement * time.Millisecond

// wait waits for a block, and for what else may happen. It returns io.EOF when
// the capture was stopped and nothing is left.
func (s *Source) wait() error {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}}
	timeout := -1
	if stopping {
		timeout = int(lastBlock.Milliseconds())
	} else {
		fds[1] = unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN}
	}
	if s.links != nil {
		fds[2] = unix.PollFd{Fd: int32(s.links.fd), Events: unix.POLLIN}
	}
	n, err := unix.Poll(fds, timeout)
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return systemError("poll", err)
	case n == 0 && !s.ring.ready():
		return io.EOF
	}
	if fds[2].Revents != 0 {
		if text := s.links.trouble(); text != "" {
			s.damage(text)
		}
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		s.failed()
	}
	return nil
}

// failed takes the socket's error. Of an interface that is down links tells,
// too, and by name.
func (s *Source) failed() {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 && unix.Errno(errno) != unix.ENETDOWN {
		s.damage(unix.Errno(errno).Error())
	}
}

// damage notes that packets may be missing from here on; the first trouble stays.
func (s *Source) damage(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in.Damage == nil {
		s.in.Damage = &capture.Damage{Frame: s.frame, Reason: reason, Continued: true}
	}
}

// Inputs describes the capture so far; it may be called from any goroutine.
func (s *Source) Inputs() []capture.Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countLost()
	return []capture.Input{s.in}
}

// countLost adds what the kernel lost, whose counters start anew when read.
func (s *Source) countLost() {
	if s.ring != nil && s.fd >= 0 {
		s.in.Dropped += s.ring.lost()
	}
}

// HasSecrets implements [capture.Source]: packets from a network come without.
func (s *Source) HasSecrets() bool { return false }

// Stop ends the capture: packets from now on are not taken. It may be called from
// any goroutine, also several times.
func (s *Source) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.fd < 0 {
		return
	}
	s.stopping = true
	if closed, err := bpf.Assemble(leave); err == nil {
		_ = attach(s.fd, closed) // it has the room of the one before
	}
	_, _ = unix.Write(s.wake, []byte{7: 1}) // any number but zero
}

// Close gives everything back; it must not be called while Next runs.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countLost()
	s.ended = true
	var errs []error
	if s.ring != nil {
		errs = append(errs, s.ring.close())
		s.ring = nil
	}
	if s.links != nil {
		errs = append(errs, s.links.close())
		s.links = nil
	}
	for _, fd := range []*int{&s.fd, &s.wake} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the capture: %w", err)
	}
	return nil
}
