package epmd

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/decode/tcp"
	"distproof/decode/wire"
	"distproof/internal/allocs"
	"distproof/internal/octets"
)

// Requests and replies of real nodes, and variations of them.
var (
	alive2 = request('x',
		u16(0x815d), // port 33117
		0x4d, 0,     // normal node, TCP over IPv4
		u16(6), u16(5), // highest and lowest version
		u16(4), "demo",
		u16(0), // no extra
	)
	alive2Resp  = cat('y', 0, u16(3))
	alive2XResp = cat('v', 0, u32(0x6b02341f))
	alive2Taken = cat('v', 1, u32(99))
	portPlease2 = request('z', "demo")
	port2Resp   = cat('w', 0, // found
		u16(0xa3f3), // port 41971
		0x4d, 0, u16(6), u16(5),
		u16(4), "demo",
		u16(0))
	port2NotFound = cat('w', 1)
	names         = cat(u32(4369), "name demo at port 41971\nname rabbit at port 25672\n")
	dump          = cat(u32(4369),
		"active name     <demo> at port 41971, fd = 5\n", 0,
		"old/unused name <gone>, port = 4711, fd = 6 \n", 0)
)

var cat = octets.Cat

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func request(parts ...any) []byte {
	b := cat(parts...)
	return append(u16(len(b)), b...)
}

var start = tcp.Position{Acked: -1, Time: 1e9, Frame: capture.Frame{Number: 7}}

const whole = 1 << 30

// feed gives b to a stream in pieces; n missing bytes come before b[gapAt].
func feed(basis Basis, b []byte, size, gapAt, n int) Facts {
	s := NewStream(basis)
	at := start
	data := func(b []byte) {
		for len(b) > 0 {
			k := min(size, len(b))
			s.Data(at, b[:k])
			at.Offset += int64(k)
			b = b[k:]
		}
	}
	data(b[:gapAt])
	s.Gap(at, int64(n))
	at.Offset += int64(n)
	data(b[gapAt:])
	s.End()
	return s.Facts()
}

// decode feeds b whole and byte by byte, and compares.
func decode(t *testing.T, basis Basis, b []byte, gapAt, n int) Facts {
	t.Helper()
	f, g := feed(basis, b, whole, gapAt, n), feed(basis, b, 1, gapAt, n)
	if !reflect.DeepEqual(f, g) {
		t.Errorf("depends on the segments:\n whole %+v\nsingle %+v", f, g)
	}
	if f.Bytes != int64(len(b)) || f.Missing != int64(n) {
		t.Errorf("%d bytes, %d missing", f.Bytes, f.Missing)
	}
	return f
}

func at(offset int64) tcp.Position {
	p := start
	p.Offset = offset
	return p
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want Request
	}{
		{"ALIVE2_REQ", alive2, Request{Op: Alive2Req, Code: 'x', Node: Node{Name: "demo", Port: 33117, Type: Normal, High: 6, Low: 5}}},
		{"ALIVE2_REQ, hidden, with extra", request('x', u16(1), 72, 0, u16(6), u16(6), u16(3), "c1x", u16(2), "ab"),
			Request{Op: Alive2Req, Code: 'x', Node: Node{Name: "c1x", Port: 1, Type: Hidden, High: 6, Low: 6, Extra: 2}}},
		{"ALIVE2_REQ, name too long for it", request('x', u16(1), 72, 0, u16(6), u16(6), u16(9), "c1x", u16(0)), Request{Op: Alive2Req, Code: 'x', Partial: true}},
		{"PORT_PLEASE2_REQ", portPlease2, Request{Op: PortPlease2Req, Code: 'z', Node: Node{Name: "demo"}}},
		{"PORT_PLEASE2_REQ without a name", request('z'), Request{Op: PortPlease2Req, Code: 'z', Partial: true}},
		{"NAMES_REQ", request('n'), Request{Op: NamesReq, Code: 'n'}},
		{"DUMP_REQ", request('d'), Request{Op: DumpReq, Code: 'd'}},
		{"KILL_REQ", request('k'), Request{Op: KillReq, Code: 'k'}},
		{"STOP_REQ", request('s', "demo"), Request{Op: StopReq, Code: 's', Node: Node{Name: "demo"}}},
		{"unknown", request(1, 2, 3), Request{Op: Unknown, Code: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.At = at(0)
			f := decode(t, ByPort, c.data, 0, 0)
			if f.Role() != Client || len(f.Requests) != 1 || f.Requests[0] != c.want || f.Counts[c.want.Op] != 1 {
				t.Errorf("got %+v", f)
			}
			if f.Recognised() != (c.want.Op != Unknown) {
				t.Errorf("recognised: %v", f.Recognised())
			}
			// Cut anywhere, nothing is read off what is not there.
			for n := 3; n < len(c.data); n++ {
				cut := decode(t, ByPort, c.data[:n], 0, 0)
				if len(cut.Requests) != 1 || !cut.Requests[0].Partial || cut.Requests[0].Node != (Node{}) || cut.Requests[0].Op != c.want.Op {
					t.Errorf("%d bytes: %+v", n, cut.Requests)
				}
			}
		})
	}
}

