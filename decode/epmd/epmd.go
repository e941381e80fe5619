// Package epmd decodes what nodes and the Erlang Port Mapper Daemon say to
// each other: which node listens on which port.
//
// A [Stream] decodes one direction of a connection: the requests, which carry
// a 2-byte length, or the replies, which do not, but say themselves what they
// are. So a capture of one direction alone can be read. A connection carries
// one request; one that registered a node stays open for as long as the node
// lives.
//
// Source: "EPMD Protocol" in OTP's erts user's guide, and
// erts/epmd/src/epmd_srv.c for the text replies.
package epmd

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// Names of requests and replies, as in OTP's documentation, and for the text
// replies after their requests.
const (
	Alive2Req      = "ALIVE2_REQ"
	PortPlease2Req = "PORT_PLEASE2_REQ"
	NamesReq       = "NAMES_REQ"
	DumpReq        = "DUMP_REQ"
	KillReq        = "KILL_REQ"
	StopReq        = "STOP_REQ"

	Alive2Resp  = "ALIVE2_RESP"
	Alive2XResp = "ALIVE2_X_RESP"
	Port2Resp   = "PORT2_RESP"
	NamesResp   = "NAMES_RESP"
	DumpResp    = "DUMP_RESP"
	KillResp    = "KILL_RESP"
	StopResp    = "STOP_RESP"

	// Unknown is for everything else.
	Unknown = "unknown"
)

// Operation codes.
const (
	codeAlive2Req      = 'x'
	codePortPlease2Req = 'z'
	codeNamesReq       = 'n'
	codeDumpReq        = 'd'
	codeKillReq        = 'k'
	codeStopReq        = 's'
	codeAlive2Resp     = 'y'
	codeAlive2XResp    = 'v'
	codePort2Resp      = 'w'
)

// Node types.
const (
	// Normal is a node that publishes itself to the cluster.
	Normal = 77
	// Hidden is one that does not.
	Hidden = 72
)

// A Node is what ALIVE2_REQ and PORT2_RESP say of a node.
type Node struct {
	// Name is the part before the "@". It is as it came off the wire: escape
	// it before printing.
	Name string
	// Port is where the node listens for distribution.
	Port uint16
	// Type is Normal or Hidden; Protocol is 0 for TCP over IPv4.
	Type, Protocol uint8
	// High and Low are the distribution versions that the node speaks. On the
	// wire Low is 5 also where OTP's documentation says 6.
	High, Low uint16
	// Extra is the length of the extra field.
	Extra int
}

// A Request is one request.
type Request struct {
	// Op is its name, [Unknown] for an unknown code.
	Op   string
	Code uint8
	// Node has all fields for ALIVE2_REQ, for PORT_PLEASE2_REQ and STOP_REQ
	// only the name.
	Node Node
	// Partial says that not all of it was captured, or that it is malformed:
	// Node is then empty.
	Partial bool
	At      tcp.Position
}

// A Reply is one reply.
type Reply struct {
	Op string
	// Result is 0 for success; valid for ALIVE2_RESP, ALIVE2_X_RESP and
	// PORT2_RESP if Resulted.
	Result   uint8
	Resulted bool
	// Node is valid for a PORT2_RESP with result 0.
	Node Node
	// Creation is valid for ALIVE2_RESP and ALIVE2_X_RESP.
	Creation uint32
	// EPMDPort is the port of EPMD itself, in NAMES_RESP and DUMP_RESP.
	EPMDPort uint32
	// Text is the reply to KILL_REQ ("OK", "NO") or STOP_REQ ("STOPPED",
	// "NOEXIST").
	Text string
	// Partial says that not all of it was captured, or that it is malformed.
	Partial bool
	At      tcp.Position
}

// A Name is a line of a reply to NAMES_REQ or DUMP_REQ.
type Name struct {
	Name string
	Port uint16
	// Former says that the node is no longer registered (DUMP_REQ only).
	Former bool
	At     tcp.Position
}

