package dist

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/decode/dist/term"
	"distproof/decode/tcp"
	"distproof/decode/wire"
	"distproof/internal/allocs"
	"distproof/internal/octets"
)

// Messages of real nodes (OTP 25), and variations of them.
var (
	sendName6 = cat(
		u16(26), 'N',
		u64(0x0000000d_07df7fbd), // flags
		u32(0x6b02341f),          // creation
		u16(11), "demo@n1.lab",
	)
	sendName5 = cat(
		u16(1+2+4+11), 'n',
		u16(5),          // version
		u32(0x00df7fbd), // flags
		"demo@n1.lab",
	)
	sendNameMe = cat(
		u16(15+6), 'N',
		u64(0x0000000f_07df7fbd), // with NAME_ME
		u32(0),                   // no creation yet
		u16(6), "n1.lab",
	)
	statusOK   = cat(u16(3), "sok")
	challenge6 = cat(
		u16(30), 'N',
		u64(0x0000000d_07df7fbd), // flags
		u32(0x8ba40017),          // challenge
		u32(0x6b02341f),          // creation
		u16(11), "demo@n2.lab",
	)
	challenge5 = cat(
		u16(1+2+4+4+11), 'n',
		u16(5),          // version
		u32(0x01df7fbd), // flags
		u32(0x8ba40017), // challenge
		"demo@n2.lab",
	)
	complement = cat(u16(9), 'c', u32(0x0000000d), u32(0x6b02341f))
	digest     = [16]byte{0xc1, 0x23, 0xc4, 0x68, 0xd4, 0x52, 0xa6, 0x96, 0x44, 0xba, 0x96, 0xcd, 0x97, 0xe2, 0x97, 0x83}
	reply      = cat(u16(21), 'r', u32(0xb162de30), digest[:])
	ack        = cat(u16(17), 'a', digest[:])

	tick = u32(0)
	// pid is a process of the node in atom cache reference 0.
	pid = cat(88, 82, 0, u32(54), u32(0), u32(0x6b02341f))
	// regSend is {6, Pid, '', rex} with new cache entries for all atoms.
	regSend = frame(131, 68,
		3,          // atom cache references
		0x8f, 0x0c, // new in segment 7, new in segment 0, new in segment 4; short atoms
		0x96, 11, "demo@n1.lab",
		0x05, 0, // ''
		0x74, 3, "rex",
		104, 4, 97, 6, pid, 82, 1, 82, 2,
		104, 1, 97, 7, // the message: {7}
	)
	// regSendAgain is the same with the cache entries of regSend.
	regSendAgain = frame(131, 68,
		3,
		0x07, 0x04,
		0x96, 0x05, 0x74,
		104, 4, 97, 6, pid, 82, 1, 82, 2,
		104, 1, 97, 7,
	)
	linkMsg = frame(131, 68, 0, 104, 3, 97, 1, literalPid, literalPid)
	// literalPid needs no atom cache.
	literalPid = cat(88, 119, 11, "demo@n1.lab", u32(54), u32(0), u32(0x6b02341f))
	// spawn is {29, ReqId, From, GroupLeader, {erpc, execute_call, 4}, []}.
	spawn = frame(131, 68, 0, 104, 6, 97, 29,
		90, u16(3), 119, 11, "demo@n1.lab", u32(0x6b02341f), u32(1), u32(2), u32(3),
		literalPid, literalPid,
		104, 3, 119, 4, "erpc", 119, 12, "execute_call", 97, 4,
		106)
	// passThrough is {6, Pid, '', global_name_server} as a C node sends it.
	passThrough = frame(112, 131, 104, 4, 97, 6,
		103, 100, u16(4), "c1@h", u32(1), u32(0), 1,
		100, u16(0),
		100, u16(18), "global_name_server",
		131, 106)
	firstFragment = frame(131, 69, u64(72), u64(2), 0, 104, 3, 97, 2, 119, 0, literalPid, zeros(100))
	nextFragment  = frame(131, 70, u64(72), u64(1), zeros(100))
	unknownOp     = frame(131, 68, 0, 104, 2, 97, 200, 106)
	compressed    = frame(131, 80, u32(1000), zeros(20))
)

var cat = octets.Cat

