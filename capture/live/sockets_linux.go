package live

import (
	"cmp"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"distproof/capture"
)

// States of TCP sockets, of the kernel's net/tcp_states.h.
const (
	stateEstablished = 1
	stateListen      = 10
)

// maxSockets bounds what is kept of a host's sockets.
const maxSockets = 1 << 18

// Sockets lists the TCP connections that are up and the listeners of a network
// namespace (see [Options.Namespace]), by sock_diag(7), and the processes behind
// them. Without CAP_SYS_PTRACE those of other users are not known. It is what
// the kernel had while it was asked: connections come and go meanwhile.
func Sockets(namespace string) ([]Socket, error) {
	var found []*netlink.Socket
	err := within(namespace, func() error {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			sockets, err := netlink.SocketDiagTCP(family)
			if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				return &capture.Error{Reason: "cannot list the sockets: " + reasonOf(err), Err: err}
			}
			found = append(found, sockets...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	owners := owners()
	var out []Socket
	for _, s := range found {
		if s.State != stateEstablished && s.State != stateListen || len(out) == maxSockets {
			continue
		}
		one := Socket{Local: addrPort(s.ID.Source, s.ID.SourcePort), Listening: s.State == stateListen, Process: owners[s.INode]}
		if !one.Listening {
			one.Remote = addrPort(s.ID.Destination, s.ID.DestinationPort)
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Socket) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote), cmp.Compare(a.Process.ID, b.Process.ID))
	})
	return out, nil
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	address, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(address.Unmap(), port)
}

// owners finds which processes have which sockets, by their inodes: those of all
// namespaces, as a socket can be handed from one to another. What ends meanwhile,
// or belongs to others, is passed over.
func owners() map[uint32]Process {
	owners := make(map[uint32]Process)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return owners
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var p *Process
		for _, socket := range socketsOf(pid) {
			if p == nil {
				p = processOf(pid)
			}
			// The parent, which was there before, keeps it.
			if _, known := owners[socket]; !known && len(owners) < maxSockets {
				owners[socket] = *p
			}
		}
	}
	return owners
}

// socketsOf lists the inodes of a process's sockets.
func socketsOf(pid int) []uint32 {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	var out []uint32
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			target, _ := os.Readlink(dir + "/" + name)
			number, ok := strings.CutPrefix(target, "socket:[")
			if !ok {
				continue
			}
			if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); err == nil {
				out = append(out, uint32(inode))
			}
		}
		if err != nil {
			return out
		}
	}
}

func processOf(pid int) *Process {
	proc := os.DirFS("/proc/" + strconv.Itoa(pid))
	name, _ := fs.ReadFile(proc, "comm")
	cgroup, _ := fs.ReadFile(proc, "cgroup")
	return &Process{ID: pid, Name: strings.TrimSuffix(string(name), "\n"), Container: containerOf(string(cgroup))}
}
