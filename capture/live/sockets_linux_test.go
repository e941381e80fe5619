package live

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"distproof/capture"
)

// Both ends of a connection and the listener are listed, with this process.
func TestSockets(t *testing.T) {
	a := newSpace(t)
	var listener net.Listener
	var client, server net.Conn
	a.in(func() (err error) {
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
			return err
		}
		server, err = listener.Accept()
		return err
	})
	defer listener.Close()
	defer client.Close()
	defer server.Close()
	got, err := Sockets(a.name)
	if err != nil {
		t.Fatal(err)
	}
	end := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	self := *processOf(os.Getpid())
	if self.Name != strings.TrimSpace(string(name)) || self.ID != os.Getpid() {
		t.Errorf("%+v", self)
	}
	want := []Socket{
		{Local: end(listener.Addr()), Listening: true, Process: self},
		{Local: end(client.LocalAddr()), Remote: end(listener.Addr()), Process: self},
		{Local: end(listener.Addr()), Remote: end(client.LocalAddr()), Process: self},
	}
	if !slices.Equal(got, sorted(want)) {
		t.Errorf("%+v,\nwant %+v", got, want)
	}
}

func sorted(sockets []Socket) []Socket {
	return slices.SortedFunc(slices.Values(sockets), func(a, b Socket) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
}

// An IPv4 connection to an IPv6 listener is one of IPv4.
func TestSocketsMapped(t *testing.T) {
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	client, err := net.Dial("tcp", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got, err := Sockets("")
	if err != nil {
		t.Fatal(err)
	}
	ends := 0
	for _, s := range got {
		if s.Local.Port() != port && s.Remote.Port() != port {
			continue
		}
		ends++
		if s.Process.ID != os.Getpid() || !s.Listening && (!s.Local.Addr().Is4() || !s.Remote.Addr().Is4()) {
			t.Errorf("%+v", s)
		}
	}
	if ends != 3 {
		t.Errorf("%d sockets, want 3", ends)
	}
}

func TestSocketsNoNamespace(t *testing.T) {
	_, err := Sockets("no-such-namespace")
	if e, ok := errors.AsType[*capture.Error](err); !ok || !strings.Contains(e.Error(), "there is none") {
		t.Error(err)
	}
}
