package dist

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"distproof/decode/dist/term"
	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// A Handshake is what one side said in its handshake. The zero value of a
// field means that it was not seen.
type Handshake struct {
	// Version is 5 or 6, by the form of the name message ('n' or 'N').
	Version int
	// Name is the node's name, "name@host", or only the host if NameIsHost.
	// It is empty if RawName is not valid UTF-8. It may hold anything that is,
	// so escape it before printing.
	Name    string
	RawName []byte
	// NameIsHost says that the node asked its peer for a name.
	NameIsHost bool
	// Flags are valid if Version is not 0. Handshake version 5 has only the
	// lower 32; a complement message adds the others.
	Flags Flags
	// Creation is the incarnation of the node; 0 if it was not told.
	Creation uint32
	// NameAt is where the name message began.
	NameAt tcp.Position

	// Status is the server's answer to the name: "ok", "ok_simultaneous",
	// "nok", "not_allowed", "alive" or "named".
	Status string
	// GivenName and GivenCreation are valid if Status is "named".
	GivenName     string
	GivenCreation uint32
	StatusAt      tcp.Position
	// StatusReply is the client's answer to "alive": "true" or "false".
	StatusReply string

	// Complement says that the client sent its upper flags and its creation
	// after a name message of version 5.
	Complement bool

	// Challenge is the number that the peer has to hash with its cookie; valid
	// if Challenged. The server sends it with its name, the client with its reply.
	Challenge  uint32
	Challenged bool
	// Digest is MD5 of the cookie and the peer's challenge: whoever reads it
	// can try cookies offline. Valid if Proved.
	Digest   [16]byte
	Proved   bool
	DigestAt tcp.Position
	// Reply and Ack say which of the two messages carried the digest, also if
	// only its beginning was captured.
	Reply, Ack bool
}

// form is the kind of a handshake message.
type form uint8

const (
	formNone form = iota
	formSendName
	formChallenge
	formStatus
	formStatusReply
	formComplement
	formReply
	formAck
)

// role returns the side that sends messages of form f.
func (f form) role() Role {
	switch f {
	case formSendName, formStatusReply, formComplement, formReply:
		return Client
	case formChallenge, formStatus, formAck:
		return Server
	}
	return RoleUnknown
}

func (f form) String() string {
	return [...]string{"", "send_name", "challenge", "status", "status reply", "complement", "reply", "ack"}[f]
}

// Payload lengths of messages of fixed length ("Distribution Handshake").
const (
	complementLength = 1 + 4 + 4
	replyLength      = 1 + 4 + 16
	ackLength        = 1 + 16
	// maxHandshake bounds a message: the longest name and as much of what a
	// later version may append.
	maxHandshake = 4096
)

// statuses are the answers to a name message; "named:" has a tail.
var statuses = []string{"ok", "ok_simultaneous", "nok", "not_allowed", "alive"}

const namedStatus = "named:"

// parse reads one handshake message into h and returns its form; formNone
// means that it is not a handshake message that a node of the given role
// sends. If the role is not known yet, the layout decides.
func (h *Handshake) parse(at tcp.Position, b []byte, role Role) form {
	if len(b) == 0 {
		return formNone
	}
	f := formNone
	switch b[0] {
	case 'N', 'n':
		f = h.parseName(b, role)
		if f != formNone {
			h.NameAt = at
		}
	case 's':
		f = h.parseStatus(at, b)
	case 'c':
		f = h.parseComplement(b)
	case 'r':
		if len(b) == replyLength {
			h.Challenge, h.Challenged = binary.BigEndian.Uint32(b[1:]), true
			h.Digest, h.Proved, h.DigestAt, h.Reply = [16]byte(b[5:]), true, at, true
			f = formReply
		}
	case 'a':
		if len(b) == ackLength {
			h.Digest, h.Proved, h.DigestAt, h.Ack = [16]byte(b[1:]), true, at, true
			f = formAck
		}
	}
	if role != RoleUnknown && f.role() != role {
		return formNone
	}
	return f
}

func (h *Handshake) parseComplement(b []byte) form {
	c := wire.NewCursor(b[1:])
	high, creation := c.Uint32("high flags"), c.Uint32("creation")
	c.End("complement")
	if c.Err() != nil {
		return formNone
	}
	h.Flags |= Flags(high) << 32
	h.Creation, h.Complement = creation, true
	return formComplement
}

