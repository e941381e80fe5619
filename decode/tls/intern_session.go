package tls

import (
	"unsafe"

	"distproof/decode/fact"
)

// intern returns what s has, kept once for all connections of which the same is
// known, but not s itself. What has frames or offsets of one connection in it, or was
// decrypted, is kept by that one.
func (s *Session) intern(t *Tables) *Session {
	alone := s.Failure != nil || len(s.Alerts) > 0 || s.Foreign != [2]*Foreign{} || s.Preamble != [2]int64{} ||
		s.KeyLog != "" || s.Opened != [2]Opened{}
	if alone {
		return s.clone()
	}
	var room [1024]byte
	return t.sessions.Get(s.appendKey(room[:0]), s.clone)
}

func (s *Session) clone() *Session {
	c := *s
	return &c
}

// appendKey appends all of a session that others may have: the same bytes if and
// only if that is the same. Chains are kept once, and told by their places.
func (s *Session) appendKey(b []byte) []byte {
	b = appendNumbers(b, []uint16{uint16(s.Version), uint16(s.Suite), s.Group})
	b = appendFlags(b, s.Retried, s.Finished, s.Unanswered, s.Unsynced[0], s.Unsynced[1], s.Obscured, s.Damaged, s.Renegotiated,
		s.MayAskLater, s.Distribution, s.Ticking, s.Ticks)
	b = appendFact(appendFact(b, s.Resumed), s.Established)
	c, v := &s.ClientCertificate, &s.ServerCertificate
	b = append(b, byte(c.Status), byte(c.Basis), byte(c.Possession), byte(v.Basis), byte(v.Possession))
	b = appendNumber(appendNumber(b, int(c.Scheme)), int(v.Scheme))
	b = appendFact(appendFact(appendFact(b, c.Requested), c.Signature), v.Signature)
	b = appendText(b, c.Reason)
	b = appendChain(appendChain(b, c.Chain), v.Chain)
	b = append(b, byte(s.Shape.Stage))
	b = appendFlags(b, s.Shape.Refused, s.Shape.Crossed, s.Shape.Named, s.Shape.Exact, s.Shape.More, s.Shape.last)
	return appendNumber(appendNumber(b, s.Shape.ClientName), s.Shape.ServerName)
}

func appendFact(b []byte, f fact.Fact) []byte {
	return appendText(append(b, byte(f.Value), byte(f.Basis)), f.Reason)
}

func appendChain(b []byte, chain [][]byte) []byte {
	b = appendNumber(b, len(chain))
	return appendNumber(b, int(uintptr(unsafe.Pointer(unsafe.SliceData(chain)))))
}
