package dist

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"distproof/decode/dist/term"
	"distproof/decode/tcp"
	"distproof/internal/allocs"
)

var (
	literalRef = cat(90, u16(3), 119, 11, "demo@n1.lab", u32(0x6b02341f), u32(1), u32(2), u32(3))
	none       = cat(119, 0) // ''
)

func atom(s string) []byte { return cat(119, len(s), s) }

func tuple(elements ...any) []byte {
	b := cat(104, len(elements))
	for _, e := range elements {
		b = cat(b, e)
	}
	return b
}

func list(elements ...any) []byte {
	b := cat(108, u32(len(elements)))
	for _, e := range elements {
		b = cat(b, e)
	}
	return cat(b, 106)
}

// session is a direction that has these messages after its handshake.
func session(t *testing.T, messages ...[]byte) Facts {
	t.Helper()
	return decode(t, AtHandshake, append([][]byte{sendName6, reply}, messages...)...)
}

// op is the first element of a control tuple.
func op(n int) []byte { return cat(97, n) }

// controls has one message of each operation of OTP erl_dist_protocol.
var controls = []struct {
	name    string
	control []byte
	payload bool
}{
	{"LINK", tuple(op(1), literalPid, literalPid), false},
	{"SEND", tuple(op(2), none, literalPid), true},
	{"EXIT", tuple(op(3), literalPid, literalPid, atom("reason")), false},
	{"UNLINK", tuple(op(4), literalPid, literalPid), false},
	{"NODE_LINK", tuple(op(5)), false},
	{"REG_SEND", tuple(op(6), literalPid, none, atom("name")), true},
	{"GROUP_LEADER", tuple(op(7), literalPid, literalPid), false},
	{"EXIT2", tuple(op(8), literalPid, literalPid, atom("reason")), false},
	{"SEND_TT", tuple(op(12), none, literalPid, tuple(op(1))), true},
	{"EXIT_TT", tuple(op(13), literalPid, literalPid, 106, atom("reason")), false},
	{"REG_SEND_TT", tuple(op(16), literalPid, none, atom("name"), 106), true},
	{"EXIT2_TT", tuple(op(18), literalPid, literalPid, 106, atom("reason")), false},
	{"MONITOR_P", tuple(op(19), literalPid, atom("name"), literalRef), false},
	{"DEMONITOR_P", tuple(op(20), literalPid, literalPid, literalRef), false},
	{"MONITOR_P_EXIT", tuple(op(21), atom("name"), literalPid, literalRef, atom("reason")), false},
	{"SEND_SENDER", tuple(op(22), literalPid, literalPid), true},
	{"SEND_SENDER_TT", tuple(op(23), literalPid, literalPid, 106), true},
	{"PAYLOAD_EXIT", tuple(op(24), literalPid, literalPid), true},
	{"PAYLOAD_EXIT_TT", tuple(op(25), literalPid, literalPid, 106), true},
	{"PAYLOAD_EXIT2", tuple(op(26), literalPid, literalPid), true},
	{"PAYLOAD_EXIT2_TT", tuple(op(27), literalPid, literalPid, 106), true},
	{"PAYLOAD_MONITOR_P_EXIT", tuple(op(28), literalPid, literalPid, literalRef), true},
	{"SPAWN_REQUEST", tuple(op(29), literalRef, literalPid, literalPid, tuple(atom("m"), atom("f"), op(0)), 106), true},
	{"SPAWN_REQUEST_TT", tuple(op(30), literalRef, literalPid, literalPid, tuple(atom("m"), atom("f"), op(0)), 106, 106), true},
	{"SPAWN_REPLY", tuple(op(31), literalRef, literalPid, op(0), literalPid), false},
	{"SPAWN_REPLY_TT", tuple(op(32), literalRef, literalPid, op(0), literalPid, 106), false},
	{"ALIAS_SEND", tuple(op(33), literalPid, literalRef), true},
	{"ALIAS_SEND_TT", tuple(op(34), literalPid, literalRef, 106), true},
	{"UNLINK_ID", tuple(op(35), cat(110, 5, 0, 0, 0, 0, 0, 1), literalPid, literalPid), false},
	{"UNLINK_ID_ACK", tuple(op(36), op(1), literalPid, literalPid), false},
	{"ALTACT_SIG_SEND", tuple(op(37), op(0), literalPid, literalPid), true},
	{"ALTACT_SIG_SEND", tuple(op(37), op(2), literalPid, literalPid, 106), true}, // with a token
	{"ALTACT_SIG_SEND", tuple(op(37), op(8), literalPid, atom("name")), true},    // to a name
}

