package tls

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"distproof/decode/wire"
)

// Extension numbers (IANA TLS ExtensionType Values).
const (
	extServerName           = 0
	extSupportedGroups      = 10
	extECPointFormats       = 11
	extSignatureAlgorithms  = 13
	extALPN                 = 16
	extClientCertType       = 19
	extServerCertType       = 20
	extEncryptThenMAC       = 22
	extExtendedMasterSecret = 23
	extSessionTicket        = 35
	extPreSharedKey         = 41
	extEarlyData            = 42
	extSupportedVersions    = 43
	extPostHandshakeAuth    = 49
	extKeyShare             = 51
)

// retryRandom in place of a ServerHello's random makes it a HelloRetryRequest
// (RFC 8446, Section 4.1.3).
var retryRandom = sha256.Sum256([]byte("HelloRetryRequest"))

// A Ticket identifies session state that travels in the clear: the SHA-256 of a
// session ticket, or of a session id. The zero Ticket is "none".
type Ticket [32]byte

func ticketOf(b []byte) Ticket {
	if len(b) == 0 {
		return Ticket{}
	}
	return sha256.Sum256(b)
}

// A ClientHello is a ClientHello message (RFC 8446, Section 4.1.2; RFC 5246,
// Section 7.4.1.2).
type ClientHello struct {
	LegacyVersion Version
	// Random is zero in the [Facts] of a connection without a key log.
	Random [32]byte
	// SessionID identifies the legacy session id; zero if it is empty, and in
	// the [Facts] of a connection without a key log.
	SessionID Ticket
	Suites    []Suite
	// Extensions are the extension numbers in the order sent.
	Extensions []uint16
	// ServerName is the host_name of RFC 6066, Section 3; "" if not sent.
	ServerName string
	// Versions are those of supported_versions; empty if not sent.
	Versions            []Version
	Groups              []uint16
	PointFormats        []uint8
	SignatureAlgorithms []uint16
	ALPN                []string
	// Ticket identifies the session ticket of RFC 5077; zero if none was sent.
	Ticket Ticket
	// Identities are those of pre_shared_key, the first maxIdentities: session
	// tickets of TLS 1.3, or names of keys.
	Identities []Ticket
	// PSK says that pre_shared_key was offered; EarlyData that early_data was.
	PSK, EarlyData, PostHandshakeAuth, ExtendedMasterSecret bool

	// interned says that nothing is in here but what other connections may have in
	// common with this one; number is that of Tables.hellos.
	interned bool
	number   uint32
}

// A ServerHello is a ServerHello or HelloRetryRequest message (RFC 8446,
// Sections 4.1.3 and 4.1.4; RFC 5246, Section 7.4.1.3).
type ServerHello struct {
	// Version is the negotiated version.
	Version Version
	// Random and SessionID are zero in the [Facts] of a connection without a key
	// log.
	Random    [32]byte
	SessionID Ticket
	Suite     Suite
	// Compression is the compression method; 0 is none (RFC 3749).
	Compression uint8
	// Group is the key exchange group of key_share; 0 before TLS 1.3.
	Group uint16
	// Retry says that this is a HelloRetryRequest.
	Retry bool
	// PSK says that the server took an offered pre-shared key (TLS 1.3);
	// Identity is its index among those offered, valid iff PSK.
	PSK      bool
	Identity uint16
	// Ticket says that a NewSessionTicket will follow (RFC 5077).
	Ticket, EncryptThenMAC, ExtendedMasterSecret bool

	// As in a ClientHello; number is that of Tables.serverHellos.
	interned bool
	number   uint32
}

// readClientHello parses the body of a ClientHello.
func readClientHello(body []byte) (*ClientHello, error) {
	c := wire.NewCursor(body)
	h := &ClientHello{LegacyVersion: Version(c.Uint16("legacy_version"))}
	copy(h.Random[:], c.Bytes("random", 32))
	id := c.Vector8("legacy_session_id")
	h.SessionID = ticketOf(id.Rest())
	h.Suites = numbers[Suite](c.Vector16("cipher_suites"), "cipher_suite")
	compression := c.Vector8("legacy_compression_methods")
	compression.Rest()
	if c.Empty() { // extensions are optional before TLS 1.3
		return h, c.Err()
	}
	var seen extensions
	for exts := c.Vector16("extensions"); !exts.Empty(); {
		id := exts.Uint16("extension_type")
		data := exts.Vector16("extension_data")
		if !seen.add(id) {
			exts.Fail("extensions", "extension sent twice")
		}
		h.readExtension(id, &data)
	}
	h.Extensions = slices.Concat(seen.first[:seen.n], seen.others)
	c.End("ClientHello")
	return h, c.Err()
}

