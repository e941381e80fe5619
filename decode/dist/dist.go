// Package dist decodes the Erlang distribution protocol where it crosses the
// network in the clear: the handshake with its 2-byte length prefix, and after
// it the messages and ticks with their 4-byte one.
//
// A [Stream] decodes one direction of a connection and knows nothing of the
// other, so that what it finds does not depend on how a capture interleaved
// the two, nor on whether both were captured. It takes bytes in pieces of any
// size, holds at most a few kilobytes of them, and survives gaps.
//
// # What is decoded
//
// Of the handshake everything. Of a message the control part: its operation,
// the registered name it is sent to, the function it spawns. Of the payload only
// its head, and that only where it says what the receiver is made to run: calls
// by rpc and erpc, and requests to OTP's own servers. Atoms that stand in a cache
// are known if their entry was seen, and unknown otherwise. Payloads are counted
// and passed over, and kept only if [Options.Payload] asks for it.
//
// Where a message ends is decided by its length alone. What is in it, however
// deep, large or wrong, changes neither that nor the memory that is used.
//
// Sources: OTP erl_dist_protocol and OTP erl_ext_dist (erts user's guide), and
// lib/kernel/src/dist_util.erl, erts/emulator/beam/dist.c and external.c where
// these are wrong.
package dist

// Flags are the capabilities that a node states in its handshake
// (lib/kernel/include/dist.hrl).
type Flags uint64

// The flags that the decoder, or a judgement, needs.
const (
	FlagPublished          Flags = 1 << 0
	FlagExtendedReferences Flags = 1 << 2
	FlagExtendedPidsPorts  Flags = 1 << 8
	FlagDistHdrAtomCache   Flags = 1 << 13
	FlagFragments          Flags = 1 << 23
	FlagHandshake23        Flags = 1 << 24
	// FlagMandatory25 is bit 26 on the wire; OTP's documentation says 36.
	FlagMandatory25 Flags = 1 << 26
	FlagSpawn       Flags = 1 << 32
	// FlagNameMe asks the peer to give this node its name: the name field
	// then holds only a host.
	FlagNameMe        Flags = 1 << 33
	FlagAlias         Flags = 1 << 35
	FlagAltActSig     Flags = 1 << 37
	FlagNativeRecords Flags = 1 << 38
)

// Has reports whether all of g are set in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

// Hidden reports whether the node does not publish itself to the cluster:
// remote shells, command-line tools and C nodes do so.
func (f Flags) Hidden() bool { return !f.Has(FlagPublished) }

// AtLeast returns the oldest OTP release whose nodes set these flags, 0 if
// they tell nothing. Other implementations may set them as they like.
func (f Flags) AtLeast() int {
	switch {
	case f.Has(FlagNativeRecords):
		return 29
	case f.Has(FlagAltActSig):
		return 28
	case f.Has(FlagMandatory25):
		return 25
	case f.Has(FlagAlias):
		return 24
	case f.Has(FlagSpawn), f.Has(FlagHandshake23):
		return 23
	}
	return 0
}

// Role says which side of the handshake a direction is.
type Role uint8

// The roles.
const (
	RoleUnknown Role = iota
	// Client is the node that dialled.
	Client
	// Server is the node that was dialled.
	Server
)

func (r Role) String() string { return [...]string{"unknown", "client", "server"}[r] }

// Unknown is the name under which messages are counted whose operation was
// not understood, or not captured.
const Unknown = "unknown"

// An operation is the first element of a control tuple.
type operation struct {
	name  string
	arity int // of the tuple, the operation included
	// payload says that a term follows the tuple.
	payload bool
}

// operations are those of OTP erl_dist_protocol, "Protocol between Connected
// Nodes". Operation 37 is of OTP 28; its trace token is optional. There is no
// operation 0.
var operations = [...]operation{
	0:  {name: Unknown},
	1:  {name: "LINK", arity: 3},
	2:  {"SEND", 3, true},
	3:  {name: "EXIT", arity: 4},
	4:  {name: "UNLINK", arity: 3},
	5:  {name: "NODE_LINK", arity: 1},
	6:  {"REG_SEND", 4, true},
	7:  {name: "GROUP_LEADER", arity: 3},
	8:  {name: "EXIT2", arity: 4},
	12: {"SEND_TT", 4, true},
	13: {name: "EXIT_TT", arity: 5},
	16: {"REG_SEND_TT", 5, true},
	18: {name: "EXIT2_TT", arity: 5},
	19: {name: "MONITOR_P", arity: 4},
	20: {name: "DEMONITOR_P", arity: 4},
	21: {name: "MONITOR_P_EXIT", arity: 5},
	22: {"SEND_SENDER", 3, true},
	23: {"SEND_SENDER_TT", 4, true},
	24: {"PAYLOAD_EXIT", 3, true},
	25: {"PAYLOAD_EXIT_TT", 4, true},
	26: {"PAYLOAD_EXIT2", 3, true},
	27: {"PAYLOAD_EXIT2_TT", 4, true},
	28: {"PAYLOAD_MONITOR_P_EXIT", 4, true},
	29: {"SPAWN_REQUEST", 6, true},
	30: {"SPAWN_REQUEST_TT", 7, true},
	31: {name: "SPAWN_REPLY", arity: 5},
	32: {name: "SPAWN_REPLY_TT", arity: 6},
	33: {"ALIAS_SEND", 3, true},
	34: {"ALIAS_SEND_TT", 4, true},
	35: {name: "UNLINK_ID", arity: 4},
	36: {name: "UNLINK_ID_ACK", arity: 4},
	37: {"ALTACT_SIG_SEND", 4, true},
}

// known reports whether there is an operation op that comes in a tuple of this
// arity.
func known(op, arity int) bool {
	if op <= 0 || op >= len(operations) || operations[op].name == "" {
		return false
	}
	return operations[op].arity == arity || op == opAltActSigSend && arity == operations[op].arity+1
}

// Operations whose tuples are read further.
const (
	opRegSend        = 6
	opRegSendTT      = 16
	opSpawnRequest   = 29
	opSpawnRequestTT = 30
	opAltActSigSend  = 37
)

// altActName is the flag of ALTACT_SIG_SEND that says that its receiver is
// given by name (erts/emulator/beam/dist.h, ERTS_DOP_ALTACT_SIG_FLG_NAME).
const altActName = 1 << 3
