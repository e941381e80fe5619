package main

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/internal/mutate"
)

// A wire collects the packets of conversations that are made up here.
type wire struct {
	packets []mutate.Packet
	now     int64
}

func newWire() *wire { return &wire{now: 1_700_000_000_000_000_000} }

// A dialogue is one TCP connection on a wire.
type dialogue struct {
	wire *wire
	ends [2]netip.AddrPort // client and server
	seq  [2]uint32
	// vni, if not zero, is the VXLAN segment on which the connection is.
	vni  uint32
	ipID uint16
}

// The flags of a TCP header (RFC 9293, Section 3.1).
const (
	tcpFIN = 1 << iota
	tcpSYN
	tcpRST
	tcpPSH
	tcpACK
)

func (w *wire) talk(client, server string) *dialogue {
	return &dialogue{wire: w, ends: [2]netip.AddrPort{netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)}, seq: [2]uint32{1_000_000, 2_000_000}}
}

const (
	fromClient = 0
	fromServer = 1
)

// open sends SYN, SYN+ACK and ACK.
func (t *dialogue) open() *dialogue {
	t.segment(fromClient, tcpSYN, nil)
	t.segment(fromServer, tcpSYN|tcpACK, nil)
	t.segment(fromClient, tcpACK, nil)
	return t
}

// say sends bytes, and advances the sender's sequence number.
func (t *dialogue) say(from int, payload []byte) *dialogue {
	t.segment(from, tcpPSH|tcpACK, payload)
	return t
}

// close has one side end the connection and the other agree.
func (t *dialogue) close(by int) *dialogue {
	t.segment(by, tcpFIN|tcpACK, nil)
	t.segment(1-by, tcpFIN|tcpACK, nil)
	t.segment(by, tcpACK, nil)
	return t
}

// segment puts one segment on the wire.
func (t *dialogue) segment(from int, flags byte, payload []byte) {
	ack := t.seq[1-from]
	if flags&tcpACK == 0 {
		ack = 0
	}
	t.raw(from, t.seq[from], ack, flags, payload)
	t.seq[from] += uint32(len(payload))
	if flags&(tcpSYN|tcpFIN) != 0 {
		t.seq[from]++
	}
}

// raw puts a segment with given numbers on the wire and changes nothing.
func (t *dialogue) raw(from int, seq, ack uint32, flags byte, payload []byte) {
	src, dst := t.ends[from], t.ends[1-from]
	tcp := binary.BigEndian.AppendUint16(nil, src.Port())
	tcp = binary.BigEndian.AppendUint16(tcp, dst.Port())
	tcp = binary.BigEndian.AppendUint32(tcp, seq)
	tcp = binary.BigEndian.AppendUint32(tcp, ack)
	tcp = append(tcp, 5<<4, flags, 0x7f, 0xff, 0, 0, 0, 0)
	t.ipID++
	frame := ethernetFrame(ipPacket(6, t.ipID, src.Addr(), dst.Addr(), append(tcp, payload...)))
	if t.vni != 0 {
		vxlan := []byte{0x08, 0, 0, 0, byte(t.vni >> 16), byte(t.vni >> 8), byte(t.vni), 0}
		udp := []byte{0xc0, 0x01, 0x12, 0xb5, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)+len(vxlan)+len(frame)))
		outer := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		frame = ethernetFrame(ipPacket(17, t.ipID, outer[from], outer[1-from], slices.Concat(udp, vxlan, frame)))
	}
	t.wire.now += 10_000_000
	t.wire.packets = append(t.wire.packets, mutate.Packet{Data: frame, Length: len(frame), Time: t.wire.now, LinkType: 1})
}

