// Package report has the document, which is all that distproof found out about
// a capture, and its renderers, each a pure function of the document.
package report

import "time"

// Schema names the version of the document's format. Fields are added within a
// version; none is renamed or removed, and none changes its meaning.
const Schema = "distproof.report/v1"

// A Document is the result of a run. Arrays are never null, their order does
// not depend on chance, times are in UTC.
type Document struct {
	Schema string  `json:"schema"`
	Tool   Tool    `json:"tool"`
	Inputs []Input `json:"inputs"`
	// Conclusion is "pass", "fail" or "inconclusive"; empty if nothing was
	// judged (distproof inspect).
	Conclusion string `json:"conclusion,omitempty"`
	// Reason says in a sentence why the conclusion is what it is.
	Reason string `json:"reason,omitempty"`
	// Policy is the path of the policy's file, or the name of a built-in one, such
	// as builtin:mutual; absent if none was given.
	Policy string `json:"policy,omitempty"`
	// Baseline is absent if the run was not compared with one.
	Baseline    *Baseline    `json:"baseline,omitempty"`
	Summary     Summary      `json:"summary"`
	Nodes       []Node       `json:"nodes"`
	Connections []Connection `json:"connections"`
	Edges       []Edge       `json:"edges"`
	// Mesh is absent if fewer than two nodes are known by their names.
	Mesh     *Mesh     `json:"mesh,omitempty"`
	EPMD     EPMD      `json:"epmd"`
	Findings []Finding `json:"findings"`
}

// Baseline is the saved report whose findings are let pass. Numbers are of rules
// that an edge breaks.
type Baseline struct {
	Path string `json:"path"`
	// Known counts those that it has, and New those that violate the policy and
	// are new or worse.
	Known int `json:"known"`
	New   int `json:"new"`
	// Protected counts those that it has, and that no baseline lets pass.
	Protected int `json:"protected"`
	// Gone counts those of the baseline that were not found.
	Gone int `json:"gone"`
}

// Tool is the program that made the document.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Input is a capture file or stream.
type Input struct {
	// Path is the file as it was named, or what was captured on.
	Path   string `json:"path"`
	Format string `json:"format"`
	// Packets counts all that were read, and Bytes the bytes captured of them, from
	// the link layer on.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// First and Last are the times of the earliest and latest packet, RFC 3339
	// with nanoseconds; absent if no packet had a time.
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
	// Truncated says that the input ended early; Damage says where and why.
	Truncated bool   `json:"truncated"`
	Damage    string `json:"damage,omitempty"`
	// Dropped counts packets that the capturing system lost; Snapped those of
	// which only a part was captured.
	Dropped uint64 `json:"dropped"`
	Snapped uint64 `json:"snapped"`
	// Undecoded counts packets in which no TCP segment was found, by reason.
	Undecoded map[string]uint64 `json:"undecoded"`
	// Secrets counts TLS key logs in the file (pcapng Decryption Secrets
	// Blocks). A capture that is handed on should have none.
	Secrets int `json:"secrets,omitempty"`
}

// Summary counts connections, each once, by protocol.
type Summary struct {
	Distribution Verdicts `json:"distribution"`
	EPMD         int      `json:"epmd"`
	// TLS counts those with TLS that is not shown to be distribution.
	TLS   int `json:"tls"`
	Other int `json:"other"`
	// None counts connections that carried no data.
	None int `json:"none"`
}

// Verdicts counts distribution connections by verdict.
type Verdicts struct {
	Mutual       int `json:"mutual"`
	OneWay       int `json:"one-way"`
	Cleartext    int `json:"cleartext"`
	Refused      int `json:"refused"`
	Inconclusive int `json:"inconclusive"`
}

// Total returns the number of distribution connections.
func (v Verdicts) Total() int {
	return v.Mutual + v.OneWay + v.Cleartext + v.Refused + v.Inconclusive
}

