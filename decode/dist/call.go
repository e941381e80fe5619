package dist

import (
	"bytes"
	"strconv"

	"distproof/decode/dist/term"
)

// Means says how a message makes its receiver run something.
type Means uint8

// The means.
const (
	// BySpawn: a request to spawn a process, as SPAWN_REQUEST, or as nodes
	// before OTP 23 sent it to net_kernel.
	BySpawn Means = 1 + iota
	// ByERPC: a call or cast of erpc, which spawns erpc:execute_call/4 or
	// execute_cast/3 (lib/kernel/src/erpc.erl). rpc:call/4 does so since OTP 23.
	ByERPC
	// ByRPC: a call or cast that the server rex runs (lib/kernel/src/rpc.erl):
	// rpc:call/4 before OTP 23, rpc:block_call/4, and C nodes.
	ByRPC
	// ByRequest: a request to a server of OTP itself that loads code, opens
	// files, starts processes or stops the node.
	ByRequest
)

func (m Means) String() string {
	return [...]string{"", "spawn", "erpc", "rpc", "request"}[m]
}

// A Call is something that a node was told to run.
type Call struct {
	Means Means
	// Function is "module:function/arity". For requests it is "server:request",
	// such as "code_server:load_binary". It may hold any character, so escape
	// it before printing.
	Function string
}

// A call is a [Call] that is being read.
type call struct {
	by               Means
	module, function term.Atom
	arity            int
	counted          bool // arity is valid
}

// appendTo appends the function's text to b, and reports whether it is known.
func (c *call) appendTo(b []byte) ([]byte, bool) {
	if !c.module.Known || !c.function.Known {
		return b, false
	}
	b = append(append(append(b, c.module.Text...), ':'), c.function.Text...)
	if c.by == ByRequest {
		return b, true
	}
	b = append(b, '/')
	if !c.counted {
		return append(b, '?'), true
	}
	return strconv.AppendInt(b, int64(c.arity), 10), true
}

// mayConcernSecret reports whether arguments of c may be secret as a whole.
func (c *call) mayConcernSecret() bool {
	return c.by != 0 && (!c.module.Known || !c.function.Known ||
		term.MayNameSecret(c.module.Text) || term.MayNameSecret(c.function.Text))
}

// payload reads what is wanted of the payload at the beginning of b: at most
// its head.
func (d *decoder) payload(b []byte, m *message) {
	if !operations[m.op].payload {
		return
	}
	c := term.NewCursor(b, d.refs)
	if c.Peek() == term.Version {
		c.Byte()
		if c.Peek() == term.Compressed {
			d.more, _ = d.expand(&c, d.more[:0])
			c = term.NewCursor(d.more, d.refs)
		}
	}
	rest := c.Rest()
	d.called(&c, m)
	m.short = m.short || c.State() == term.Short
	if d.show {
		secret := m.call.mayConcernSecret() || m.spawned.mayConcernSecret() || term.MayNameSecret(m.name.Text)
		m.text, m.whole = term.Print(rest, d.refs, maxPayloadText, secret)
	}
}

// called reads what the message makes its receiver run.
func (d *decoder) called(c *term.Cursor, m *message) {
	switch {
	case m.call.by == ByERPC:
		m.erpc(c)
	case m.name.Is("rex"):
		m.rpc(c)
	case m.name.Is("net_kernel"):
		m.spawnOld(c)
	case m.name.Known:
		m.request(c)
	}
}

// meant returns what is called by spawning f: f itself, or what the arguments
// of erpc:execute_call(Ref, M, F, A) and erpc:execute_cast(M, F, A) name.
func (f *call) meant() call {
	switch {
	case !f.module.Is("erpc"):
		return *f
	case !f.counted: // cut short
		return call{by: BySpawn}
	case f.function.Is("execute_call") && f.arity == 4, f.function.Is("execute_cast") && f.arity == 3:
		return call{by: ByERPC}
	}
	return *f
}

// erpc reads the arguments of a function of erpc: [Ref, M, F, A] or [M, F, A].
func (m *message) erpc(c *term.Cursor) {
	if n, ok := c.List(); ok && n == m.spawned.arity {
		c.Skip(n - 3)
		m.call.read(c)
	}
}

// read reads M, F, A.
func (f *call) read(c *term.Cursor) {
	f.module, _ = c.Atom()
	f.function, _ = c.Atom()
	f.arity, f.counted = c.ListLength()
}

// openRequest passes over what a client puts around its request to a server:
//
//	{'$gen_call', From, Request}
//	{'$gen_cast', Request}
//	{code_call, From, Request}
//	{From, Request}
func openRequest(c *term.Cursor) bool {
	n, _ := c.Tuple()
	if !isAtom(c.Peek()) {
		return n == 2 && c.Skip(1)
	}
	tag, _ := c.Atom()
	switch {
	case n == 3 && (tag.Is("$gen_call") || tag.Is("code_call")):
		return c.Skip(1)
	case n == 2 && tag.Is("$gen_cast"):
		return true
	}
	return false
}

func isAtom(tag byte) bool {
	switch tag {
	case term.AtomCacheRef, term.AtomUTF8, term.SmallAtomUTF8, term.AtomLatin1, term.SmallAtomLatin:
		return true
	}
	return false
}

func isTuple(tag byte) bool { return tag == term.SmallTuple || tag == term.LargeTuple }

// rpc reads a message to rex: {call, M, F, A, GroupLeader} and the like.
func (m *message) rpc(c *term.Cursor) {
	if !openRequest(c) || !isTuple(c.Peek()) {
		return
	}
	n, _ := c.Tuple()
	what, _ := c.Atom()
	if n == 5 && (what.Is("call") || what.Is("block_call") || what.Is("cast") || c.OK() && !what.Known) {
		m.call.by = ByRPC
		m.call.read(c)
	}
}

// spawnOld reads a message to net_kernel that spawns:
//
//	{spawn, M, F, A, GroupLeader}, {spawn_link, M, F, A, GroupLeader}
//	{spawn_opt, M, F, A, Options, Link, GroupLeader}
func (m *message) spawnOld(c *term.Cursor) {
	if !openRequest(c) || !isTuple(c.Peek()) {
		return
	}
	n, _ := c.Tuple()
	what, _ := c.Atom()
	if n == 5 && (what.Is("spawn") || what.Is("spawn_link")) || n == 7 && what.Is("spawn_opt") {
		m.call.by = BySpawn
		m.call.read(c)
	}
}

// request reads a message to one of OTP's own servers.
func (m *message) request(c *term.Cursor) {
	name := m.name.Text
	sup := bytes.HasSuffix(name, []byte("sup"))
	if !sup && !isServer(name) {
		return
	}
	bare := *c
	if !openRequest(c) {
		// init takes {stop, Reason} and the like without a sender.
		if string(name) != "init" || c.State() == term.Short {
			return
		}
		*c = bare
	}
	if isTuple(c.Peek()) {
		c.Tuple()
	}
	if !isAtom(c.Peek()) {
		return
	}
	what, _ := c.Atom()
	if what.Known && (sup && startsChild(what.Text) || !sup) {
		m.call = call{by: ByRequest, module: m.name, function: what}
	}
}

// isServer reports whether requests to the process of this name act on the node
// itself.
func isServer(name []byte) bool {
	switch string(name) {
	case "application_controller", "code_server", "erl_prim_loader", "file_server_2", "init":
		return true
	}
	return false
}

// startsChild reports whether a supervisor does something for this request.
func startsChild(request []byte) bool {
	switch string(request) {
	case "start_child", "restart_child", "terminate_child", "delete_child":
		return true
	}
	return false
}