func ethernetFrame(ip []byte) []byte {
	kind := []byte{0x08, 0x00}
	if ip[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	return slices.Concat([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, kind, ip)
}

func ipPacket(proto byte, id uint16, src, dst netip.Addr, payload []byte) []byte {
	if src.Is6() {
		head := []byte{0x60, 0, 0, 0, 0, 0, proto, 64}
		binary.BigEndian.PutUint16(head[4:], uint16(len(payload)))
		return slices.Concat(head, src.AsSlice(), dst.AsSlice(), payload)
	}
	head := []byte{0x45, 0, 0, 0, byte(id >> 8), byte(id), 0x40, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(payload)))
	return slices.Concat(head, src.AsSlice(), dst.AsSlice(), payload)
}

// recordOf makes a TLS record.
func recordOf(kind byte, body []byte) []byte {
	return append([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
}

// sealedRecords makes records of application data with the given lengths.
func sealedRecords(lengths ...int) []byte {
	var out []byte
	for _, n := range lengths {
		out = append(out, recordOf(23, bytes.Repeat([]byte{0xa5}, n))...)
	}
	return out
}

// messageOf makes a handshake message in a record of its own.
func messageOf(kind byte, body []byte) []byte {
	return recordOf(22, append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...))
}

// clientHelloWith makes a ClientHello for the given extensions.
func clientHelloWith(session []byte, extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, bytes.Repeat([]byte{1}, 32)...)
	body = append(append(body, byte(len(session))), session...)
	body = append(body, 0, 4, 0x13, 0x01, 0xc0, 0x2b, 1, 0) // two suites, no compression
	return messageOf(1, append(body, vector16(slices.Concat(extensions...))...))
}

func serverHelloWith(suite uint16, session []byte, extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, bytes.Repeat([]byte{2}, 32)...)
	body = append(append(body, byte(len(session))), session...)
	body = binary.BigEndian.AppendUint16(body, suite)
	return messageOf(2, append(append(body, 0), vector16(slices.Concat(extensions...))...))
}

