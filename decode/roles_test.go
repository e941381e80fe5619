package decode_test

import (
	"testing"

	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/tls"
)

// dialled is the client's end in most of these tests, listening the server's.
const (
	dialled   = "10.1.0.1:40001"
	listening = "10.1.0.2:9100"
)

func TestRoles(t *testing.T) {
	for _, row := range []struct {
		name   string
		play   func(*talk)
		o      decode.Options
		client string
		basis  string
	}{
		{"SYN", func(t *talk) { t.dials(dialled, listening) }, decode.Options{}, dialled, "syn"},
		{"SYN from the lower port", func(t *talk) { t.dials(listening, dialled) }, decode.Options{}, listening, "syn"},
		{"SYN+ACK only", func(t *talk) { t.joins(listening, dialled).synAck() }, decode.Options{}, listening, "syn-ack"},
		{"SYN after its SYN+ACK", func(t *talk) {
			d := t.joins(listening, dialled)
			d.next[client]++
			d.synAck()
			d.next[client]--
			d.syn()
		}, decode.Options{}, listening, "syn"},
		{"ClientHello from the other side than the SYN", func(t *talk) {
			t.dials(listening, dialled).sends(server, mutualSession.clientHello(false))
		}, decode.Options{}, dialled, "client-hello"},
		{"hellos without a SYN", func(t *talk) { t.joins(listening, dialled).tls12(mutualSession) }, decode.Options{}, listening, "client-hello"},
		{"ServerHello without a SYN", func(t *talk) {
			d := t.joins(listening, dialled)
			d.sends(server, mutualSession.but(func(s *session) { s.suite = 0xc02c }).serverHello(false, "x"), certificateMessage("server's"), helloDone)
		}, decode.Options{}, listening, "server-hello"},
		{"ServerHello counts less than a SYN", func(t *talk) {
			t.dials(listening, dialled).sends(client, mutualSession.serverHello(false, "x"), certificateMessage("server's"))
		}, decode.Options{}, listening, "syn"},
		{"distribution's handshake", func(t *talk) { t.joins(listening, dialled).connects("a@n1", "b@n2") }, decode.Options{}, listening, "handshake"},
		{"the server's part of it", func(t *talk) {
			t.joins(listening, dialled).sends(server, statusOK, challenge("b@n2"))
		}, decode.Options{}, listening, "handshake"},
		{"EPMD's request", func(t *talk) {
			t.joins("10.1.0.1:200", "10.1.0.2:4369").sends(client, portPlease("demo"))
		}, decode.Options{}, "10.1.0.1:200", "epmd"},
		{"EPMD's reply", func(t *talk) {
			t.joins("10.1.0.1:200", "10.1.0.2:4369").sends(server, port2(9100, "demo"))
		}, decode.Options{}, "10.1.0.1:200", "epmd"},
		{"ports", func(t *talk) { t.joins(dialled, listening).sends(server, []byte("hello")) }, decode.Options{}, dialled, "port"},
		{"ports, the other way round", func(t *talk) { t.joins(listening, dialled).sends(client, []byte("hello")) }, decode.Options{}, dialled, "port"},
		{"both ports high", func(t *talk) {
			t.joins("10.1.0.2:45000", "10.1.0.1:44000").sends(client, []byte("hello"))
		}, decode.Options{}, "10.1.0.2:45000", "unknown"},
		{"both ports high, only the higher one odd", func(t *talk) {
			t.joins("10.1.0.2:45001", "10.1.0.1:44000").sends(client, []byte("hello"))
		}, decode.Options{}, "10.1.0.1:44000", "unknown"},
		{"both ports high, only the lower one odd", func(t *talk) {
			t.joins("10.1.0.2:44001", "10.1.0.1:45000").sends(client, []byte("hello"))
		}, decode.Options{}, "10.1.0.1:45000", "unknown"},
		{"both ports low", func(t *talk) {
			t.joins("10.1.0.1:100", "10.1.0.2:101").sends(client, []byte("hello"))
		}, decode.Options{}, "10.1.0.2:101", "unknown"},
		{"equal ports", func(t *talk) {
			t.joins("10.1.0.1:5000", "10.1.0.2:5000").sends(client, []byte("hello"))
		}, decode.Options{}, "10.1.0.2:5000", "unknown"},
		{"equal ports, the other one first", func(t *talk) {
			t.joins("10.1.0.1:5000", "10.1.0.2:5000").sends(server, []byte("hello"))
		}, decode.Options{}, "10.1.0.2:5000", "unknown"},
		{"the user's port", func(t *talk) {
			t.joins("10.1.0.2:44000", "10.1.0.1:45000").sends(client, []byte("hello"))
		}, decode.Options{Ports: []uint16{45000}}, "10.1.0.2:44000", "port"},
		{"the user's port against other ports", func(t *talk) {
			t.joins(listening, "10.1.0.1:45000").sends(client, []byte("hello"))
		}, decode.Options{Ports: []uint16{45000}}, listening, "port"},
		{"both ports are the user's", func(t *talk) {
			t.joins("10.1.0.2:44000", "10.1.0.1:45000").sends(client, []byte("hello"))
		}, decode.Options{Ports: []uint16{44000, 45000}}, "10.1.0.1:45000", "port"},
		{"the user's port against a SYN", func(t *talk) {
			t.dials("10.1.0.1:45000", listening).sends(client, []byte("hello"))
		}, decode.Options{Ports: []uint16{45000}}, "10.1.0.1:45000", "syn"},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			c := talk.only(t, row.o)
			if got := c.Ends[client].Address.String(); got != row.client || c.RolesBasis != row.basis {
				t.Errorf("%s is the client by %s, want %s by %s", got, c.RolesBasis, row.client, row.basis)
			}
		})
	}
}

