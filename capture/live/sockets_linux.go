package live

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"distproof/capture"
)

// States of TCP sockets, of the kernel's net/tcp_states.h.
const (
	stateEstablished = 1
	stateListen      = 10
)

// A SocketTable lists the TCP connections that are up and the listeners of a
// network namespace, by sock_diag(7), and the processes behind them. Listing needs
// no privilege, but for the processes: without CAP_SYS_PTRACE, for the links in
// /proc/PID/fd, and CAP_DAC_READ_SEARCH, for the folder itself, those of other users
// that were not found before are not known.
type SocketTable struct {
	mu       sync.Mutex
	fd       int
	buf      []byte
	sequence uint32
	// owners are the processes of the sockets listed last, by cookie: zero if they
	// could not be found.
	owners map[uint64]Process
}

// OpenSockets opens the table of a network namespace (see [Options.Namespace]).
func OpenSockets(namespace string) (*SocketTable, error) {
	t := &SocketTable{fd: -1, buf: make([]byte, 256<<10)}
	err := within(namespace, func() (err error) {
		t.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
		if err != nil {
			return socketsError(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The kernel answers at once; this is for when it does not.
	if err := unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Close()
		return nil, socketsError(err)
	}
	return t, nil
}

func socketsError(err error) error {
	e := &capture.Error{Reason: "cannot list the sockets: " + reasonOf(err), Err: err}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		e.Reason = "cannot list the sockets: this kernel does not tell them (CONFIG_INET_DIAG)"
	}
	return e
}

// List returns what the kernel had while it was asked, in the order of addresses
// and ports: connections come and go meanwhile. Of more than [MaxSockets], the
// rest is left out.
func (t *SocketTable) List() ([]Socket, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []diagnosis
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var err error
		if found, err = t.dump(family, found); err != nil {
			return nil, socketsError(err)
		}
	}
	t.findOwners(found)
	out := make([]Socket, len(found))
	for i, d := range found {
		out[i] = d.socket
		out[i].Process = t.owners[d.cookie]
	}
	slices.SortFunc(out, Socket.Compare)
	return out, nil
}

// Close gives the socket back.
func (t *SocketTable) Close() error { return unix.Close(t.fd) }

// A diagnosis is what the kernel tells of a socket. The cookie is of this socket
// alone; the inode is zero as long as no process has it.
type diagnosis struct {
	socket Socket
	cookie uint64
	inode  uint32
}

// Lengths of struct inet_diag_req_v2 and inet_diag_msg, and the attribute with a
// struct tcp_info.
const (
	diagRequest  = 56
	diagMessage  = 72
	diagTCPInfo  = 2
	bytesAcked   = int(unsafe.Offsetof(unix.TCPInfo{}.Bytes_acked))
	bytesArrived = int(unsafe.Offsetof(unix.TCPInfo{}.Bytes_received))
)

// dump adds the sockets of an address family to found.
func (t *SocketTable) dump(family uint8, found []diagnosis) ([]diagnosis, error) {
	t.sequence++
	// struct inet_diag_req_v2: family (1), protocol (1), attributes wanted (1),
	// padding (1), states (4), then which socket
	request := make([]byte, unix.SizeofNlMsghdr+diagRequest)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(request[8:], t.sequence)
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagTCPInfo-1)
	binary.NativeEndian.PutUint32(body[4:], 1<<stateEstablished|1<<stateListen)
	if err := unix.Sendto(t.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return found, err
	}
	for {
		n, _, err := unix.Recvfrom(t.fd, t.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return found, err
		}
		var done bool
		if found, done, err = t.messages(t.buf[:n], found); err != nil || done {
			return found, err
		}
	}
}

// messages reads messages of netlink(7): length (4), type (2), flags (2),
// sequence (4), port (4).
func (t *SocketTable) messages(b []byte, found []diagnosis) (_ []diagnosis, done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return found, false, unix.EBADMSG
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch kind := binary.NativeEndian.Uint16(b[4:]); {
		case binary.NativeEndian.Uint32(b[8:]) != t.sequence: // left of an earlier question
		case kind == unix.NLMSG_DONE:
			return found, true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return found, false, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= diagMessage && len(found) < MaxSockets:
			found = append(found, diagnose(body))
		}
		b = b[min(align4(size), len(b)):]
	}
	return found, false, nil
}

