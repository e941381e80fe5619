package dist

import (
	"encoding/binary"

	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// MatchHandshake tells from the first bytes of a direction whether it is a
// distribution handshake in the clear. It says Yes only for what nothing else
// sends: a whole name message of either side with plausible flags and name, or
// a status that is followed by one. A status "ok", "nok" or "alive" alone stays
// Maybe: an EPMD STOP_REQ for a node of that name has the same bytes.
func MatchHandshake(head []byte) wire.Match {
	m, n, f := matchMessage(head)
	if m != wire.Yes || f != formStatus {
		return m
	}
	if len(head) == n {
		if len(head) > len("\x00\x00salive") {
			return wire.Yes
		}
		return wire.Maybe
	}
	m, _, f = matchMessage(head[n:])
	if m == wire.Yes && f != formChallenge {
		return wire.No
	}
	return m
}

// matchMessage looks at the message at the beginning of b: whether it is a
// name message or a status, its length with the prefix, and its form.
func matchMessage(b []byte) (wire.Match, int, form) {
	if len(b) < 3 {
		return matchShort(b), 0, formNone
	}
	length := int(binary.BigEndian.Uint16(b))
	if length == 0 || length > maxHandshake {
		return wire.No, 0, formNone
	}
	body := b[2:]
	whole := len(body) >= length
	if whole {
		body = body[:length]
	}
	switch b[2] {
	case 'N', 'n':
		if !nameMayFollow(length, body) {
			return wire.No, 0, formNone
		}
		if !whole {
			return wire.Maybe, 0, formNone
		}
		l, ok := pickLayout(body, RoleUnknown)
		if !ok || len(l.name)+trailerRoom < length-nameOffset(l) {
			return wire.No, 0, formNone
		}
		return wire.Yes, 2 + length, l.form
	case 's':
		if !statusMayFollow(length, body) {
			return wire.No, 0, formNone
		}
		if !whole {
			return wire.Maybe, 0, formNone
		}
		var h Handshake
		if h.parseStatus(tcp.Position{}, body) != formStatus {
			return wire.No, 0, formNone
		}
		return wire.Yes, 2 + length, formStatus
	}
	return wire.No, 0, formNone
}

// trailerRoom is how many bytes of a later version may follow a name.
const trailerRoom = 256

func nameOffset(l layout) int {
	n := 1 + 8 + 4 + 2
	if l.version == 5 {
		n = 1 + 2 + 4
	}
	if l.form == formChallenge {
		n += 4
	}
	return n
}

func matchShort(b []byte) wire.Match {
	if len(b) > 0 && int(b[0])<<8 > maxHandshake {
		return wire.No
	}
	return wire.Maybe
}

// nameMayFollow checks a name message of the given length of which body is
// there so far, so that a refusal does not wait for its end.
func nameMayFollow(length int, body []byte) bool {
	if body[0] == 'n' {
		if length < 1+2+4+3 || !agrees(body[1:], []byte{0, 5}) {
			return false
		}
		return len(body) < 7 || Flags(binary.BigEndian.Uint32(body[3:])).Has(mandatory)
	}
	if length < 1+8+4+2+1 {
		return false
	}
	if len(body) >= 3 && binary.BigEndian.Uint16(body[1:]) != 0 {
		return false
	}
	return len(body) < 9 || Flags(binary.BigEndian.Uint64(body[1:])).Has(mandatory|FlagHandshake23)
}

func statusMayFollow(length int, body []byte) bool {
	text := body[1:]
	for _, s := range statuses {
		if length == 1+len(s) && agrees(text, []byte(s)) {
			return true
		}
	}
	return length > 1+len(namedStatus) && agrees(text, []byte(namedStatus))
}

// agrees reports whether b and want are equal as far as both go.
func agrees(b, want []byte) bool {
	n := min(len(b), len(want))
	return string(b[:n]) == string(want[:n])
}
