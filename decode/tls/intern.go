package tls

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"distproof/decode/pack"
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
	serverHellos interned[*ServerHello]
	results      interned[*signatures]
	beginnings   interned[*beginning]
	sessions     interned[*Session]
	texts        interned[string]
)

// An interned table has values by the bytes that they are made from. The values
// must not be changed.
type interned[V any] struct {
	sync.RWMutex
	known map[string]V
	all   []V // by their numbers less 1
	bytes int
}

// get returns the value for key, which is what is made if there is none yet.
func (t *interned[V]) get(key []byte, value func() V) V {
	return t.numbered(key, func(uint32) V { return value() })
}

// numbered is get for values that know by which number, from 1 on, the table has
// them: 0 if it does not.
func (t *interned[V]) numbered(key []byte, value func(number uint32) V) V {
	t.RLock()
	same, ok := t.known[string(key)]
	t.RUnlock()
	if ok {
		return same
	}
	t.Lock()
	defer t.Unlock()
	if same, ok := t.known[string(key)]; ok {
		return same
	}
	if len(t.known) >= maxInterned || t.bytes+len(key) > maxInternedBytes {
		return value(0)
	}
	if t.known == nil {
		t.known = make(map[string]V)
	}
	made := value(uint32(len(t.all) + 1))
	t.known[string(key)] = made
	t.all = append(t.all, made)
	t.bytes += len(key)
	return made
}

// pack packs v, which the table has by the given number; none if that is 0.
func (t *interned[V]) pack(p *pack.Packer, v *V, number uint32) {
	if pack.Uint(p, &number); !p.Reading() {
		return
	}
	var none V
	if *v = none; number > 0 {
		t.RLock()
		*v = t.all[number-1]
		t.RUnlock()
	}
}

// internCertificate returns a copy of b, which must not be changed.
func internCertificate(b []byte) []byte {
	return certificates.get(b, func() []byte { return bytes.Clone(b) })
}

// sizesText formats sizes: a number or a list for each verb of format. Sizes are
// the same in most connections.
func sizesText(format string, sizes ...any) string {
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
	return texts.get(key, func() string { return fmt.Sprintf(format, sizes...) })
}

// A chain is what a Certificate message has, or why it cannot be read.
type chain struct {
	certificates [][]byte
	err          error
	number       uint32
}

// readChain reads the body of a Certificate message, or finds that it did before.
func readChain(t *interned[chain], body []byte, read func([]byte) ([][]byte, error)) chain {
	return t.numbered(body, func(number uint32) chain {
		certificates, err := read(body)
		return chain{certificates, err, number}
	})
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
	return hellos.numbered(h.appendKey(room[:0]), func(number uint32) *ClientHello {
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
func (h *ServerHello) intern() *ServerHello {
	if h == nil || h.interned {
		return h
	}
	var room [32]byte
	return serverHellos.numbered(h.appendKey(room[:0]), func(number uint32) *ServerHello {
		common := *h
		common.Random, common.SessionID, common.interned, common.number = [32]byte{}, Ticket{}, true, number
		return &common
	})
}

// signaturesOf returns s, kept once.
func signaturesOf(s signatures) *signatures {
	var key []byte
	for _, x := range [...]signed{s.client, s.server} {
		key = appendNumber(key, int(x.scheme))
		key = append(key, byte(x.signature.Value), byte(x.signature.Basis))
		key = appendText(key, x.signature.Reason)
	}
	return results.numbered(key, func(number uint32) *signatures {
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
