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
	x := exchange{version: v, suite: suite, client: client, server: server}
	if !(x.name() && x.status() && x.challenge() && x.reply() && x.ack()) {
		x.shape.More = !x.alertAtMost(x.server)
	}
	return x.shape
}

// An exchange is that dialogue while it is read: the records behind what was read, and
// its shape so far. Each message has a method that takes it out, and reports whether
// the next one may follow.
type exchange struct {
	version        Version
	suite          Suite
	client, server []Record
	// said is the last message that was taken out.
	said  Record
	shape Shape
}

// is reports whether r has n bytes in it.
func (x *exchange) is(r Record, n int) bool {
	length, _ := sealedLength(x.version, x.suite, n)
	return r.Length == length
}

// isOne reports whether the number of bytes in r is one of ns.
func (x *exchange) isOne(r Record, ns []int) bool {
	return slices.ContainsFunc(ns, func(n int) bool { return x.is(r, n) })
}

// beyond returns how many more bytes than n are in r.
func (x *exchange) beyond(r Record, n int) int {
	none, _ := sealedLength(x.version, x.suite, 0)
	return r.Length - none - n
}

// fromClient and fromServer take out the next message.
func (x *exchange) fromClient() { x.said, x.client = x.client[0], x.client[1:] }
func (x *exchange) fromServer() { x.said, x.server = x.server[0], x.server[1:] }

// answered reports whether there are records, and the first of them was sent after the
// last message.
func (x *exchange) answered(records []Record) bool {
	return len(records) > 0 && sentAfter(records[0], x.said)
}

// name reads the client's name.
func (x *exchange) name() bool {
	none, exact := sealedLength(x.version, x.suite, 0)
	if none == 0 || len(x.client) == 0 {
		return false
	}
	x.fromClient()
	length := x.beyond(x.said, lengthSendName)
	if exact && (length < 1 || length > maxNodeName) {
		return false
	}
	x.shape = Shape{Stage: StageName, Exact: exact, ClientName: length}
	return true
}

// status reads the server's status.
func (x *exchange) status() bool {
	out := &x.shape
	isStatus := func(r Record) bool { return x.isOne(r, statusLengths) || x.isOne(r, statusRefusals) }
	if i := slices.IndexFunc(x.server, isStatus); x.version.Is13() && i > 0 && i <= maxTickets {
		x.server = x.server[i:]
	}
	if !x.answered(x.server) {
		return false
	}
	first := x.server[0]
	given := x.beyond(first, lengthNamed)
	if out.Exact && !isStatus(first) && given >= out.ClientName+len("x@") && given <= maxNodeName {
		// The client sent only its host, and gets a name.
		out.ClientName, out.Named = given, true
	}
	switch {
	case out.Named:
	case out.Exact && !plausibleName(out.ClientName):
		*out = Shape{}
		return false
	case x.isOne(first, statusLengths):
	case x.isOne(first, statusRefusals):
		out.Refused, out.Crossed = true, out.Exact && x.is(first, lengthNok)
		x.fromServer()
		return false
	default:
		return false
	}
	out.Stage = StageStatus
	x.fromServer()
	return true
}

// challenge reads the server's name and challenge.
func (x *exchange) challenge() bool {
	out := &x.shape
	if len(x.server) == 0 {
		return false
	}
	out.ServerName = x.beyond(x.server[0], lengthChallenge)
	if out.Exact && !plausibleName(out.ServerName) {
		return false
	}
	out.Stage = StageChallenge
	x.fromServer()
	return true
}

// reply reads the client's answer to the challenge. Before it, the client may answer
// the status "alive" and send the complement of an old-style name.
func (x *exchange) reply() bool {
	n := 0
	for n < len(x.client) && n < 2 && !x.is(x.client[n], lengthReply) && x.isOne(x.client[n], []int{4 + 5, 4 + 6, lengthComplement}) {
		n++
	}
	before, rest := x.client[:n], x.client[n:]
	if !x.answered(rest) || !x.is(rest[0], lengthReply) {
		return false
	}
	if n > 0 && x.is(before[n-1], lengthComplement) {
		x.shape.ClientName += oldNameLess
	}
	x.shape.Stage = StageReply
	x.client = rest
	x.fromClient()
	return true
}

// ack reads the server's confirmation.
func (x *exchange) ack() bool {
	x.shape.last = x.alertAtMost(x.server) && x.alertAtMost(x.client)
	if !x.answered(x.server) || !x.is(x.server[0], lengthAck) {
		return false
	}
	x.shape.Stage = StageAck
	return true
}

// alertAtMost reports whether there is nothing but an alert, if anything.
func (x *exchange) alertAtMost(records []Record) bool {
	return len(records) == 0 || len(records) == 1 && x.is(records[0], lengthAlert)
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
