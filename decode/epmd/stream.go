package epmd

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// Basis says why a direction is taken for EPMD's.
type Basis uint8

// The bases.
const (
	// ByPort: one end has EPMD's port. What fits the protocol is believed.
	ByPort Basis = iota
	// ByContent: nothing but the bytes. Only what proves itself is believed:
	// see [MatchRequest] and [MatchReply].
	ByContent
)

// Role says which side of the connection a direction is.
type Role uint8

// The roles.
const (
	RoleUnknown Role = iota
	// Client sends requests.
	Client
	// Server sends replies.
	Server
)

func (r Role) String() string { return [...]string{"unknown", "client", "server"}[r] }

// state is what the next byte is part of.
type state uint8

const (
	inMessage state = iota // a request, or a reply that is not known to be text
	inLines                // text lines
	inRest                 // of a message whose head has been read, or of a line
)

// A Stream decodes one direction. Use [NewStream].
type Stream struct {
	facts Facts
	state state
	buf   []byte
	at    tcp.Position // of buf[0]
	// remaining is the number of bytes of a request still to be passed over.
	remaining int
	// skipLine says that the line at hand is not wanted.
	skipLine bool
	ended    bool
}

// NewStream returns a decoder for one direction. Which one it is shows in its
// first bytes.
func NewStream(b Basis) *Stream { return &Stream{facts: Facts{basis: b}} }

// Data takes the next bytes. It keeps no reference to b.
func (s *Stream) Data(at tcp.Position, b []byte) {
	if len(b) == 0 || s.ended {
		return
	}
	if s.facts.Bytes == 0 {
		s.facts.First = at
	}
	s.facts.Bytes += int64(len(b))
	for len(b) > 0 {
		n := s.step(at, b)
		at.Offset += int64(n)
		b = b[n:]
	}
}

func (s *Stream) step(at tcp.Position, b []byte) int {
	if s.state == inRest {
		n := min(s.remaining, len(b))
		if s.remaining -= n; s.remaining == 0 {
			s.state = inMessage
		}
		return n
	}
	if len(s.buf) == 0 {
		s.at = at
	}
	if s.state == inLines {
		return s.stepLine(b)
	}
	switch s.facts.role {
	case Client:
		return s.stepRequest(b)
	case Server:
		return s.stepReply(b)
	}
	n := s.fill(b, 2)
	s.facts.role = roleOf(s.buf)
	return n
}

// roleOf tells requests from replies by up to two bytes: a request begins with
// its length, of which no known one has a first byte that is a letter; a reply with a
// letter, or with a port in four bytes.
func roleOf(b []byte) Role {
	switch {
	case len(b) == 0:
		return RoleUnknown
	case b[0] >= 'A':
		return Server
	case b[0] != 0:
		return Client
	case len(b) < 2:
		return RoleUnknown
	case b[1] == 0:
		return Server
	}
	return Client
}

// stepRequest collects a request.
func (s *Stream) stepRequest(b []byte) int {
	n := s.fill(b, s.requestLength())
	if len(s.buf) < s.requestLength() {
		return n
	}
	if len(s.buf) == 2 {
		s.reset() // an empty request
		s.facts.Unparsed += 2
		return n
	}
	length := int(binary.BigEndian.Uint16(s.buf))
	s.addRequest(parseRequest(s.at, s.buf[2:]))
	s.pass(length - (len(s.buf) - 2))
	return n
}

// requestLength returns how many bytes to collect.
func (s *Stream) requestLength() int {
	if len(s.buf) < 2 {
		return 2
	}
	return 2 + min(int(binary.BigEndian.Uint16(s.buf)), maxBody)
}

// pass drops what was collected and n bytes that follow.
func (s *Stream) pass(n int) {
	s.reset()
	if n > 0 {
		s.state, s.remaining = inRest, n
	}
}

func (s *Stream) fill(b []byte, want int) int {
	n := max(0, min(want-len(s.buf), len(b)))
	s.buf = append(s.buf, b[:n]...)
	return n
}

func (s *Stream) reset() { s.buf = s.buf[:0] }

// Texts that answer KILL_REQ and STOP_REQ.
var texts = map[string]string{"OK": KillResp, "NO": KillResp, "STOPPED": StopResp, "NOEXIST": StopResp}

const longestText = len("STOPPED")