// TestOperations decodes each operation in each form that a message can have.
func TestOperations(t *testing.T) {
	tested := make(map[string]bool)
	for _, x := range controls {
		tested[x.name] = true
		var payload []byte
		if x.payload {
			payload = atom("hello")
		}
		version := payload
		if x.payload {
			version = cat(131, payload)
		}
		whole := frame(131, 68, 0, x.control, payload)
		pass := frame(112, 131, x.control, version)
		first := frame(131, 69, u64(7), u64(2), 0, x.control, payload)
		next := frame(131, 70, u64(7), u64(1), zeros(10))
		packed := frame(112, 131, 80, deflate(x.control), version)
		f := session(t, whole, pass, first, next, packed)
		n := len(whole) + len(pass) + len(first) + len(next) + len(packed)
		if !reflect.DeepEqual(f.Messages, map[string]uint64{x.name: 4}) || !reflect.DeepEqual(f.MessageBytes, map[string]uint64{x.name: uint64(n)}) {
			t.Errorf("%s: %v, %v", x.name, f.Messages, f.MessageBytes)
		}
		if want := uint64(3*len(payload) + len(version)*2 - len(payload) + 10); f.PayloadBytes != want {
			t.Errorf("%s: %d bytes of payload, want %d", x.name, f.PayloadBytes, want)
		}
		named := f.RegisteredNames["name"] == 4
		if to := bytes.Contains(x.control, atom("name")) && x.payload; named != to || f.Unnamed != 0 {
			t.Errorf("%s: names %v, %d unknown", x.name, f.RegisteredNames, f.Unnamed)
		}
		if f.PassThrough != 2 || f.Fragments != 1 || f.LostFragments != 0 || f.LargestMessage != uint64(max(len(first)+len(next), len(packed))) {
			t.Errorf("%s: %+v", x.name, f)
		}
	}
	for _, o := range operations[1:] {
		if o.name != "" && !tested[o.name] {
			t.Errorf("%s is not tested", o.name)
		}
	}
}

// TestControlPrefixes cuts control tuples: what is not there is not read, and
// the framing goes on.
func TestControlPrefixes(t *testing.T) {
	for _, x := range controls {
		for n := range x.control {
			f := session(t, frame(131, 68, 0, x.control[:n]), linkMsg)
			if f.Foreign || !f.InFrame || f.Messages["LINK"] == 0 || f.PayloadBytes != 0 {
				t.Errorf("%d bytes of %s: %+v", n, x.name, f)
			}
			if got := f.Messages[x.name] + f.Messages[Unknown]; got == 0 || n < 4 && f.Messages[Unknown] != 1 {
				t.Errorf("%d bytes of %s: %v", n, x.name, f.Messages)
			}
		}
	}
}

// TestNotOperations: what the protocol does not have is unknown, with its bytes.
func TestNotOperations(t *testing.T) {
	for name, control := range map[string][]byte{
		"operation 0":         tuple(op(0), literalPid),
		"operation 9":         tuple(op(9), literalPid),
		"operation 38":        tuple(op(38), literalPid),
		"negative":            tuple(cat(98, 0xff, 0xff, 0xff, 0xff), literalPid),
		"wrong arity":         tuple(op(1), literalPid, literalPid, literalPid),
		"not an integer":      tuple(atom("link"), literalPid, literalPid),
		"large tuple":         cat(105, u32(3), op(1), literalPid, literalPid),
		"not a tuple":         atom("link"),
		"nothing":             nil,
		"arity 0":             tuple(),
		"of the local format": cat(121, zeros(20)),
	} {
		m := frame(131, 68, 0, control)
		f := session(t, m, linkMsg)
		want := map[string]uint64{Unknown: uint64(len(m)), "LINK": uint64(len(linkMsg))}
		if !reflect.DeepEqual(f.MessageBytes, want) || f.Messages[Unknown] != 1 || !f.InFrame {
			t.Errorf("%s: %v, want %v", name, f.MessageBytes, want)
		}
	}
}

// deflate is a compressed term behind its 131, 80.
func deflate(b []byte) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	z.Write(b)
	z.Close()
	return cat(u32(len(b)), out.Bytes())
}

// TestCompressed reads messages that are compressed as a whole.
func TestCompressed(t *testing.T) {
	send := tuple(op(6), literalPid, none, atom("rex"))
	f := session(t,
		frame(131, 80, deflate(cat(send, atom("x")))),
		// With a list of atoms in it, and used after it.
		frame(131, 80, deflate(cat(68, 1, 0x0f, 9, 3, "one", tuple(op(6), literalPid, none, cat(82, 0)), atom("x")))),
		frame(131, 68, 1, 0x07, 9, tuple(op(6), literalPid, none, cat(82, 0)), atom("x")),
		// A payload that is.
		frame(112, 131, send, 131, 80, deflate(tuple(literalPid, tuple(atom("call"), atom("os"), atom("cmd"), list(atom("x")), literalPid)))),
		// More than will be expanded.
		frame(131, 80, deflate(cat(send, 109, u32(1<<20), zeros(1<<20)))),
	)
	if f.Messages["REG_SEND"] != 5 || f.RegisteredNames["rex"] != 3 || f.RegisteredNames["one"] != 2 || f.Compressed != 3 || f.Unnamed != 0 {
		t.Errorf("got %v, %v, %d compressed", f.Messages, f.RegisteredNames, f.Compressed)
	}
	if f.Calls[Call{ByRPC, "os:cmd/1"}].Count != 1 {
		t.Errorf("calls: %v", f.Calls)
	}
	if g := decode(t, Midstream, frame(131, 80, deflate(send)), linkMsg[:len(linkMsg)-1], frame(131, 80, deflate(send))); g.Recognition != NotRecognised {
		t.Errorf("compressed messages are taken for distribution: %+v", g)
	}
	if g := decode(t, Midstream, reply, frame(131, 80, deflate(send))); g.Recognition != NotRecognised {
		t.Errorf("a compressed message confirms a reply: %+v", g)
	}
}

