package decode_test

import (
	"slices"
	"strings"
	"testing"

	"distproof/capture/link"
	"distproof/decode"
	"distproof/verify"
)

func TestProtocols(t *testing.T) {
	const proxyHeader = "PROXY TCP4 10.1.0.1 10.1.0.2 40001 9100\r\n"
	announced := decode.Options{Ports: []uint16{9100}}
	for _, row := range []struct {
		name     string
		play     func(*talk)
		o        decode.Options
		protocol decode.Protocol
		basis    string
		verdict  verify.Verdict
		reason   string // a part of it
	}{
		{"mutual TLS 1.2", func(t *talk) { t.dials(dialled, listening).tls12(mutualSession) }, decode.Options{}, decode.DistTLS, "record-sizes", verify.Mutual, ""},
		{"mutual TLS 1.3", func(t *talk) { t.dials(dialled, listening).tls13(mutualSession) }, decode.Options{}, decode.DistTLS, "record-sizes", verify.Mutual, "inferred"},
		{"one-way", func(t *talk) {
			t.dials(dialled, listening).tls13(mutualSession.but(func(s *session) { s.asked = false }))
		}, decode.Options{}, decode.DistTLS, "record-sizes", verify.OneWay, ""},
		{"empty certificate", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession.but(func(s *session) { s.shown = false }))
		}, decode.Options{}, decode.DistTLS, "record-sizes", verify.OneWay, "optional"},
		{"on any port", func(t *talk) { t.dials("10.1.0.1:40001", "10.1.0.2:443").tls12(mutualSession) }, decode.Options{}, decode.DistTLS, "record-sizes", verify.Mutual, ""},
		{"TLS of something else", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession.but(func(s *session) { s.names[0] = 0 }))
		}, decode.Options{}, decode.TLS, "", verify.NoVerdict, ""},
		{"TLS on the user's port", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession.but(func(s *session) { s.names[0] = 0 }))
		}, announced, decode.DistTLS, "port", verify.Mutual, ""},
		{"an alert on the user's port", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte("GET / HTTP/1.1\r\n\r\n")).sends(server, record(21, 2, 10)).closes(server)
		}, announced, decode.TLS, "port", verify.Inconclusive, "neither TLS nor distribution, and the server answered with the TLS alert unexpected_message"},
		{"a ClientHello on the user's port", func(t *talk) {
			t.dials(dialled, listening).sends(client, mutualSession.clientHello(false)).closes(server)
		}, announced, decode.DistTLS, "port", verify.Refused, "the server closed"},

		{"in the clear", func(t *talk) { t.dials(dialled, listening).connects("a@n1", "b@n2") }, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},
		{"in the clear on EPMD's port", func(t *talk) { t.dials(dialled, "10.1.0.2:4369").connects("a@n1", "b@n2") }, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},
		{"in the clear on EPMD's port, from the middle", func(t *talk) {
			t.joins(dialled, "10.1.0.2:4369").sends(client, regSend(), regSend(), tick).sends(server, regSend(), regSend())
		}, decode.Options{}, decode.Dist, "framing", verify.Cleartext, ""},
		{"mutual TLS on EPMD's port", func(t *talk) { t.dials(dialled, "10.1.0.2:4369").tls12(mutualSession) }, decode.Options{}, decode.DistTLS, "record-sizes", verify.Mutual, ""},
		{"ticks of TLS on EPMD's port", func(t *talk) { ticking(t.joins(dialled, "10.1.0.2:4369"), sealed(28)) }, decode.Options{}, decode.DistTLS, "ticks", verify.Inconclusive, "handshake not captured"},
		{"ticks in the clear on EPMD's port", func(t *talk) { ticking(t.joins(dialled, "10.1.0.2:4369"), tick) }, decode.Options{}, decode.Dist, "ticks", verify.Cleartext, ""},
		{"EPMD from the middle, many requests", func(t *talk) {
			d := t.joins(dialled, "10.1.0.2:4369")
			for range 6 {
				d.sends(client, with16("sok")).waits(15 * second)
			}
		}, decode.Options{}, decode.EPMD, "", verify.NoVerdict, ""},
		{"EPMD's request, answered by TLS", func(t *talk) {
			t.dials(dialled, "10.1.0.2:4369").sends(client, with16('n')).sends(server, mutualSession.serverHello(false, "x"), helloDone)
		}, decode.Options{}, decode.TLS, "", verify.NoVerdict, ""},
		{"something else on EPMD's port", func(t *talk) {
			t.dials(dialled, "10.1.0.2:4369").sends(client, []byte("GET / HTTP/1.1\r\n\r\n")).sends(server, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		}, decode.Options{}, decode.Other, "", verify.NoVerdict, ""},
		{"EPMD, from a client whose port is another EPMD's", func(t *talk) {
			t.dials("10.1.0.1:4369", "10.1.0.2:4369").sends(client, portPlease("demo")).sends(server, port2(9100, "demo"))
		}, decode.Options{}, decode.EPMD, "", verify.NoVerdict, ""},
		{"EPMD's STOP_REQ for a node of a status's name", func(t *talk) {
			t.dials(dialled, "10.1.0.2:4369").sends(client, with16("sok_simultaneous")).sends(server, []byte("STOPPED"))
		}, decode.Options{}, decode.EPMD, "", verify.NoVerdict, ""},
		{"EPMD's requests, two at once", func(t *talk) {
			t.dials(dialled, "10.1.0.2:4369").sends(client, cat(portPlease("demo"), portPlease("other"))).sends(server, port2(9100, "demo"))
		}, decode.Options{}, decode.EPMD, "", verify.NoVerdict, ""},

		{"nothing sent", func(t *talk) { t.dials(dialled, listening).closes(server) }, decode.Options{}, decode.None, "", verify.NoVerdict, ""},
		{"nothing sent on the user's port", func(t *talk) { t.dials(dialled, listening).closes(server) }, announced, decode.None, "port", verify.Refused, "before any byte"},
		{"SYN only on the user's port", func(t *talk) { t.joins(dialled, listening).syn() }, announced, decode.None, "port", verify.NoVerdict, ""},
		{"SYN refused on the user's port", func(t *talk) {
			d := t.joins(dialled, listening)
			d.syn()
			d.segment(server, link.RST|link.ACK, nil)
		}, announced, decode.None, "port", verify.NoVerdict, ""},

		{"TLS, client's direction only", func(t *talk) { oneSided(t.dials(dialled, listening).tls12(mutualSession), client) }, announced, decode.DistTLS, "port", verify.Inconclusive, ""},
		{"TLS, server's direction only", func(t *talk) { oneSided(t.dials(dialled, listening).tls12(mutualSession), server) }, announced, decode.DistTLS, "port", verify.Inconclusive, ""},
		{"TLS 1.3, client's direction only", func(t *talk) { oneSided(t.dials(dialled, listening).tls13(mutualSession), client) }, announced, decode.DistTLS, "port", verify.Inconclusive, ""},
		{"in the clear, client's direction only", func(t *talk) { oneSided(t.dials(dialled, listening).connects("a@n1", "b@n2"), client) }, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},
		{"in the clear, server's direction only", func(t *talk) { oneSided(t.dials(dialled, listening).connects("a@n1", "b@n2"), server) }, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},

		{"STARTTLS", func(t *talk) {
			t.dials(dialled, listening).sends(server, []byte("220 ready\r\n")).sends(client, []byte("STARTTLS\r\n")).sends(server, []byte("220 go ahead\r\n")).
				tls12(mutualSession.but(func(s *session) { s.names[0] = 0 }))
		}, decode.Options{}, decode.TLS, "", verify.NoVerdict, ""},
		{"PROXY header before TLS", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte(proxyHeader)).tls12(mutualSession)
		}, announced, decode.DistTLS, "port record-sizes", verify.Inconclusive, "the client sent 41 bytes in the clear"},
		{"PROXY header before TLS, in one segment", func(t *talk) {
			t.dials(dialled, listening).sends(client, cat(proxyHeader, named("n2.lab", 8, 11).clientHello(false)))
		}, announced, decode.DistTLS, "port", verify.Inconclusive, "the client sent 41 bytes in the clear"},
		{"PROXY header before TLS 1.3", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte(proxyHeader)).tls13(mutualSession)
		}, decode.Options{}, decode.DistTLS, "record-sizes", verify.Inconclusive, "the client sent 41 bytes in the clear"},
		{"PROXY header before distribution", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte(proxyHeader)).connects("a@n1", "b@n2")
		}, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},
		{"HTTP CONNECT before TLS", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte("CONNECT n2.lab:9100 HTTP/1.1\r\n\r\n")).sends(server, []byte("HTTP/1.1 200 OK\r\n\r\n")).tls12(mutualSession)
		}, decode.Options{}, decode.DistTLS, "record-sizes", verify.Inconclusive, "in the clear before TLS"},
		{"SOCKS before TLS", func(t *talk) {
			t.dials(dialled, listening).sends(client, cat(5, 1, 0)).sends(server, cat(5, 0)).
				sends(client, cat(5, 1, 0, 1, 10, 1, 0, 2, u16(9100))).sends(server, cat(5, 0, 0, 1, 10, 1, 0, 9, u16(1080))).tls12(mutualSession)
		}, decode.Options{}, decode.DistTLS, "record-sizes", verify.Inconclusive, "in the clear before TLS"},
		{"HTTP CONNECT before distribution, in one segment with its status", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte("CONNECT n2.lab:9100 HTTP/1.1\r\n\r\n")).sends(client, sendName("a@n1")).
				sends(server, cat("HTTP/1.1 200 OK\r\n\r\n", statusOK, challenge("b@n2")))
		}, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},
		{"SOCKS before distribution", func(t *talk) {
			t.dials(dialled, listening).sends(client, cat(5, 1, 0)).sends(server, cat(5, 0)).connects("a@n1", "b@n2")
		}, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, ""},

		{"distribution in the clear inside TLS", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession).sends(client, regSend(), regSend(), regSend())
		}, decode.Options{}, decode.DistTLS, "framing record-sizes", verify.Cleartext, "inside a TLS connection"},
		{"in one segment with the end of TLS", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession).sends(server, cat(sealed(50), regSend(), regSend(), regSend()))
		}, decode.Options{}, decode.DistTLS, "framing record-sizes", verify.Cleartext, "inside a TLS connection"},
		{"in one segment with TLS from the middle", func(t *talk) {
			t.joins(dialled, listening).sends(server, cat(sealed(50, 60, 70, 80, 90), regSend(), regSend(), regSend()))
		}, announced, decode.DistTLS, "framing port", verify.Cleartext, "inside a TLS connection"},
		{"distribution's handshake inside TLS of something else", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession.but(func(s *session) { s.names[0] = 0 })).connects("a@n1", "b@n2")
		}, decode.Options{}, decode.DistTLS, "handshake", verify.Cleartext, "inside a TLS connection"},
		{"something else inside TLS", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession).sends(server, []byte("this is no record of TLS at all"))
		}, decode.Options{}, decode.DistTLS, "record-sizes", verify.Inconclusive, "the server sent bytes that are not TLS"},
		{"TLS records inside a message of distribution", func(t *talk) {
			copied := sealed(100, 100, 100, 100, 100)
			message := cat(131, 68, 0, 104, 4, 97, 6, 's', 0, 's', 0, 's', 3, "rex", 131, 'm', u32(len(copied)), copied)
			t.joins(dialled, listening).sends(client, regSend(), regSend(), regSend(), append(u32(len(message)), message...), regSend(), regSend())
		}, announced, decode.Dist, "framing port", verify.Cleartext, ""},
		{"the same, in one segment", func(t *talk) {
			copied := sealed(100, 100, 100, 100, 100)
			message := cat(131, 68, 0, 104, 4, 97, 6, 's', 0, 's', 0, 's', 3, "rex", 131, 'm', u32(len(copied)), copied)
			t.joins(dialled, listening).sends(client, cat(regSend(), regSend(), regSend(), u32(len(message)), message, regSend(), regSend()))
		}, announced, decode.Dist, "framing port", verify.Cleartext, ""},

		{"ticks in the clear", func(t *talk) { ticking(t.joins(dialled, listening), tick) }, decode.Options{}, decode.Dist, "ticks", verify.Cleartext, ""},
		{"ticks in the clear, one direction", func(t *talk) { oneSided(ticking(t.joins(dialled, listening), tick), client) }, decode.Options{}, decode.Dist, "ticks", verify.Cleartext, ""},
		{"zeros that come unevenly", func(t *talk) {
			d := t.joins(dialled, listening)
			for i := range 5 {
				d.sends(client, tick).waits(int64(i*i+1) * second)
			}
		}, decode.Options{}, decode.Other, "", verify.NoVerdict, ""},
		{"zeros from the beginning on", func(t *talk) { ticking(t.dials(dialled, listening), tick) }, decode.Options{}, decode.Other, "", verify.NoVerdict, ""},
		{"zeros beside something else", func(t *talk) {
			ticking(t.joins(dialled, listening).sends(server, []byte("something else entirely, in the other direction")), tick)
		}, decode.Options{}, decode.Other, "", verify.NoVerdict, ""},
		{"ticks of TLS", func(t *talk) { ticking(t.joins(dialled, listening), sealed(28)) }, decode.Options{}, decode.DistTLS, "ticks", verify.Inconclusive, "handshake not captured"},
		{"ticks of TLS 1.3", func(t *talk) { ticking(t.joins(dialled, listening), sealed(21)) }, decode.Options{}, decode.DistTLS, "ticks", verify.Inconclusive, "handshake not captured"},
		{"records as even, but of another size", func(t *talk) { ticking(t.joins(dialled, listening), sealed(33)) }, decode.Options{}, decode.TLS, "", verify.NoVerdict, ""},

		{"a status alone", func(t *talk) { t.dials(dialled, listening).sends(server, with16("snok")) }, decode.Options{}, decode.Other, "", verify.NoVerdict, ""},
		{"a status as the answer to a name", func(t *talk) {
			t.dials(dialled, listening).sends(client, sendName("a@n1")).sends(server, with16("snok")).closes(server)
		}, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, "refused with status nok"},
		{"a status as the answer to something else", func(t *talk) {
			t.dials(dialled, listening).sends(client, []byte("who are you?")).sends(server, with16("snok")).closes(server)
		}, announced, decode.Other, "port", verify.Inconclusive, ""},
		{"a name to a TLS server", func(t *talk) {
			t.dials(dialled, listening).sends(client, sendName("a@n1")).sends(server, record(21, 2, 10)).closes(server)
		}, decode.Options{}, decode.Dist, "handshake", verify.Cleartext, "answered with the TLS alert unexpected_message"},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			c := talk.only(t, row.o)
			basis := slices.Sorted(slices.Values(c.ProtocolBasis))
			if c.Protocol != row.protocol || strings.Join(basis, " ") != row.basis {
				t.Errorf("%s by %v, want %s by %s", c.Protocol, basis, row.protocol, row.basis)
			}
			if k := verify.Conclude(c); k.Verdict != row.verdict || !strings.Contains(k.Reason, row.reason) {
				t.Errorf("%q: %s, want %q: %s", k.Verdict, k.Reason, row.verdict, row.reason)
			}
			if c.InClear != (c.Protocol == decode.Dist || row.verdict == verify.Cleartext) {
				t.Errorf("in the clear: %t", c.InClear)
			}
		})
	}
}

