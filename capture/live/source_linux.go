package live

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"distproof/capture"
)

// A Source captures until it is stopped. It is a [capture.Source] with a single
// input, whose packets are in the order in which the kernel saw them. Once opened,
// it needs no capability any more, and opens nothing.
type Source struct {
	options Options

	mu sync.Mutex // over what other goroutines share with Next
	in capture.Input
	// fd is the packet socket, wake an eventfd; -1 when closed.
	fd, wake int
	stopping bool
	links    *links
	states   map[string]*state
	stats    statistics
	// missed counts the packets that crossed interfaces that were back before they
	// were captured on again.
	missed uint64
	// watched is closed when interfaces are followed no more.
	watched chan struct{}
	// noticed has something when an interface has changed.
	noticed chan struct{}

	ring  *ring
	notes []string
	frame uint32
	// ended is set when nothing more will come.
	ended bool
}

// statistics count packets since the capture began, as the kernel does.
type statistics struct {
	// packets passed the filter. dropped of them found no room.
	packets, dropped uint64
	// full counts how often the ring was full.
	full uint64
}

// Open begins to capture. An [*capture.Error] says what is missing: the
// interface, or which capability.
func Open(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Source{options: o, fd: -1, wake: -1, states: make(map[string]*state), noticed: make(chan struct{}, 1)}
	s.in.Path, s.in.Format = o.describe(), "live"
	if err := within(o.Namespace, s.open); err != nil {
		s.Close()
		return nil, err
	}
	s.watched = make(chan struct{})
	go s.watch()
	return s, nil
}

// open opens everything, in the namespace.
func (s *Source) open() (err error) {
	// Without a protocol the socket gets no packet before it is bound: none comes
	// in before the filter and the ring are there.
	if s.fd, err = packetSocket(); err != nil {
		return permission(err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return systemError("eventfd", err)
	}
	for _, name := range s.options.Interfaces {
		if name != Any {
			s.states[name] = &state{InterfaceState: InterfaceState{Name: name}}
		}
	}
	if s.links, err = openLinks(s.linkChanged); err != nil {
		return systemError("netlink", err)
	}
	if err := s.refuseMissing(); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.aim(); err != nil {
		return err
	}
	s.warn()
	return nil
}

// prepare sets up the socket.
func (s *Source) prepare() error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return systemError("PACKET_VERSION", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_RESERVE, headroom); err != nil {
		return systemError("PACKET_RESERVE", err)
	}
	if s.options.HardwareTime {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_TIMESTAMP, unix.SOF_TIMESTAMPING_RAW_HARDWARE); err != nil {
			return systemError("PACKET_TIMESTAMP", err)
		}
	}
	if err := s.filter(); err != nil {
		return err
	}
	var err error
	s.ring, err = openRing(s.fd, cmp.Or(s.options.Buffer, DefaultBuffer), !s.single())
	if errors.Is(err, unix.ENOMEM) {
		return &capture.Error{Reason: "no memory for the ring of packets", Advice: "give it less: --buffer", Err: err}
	}
	if err != nil {
		return systemError("PACKET_RX_RING", err)
	}
	return nil
}

// filter gives the socket its filter, of several interfaces with their numbers.
func (s *Source) filter() error {
	var only []int
	if !s.any() && !s.single() {
		only = s.indexes()
	}
	code, err := kernelFilter(only, &s.options)
	if err != nil {
		return &capture.Error{Reason: err.Error()}
	}
	err = attach(s.fd, code)
	if err != nil && s.options.Filter != nil {
		return &capture.Error{Reason: "the kernel refuses the filter: " + reasonOf(err), Err: err}
	}
	if err != nil {
		return systemError("SO_ATTACH_FILTER", err)
	}
	return nil
}

// indexes are the numbers of the interfaces that are there; not nil.
func (s *Source) indexes() []int {
	list := []int{}
	for _, i := range s.states {
		if i.index != 0 {
			list = append(list, i.index)
		}
	}
	slices.Sort(list)
	return list
}

// aim lets packets in: of the interface, if it is only one and there, or of all,
// among which the filter chooses.
func (s *Source) aim() error {
	address := &unix.SockaddrLinklayer{Protocol: hostToNetwork(unix.ETH_P_ALL)}
	there := s.indexes()
	if s.single() {
		if len(there) == 0 {
			return nil
		}
		address.Ifindex = there[0]
	}
	if err := unix.Bind(s.fd, address); err != nil {
		return systemError("bind", err)
	}
	if s.any() || !s.options.Promiscuous {
		return nil
	}
	for _, index := range there {
		m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return systemError("promiscuous mode", err)
		}
	}
	return nil
}

// Notes are remarks on what may not be captured, for the user.
func (s *Source) Notes() []string { return s.notes }

// packetSocket opens a socket, which gets packets from where the link layer
// begins.
func packetSocket() (int, error) {
	return unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
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

// grace is how many milliseconds the kernel may take to hand over what it took
// before the filter was closed: a block that it was filling, or else a packet that
// had just passed.
func (s *Source) grace() int {
	if s.ring.begun() > 0 {
		return 25 * retirement // on a machine that is busy; else it takes one
	}
	return 10
}

// wait waits for a block. It returns io.EOF when the capture was stopped and
// nothing is left.
func (s *Source) wait() error {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: -1}}
	timeout := -1
	if stopping {
		timeout = s.grace()
	} else {
		fds[1] = unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN}
	}
	n, err := unix.Poll(fds, timeout)
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return systemError("poll", err)
	case n == 0 && !s.ring.ready() && s.grace() <= timeout:
		return io.EOF
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
		s.mu.Lock()
		defer s.mu.Unlock()
		s.damage(unix.Errno(errno).Error())
	}
}

// damage notes that packets may be missing from here on; the first trouble stays.
// The caller has locked s.
func (s *Source) damage(reason string) {
	if s.in.Damage == nil {
		s.in.Damage = &capture.Damage{Frame: s.lastFrame(), Reason: reason, Continued: true}
	}
}

// lastFrame is the number of the last packet. The caller has locked s.
func (s *Source) lastFrame() uint32 { return uint32(min(s.in.Packets, math.MaxUint32)) }

// Inputs describes the capture so far; it may be called from any goroutine.
func (s *Source) Inputs() []capture.Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow()
	s.countLost()
	in := s.in
	in.Dropped += s.missed
	if in.Damage == nil {
		in.Damage = s.away()
	}
	return []capture.Input{in}
}

// countLost adds what the kernel counted, which starts anew when read.
func (s *Source) countLost() {
	if s.ring == nil || s.fd < 0 {
		return
	}
	if n, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		s.stats.packets += uint64(n.Packets)
		s.stats.dropped += uint64(n.Drops)
		s.stats.full += uint64(n.Freeze_q_cnt)
		s.in.Dropped = s.stats.dropped
	}
}

// HasSecrets implements [capture.Source]: packets from a network come without.
func (s *Source) HasSecrets() bool { return false }

// Stop ends the capture: packets from now on are not taken. It may be called from
// any goroutine, also several times.
func (s *Source) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow()
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
	s.Stop()
	if s.watched != nil {
		<-s.watched
	}
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