// TestExpandedTermsAreBounded sends more compressed terms than are expanded.
func TestExpandedTermsAreBounded(t *testing.T) {
	send := tuple(op(6), literalPid, none, atom("rex"))
	f := newFeeder(AtHandshake, whole)
	f.data(cat(sendName6, reply))
	packed := frame(112, 131, 80, deflate(send), 131, atom("x"))
	for range maxExpanded + 10 {
		f.data(packed)
	}
	f.data(linkMsg)
	if got := f.end(); got.Messages["REG_SEND"] != maxExpanded || got.Messages[Unknown] != 10 || got.Messages["LINK"] != 1 || got.MessageBytes[Unknown] != 10*uint64(len(packed)) {
		t.Errorf("got %v, %v", got.Messages, got.MessageBytes)
	}
}

// regSendTo is a message to a registered process.
func regSendTo(name string, payload []byte) []byte {
	return frame(131, 68, 0, tuple(op(6), literalPid, none, atom(name)), payload)
}

func spawnRequest(m, f string, args ...any) []byte {
	arguments := list(args...)
	if len(args) == 0 {
		arguments = cat(106)
	}
	return frame(131, 68, 0, tuple(op(29), literalRef, literalPid, literalPid, tuple(atom(m), atom(f), op(len(args))), list(atom("monitor"))), arguments)
}

func TestCalls(t *testing.T) {
	from := tuple(literalPid, cat(108, u32(1), atom("alias"), literalRef)) // {Pid, [alias|Ref]}
	text := func(s string) []byte { return cat(107, u16(len(s)), s) }
	genCall := func(request []byte) []byte { return tuple(atom("$gen_call"), from, request) }
	genCast := func(request []byte) []byte { return tuple(atom("$gen_cast"), request) }
	call := func(what string) []byte {
		return tuple(atom(what), atom("os"), atom("cmd"), list(text("id")), literalPid)
	}
	for _, x := range []struct {
		name    string
		message []byte
		means   Means
		want    string
	}{
		{"spawn", spawnRequest("m", "f", op(1), op(2)), BySpawn, "m:f/2"},
		{"spawn without arguments", spawnRequest("erlang", "halt"), BySpawn, "erlang:halt/0"},
		{"spawn with a trace token", frame(131, 68, 0, controls[23].control, 106), BySpawn, "m:f/0"},
		{"erpc:call", spawnRequest("erpc", "execute_call", literalRef, atom("os"), atom("getenv"), list(text("HOME"))), ByERPC, "os:getenv/1"},
		{"erpc:call without arguments", spawnRequest("erpc", "execute_call", literalRef, atom("init"), atom("stop"), 106), ByERPC, "init:stop/0"},
		{"erpc:call with bytes as arguments", spawnRequest("erpc", "execute_call", literalRef, atom("lists"), atom("seq"), text("\x01\x05")), ByERPC, "lists:seq/2"},
		{"erpc:cast", spawnRequest("erpc", "execute_cast", atom("os"), atom("cmd"), list(text("id"))), ByERPC, "os:cmd/1"},
		{"a function of erpc", spawnRequest("erpc", "call", atom("n"), atom("os")), BySpawn, "erpc:call/2"},
		{"rpc:call before OTP 23", regSendTo("rex", genCall(call("call"))), ByRPC, "os:cmd/1"},
		{"rpc:block_call", regSendTo("rex", genCall(call("block_call"))), ByRPC, "os:cmd/1"},
		{"rpc:cast before OTP 23", regSendTo("rex", genCast(call("cast"))), ByRPC, "os:cmd/1"},
		{"rpc of a C node", regSendTo("rex", tuple(literalPid, tuple(atom("call"), atom("erlang"), atom("node"), 106, atom("user")))), ByRPC, "erlang:node/0"},
		{"rpc with arguments that are no list", regSendTo("rex", genCall(tuple(atom("call"), atom("m"), atom("f"), atom("x"), literalPid))), ByRPC, "m:f/?"},
		{"rpc by ALTACT_SIG_SEND", frame(131, 68, 0, tuple(op(37), op(9), literalPid, atom("rex")), genCall(call("call"))), ByRPC, "os:cmd/1"},
		{"spawn before OTP 23", regSendTo("net_kernel", genCall(tuple(atom("spawn"), atom("m"), atom("f"), list(op(1)), literalPid))), BySpawn, "m:f/1"},
		{"spawn_link before OTP 23", regSendTo("net_kernel", genCall(tuple(atom("spawn_link"), atom("m"), atom("f"), 106, literalPid))), BySpawn, "m:f/0"},
		{"spawn_opt before OTP 23", regSendTo("net_kernel", genCall(tuple(atom("spawn_opt"), atom("m"), atom("f"), 106, 106, atom("link"), literalPid))), BySpawn, "m:f/0"},
		{"code", regSendTo("code_server", tuple(atom("code_call"), literalPid, tuple(atom("load_binary"), atom("m"), text("m.beam"), cat(109, u32(0))))), ByRequest, "code_server:load_binary"},
		{"file", regSendTo("file_server_2", genCall(tuple(atom("open"), text("/x"), 106))), ByRequest, "file_server_2:open"},
		{"supervisor", regSendTo("kernel_safe_sup", genCall(tuple(atom("start_child"), 106))), ByRequest, "kernel_safe_sup:start_child"},
		{"init:stop", regSendTo("init", tuple(atom("stop"), atom("stop"))), ByRequest, "init:stop"},
		{"request to init", regSendTo("init", tuple(literalPid, atom("get_status"))), ByRequest, "init:get_status"},
		{"ping", regSendTo("net_kernel", genCall(tuple(atom("is_auth"), atom("a@h")))), 0, ""},
		{"features", regSendTo("rex", tuple(literalPid, atom("features_request"))), 0, ""},
		{"abcast", regSendTo("rex", tuple(literalPid, tuple(atom("sbcast"), atom("x"), atom("y")))), 0, ""},
		{"questions to a supervisor", regSendTo("kernel_safe_sup", genCall(atom("which_children"))), 0, ""},
		{"an application's server", regSendTo("app", genCall(tuple(atom("call"), atom("os"), atom("cmd"), 106, literalPid))), 0, ""},
		{"something to rex", regSendTo("rex", atom("x")), 0, ""},
		{"a binary to rex", regSendTo("rex", cat(109, u32(3), "abc")), 0, ""},
		{"a tuple of atoms to code_server", regSendTo("code_server", tuple(atom("load_binary"), atom("x"))), 0, ""},
		{"a reply to code_server", regSendTo("code_server", tuple(atom("code_server"), atom("a"), atom("b"))), 0, ""},
		{"something to code_server", regSendTo("code_server", tuple(op(1), op(2), op(3))), 0, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := session(t, x.message, linkMsg, x.message)
			var want map[Call]Uses
			if x.means != 0 {
				want = map[Call]Uses{{x.means, x.want}: {Count: 2}}
			}
			got := make(map[Call]Uses)
			for c, u := range f.Calls {
				if u.First.Frame.Number != 3 || u.Last.Frame.Number != 5 {
					t.Errorf("in frames %d to %d", u.First.Frame.Number, u.Last.Frame.Number)
				}
				got[c] = Uses{Count: u.Count}
			}
			if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) || f.UnnamedCalls != 0 {
				t.Errorf("got %v and %d unknown, want %v", got, f.UnnamedCalls, want)
			}
		})
	}
}