// TestAnnouncedPortTurnsRoles: what EPMD says of a port tells who is the server
// where nothing but ports does, and everything that is known of a side turns.
func TestAnnouncedPortTurnsRoles(t *testing.T) {
	talk := newTalk()
	talk.asks("10.1.0.1:4369", "demo", 45000)
	d := talk.joins("10.1.0.2:44000", "10.1.0.1:45000")
	for range 4 { // ticks, and an alert in the clear at the end
		d.sends(client, sealed(28)).sends(server, sealed(28)).waits(15 * second)
	}
	d.sends(server, record(21, 2, 80)).misses(server, 100).sends(server, []byte("what is this? it goes on and on and is no TLS"))
	d.segment(client, link.FIN|link.ACK, nil)
	c := talk.finish(decode.Options{}).Connections[1]
	if got := c.Ends[server].Address.String(); got != "10.1.0.1:45000" || c.RolesBasis != "epmd" {
		t.Fatalf("%s is the server by %s", got, c.RolesBasis)
	}
	if c.Protocol != decode.DistTLS {
		t.Fatalf("protocol %s", c.Protocol)
	}
	if c.TCP[server].Gap != 100 || c.TCP[client].Gap != 0 {
		t.Errorf("gaps %d and %d", c.TCP[client].Gap, c.TCP[server].Gap)
	}
	if c.TLS.Unsynced != [2]bool{false, true} {
		t.Errorf("unsynced %v", c.TLS.Unsynced)
	}
	if len(c.TLS.Alerts) != 1 || c.TLS.Alerts[0].From != tls.RoleServer {
		t.Errorf("alerts %+v", c.TLS.Alerts)
	}
	if c.Ending.ClosedBy != tls.RoleClient {
		t.Errorf("closed by %v", c.Ending.ClosedBy)
	}
	if c.TLS.Records[client].Len() != 4 || c.TLS.Records[server].Len() != 5 {
		t.Errorf("%d and %d records", c.TLS.Records[client].Len(), c.TLS.Records[server].Len())
	}
}

func TestPortReuse(t *testing.T) {
	talk := newTalk()
	talk.dials(dialled, listening).tls12(mutualSession).closes(client)
	talk.dials(dialled, listening).connects("a@n1", "b@n2")
	c := talk.finish(decode.Options{}).Connections
	if len(c) != 2 || c[0].Protocol != decode.DistTLS || c[1].Protocol != decode.Dist {
		t.Fatalf("%d connections: %+v", len(c), c)
	}
	if c[0].FirstFrame.Number != 1 || c[1].FirstFrame.Number <= c[0].FirstFrame.Number || c[0].Last >= c[1].First {
		t.Errorf("frames %v and %v, times %d to %d and %d on", c[0].FirstFrame, c[1].FirstFrame, c[0].First, c[0].Last, c[1].First)
	}
	if !c[0].Ending.Whole || c[0].Ending.ClosedBy != tls.RoleClient || c[1].Ending.ClosedBy != tls.RoleUnknown {
		t.Errorf("endings %+v and %+v", c[0].Ending, c[1].Ending)
	}
}

