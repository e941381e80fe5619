package epmd

import (
	"bytes"
	"encoding/binary"

	"distproof/decode/tcp"
)

// Match says whether bytes are the beginning of EPMD's protocol.
type Match uint8

// The matches.
const (
	// No: they are not.
	No Match = iota
	// Maybe: they may be, but are too few, or too ordinary, to prove it. The
	// opposite direction may.
	Maybe
	// Yes: they are.
	Yes
)

func (m Match) String() string { return [...]string{"no", "maybe", "yes"}[m] }

// MatchRequest tells from the first bytes of a direction whether it carries an
// EPMD request. Only ALIVE2_REQ has enough fields to say Yes; the other requests are
// a length, a letter and at most a name, and stay Maybe.
func MatchRequest(head []byte) Match {
	if len(head) < 3 {
		return matchLength(head)
	}
	length := int(binary.BigEndian.Uint16(head))
	if length == 0 || length > maxBody {
		return No
	}
	body := head[2:]
	if len(body) > length {
		// A client waits for the reply, and then has nothing more to say.
		return No
	}
	op := requestName(body[0])
	if op == Unknown {
		return No
	}
	if len(body) < length {
		return Maybe
	}
	r := parseRequest(tcp.Position{}, body)
	switch {
	case r.Partial:
		return No
	case op == Alive2Req && r.Node.plausible():
		return Yes
	case op == Alive2Req:
		return No
	case (op == PortPlease2Req || op == StopReq) && !plausibleName(r.Node.Name):
		return No
	}
	return Maybe
}

func matchLength(b []byte) Match {
	if len(b) > 0 && int(b[0])<<8 > maxBody {
		return No
	}
	return Maybe
}

// MatchReply tells from the first bytes of a direction whether it carries an
// EPMD reply: Yes for a PORT2_RESP that names a node, and for a text whose
// first line does. Results alone stay Maybe.
func MatchReply(head []byte) Match {
	if len(head) == 0 {
		return Maybe
	}
	s := Stream{buf: head}
	want := s.replyLength()
	switch head[0] {
	case codePort2Resp, codeAlive2Resp, codeAlive2XResp:
		if len(head) < want {
			return Maybe
		}
		if len(head) > want {
			return No
		}
		r := parseReply(tcp.Position{}, head)
		switch {
		case r.Partial:
			return No
		case r.Op != Port2Resp || r.Result != 0:
			return Maybe
		case r.Node.plausible():
			return Yes
		}
		return No
	case 0:
		return matchText(head)
	}
	return No
}

// matchText looks for EPMD's port and a first line.
func matchText(head []byte) Match {
	if len(head) >= 2 && head[1] != 0 { // a port has 16 bits
		return No
	}
	if len(head) < 4 {
		return Maybe
	}
	if head[2] == 0 && head[3] == 0 { // nor is it 0; distribution's ticks are
		return No
	}
	line, _, whole := bytes.Cut(head[4:], []byte("\n"))
	if !whole {
		if len(line) > maxLine || !beginsLine(line) {
			return No
		}
		return Maybe
	}
	n, _, ok := parseLine(string(line))
	if !ok || !plausibleName(n.Name) {
		return No
	}
	return Yes
}

// beginsLine reports whether a line that begins with b may be one of EPMD's.
func beginsLine(b []byte) bool {
	for _, want := range []string{"name ", "active name     <", "old/unused name <"} {
		n := min(len(b), len(want))
		if string(b[:n]) == want[:n] {
			return true
		}
	}
	return false
}