// TestUnknownCalls: a call of which something was not captured is unknown.
func TestUnknownCalls(t *testing.T) {
	ref := func(i int) []byte { return cat(82, i) }
	// Atom 0 is not known, atom 1 is os.
	header := cat(131, 68, 2, 0x80, 0x00, 9, 10, 2, "os")
	for name, m := range map[string][]byte{
		"module": frame(header, tuple(op(6), literalPid, none, atom("rex")),
			tuple(literalPid, tuple(atom("call"), ref(0), ref(1), 106, literalPid))),
		"function": frame(header, tuple(op(6), literalPid, none, atom("rex")),
			tuple(literalPid, tuple(atom("call"), ref(1), ref(0), 106, literalPid))),
		"what rex is to do": frame(header, tuple(op(6), literalPid, none, atom("rex")),
			tuple(literalPid, tuple(ref(0), ref(1), ref(0), 106, literalPid))),
		"function of erpc": frame(header, tuple(op(29), literalRef, literalPid, literalPid, tuple(atom("erpc"), atom("execute_call"), op(4)), 106),
			list(literalRef, ref(1), ref(0), 106)),
		"function of spawn": frame(header, tuple(op(29), literalRef, literalPid, literalPid, tuple(ref(1), ref(0), op(4)), 106), 106),
		"arguments, which are too few": frame(131, 68, 0, tuple(op(29), literalRef, literalPid, literalPid, tuple(atom("erpc"), atom("execute_call"), op(4)), 106),
			list(literalRef, atom("os"), atom("cmd"))),
		"arguments, which are too many": frame(131, 68, 0, tuple(op(29), literalRef, literalPid, literalPid, tuple(atom("erpc"), atom("execute_cast"), op(3)), 106),
			list(literalRef, atom("os"), atom("cmd"), 106)),
		"end": frame(131, 68, 0, tuple(op(29), literalRef, literalPid, literalPid, tuple(atom("erpc"), atom("execute_call"), op(4)), 106),
			108, u32(4), literalRef, 119, 2, "o"),
	} {
		f := session(t, m, linkMsg)
		if len(f.Calls) != 0 || f.UnnamedCalls != 1 || !f.InFrame {
			t.Errorf("%s: %v, %d unknown", name, f.Calls, f.UnnamedCalls)
		}
	}
	// Cut ahead of what is asked of it: nothing is claimed.
	f := session(t, regSendTo("init", cat(104, 3, atom("$gen_call"), literalPid[:9])))
	if len(f.Calls) != 0 || f.UnnamedCalls != 0 || f.RegisteredNames["init"] != 1 {
		t.Errorf("cut short: %v, %d unknown", f.Calls, f.UnnamedCalls)
	}
	// The name itself is not known: nothing is claimed.
	f = session(t, frame(header, tuple(op(6), literalPid, none, ref(0)), tuple(literalPid, tuple(atom("call"), atom("os"), atom("cmd"), 106, literalPid))))
	if len(f.Calls) != 0 || f.Unnamed != 1 {
		t.Errorf("without a name: %v, %d", f.Calls, f.Unnamed)
	}
}

