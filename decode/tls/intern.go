package tls

import (
	"bytes"
	"encoding/binary"
	"sync"

	"distproof/decode/secrets"
)

// Limits of what is kept once for all connections. What is beyond them is kept by
// each.
const (
	maxInterned      = 4096
	maxInternedBytes = 16 << 20
)

// What connections have in common: a cluster has a few certificates and sends
// them in every handshake, and its nodes say nearly the same in their hellos.
var (
	certificates interned[[]byte]
	chains12     interned[chain]
	chains13     interned[chain]
	keys         interned[certificateKey]
	hellos       interned[*ClientHello]
	texts        interned[string]
)

// An interned table has values by the bytes that they are made from. The values
// must not be changed.
type interned[V any] struct {
	sync.RWMutex
	known map[string]V
	bytes int
}

// get returns the value for key, which is what is made if there is none yet.
func (t *interned[V]) get(key []byte, value func() V) V {
	t.RLock()
	same, ok := t.known[string(key)]
	t.RUnlock()
	if ok {
		return same
	}
	made := value()
	t.Lock()
	defer t.Unlock()
	if same, ok := t.known[string(key)]; ok {
		return same
	}
	if len(t.known) >= maxInterned || t.bytes+len(key) > maxInternedBytes {
		return made
	}
	if t.known == nil {
		t.known = make(map[string]V)
	}
	t.known[string(key)] = made
	t.bytes += len(key)
	return made
}

// internCertificate returns a copy of b, which must not be changed.
func internCertificate(b []byte) []byte {
	return certificates.get(b, func() []byte { return bytes.Clone(b) })
}

// A chain is what a Certificate message has, or why it cannot be read.
type chain struct {
	certificates [][]byte
	err          error
}

// readChain reads the body of a Certificate message, or finds that it did before.
func readChain(t *interned[chain], body []byte, read func([]byte) ([][]byte, error)) ([][]byte, error) {
	c := t.get(body, func() (c chain) {
		c.certificates, c.err = read(body)
		return c
	})
	return c.certificates, c.err
}

// A certificateKey is the key of a certificate, or why there is none.
type certificateKey struct {
	key secrets.Key
	err error
}

// keyOf reads the key of a certificate.
func keyOf(der []byte) (secrets.Key, error) {
	k := keys.get(der, func() (k certificateKey) {
		k.key, k.err = secrets.CertificateKey(der)
		return k
	})
	return k.key, k.err
}

// intern returns h without what is new in every handshake, kept once for all
// clients that say the same.
func (h *ClientHello) intern() *ClientHello {
	if h == nil || h.interned {
		return h
	}
	var room [512]byte
	return hellos.get(h.appendKey(room[:0]), func() *ClientHello {
		common := *h
		common.Random, common.SessionID, common.interned = [32]byte{}, Ticket{}, true
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
	for _, flag := range [...]bool{h.PSK, h.EarlyData, h.PostHandshakeAuth, h.ExtendedMasterSecret} {
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