func vector16(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func extension(id byte, data []byte) []byte { return append([]byte{0, id}, vector16(data)...) }

var (
	offers13   = extension(43, []byte{2, 3, 4})
	selects13  = extension(43, []byte{3, 4})
	ccs        = recordOf(20, []byte{1})
	finished12 = recordOf(22, bytes.Repeat([]byte{0xa5}, 40))
)

func serverName(host string) []byte {
	return extension(0, vector16(append([]byte{0}, vector16([]byte(host))...)))
}

const (
	suite13 = 0x1301 // TLS_AES_128_GCM_SHA256: a Finished takes 53 bytes
	suite12 = 0xc02b // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
)

// hello13 is the part of a TLS 1.3 handshake that is in the clear.
func (t *dialogue) hello13() *dialogue {
	t.open()
	t.say(fromClient, clientHelloWith(nil, serverName("n2.lab"), offers13))
	return t.say(fromServer, serverHelloWith(suite13, nil, selects13))
}

// mutual13 is a whole TLS 1.3 session of two nodes with names like a@n1.lab.
func (t *dialogue) mutual13() *dialogue {
	t.hello13().say(fromServer, sealedRecords(23, 142, 1027, 96, 53))
	return t.say(fromClient, sealedRecords(1027, 96, 53)).dist13()
}

// dist13 is the distribution handshake in TLS 1.3, for names like a@n1.lab.
func (t *dialogue) dist13() *dialogue {
	t.say(fromClient, sealedRecords(36+8))
	t.say(fromServer, sealedRecords(24))
	t.say(fromServer, sealedRecords(40+8))
	t.say(fromClient, sealedRecords(42))
	t.say(fromServer, sealedRecords(38))
	return t
}

// full12 is a one-way TLS 1.2 session; session and ticket are what the server issues.
func (t *dialogue) full12(session, ticket []byte) *dialogue {
	t.open()
	t.say(fromClient, clientHelloWith(nil, serverName("n2.lab")))
	flight := slices.Concat(serverHelloWith(suite12, session), messageOf(11, certificates()), messageOf(12, []byte{3, 0, 29}))
	t.say(fromServer, append(flight, messageOf(14, nil)...))
	t.say(fromClient, slices.Concat(messageOf(16, make([]byte, 33)), ccs, finished12))
	flight = nil
	if ticket != nil {
		flight = messageOf(4, append([]byte{0, 0, 0, 60}, vector16(ticket)...))
	}
	t.say(fromServer, slices.Concat(flight, ccs, finished12))
	return t.dist12()
}

func certificates() []byte {
	der := bytes.Repeat([]byte{0x30}, 300)
	one := append([]byte{0, byte(len(der) >> 8), byte(len(der))}, der...)
	return append([]byte{0, byte(len(one) >> 8), byte(len(one))}, one...)
}

// resumed12 is an abbreviated handshake; the server echoes the session id.
func (t *dialogue) resumed12(session, ticket []byte) *dialogue {
	t.open()
	t.say(fromClient, clientHelloWith(session, serverName("n2.lab"), extension(35, ticket)))
	t.say(fromServer, slices.Concat(serverHelloWith(suite12, session), ccs, finished12))
	t.say(fromClient, slices.Concat(ccs, finished12))
	return t.dist12()
}

// dist12 is the distribution handshake in TLS 1.2 with AES-GCM.
func (t *dialogue) dist12() *dialogue {
	t.say(fromClient, sealedRecords(43+8))
	t.say(fromServer, sealedRecords(31))
	t.say(fromServer, sealedRecords(47+8))
	t.say(fromClient, sealedRecords(49))
	t.say(fromServer, sealedRecords(45))
	return t
}

// plain is a distribution handshake in the clear, and a tick.
func (t *dialogue) plain(client, server string) *dialogue {
	flags := []byte{0, 0, 0, 0x0d, 0x07, 0xdf, 0x7f, 0xbd}
	name := func(n string, more ...byte) []byte {
		m := slices.Concat([]byte{'N'}, flags, more, []byte{0, 0, 0, 1}, vector16([]byte(n)))
		return vector16(m)
	}
	t.say(fromClient, name(client))
	t.say(fromServer, vector16([]byte("sok")))
	t.say(fromServer, name(server, 1, 2, 3, 4))
	t.say(fromClient, vector16(append([]byte{'r', 1, 2, 3, 4}, make([]byte, 16)...)))
	t.say(fromServer, vector16(append([]byte{'a'}, make([]byte, 16)...)))
	t.say(fromClient, make([]byte, 4))
	return t
}

// epmd is a lookup of a node on the server's host.
func (w *wire) epmd(client, host string, port uint16, name string) {
	t := w.talk(client, host+":4369").open()
	t.say(fromClient, vector16(append([]byte{'z'}, name...)))
	body := []byte{119, 0, byte(port >> 8), byte(port), 77, 0, 0, 6, 0, 5}
	t.say(fromServer, append(append(body, vector16([]byte(name))...), 0, 0))
	t.close(fromServer)
}

// on puts the connection on a VXLAN segment, with sequence numbers of its own.
func (t *dialogue) on(vni uint32, seq uint32) *dialogue {
	t.vni, t.seq = vni, [2]uint32{seq, seq + 200_000_000}
	return t
}

// TestNothingFalseIsClaimed has conversations that could be mistaken for better
// ones. The first connection is sound, where there are two.
func TestNothingFalseIsClaimed(t *testing.T) {
	const client, other, server = "10.0.0.1:40000", "10.0.0.3:40001", "10.0.0.2:9100"
	tests := []struct {
		name       string
		make       func(w *wire)
		verdicts   []string // of the connections that are not EPMD's
		conclusion string
	}{
		{"sound in TLS 1.3", func(w *wire) { w.talk(client, server).mutual13() }, []string{"mutual"}, "pass"},
		{"a padded refusal: one record, not of a status's size", func(w *wire) {
			w.epmd(other, "10.0.0.2", 9100, "b")
			w.talk(client, server).hello13().
				say(fromServer, sealedRecords(53, 106+16, 795+16, 281, 53)).
				say(fromClient, sealedRecords(803, 281, 53, 44)).
				say(fromServer, sealedRecords(53)).close(fromServer)
		}, []string{"inconclusive"}, "inconclusive"},
		{"records before the server's flight cannot be the client's", func(w *wire) {
			w.epmd(other, "10.0.0.2", 9100, "b")
			w.talk(client, server).open().
				say(fromClient, clientHelloWith(nil, offers13)).
				say(fromClient, sealedRecords(500, 96, 53)).
				say(fromServer, serverHelloWith(suite13, nil, selects13)).
				say(fromServer, sealedRecords(23, 142, 1027, 96, 53)).
				say(fromClient, sealedRecords(25, 53)).dist13()
		}, []string{"inconclusive"}, "inconclusive"},
		{"resumed by session id", func(w *wire) {
			w.talk(client, server).full12([]byte("ID"), nil).close(fromClient)
			w.talk(other, server).resumed12([]byte("ID"), nil)
		}, []string{"one-way", "one-way"}, "fail"},
		{"resumed by ticket, beside any session id", func(w *wire) {
			w.talk(client, server).full12(nil, []byte("TICKET")).close(fromClient)
			w.talk(other, server).resumed12([]byte("ANY"), []byte("TICKET"))
		}, []string{"one-way", "one-way"}, "fail"},
		{"an unknown ticket beside somebody else's session id", func(w *wire) {
			w.talk(client, server).full12([]byte("ID"), []byte("TICKET")).close(fromClient)
			w.talk(other, server).resumed12([]byte("ID"), []byte("OWN"))
		}, []string{"one-way", "inconclusive"}, "fail"},
		{"in the clear from EPMD's port", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk("10.0.0.3:4369", "10.0.0.2:9101").open().plain("a@n1.lab", "b@n2.lab")
		}, []string{"mutual", "cleartext"}, "fail"},
		{"in the clear to EPMD's port", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk(other, "10.0.0.2:4369").open().plain("a@n1.lab", "b@n2.lab")
		}, []string{"mutual", "cleartext"}, "fail"},
		{"one-way from EPMD's port", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk("10.0.0.3:4369", "10.0.0.2:9101").full12(nil, nil)
		}, []string{"mutual", "one-way"}, "fail"},
		{"TLS without its beginning at the same listener", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk(other, server).say(fromClient, sealedRecords(100, 200)).say(fromServer, sealedRecords(300, 400))
		}, []string{"mutual", "inconclusive"}, "inconclusive"},
		{"the same, server first", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk("10.0.0.3:2000", server).say(fromServer, sealedRecords(300, 400)).say(fromClient, sealedRecords(100, 200))
		}, []string{"mutual", "inconclusive"}, "inconclusive"},
		{"other bytes at the same listener", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk(other, server).open().say(fromClient, []byte("GET / HTTP/1.1")).say(fromServer, []byte("HTTP/1.1 400"))
		}, []string{"mutual", "inconclusive"}, "inconclusive"},
		{"coalesced handshake at the same listener", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk(other, server).hello13().
				say(fromServer, sealedRecords(1400)).
				say(fromClient, sealedRecords(53)).dist13().close(fromClient)
		}, []string{"mutual", "inconclusive"}, "inconclusive"},
		{"TLS at another port is none of it", func(w *wire) {
			w.talk(client, server).mutual13()
			w.talk(other, "10.0.0.2:443").say(fromClient, sealedRecords(100, 200)).say(fromServer, sealedRecords(300, 400))
		}, []string{"mutual", "null"}, "pass"},
		{"a forged SYN hides what follows", func(w *wire) {
			x := w.talk(client, server).mutual13()
			x.raw(fromClient, 0x7000_0000, 0, tcpSYN, nil)
			x.say(fromClient, []byte("in the clear"))
		}, []string{"inconclusive", "null"}, "inconclusive"},
		{"a forged SYN takes over what follows", func(w *wire) {
			x := w.talk(client, server).mutual13()
			x.raw(fromClient, x.seq[fromClient]-1, 0, tcpSYN, nil)
			x.say(fromClient, []byte("in the clear"))
		}, []string{"mutual", "inconclusive"}, "inconclusive"},
		{"two tenants with one pair of addresses, interleaved", func(w *wire) {
			tenants(w, 0, client, server)
		}, []string{"null", "null", "inconclusive", "inconclusive"}, "inconclusive"},
		{"two tenants, one without its beginning", func(w *wire) {
			tenants(w, 3, client, server)
		}, []string{"inconclusive"}, "inconclusive"},
		{"the port used again in order", func(w *wire) {
			w.talk(client, server).mutual13().close(fromClient)
			w.talk(client, server).on(0, 3_500_000_000).mutual13()
		}, []string{"mutual", "mutual"}, "pass"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire()
			tt.make(w)
			doc := documentOfPackets(t, w.packets, mutate.Format{})
			var verdicts, all []string
			for _, c := range doc.Connections {
				if c.Protocol != "epmd" {
					verdicts = append(verdicts, text(c.Verdict))
					all = append(all, claims(c))
				}
			}
			if diff := cmp.Diff(tt.verdicts, verdicts); diff != "" || doc.Conclusion != tt.conclusion {
				t.Errorf("%s: %s\n%s%s", doc.Conclusion, doc.Reason, diff, strings.Join(all, "\n"))
			}
		})
	}
}