// TestLongHeads reads calls that begin behind what is looked at at first.
func TestLongHeads(t *testing.T) {
	for _, n := range []int{0, 300, 450, 500, 512, 600, 2000, 7900, 9000} {
		options := list(cat(109, u32(n), zeros(n)))
		m := frame(131, 68, 0,
			tuple(op(29), literalRef, literalPid, literalPid, tuple(atom("erpc"), atom("execute_call"), op(4)), options),
			list(literalRef, atom("os"), atom("cmd"), list(cat(109, u32(9000), zeros(9000)))))
		f := session(t, m, linkMsg)
		known := uint64(1)
		if n > maxHead {
			known = 0
		}
		if f.Calls[Call{ByERPC, "os:cmd/1"}].Count != known || f.UnnamedCalls != 1-known || f.Messages["SPAWN_REQUEST"] != 1 || f.Messages["LINK"] != 1 {
			t.Errorf("%d bytes of options: %v, %d unknown, %v", n, f.Calls, f.UnnamedCalls, f.Messages)
		}
	}
}

// TestLongHeadOfCandidate searches for a message with a long list of atoms.
func TestLongHeadOfCandidate(t *testing.T) {
	refs := cat(200, zeros(101))
	for i := range 101 {
		refs[1+i] = 0x88
	}
	refs[101] = 0
	for i := range 200 {
		refs = cat(refs, i, 8, "an atom.")
	}
	m := frame(131, 68, refs, tuple(op(6), literalPid, none, cat(82, 199)), atom("x"))
	if f := decode(t, Midstream, []byte("something"), m, linkMsg); f.Recognition != ByFraming || f.RegisteredNames["an atom."] != 1 {
		t.Errorf("got %+v", f)
	}
}

// TestCandidateAtTheEnd: a message that was found last, and is not all there,
// takes nothing from those before it.
func TestCandidateAtTheEnd(t *testing.T) {
	f := newFeeder(AtHandshake, whole)
	f.data(cat(sendName6, reply, linkMsg, linkMsg[:9]))
	f.gap(1000)
	f.data(frame(131, 68, 0, tuple(op(22), literalPid, literalPid), zeros(10000))[:9000])
	n := uint64(len(linkMsg))
	if got := f.end(); got.MessageBytes["LINK"] != n || got.MessageBytes[Unknown] != n || got.Messages["SEND_SENDER"] != 0 {
		t.Errorf("got %v, %v", got.Messages, got.MessageBytes)
	}
}

// TestCacheSlots uses every slot, and asks for all at each size.
func TestCacheSlots(t *testing.T) {
	var c atomCache
	tables := new(Tables)
	name := func(slot int) string { return fmt.Sprint("a", slot) }
	for n := range cacheSize {
		slot := n * 37 % cacheSize
		if a := c.get(uint16(slot)); a.Known {
			t.Fatalf("slot %d is %s before it was set", slot, a.Text)
		}
		c.set(tables, uint16(slot), []byte(name(slot)))
		for k := 0; k <= n; k += 1 + n/30 {
			if slot := k * 37 % cacheSize; !c.get(uint16(slot)).Is(name(slot)) {
				t.Fatalf("slot %d of %d is %s", slot, n, c.get(uint16(slot)).Text)
			}
		}
	}
	c.forget()
	if a := c.get(37); a.Known {
		t.Errorf("%s is known after it was forgotten", a.Text)
	}
}

// TestReplacedAtoms: an entry that is replaced gives its room back, and one
// that cannot be an atom makes the cache unknown.
func TestReplacedAtoms(t *testing.T) {
	f := newFeeder(AtHandshake, whole)
	f.data(cat(sendName6, reply))
	toRef := tuple(op(6), literalPid, none, cat(82, 0))
	for i := range 3 * maxCachedBytes / 200 {
		f.data(frame(131, 68, 1, 0x0f, 9, 200, fmt.Sprintf("%0200d", i), toRef))
	}
	for _, name := range []string{"one", "two"} {
		f.data(frame(131, 68, 1, 0x0f, 9, 3, name, toRef))
		f.data(frame(131, 68, 1, 0x07, 9, toRef))
	}
	if a := f.s.dec.cache.get(7<<8 | 9); !a.Is("two") || f.s.dec.cache.bytes != 3 {
		t.Errorf("%s, and %d bytes of atoms", a.Text, f.s.dec.cache.bytes)
	}
	before := f.s.Facts()
	f.data(frame(131, 68, 1, 0x1f, 10, u16(term.MaxAtom+1), zeros(term.MaxAtom+1), toRef))
	f.data(frame(131, 68, 1, 0x07, 9, toRef))
	after := f.end()
	if after.Messages[Unknown] != 1 || after.Unnamed != before.Unnamed+1 {
		t.Errorf("before %v, %d unknown; after %v, %d", before.Messages, before.Unnamed, after.Messages, after.Unnamed)
	}
}

