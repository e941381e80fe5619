package secrets

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// What is wrong with a record.
var (
	// ErrTag says that the record was checked and does not verify: the secret
	// is another connection's, a record before it is missing, or it is damaged.
	ErrTag = errors.New("the record does not verify with this secret")
	// ErrLost says that the record cannot be opened because the one before it
	// is missing.
	ErrLost = errors.New("the record depends on one that is missing")
	// ErrContent says that the record verifies, but holds nothing readable.
	ErrContent = errors.New("the record verifies, but has no content type")
)

// An Opener opens the records of one direction, from the first that is sealed
// with its keys.
type Opener struct {
	mode mode
	seq  uint64

	// Of TLS 1.3, for the next key update.
	is13   bool
	is     protection
	secret []byte
	// secrets are those to choose from until a record has opened; which is the
	// one in use.
	secrets [][]byte
	which   int
}

// A sealed record.
type sealed struct {
	seq     uint64
	kind    uint8
	version uint16
	body    []byte
}

// A mode opens records one after the other. Unless the error is ErrLost, a
// record that it cannot open leaves it as it was.
type mode interface {
	open(dst []byte, r sealed) ([]byte, error)
	// skip says that records are missing.
	skip()
	// clone returns one that goes on from here by itself.
	clone() mode
}

// Clone returns an Opener that goes on from here by itself. Both may be used at
// the same time.
func (o *Opener) Clone() *Opener {
	c := *o
	if o.mode != nil {
		c.mode = o.mode.clone()
	}
	return &c
}