// oneSided drops what the other side sent.
func oneSided(d *dialog, side int) {
	d.segments = slices.DeleteFunc(d.segments, func(s link.Segment) bool { return s.Src != d.ends[side] })
}

// ticking has both sides send ticks of four quarters of net_ticktime.
func ticking(d *dialog, tick []byte) *dialog {
	for range 4 {
		d.sends(client, tick).sends(server, tick).waits(15 * second)
	}
	return d
}

// TestBytewise: in segments of one byte, everything is as it was.
func TestBytewise(t *testing.T) {
	for name, play := range map[string]func(*talk){
		"TLS 1.2":               func(t *talk) { t.dials(dialled, listening).tls12(mutualSession) },
		"TLS 1.3":               func(t *talk) { t.dials(dialled, listening).tls13(mutualSession) },
		"in the clear":          func(t *talk) { t.dials(dialled, listening).connects("a@n1", "b@n2") },
		"EPMD":                  func(t *talk) { t.asks(mapper, "demo", 9100) },
		"TLS on EPMD's port":    func(t *talk) { t.dials(dialled, mapper).tls12(mutualSession) },
		"names on EPMD's port":  func(t *talk) { t.dials(dialled, mapper).connects("a@n1", "b@n2") },
		"proxy":                 func(t *talk) { t.dials(dialled, listening).sends(client, []byte("PROXY x\r\n")).tls12(mutualSession) },
		"inside TLS":            func(t *talk) { t.dials(dialled, listening).tls12(mutualSession).sends(client, regSend(), regSend()) },
		"EPMD on another port":  func(t *talk) { t.asks("10.1.0.2:5369", "demo", 9100) },
		"a preamble, then text": func(t *talk) { t.dials(dialled, listening).sends(client, []byte("text")).sends(server, []byte("more")) },
	} {
		whole, pieces := newTalk(), newTalk()
		play(whole)
		play(pieces)
		pieces.segments = split(pieces.segments)
		a, b := whole.only(t, decode.Options{}), pieces.only(t, decode.Options{})
		if a.Protocol != b.Protocol || verify.Conclude(a) != verify.Conclude(b) || !slices.Equal(a.ProtocolBasis, b.ProtocolBasis) || a.Ends != b.Ends {
			t.Errorf("%s: %s %+v, in pieces %s %+v", name, a.Protocol, verify.Conclude(a), b.Protocol, verify.Conclude(b))
		}
	}
}