// stepReply collects a reply.
func (s *Stream) stepReply(b []byte) int {
	n := s.fill(b, s.replyLength())
	if len(s.buf) < s.replyLength() {
		return n
	}
	switch s.buf[0] {
	case codePort2Resp, codeAlive2Resp, codeAlive2XResp:
		s.addReply(parseReply(s.at, s.buf))
		s.reset()
	case 0:
		// The port of EPMD, then text.
		s.addReply(Reply{Op: NamesResp, EPMDPort: binary.BigEndian.Uint32(s.buf), At: s.at})
		s.reset()
		s.state = inLines
	default:
		s.textReply()
	}
	return n
}

// replyLength returns how many bytes to collect, by what is there so far.
func (s *Stream) replyLength() int {
	b := s.buf
	if len(b) == 0 {
		return 1
	}
	switch b[0] {
	case codeAlive2Resp: // code8 result8 creation16
		return 4
	case codeAlive2XResp: // code8 result8 creation32
		return 6
	case codePort2Resp:
		return port2Length(b)
	case 0:
		return 4
	}
	return longestText
}

// port2Fixed is the length of a PORT2_RESP ahead of the name: code8 result8
// port16 type8 protocol8 high16 low16 nlen16.
const port2Fixed = 12

// port2Length returns the length of the PORT2_RESP that begins with b, or as
// much of it as must be read to know more.
func port2Length(b []byte) int {
	switch {
	case len(b) < 2:
		return 2
	case b[1] != 0:
		return 2
	case len(b) < port2Fixed:
		return port2Fixed
	}
	name := int(binary.BigEndian.Uint16(b[port2Fixed-2:]))
	if name > maxName {
		return port2Fixed // malformed: nothing more is to be learnt
	}
	n := port2Fixed + name + 2
	if len(b) < n {
		return n
	}
	return n + min(int(binary.BigEndian.Uint16(b[n-2:])), maxBody)
}

// parseReply reads a binary reply.
func parseReply(at tcp.Position, b []byte) Reply {
	c := wire.NewCursor(b)
	r := Reply{At: at}
	code := c.Uint8("code")
	r.Result = c.Uint8("result")
	r.Resulted = c.Err() == nil
	switch code {
	case codeAlive2Resp:
		r.Op, r.Creation = Alive2Resp, uint32(c.Uint16("creation"))
	case codeAlive2XResp:
		r.Op, r.Creation = Alive2XResp, c.Uint32("creation")
	case codePort2Resp:
		r.Op = Port2Resp
		if r.Resulted && r.Result == 0 {
			r.Node = readNode(&c)
		}
	}
	c.End(r.Op)
	if c.Err() != nil {
		r.Node, r.Partial = Node{}, true
	}
	return r
}

// textReply handles a reply that is neither binary nor begins with a port.
// "NO" is only told from "NOEXIST" by what does not follow.
func (s *Stream) textReply() {
	if op, ok := texts[string(s.buf)]; ok {
		s.addReply(Reply{Op: op, Text: string(s.buf), At: s.at})
	} else {
		s.facts.Unparsed += int64(len(s.buf))
		s.count(Unknown)
	}
	s.reset()
	// Nothing follows these; if something does, it may be lines of a text
	// whose beginning was lost.
	s.state, s.skipLine = inLines, true
}

// stepLine collects a line.
func (s *Stream) stepLine(b []byte) int {
	for i, x := range b {
		if x == '\n' {
			s.addLine()
			return i + 1
		}
		if s.skipLine {
			s.facts.Unparsed++
			continue
		}
		if x == 0 && len(s.buf) == 0 {
			// DUMP_REQ's lines end with a zero byte behind the newline.
			return i + 1
		}
		if len(s.buf) == maxLine {
			s.dropLine()
			continue
		}
		s.buf = append(s.buf, x)
	}
	return len(b)
}

func (s *Stream) dropLine() {
	s.facts.Unparsed += int64(len(s.buf)) + 1
	s.reset()
	s.skipLine = true
}

// addLine reads the line that was collected.
func (s *Stream) addLine() {
	skipped := s.skipLine
	s.skipLine = false
	if skipped {
		s.facts.Unparsed++
		s.reset()
		return
	}
	name, dump, ok := parseLine(string(s.buf))
	if !ok {
		s.facts.Unparsed += int64(len(s.buf)) + 1
		s.reset()
		return
	}
	name.At = s.at
	s.facts.Lines++
	if len(s.facts.Names) < maxNames {
		s.facts.Names = append(s.facts.Names, name)
	}
	if dump && s.facts.Lines == 1 {
		s.nowDump()
	}
	s.reset()
}