// Node is an Erlang node.
type Node struct {
	Name string `json:"name"`
	// Basis says how the name is known, in the surest way that there was: handshake,
	// if the node said so in the clear; decrypted, if it did inside TLS; epmd+sni or
	// epmd+host, if EPMD knows the part before the @ by the port, and the host is the
	// one that the client asked for, or that of the address in other connections.
	Basis     string   `json:"basis"`
	Addresses []string `json:"addresses"`
	// Ports are those on which it listens for distribution.
	Ports []uint16 `json:"ports"`
	// OTPRelease is absent if nothing tells it.
	OTPRelease *OTPRelease `json:"otp_release,omitempty"`
	// Creations are the incarnations that the node told, the first first:
	// another one for each start.
	Creations []uint32 `json:"creations"`
	// Hidden says whether the node keeps out of the cluster's sight; absent if
	// its flags were not seen.
	Hidden *bool `json:"hidden,omitempty"`
	// Implementation is erts, or other for a C node or another implementation;
	// absent if the node's flags were not seen.
	Implementation string `json:"implementation,omitempty"`
	// Listener is how the node was reached: cleartext, tls or both; absent if it
	// was not.
	Listener string `json:"listener,omitempty"`
}

// OTPRelease is a lower bound of a node's OTP release.
type OTPRelease struct {
	AtLeast int `json:"at_least"`
	// Basis is observed, inferred or decrypted.
	Basis string `json:"basis"`
}

// Connection is one TCP connection.
type Connection struct {
	// ID is c and a number, from 1 on, in the order of the first packets.
	ID string `json:"id"`
	// Protocol is dist, dist-tls (distribution over TLS), epmd, tls (TLS that is not
	// shown to be distribution), other, or none (no data crossed).
	Protocol string `json:"protocol"`
	// ProtocolBasis lists what makes a connection distribution: epmd, port, listener,
	// record-sizes, ticks, handshake, framing, decryption.
	ProtocolBasis []string `json:"protocol_basis"`
	// Verdict is mutual, one-way, cleartext, refused or inconclusive; null for
	// connections that are not distribution.
	Verdict *string `json:"verdict"`
	// State says whether the session came up: up, tls-failed, dist-refused,
	// incomplete, or midstream if its beginning is not in the capture.
	State string `json:"state"`
	// Reason says in a sentence why the verdict is what it is.
	Reason string   `json:"reason"`
	Client Endpoint `json:"client"`
	Server Endpoint `json:"server"`
	// RolesBasis says how client and server were told apart.
	RolesBasis string `json:"roles_basis"`
	// FirstSeen and LastSeen are the times of the first and the last packet, RFC
	// 3339 with nanoseconds.
	FirstSeen string `json:"first_seen"`
	LastSeen  string `json:"last_seen"`
	// FirstFrame is the number of the first packet, as Wireshark counts them, in the
	// input with the index Input.
	FirstFrame uint32 `json:"first_frame"`
	Input      int    `json:"input"`
	// Packets counts TCP segments, each once even if several interfaces saw it, and
	// Bytes the captured bytes of the streams, each once however often it was sent.
	Packets Counts `json:"packets"`
	Bytes   Counts `json:"bytes"`
	// Encapsulation lists tunnels and tags around the packets, the outermost first,
	// such as "vxlan 1".
	Encapsulation []string `json:"encapsulation"`
	// TLS and the certificates are there if there was TLS, Cleartext if anything of
	// distribution crossed in the clear, and Decrypted if a key log opened the session.
	TLS               *TLS               `json:"tls,omitempty"`
	ClientCertificate *ClientCertificate `json:"client_certificate,omitempty"`
	ServerCertificate *ServerCertificate `json:"server_certificate,omitempty"`
	Cleartext         *Cleartext         `json:"cleartext,omitempty"`
	Decrypted         *Decrypted         `json:"decrypted,omitempty"`
	Gaps              Gaps               `json:"gaps"`
	// Findings are the rules of the findings about it.
	Findings []string `json:"findings"`
}

// Endpoint is one end of a connection.
type Endpoint struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	// Node is the node's name, and NodeBasis how it is known, as in nodes; absent if
	// it is not.
	Node      string `json:"node,omitempty"`
	NodeBasis string `json:"node_basis,omitempty"`
	// Host is the host part of the node's name, if only that is known.
	// HostBasis says how: sni, certificate or address.
	Host      string `json:"host,omitempty"`
	HostBasis string `json:"host_basis,omitempty"`
	// NodeLength is the length of the node's name in bytes where the sizes of
	// the distribution handshake tell it; 0 otherwise.
	NodeLength int `json:"node_length,omitempty"`
	// LikelyNode is the only node that is known of the host and whose name has
	// this length. Another one may have the same.
	LikelyNode string `json:"likely_node,omitempty"`
}