// split makes segments of one byte of each.
func split(segments []link.Segment) []link.Segment {
	var out []link.Segment
	for _, s := range segments {
		if len(s.Payload) == 0 {
			out = append(out, s)
			continue
		}
		for i := range s.Payload {
			p := s
			p.Seq, p.Payload, p.Length, p.Identity = s.Seq+uint32(i), s.Payload[i:i+1], 1, s.Identity<<16|uint32(i)
			out = append(out, p)
		}
	}
	return out
}

// TestNamesBehindPreamble: a proxy does not keep the nodes' names from being seen.
func TestNamesBehindPreamble(t *testing.T) {
	talk := newTalk()
	talk.dials(dialled, listening).sends(client, []byte("PROXY x\r\n")).sends(server, []byte("ok\n")).connects("a@n1", "b@n2")
	c := talk.only(t, decode.Options{})
	if c.Ends[client].Node != "a@n1" || c.Ends[server].Node != "b@n2" || !c.Dist[client].Handshake.Proved {
		t.Errorf("%+v", c.Ends)
	}
	if at := c.Dist[client].Handshake.NameAt; at.Offset != 9 || at.Frame.Number != 6 {
		t.Errorf("the client's name is at %+v", at)
	}
}

// TestOneSegmentBehindPreamble: offsets do not depend on segments.
func TestOneSegmentBehindPreamble(t *testing.T) {
	talk := newTalk()
	talk.dials(dialled, listening).sends(client, cat("PROXY x\r\n", sendName("a@n1")))
	c := talk.only(t, decode.Options{})
	if at := c.Dist[client].Handshake.NameAt; at.Offset != 9 || c.Ends[client].Node != "a@n1" {
		t.Errorf("%q at %+v", c.Ends[client].Node, at)
	}
}