func u16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte    { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
func zeros(n int) []byte  { return make([]byte, n) }

// frame puts a 4-byte length before a message.
func frame(parts ...any) []byte {
	b := cat(parts...)
	return append(u32(len(b)), b...)
}

func message2(body ...any) []byte {
	b := cat(body...)
	return append(u16(len(b)), b...)
}

// A feeder gives bytes to a stream, each piece in a packet of its own, 10 ms
// after the last.
type feeder struct {
	s    *Stream
	at   tcp.Position
	size int
}

func newFeeder(start Start, size int) *feeder {
	return &feeder{s: new(Tables).NewStream(Options{}, start), at: tcp.Position{Acked: -1, Frame: capture.Frame{Number: 1}}, size: size}
}

func (f *feeder) data(b []byte) {
	for i := 0; i < len(b); i += f.size {
		n := min(f.size, len(b)-i)
		f.s.Data(forward(f.at, i), b[i:i+n])
	}
	f.at.Offset += int64(len(b))
	f.at.Frame.Number++
	f.at.Time += 10e6
}

func (f *feeder) gap(n int) {
	f.s.Gap(f.at, int64(n))
	f.at.Offset += int64(n)
}

func (f *feeder) wait(ns int64) { f.at.Time += ns }

func (f *feeder) end() Facts {
	f.s.End()
	return f.s.Facts()
}

// decode feeds pieces whole and byte by byte, and compares.
func decode(t *testing.T, start Start, pieces ...[]byte) Facts {
	t.Helper()
	fast, slow := newFeeder(start, whole), newFeeder(start, 1)
	for _, p := range pieces {
		fast.data(p)
		slow.data(p)
	}
	f, g := fast.end(), slow.end()
	if !reflect.DeepEqual(f, g) {
		t.Errorf("depends on the segments:\n whole %+v\nsingle %+v", f, g)
	}
	return f
}

func TestHandshake(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces [][]byte
		check  func(f Facts) bool
	}{
		{"version 6 client", [][]byte{sendName6, reply, tick}, func(f Facts) bool {
			h := f.Handshake
			return f.Role == Client && f.RoleEvidence == "send_name" && h.Version == 6 && h.Name == "demo@n1.lab" &&
				h.Creation == 0x6b02341f && h.Flags == 0xd_07df7fbd && h.Challenge == 0xb162de30 && h.Proved && h.Reply &&
				h.Digest == digest && h.DigestAt.Offset == 28 && f.Connected && f.Ticks.Count == 1
		}},
		{"version 6 server", [][]byte{statusOK, challenge6, ack, tick}, func(f Facts) bool {
			h := f.Handshake
			return f.Role == Server && h.Status == "ok" && h.Version == 6 && h.Name == "demo@n2.lab" &&
				h.Challenged && h.Challenge == 0x8ba40017 && h.Ack && f.Connected
		}},
		{"version 5 client to version 6 server", [][]byte{sendName5, complement, reply}, func(f Facts) bool {
			h := f.Handshake
			return f.Role == Client && h.Version == 5 && h.Name == "demo@n1.lab" && h.Complement &&
				h.Flags == 0xd_00df7fbd && h.Creation == 0x6b02341f && !f.Connected
		}},
		{"version 5 server", [][]byte{statusOK, challenge5, ack}, func(f Facts) bool {
			h := f.Handshake
			return f.Role == Server && h.Version == 5 && h.Name == "demo@n2.lab" && h.Challenge == 0x8ba40017 && h.Ack
		}},
		{"name wanted", [][]byte{sendNameMe}, func(f Facts) bool {
			return f.Role == Client && f.Handshake.NameIsHost && f.Handshake.Name == "n1.lab"
		}},
		{"name given", [][]byte{message2("snamed:", u16(8), "xyz@n1.l", u32(7)), challenge6}, func(f Facts) bool {
			h := f.Handshake
			return h.Status == "named" && h.GivenName == "xyz@n1.l" && h.GivenCreation == 7 && h.Name == "demo@n2.lab"
		}},
		{"alive, go on", [][]byte{sendName6, message2("strue"), reply}, func(f Facts) bool {
			return f.Role == Client && f.Handshake.StatusReply == "true" && f.Handshake.Reply
		}},
		{"refused", [][]byte{message2("snot_allowed")}, func(f Facts) bool {
			return f.Role == Server && f.Handshake.Status == "not_allowed" && f.InFrame
		}},
		{"later version appends to the name", [][]byte{message2(sendName6[2:], "more"), reply}, func(f Facts) bool {
			return f.Role == Client && f.Handshake.Name == "demo@n1.lab" && f.Handshake.Reply
		}},
		{"no node's flags", [][]byte{message2('N', u64(0x01000000), u32(0), u16(3), "a@b")}, func(f Facts) bool {
			return f.Recognition == NotRecognised && f.Foreign
		}},
		{"TLS alert instead", [][]byte{{0x15, 3, 3, 0, 2, 2, 10}}, func(f Facts) bool {
			return f.Recognition == NotRecognised && f.Role == RoleUnknown && f.Foreign && f.ForeignAt.Offset == 0
		}},
		{"TLS after the name", [][]byte{sendName6, {0x16, 3, 3, 0, 2, 2, 10}}, func(f Facts) bool {
			return f.Recognition == ByHandshake && f.Foreign && f.ForeignAt.Offset == 28 && !f.InFrame
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := decode(t, AtHandshake, c.pieces...)
			if !c.check(f) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// TestMidstreamHandshake begins somewhere in the handshake.
func TestMidstreamHandshake(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces [][]byte
		want   Recognition
		role   Role
	}{
		{"send_name", [][]byte{sendName6}, ByHandshake, Client},
		{"status and challenge", [][]byte{statusOK, challenge6}, ByHandshake, Server},
		{"challenge", [][]byte{challenge6, ack}, ByHandshake, Server},
		{"challenge of version 5", [][]byte{challenge5}, ByHandshake, Server},
		{"reply and messages", [][]byte{reply, regSend}, ByHandshake, Client},
		{"ack and messages", [][]byte{ack, regSend, tick}, ByHandshake, Server},
		{"reply alone", [][]byte{reply}, NotRecognised, Client},
		{"reply and others", [][]byte{reply, []byte("something else\n")}, NotRecognised, RoleUnknown},
		{"status alone", [][]byte{statusOK}, NotRecognised, Server},
		{"status and others", [][]byte{statusOK, []byte("something else\n")}, NotRecognised, RoleUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := decode(t, Midstream, c.pieces...)
			if f.Recognition != c.want || f.Role != c.role || f.Tentative != (c.want == NotRecognised && c.role != RoleUnknown) {
				t.Errorf("got %v, %v, tentative %v", f.Recognition, f.Role, f.Tentative)
			}
			if c.want != NotRecognised && f.RecognisedAt.Offset != 0 {
				t.Errorf("recognised at %d", f.RecognisedAt.Offset)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	f := decode(t, AtHandshake, sendName6, reply, regSend, regSendAgain, linkMsg, tick, spawn, passThrough,
		firstFragment, nextFragment, unknownOp, compressed, regSendAgain, frame(131, 99, 1, 2, 3))
	want := map[string]uint64{"REG_SEND": 4, "LINK": 1, "SPAWN_REQUEST": 1, "SEND": 1, Unknown: 3}
	if !reflect.DeepEqual(f.Messages, want) {
		t.Errorf("messages: %v", f.Messages)
	}
	// After the compressed message, which was not read, the cache is not
	// trusted any more.
	if want := (map[string]uint64{"rex": 2, "global_name_server": 1}); !reflect.DeepEqual(f.RegisteredNames, want) || f.Unnamed != 1 {
		t.Errorf("names: %v, and %d unknown", f.RegisteredNames, f.Unnamed)
	}
	if want := (map[string]uint64{"erpc:execute_call": 1}); !reflect.DeepEqual(f.Spawned, want) {
		t.Errorf("spawned: %v", f.Spawned)
	}
	if f.Fragments != 1 || f.Compressed != 1 || f.PassThrough != 1 || f.Ticks.Count != 1 || !f.InFrame || f.Foreign {
		t.Errorf("got %+v", f)
	}
}

// TestAtomCache reads names that only the cache tells.
func TestAtomCache(t *testing.T) {
	toRef := cat(104, 4, 97, 6, literalPid, 119, 0, 82, 0)
	f := decode(t, AtHandshake, sendName6, reply,
		// The same index in two segments; one reference: a nibble with the
		// segment, and one that says whether atoms have two bytes of length.
		frame(131, 68, 1, 0x0f, 9, 3, "one", toRef),
		frame(131, 68, 1, 0x1b, 9, u16(5), "three", toRef),
		frame(131, 68, 1, 0x07, 9, toRef),
		frame(131, 68, 1, 0x03, 9, toRef),
		// Replaced.
		frame(131, 68, 1, 0x0b, 9, 4, "four", toRef),
		frame(131, 68, 1, 0x03, 9, toRef),
		// Never set.
		frame(131, 68, 1, 0x02, 9, toRef),
		// Set, but not as text: not a header that a node sends.
		frame(131, 68, 1, 0x0b, 9, 2, 0xff, 0xfe, toRef),
		frame(131, 68, 1, 0x07, 9, toRef),
	)
	want := map[string]uint64{"one": 2, "three": 2, "four": 2}
	if !reflect.DeepEqual(f.RegisteredNames, want) || f.Unnamed != 2 || f.Messages[Unknown] != 1 {
		t.Errorf("got %v, %d without a name, %v", f.RegisteredNames, f.Unnamed, f.Messages)
	}
}

// TestFactsBeforeTheEnd asks while the stream goes on.
func TestFactsBeforeTheEnd(t *testing.T) {
	f := newFeeder(Midstream, whole)
	for i := range 3 {
		f.data(tick)
		f.wait(15e9)
		if got := f.s.Facts(); got.Ticks.Count != uint64(i+1)*uint64(min(i, 1)) || (got.Recognition == ByTicks) != (i > 0) {
			t.Errorf("after %d ticks: %v, %+v", i+1, got.Recognition, got.Ticks)
		}
	}
	if got := f.end(); got.Ticks.Count != 3 {
		t.Errorf("asking counts: %+v", got.Ticks)
	}
	g := newFeeder(AtHandshake, whole)
	g.data(cat(sendName6, reply, regSend))
	before := g.s.Facts()
	g.data(regSendAgain)
	if before.Messages["REG_SEND"] != 1 || !before.InFrame {
		t.Errorf("facts change after they were given: %+v", before)
	}
}

func TestMatchHandshake(t *testing.T) {
	for _, c := range []struct {
		name string
		head []byte
		want wire.Match
	}{
		{"send_name 6", sendName6, wire.Yes},
		{"send_name 5", sendName5, wire.Yes},
		{"send_name for a name", sendNameMe, wire.Yes},
		{"send_name with what follows", cat(sendName6, reply), wire.Yes},
		{"status and challenge 6", cat(statusOK, challenge6), wire.Yes},
		{"status and challenge 5", cat(statusOK, challenge5), wire.Yes},
		{"challenge alone", challenge6, wire.Yes},
		{"refusal", message2("snot_allowed"), wire.Yes},
		{"status ok", statusOK, wire.Maybe}, // or EPMD's STOP_REQ for the node "ok"
		{"status alive", message2("salive"), wire.Maybe},
		{"nothing", nil, wire.Maybe},
		{"status and TLS", cat(statusOK, 0x15, 3, 3, 0, 2, 2, 10), wire.No},
		{"two statuses", cat(statusOK, statusOK), wire.No},
		{"no node name", message2(sendName6[2:17], "demo_at_lab"), wire.No},
		{"a host in Latin-1", message2('N', sendName6[3:15], u16(11), "demo@b\xfccher"), wire.Yes},
		{"control characters beside Latin-1", message2('N', sendName6[3:15], u16(11), "demo@b\xfcch\x9fr"), wire.No},
		{"control characters", message2(sendName6[2:17], "demo@\x00\x01\x02\x03\x04\x05"), wire.No},
		{"no flags", message2('N', u64(0), u32(0), u16(3), "a@b"), wire.No},
		{"all flags", message2('N', u64(1<<64-1), u32(0), u16(3), "a@b"), wire.No},
		{"name longer than the message", message2(sendName6[2:15], u16(30), "demo@n1.lab"), wire.No},
		{"empty message", []byte("\x00\x00N"), wire.No},
		{"EPMD NAMES_REQ", cat(u16(1), "n"), wire.No},
		{"EPMD ALIVE2_REQ", cat(u16(17), 'x', u16(0x815d), 0x4d, 0, u16(6), u16(5), u16(4), "demo", u16(0)), wire.No},
		{"EPMD PORT_PLEASE2_REQ", cat(u16(5), "zdemo"), wire.No},
		{"EPMD STOP_REQ", cat(u16(5), "sdemo"), wire.No},
		{"EPMD KILL_REQ", cat(u16(1), "k"), wire.No},
		{"EPMD PORT2_RESP", cat('w', 0, u16(0xa3f3), 77, 0, u16(6), u16(5), u16(4), "demo", u16(0)), wire.No},
		{"EPMD names", cat(u32(4369), "name demo at port 41971\n"), wire.No},
		{"HTTP request", []byte("GET / HTTP/1.1\r\n"), wire.No},
		{"HTTP response", []byte("HTTP/1.1 200 OK\r\n"), wire.No},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), wire.No},
		{"SMTP", []byte("220 mail ESMTP\r\n"), wire.No},
		{"TLS", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc}, wire.No},
		{"AMQP", []byte("AMQP\x00\x00\x09\x01"), wire.No},
		{"MQTT", []byte("\x10\x0c\x00\x04MQTT\x04\x02"), wire.No},
		{"PostgreSQL", cat(u32(8), u32(80877103)), wire.No},
		{"MySQL", []byte("\x4a\x00\x00\x00\x0a8.0.36\x00"), wire.No},
		{"Redis", []byte("*1\r\n$4\r\nPING\r\n"), wire.No},
		{"DNS over TCP", cat(u16(29), u16(0x4e00), u16(0x100), u16(1), zeros(23)), wire.No},
		{"distribution inside a 4-byte framing", cat(u16(0), sendName6), wire.No},
	} {
		if got := MatchHandshake(c.head); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestMatchNeedsAll: no strict prefix of a message proves anything, and none
// is refused.
func TestMatchNeedsAll(t *testing.T) {
	for _, m := range [][]byte{sendName6, sendName5, sendNameMe, cat(statusOK, challenge6), challenge6, challenge5, message2("snot_allowed"),
		message2("snamed:", u16(8), "xyz@n1.l", u32(7))} {
		for n := range m {
			if got := MatchHandshake(m[:n]); got != wire.Maybe {
				t.Errorf("%d bytes of % x: %v", n, m, got)
			}
		}
		if MatchHandshake(m) != wire.Yes {
			t.Errorf("% x is refused", m)
		}
	}
}

// TestPrefixes cuts control parts short: nothing may be read off what is not
// there.
func TestPrefixes(t *testing.T) {
	for _, m := range [][]byte{regSend, linkMsg, spawn, passThrough, firstFragment} {
		d := decoder{tables: new(Tables)}
		whole, ok := d.decode(m[4:])
		if !ok {
			t.Fatalf("% x is refused", m)
		}
		for n := range len(m) - 4 {
			d := decoder{tables: new(Tables)}
			got, ok := d.decode(m[4 : 4+n])
			differs := func(a, b term.Atom) bool { return a.Known && (!b.Known || string(a.Text) != string(b.Text)) }
			if ok && got.op != whole.op || differs(got.name, whole.name) ||
				differs(got.spawned.module, whole.spawned.module) || differs(got.spawned.function, whole.spawned.function) ||
				differs(got.call.module, whole.call.module) || differs(got.call.function, whole.call.function) ||
				got.call.counted && got.call.arity != whole.call.arity {
				t.Errorf("%d bytes of % x: %+v", n, m, got)
			}
			if n < 6 && ok {
				t.Errorf("%d bytes of % x are enough", n, m)
			}
		}
	}
}

func TestGaps(t *testing.T) {
	for _, c := range []struct {
		name  string
		run   func(f *feeder)
		check func(f Facts) bool
	}{
		{"inside a message", func(f *feeder) {
			big := frame(131, 68, 0, 104, 3, 97, 1, literalPid, literalPid, zeros(9000))
			f.data(cat(sendName6, reply, big[:8500]))
			f.gap(500)
			f.data(big[9000:])
			f.data(linkMsg)
		}, func(f Facts) bool { return f.Messages["LINK"] == 2 && f.InFrame && !f.Foreign && f.Missing == 500 }},
		{"inside the head of a message", func(f *feeder) {
			f.data(cat(sendName6, reply, regSend[:len(regSend)-10]))
			f.gap(10)
			f.data(regSendAgain)
		}, func(f Facts) bool {
			// The cache may have changed in the gap.
			return f.Messages["REG_SEND"] == 2 && f.Unnamed == 2 && f.InFrame && !f.Foreign
		}},
		{"over a boundary, then whole messages", func(f *feeder) {
			f.data(cat(sendName6, reply, linkMsg[:20]))
			f.gap(100)
			f.data(linkMsg[30:])
			f.data(regSend)
			f.data(linkMsg)
		}, func(f Facts) bool {
			return f.Messages["REG_SEND"] == 1 && f.RegisteredNames["rex"] == 1 && f.Messages["LINK"] == 2 && f.InFrame && !f.Foreign
		}},
		{"atoms lost", func(f *feeder) {
			f.data(cat(sendName6, reply))
			f.gap(len(regSend))
			f.data(cat(regSendAgain, tick))
		}, func(f Facts) bool { return f.Messages["REG_SEND"] == 1 && f.Unnamed == 1 && f.InFrame }},
		{"atoms perhaps replaced", func(f *feeder) {
			f.data(cat(sendName6, reply, regSend))
			f.gap(len(regSend))
			f.data(cat(regSendAgain, tick))
		}, func(f Facts) bool { return f.RegisteredNames["rex"] == 1 && f.Unnamed == 1 && f.InFrame }},
		{"then a tick", func(f *feeder) {
			f.data(cat(sendName6, reply))
			f.gap(1000)
			f.data(tick)
		}, func(f Facts) bool { return f.Ticks.Count == 1 && f.InFrame }},
		{"then nothing that is understood", func(f *feeder) {
			f.data(cat(sendName6, reply, linkMsg))
			f.gap(1000)
			f.data(bytes.Repeat([]byte("something else\n"), 30))
		}, func(f Facts) bool { return f.Recognition == ByHandshake && !f.InFrame && !f.Foreign }},
		{"status lost", func(f *feeder) {
			f.gap(len(statusOK))
			f.data(challenge6)
			f.data(ack)
			f.data(linkMsg)
		}, func(f Facts) bool {
			return f.Role == Server && f.Handshake.Name == "demo@n2.lab" && f.Handshake.Ack && f.Messages["LINK"] == 1
		}},
		{"name lost", func(f *feeder) {
			f.gap(len(sendName6))
			f.data(reply)
			f.data(linkMsg)
		}, func(f Facts) bool {
			return f.Recognition == ByHandshake && f.Role == Client && f.Handshake.Proved && f.Messages["LINK"] == 1
		}},
		{"half of the name lost", func(f *feeder) {
			f.data(statusOK)
			f.data(challenge6[:10])
			f.gap(len(challenge6) - 10)
			f.data(ack)
			f.data(linkMsg)
		}, func(f Facts) bool {
			return f.Handshake.Name == "" && f.Handshake.Ack && f.Messages["LINK"] == 1 && !f.Foreign
		}},
		{"half of the reply lost", func(f *feeder) {
			f.data(sendName6)
			f.data(reply[:5])
			f.gap(len(reply) - 5)
			f.data(linkMsg)
		}, func(f Facts) bool {
			return f.Handshake.Reply && !f.Handshake.Proved && f.Messages["LINK"] == 1 && !f.Foreign
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fast, slow := newFeeder(AtHandshake, whole), newFeeder(AtHandshake, 1)
			c.run(fast)
			c.run(slow)
			f, g := fast.end(), slow.end()
			if !reflect.DeepEqual(f, g) {
				t.Errorf("depends on the segments:\n whole %+v\nsingle %+v", f, g)
			}
			if !c.check(f) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestSearch(t *testing.T) {
	text := []byte(strings.Repeat("neither a length nor a message\n", 20))
	for _, c := range []struct {
		name   string
		pieces [][]byte
		want   Recognition
		offset int64
	}{
		{"message and message", [][]byte{text, linkMsg, regSend}, ByFraming, int64(len(text))},
		{"message and tick", [][]byte{text, linkMsg, tick}, ByFraming, int64(len(text))},
		{"message and end", [][]byte{text, linkMsg}, ByFraming, int64(len(text))},
		{"tail of a message", [][]byte{linkMsg[9:], linkMsg, linkMsg}, ByFraming, int64(len(linkMsg) - 9)},
		{"pass-through", [][]byte{text, passThrough, passThrough}, ByFraming, int64(len(text))},
		{"fragments", [][]byte{text, frame(131, 70, u64(72), u64(2), zeros(1000)), nextFragment}, ByFraming, int64(len(text))},
		{"half a message", [][]byte{text, linkMsg, linkMsg[:3]}, NotRecognised, 0},
		{"message and others", [][]byte{text, linkMsg, text}, NotRecognised, 0},
		{"messages and others", [][]byte{linkMsg, linkMsg, regSend, linkMsg, text}, NotRecognised, 0},
		{"wrong arity", [][]byte{frame(131, 68, 0, 104, 9, 97, 1, literalPid, literalPid), tick}, NotRecognised, 0},
		{"unknown operation", [][]byte{unknownOp, unknownOp}, NotRecognised, 0},
		{"implausible length", [][]byte{cat(0x7f, 0xff, 0xff, 0xff, linkMsg[4:]), tick}, NotRecognised, 0},
		{"message inside of a false one", [][]byte{cat(u32(3000), 131, 68, 1, zeros(3)), linkMsg, linkMsg, linkMsg, zeros(3000)[:9]}, NotRecognised, 0},
		{"message behind a false beginning", [][]byte{cat(u32(300), 131, 68, 1, text[:30]), linkMsg, linkMsg, linkMsg, linkMsg, linkMsg, linkMsg}, ByFraming, 37},
		{"two false beginnings", [][]byte{cat(u32(300), 131, 68, u32(200), 131, 69, text[:30]), linkMsg, linkMsg, linkMsg, linkMsg, linkMsg, linkMsg}, ByFraming, 42},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := decode(t, Midstream, c.pieces...)
			if f.Recognition != c.want || f.RecognisedAt.Offset != c.offset {
				t.Errorf("got %v at %d: %+v", f.Recognition, f.RecognisedAt.Offset, f)
			}
			if c.want == NotRecognised && (f.Messages != nil || f.Connected) {
				t.Errorf("something is claimed: %+v", f)
			}
		})
	}
}

func TestTicks(t *testing.T) {
	const period = 15e9
	ticks := func(n int) func(*feeder) {
		return func(f *feeder) {
			for range n {
				f.data(tick)
				f.wait(period)
			}
		}
	}
	for _, c := range []struct {
		name  string
		run   func(f *feeder)
		want  Recognition
		count uint64
	}{
		{"three", ticks(3), ByTicks, 3},
		{"one", ticks(1), NotRecognised, 0},
		{"one lost", func(f *feeder) { ticks(2)(f); f.gap(4); ticks(2)(f) }, ByTicks, 4},
		{"one of two lost", func(f *feeder) { ticks(1)(f); f.gap(4); ticks(1)(f) }, ByTicks, 2},
		{"part of one lost", func(f *feeder) { ticks(1)(f); f.gap(5); ticks(1)(f) }, NotRecognised, 0},
		{"more lost", func(f *feeder) { ticks(2)(f); f.gap(1000); ticks(2)(f) }, ByTicks, 4},
		{"then a message", func(f *feeder) { ticks(2)(f); f.data(linkMsg) }, ByFraming, 2},
		{"one, then a message", func(f *feeder) { ticks(1)(f); f.data(linkMsg); f.data(tick) }, ByFraming, 2},
		{"message right behind a tick", func(f *feeder) { ticks(2)(f); f.data(tick); f.data(linkMsg) }, ByFraming, 3},
		{"then others", func(f *feeder) { ticks(3)(f); f.data([]byte("x")) }, NotRecognised, 0},
		{"lost, then others", func(f *feeder) { ticks(3)(f); f.gap(999); f.data([]byte("HTTP/1.1 200 OK\r\n")) }, NotRecognised, 0},
		{"zeros in bulk", func(f *feeder) { f.data(zeros(100000)) }, NotRecognised, 0},
		{"zeros in pieces", func(f *feeder) {
			for range 50 {
				f.data(zeros(1448))
				f.wait(period)
			}
		}, NotRecognised, 0},
		{"eight at a time", func(f *feeder) {
			for range 5 {
				f.data(zeros(8))
				f.wait(period)
			}
		}, NotRecognised, 0},
		{"four in quick succession", func(f *feeder) {
			for range 50 {
				f.data(tick)
			}
		}, NotRecognised, 0},
		{"two bytes at a time", func(f *feeder) {
			for range 10 {
				f.data(zeros(2))
				f.wait(period)
			}
		}, NotRecognised, 0},
		{"half a tick at last", func(f *feeder) { ticks(3)(f); f.data(zeros(2)) }, NotRecognised, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			fast, slow := newFeeder(Midstream, whole), newFeeder(Midstream, 1)
			c.run(fast)
			c.run(slow)
			f, g := fast.end(), slow.end()
			if !reflect.DeepEqual(f, g) {
				t.Errorf("depends on the segments:\n whole %+v\nsingle %+v", f, g)
			}
			if f.Recognition != c.want || f.Ticks.Count != c.count {
				t.Errorf("got %v, %+v", f.Recognition, f.Ticks)
			}
			if f.Recognition == ByTicks && (f.Ticks.MinSpacing != period+10e6 || !f.InFrame) {
				t.Errorf("spacing %d, in frame %v", f.Ticks.MinSpacing, f.InFrame)
			}
		})
	}
}

// TestNoFalsePositives searches data that is not distribution.
func TestNoFalsePositives(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	// Bytes of the kinds that a header is made of, to come near it often.
	near := make([]byte, 4<<20)
	alphabet := []byte{0, 0, 0, 0, 1, 2, 16, 64, 131, 68, 69, 70, 112, 104, 97, 3, 4, 6}
	for i := range near {
		near[i] = alphabet[random.IntN(len(alphabet))]
	}
	record := cat(0x17, 3, 3, u16(1024), noise[:1024])
	// A capture file with a session in it, each packet after a header.
	file := []byte("\xd4\xc3\xb2\xa1")
	for range 200 {
		for _, m := range [][]byte{cat(linkMsg, linkMsg), regSend, cat(linkMsg, tick), tick} {
			file = cat(file, zeros(16), noise[:54], m)
		}
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"random", noise},
		{"near misses", near},
		{"zeros", zeros(1 << 20)},
		{"TLS records", bytes.Repeat(record, 1000)},
		{"HTTP", bytes.Repeat([]byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n"), 1000)},
		{"a capture file", file},
		{"zeros with lengths", bytes.Repeat(cat(zeros(1000), u32(131), 131, 68), 100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeder(Midstream, 1448)
			f.data(c.data)
			got := f.end()
			if got.Recognition != NotRecognised || got.Tentative || got.Messages != nil || got.Ticks.Count != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestBounded feeds what would fill memory if anything were kept of it.
func TestBounded(t *testing.T) {
	f := newFeeder(AtHandshake, 1448)
	f.data(cat(sendName6, reply))
	for i := range 3000 {
		name := fmt.Appendf(nil, "%0200d", i)
		f.data(frame(131, 68, 1, 0x08|i>>8&7, i&255, len(name), name,
			104, 4, 97, 6, literalPid, 119, 0, 82, 0))
	}
	// A message without end: nothing of its body may be kept.
	f.data(cat(u32(1<<30), 131, 68, 0))
	for range 100 {
		f.data(zeros(1 << 16))
	}
	s := f.s
	if n := cap(s.buf.b); n > 4*maxHead {
		t.Errorf("buffer of %d bytes", n)
	}
	if s.dec.cache.bytes > maxCachedBytes || len(s.Facts().RegisteredNames) > maxNames {
		t.Errorf("%d bytes of atoms, %d names", s.dec.cache.bytes, len(s.Facts().RegisteredNames))
	}
	got := f.end()
	if got.Messages["REG_SEND"] != 3000 || got.Unnamed != 3000-maxNames {
		t.Errorf("got %v, %d without a name", got.Messages, got.Unnamed)
	}
}

func TestSearchGivesUp(t *testing.T) {
	f := newFeeder(Midstream, 1<<16)
	for range maxSearch>>16 + 1 {
		f.data(bytes.Repeat([]byte{1}, 1<<16))
	}
	f.data(cat(linkMsg, linkMsg, linkMsg))
	if got := f.end(); !got.GaveUp || got.Recognition != NotRecognised {
		t.Errorf("got %+v", got)
	}
}

func TestFlags(t *testing.T) {
	for flags, want := range map[Flags]int{
		0x00000001_01df7fbd: 23,
		0x0000000d_07df7fbd: 25,
		0x0000006d_07df7fbd: 29,
		0x0000002d_07df7fbd: 28,
		0x0000000d_03df7fbd: 24,
		0x00df7fbd:          0,
	} {
		if got := flags.AtLeast(); got != want {
			t.Errorf("%x: at least %d, want %d", uint64(flags), got, want)
		}
	}
	if Flags(0xd_07df7fbd).Hidden() || !Flags(0xd_07df7fbc).Hidden() {
		t.Error("PUBLISHED is misread")
	}
}

// FuzzStream checks that facts do not depend on segments, that every byte is
// counted, that nothing is claimed of what is not recognised, and that little is
// kept.
func FuzzStream(f *testing.F) {
	session := cat(sendName6, reply, regSend, regSendAgain, tick, spawn, firstFragment, nextFragment, passThrough)
	f.Add(session, uint16(1), uint16(3), uint16(100), uint16(20), true)
	f.Add(cat(statusOK, challenge6, ack, unknownOp, compressed, linkMsg), uint16(5), uint16(0), uint16(40), uint16(7), false)
	f.Add(cat(u32(300), 131, 68, 1, zeros(30), linkMsg, linkMsg, linkMsg), uint16(2), uint16(0), uint16(0), uint16(0), false)
	f.Add(zeros(40), uint16(4), uint16(500), uint16(0), uint16(0), false)
	f.Fuzz(func(t *testing.T, b []byte, size, pause, gapAt, gap uint16, handshake bool) {
		start := Midstream
		if handshake {
			start = AtHandshake
		}
		run := func(size int) Facts {
			x := newFeeder(start, size)
			k := min(int(gapAt), len(b))
			x.data(b[:k])
			x.wait(int64(pause) * 1e6)
			x.gap(int(gap))
			x.data(b[k:])
			return x.end()
		}
		var a Facts
		if n := allocs.Of(func() { a = run(whole) }); n > uint64(1<<20+50*len(b)) {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		if len(a.RegisteredNames) > maxNames || len(a.Spawned) > maxNames || len(a.Calls) > maxNames {
			t.Errorf("%d names, %d spawned, %d calls", len(a.RegisteredNames), len(a.Spawned), len(a.Calls))
		}
		if z := run(1 + int(size)); !reflect.DeepEqual(a, z) {
			t.Errorf("depends on the segments:\n%+v\n%+v", a, z)
		}
		if a.Bytes != int64(len(b)) || a.Missing != int64(gap) {
			t.Errorf("%d bytes, %d missing", a.Bytes, a.Missing)
		}
		if a.Recognition == NotRecognised && (a.Connected || a.Messages != nil || a.Ticks.Count > 0 || a.InFrame || a.Role != RoleUnknown && !a.Tentative) {
			t.Errorf("claimed without recognition: %+v", a)
		}
	})
}

// maxMatch is the number of bytes after which a handshake is told from all else.
const maxMatch = 2 * (2 + maxHandshake)

func FuzzMatchHandshake(f *testing.F) {
	for _, m := range [][]byte{sendName6, sendName5, cat(statusOK, challenge6), challenge5} {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := MatchHandshake(b)
		if m == wire.Maybe && len(b) >= maxMatch {
			t.Error("still maybe")
		}
		if m == wire.Yes {
			if got := decode(t, AtHandshake, b); got.Recognition != ByHandshake {
				t.Errorf("matches, but is not decoded: %+v", got)
			}
		}
	})
}