func (h *ClientHello) readExtension(id uint16, c *wire.Cursor) {
	switch id {
	case extServerName: // RFC 6066, Section 3
		for names := c.Vector16("server_name_list"); !names.Empty(); {
			kind := names.Uint8("name_type")
			name := names.Vector16("host_name")
			if text := name.Rest(); kind == 0 && h.ServerName == "" {
				h.ServerName = string(text)
			}
		}
	case extSupportedVersions: // RFC 8446, Section 4.2.1
		h.Versions = numbers[Version](c.Vector8("versions"), "version")
	case extSupportedGroups: // RFC 8446, Section 4.2.7
		h.Groups = numbers[uint16](c.Vector16("named_group_list"), "named_group_list")
	case extECPointFormats: // RFC 8422, Section 5.1.2
		// Of no use but as identification: a malformed one spoils nothing.
		if b := c.Rest(); len(b) > 0 && int(b[0]) == len(b)-1 {
			h.PointFormats = bytes.Clone(b[1:])
		}
	case extSignatureAlgorithms: // RFC 8446, Section 4.2.3
		h.SignatureAlgorithms = numbers[uint16](c.Vector16("supported_signature_algorithms"), "supported_signature_algorithms")
	case extALPN: // RFC 7301, Section 3.1
		for names := c.Vector16("protocol_name_list"); !names.Empty(); {
			name := names.Vector8("protocol_name")
			h.ALPN = append(h.ALPN, string(name.Rest()))
		}
	case extSessionTicket: // RFC 5077, Section 3.2
		h.Ticket = ticketOf(c.Rest())
	case extPreSharedKey: // RFC 8446, Section 4.2.11
		h.PSK = true
		h.Identities = readIdentities(c.Rest())
	case extEarlyData: // RFC 8446, Section 4.2.10
		h.EarlyData = true
	case extPostHandshakeAuth: // RFC 8446, Section 4.2.6
		h.PostHandshakeAuth = true
	case extExtendedMasterSecret: // RFC 7627, Section 5.1
		h.ExtendedMasterSecret = true
	}
}

// offersRawKeys reports whether a Certificate of either side may hold something
// else than X.509 certificates, such as a bare public key: who has nothing else
// in mind does not send these extensions (RFC 7250, Section 4.1).
func (h *ClientHello) offersRawKeys() bool {
	return slices.Contains(h.Extensions, extClientCertType) || slices.Contains(h.Extensions, extServerCertType)
}

// maxIdentities bounds the pre-shared keys of a ClientHello that are kept.
const maxIdentities = 16

// readIdentities reads the identities of pre_shared_key (RFC 8446, Section
// 4.2.11); none if they cannot be read. The binders that follow prove
// possession of the keys to the server alone.
func readIdentities(extension []byte) []Ticket {
	c := wire.NewCursor(extension)
	var out []Ticket
	for list := c.Vector16("identities"); !list.Empty(); {
		identity := list.Vector16("identity")
		list.Uint32("obfuscated_ticket_age")
		if raw := identity.Rest(); len(out) < maxIdentities {
			out = append(out, ticketOf(raw))
		}
	}
	if c.Err() != nil {
		return nil
	}
	return out
}

// numbers reads a list to its end; nil if it is empty.
func numbers[T ~uint16](list wire.Cursor, field string) (out []T) {
	for !list.Empty() {
		if out == nil {
			out = make([]T, 0, (list.Len()+1)/2)
		}
		out = append(out, T(list.Uint16(field)))
	}
	return out
}

// extensions are the numbers of those that a hello has, in the order sent. There are
// seldom more than first has room for.
type extensions struct {
	first  [32]uint16
	n      int
	others []uint16
	known  map[uint16]bool // has others
}

