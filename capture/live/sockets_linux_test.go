package live

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/capture"
)

// listSockets lists the sockets of a namespace once.
func listSockets(namespace string) ([]Socket, error) {
	table, err := OpenSockets(namespace)
	if err != nil {
		return nil, err
	}
	defer table.Close()
	return table.List()
}

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
	got, err := listSockets(a.name)
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
	slices.SortFunc(want, Socket.Compare)
	for i := range got {
		got[i].Received, got[i].Sent = 0, 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v,\nwant %+v", got, want)
	}
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
	got, err := listSockets("")
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
	_, err := listSockets("no-such-namespace")
	if e, ok := errors.AsType[*capture.Error](err); !ok || !strings.Contains(e.Error(), "there is none") {
		t.Error(err)
	}
}

// What crossed is counted as TCP does, at both ends.
func TestSocketBytes(t *testing.T) {
	const asked, answered = 5000, 70_000
	a := newSpace(t)
	client, server := a.connect("[::1]:0")
	defer client.Close()
	defer server.Close()
	for _, x := range []struct {
		from, to net.Conn
		size     int
	}{{client, server, asked}, {server, client, answered}} {
		go x.from.Write(make([]byte, x.size))
		if _, err := io.ReadFull(x.to, make([]byte, x.size)); err != nil {
			t.Fatal(err)
		}
	}
	table, err := OpenSockets(a.name)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	// The last acknowledgement may be under way.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := table.List()
		if err != nil {
			t.Fatal(err)
		}
		ends := 0
		for _, s := range got {
			switch s.Local.String() {
			case client.LocalAddr().String():
				// TCP counts the packet that opens a connection as a byte.
				if s.Sent == asked+1 && s.Received == answered {
					ends++
				}
			case server.LocalAddr().String():
				if s.Sent == answered && s.Received == asked {
					ends++
				}
			}
		}
		if ends == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", got)
		}
	}
}

// connect makes a connection within the namespace; its listener is closed.
func (s *space) connect(address string) (client, server net.Conn) {
	s.t.Helper()
	s.in(func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		defer l.Close()
		if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
			return err
		}
		server, err = l.Accept()
		return err
	})
	return client, server
}

// A table that was opened once shows what comes and goes, and keeps the names of
// processes.
func TestSocketTable(t *testing.T) {
	a := newSpace(t)
	table, err := OpenSockets(a.name)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	list := func() []Socket {
		t.Helper()
		got, err := table.List()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := list(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	client, server := a.connect("127.0.0.1:0")
	for range 2 {
		got := list()
		if len(got) != 2 || got[0].Process.ID != os.Getpid() || got[1].Process.ID != os.Getpid() {
			t.Errorf("%+v", got)
		}
	}
	client.Close() // the server's end is closed by the other side now
	for deadline := time.Now().Add(10 * time.Second); len(list()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", list())
		}
	}
	server.Close()
	if len(table.owners) != 0 {
		t.Errorf("%d processes are remembered of sockets that are gone", len(table.owners))
	}
}

// A process may call itself anything.
func TestHostileProcessName(t *testing.T) {
	const name = "a\n\x1b[31m\xff socket"
	a := newSpace(t)
	path := fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid())
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(path, before, 0)
	if err := os.WriteFile(path, []byte(name), 0); err != nil {
		t.Fatal(err)
	}
	client, server := a.connect("127.0.0.1:0")
	defer client.Close()
	defer server.Close()
	got, err := listSockets(a.name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Process.Name != name[:min(len(name), 15)] {
		t.Errorf("%+v", got)
	}
}

// More sockets than fit into one answer of the kernel are all listed, each once.
func TestManySockets(t *testing.T) {
	const connections = 2000
	a := newSpace(t)
	var open []io.Closer
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range connections {
		client, server := a.connect("127.0.0.1:0")
		open = append(open, client, server)
	}
	got, err := listSockets(a.name)
	if err != nil {
		t.Fatal(err)
	}
	ends := make(map[string]bool)
	for _, s := range got {
		if s.Process.ID != os.Getpid() {
			t.Fatalf("%+v", s)
		}
		ends[s.Local.String()+s.Remote.String()] = true
	}
	if len(got) != 2*connections || len(ends) != len(got) {
		t.Errorf("%d sockets, %d different ones, want %d", len(got), len(ends), 2*connections)
	}
}

// What is no whole message of the kernel is passed over, or an error.
func FuzzSocketMessages(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = new(SocketTable).messages(b, nil)
	})
}
