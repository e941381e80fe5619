package epmd

import (
	"bytes"
	"encoding/binary"

	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// MatchRequest tells from the first bytes of a direction whether it carries an
// EPMD request. Only ALIVE2_REQ has enough fields to say Yes; the other requests are
// a length, a letter and at most a name, and stay Maybe.
func MatchRequest(head []byte) wire.Match {
	if len(head) < 3 {
		return matchLength(head)
	}
	length := int(binary.BigEndian.Uint16(head))
	if length == 0 || length > maxBody {
		return wire.No
	}
	body := head[2:]
	if len(body) > length {
		// A client waits for the reply, and then has nothing more to say.
		return wire.No
	}
	op := requestName(body[0])
	if op == Unknown {
		return wire.No
	}
	if len(body) < length {
		return wire.Maybe
	}
	r := parseRequest(tcp.Position{}, body)
	switch {
	case r.Partial:
		return wire.No
	case op == Alive2Req && r.Node.plausible():
		return wire.Yes
	case op == Alive2Req:
		return wire.No
	case (op == PortPlease2Req || op == StopReq) && !plausibleName(r.Node.Name):
		return wire.No
	}
	return wire.Maybe
}

func matchLength(b []byte) wire.Match {
	if len(b) > 0 && int(b[0])<<8 > maxBody {
		return wire.No
	}
	return wire.Maybe
}

// MatchReply tells from the first bytes of a direction whether it carries an
// EPMD reply: Yes for a PORT2_RESP that names a node, and for a text whose
// first line does. Results alone stay Maybe.
func MatchReply(head []byte) wire.Match {
	if len(head) == 0 {
		return wire.Maybe
	}
	s := Stream{buf: head}
	want := s.replyLength()
	switch head[0] {
	case codePort2Resp, codeAlive2Resp, codeAlive2XResp:
		if len(head) < want {
			return wire.Maybe
		}
		if len(head) > want {
			return wire.No
		}
		r := parseReply(tcp.Position{}, head)
		switch {
		case r.Partial:
			return wire.No
		case r.Op != Port2Resp || r.Result != 0:
			return wire.Maybe
		case r.Node.plausible():
			return wire.Yes
		}
		return wire.No
	case 0:
		return matchText(head)
	}
	return wire.No
}

// matchText looks for EPMD's port and a first line.
func matchText(head []byte) wire.Match {
	if len(head) >= 2 && head[1] != 0 { // a port has 16 bits
		return wire.No
	}
	if len(head) < 4 {
		return wire.Maybe
	}
	if head[2] == 0 && head[3] == 0 { // nor is it 0; distribution's ticks are
		return wire.No
	}
	line, _, whole := bytes.Cut(head[4:], []byte("\n"))
	if !whole {
		if len(line) > maxLine || !beginsLine(line) {
			return wire.No
		}
		return wire.Maybe
	}
	n, _, ok := parseLine(string(line))
	if !ok || !plausibleName(n.Name) {
		return wire.No
	}
	return wire.Yes
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