func TestReplies(t *testing.T) {
	demo := Node{Name: "demo", Port: 41971, Type: Normal, High: 6, Low: 5}
	for _, c := range []struct {
		name string
		data []byte
		want Reply
	}{
		{"PORT2_RESP", port2Resp, Reply{Op: Port2Resp, Resulted: true, Node: demo}},
		{"PORT2_RESP with extra", cat(port2Resp[:len(port2Resp)-2], u16(3), "abc"), Reply{Op: Port2Resp, Resulted: true, Node: Node{Name: "demo", Port: 41971, Type: Normal, High: 6, Low: 5, Extra: 3}}},
		{"PORT2_RESP, not found", port2NotFound, Reply{Op: Port2Resp, Resulted: true, Result: 1}},
		{"PORT2_RESP, cut", port2Resp[:17], Reply{Op: Port2Resp, Resulted: true, Partial: true}},
		{"PORT2_RESP, cut before the result", port2Resp[:1], Reply{Op: Port2Resp, Partial: true}},
		{"ALIVE2_RESP", alive2Resp, Reply{Op: Alive2Resp, Resulted: true, Creation: 3}},
		{"ALIVE2_X_RESP", alive2XResp, Reply{Op: Alive2XResp, Resulted: true, Creation: 0x6b02341f}},
		{"ALIVE2_X_RESP, refused", alive2Taken, Reply{Op: Alive2XResp, Resulted: true, Result: 1, Creation: 99}},
		{"killed", []byte("OK"), Reply{Op: KillResp, Text: "OK"}},
		{"not killed", []byte("NO"), Reply{Op: KillResp, Text: "NO"}},
		{"stopped", []byte("STOPPED"), Reply{Op: StopResp, Text: "STOPPED"}},
		{"nothing to stop", []byte("NOEXIST"), Reply{Op: StopResp, Text: "NOEXIST"}},
		{"names", names, Reply{Op: NamesResp, EPMDPort: 4369}},
		{"no names", names[:4], Reply{Op: NamesResp, EPMDPort: 4369}},
		{"dump", dump, Reply{Op: DumpResp, EPMDPort: 4369}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.At = at(0)
			f := decode(t, ByPort, c.data, 0, 0)
			if f.Role() != Server || len(f.Replies) != 1 || f.Replies[0] != c.want || f.Counts[c.want.Op] != 1 || len(f.Counts) != 1 {
				t.Errorf("got %+v", f)
			}
			if !f.Recognised() || f.Unparsed != 0 {
				t.Errorf("recognised: %v, unparsed: %d", f.Recognised(), f.Unparsed)
			}
		})
	}
}

func TestLines(t *testing.T) {
	f := decode(t, ByPort, names, 0, 0)
	if want := []Name{{Name: "demo", Port: 41971, At: at(4)}, {Name: "rabbit", Port: 25672, At: at(28)}}; !reflect.DeepEqual(f.Names, want) || f.Lines != 2 {
		t.Errorf("names: %+v", f.Names)
	}
	f = decode(t, ByPort, dump, 0, 0)
	if want := []Name{{Name: "demo", Port: 41971, At: at(4)}, {Name: "gone", Port: 4711, Former: true, At: at(50)}}; !reflect.DeepEqual(f.Names, want) {
		t.Errorf("dump: %+v", f.Names)
	}
	for _, line := range []string{"", "name", "name at port 1", "name x at port", "name x at port 65536", "name x at port -1", "name  at port 1", "active name     <x at port 1", "something"} {
		if n, _, ok := parseLine(line); ok {
			t.Errorf("%q is read as %+v", line, n)
		}
	}
	// No line is longer than a name allows, however long it is.
	f = decode(t, ByPort, cat(u32(4369), "name ", strings.Repeat("x", 1<<20), "\nname y at port 1\n"), 0, 0)
	if len(f.Names) != 1 || f.Names[0].Name != "y" || f.Unparsed != 1<<20+6 {
		t.Errorf("got %+v", f)
	}
}

