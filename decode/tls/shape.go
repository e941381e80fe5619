package tls

import "slices"

// A Stage is how far the distribution handshake got.
type Stage uint8

// The stages (OTP erl_dist_protocol, "Distribution Handshake").
const (
	StageNone Stage = iota
	// StageName: the client sent its name.
	StageName
	// StageStatus: the server sent a status other than a refusal.
	StageStatus
	// StageChallenge: the server sent its name and challenge.
	StageChallenge
	// StageReply: the client answered the challenge.
	StageReply
	// StageAck: the server confirmed; the connection is up.
	StageAck
)

// A Shape is what the record lengths of a distribution handshake inside TLS
// tell. There each message is a record of its own, framed with four bytes
// (OTP inet_tls_dist, {packet, 4}).
type Shape struct {
	Stage Stage
	// Refused: the status was one of a refusal (nok, not_allowed).
	Refused bool
	// Crossed: that status was nok, since both nodes dialled at once (OTP
	// erl_dist_protocol); valid iff Refused and Exact.
	Crossed bool
	// Named: the status gave the client, which had sent only its host, a name
	// (DFLAG_NAME_ME). That is one exact length less: no proof of distribution.
	Named bool
	// Exact says that lengths tell plaintexts exactly (no block cipher).
	Exact bool
	// ClientName and ServerName are the lengths of the node names in bytes;
	// valid from StageName and StageChallenge, iff Exact.
	ClientName, ServerName int
	// More says that the server sent more than its messages until Stage, and an alert:
	// it went on in a way that lengths do not tell. Not valid at StageAck.
	More bool
	// last: nothing came behind the client's reply but an alert of each side.
	last bool
}

// Lengths of the messages with their four bytes of framing; a name's length
// comes on top.
const (
	lengthSendName   = 4 + 1 + 8 + 4 + 2
	lengthStatusOK   = 4 + 3
	lengthNok        = 4 + 4
	lengthChallenge  = 4 + 1 + 8 + 4 + 4 + 2
	lengthReply      = 4 + 1 + 4 + 16
	lengthAck        = 4 + 1 + 16
	lengthNamed      = 4 + 1 + 6 + 2 + 4 // "named:", without the name
	lengthComplement = 4 + 1 + 4 + 4
	oldNameLess      = 8    // the old form of a client's name is that much shorter
	minNodeName      = 3    // a@b
	maxNodeName      = 1024 // 255 characters of UTF-8, and some
)

// statusLengths are the statuses that let the handshake go on: ok,
// ok_simultaneous, alive. statusRefusals: nok, not_allowed.
var (
	statusLengths  = []int{lengthStatusOK, 4 + 16, 4 + 6}
	statusRefusals = []int{lengthNok, 4 + 12}
)

// maxTickets is the number of session tickets that may come before the
// server's first application data.
const maxTickets = 4

// shape reads the distribution handshake off the application records of both
// directions. It is a dialogue: each side waits for the other's message before
// it sends its own, which tells it from requests and answers of the same sizes.
func shape(v Version, suite Suite, client, server []Record) Shape {
	out, rest := stages(v, suite, client, server)
	alert, _ := sealedLength(v, suite, lengthAlert)
	out.More = len(rest) > 1 || len(rest) == 1 && rest[0].Length != alert
	return out
}

// stages is shape but for More, and returns the server's records behind the messages
// that it found; none at StageAck.
func stages(v Version, suite Suite, client, server []Record) (out Shape, rest []Record) {
	zero, exact := sealedLength(v, suite, 0)
	if zero == 0 || len(client) == 0 {
		return Shape{}, server
	}
	is := func(r Record, n int) bool {
		length, _ := sealedLength(v, suite, n)
		return r.Length == length
	}
	isOne := func(r Record, ns []int) bool {
		for _, n := range ns {
			if is(r, n) {
				return true
			}
		}
		return false
	}
	out = Shape{Exact: exact, ClientName: client[0].Length - zero - lengthSendName}
	if exact && (out.ClientName < 1 || out.ClientName > maxNodeName) {
		return Shape{}, server
	}
	out.Stage = StageName
	isStatus := func(r Record) bool { return isOne(r, statusLengths) || isOne(r, statusRefusals) }
	if i := slices.IndexFunc(server, isStatus); v.Is13() && i > 0 && i <= maxTickets {
		server = server[i:]
	}
	if len(server) == 0 || !sentAfter(server[0], client[0]) {
		return out, server
	}
	given := server[0].Length - zero - lengthNamed
	if exact && !isStatus(server[0]) && given >= out.ClientName+len("x@") && given <= maxNodeName {
		// The client sent only its host, and gets a name.
		out.ClientName, out.Named = given, true
	}
	switch {
	case out.Named:
	case exact && !plausibleName(out.ClientName):
		return Shape{}, server
	case !isOne(server[0], statusLengths):
		if out.Refused = isOne(server[0], statusRefusals); out.Refused {
			out.Crossed = exact && is(server[0], lengthNok)
			server = server[1:]
		}
		return out, server
	}
	out.Stage = StageStatus
	if len(server) < 2 {
		return out, server[1:]
	}
	out.ServerName = server[1].Length - zero - lengthChallenge
	if exact && !plausibleName(out.ServerName) {
		return out, server[1:]
	}
	out.Stage = StageChallenge
	// Between its name and its reply the client may answer the status "alive"
	// and send the complement of an old-style name.
	reply := 1
	for reply < len(client) && reply < 3 && !is(client[reply], lengthReply) &&
		isOne(client[reply], []int{4 + 5, 4 + 6, lengthComplement}) {
		reply++
	}
	if reply >= len(client) || !is(client[reply], lengthReply) || !sentAfter(client[reply], server[1]) {
		return out, server[2:]
	}
	if is(client[reply-1], lengthComplement) {
		out.ClientName += oldNameLess
	}
	out.Stage = StageReply
	if len(server) > 2 && is(server[2], lengthAck) && sentAfter(server[2], client[reply]) {
		out.Stage = StageAck
	}
	alert := func(r []Record) bool { return len(r) == 0 || len(r) == 1 && is(r[0], lengthAlert) }
	out.last = alert(server[2:]) && alert(client[reply+1:])
	if out.Stage == StageAck {
		return out, nil
	}
	return out, server[2:]
}

func plausibleName(n int) bool { return n >= minNodeName && n <= maxNodeName }

// distribution reports whether the shape shows distribution beyond doubt. The
// whole exchange has three exact lengths in a fixed order. Short of the server's
// confirmation (a wrong cookie) nothing may follow, and the server's name must
// have room for the host that the client asked for.
func (s Shape) distribution(serverName string, closed bool) bool {
	if !s.Exact || s.Named || serverName != "" && s.Stage >= StageChallenge && s.ServerName < len(serverName)+2 {
		return false
	}
	return s.Stage == StageAck || s.Stage == StageReply && s.last && closed && serverName != ""
}
