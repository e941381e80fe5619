package tls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"distproof/decode/secrets"
	"distproof/decode/tcp"
)

// Limits on what is kept for a key log.
const (
	// maxHeld bounds the encrypted bytes that a direction keeps until there are
	// secrets for it: a handshake with long chains, and what shows that it was
	// accepted.
	maxHeld = 64 << 10
	// maxAnswers bounds the records behind the handshake of which it is kept
	// what they were.
	maxAnswers = 8
	// maxIssued bounds the session tickets kept. OTP sends three.
	maxIssued = 8
)

// A held record waits to be opened.
type held struct {
	record  Record
	version uint16
	body    []byte
}

// A heldLog has records that wait. They take little more room than their bodies:
// there may be some in each of a million connections.
type heldLog struct {
	records Records
	last    place
	bodies  []byte // of each the time, the version in the header, and the body
}

func (l *heldLog) add(h held) {
	l.records.add(l.last, h.record)
	l.last = placeOf(h.record)
	l.bodies = binary.BigEndian.AppendUint64(l.bodies, uint64(h.record.Time))
	l.bodies = append(binary.BigEndian.AppendUint16(l.bodies, h.version), h.body...)
}

// each calls f with the records; l may be nil.
func (l *heldLog) each(f func(held)) {
	if l == nil {
		return
	}
	rest := l.bodies
	for r := range l.records.All() {
		const header = 8 + 2
		r.Time = int64(binary.BigEndian.Uint64(rest))
		f(held{r, binary.BigEndian.Uint16(rest[8:]), rest[header : header+r.Length]})
		rest = rest[header+r.Length:]
	}
}

// An opening opens the encrypted records of one direction, one after another,
// with what a key log has about the connection.
type opening struct {
	tables *Tables
	suite  Suite
	is13   bool
	random [32]byte // of the ClientHello
	sink   func(tcp.Position, []byte)

	// handshake opens the handshake of TLS 1.3, traffic what follows it, and in
	// TLS 1.2 everything. Either is nil if there is no secret for it.
	handshake, traffic *secrets.Opener

	// flight has the messages up to Finished, finished says that it is there,
	// and records how many records they took.
	flight   []byte
	finished bool
	records  int
	// alert came instead of the Finished; nil if none did.
	alert []byte
	// err says why the flight could not be opened.
	err error

	// answers are the first records behind the flight, of TLS 1.3.
	answers []answer
	tickets []Ticket
	asked   bool   // there was a CertificateRequest behind the flight
	post    []byte // a handshake message behind the flight, being assembled
	// bytes counts the application data opened; stopped says why no more of it
	// was, "" if all of it was.
	bytes   int64
	stopped string
	plain   []byte
}

// An answer is a record behind the flight.
type answer struct {
	record Record
	kind   ContentType
	alert  []byte // valid iff kind is TypeAlert
}

// Retain has the stream keep its first encrypted records, to be opened by
// [Unlock] with what log holds. sink takes the application data, at positions
// that count its bytes. Retain is called before any data.
func (s *Stream) Retain(log *secrets.Log, sink func(tcp.Position, []byte)) {
	s.retained = &retained{tables: s.tables, secrets: log, sink: sink, asked: -1}
}

// mayBeSealed reports whether the record that is being read may be encrypted.
func (s *Stream) mayBeSealed() bool {
	switch s.record.Type {
	case TypeApplicationData:
		return true
	case TypeHandshake:
		return s.ccs
	case TypeAlert:
		return s.record.Length != 2
	}
	return false
}

// hold keeps a part of the body of an encrypted record.
func (s *Stream) hold(b []byte) {
	if s.secrets == nil || s.unheld != "" || !s.mayBeSealed() {
		return
	}
	if s.holding == nil {
		s.holding = make([]byte, 0, s.record.Length)
	}
	s.holding = append(s.holding, b...)
}

// holdRecord opens the record that was kept, or files it until it can be.
func (s *Stream) holdRecord() {
	if s.secrets == nil || s.unheld != "" {
		return
	}
	switch {
	case s.lostOnce || s.gapped && s.mayBeSealed():
		s.holdNoMore("packets are missing")
	case !s.record.Sealed:
	case s.opening != nil:
		s.opening.record(held{s.record, s.headerVersion(), s.holding})
		s.holdNoMore(s.opening.stopped)
	case s.heldBytes+len(s.holding) > maxHeld:
		s.holdNoMore(fmt.Sprintf("more than %d KiB came before there were secrets", maxHeld>>10))
	default:
		s.file()
	}
	s.holding = s.holding[:0]
}

