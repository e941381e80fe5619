package tls

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"distproof/decode/pack"
	"distproof/decode/secrets"
)

// Tables have what connections have in common: a cluster has a few certificates and
// sends them in every handshake, and its nodes say nearly the same in their hellos.
// Use [NewTables].
type Tables struct {
	certificates pack.Table[[]byte]
	chains12     pack.Table[chain]
	chains13     pack.Table[chain]
	keys         pack.Table[certificateKey]
	hellos       pack.Table[*ClientHello]
	serverHellos pack.Table[*ServerHello]
	results      pack.Table[*signatures]
	beginnings   pack.Table[*beginning]
	sessions     pack.Table[*Session]
	texts        pack.Table[string]
	shapes       pack.Table[*logShape]
	// unretained is for streams without a key log.
	unretained retained
}

// NewTables returns tables that are empty.
func NewTables() *Tables {
	t := new(Tables)
	t.unretained.tables = t
	return t
}

// Full reports whether one of the tables is full.
func (t *Tables) Full() bool {
	return t.certificates.Full() || t.chains12.Full() || t.chains13.Full() || t.keys.Full() || t.hellos.Full() || t.serverHellos.Full() ||
		t.results.Full() || t.beginnings.Full() || t.sessions.Full() || t.texts.Full() || t.shapes.Full()
}

// certificate returns a copy of b, which must not be changed.
func (t *Tables) certificate(b []byte) []byte {
	return t.certificates.Get(b, func() []byte { return bytes.Clone(b) })
}

// sizesText formats sizes: a number or a list for each verb of format. Sizes are
// the same in most connections.
func (t *Tables) sizesText(format string, sizes ...any) string {
	var room [128]byte
	key := append(room[:0], format...)
	for _, s := range sizes {
		switch s := s.(type) {
		case int:
			key = appendNumber(key, s)
		case []int:
			key = appendNumber(key, len(s))
			for _, n := range s {
				key = appendNumber(key, n)
			}
		}
	}
	return t.texts.Get(key, func() string { return fmt.Sprintf(format, sizes...) })
}

// A chain is what a Certificate message has, or why it cannot be read.
type chain struct {
	certificates [][]byte
	err          error
	number       uint32
}

// readChain reads the body of a Certificate message, or finds in chains that it did
// before.
func (t *Tables) readChain(chains *pack.Table[chain], body []byte, read func(*Tables, []byte) ([][]byte, error)) chain {
	return chains.Numbered(body, func(number uint32) chain {
		certificates, err := read(t, body)
		return chain{certificates, err, number}
	})
}

// A certificateKey is the key of a certificate, or why there is none.
type certificateKey struct {
	key secrets.Key
	err error
}

// keyOf reads the key of a certificate.
func (t *Tables) keyOf(der []byte) (secrets.Key, error) {
	k := t.keys.Get(der, func() (k certificateKey) {
		k.key, k.err = secrets.CertificateKey(der)
		return k
	})
	return k.key, k.err
}

// intern returns h without what is new in every handshake, kept once for all
// clients that say the same.
func (h *ClientHello) intern(t *Tables) *ClientHello {
	if h == nil || h.interned {
		return h
	}
	var room [512]byte
	return t.hellos.Numbered(h.appendKey(room[:0]), func(number uint32) *ClientHello {
		common := *h
		common.Random, common.SessionID, common.interned, common.number = [32]byte{}, Ticket{}, true, number
		return &common
	})
}

// appendKey appends all of h but what is new in every handshake: the same bytes
// if and only if that is the same.
func (h *ClientHello) appendKey(b []byte) []byte {
	b = appendNumber(b, int(h.LegacyVersion))
	b = appendNumbers(b, h.Suites)
	b = appendNumbers(b, h.Extensions)
	b = appendNumbers(b, h.Versions)
	b = appendNumbers(b, h.Groups)
	b = appendNumbers(b, h.PointFormats)
	b = appendNumbers(b, h.SignatureAlgorithms)
	b = appendText(b, h.ServerName)
	b = appendNumber(b, len(h.ALPN))
	for _, name := range h.ALPN {
		b = appendText(b, name)
	}
	b = append(b, h.Ticket[:]...)
	b = appendNumber(b, len(h.Identities))
	for i := range h.Identities {
		b = append(b, h.Identities[i][:]...)
	}
	return appendFlags(b, h.PSK, h.EarlyData, h.PostHandshakeAuth, h.ExtendedMasterSecret)
}

// intern returns h without what is new in every handshake, kept once for all
// servers that say the same.
func (h *ServerHello) intern(t *Tables) *ServerHello {
	if h == nil || h.interned {
		return h
	}
	var room [32]byte
	return t.serverHellos.Numbered(h.appendKey(room[:0]), func(number uint32) *ServerHello {
		common := *h
		common.Random, common.SessionID, common.interned, common.number = [32]byte{}, Ticket{}, true, number
		return &common
	})
}

// signaturesOf returns s, kept once.
func (t *Tables) signaturesOf(s signatures) *signatures {
	var key []byte
	for _, x := range [...]signed{s.client, s.server} {
		key = appendNumber(key, int(x.scheme))
		key = append(key, byte(x.signature.Value), byte(x.signature.Basis))
		key = appendText(key, x.signature.Reason)
	}
	return t.results.Numbered(key, func(number uint32) *signatures {
		s.number = number
		return &s
	})
}

// appendKey appends all of h but its random and its session id.
func (h *ServerHello) appendKey(b []byte) []byte {
	b = appendNumbers(b, []uint16{uint16(h.Version), uint16(h.Suite), uint16(h.Compression), h.Group, h.Identity})
	return appendFlags(b, h.Retry, h.PSK, h.Ticket, h.EncryptThenMAC, h.ExtendedMasterSecret)
}

func appendFlags(b []byte, flags ...bool) []byte {
	for _, flag := range flags {
		n := 0
		if flag {
			n = 1
		}
		b = appendNumber(b, n)
	}
	return b
}

func appendNumber(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

func appendText(b []byte, s string) []byte { return append(appendNumber(b, len(s)), s...) }

func appendNumbers[T ~uint8 | ~uint16](b []byte, all []T) []byte {
	b = appendNumber(b, len(all))
	for _, n := range all {
		b = appendNumber(b, int(n))
	}
	return b
}