// Counts has a number for each side.
type Counts struct {
	Client uint64 `json:"client"`
	Server uint64 `json:"server"`
}

// TLS is what is known of a TLS session.
type TLS struct {
	// Version is the one that the server chose, such as 1.3; null if the ServerHello
	// was not seen.
	Version *string `json:"version"`
	// CipherSuite and Group, of the key exchange, have the names of IANA's registries.
	CipherSuite string `json:"cipher_suite,omitempty"`
	Group       string `json:"group,omitempty"`
	// SNI is the name that the client asked for (RFC 6066, Section 3).
	SNI string `json:"sni,omitempty"`
	// JA3 and JA4 are fingerprints of the ClientHello.
	JA3 string `json:"ja3,omitempty"`
	JA4 string `json:"ja4,omitempty"`
	// Resumed says that the session goes on from an earlier handshake.
	Resumed bool `json:"resumed"`
	// ResumedFrom is the connection that made the session, if it was captured.
	ResumedFrom string `json:"resumed_from,omitempty"`
	// KeyLog says what became of opening the handshake with a key log: "opened",
	// or why it could not be; absent if there was none.
	KeyLog  string  `json:"key_log,omitempty"`
	Alerts  []Alert `json:"alerts"`
	Records Records `json:"records"`
}

// Alert is a TLS alert.
type Alert struct {
	// From is the side that sent it, client or server.
	From string `json:"from"`
	// Level and Description have the names of RFC 8446, Section 6; absent if the alert
	// is encrypted.
	Level       string `json:"level,omitempty"`
	Description string `json:"description,omitempty"`
	// Basis is inferred for an encrypted alert, known by the size of its record.
	Basis string `json:"basis"`
	Frame uint32 `json:"frame"`
}

// Records has the sizes of the first TLS records of each side, in bytes without the
// record header.
type Records struct {
	Client []int `json:"client"`
	Server []int `json:"server"`
}

// ClientCertificate says whether the client proved who it is.
type ClientCertificate struct {
	// Status is presented, empty, not-requested, resumed or unknown.
	Status string `json:"status"`
	// Requested is null if it is not known whether the server asked for one.
	Requested *bool `json:"requested"`
	// Basis says how the status is known: observed, verified, decrypted, inferred (from
	// the sizes of encrypted records), or none.
	Basis string `json:"basis"`
	// Reason says what shows the status, or why it is unknown.
	Reason string `json:"reason"`
	// Possession says how it is known that the client has the private key, and
	// PossessionReason what shows it.
	Possession       string `json:"possession"`
	PossessionReason string `json:"possession_reason"`
	// Accepted is null if it is not known whether the server went on.
	Accepted     *bool         `json:"accepted"`
	Chain        []Certificate `json:"chain"`
	Verification Verification  `json:"verification"`
}

// ServerCertificate says who the server is.
type ServerCertificate struct {
	// The fields are those of the client's certificate, seen from the other side.
	Basis            string        `json:"basis"`
	Possession       string        `json:"possession"`
	PossessionReason string        `json:"possession_reason"`
	Accepted         *bool         `json:"accepted"`
	Chain            []Certificate `json:"chain"`
	Verification     Verification  `json:"verification"`
}

// Certificate is an X.509 certificate.
type Certificate struct {
	// Subject and Issuer are written as in RFC 2253, and Serial in hexadecimal.
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	Serial  string `json:"serial"`
	// NotBefore and NotAfter are times as in RFC 3339.
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
	// DNSNames, IPAddresses, URIs and EmailAddresses are those of the
	// subjectAltName.
	DNSNames       []string `json:"dns_names"`
	IPAddresses    []string `json:"ip_addresses"`
	URIs           []string `json:"uris"`
	EmailAddresses []string `json:"email_addresses"`
	// Key is the kind and size of the key, such as "RSA 2048".
	Key                string `json:"key"`
	SignatureAlgorithm string `json:"signature_algorithm"`
	// KeyUsage and ExtendedKeyUsage have the names of RFC 5280, or OIDs.
	KeyUsage         []string `json:"key_usage"`
	ExtendedKeyUsage []string `json:"extended_key_usage"`
	IsCA             bool     `json:"is_ca"`
	SelfSigned       bool     `json:"self_signed"`
	// SHA256 is that of the certificate, SPKISHA256 that of its public key, both in
	// hexadecimal.
	SHA256     string `json:"sha256"`
	SPKISHA256 string `json:"spki_sha256"`
	// Problem says why the certificate could not be parsed; Raw is it then,
	// DER in Base64.
	Problem string `json:"problem,omitempty"`
	Raw     string `json:"raw,omitempty"`
}

