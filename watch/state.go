// Package watch follows the connections of a network for as long as it runs. It
// keeps the current facts of all connections that are open, what is left of those
// that are closed, and says what changes.
//
// An [Engine] takes packets and publishes a [State] after changes, never more
// often than it can afford. A State is not changed any more: what shows it, serves
// it or saves evidence for it reads it at leisure.
package watch

import (
	"time"

	"distproof/capture"
	"distproof/capture/live"
	"distproof/report"
)

// A State is what is known at a moment.
type State struct {
	// Started is when the watch began, and At the moment of the State, by the
	// clock of this host.
	Started, At time.Time
	// Number counts the States, from 1.
	Number uint64
	// Document is the report on all that is remembered: what verify would say of
	// it, with the same ids for the same connections as in the States before.
	Document *report.Document
	// Activity says for each connection of Document, in its order, what a report
	// does not: how it does now.
	Activity []Activity
	// Known are the connections between programs of Erlang that the kernel has
	// and of which no data was captured so far.
	Known []live.Socket
	// Listeners are the sockets on which programs of Erlang take connections.
	Listeners []live.Socket
	// History counts what is over and folded: see [Folded].
	History []Folded
	Counters
}

// Activity is how a connection does.
type Activity struct {
	// Open says that neither side closed, as far as is known, and Gone that one
	// did of which nothing was captured: the kernel of this host had its socket,
	// and has it no more.
	Open, Gone bool
	// Last is when its last packet came, by the capture's clock.
	Last time.Time
	// Rate is the bytes a second of both directions since the State before.
	Rate float64
	// Ticks says that ticks of both sides were seen, and Stalled that none came
	// for longer than net_ticktime allows: for TLS an inference from sizes and
	// spacing.
	Ticks, Stalled bool
	// Lost counts bytes that were not captured.
	Lost uint64
	// Process has the connection open on this host; zero if that is not known.
	Process live.Process
}

// Folded counts the connections of an edge that are over, and that are not in the
// document any more. The first and the last with each verdict and set of findings
// stay in the document.
type Folded struct {
	// Client is the client's address, Server that of the server's listener.
	Client, Server string
	// ClientNode and ServerNode are empty if not known.
	ClientNode, ServerNode string
	// Verdict is empty for what is not distribution.
	Verdict     string
	Connections uint64
	Bytes       uint64
	First, Last time.Time
}

// Counters are what the watch is doing.
type Counters struct {
	// Packets and Bytes were captured; Dropped were lost by the kernel.
	Packets, Bytes, Dropped uint64
	// LastPacket is when the last packet came; zero if none did.
	LastPacket time.Time
	// Interfaces are those captured on.
	Interfaces []live.InterfaceState
	// Connections counts those ever seen, Folded those that are only counted.
	Connections, Folded uint64
	// Forgotten counts connections that were given up for lack of memory.
	Forgotten uint64
	// Blind says why nothing is seen although the kernel has traffic; empty if
	// that is not so.
	Blind string
	// Policy is the name of the policy in force, and PolicyError why the one that
	// was to replace it was refused; empty if it was not.
	Policy, PolicyError string
}

// The kinds of an [Event]. The words are part of the format.
const (
	// EventStarted and EventStopped frame a watch.
	EventStarted = "started"
	EventStopped = "stopped"
	// EventKnown: the kernel has a connection that may be between nodes, and of
	// which no data was captured so far; Socket says which.
	EventKnown = "known"
	// EventOpened: a connection is new that is, or may be, between nodes.
	EventOpened = "opened"
	// EventChanged: something is known of it that was not, or not so.
	EventChanged = "changed"
	// EventVerdict: its verdict is another; Before has what it was.
	EventVerdict = "verdict"
	// EventClosed: it is over.
	EventClosed = "closed"
	// EventRepeated: further attempts to connect came to nothing in the same way as
	// one that was told; Repeated counts them, and Connection is the last of them.
	EventRepeated = "repeated"
	// EventEPMD: a port mapper was asked.
	EventEPMD = "epmd"
	// EventFinding: a rule is broken, or not shown to be kept; EventResolved: a
	// finding holds no more.
	EventFinding  = "finding"
	EventResolved = "resolved"
	// EventStalled: a connection stopped ticking; EventTicking: it does again.
	EventStalled = "stalled"
	EventTicking = "ticking"
	// EventLoss: the kernel lost packets; EventInterface: one came, went, or
	// changed its state; EventBlind: nothing is seen although there is traffic.
	EventLoss      = "loss"
	EventInterface = "interface"
	EventBlind     = "blind"
	// EventPolicy: the policy was read anew, or refused.
	EventPolicy = "policy"
	// EventOmitted: of connections that are not remembered any more, something was
	// not told, because the output took no more.
	EventOmitted = "omitted"
)

// EventSchema names the version of the format of events.
const EventSchema = "distproof.event/v1"

// An Event is a change. As JSON it is a line of the log.
type Event struct {
	Schema string `json:"schema"`
	// Time is RFC 3339 in UTC, with nanoseconds.
	Time  string `json:"time"`
	Event string `json:"event"`
	// Message says it in a sentence, for people.
	Message string `json:"message"`
	// Severity is that of the finding; info for what is none.
	Severity string `json:"severity"`
	// Before is the verdict before.
	Before     string               `json:"before,omitempty"`
	Connection *report.Connection   `json:"connection,omitempty"`
	Finding    *report.Finding      `json:"finding,omitempty"`
	Exchange   *report.EPMDExchange `json:"exchange,omitempty"`
	Socket     *Socket              `json:"socket,omitempty"`
	// Lost counts packets.
	Lost uint64 `json:"lost,omitempty"`
	// Repeated counts attempts to connect that are told with this event only.
	Repeated uint64 `json:"repeated,omitempty"`
	// Omitted counts connections of which not everything was told.
	Omitted   uint64 `json:"omitted,omitempty"`
	Interface string `json:"interface,omitempty"`
}

// Socket is an end of a connection that the kernel has.
type Socket struct {
	// Local and Remote are addresses with ports.
	Local  string `json:"local"`
	Remote string `json:"remote"`
	// PID is the process that has it open, Program the name of its program, which
	// it chose itself, and Container the id of its container; absent if not known.
	PID       int    `json:"pid,omitempty"`
	Program   string `json:"program,omitempty"`
	Container string `json:"container,omitempty"`
}

// A Source is where packets come from: a network, or a capture that is written
// meanwhile.
type Source interface {
	capture.Source
	// Stop ends the capture, from any goroutine.
	Stop()
}
