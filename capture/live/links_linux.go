package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// links tells when one of the named interfaces goes down or away (rtnetlink(7)).
// What passes while it is back under another number is not captured.
type links struct {
	fd    int
	names map[int]string // by index
	buf   []byte
}

func watchLinks(names map[int]string) (*links, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &links{fd: fd, names: names, buf: make([]byte, 64<<10)}, nil
}

// trouble reads what happened since, and says what is amiss; "" for nothing.
func (l *links) trouble() string {
	found := ""
	for {
		n, _, err := unix.Recvfrom(l.fd, l.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			found = "interfaces changed faster than could be followed"
			continue
		case err != nil:
			return found
		}
		messages, err := syscall.ParseNetlinkMessage(l.buf[:n])
		if err != nil {
			return found
		}
		for _, m := range messages {
			if text := l.read(m.Header.Type, m.Data); text != "" {
				found = text
			}
		}
	}
}

// read looks at a message, which begins with a struct ifinfomsg: family (1),
// padding (1), type (2), index (4), flags (4), change (4).
func (l *links) read(kind uint16, data []byte) string {
	if len(data) < unix.SizeofIfInfomsg {
		return ""
	}
	name, ours := l.names[int(binary.NativeEndian.Uint32(data[4:]))]
	up := binary.NativeEndian.Uint32(data[8:])&unix.IFF_UP != 0
	switch {
	case !ours:
		return ""
	case kind == unix.RTM_DELLINK:
		return fmt.Sprintf("the interface %s went away while it was captured on", name)
	case kind == unix.RTM_NEWLINK && !up:
		return fmt.Sprintf("the interface %s went down while it was captured on", name)
	}
	return ""
}

func (l *links) close() error { return unix.Close(l.fd) }
