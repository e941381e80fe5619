package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	// listed has the indexes that a listing under way, with the sequence number
	// listing, showed so far; nil if there is none. again has another one follow.
	listed            map[int]bool
	sequence, listing uint32
	again             bool
	// missed is set from when changes were not told until all is listed anew, and
	// overrun until that is asked for: until all is read that the kernel kept, it
	// may leave out more without a word.
	missed, overrun bool
}

// A netInterface is a network interface as the kernel tells of it.
type netInterface struct {
	index int
	name  string
	// hardware is its ARPHRD type.
	hardware uint16
	flags    uint32
	// packets crossed it, as it counts, and before of them when it had not yet
	// carried any under this name; used says that it was up under it.
	packets, before uint64
	used            bool
	// answers is the number of the question that this answers, or of the list that
	// it is from; zero if nobody asked.
	answers uint32
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
	if l.listed != nil { // the kernel takes one question of this kind at a time
		l.again = true
		return nil
	}
	if err := l.request(unix.NLM_F_DUMP, 0); err != nil {
		return err
	}
	l.listed, l.listing = make(map[int]bool), l.sequence
	return nil
}

// ask asks how an interface is now. The answer comes among the changes, with the
// number that is returned or a later one, unless it is gone by then.
func (l *links) ask(index int) (number uint32, err error) {
	err = l.request(0, index)
	return l.sequence, err
}

// request sends a message with a struct ifinfomsg, see link.
func (l *links) request(flags uint16, index int) error {
	const size = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg
	request := make([]byte, size)
	binary.NativeEndian.PutUint32(request, size)
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|flags)
	if l.sequence++; l.sequence == 0 { // which is that of what nobody asked for
		l.sequence++
	}
	binary.NativeEndian.PutUint32(request[8:], l.sequence)
	binary.NativeEndian.PutUint32(request[unix.SizeofNlMsghdr+4:], uint32(index))
	return unix.Sendto(l.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// read takes in what happened since.
func (l *links) read() error {
	for {
		n, from, err := unix.Recvfrom(l.fd, l.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && l.overrun:
			l.overrun = false
			if err := l.list(); err != nil {
				return err
			}
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENOBUFS): // more than the kernel keeps for us
			l.missed, l.overrun = true, true
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
		if l.listed == nil || m.Header.Seq != l.listing {
			return nil
		}
		for index := range l.all {
			if !l.listed[index] {
				l.remove(index)
			}
		}
		l.listed = nil
		if l.again {
			l.again = false
			return l.list()
		}
		l.missed = l.overrun
	case unix.NLMSG_ERROR:
		if len(m.Data) >= 4 && m.Header.Seq == l.listing { // others are about one that is gone
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
	old, known := l.all[i.index]
	i.name, i.packets = old.name, old.packets
	i.attributes(m)
	if m.Header.Type == unix.RTM_DELLINK || known && old.name != i.name {
		l.remove(i.index)
	}
	if m.Header.Type == unix.RTM_DELLINK {
		return
	}
	i.used, i.answers = i.up(), m.Header.Seq
	switch {
	case known && old.name == i.name:
		i.before, i.used = old.before, old.used || i.used
	case known || !i.up():
		i.before = i.packets
	}
	l.all[i.index] = i
	if l.listed != nil {
		l.listed[i.index] = true
	}
	l.changed(i, true)
}

// attributes takes in the name and the counters that a message tells.
func (i *netInterface) attributes(m *syscall.NetlinkMessage) {
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return
	}
	for _, a := range attributes {
		switch {
		case a.Attr.Type == unix.IFLA_IFNAME:
			i.name = unix.ByteSliceToString(a.Value)
		case a.Attr.Type == unix.IFLA_STATS64 && len(a.Value) >= 16: // packets received, packets sent, …
			i.packets = binary.NativeEndian.Uint64(a.Value) + binary.NativeEndian.Uint64(a.Value[8:])
		}
	}
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
		out = append(out, l.all[index].name)
	}
	return out
}

// advice lists for the user what there is.
func (l *links) advice() string {
	var list []string
	for _, index := range slices.Sorted(maps.Keys(l.all)) {
		i := l.all[index]
		if i.up() {
			list = append(list, i.name)
		} else {
			list = append(list, i.name+" (down)")
		}
	}
	const most = 20
	if rest := len(list) - most; rest > 1 {
		list = append(list[:most], fmt.Sprintf("%d more", rest))
	}
	if len(list) == 0 {
		return "there is none"
	}
	return "the interfaces are " + strings.Join(list, ", ") + ", and any for all of them"
}

func (l *links) close() error { return unix.Close(l.fd) }
