// Package secrets is the cryptography of a passive observer: it reads key logs,
// opens TLS records with what they hold, and checks the signatures and Finished
// messages of handshakes.
//
// Nothing here decides what a result means. A nil error always says that
// something was computed and matched; every error says whether it was computed
// and did not match, or could not be computed.
package secrets

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Limits on a key log.
const (
	// MaxSecrets bounds the secrets that a Log keeps, all its files together:
	// more than 100 MB of key log, in 100 to 300 MB of memory.
	MaxSecrets = 1 << 20
	// maxLine bounds a line. Those that matter have 200 bytes, those of ECH,
	// which do not, more.
	maxLine = 32 << 10
	// masterLength is the length of a master secret (RFC 5246, Section 8.1).
	masterLength = 48
)

// Secrets are what key logs hold about one handshake; nil is what they do not
// hold. The slices are not to be written to.
type Secrets struct {
	// Master is the master secret of TLS 1.0 to 1.2. It opens everything that
	// the connection carried: these versions have no secret for the handshake
	// alone.
	Master []byte
	// ClientHandshake and ServerHandshake open the handshake of TLS 1.3 and
	// nothing behind it.
	ClientHandshake, ServerHandshake []byte
	// ClientTraffic and ServerTraffic open what follows the handshake of
	// TLS 1.3, until a key update and, by way of it, beyond.
	ClientTraffic, ServerTraffic []byte
	// ClientEarly opens the client's early data.
	ClientEarly []byte
}

// A label is one of the NSS key log format that a Log knows.
type label struct {
	field func(*Secrets) *[]byte // nil: not needed
	// handshake says that the secret opens no application data.
	handshake bool
	lengths   [2]int
}

var anyHash = [2]int{32, 48}

// labels are those that this package uses, and what else has been registered
// (draft-ietf-tls-keylogfile): a line with one of those is no mistake.
var labels = map[string]label{
	"CLIENT_RANDOM":                   {field: func(s *Secrets) *[]byte { return &s.Master }, lengths: [2]int{masterLength, masterLength}},
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET": {field: func(s *Secrets) *[]byte { return &s.ClientHandshake }, lengths: anyHash, handshake: true},
	"SERVER_HANDSHAKE_TRAFFIC_SECRET": {field: func(s *Secrets) *[]byte { return &s.ServerHandshake }, lengths: anyHash, handshake: true},
	"CLIENT_TRAFFIC_SECRET_0":         {field: func(s *Secrets) *[]byte { return &s.ClientTraffic }, lengths: anyHash},
	"SERVER_TRAFFIC_SECRET_0":         {field: func(s *Secrets) *[]byte { return &s.ServerTraffic }, lengths: anyHash},
	"CLIENT_EARLY_TRAFFIC_SECRET":     {field: func(s *Secrets) *[]byte { return &s.ClientEarly }, lengths: anyHash},

	"RSA":                   {}, // encrypted premaster secret instead of a random
	"EARLY_EXPORTER_SECRET": {}, "EXPORTER_SECRET": {},
	"ECH_SECRET": {}, "ECH_CONFIG": {},
}

// A Log holds the secrets of key logs by the client random of their handshake.
// It is safe for concurrent use.
type Log struct {
	mu       sync.RWMutex
	byRandom map[[32]byte]*Secrets
	kept     int
	withheld bool
	limit    int // MaxSecrets, unless a test says otherwise
	arena    []byte
}

// Options say how a key log is read.
type Options struct {
	// HandshakeOnly keeps only what cannot open application data: the two
	// handshake secrets of TLS 1.3. It passes over the traffic secrets, the one
	// for early data, and the master secret of TLS 1.2, whose certificates and
	// signatures cross in the clear and need no secret.
	HandshakeOnly bool
	// Growing leaves a last line without an end unread: it may be half
	// written. [Stats.Bytes] says where to go on.
	Growing bool
}

// Stats say what a key log held.
type Stats struct {
	// Lines is the number of lines, Bytes what they take.
	Lines int
	Bytes int64
	// Secrets were kept. Duplicates were known already.
	Secrets, Duplicates int
	// Conflicts gave a label and random another secret than a line before. The
	// first is kept; which of them is right shows when a record opens.
	Conflicts int
	// Ignored are lines whose label is for something else.
	Ignored int
	// Withheld were passed over because of HandshakeOnly.
	Withheld int
	// Dropped were beyond MaxSecrets.
	Dropped int
	// Bad lines are not of the format; the first is number FirstBad, from 1,
	// and Reason says what is wrong with it, without a part of a secret.
	Bad, FirstBad int
	Reason        string
}

// Add adds what a further part of the same key log held.
func (s *Stats) Add(t Stats) {
	if s.Bad == 0 && t.Bad > 0 {
		s.FirstBad, s.Reason = s.Lines+t.FirstBad, t.Reason
	}
	s.Lines += t.Lines
	s.Bytes += t.Bytes
	s.Secrets += t.Secrets
	s.Duplicates += t.Duplicates
	s.Conflicts += t.Conflicts
	s.Ignored += t.Ignored
	s.Withheld += t.Withheld
	s.Dropped += t.Dropped
	s.Bad += t.Bad
}