// Verification is the result of checking a certificate against CAs.
type Verification struct {
	// Status is ok, failed or not-checked.
	Status string `json:"status"`
	Reason string `json:"reason"`
	// Problems are all that is wrong; empty unless the status is failed.
	Problems []string `json:"problems"`
}

// Cleartext is what crossed a connection in the clear.
type Cleartext struct {
	Bytes Counts `json:"bytes"`
	// Messages counts distribution messages by operation, and MessageCount those
	// of each side without ticks.
	Messages     map[string]uint64 `json:"messages"`
	MessageCount Counts            `json:"message_count"`
	// RegisteredNames counts the messages to each registered name.
	RegisteredNames map[string]uint64 `json:"registered_names"`
	// Calls are what the nodes told each other to run.
	Calls []Call `json:"calls"`
	// CookieDigestExposed says that a challenge and its digest crossed, from which the
	// cookie can be guessed offline.
	CookieDigestExposed bool   `json:"cookie_digest_exposed"`
	FirstFrame          uint32 `json:"first_frame"`
	LastFrame           uint32 `json:"last_frame"`
	// Account says in a sentence what crossed.
	Account string `json:"account"`
	// Payloads are the first terms that crossed; none unless asked for.
	Payloads []Payload `json:"payloads"`
}

// Call is a function that a node was told to run, or a request to a server of
// OTP itself, such as code_server:load_binary.
type Call struct {
	// By is the side that asked for it.
	By string `json:"by"`
	// Means is spawn, erpc, rpc or request.
	Means    string `json:"means"`
	Function string `json:"function"`
	Count    uint64 `json:"count"`
	// FirstFrame and LastFrame are those in which the first and the last such
	// message began.
	FirstFrame uint32 `json:"first_frame"`
	LastFrame  uint32 `json:"last_frame"`
}

// Payload is a term that crossed in the clear.
type Payload struct {
	By        string `json:"by"`
	Operation string `json:"operation"`
	// Name is the registered name that it was sent to, and Function what it made
	// its receiver run; absent if there is none.
	Name     string `json:"name,omitempty"`
	Function string `json:"function,omitempty"`
	Frame    uint32 `json:"frame"`
	// Text is the term in Erlang's syntax. Whole is false if something was left
	// out, as it may be secret or is too long.
	Text  string `json:"text"`
	Whole bool   `json:"whole"`
}

// Decrypted is what was read inside TLS with a key log.
type Decrypted struct {
	// Bytes of application data, and why no more were decrypted; absent if all
	// that crossed were.
	Bytes      Counts `json:"bytes"`
	Incomplete string `json:"incomplete,omitempty"`
	// Cookie says what came of the nodes' proofs of the cookie: accepted,
	// refused or unknown.
	Cookie string `json:"cookie"`
	// Messages counts distribution messages by operation.
	Messages        map[string]uint64 `json:"messages"`
	RegisteredNames map[string]uint64 `json:"registered_names"`
	// Calls are what the nodes told each other to run.
	Calls []Call `json:"calls"`
	// Account says in a sentence what crossed; absent if it was no distribution.
	Account string `json:"account,omitempty"`
}

// Gaps counts bytes that are missing from the capture, for each side, and
// retransmissions that brought other bytes than the first time.
type Gaps struct {
	Client    uint64 `json:"client"`
	Server    uint64 `json:"server"`
	Conflicts uint64 `json:"conflicts"`
}