// add reports whether a number was not there yet.
func (e *extensions) add(id uint16) bool {
	if slices.Contains(e.first[:e.n], id) || e.known[id] {
		return false
	}
	if e.n < len(e.first) {
		e.first[e.n] = id
		e.n++
		return true
	}
	if e.known == nil {
		e.known = make(map[uint16]bool)
	}
	e.others, e.known[id] = append(e.others, id), true
	return true
}

// readServerHello parses the body of a ServerHello or HelloRetryRequest.
func readServerHello(body []byte) (*ServerHello, error) {
	c := wire.NewCursor(body)
	h := &ServerHello{Version: Version(c.Uint16("legacy_version"))}
	copy(h.Random[:], c.Bytes("random", 32))
	// Drafts before 22 have neither session id nor compression method.
	early := h.Version>>8 == 0x7f
	if !early {
		id := c.Vector8("legacy_session_id_echo")
		h.SessionID = ticketOf(id.Rest())
	}
	h.Suite = Suite(c.Uint16("cipher_suite"))
	if !early {
		h.Compression = c.Uint8("legacy_compression_method")
	}
	h.Retry = h.Random == retryRandom
	if c.Empty() {
		return h, c.Err()
	}
	var seen extensions
	for exts := c.Vector16("extensions"); !exts.Empty(); {
		id := exts.Uint16("extension_type")
		data := exts.Vector16("extension_data")
		if !seen.add(id) {
			exts.Fail("extensions", "extension sent twice")
		}
		h.readExtension(id, &data)
	}
	c.End("ServerHello")
	return h, c.Err()
}

func (h *ServerHello) readExtension(id uint16, c *wire.Cursor) {
	switch id {
	case extSupportedVersions: // RFC 8446, Section 4.2.1
		h.Version = Version(c.Uint16("selected_version"))
		c.End("supported_versions")
	case extKeyShare: // RFC 8446, Section 4.2.8
		h.Group = c.Uint16("group")
	case extPreSharedKey: // RFC 8446, Section 4.2.11
		h.PSK = true
		h.Identity = c.Uint16("selected_identity")
	case extSessionTicket: // RFC 5077, Section 3.2
		h.Ticket = true
	case extEncryptThenMAC: // RFC 7366
		h.EncryptThenMAC = true
	case extExtendedMasterSecret: // RFC 7627, Section 5.1
		h.ExtendedMasterSecret = true
	}
}

// readCertificate12 parses the body of a Certificate message before TLS 1.3
// (RFC 5246, Section 7.4.2) into DER certificates, the sender's own first.
func readCertificate12(t *Tables, body []byte) ([][]byte, error) {
	c := wire.NewCursor(body)
	var chain [][]byte
	for list := c.Vector24("certificate_list"); !list.Empty(); {
		cert := list.Vector24("ASN.1Cert")
		der := cert.Rest()
		if len(der) == 0 {
			list.Fail("ASN.1Cert", "empty certificate")
		}
		chain = append(chain, t.certificate(der))
	}
	c.End("Certificate")
	return chain, c.Err()
}

// readECDHGroup returns the named group of a ServerKeyExchange for ECDHE
// (RFC 8422, Section 5.4), or 0.
func readECDHGroup(body []byte) uint16 {
	c := wire.NewCursor(body)
	if c.Uint8("curve_type") != 3 { // named_curve
		return 0
	}
	return c.Uint16("namedcurve")
}

// readSessionTicket12 returns the ticket of a NewSessionTicket message before
// TLS 1.3 (RFC 5077, Section 3.3).
func readSessionTicket12(body []byte) Ticket {
	c := wire.NewCursor(body)
	c.Uint32("ticket_lifetime_hint")
	ticket := c.Vector16("ticket")
	return ticketOf(ticket.Rest())
}

// readSessionTicket13 returns the ticket of a NewSessionTicket message of TLS
// 1.3 (RFC 8446, Section 4.6.1); zero if it cannot be read.
func readSessionTicket13(body []byte) Ticket {
	c := wire.NewCursor(body)
	c.Uint32("ticket_lifetime")
	c.Uint32("ticket_age_add")
	nonce := c.Vector8("ticket_nonce")
	nonce.Rest()
	ticket := c.Vector16("ticket")
	raw := ticket.Rest()
	if c.Err() != nil {
		return Ticket{}
	}
	return ticketOf(raw)
}