// TestDirectionOfFlows: the two directions of a connection are one connection
// whichever address is the lesser, and others are others.
func TestDirectionOfFlows(t *testing.T) {
	talk := newTalk()
	talk.dials("10.1.0.1:5000", "10.1.0.2:5001").sends(client, []byte("a")).sends(server, []byte("b"))
	talk.dials("10.1.0.2:5000", "10.1.0.1:5001").sends(client, []byte("a")).sends(server, []byte("b"))
	talk.dials("10.1.0.1:5001", "10.1.0.2:5000").sends(client, []byte("a")).sends(server, []byte("b"))
	talk.dials("[fd00::1]:5000", "[fd00::2]:5001").sends(client, []byte("a")).sends(server, []byte("b"))
	c := talk.finish(decode.Options{}).Connections
	if len(c) != 4 {
		t.Fatalf("%d connections", len(c))
	}
	for _, x := range c {
		if x.TCP[client].Bytes != 1 || x.TCP[server].Bytes != 1 {
			t.Errorf("%v: %d and %d bytes", x.Ends, x.TCP[client].Bytes, x.TCP[server].Bytes)
		}
	}
}

func TestEncapsulations(t *testing.T) {
	talk := newTalk()
	d := talk.dials(dialled, listening)
	for _, e := range []uint16{2, 1, 2, 0, 1} {
		d.encapsulation = e
		d.sends(client, []byte("x"))
	}
	c := talk.only(t, decode.Options{})
	if len(c.Encapsulation) != 2 || c.Encapsulation[0] != "vlan" || c.Encapsulation[1] != "vlan, 5" {
		t.Errorf("%q", c.Encapsulation)
	}
	talk = newTalk()
	d = talk.dials(dialled, listening)
	for e := range uint16(40) {
		d.encapsulation = e
		d.sends(client, []byte("x"))
	}
	if c := talk.only(t, decode.Options{}); len(c.Encapsulation) != 8 {
		t.Errorf("%d ways to travel are kept", len(c.Encapsulation))
	}
}

func TestClosedBy(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*dialog)
		want tls.Role
	}{
		{"nobody", func(*dialog) {}, tls.RoleUnknown},
		{"client", func(d *dialog) { d.closes(client) }, tls.RoleClient},
		{"server", func(d *dialog) { d.closes(server) }, tls.RoleServer},
		{"client only", func(d *dialog) { d.segment(client, link.FIN|link.ACK, nil) }, tls.RoleClient},
		{"server resets", func(d *dialog) { d.segment(server, link.RST, nil) }, tls.RoleServer},
		{"server, captured in the wrong order", func(d *dialog) {
			d.closes(server)
			n := len(d.segments)
			d.segments[n-2], d.segments[n-1] = d.segments[n-1], d.segments[n-2]
		}, tls.RoleServer},
		{"client, captured in the wrong order", func(d *dialog) {
			d.closes(client)
			n := len(d.segments)
			d.segments[n-2], d.segments[n-1] = d.segments[n-1], d.segments[n-2]
		}, tls.RoleClient},
	} {
		talk := newTalk()
		d := talk.dials(dialled, listening).sends(client, []byte("x"))
		row.end(d)
		if got := talk.only(t, decode.Options{}).Ending.ClosedBy; got != row.want {
			t.Errorf("%s: closed by %v, want %v", row.name, got, row.want)
		}
	}
}

// TestClientHad: what the server says after the client has closed is no reason for
// that.
func TestClientHad(t *testing.T) {
	for name, r := range map[string]struct {
		end  func(*dialog)
		want int64
	}{
		"open":   {func(*dialog) {}, 0},
		"FIN":    {func(d *dialog) { d.closes(client) }, 3},
		"RST":    {func(d *dialog) { d.segment(client, link.RST|link.ACK, nil) }, 3},
		"answer": {func(d *dialog) { d.segment(client, link.FIN|link.ACK, nil); d.sends(server, []byte("more")) }, 3},
	} {
		talk := newTalk()
		r.end(talk.dials(dialled, listening).sends(client, []byte("x")).sends(server, []byte("yes")))
		if got := talk.only(t, decode.Options{}).Ending.ClientHad; got != r.want {
			t.Errorf("%s: %d, want %d", name, got, r.want)
		}
	}
}