// tenants has a sound connection in one VXLAN segment, and one in the clear
// between the same addresses in another, without its first packets.
func tenants(w *wire, late int, client, server string) {
	sound, clear := newWire(), newWire()
	sound.talk(client, server).on(1, 1_000_000).mutual13()
	clear.talk(client, server).on(2, 3_500_000_000).open().plain("a@n1.lab", "b@n2.lab")
	for i, p := range sound.packets {
		if i >= late && i < len(clear.packets) {
			w.packets = append(w.packets, clear.packets[i])
		}
		w.packets = append(w.packets, p)
	}
}

// TestWhatCannotBeReadIsSaid: beside a sound connection there are packets that
// may carry others.
func TestWhatCannotBeReadIsSaid(t *testing.T) {
	client, server := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	fragment := ethernetFrame(ipPacket(6, 7, client, server, bytes.Repeat([]byte{1}, 24)))
	fragment[20] = 0x20 // more fragments follow (RFC 791)
	tests := []struct {
		name       string
		data       []byte
		linkType   capture.LinkType
		conclusion string
		message    string
	}{
		{"a fragment", fragment, 1, "inconclusive", "1 packet could not be read (IP fragment incomplete): connections may have been missed"},
		{"a cut header", fragment[:30], 1, "inconclusive", "1 packet could not be read (truncated header (snaplen)): connections may have been missed"},
		{"an unknown link layer", fragment, 147, "inconclusive", "1 packet could not be read (unsupported link type 147): connections may have been missed"},
		{"ESP", ethernetFrame(ipPacket(50, 7, client, server, make([]byte, 64))), 1, "pass", "1 packet cannot be looked into (ESP: encrypted below: not visible): connections inside are not judged"},
		{"OSPF", ethernetFrame(ipPacket(89, 7, client, server, make([]byte, 64))), 1, "pass", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire()
			w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
			w.packets = append(w.packets, mutate.Packet{Data: tt.data, Length: max(len(tt.data), len(fragment)), Time: w.now, LinkType: tt.linkType})
			doc := documentOfPackets(t, w.packets, mutate.Format{PCAPNG: true})
			message := ""
			for _, f := range doc.Findings {
				message += f.Message
			}
			if doc.Conclusion != tt.conclusion || message != tt.message {
				t.Errorf("%s, %q, want %s, %q", doc.Conclusion, message, tt.conclusion, tt.message)
			}
		})
	}
}

