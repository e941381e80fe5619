package secrets

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
)

// MaxTranscript bounds a transcript. A handshake with a chain of post-quantum
// certificates on both sides stays below.
const MaxTranscript = 1 << 20

// A Transcript is the handshake messages of both sides up to some point, in the
// order of the protocol, each with its header of four bytes. Records, alerts,
// ChangeCipherSpec and HelloRequest are no part of it.
type Transcript struct {
	messages []byte
	first    int // length of the first message
	missing  bool
}

// TranscriptIn returns an empty Transcript that has its messages in room as long as
// they fit.
func TranscriptIn(room []byte) Transcript { return Transcript{messages: room[:0]} }

// Add appends handshake messages: one at a time, or several as they lie in a
// row.
func (t *Transcript) Add(messages []byte) {
	if len(t.messages)+len(messages) > MaxTranscript {
		t.Miss()
		return
	}
	if len(t.messages) == 0 {
		t.first = len(messages)
	}
	t.messages = append(t.messages, messages...)
}

// Miss says that a message is not known: nothing can be checked against the
// transcript from here on.
func (t *Transcript) Miss() { t.missing, t.messages = true, nil }

// Retry puts the hash of the first ClientHello in its place, which a
// HelloRetryRequest of TLS 1.3 asks for (RFC 8446, Section 4.4.1). It is called
// when the first ClientHello was added, alone, and the request was not yet.
func (t *Transcript) Retry(suite uint16) error {
	const messageHash = 254
	p, err := suite13(suite)
	if err != nil {
		return err
	}
	if t.missing || t.first == 0 || t.first != len(t.messages) {
		return fmt.Errorf("retry: the transcript is not a ClientHello: %w", ErrUnsupported)
	}
	sum := digestOf(p.prf, t.messages)
	t.messages = append([]byte{messageHash, 0, 0, byte(len(sum))}, sum...)
	return nil
}

// Clone returns a copy that can be added to on its own.
func (t *Transcript) Clone() *Transcript {
	c := *t
	c.messages = c.messages[:len(c.messages):len(c.messages)]
	return &c
}

// bytes returns the messages.
func (t *Transcript) bytes() ([]byte, error) {
	if t == nil || t.missing || len(t.messages) == 0 {
		return nil, fmt.Errorf("check without the handshake messages before: %w", ErrUnsupported)
	}
	// A message cut short or added without its header would make every check
	// fail as if the peer had erred.
	for rest := t.messages; len(rest) > 0; {
		if len(rest) < 4 {
			return nil, fmt.Errorf("handshake messages before: %w", ErrMalformed)
		}
		n := 4 + int(binary.BigEndian.Uint32(rest)&0xffffff)
		if n > len(rest) {
			return nil, fmt.Errorf("handshake messages before: %w", ErrMalformed)
		}
		rest = rest[n:]
	}
	return t.messages, nil
}

// digestOf returns the hash of b. MD5SHA1 is MD5 and SHA-1, one after the other.
func digestOf(h crypto.Hash, b []byte) []byte {
	if h == crypto.MD5SHA1 {
		m, s := md5.Sum(b), sha1.Sum(b)
		return append(m[:], s[:]...)
	}
	sum := h.New()
	sum.Write(b)
	return sum.Sum(nil)
}