func TestGaps(t *testing.T) {
	for _, c := range []struct {
		name       string
		data       []byte
		gapAt, gap int
		check      func(f Facts) bool
	}{
		{"in a request", cat(alive2[:5], request('n')), 5, len(alive2) - 5, func(f Facts) bool {
			return len(f.Requests) == 2 && f.Requests[0].Partial && f.Requests[0].Op == Alive2Req && f.Requests[1].Op == NamesReq
		}},
		{"in a request, and more of it", cat(alive2[:5], alive2[9:], request('n')), 5, 4, func(f Facts) bool {
			return len(f.Requests) == 2 && f.Requests[0].Partial && f.Requests[1].Op == NamesReq
		}},
		{"before a request", portPlease2, 0, 100, func(f Facts) bool { return len(f.Requests) == 1 && !f.Requests[0].Partial }},
		{"in a reply", port2Resp[:8], 8, 12, func(f Facts) bool { return len(f.Replies) == 1 && f.Replies[0].Partial && f.Replies[0].Resulted }},
		{"in a line", cat(names[:10], names[15:]), 10, 5, func(f Facts) bool { return len(f.Names) == 1 && f.Names[0].Name == "rabbit" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f := decode(t, ByPort, c.data, c.gapAt, c.gap); !c.check(f) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name           string
		head           []byte
		request, reply wire.Match
	}{
		{"nothing", nil, wire.Maybe, wire.Maybe},
		{"ALIVE2_REQ", alive2, wire.Yes, wire.No},
		{"ALIVE2_REQ and more", cat(alive2, 0), wire.No, wire.No},
		{"ALIVE2_REQ without a port", request('x', u16(0), 77, 0, u16(6), u16(5), u16(4), "demo", u16(0)), wire.No, wire.No},
		{"ALIVE2_REQ with a full name", request('x', u16(1), 77, 0, u16(6), u16(5), u16(4), "a@bc", u16(0)), wire.No, wire.No},
		{"ALIVE2_REQ of a strange type", request('x', u16(1), 78, 0, u16(6), u16(5), u16(4), "demo", u16(0)), wire.No, wire.No},
		{"PORT_PLEASE2_REQ", portPlease2, wire.Maybe, wire.No},
		{"PORT_PLEASE2_REQ with spaces", request('z', "a b"), wire.No, wire.No},
		{"NAMES_REQ", request('n'), wire.Maybe, wire.No},
		{"PORT2_RESP", port2Resp, wire.No, wire.Yes},
		{"PORT2_RESP and more", cat(port2Resp, 0), wire.No, wire.No},
		{"PORT2_RESP, not found", port2NotFound, wire.No, wire.Maybe}, // too large for the length of a request
		{"ALIVE2_X_RESP", alive2XResp, wire.No, wire.Maybe},
		{"names", names, wire.No, wire.Yes},
		{"dump", dump, wire.No, wire.Yes},
		{"names, no line yet", names[:12], wire.No, wire.Maybe},
		{"distribution", cat(u16(26), "N", u32(0xd), u32(0x07df7fbd), u32(0), u16(11), "demo@n1.lab"), wire.No, wire.No},
		{"distribution message", cat(u32(86), 131, 68, 4), wire.No, wire.No},
		{"TLS", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc}, wire.No, wire.No},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), wire.No, wire.No},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), wire.No, wire.No},
		{"MQTT", []byte("\x10\x0c\x00\x04MQTT\x04\x02"), wire.No, wire.No},
		{"PostgreSQL", cat(u32(8), u32(80877103)), wire.No, wire.No},
		{"zeros", make([]byte, 100), wire.No, wire.No},
		{"words", []byte("who is there\n"), wire.No, wire.No},
	} {
		if got := MatchRequest(c.head); got != c.request {
			t.Errorf("%s: request: %v, want %v", c.name, got, c.request)
		}
		if got := MatchReply(c.head); got != c.reply {
			t.Errorf("%s: reply: %v, want %v", c.name, got, c.reply)
		}
	}
	for n := range alive2 {
		if got := MatchRequest(alive2[:n]); got != wire.Maybe {
			t.Errorf("%d bytes of ALIVE2_REQ: %v", n, got)
		}
	}
	for n := range port2Resp {
		if got := MatchReply(port2Resp[:n]); got != wire.Maybe {
			t.Errorf("%d bytes of PORT2_RESP: %v", n, got)
		}
	}
}

