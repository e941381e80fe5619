package decode

import (
	"cmp"
	"net/netip"
	"slices"

	"distproof/capture"
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// A Protocol is what a connection carries.
type Protocol string

// The protocols. The words are part of the report's format.
const (
	// EPMD is the protocol of the Erlang port mapper daemon.
	EPMD Protocol = "epmd"
	// Dist is Erlang distribution in the clear.
	Dist Protocol = "dist"
	// DistTLS is TLS that is shown to carry distribution.
	DistTLS Protocol = "dist-tls"
	// TLS is TLS that is not shown to be distribution.
	TLS Protocol = "tls"
	// Other is anything else.
	Other Protocol = "other"
	// None is a connection without data.
	None Protocol = "none"
)

// What makes a connection distribution, in [Connection.ProtocolBasis].
const (
	ByEPMD        = "epmd"
	ByPort        = "port"
	ByRecordSizes = "record-sizes"
	ByTicks       = "ticks"
	// ByListener: another connection shows that distribution listens there.
	ByListener  = "listener"
	ByHandshake = "handshake"
	// ByDecryption: distribution was read inside TLS.
	ByDecryption = "decryption"
	ByFraming    = "framing"
)

// Indices of a connection's sides.
const (
	Client = 0
	Server = 1
)

// A Connection is what is known of one TCP connection.
type Connection struct {
	// Number is that of the connection, from 1 on, in the order of the first
	// packets.
	Number   uint64
	Protocol Protocol
	// ProtocolBasis says what makes the connection distribution; empty if it is not.
	ProtocolBasis []string
	// Ends are client and server, and RolesBasis says how they were told apart.
	Ends       [2]End
	RolesBasis string
	// FirstFrame is the connection's first packet; First and Last are the
	// times of its first and last, in nanoseconds since 1970.
	FirstFrame  capture.Frame
	First, Last int64
	// Encapsulation lists the ways on which the connection was seen to travel
	// inside VLANs and tunnels, each like "vlan 5, vxlan 1".
	Encapsulation []string
	// TCP has the facts of what client and server sent.
	TCP [2]tcp.Stats
	// TLS is valid iff at least one direction is TLS; nil otherwise.
	TLS *tls.Facts
	// Dist has what client and server sent of distribution in the clear; nil
	// unless InClear.
	Dist *[2]dist.Facts
	// Decrypted has what client and server sent of distribution inside TLS, as
	// far as it was opened with a key log; nil unless IsDecrypted.
	Decrypted *[2]dist.Facts
	// EPMD has the requests and replies; valid iff Protocol is EPMD.
	EPMD *[2]epmd.Facts
	// ResumedFrom is the connection whose full handshake made the session; nil
	// if the session is not resumed or that handshake was not captured.
	ResumedFrom *Connection
	// InClear says that distribution crossed in the clear, IsDecrypted that it was
	// read inside TLS.
	InClear, IsDecrypted bool
	// ToEPMD says that the server is a port mapper, or that its port is one's
	// and nothing tells otherwise.
	ToEPMD bool
	// Disputed says that segments with data came which have no place in the
	// connection: another one has the same addresses and ports, perhaps in
	// another network, or somebody forged them or its end.
	Disputed bool
	// Unidentified says for client and server that bytes crossed of which
	// nothing is known.
	Unidentified [2]bool
	// Ending says whether the capture holds the connection whole, and who
	// closed it. Its roles are those of TCP's client and server.
	Ending tls.Ending
}

// An End is a side of a connection.
type End struct {
	Address netip.AddrPort
	// Node is the name of the node; "" if it is not known. NodeBasis says how
	// it is.
	Node, NodeBasis string
	// Host is the host part of the node's name, if only that is known, and
	// HostBasis how; "" otherwise.
	Host, HostBasis string
	// NodeLength is the length of the node's name in bytes; 0 if unknown.
	NodeLength int
}

// Announced reports whether EPMD or the user named the server's port as one of
// distribution, or another connection shows it.
func (c *Connection) Announced() bool {
	for _, b := range c.ProtocolBasis {
		if b == ByEPMD || b == ByPort || b == ByListener {
			return true
		}
	}
	return false
}

// DecryptedWhole reports whether all was decrypted that both sides sent: only
// then what is not there was not sent.
func (c *Connection) DecryptedWhole() bool {
	return c.IsDecrypted && c.TLS.Opened[Client].Stopped == "" && c.TLS.Opened[Server].Stopped == ""
}

// CookieAccepted reports whether both nodes accepted the other's proof of the
// cookie, as far as their handshake inside TLS was decrypted. The server
// answers a proof that is right with its own; whoever finds one wrong closes.
func (c *Connection) CookieAccepted() fact.Fact {
	const notWhole = "the handshake inside TLS is not whole"
	if !c.IsDecrypted {
		return fact.UnknownBecause(notWhole)
	}
	client, server := &c.Decrypted[Client], &c.Decrypted[Server]
	closed := c.DecryptedWhole() && c.Ending.Whole && c.Ending.ClosedBy != tls.RoleUnknown
	switch {
	case client.Connected && server.Handshake.Ack, server.Connected && client.Connected:
		return fact.YesBy(fact.Decrypted, "both nodes went on after the proofs")
	case client.Handshake.Reply && !server.Handshake.Ack && !server.Connected && closed:
		return fact.NoBy(fact.Decrypted, "closed after the client's proof")
	}
	return fact.UnknownBecause(notWhole)
}

// Start reports how the beginning of both directions is known: false if one of
// them began before the capture.
func (c *Connection) Start() bool {
	return c.TCP[Client].Start != tcp.StartUnknown && c.TCP[Server].Start != tcp.StartUnknown
}

// Closed reports whether either side ended the connection, as far as is known.
func (c *Connection) Closed() bool { return c.Ending.ClosedBy != tls.RoleUnknown }

// Empty reports whether no byte crossed, as far as is known.
func (c *Connection) Empty() bool { return c.TCP[Client].End == 0 && c.TCP[Server].End == 0 }

// A Capture is what is known of all connections, in the order of their first packets.
type Capture struct {
	Connections []*Connection
	Nodes       []*Node
	// Registry is what the port mappers announced.
	Registry Registry
	// LeftOut has what was not used.
	LeftOut LeftOut
	// orders has the numbers of the first segments of Connections, and options
	// what the decoder was told: for a [Follower].
	orders  []uint64
	options Options
}

// Places finds the connections of a capture in it. Those that are asked for in their
// order it finds at once. It is not safe for concurrent use.
type Places struct {
	all []*Connection
	// unnumbered has all if they have no numbers.
	unnumbered map[*Connection]int
	next       int
}

// Places returns what finds the capture's connections.
func (c *Capture) Places() *Places {
	p := &Places{all: c.Connections}
	if len(p.all) == 0 || p.all[0].Number != 0 {
		return p
	}
	p.unnumbered = make(map[*Connection]int, len(p.all))
	for i, x := range p.all {
		p.unnumbered[x] = i
	}
	return p
}

// Of returns the index of one of the capture's connections.
func (p *Places) Of(x *Connection) int {
	at := p.next
	switch {
	case at < len(p.all) && p.all[at] == x:
	case at > 0 && p.all[at-1] == x: // again
		at--
	case x.Number == 0:
		at = p.unnumbered[x]
	default:
		at, _ = slices.BinarySearchFunc(p.all, x.Number, func(c *Connection, n uint64) int { return cmp.Compare(c.Number, n) })
	}
	p.next = at + 1
	return at
}

// Frame names a packet of the capture.
type Frame = capture.Frame