// file puts the record that was kept with those that wait.
func (s *Stream) file() {
	const header = 24 // what a record takes beside its body, about
	n := len(s.holding)
	if s.held == nil {
		s.held = new(heldLog)
	}
	s.held.add(held{s.record, s.headerVersion(), s.holding})
	s.holding = nil
	s.queue.add(s, n+header)
}

func (s *Stream) headerVersion() uint16 { return uint16(s.header[1])<<8 | uint16(s.header[2]) }

// holdNoMore says why records from here on cannot be opened; "" if they can.
func (s *Stream) holdNoMore(why string) {
	if why == "" || s.unheld != "" || s.secrets == nil {
		return
	}
	s.unheld, s.holding = why, nil
	if s.opening != nil {
		s.opening.stop(why)
	}
}

// Unlock opens the records of a connection's directions if the key log has
// their secrets by now, all of them: lines of a key log that grows come one by
// one. [Combine] makes do with what there is. It reports whether it need not be
// tried again.
func Unlock(a, b *Stream) bool {
	client, server := a, b
	if a.role == RoleServer {
		client, server = b, a
	}
	switch {
	case client.secrets == nil || client.opening != nil:
		return true
	case client.hello == nil || server.server == nil || server.server.Retry:
		return false
	case client.asked == client.secrets.Secrets():
		return client.unheld != "" && server.unheld != ""
	}
	client.asked = client.secrets.Secrets()
	keys := client.secrets.Lookup(client.hello.Random)
	if keys == nil {
		return false
	}
	if full := max(client.heldBytes, server.heldBytes) > maxHeld/2; !full && !enough(keys, server.server.Version) {
		client.asked = -1 // it is waited no longer than there is room
		return false
	}
	for _, s := range [2]*Stream{client, server} {
		s.queue.done(s)
	}
	unlock(client, server, keys)
	return true
}

// enough reports whether no more secrets are to come for a connection.
func enough(k *secrets.Secrets, v Version) bool {
	if !v.Is13() {
		return k.Master != nil
	}
	return k.ClientHandshake != nil && k.ServerHandshake != nil && k.ClientTraffic != nil && k.ServerTraffic != nil
}

// unlockLast opens with the secrets that there are. It may run for several
// connections at once.
func unlockLast(client, server *Stream) {
	if client.secrets == nil || client.opening != nil || client.hello == nil || server.server == nil || server.server.Retry {
		return
	}
	if keys := client.secrets.Lookup(client.hello.Random); keys != nil {
		unlock(client, server, keys)
	}
}

func unlock(client, server *Stream, keys *secrets.Secrets) {
	client.unlock(keys, client.hello, server.server, true)
	server.unlock(keys, client.hello, server.server, false)
}

func (s *Stream) unlock(keys *secrets.Secrets, c *ClientHello, h *ServerHello, client bool) {
	o := &opening{tables: s.tables, suite: h.Suite, is13: h.Version.Is13(), random: c.Random, sink: s.sink}
	if o.is13 {
		o.err = o.begin13(keys, client)
	} else {
		o.err = o.begin12(keys, c, h, client)
	}
	s.held.each(o.record)
	o.stop(s.unheld)
	s.opening, s.held = o, nil
	s.holdNoMore(o.stopped)
}

var errNoSecret = errors.New("not in the key log")

func (o *opening) begin12(keys *secrets.Secrets, c *ClientHello, h *ServerHello, client bool) (err error) {
	if keys.Master == nil {
		return errNoSecret
	}
	o.traffic, err = secrets.NewOpener12(uint16(h.Version), uint16(h.Suite), keys.Master, c.Random, h.Random, client, h.EncryptThenMAC)
	return err
}

func (o *opening) begin13(keys *secrets.Secrets, client bool) (err error) {
	handshake, own, other := keys.ServerHandshake, keys.ServerTraffic, keys.ClientTraffic
	if client {
		handshake, own, other = keys.ClientHandshake, other, own
	}
	if own != nil {
		// OTP 27 and 28 log the two for each other (erlang/otp issue 10698).
		candidates := [][]byte{own}
		if other != nil {
			candidates = append(candidates, other)
		}
		if o.traffic, err = secrets.NewOpener13(uint16(o.suite), candidates...); err != nil {
			return err
		}
	}
	if handshake == nil {
		return errNoSecret
	}
	o.handshake, err = secrets.NewOpener13(uint16(o.suite), handshake)
	return err
}