func align4(n int) int { return (n + 3) &^ 3 }

// diagnose reads a struct inet_diag_msg: family (1), state (1), timer (1),
// retransmissions (1); ports (2 each, big-endian), addresses (16 each), interface
// (4), cookie (8); expires (4), queues (4 each), user (4), inode (4). Attributes
// follow.
func diagnose(b []byte) diagnosis {
	d := diagnosis{cookie: binary.NativeEndian.Uint64(b[44:]), inode: binary.NativeEndian.Uint32(b[68:])}
	d.socket.Listening = b[1] == stateListen
	d.socket.Local = endOf(b[0], b[8:24], b[4:])
	if !d.socket.Listening {
		d.socket.Remote = endOf(b[0], b[24:40], b[6:])
		d.socket.Received, d.socket.Sent = transferred(b[diagMessage:])
	}
	return d
}

func endOf(family uint8, address, port []byte) netip.AddrPort {
	a := netip.AddrFrom16([16]byte(address)).Unmap()
	if family == unix.AF_INET {
		a = netip.AddrFrom4([4]byte(address))
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
}

// transferred finds the counters of bytes among attributes: length (2), type (2),
// value. Older kernels tell less.
func transferred(b []byte) (received, sent uint64) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return 0, 0
		}
		if binary.NativeEndian.Uint16(b[2:]) == diagTCPInfo {
			if info := b[4:size]; len(info) >= bytesArrived+8 {
				return binary.NativeEndian.Uint64(info[bytesArrived:]), binary.NativeEndian.Uint64(info[bytesAcked:])
			}
		}
		b = b[min(align4(size), len(b)):]
	}
	return 0, 0
}

// findOwners looks for the processes of the sockets that are new, and forgets
// those that are gone.
func (t *SocketTable) findOwners(found []diagnosis) {
	wanted := make(map[uint32]Process)
	owners := make(map[uint64]Process, len(found))
	for _, d := range found {
		if known, ok := t.owners[d.cookie]; ok {
			owners[d.cookie] = known
		} else if d.inode != 0 {
			wanted[d.inode] = Process{}
		}
	}
	if len(wanted) > 0 {
		ownersOf(wanted)
	}
	for _, d := range found {
		if p, ok := wanted[d.inode]; ok {
			owners[d.cookie] = p
		}
	}
	t.owners = owners
}

// ownersOf finds which processes have the sockets with some inodes: those of all
// namespaces, as a socket can be handed from one to another. What ends meanwhile,
// or belongs to others, is passed over.
func ownersOf(wanted map[uint32]Process) {
	d, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range pids {
		var p *Process
		eachSocket(pid, func(inode uint32) {
			// The parent, which was there before, keeps it.
			if known, ok := wanted[inode]; !ok || known.ID != 0 {
				return
			}
			if p == nil {
				p = processOf(pid)
			}
			wanted[inode] = *p
		})
	}
}

// eachSocket calls f with the inodes of a process's sockets.
func eachSocket(pid int, f func(inode uint32)) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	var target [64]byte
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			n, _ := unix.Readlinkat(int(d.Fd()), name, target[:])
			number, ok := strings.CutPrefix(string(target[:max(n, 0)]), "socket:[")
			if !ok {
				continue
			}
			if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); err == nil {
				f(uint32(inode))
			}
		}
		if err != nil {
			return
		}
	}
}

func processOf(pid int) *Process {
	proc := os.DirFS("/proc/" + strconv.Itoa(pid))
	name, _ := fs.ReadFile(proc, "comm")
	cgroup, _ := fs.ReadFile(proc, "cgroup")
	return &Process{ID: pid, Name: strings.TrimSuffix(string(name), "\n"), Container: containerOf(string(cgroup))}
}