// Edge has the connections that one node opened to another, with the worst of
// their verdicts. An end that has no name is written ?@ and its host, or as its
// address.
type Edge struct {
	// From dialled To.
	From string `json:"from"`
	To   string `json:"to"`
	// Verdict is the worst of its connections.
	Verdict     string `json:"verdict"`
	Connections int    `json:"connections"`
	// Likely counts those of the connections of which an end is named by its
	// likely_node.
	Likely int `json:"likely,omitempty"`
}

// Mesh says how much of a full mesh was seen: of connections between all nodes
// that are known by their names and not hidden, whoever dialled, and whatever
// the verdict. Pairs is the sum of Seen, Uncertain and MissingCount.
type Mesh struct {
	Nodes int `json:"nodes"`
	Pairs int `json:"pairs"`
	Seen  int `json:"seen"`
	// Uncertain counts pairs that were not seen by their names, but that an edge
	// with an unnamed end may be. With more than 3,000 nodes it counts all pairs
	// that were not seen.
	Uncertain int `json:"uncertain"`
	// MissingCount counts the pairs that were not seen; Missing lists up to 1,000
	// of them.
	MissingCount int        `json:"missing_count"`
	Missing      [][]string `json:"missing"`
}

// EPMD is what the Erlang port mapper daemons were asked and answered.
type EPMD struct {
	Names []EPMDName `json:"names"`
	// Requests counts them by their names in OTP's documentation, such as
	// PORT_PLEASE2_REQ, and Clients are the addresses that sent them.
	Requests map[string]uint64 `json:"requests"`
	Clients  []string          `json:"clients"`
	// Exchanges say who asked what from where.
	Exchanges []EPMDExchange `json:"exchanges"`
}

// EPMDName is a node that an EPMD announced.
type EPMDName struct {
	// Node is the part of the name before the @, Host the address of the EPMD, and
	// Port that on which the node listens.
	Node string `json:"node"`
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// EPMDExchange is what a client asked an EPMD, with how often it had the same
// outcome.
type EPMDExchange struct {
	Client string `json:"client"`
	Server string `json:"server"`
	Port   uint16 `json:"port"`
	// Request is its name in OTP's documentation, "none" if a connection was
	// opened, or tried, and nothing asked, and "unknown" for anything else.
	Request string `json:"request"`
	// Node is the name that was registered, looked up or to be stopped.
	Node string `json:"node,omitempty"`
	// Outcome is accepted, refused or unanswered; for "none" that of opening the
	// connection.
	Outcome string `json:"outcome"`
	Count   uint64 `json:"count"`
	// FirstFrame counts in the input with the index Input.
	FirstFrame uint32 `json:"first_frame"`
	Input      int    `json:"input"`
}

// Finding is a rule that was broken, or could not be shown to hold.
type Finding struct {
	// Rule is its id, such as DP101, and Severity critical, high, medium, low or info.
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
	// Connections are the ids of the connections concerned.
	Connections []string   `json:"connections"`
	Message     string     `json:"message"`
	Evidence    []Evidence `json:"evidence"`
	Fix         string     `json:"fix"`
	// Status is open or waived.
	Status string `json:"status"`
	// Known says that it is waived because the baseline has it.
	Known bool `json:"known,omitempty"`
	// Effect is what the finding does to the conclusion: violates, undecided,
	// waived or noted; absent if no policy was given, and it follows from the
	// severity.
	Effect string `json:"effect,omitempty"`
	// Policy is the line of the policy that asks for what is not so.
	Policy *PolicyLine `json:"policy,omitempty"`
	// Waiver is the exception of the policy that lets the finding pass.
	Waiver *Waiver `json:"waiver,omitempty"`
}

// PolicyLine is a line of a policy's file.
type PolicyLine struct {
	Path string `json:"path"`
	Line int    `json:"line"`
}

// Waiver is an exception of the policy.
type Waiver struct {
	Reason string `json:"reason"`
	Owner  string `json:"owner"`
	// Expires is the last day on which the exception holds, in UTC.
	Expires string `json:"expires"`
}

// Evidence is a frame that shows something.
type Evidence struct {
	Frame uint32 `json:"frame"`
	// Input is the index of the input that Frame counts in.
	Input int    `json:"input"`
	Text  string `json:"text"`
}

// FormatTime formats a time for the document.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