// Lookup returns the secrets of the handshake whose ClientHello had the given
// random, or nil.
func (l *Log) Lookup(random [32]byte) *Secrets {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.byRandom[random]
	if s == nil {
		return nil
	}
	now := *s // more may be read meanwhile
	return &now
}

// HandshakeOnly reports whether secrets were passed over because they open more
// than a handshake.
func (l *Log) HandshakeOnly() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.withheld
}

// Secrets returns the number of secrets in l: if it is the same as before,
// nothing has been added.
func (l *Log) Secrets() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.kept
}

// Read adds the key log r, in the NSS format, to l. The error is one of r;
// lines that are wrong only count.
func (l *Log) Read(r io.Reader, o Options) (Stats, error) {
	var st Stats
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		size := int64(len(line))
		long := errors.Is(err, bufio.ErrBufferFull)
		if long {
			line = bytes.Clone(line[:64]) // the label is all that is looked at
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			var more []byte
			more, err = in.ReadSlice('\n')
			size += int64(len(more))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return st, fmt.Errorf("read key log: %w", err)
		}
		if size == 0 || err != nil && o.Growing {
			return st, nil
		}
		st.Lines++
		if st.Bytes == 0 {
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // as Windows editors write
		}
		st.Bytes += size
		if reason := l.line(line, long, o, &st); reason != "" {
			if st.Bad++; st.Bad == 1 {
				st.FirstBad, st.Reason = st.Lines, reason
			}
		}
		if err != nil {
			return st, nil
		}
	}
}

// line takes one line. It returns what is wrong with it, or "".
func (l *Log) line(line []byte, long bool, o Options, st *Stats) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	word, rest := cutBlank(bytes.TrimSpace(line))
	if len(word) == 0 || word[0] == '#' {
		return ""
	}
	known, ok := labels[string(word)]
	switch {
	case ok && known.field == nil:
		st.Ignored++
		return ""
	case long:
		return fmt.Sprintf("longer than %d bytes", maxLine)
	}
	random, secret := cutBlank(rest)
	if !ok {
		if isLabel(word) && isHex(random) && isHex(secret) {
			st.Ignored++
			return ""
		}
		return "not a line of a key log: LABEL, client random and secret in hexadecimal"
	}
	var key [32]byte
	if len(random) != hex.EncodedLen(len(key)) || !isHex(random) {
		return fmt.Sprintf("%s: the client random has not 64 hexadecimal digits", word)
	}
	n := hex.DecodedLen(len(secret))
	if !isHex(secret) || len(secret)%2 != 0 || n != known.lengths[0] && n != known.lengths[1] {
		return fmt.Sprintf("%s: the secret has not %s hexadecimal digits", word, digits(known.lengths))
	}
	if o.HandshakeOnly && !known.handshake {
		st.Withheld++
		l.withheld = true
		return ""
	}
	_, _ = hex.Decode(key[:], random) // both were checked above
	var value [masterLength]byte
	_, _ = hex.Decode(value[:], secret)
	l.add(key, known, value[:n], st)
	return ""
}

// add keeps a secret, unless one is known or there is no room.
func (l *Log) add(random [32]byte, is label, secret []byte, st *Stats) {
	s := l.byRandom[random]
	if s != nil {
		if have := *is.field(s); bytes.Equal(have, secret) {
			st.Duplicates++
			return
		} else if have != nil {
			st.Conflicts++
			return
		}
	}
	limit := l.limit
	if limit == 0 {
		limit = MaxSecrets
	}
	if l.kept >= limit {
		st.Dropped++
		return
	}
	if s == nil {
		if l.byRandom == nil {
			l.byRandom = make(map[[32]byte]*Secrets)
		}
		s = new(Secrets)
		l.byRandom[random] = s
	}
	*is.field(s) = l.keep(secret)
	l.kept++
	st.Secrets++
}

// keep copies b to where many secrets share an allocation.
func (l *Log) keep(b []byte) []byte {
	if cap(l.arena)-len(l.arena) < len(b) {
		l.arena = make([]byte, 0, 4<<10)
	}
	n := len(l.arena)
	l.arena = append(l.arena, b...)
	return l.arena[n:len(l.arena):len(l.arena)]
}

// cutBlank cuts the first word off b.
func cutBlank(b []byte) (word, rest []byte) {
	i := bytes.IndexAny(b, " \t")
	if i < 0 {
		return b, nil
	}
	return b[:i], bytes.TrimLeft(b[i:], " \t")
}

// isLabel reports whether b has the form of the labels that are registered.
func isLabel(b []byte) bool {
	for _, c := range b {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return len(b) > 0
}

func digits(lengths [2]int) string {
	if lengths[0] == lengths[1] {
		return fmt.Sprint(2 * lengths[0])
	}
	return fmt.Sprintf("%d or %d", 2*lengths[0], 2*lengths[1])
}
