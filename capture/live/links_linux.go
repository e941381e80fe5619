package live

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// links follows the interfaces of a network namespace (rtnetlink(7)). It asks on
// the socket that it was opened with, and needs no privilege later.
type links struct {
	fd  int
	buf []byte
	// changed is told of every interface that comes, changes or goes; there says
	// that it is there.
	changed func(i netInterface, there bool)
	// all is what there is, by index.
	all map[int]netInterface
	// listed has the indexes that a listing under way, of this sequence number,
	// showed so far; nil if there is none.
	listed   map[int]bool
	sequence uint32
	// missed is set when changes were not told.
	missed bool
}

// A netInterface is a network interface as the kernel tells of it.
type netInterface struct {
	index int
	name  string
	// hardware is its ARPHRD type.
	hardware uint16
	flags    uint32
}

// up says that the interface is meant to be used, and carries that it can be:
// a cable may be missing, or the other end of a pair down.
func (i *netInterface) up() bool      { return i.flags&unix.IFF_UP != 0 }
func (i *netInterface) carries() bool { return i.up() && i.flags&unix.IFF_RUNNING != 0 }

// openLinks lists what there is, and tells of changes from then on.
func openLinks(changed func(i netInterface, there bool)) (*links, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	l := &links{fd: fd, buf: make([]byte, 64<<10), changed: changed, all: make(map[int]netInterface)}
	if err := l.start(); err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

func (l *links) start() error {
	if err := unix.Bind(l.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		return err
	}
	if err := l.list(); err != nil {
		return err
	}
	for l.listed != nil {
		const patience = 10_000 // milliseconds
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, patience)
		if err == nil && n == 0 {
			err = unix.ETIMEDOUT
		}
		if err == nil {
			err = l.read()
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}

// list asks for all interfaces. The answer comes among the changes.
func (l *links) list() error {
	const size = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg
	request := make([]byte, size)
	binary.NativeEndian.PutUint32(request, size)
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	l.sequence++
	binary.NativeEndian.PutUint32(request[8:], l.sequence)
	if err := unix.Sendto(l.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	l.listed = make(map[int]bool)
	return nil
}

// read takes in what happened since.
func (l *links) read() error {
	for {
		n, from, err := unix.Recvfrom(l.fd, l.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENOBUFS): // more than the kernel keeps for us
			l.missed = true
			if err := l.list(); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
			continue // not from the kernel
		}
		messages, err := syscall.ParseNetlinkMessage(l.buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := l.message(&m); err != nil {
				return err
			}
		}
	}
}

func (l *links) message(m *syscall.NetlinkMessage) error {
	switch m.Header.Type {
	case unix.NLMSG_DONE:
		if l.listed == nil || m.Header.Seq != l.sequence {
			return nil
		}
		for index := range l.all {
			if !l.listed[index] {
				l.remove(index)
			}
		}
		l.listed = nil
	case unix.NLMSG_ERROR:
		if len(m.Data) >= 4 {
			if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				return unix.Errno(errno)
			}
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l.link(m)
	}
	return nil
}

// link takes in a message on an interface, which begins with a struct ifinfomsg:
// family (1), padding (1), type (2), index (4), flags (4), change (4).
func (l *links) link(m *syscall.NetlinkMessage) {
	// Bridges tell of their ports in messages of the same type.
	if len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC {
		return
	}
	i := netInterface{
		hardware: binary.NativeEndian.Uint16(m.Data[2:]),
		index:    int(binary.NativeEndian.Uint32(m.Data[4:])),
		flags:    binary.NativeEndian.Uint32(m.Data[8:]),
	}
	if m.Header.Type == unix.RTM_DELLINK {
		l.remove(i.index)
		return
	}
	old, known := l.all[i.index]
	i.name = nameOf(m, old.name)
	if known && old.name != i.name {
		l.remove(i.index)
	}
	l.all[i.index] = i
	if l.listed != nil {
		l.listed[i.index] = true
	}
	l.changed(i, true)
}

// nameOf is the name that a message tells, or else the one known.
func nameOf(m *syscall.NetlinkMessage, known string) string {
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return known
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_IFNAME {
			return unix.ByteSliceToString(a.Value)
		}
	}
	return known
}

func (l *links) remove(index int) {
	if i, known := l.all[index]; known {
		delete(l.all, index)
		l.changed(i, false)
	}
}

// names lists what there is.
func (l *links) names() []string {
	var out []string
	for _, index := range slices.Sorted(maps.Keys(l.all)) {
		i := l.all[index]
		if i.up() {
			out = append(out, i.name)
		} else {
			out = append(out, i.name+" (down)")
		}
	}
	return out
}

func (l *links) close() error { return unix.Close(l.fd) }