func TestByContent(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want bool
	}{
		"ALIVE2_REQ":          {alive2, true},
		"PORT2_RESP":          {port2Resp, true},
		"names":               {names, true},
		"PORT_PLEASE2_REQ":    {portPlease2, false},
		"result alone":        {alive2XResp, false},
		"request and others":  {cat(alive2, request(9, 9)), false},
		"names and something": {cat(names, "else\n"), false},
	} {
		if got := decode(t, ByContent, c.data, 0, 0).Recognised(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCombine(t *testing.T) {
	both := func(requests, replies []byte) []Registration {
		return Combine(decode(t, ByPort, requests, 0, 0), decode(t, ByPort, replies, 0, 0))
	}
	for _, c := range []struct {
		name              string
		requests, replies []byte
		op, node          string
		port              uint16
		outcome           Outcome
		entries           int
	}{
		{"registered", alive2, alive2XResp, Alive2Req, "demo", 33117, Accepted, 1},
		{"name taken", alive2, alive2Taken, Alive2Req, "demo", 33117, Refused, 0},
		{"registration without its answer", alive2, nil, Alive2Req, "demo", 33117, Unanswered, 1},
		{"looked up", portPlease2, port2Resp, Port2Resp, "demo", 41971, Accepted, 1},
		{"reply alone", nil, port2Resp, Port2Resp, "demo", 41971, Accepted, 1},
		{"unknown name", portPlease2, port2NotFound, PortPlease2Req, "demo", 0, Refused, 0},
		{"question alone", portPlease2, nil, PortPlease2Req, "demo", 0, Unanswered, 0},
		{"answer cut", portPlease2, port2Resp[:10], PortPlease2Req, "demo", 0, Unanswered, 0},
		{"dump", request('d'), dump, DumpResp, "demo", 41971, Accepted, 1},
	} {
		got := both(c.requests, c.replies)
		if len(got) != 1 || got[0].Op != c.op || got[0].Node.Name != c.node || got[0].Node.Port != c.port || got[0].Outcome != c.outcome {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got := Entries(feed(ByPort, c.requests, whole, 0, 0), feed(ByPort, c.replies, whole, 0, 0)); len(got) != c.entries {
			t.Errorf("%s: entries %+v", c.name, got)
		}
	}
	if got := both(request('n'), names); len(got) != 2 || got[1].Node.Name != "rabbit" || got[1].Op != NamesResp {
		t.Errorf("names: %+v", got)
	}
	if got := Combine(Facts{}, Facts{}); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// TestBounded sends more than is kept.
func TestBounded(t *testing.T) {
	var many []byte
	for range 1000 {
		many = append(many, portPlease2...)
	}
	f := decode(t, ByPort, cat(many, request('q', strings.Repeat("x", 60000)), alive2), 0, 0)
	if len(f.Requests) != maxKept || f.Counts[PortPlease2Req] != 1000 || f.Counts[Unknown] != 1 || f.Counts[Alive2Req] != 1 {
		t.Errorf("%d kept, counts %v", len(f.Requests), f.Counts)
	}
	f = decode(t, ByPort, cat(u32(4369), strings.Repeat("name demo at port 41971\n", 5000)), 0, 0)
	if len(f.Names) != maxNames || f.Lines != 5000 {
		t.Errorf("%d names of %d", len(f.Names), f.Lines)
	}
}

// FuzzStream checks that facts do not depend on segments, that every byte is
// counted, and that little is kept.
func FuzzStream(f *testing.F) {
	for _, b := range [][]byte{alive2, portPlease2, port2Resp, alive2XResp, names, dump, []byte("NOEXIST"), cat(alive2, request('n'))} {
		f.Add(b, uint16(2), uint16(5), uint16(0))
		f.Add(b, uint16(1), uint16(5), uint16(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, size, gapAt, gap uint16) {
		k := min(int(gapAt), len(b))
		var x Facts
		if n := allocs.Of(func() { x = feed(ByContent, b, whole, k, int(gap)) }); n > uint64(1<<20+50*len(b)) {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		if len(x.Requests) > maxKept || len(x.Names) > maxNames {
			t.Errorf("%d requests, %d names", len(x.Requests), len(x.Names))
		}
		if y := feed(ByContent, b, 1+int(size), k, int(gap)); !reflect.DeepEqual(x, y) {
			t.Errorf("depends on the segments:\n%+v\n%+v", x, y)
		}
		if x.Bytes != int64(len(b)) || x.Unparsed > x.Bytes {
			t.Errorf("%d bytes, %d unparsed", x.Bytes, x.Unparsed)
		}
		if (MatchRequest(b) == wire.Yes || MatchReply(b) == wire.Yes && x.Unparsed == 0) && gap == 0 && !x.Recognised() {
			t.Errorf("matches, but is not recognised: %+v", x)
		}
		Combine(x, x)
	})
}

// TestPortZero: EPMD itself never has port 0; four zero bytes are a tick of
// distribution.
func TestPortZero(t *testing.T) {
	if m := MatchReply(u32(0)); m != wire.No {
		t.Errorf("port 0: %s", m)
	}
	if m := MatchReply(u32(4369)); m != wire.Maybe {
		t.Errorf("port 4369: %s", m)
	}
}