func (h *Handshake) parseStatus(at tcp.Position, b []byte) form {
	text := string(b[1:])
	if text == "true" || text == "false" {
		h.StatusReply = text
		return formStatusReply
	}
	for _, s := range statuses {
		if text == s {
			h.Status, h.StatusAt = s, at
			return formStatus
		}
	}
	if !strings.HasPrefix(text, namedStatus) {
		return formNone
	}
	c := wire.NewCursor(b[1+len(namedStatus):])
	name := c.Vector16("name")
	raw := name.Rest()
	creation := c.Uint32("creation")
	if c.Err() != nil || !nodeName(raw) || !utf8.Valid(raw) {
		return formNone
	}
	h.Status, h.StatusAt = "named", at
	h.GivenName, h.GivenCreation = string(raw), creation
	return formStatus
}

// A layout is one reading of a name message.
type layout struct {
	form      form
	version   int
	flags     Flags
	challenge uint32
	creation  uint32
	name      []byte
	exact     bool // no bytes follow the name
}

// parseName reads a name message. The client's and the server's differ only by
// the challenge in the latter. With the role unknown, the one reading that
// makes sense is taken, and none if both do.
func (h *Handshake) parseName(b []byte, role Role) form {
	l, ok := pickLayout(b, role)
	if !ok {
		return formNone
	}
	h.Version, h.Flags, h.Creation = l.version, l.flags, l.creation
	h.RawName = append([]byte(nil), l.name...)
	h.NameIsHost = l.form == formSendName && l.flags.Has(FlagNameMe)
	if utf8.Valid(l.name) {
		h.Name = string(l.name)
	}
	if l.form == formChallenge {
		h.Challenge, h.Challenged = l.challenge, true
	}
	return l.form
}

func pickLayout(b []byte, role Role) (layout, bool) {
	client, okC := readName(b, formSendName)
	server, okS := readName(b, formChallenge)
	switch role {
	case Client:
		return client, okC
	case Server:
		return server, okS
	}
	okC = okC && client.plausible()
	okS = okS && server.plausible()
	if okC && okS && client.exact != server.exact {
		okC, okS = client.exact, server.exact
	}
	switch {
	case okC && !okS:
		return client, true
	case okS && !okC:
		return server, true
	}
	return layout{}, false
}

// readName reads a name message as the given form.
func readName(b []byte, f form) (layout, bool) {
	c := wire.NewCursor(b)
	l := layout{form: f}
	switch c.Uint8("tag") {
	case 'N':
		l.version = 6
		l.flags = Flags(c.Uint64("flags"))
		if f == formChallenge {
			l.challenge = c.Uint32("challenge")
		}
		l.creation = c.Uint32("creation")
		name := c.Vector16("name")
		l.name = name.Rest()
		l.exact = c.Len() == 0
	case 'n':
		l.version = 5
		if c.Uint16("version") != 5 {
			return l, false
		}
		l.flags = Flags(c.Uint32("flags"))
		if f == formChallenge {
			l.challenge = c.Uint32("challenge")
		}
		l.name = c.Rest()
		l.exact = true
	default:
		return l, false
	}
	return l, c.Err() == nil && len(l.name) > 0 && len(l.name) <= term.MaxAtom
}

// mandatory are flags without which no node has been let in since long before
// handshake version 6.
const mandatory = FlagExtendedReferences | FlagExtendedPidsPorts

// definedFlags are the bits in which a flag may reasonably appear: 38 is the
// highest of OTP 29, and there is some room.
const definedFlags = 1<<48 - 1

// plausible reports whether l looks like what a node sends, not only like the
// right number of bytes.
func (l layout) plausible() bool {
	if !l.flags.Has(mandatory) || l.flags&^definedFlags != 0 {
		return false
	}
	if l.version == 6 && !l.flags.Has(FlagHandshake23) {
		return false
	}
	if l.form == formSendName && l.flags.Has(FlagNameMe) && l.creation == 0 {
		return printable(l.name)
	}
	return nodeName(l.name)
}

// nodeName reports whether b is "name@host" in visible characters.
func nodeName(b []byte) bool {
	name, host, ok := strings.Cut(string(b), "@")
	return ok && name != "" && host != "" && !strings.Contains(host, "@") && len(b) <= term.MaxAtom && printable(b)
}

// printable reports whether b is UTF-8 or Latin-1 of visible characters. OTP
// takes host names in Latin-1 (net_kernel:validate_hostname/1).
func printable(b []byte) bool {
	runes := []rune(string(b))
	if !utf8.Valid(b) {
		runes = runes[:0]
		for _, c := range b {
			runes = append(runes, rune(c))
		}
	}
	for _, r := range runes {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return len(b) > 0
}