// stop says why no more records are opened; "" if they are.
func (o *opening) stop(why string) {
	if why == "" {
		return
	}
	if o.stopped == "" {
		o.stopped = why
	}
	if !o.finished && o.alert == nil && o.err == nil {
		o.err = errors.New(why)
	}
}

// record opens the next record.
func (o *opening) record(r held) {
	switch {
	case o.stopped != "":
	case o.finished:
		o.answer(r)
	case o.err != nil:
		o.seek(r)
	default:
		o.handshakeRecord(r)
	}
}

// open opens r with p.
func (o *opening) open(p *secrets.Opener, r held) (ContentType, error) {
	kind, plain, err := p.Open(o.plain[:0], uint8(r.record.Type), r.version, r.body)
	o.plain = plain
	return ContentType(kind), err
}

// handshakeRecord takes a record of the flight that ends with Finished.
func (o *opening) handshakeRecord(r held) {
	p := o.handshake
	if p == nil {
		p = o.traffic
	}
	kind, err := o.open(p, r)
	switch {
	case err != nil:
		o.err = err
		return
	case kind == TypeHandshake && len(o.flight)+len(o.plain) <= maxMessage:
		o.flight = append(o.flight, o.plain...)
	case kind == TypeHandshake:
		o.err = errors.New("longer than the limit of 256 KiB")
		return
	case kind == TypeAlert && len(o.plain) == 2:
		o.alert = []byte{o.plain[0], o.plain[1]}
		o.stop("an alert ended the handshake")
	default:
		o.err = fmt.Errorf("content type %d inside the handshake", kind)
		return
	}
	o.records++
	_, from := before(o.flight, TypeFinished)
	o.finished = len(from) >= 4 && len(from) >= 4+messageLength(from)
}

// seek looks for the first record behind a handshake for which there is no
// secret: the one that opens with that of the traffic.
func (o *opening) seek(r held) {
	if o.handshake != nil || o.traffic == nil || !errors.Is(o.err, errNoSecret) || o.records > MaxRecords {
		o.stop("the handshake could not be opened")
		return
	}
	kind, err := o.open(o.traffic, r)
	if err != nil {
		o.records++
		return
	}
	o.finished = true
	o.take(r, kind)
}

// answer takes a record behind the flight.
func (o *opening) answer(r held) {
	if o.traffic == nil {
		o.stop("no traffic secret in the key log")
		return
	}
	kind, err := o.open(o.traffic, r)
	if err != nil {
		o.stop(err.Error())
		return
	}
	o.take(r, kind)
}

// take handles the content of a record behind the flight.
func (o *opening) take(r held, kind ContentType) {
	if len(o.answers) < maxAnswers {
		a := answer{record: r.record, kind: kind}
		if kind == TypeAlert {
			a.alert = append(a.alert, o.plain...)
		}
		o.answers = append(o.answers, a)
	}
	switch kind {
	case TypeApplicationData:
		if o.sink != nil && len(o.plain) > 0 {
			o.sink(tcp.Position{Offset: o.bytes, Acked: -1, Time: r.record.Time, Frame: r.record.Frame}, o.plain)
		}
		o.bytes += int64(len(o.plain))
	case TypeHandshake:
		o.postHandshake()
	}
}

// postHandshake handles handshake messages behind the flight: those of TLS 1.3
// (RFC 8446, Section 4.6), or a renegotiation.
func (o *opening) postHandshake() {
	if !o.is13 {
		// A HelloRequest alone changes nothing: the client need not follow it.
		if !bytes.Equal(o.plain, []byte{byte(TypeHelloRequest), 0, 0, 0}) {
			o.stop("renegotiated")
		}
		return
	}
	o.post = append(o.post, o.plain...)
	for len(o.post) >= 4 {
		if messageLength(o.post) > maxMessage {
			o.stop("a handshake message longer than the limit of 256 KiB")
			return
		}
		kind, message, rest := split(o.post)
		if len(message) < 4+messageLength(o.post) {
			return
		}
		o.postMessage(kind, message[4:])
		o.post = rest
	}
}

func (o *opening) postMessage(kind HandshakeType, body []byte) {
	switch kind {
	case TypeNewSessionTicket:
		if t := readSessionTicket13(body); t != (Ticket{}) && len(o.tickets) < maxIssued {
			o.tickets = append(o.tickets, t)
		}
	case TypeCertificateRequest:
		o.asked = true
	case TypeKeyUpdate:
		if err := o.traffic.Next(); err != nil {
			o.stop(err.Error())
		}
	}
}