func TestFragments(t *testing.T) {
	first := func(seq, id uint64, control []byte) []byte {
		return frame(131, 69, u64(seq), u64(id), 0, control, zeros(50))
	}
	next := func(seq, id uint64) []byte { return frame(131, 70, u64(seq), u64(id), zeros(70)) }
	send, exit := tuple(op(22), literalPid, literalPid), tuple(op(24), literalPid, literalPid)
	size := func(parts ...[]byte) uint64 {
		n := 0
		for _, p := range parts {
			n += len(p)
		}
		return uint64(n)
	}
	a, b := first(1, 3, send), first(2, 2, exit)
	more := next(1, 2)

	f := session(t, a, b, linkMsg, more, next(2, 1), next(1, 1))
	want := map[string]uint64{"SEND_SENDER": size(a, more, more), "PAYLOAD_EXIT": size(b, more), "LINK": size(linkMsg)}
	if !reflect.DeepEqual(f.MessageBytes, want) || f.Fragments != 3 || f.LostFragments != 0 || f.LargestMessage != size(a, more, more) {
		t.Errorf("interleaved: %v, want %v; %d of %d lost, largest %d", f.MessageBytes, want, f.LostFragments, f.Fragments, f.LargestMessage)
	}
	if want := size(a, b) - 2*uint64(4+18+1+len(send)) + 3*70; f.PayloadBytes != want {
		t.Errorf("%d bytes of payload, want %d", f.PayloadBytes, want)
	}
	for name, x := range map[string]struct {
		messages [][]byte
		lost     uint64
	}{
		"counting up":                {[][]byte{first(1, 2, send), next(1, 2), next(1, 3)}, 2},
		"one left out":               {[][]byte{first(1, 4, send), next(1, 2), next(1, 1)}, 2},
		"beginning not seen":         {[][]byte{next(1, 2), next(1, 1)}, 2},
		"one too many":               {[][]byte{first(1, 2, send), next(1, 1), next(1, 1)}, 1},
		"begun anew":                 {[][]byte{first(1, 3, send), first(1, 2, send), next(1, 1)}, 0},
		"fragment 0":                 {[][]byte{first(1, 2, send), next(1, 0)}, 1},
		"fragment of a huge message": {[][]byte{first(1, 1<<63, send), next(1, 1<<63-1)}, 1},
		"header cut short":           {[][]byte{first(1, 2, send), frame(131, 70, u64(1), 0, 0)}, 1},
	} {
		f := session(t, append(x.messages, linkMsg)...)
		if f.LostFragments != x.lost || f.Messages["LINK"] != 1 || !f.InFrame {
			t.Errorf("%s: %d lost: %+v", name, f.LostFragments, f)
		}
	}
	// After a gap that hides where messages begin, none is continued.
	x := newFeeder(AtHandshake, whole)
	x.data(cat(sendName6, reply, a, linkMsg[:9]))
	x.gap(1000)
	x.data(cat(linkMsg, next(1, 2), next(1, 1)))
	if f := x.end(); f.LostFragments != 2 || f.MessageBytes["SEND_SENDER"] != size(a) || f.LargestMessage != size(linkMsg) {
		t.Errorf("after a gap: %+v", f)
	}
}

// TestBytes: every byte of a direction belongs to something.
func TestBytes(t *testing.T) {
	messages := [][]byte{regSend, regSendAgain, linkMsg, tick, spawn, passThrough, firstFragment, nextFragment, unknownOp, compressed,
		regSendAgain, frame(131, 99, 1, 2, 3), nextFragment, tick}
	f := session(t, messages...)
	sum := uint64(len(sendName6)+len(reply)) + 4*f.Ticks.Count
	for _, n := range f.MessageBytes {
		sum += n
	}
	if sum != uint64(f.Bytes) {
		t.Errorf("%d bytes belong to something, of %d: %v", sum, f.Bytes, f.MessageBytes)
	}
	if f.FirstMessage.Frame.Number != 3 || int(f.LastMessage.Frame.Number) != len(messages)+1 {
		t.Errorf("messages from frame %d to %d", f.FirstMessage.Frame.Number, f.LastMessage.Frame.Number)
	}
	// The end of the capture takes the end of a message.
	big := frame(131, 68, 0, tuple(op(22), literalPid, literalPid), zeros(1<<20))
	for _, n := range []int{200, 1000, 100000} {
		f := session(t, linkMsg, big[:n])
		if f.MessageBytes["SEND_SENDER"] != uint64(n) || f.LargestMessage != uint64(len(linkMsg)) || f.PayloadBytes != uint64(n-4-3-2-2-2*len(literalPid)) {
			t.Errorf("%d bytes of a message: %v, payload %d, largest %d", n, f.MessageBytes, f.PayloadBytes, f.LargestMessage)
		}
	}
	// A gap inside a message takes nothing from its size.
	x := newFeeder(AtHandshake, whole)
	x.data(cat(sendName6, reply, big[:1000]))
	x.gap(len(big) - 1000)
	x.data(linkMsg)
	if f := x.end(); f.MessageBytes["SEND_SENDER"] != uint64(len(big)) || f.LargestMessage != uint64(len(big)) {
		t.Errorf("with a gap: %v, largest %d", f.MessageBytes, f.LargestMessage)
	}
}