// TestBytesInside: of a TLS connection only what is not TLS counts as sent in
// the clear.
func TestBytesInside(t *testing.T) {
	talk := newTalk()
	talk.dials(dialled, listening).tls12(mutualSession).sends(server, cat(sealed(50), regSend(), regSend()), regSend())
	c := talk.only(t, decode.Options{})
	if got, want := c.Dist[server].Bytes, int64(3*len(regSend())); got != want || c.Dist[client].Bytes != 0 {
		t.Errorf("%d bytes in the clear, want %d", got, want)
	}
	if c.Dist[server].Messages["REG_SEND"] != 3 {
		t.Errorf("messages %v", c.Dist[server].Messages)
	}
}

// TestTentativeStatusIsUnidentified: a status that nobody asked for is nothing
// that is known.
func TestTentativeStatusIsUnidentified(t *testing.T) {
	talk := newTalk()
	talk.dials(dialled, listening).sends(client, mutualSession.clientHello(false)).sends(server, with16("snok"))
	c := talk.only(t, decode.Options{})
	if c.InClear || c.Unidentified != [2]bool{false, true} {
		t.Errorf("in the clear %t, unidentified %v", c.InClear, c.Unidentified)
	}
}

// TestForgedConversation: somebody plays a mutual handshake to whoever captures,
// with the sequence numbers of the real connection, which follows and is
// one-way. However well it is played, nothing is claimed.
func TestForgedConversation(t *testing.T) {
	real := mutualSession.but(func(s *session) { s.asked = false })
	for name, ending := range map[string]func(*dialog){
		"left open": func(*dialog) {},
		"closed":    func(d *dialog) { d.closes(client) },
		"reset": func(d *dialog) {
			d.segment(client, link.RST, nil)
			d.segment(server, link.RST, nil)
		},
		"long": func(d *dialog) {
			for range 15 {
				d.sends(client, sealed(50)).sends(server, sealed(50))
			}
		},
	} {
		for _, version := range []string{"1.2", "1.3"} {
			talk := newTalk()
			d := talk.dials(dialled, listening)
			begin := d.next
			play := func(s session) {
				if version == "1.2" {
					d.tls12(s)
				} else {
					d.tls13(s)
				}
			}
			play(mutualSession)
			ending(d)
			d.next = begin
			play(real)
			for _, c := range talk.finish(decode.Options{}).Connections {
				if k := verify.Conclude(c); k.Verdict == verify.Mutual {
					t.Errorf("%s, %s: %+v", version, name, k)
				}
			}
		}
	}
}