// Facts is what a [Stream] found.
type Facts struct {
	// Requests and Replies are in the order of the stream, one of the two
	// empty. They end at a limit; Counts has all, by Op.
	Requests []Request
	Replies  []Reply
	Counts   map[string]uint64
	// Names are the lines of text replies, up to a limit; Lines counts all.
	Names []Name
	Lines uint64
	// First is valid if Bytes is not 0.
	First          tcp.Position
	Bytes, Missing int64
	// Unparsed counts bytes that belong to nothing that was understood.
	Unparsed int64

	basis Basis
	role  Role
}

// Role returns which direction it is, once there were bytes that tell.
func (f Facts) Role() Role { return f.role }

// Recognised reports whether the bytes are EPMD's: for [ByPort], if a known
// request or reply was among them; for [ByContent], if there was one that
// proves itself, and nothing else.
func (f Facts) Recognised() bool {
	known := uint64(0)
	for op, n := range f.Counts {
		if op != Unknown {
			known += n
		}
	}
	if f.basis == ByPort {
		return known > 0 || f.Lines > 0
	}
	if f.Unparsed > 0 || f.Counts[Unknown] > 0 {
		return false
	}
	return f.proves()
}

// proves reports whether there is something that only EPMD and its clients say.
func (f Facts) proves() bool {
	for _, r := range f.Requests {
		if r.Op == Alive2Req && r.Node.plausible() {
			return true
		}
	}
	for _, r := range f.Replies {
		if r.Op == Port2Resp && r.Node.plausible() {
			return true
		}
	}
	for _, n := range f.Names {
		if plausibleName(n.Name) {
			return true
		}
	}
	return false
}

// Limits of what is kept of one stream.
const (
	// maxBody is how much of a request or reply is kept: two names at their
	// longest, with what is around them.
	maxBody = 4096
	// maxKept bounds requests and replies: a connection carries one.
	maxKept = 64
	// maxNames bounds text lines: nodes of one host.
	maxNames = 4096
	// maxLine is longer than any line with the longest name.
	maxLine = 2048
	// maxName is the length of 255 characters in UTF-8.
	maxName = 255 * 4
)

func requestName(code uint8) string {
	switch code {
	case codeAlive2Req:
		return Alive2Req
	case codePortPlease2Req:
		return PortPlease2Req
	case codeNamesReq:
		return NamesReq
	case codeDumpReq:
		return DumpReq
	case codeKillReq:
		return KillReq
	case codeStopReq:
		return StopReq
	}
	return Unknown
}

// parseRequest reads a request without its length.
func parseRequest(at tcp.Position, b []byte) Request {
	c := wire.NewCursor(b)
	r := Request{Code: c.Uint8("code"), At: at}
	r.Op = requestName(r.Code)
	switch r.Code {
	case codeAlive2Req:
		r.Node = readNode(&c)
		c.End("ALIVE2_REQ")
	case codePortPlease2Req, codeStopReq:
		name := c.Rest()
		if len(name) == 0 || len(name) > maxName {
			c.Fail("name", "empty or too long")
		}
		r.Node.Name = string(name)
	case codeNamesReq, codeDumpReq, codeKillReq:
		c.End(r.Op)
	}
	if c.Err() != nil {
		r.Node, r.Partial = Node{}, true
	}
	return r
}

// readNode reads the fields that ALIVE2_REQ and PORT2_RESP share.
func readNode(c *wire.Cursor) Node {
	var n Node
	n.Port = c.Uint16("port")
	n.Type = c.Uint8("node type")
	n.Protocol = c.Uint8("protocol")
	n.High = c.Uint16("highest version")
	n.Low = c.Uint16("lowest version")
	name := c.Vector16("name")
	n.Name = string(name.Rest())
	extra := c.Vector16("extra")
	n.Extra = extra.Len()
	extra.Rest()
	if n.Name == "" || len(n.Name) > maxName {
		c.Fail("name", "empty or too long")
	}
	return n
}

// plausible reports whether n looks like what a node sends.
func (n Node) plausible() bool {
	return n.Port != 0 && (n.Type == Normal || n.Type == Hidden) && n.Protocol == 0 &&
		n.Low >= 1 && n.Low <= n.High && n.High <= 15 && plausibleName(n.Name)
}

// plausibleName reports whether s is visible UTF-8 without an "@".
func plausibleName(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) || strings.Contains(s, "@") {
		return false
	}
	for _, r := range s {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return true
}