// TestCandidatesCount: messages that a search found count as others do.
func TestCandidatesCount(t *testing.T) {
	m := regSendTo("rex", tuple(literalPid, tuple(atom("call"), atom("os"), atom("cmd"), 106, literalPid)))
	f := decode(t, Midstream, []byte("the end of something"), m, m, linkMsg)
	if u := f.Calls[Call{ByRPC, "os:cmd/0"}]; u.Count != 2 || u.First.Offset != 20 || u.Last.Offset != int64(20+len(m)) || u.First.Frame.Number != 2 {
		t.Errorf("got %v", f.Calls)
	}
	if f.RegisteredNames["rex"] != 2 || f.MessageBytes["REG_SEND"] != 2*uint64(len(m)) || f.FirstMessage.Offset != 20 {
		t.Errorf("got %+v", f)
	}
	// What is withdrawn is so with all of this.
	g := decode(t, Midstream, m, m, []byte("something else"))
	if !reflect.DeepEqual(g, Facts{First: g.First, Bytes: g.Bytes, Foreign: true, ForeignAt: g.ForeignAt}) {
		t.Errorf("after other bytes: %+v", g)
	}
}

// TestPayload: terms are kept only if asked for, and a bounded number.
func TestPayload(t *testing.T) {
	secret := regSendTo("rex", tuple(literalPid, tuple(atom("call"), atom("erlang"), atom("set_cookie"), list(atom("hunter2")), literalPid)))
	data := cat(sendName6, reply, secret, spawnRequest("auth", "set_cookie", atom("hunter2")), regSendTo("token_server", atom("hunter2")), linkMsg,
		frame(131, 68, 0, tuple(op(6), literalPid, none, atom("x")), tuple(atom("hello"), cat(109, u32(1<<20), zeros(1<<20)))))
	s := new(Tables).NewStream(Options{}, AtHandshake)
	s.Data(tcp.Position{}, data)
	if f := s.Facts(); f.Payloads != nil {
		t.Errorf("kept without being asked: %v", f.Payloads)
	}
	s = new(Tables).NewStream(Options{Payload: true}, AtHandshake)
	for i := range data {
		s.Data(tcp.Position{Offset: int64(i)}, data[i:i+1])
	}
	for range 100 {
		s.Data(tcp.Position{}, regSend)
	}
	f := s.Facts()
	if len(f.Payloads) != maxPayloads {
		t.Fatalf("%d payloads", len(f.Payloads))
	}
	const hidden = `<<"…">>`
	for i, want := range []Payload{
		{Operation: "REG_SEND", Name: "rex", Call: Call{ByRPC, "erlang:set_cookie/1"}, Text: hidden},
		{Operation: "SPAWN_REQUEST", Call: Call{BySpawn, "auth:set_cookie/1"}, Text: hidden},
		{Operation: "REG_SEND", Name: "token_server", Text: hidden},
		{Operation: "REG_SEND", Name: "x", Text: "{hello,<<_:8388608>>…"},
		{Operation: "REG_SEND", Name: "rex", Text: "{7}", Whole: true},
	} {
		got := f.Payloads[i]
		got.At = tcp.Position{}
		if got != want {
			t.Errorf("payload %d is %+v, want %+v", i, got, want)
		}
	}
	if f.Payloads[0].At.Offset != int64(len(sendName6)+len(reply)) {
		t.Errorf("at %d", f.Payloads[0].At.Offset)
	}
	s.Data(tcp.Position{}, regSend)
	f.Payloads[0].Text = "changed"
	if s.Facts().Payloads[0].Text != hidden {
		t.Error("facts change after they were given")
	}
}

// TestLongPayload shows what lies behind the part that is looked at otherwise.
func TestLongPayload(t *testing.T) {
	payload := tuple()
	payload[1] = 100
	for range 100 {
		payload = cat(payload, atom("wordword"))
	}
	s := new(Tables).NewStream(Options{Payload: true}, AtHandshake)
	s.Data(tcp.Position{}, cat(sendName6, reply, regSendTo("x", payload)))
	want := "{" + strings.Repeat("wordword,", 99) + "wordword}"
	if f := s.Facts(); len(f.Payloads) != 1 || f.Payloads[0].Text != want || !f.Payloads[0].Whole {
		t.Errorf("got %+v", f.Payloads)
	}
}