// nowDump corrects the reply: only its first line tells the reply to DUMP_REQ
// from that to NAMES_REQ.
func (s *Stream) nowDump() {
	n := len(s.facts.Replies)
	if n == 0 || s.facts.Replies[n-1].Op != NamesResp {
		return
	}
	s.facts.Replies[n-1].Op = DumpResp
	if s.facts.Counts[NamesResp]--; s.facts.Counts[NamesResp] == 0 {
		delete(s.facts.Counts, NamesResp)
	}
	s.count(DumpResp)
}

// parseLine reads "name NAME at port P", "active name     <NAME> at port P, fd = F"
// or "old/unused name <NAME>, port = P, fd = F" (epmd_srv.c).
func parseLine(line string) (n Name, dump, ok bool) {
	port := ""
	if rest, is := strings.CutPrefix(line, "name "); is {
		i := strings.LastIndex(rest, " at port ")
		if i < 0 {
			return n, false, false
		}
		n.Name, port = rest[:i], rest[i+len(" at port "):]
	} else {
		rest, active := strings.CutPrefix(line, "active name     <")
		sep := "> at port "
		if !active {
			if rest, n.Former = strings.CutPrefix(line, "old/unused name <"); !n.Former {
				return n, false, false
			}
			sep = ">, port = "
		}
		dump = true
		i := strings.LastIndex(rest, sep)
		if i < 0 {
			return n, dump, false
		}
		n.Name = rest[:i]
		port, _, _ = strings.Cut(rest[i+len(sep):], ",")
	}
	p, err := strconv.ParseUint(port, 10, 16)
	n.Port = uint16(p)
	return n, dump, err == nil && n.Name != "" && len(n.Name) <= maxName
}

// Gap says that n bytes are missing.
func (s *Stream) Gap(_ tcp.Position, n int64) {
	if n <= 0 || s.ended {
		return
	}
	s.facts.Missing += n
	if s.state == inRest && n <= int64(s.remaining) {
		if s.remaining -= int(n); s.remaining == 0 {
			s.state = inMessage
		}
		return
	}
	rest := int64(-1)
	if s.facts.role == Client && s.state == inMessage && len(s.buf) > 2 {
		rest = 2 + int64(binary.BigEndian.Uint16(s.buf)) - int64(len(s.buf))
	}
	s.flush(true)
	switch {
	case s.facts.role == Server:
		// Only lines can be told apart again.
		s.state, s.skipLine = inLines, true
	case n <= rest:
		s.pass(int(rest - n))
	default:
		// A request begins with a packet.
		s.state, s.remaining = inMessage, 0
	}
}

// End says that no more bytes follow.
func (s *Stream) End() {
	if s.ended {
		return
	}
	s.flush(false)
	s.ended = true
}

// flush records what can be said of an unfinished message; cut says that it
// went on.
func (s *Stream) flush(cut bool) {
	b := s.buf
	switch {
	case len(b) == 0:
	case s.state == inLines || s.facts.role == RoleUnknown:
		s.facts.Unparsed += int64(len(b))
	case s.facts.role == Client && len(b) > 2:
		s.addRequest(Request{Op: requestName(b[2]), Code: b[2], Partial: true, At: s.at})
	case s.facts.role == Client:
		s.facts.Unparsed += int64(len(b))
	case b[0] == codePort2Resp || b[0] == codeAlive2Resp || b[0] == codeAlive2XResp:
		s.addReply(parseReply(s.at, b))
	case b[0] != 0 && !cut:
		s.textReply()
	default:
		s.facts.Unparsed += int64(len(b))
	}
	s.reset()
}

// Facts returns what was found until now.
func (s *Stream) Facts() Facts {
	f := s.facts
	f.Requests = slices.Clone(f.Requests)
	f.Replies = slices.Clone(f.Replies)
	f.Names = slices.Clone(f.Names)
	f.Counts = maps.Clone(f.Counts)
	return f
}

func (s *Stream) count(op string) {
	if s.facts.Counts == nil {
		s.facts.Counts = make(map[string]uint64)
	}
	s.facts.Counts[op]++
}

func (s *Stream) addRequest(r Request) {
	s.count(r.Op)
	if len(s.facts.Requests) < maxKept {
		s.facts.Requests = append(s.facts.Requests, r)
	}
}

func (s *Stream) addReply(r Reply) {
	s.count(r.Op)
	if len(s.facts.Replies) < maxKept {
		s.facts.Replies = append(s.facts.Replies, r)
	}
}