// NewOpener12 returns an Opener for what the client or the server sends after
// its ChangeCipherSpec in TLS 1.0 to 1.2. With encryptThenMAC both hellos have
// the extension of RFC 7366; it only matters to CBC suites.
func NewOpener12(version, suite uint16, master []byte, clientRandom, serverRandom [32]byte, client, encryptThenMAC bool) (*Opener, error) {
	s, err := suite12(version, suite)
	if err != nil {
		return nil, err
	}
	if len(master) == 0 {
		return nil, errors.New("empty master secret")
	}
	macLength, ivLength := 0, 0
	if s.mac != 0 {
		macLength = s.mac.Size()
	}
	switch {
	case s.kind == chacha20:
		ivLength = 12 // RFC 7905
	case s.tag != 0:
		ivLength = 4 // RFC 5288, RFC 6655
	case version == tls10 && s.kind == aesCBC:
		ivLength = aes.BlockSize
	case version == tls10 && s.kind == desCBC:
		ivLength = des.BlockSize
	}
	block := keyBlock(version, s.prf, master, clientRandom, serverRandom, 2*(macLength+s.key+ivLength))
	// Client and server take turns: MAC keys, keys, IVs.
	take := func(n int) []byte {
		both := block[:2*n]
		block = block[2*n:]
		if client {
			return both[:n]
		}
		return both[n:]
	}
	macKey, key, iv := take(macLength), take(s.key), take(ivLength)

	o := &Opener{is: s.protection}
	switch s.kind {
	case rc4HMAC:
		o.mode, err = newRC4Mode(key, s.mac, macKey)
	case desCBC, aesCBC:
		o.mode, err = newCBCMode(s.kind, key, iv, s.mac, macKey, encryptThenMAC)
	default:
		o.mode, err = newAEADMode(s.protection, key, iv, false)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// NewOpener13 returns an Opener for what was sealed with a traffic secret of
// TLS 1.3. Of several secrets it uses the one that opens the first record: OTP
// 27 and 28 before ssl 11.7.5 log those of client and server for each other's
// application data (erlang/otp issue 10698), so both are candidates there.
func NewOpener13(suite uint16, secrets ...[]byte) (*Opener, error) {
	p, err := suite13(suite)
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, errors.New("no traffic secret")
	}
	o := &Opener{is13: true, is: p, which: -1}
	for _, s := range secrets {
		if err := o.rekey(s); err != nil {
			return nil, err
		}
		o.secrets = append(o.secrets, o.secret)
	}
	return o, nil
}

// first opens the first record with whichever secret can.
func (o *Opener) first(dst []byte, r sealed) ([]byte, error) {
	for i, s := range o.secrets {
		if err := o.rekey(s); err != nil {
			return nil, err
		}
		o.seq = r.seq
		if out, err := o.mode.open(dst, r); err == nil {
			o.which, o.secrets = i, nil
			return out, nil
		}
	}
	return nil, ErrTag
}

// rekey begins anew with a traffic secret.
func (o *Opener) rekey(secret []byte) error {
	if len(secret) != o.is.prf.Size() {
		return fmt.Errorf("the traffic secret has %d bytes, the suite needs %d", len(secret), o.is.prf.Size())
	}
	key, iv, err := trafficKeys(o.is, secret)
	if err != nil {
		return err
	}
	m, err := newAEADMode(o.is, key, iv, true)
	if err != nil {
		return err
	}
	o.mode, o.secret, o.seq = m, bytes.Clone(secret), 0
	return nil
}

// Next passes on to the keys behind a KeyUpdate, which is the last record with
// the ones before.
func (o *Opener) Next() error {
	if !o.is13 {
		return fmt.Errorf("key update before TLS 1.3: %w", ErrUnsupported)
	}
	if o.secrets != nil {
		return errors.New("key update before the first record")
	}
	next, err := nextSecret(o.is.prf, o.secret)
	if err != nil {
		return err
	}
	return o.rekey(next)
}

// Skip says that n records are missing from the capture, or were passed over.
func (o *Opener) Skip(n uint64) {
	if n > 0 {
		o.seq += n
		o.mode.skip()
	}
}

// Open opens the next record, given the fields of its header and its body as
// they crossed. It appends the content to dst, which must not overlap body, and
// returns the content's type and the extended slice.
//
// With ErrTag nothing is known of the record and o is as before: so one can
// look for the sequence number behind a gap by Skip(1), or try the secret of
// early data and then that of the handshake. With any other result the record
// is done.
func (o *Opener) Open(dst []byte, recordType uint8, version uint16, body []byte) (uint8, []byte, error) {
	r := sealed{o.seq, recordType, version, body}
	var out []byte
	var err error
	if o.secrets != nil {
		out, err = o.first(dst, r)
	} else {
		out, err = o.mode.open(dst, r)
	}
	if errors.Is(err, ErrLost) {
		o.seq++
	}
	if err != nil {
		return 0, dst, err
	}
	o.seq++
	if !o.is13 {
		return recordType, out, nil
	}
	// TLSInnerPlaintext: content, type, zeros (RFC 8446, Section 5.2).
	inner := bytes.TrimRight(out[len(dst):], "\x00")
	if len(inner) == 0 {
		return 0, dst, ErrContent
	}
	last := len(inner) - 1
	return inner[last], out[:len(dst)+last], nil
}

// An aead is the half of [cipher.AEAD] that is needed here.
type aead interface {
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// An aeadMode opens records of AEAD suites (RFC 5246, Section 6.2.3.3;
// RFC 8446, Section 5.2).
type aeadMode struct {
	aead     aead
	tag      int
	iv       []byte
	explicit int // bytes of the nonce that each record carries
	is13     bool
	nonce    [12]byte
	ad       [13]byte
}

func newAEADMode(p protection, key, iv []byte, is13 bool) (*aeadMode, error) {
	m := &aeadMode{tag: p.tag, iv: iv, explicit: 12 - len(iv), is13: is13}
	if p.kind == chacha20 {
		var err error
		m.aead, err = chacha20poly1305.New(key)
		return m, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if p.kind == aesCCM {
		m.aead = ccm{block, p.tag}
		return m, nil
	}
	m.aead, err = cipher.NewGCM(block)
	return m, err
}

func (m *aeadMode) open(dst []byte, r sealed) ([]byte, error) {
	n := len(r.body) - m.explicit - m.tag
	if n < 0 {
		return nil, tooShort(r.body)
	}
	nonce := m.nonce[:]
	copy(nonce, m.iv)
	if m.explicit > 0 {
		copy(nonce[len(m.iv):], r.body)
	} else {
		// RFC 8446, Section 5.3; RFC 7905, Section 2.
		low := nonce[len(nonce)-8:]
		binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^r.seq)
	}
	ad := m.ad[:0]
	if m.is13 {
		n = len(r.body) // it is the length in the header
	} else {
		ad = binary.BigEndian.AppendUint64(ad, r.seq)
	}
	ad = appendHeader(ad, r, n)
	out, err := m.aead.Open(dst, nonce, r.body[m.explicit:], ad)
	if err != nil {
		return nil, ErrTag
	}
	return out, nil
}

func (m *aeadMode) skip() {}

func (m *aeadMode) clone() mode {
	c := *m
	return &c
}

// appendHeader appends type, version and length.
func appendHeader(b []byte, r sealed, n int) []byte {
	return append(b, r.kind, byte(r.version>>8), byte(r.version), byte(n>>8), byte(n))
}

func tooShort(body []byte) error {
	return fmt.Errorf("%w: %d bytes are too few", ErrTag, len(body))
}

// recordMAC is the HMAC over a record (RFC 5246, Section 6.2.3.1).
func recordMAC(mac hash.Hash, r sealed, content []byte) []byte {
	mac.Reset()
	mac.Write(appendHeader(binary.BigEndian.AppendUint64(nil, r.seq), r, len(content)))
	mac.Write(content)
	return mac.Sum(nil)
}

// A macKey makes a connection's HMACs.
type macKey struct {
	hash crypto.Hash
	key  []byte
}

func (k macKey) new() hash.Hash { return hmac.New(k.hash.New, k.key) }

// A cbcMode opens records of CBC suites (RFC 5246, Section 6.2.3.2; RFC 2246,
// Section 6.2.3.2; RFC 7366).
type cbcMode struct {
	block          cipher.Block
	key            macKey
	mac            hash.Hash
	encryptThenMAC bool
	// chained says that a record's IV is the last block of the record before
	// (TLS 1.0); iv is that block, nil if it is not known.
	chained bool
	iv      []byte
}

func newCBCMode(kind cipherKind, key, iv []byte, h crypto.Hash, mac []byte, encryptThenMAC bool) (*cbcMode, error) {
	k := macKey{h, mac}
	m := &cbcMode{key: k, mac: k.new(), encryptThenMAC: encryptThenMAC, chained: len(iv) > 0, iv: bytes.Clone(iv)}
	var err error
	if kind == desCBC {
		m.block, err = des.NewTripleDESCipher(key)
	} else {
		m.block, err = aes.NewCipher(key)
	}
	return m, err
}

func (m *cbcMode) open(dst []byte, r sealed) ([]byte, error) {
	body := r.body
	size := m.block.BlockSize()
	if m.encryptThenMAC {
		// The MAC covers the IV and the ciphertext (RFC 7366, Section 3).
		at := len(body) - m.mac.Size()
		if at < 0 {
			return nil, tooShort(r.body)
		}
		if subtle.ConstantTimeCompare(recordMAC(m.mac, r, body[:at]), body[at:]) != 1 {
			return nil, ErrTag
		}
		body = body[:at]
	}
	iv := m.iv
	if !m.chained {
		if len(body) < size {
			return nil, tooShort(r.body)
		}
		iv, body = body[:size], body[size:]
	}
	if len(body) == 0 || len(body)%size != 0 {
		return nil, fmt.Errorf("%w: %d bytes are not whole blocks", ErrTag, len(body))
	}
	last := body[len(body)-size:]
	if iv == nil {
		m.iv = bytes.Clone(last)
		return nil, ErrLost
	}
	text := make([]byte, len(body))
	cipher.NewCBCDecrypter(m.block, iv).CryptBlocks(text, body)
	content, ok := unpad(text)
	if !ok {
		return nil, ErrTag
	}
	if !m.encryptThenMAC {
		at := len(content) - m.mac.Size()
		if at < 0 || subtle.ConstantTimeCompare(recordMAC(m.mac, r, content[:at]), content[at:]) != 1 {
			return nil, ErrTag
		}
		content = content[:at]
	}
	if m.chained {
		m.iv = bytes.Clone(last)
	}
	return append(dst, content...), nil
}

func (m *cbcMode) skip() {
	if m.chained {
		m.iv = nil
	}
}

func (m *cbcMode) clone() mode {
	c := *m
	c.mac = m.key.new()
	return &c
}

// unpad removes the padding: its length n, n+1 times.
func unpad(b []byte) ([]byte, bool) {
	n := int(b[len(b)-1]) + 1
	if n > len(b) {
		return nil, false
	}
	for _, p := range b[len(b)-n:] {
		if int(p)+1 != n {
			return nil, false
		}
	}
	return b[:len(b)-n], true
}

// An rc4Mode opens records of RC4 suites, whose key stream never begins anew.
type rc4Mode struct {
	cipher rc4.Cipher
	key    macKey
	mac    hash.Hash
	lost   bool
}

func newRC4Mode(key []byte, h crypto.Hash, mac []byte) (*rc4Mode, error) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		return nil, err
	}
	k := macKey{h, mac}
	return &rc4Mode{cipher: *c, key: k, mac: k.new()}, nil
}

func (m *rc4Mode) open(dst []byte, r sealed) ([]byte, error) {
	if m.lost {
		return nil, ErrLost
	}
	at := len(r.body) - m.mac.Size()
	if at < 0 {
		return nil, tooShort(r.body)
	}
	after := m.cipher
	text := make([]byte, len(r.body))
	after.XORKeyStream(text, r.body)
	if subtle.ConstantTimeCompare(recordMAC(m.mac, r, text[:at]), text[at:]) != 1 {
		return nil, ErrTag
	}
	m.cipher = after
	return append(dst, text[:at]...), nil
}

func (m *rc4Mode) skip() { m.lost = true }

func (m *rc4Mode) clone() mode {
	c := *m
	c.mac = m.key.new()
	return &c
}