// TestCallsAreBounded names more functions than are kept.
func TestCallsAreBounded(t *testing.T) {
	f := newFeeder(AtHandshake, whole)
	f.data(cat(sendName6, reply))
	for i := range 3 * maxNames {
		f.data(spawnRequest(fmt.Sprintf("m%d", i), "f"))
	}
	for i := range 3000 {
		f.data(frame(131, 69, u64(uint64(i)), u64(1000), 0, tuple(op(22), literalPid, literalPid)))
	}
	if n := len(f.s.activity.sequences); n != maxSequences {
		t.Errorf("%d fragmented messages are followed", n)
	}
	long := strings.Repeat("x", 500)
	for i := range 2 * maxNames {
		name := fmt.Sprintf("%s%d", long, i)
		f.data(frame(131, 68, 0, tuple(op(6), literalPid, none, cat(118, u16(len(name)), name)), atom("x")))
	}
	if n := f.s.activity.names.bytes; n > maxNameBytes || n < maxNameBytes/2 {
		t.Errorf("%d bytes of names", n)
	}
	got := f.end()
	if len(got.Calls) != maxNames || got.UnnamedCalls != 2*maxNames || got.Messages["SPAWN_REQUEST"] != 3*maxNames {
		t.Errorf("%d calls, %d without a name", len(got.Calls), got.UnnamedCalls)
	}
}

// TestNoAllocations: in the steady state, messages cost none.
func TestNoAllocations(t *testing.T) {
	s := new(Tables).NewStream(Options{}, AtHandshake)
	data := cat(regSendAgain, linkMsg, spawn, passThrough, firstFragment, nextFragment, tick, unknownOp,
		spawnRequest("erpc", "execute_call", literalRef, atom("os"), atom("getenv"), 106),
		regSendTo("a_name_of_more_than_thirty_two_characters_sup", tuple(atom("$gen_cast"), atom("x"))))
	s.Data(tcp.Position{}, cat(sendName6, reply, regSend, data))
	for _, size := range []int{len(data), 100, 7} {
		if n := testing.AllocsPerRun(100, func() {
			for i := 0; i < len(data); i += size {
				s.Data(tcp.Position{Offset: int64(i)}, data[i:min(i+size, len(data))])
			}
		}); n > 0 {
			t.Errorf("%v allocations in pieces of %d", n, size)
		}
	}
}

// FuzzMessage puts anything into messages: where the next one begins depends
// only on their lengths.
func FuzzMessage(f *testing.F) {
	for _, m := range [][]byte{regSend, spawn, passThrough, firstFragment, nextFragment, unknownOp, compressed,
		frame(131, 80, deflate(cat(68, 1, 0x0f, 9, 3, "one", tuple(op(6), literalPid, none, cat(82, 0)), atom("x")))),
		spawnRequest("erpc", "execute_call", literalRef, atom("os"), atom("getenv"), 106),
		regSendTo("rex", tuple(literalPid, tuple(atom("call"), atom("os"), atom("cmd"), 106, literalPid)))} {
		f.Add(m[5:], m[4] == tagPassThrough)
	}
	f.Fuzz(func(t *testing.T, b []byte, pass bool) {
		first := byte(term.Version)
		if pass {
			first = tagPassThrough
		}
		if len(b) == 0 {
			return
		}
		m := frame(int(first), b)
		run := func(o Options, size int) (Facts, uint64) {
			x := &feeder{s: new(Tables).NewStream(o, AtHandshake), size: size}
			x.data(cat(sendName6, reply, linkMsg, m, linkMsg, m, linkMsg, tick))
			got := x.end()
			n := uint64(0)
			for _, k := range got.MessageBytes {
				n += k
			}
			return got, n
		}
		var plain Facts
		var n uint64
		// A kilobyte a message, two inflaters and what they expand.
		if used := allocs.Of(func() { plain, n = run(Options{}, whole) }); used > 1<<20+20*uint64(len(m)) {
			t.Errorf("%d bytes allocated for messages of %d", used, len(m))
		}
		if plain.Messages["LINK"] < 3 || plain.Ticks.Count != 1 || !plain.InFrame || plain.Foreign || n != uint64(2*len(m)+3*len(linkMsg)) {
			t.Errorf("lost the framing: %+v", plain)
		}
		if plain.PayloadBytes > n || plain.LargestMessage > n {
			t.Errorf("%d bytes of payload, largest message %d, of %d", plain.PayloadBytes, plain.LargestMessage, n)
		}
		for _, size := range []int{1, 600} {
			if got, _ := run(Options{}, size); !reflect.DeepEqual(got, plain) && size != whole {
				t.Errorf("depends on the segments:\n%+v\n%+v", got, plain)
			}
		}
		shown, _ := run(Options{Payload: true}, whole)
		for _, p := range shown.Payloads {
			if len(p.Text) > maxPayloadText {
				t.Errorf("%d bytes of text", len(p.Text))
			}
		}
		if shown.Payloads = nil; len(b) < firstHead && !reflect.DeepEqual(shown, plain) {
			t.Errorf("depends on what is shown:\n%+v\n%+v", shown, plain)
		}
	})
}