// TestHiddenDistributionDoesNotPass has a sound connection, and one that only
// its own records or EPMD show to be distribution, in which packets are missing
// or forged.
func TestHiddenDistributionDoesNotPass(t *testing.T) {
	w := newWire()
	w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
	sound := len(w.packets)
	w.talk("10.0.0.3:40001", "10.0.0.4:9200").full12(nil, nil)
	shown := w.packets
	w.packets = slices.Clone(shown[:sound])
	w.epmd("10.0.0.3:40002", "10.0.0.4", 9200, "b")
	w.talk("10.0.0.3:40001", "10.0.0.4:9200").hello13().
		say(fromServer, sealedRecords(23, 1027, 96, 53)).
		say(fromClient, sealedRecords(53))
	for name, packets := range map[string][]mutate.Packet{"shown by records": shown, "shown by EPMD": w.packets} {
		for i := sound; i < len(packets); i++ {
			payload := sealedRecords(200, 300, 400)
			for how, changed := range map[string][]mutate.Packet{
				"lost": mutate.DropPacket(packets, i), "bytes after": mutate.InsertAhead(packets, i, payload),
				"bytes ahead": mutate.OverlapAhead(packets, i, payload), "SYN after": mutate.ForgeSYN(packets, i),
				"RST after": mutate.ForgeRST(packets, i), "FIN after": mutate.ForgeFIN(packets, i),
			} {
				if changed == nil {
					continue
				}
				if doc := documentOfPackets(t, changed, mutate.Format{}); doc.Conclusion == "pass" {
					t.Errorf("%s, packet %d %s: %s", name, i+1-sound, how, doc.Reason)
				}
			}
		}
	}
}

// TestForgedMessageHidesNoDistribution: a handshake message in the clear that
// somebody adds, at once or after a while, does not make a one-way connection
// disappear.
func TestForgedMessageHidesNoDistribution(t *testing.T) {
	for name, handshake := range map[string]func(*dialogue){
		"TLS 1.2": func(d *dialogue) { d.full12(nil, nil) },
		"TLS 1.3": func(d *dialogue) {
			d.hello13().say(fromServer, sealedRecords(23, 1027, 96, 53)).say(fromClient, sealedRecords(53)).dist13()
		},
	} {
		w := newWire()
		w.talk("10.0.0.1:40000", "10.0.0.2:9100").mutual13()
		sound := len(w.packets)
		d := w.talk("10.0.0.3:40001", "10.0.0.4:9200")
		handshake(d)
		d.segment(fromClient, tcpACK, nil)
		for what, payload := range map[string][]byte{
			"ClientHello": clientHelloWith(nil, offers13), "ServerHello": serverHelloWith(suite13, nil, selects13),
			"HelloRequest": messageOf(0, nil), "Certificate": messageOf(11, []byte{0, 0, 0}),
			"a long message": recordOf(22, []byte{11, 0xff, 0xff, 0xff}),
		} {
			for i := sound; i < len(w.packets); i++ {
				for _, pause := range []time.Duration{0, 2 * time.Second} {
					changed := mutate.InsertAhead(w.packets, i, payload)
					for j := i + 1; j < len(changed); j++ {
						changed[j].Time += int64(pause)
					}
					if doc := documentOfPackets(t, changed, mutate.Format{}); doc.Conclusion == "pass" {
						t.Errorf("%s, %s after packet %d and %v: %s", name, what, i+1-sound, pause, doc.Reason)
					}
				}
			}
		}
	}
}
