package decode_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/internal/octets"
)

const (
	client, server = decode.Client, decode.Server

	second = int64(1_000_000_000)
)

// A talk is a capture in the making.
type talk struct {
	segments []link.Segment
	time     int64
	input    uint32 // of the capture
}

// A dialog is one TCP connection of it.
type dialog struct {
	*talk
	ends          [2]link.Endpoint
	next          [2]uint32 // sequence numbers
	encapsulation uint16
}

func newTalk() *talk { return &talk{time: 1_790_000_000 * second} }

func endpoint(s string) link.Endpoint {
	a := netip.MustParseAddrPort(s)
	return link.Endpoint{Addr: a.Addr().As16(), Port: a.Port()}
}

// joins returns a connection whose beginning is not captured.
func (t *talk) joins(clientAt, serverAt string) *dialog {
	n := uint32(len(t.segments)) * 1_000_003
	return &dialog{talk: t, ends: [2]link.Endpoint{endpoint(clientAt), endpoint(serverAt)}, next: [2]uint32{n + 1_000, n + 2_000_000}}
}

// dials returns a connection that is opened.
func (t *talk) dials(clientAt, serverAt string) *dialog {
	d := t.joins(clientAt, serverAt)
	d.syn()
	d.synAck()
	d.segment(client, link.ACK, nil)
	return d
}

func (d *dialog) syn() {
	d.segment(client, link.SYN, nil)
	d.next[client]++
}

func (d *dialog) synAck() {
	d.segment(server, link.SYN|link.ACK, nil)
	d.next[server]++
}

func (d *dialog) segment(side int, f link.Flags, payload []byte) {
	d.time += 1_000_000
	n := len(d.segments) + 1
	s := link.Segment{
		Src: d.ends[side], Dst: d.ends[1-side], Seq: d.next[side], Flags: f,
		Payload: payload, Length: len(payload), Time: d.time, Frame: capture.Frame{Number: uint32(n), Input: d.input},
		Identity: uint32(n), Encapsulation: d.encapsulation,
	}
	if f.Has(link.ACK) {
		s.Ack = d.next[1-side]
	}
	d.segments = append(d.segments, s)
}

// sends has a side send bytes, in one segment each, knowing all that came before.
func (d *dialog) sends(side int, payloads ...[]byte) *dialog {
	for _, b := range payloads {
		d.segment(side, link.ACK|link.PSH, b)
		d.next[side] += uint32(len(b))
	}
	return d
}

// misses has a side send n bytes that are not captured.
func (d *dialog) misses(side, n int) *dialog {
	d.next[side] += uint32(n)
	return d
}

// closes has a side close first, and the other one answer.
func (d *dialog) closes(side int) *dialog {
	for _, who := range []int{side, 1 - side} {
		d.segment(who, link.FIN|link.ACK, nil)
		d.next[who]++
	}
	return d
}

func (d *dialog) waits(ns int64) *dialog {
	d.time += ns
	return d
}

// finish decodes what was captured.
func (t *talk) finish(o decode.Options) *decode.Capture {
	dec := decode.NewDecoder(o)
	for i := range t.segments {
		s := t.segments[i]
		dec.Segment(&s)
	}
	return dec.Finish(func(n uint16) []string { return strings.Split(strings.Repeat("vlan 5 ", int(n)), " ")[:n] })
}

// only returns the one connection of the capture.
func (t *talk) only(tb testing.TB, o decode.Options) *decode.Connection {
	tb.Helper()
	c := t.finish(o).Connections
	if len(c) != 1 {
		tb.Fatalf("%d connections, want 1", len(c))
	}
	return c[0]
}

var cat = octets.Cat

func u16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u24(n int) []byte    { return u32(n)[1:] }
func u32(n int) []byte    { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// with16 puts a length of two bytes in front.
func with16(parts ...any) []byte { b := cat(parts...); return append(u16(len(b)), b...) }

// EPMD's messages (OTP erl_dist_protocol, "Distribution Protocol").

func alive2(port int, name string) []byte {
	return with16('x', u16(port), 'M', 0, u16(6), u16(5), with16(name), u16(0))
}

var alive2Resp = cat('v', 0, u32(7))

func portPlease(name string) []byte { return with16('z', name) }

func port2(port int, name string) []byte {
	return cat('w', 0, u16(port), 'M', 0, u16(6), u16(5), with16(name), u16(0))
}

// asks has somebody ask a port mapper for a node.
func (t *talk) asks(mapper, name string, port int) {
	d := t.dials("10.1.0.9:50000", mapper)
	d.sends(client, portPlease(name)).sends(server, port2(port, name)).closes(server)
}

// Messages of distribution's handshake in the clear.

const flags25 = 0x0d_07df7fbd // of OTP 25

var (
	digest   = strings.Repeat("\x5c", 16)
	statusOK = with16("sok")
	reply    = with16('r', u32(0x01020304), digest)
	ack      = with16('a', digest)
	tick     = u32(0)
)

func sendName(name string) []byte { return with16('N', u64(flags25), u32(7), with16(name)) }
func challenge(name string) []byte {
	return with16('N', u64(flags25), u32(0x0a0b0c0d), u32(8), with16(name))
}

// connects plays distribution's handshake in the clear.
func (d *dialog) connects(a, b string) *dialog {
	d.sends(client, sendName(a)).sends(server, statusOK, challenge(b))
	return d.sends(client, reply).sends(server, ack)
}

// regSend is a message to the registered name rex.
func regSend() []byte {
	pid := cat('X', 's', 4, "a@n1", u32(1), u32(0), u32(7)) // NEW_PID_EXT
	b := cat(131, 68, 0, 104, 4, 97, 6, pid, 's', 0, 's', 3, "rex", 131, 97, 1)
	return append(u32(len(b)), b...)
}

// TLS.

func record(kind int, parts ...any) []byte { return cat(kind, 3, 3, with16(parts...)) }

func handshake(kind int, parts ...any) []byte {
	body := cat(parts...)
	return record(22, kind, u24(len(body)), body)
}

func extension(kind int, parts ...any) []byte { return cat(u16(kind), with16(parts...)) }

func sealed(lengths ...int) []byte {
	var b []byte
	for _, n := range lengths {
		b = append(b, record(23, strings.Repeat("\xe7", n))...)
	}
	return b
}

var (
	random    = strings.Repeat("\x3d", 32)
	ccs       = record(20, 1)
	finished  = record(22, strings.Repeat("\xe7", 40))
	helloDone = handshake(14)
)

// A session describes a TLS session that is played.
type session struct {
	sni     string
	suite   int
	asked   bool   // the server asks for a client certificate
	shown   bool   // the client has one
	offer   string // session id that the client comes with
	ticket  string // session ticket that it comes with
	psk     bool   // TLS 1.3: it resumes
	id      string // session id that the server gives
	issue   string // session ticket that it gives
	resumed bool
	chain   []int // TLS 1.3: the lengths of the records with the server's chain, if it is a long one
	// The lengths of the nodes' names; 0 for no distribution.
	names [2]int
	as    *node // who the client is; nil for nodes[client]
}

// mutualSession is of nodes a@n1.lab and demo@n2.lab.
var mutualSession = session{sni: "n2.lab", asked: true, shown: true, id: "session id of mutual TLS", names: [2]int{8, 11}}

func (s session) but(f func(*session)) session { f(&s); return s }

func (s session) clientHello(version13 bool) []byte {
	var exts []byte
	if s.sni != "" {
		exts = append(exts, extension(0, with16(0, with16(s.sni)))...)
	}
	exts = append(exts, extension(35, s.ticket)...)
	if version13 {
		exts = append(exts, extension(43, 4, u16(0x0304), u16(0x0303))...)
	}
	if s.psk {
		exts = append(exts, extension(41, "identities and binders")...)
	}
	return handshake(1, u16(0x0303), random, len(s.offer), s.offer, with16(u16(s.suite)), 1, 0, with16(exts))
}

func (s session) serverHello(version13 bool, id string) []byte {
	exts := extension(23)
	if version13 {
		exts = extension(43, u16(0x0304))
	}
	if s.psk {
		exts = append(exts, extension(41, u16(0))...)
	}
	return handshake(2, u16(0x0303), random, len(id), id, u16(s.suite), 0, with16(exts))
}

func certificateMessage(der string) []byte {
	if der == "" {
		return handshake(11, u24(0))
	}
	return handshake(11, u24(3+len(der)), u24(len(der)), der)
}

// messages takes handshake messages out of records with one each.
func messages(records ...[]byte) []byte {
	var b []byte
	for _, r := range records {
		b = append(b, r[5:]...)
	}
	return b
}

// A node has a certificate and its key.
type node struct {
	der string
	key *ecdsa.PrivateKey
}

// nodes are the client and the server.
var nodes = [2]node{newNode("client"), newNode("server")}

// newNode makes a node whose certificate is for the given hosts.
func newNode(name string, hosts ...string) node {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return node{string(der), key}
}

// sign makes a DigitallySigned of TLS 1.2 (RFC 5246, Section 4.7) with
// ecdsa_secp256r1_sha256.
func (n node) sign(b []byte) []byte {
	sum := sha256.Sum256(b)
	signature, err := ecdsa.SignASN1(rand.Reader, n.key, sum[:])
	if err != nil {
		panic(err)
	}
	return cat(u16(0x0403), with16(signature))
}

// tls12 plays a session of TLS 1.2 with AES-GCM.
func (d *dialog) tls12(s session) *dialog {
	if s.suite == 0 {
		s.suite = 0xc02c
	}
	d.sends(client, s.clientHello(false))
	var tickets []byte
	if s.issue != "" {
		tickets = handshake(4, u32(300), with16(s.issue))
	}
	if s.resumed {
		d.sends(server, cat(s.serverHello(false, s.offer), tickets, ccs, finished))
		d.sends(client, cat(ccs, finished))
		return d.inside(s, 24)
	}
	params := cat(3, u16(23), 3, "key") // named curve secp256r1
	said := [][]byte{s.clientHello(false), s.serverHello(false, s.id), certificateMessage(nodes[server].der),
		handshake(12, params, nodes[server].sign(cat(random, random, params)))}
	if s.asked {
		said = append(said, handshake(13, "request"))
	}
	said = append(said, helloDone)
	d.sends(server, slices.Concat(said[1:]...))
	var own, verify []byte
	who := nodes[client]
	if s.as != nil {
		who = *s.as
	}
	switch {
	case s.asked && s.shown:
		own = certificateMessage(who.der)
	case s.asked:
		own = certificateMessage("")
	}
	exchange := handshake(16, "key")
	if s.asked && s.shown {
		verify = handshake(15, who.sign(messages(append(said, own, exchange)...)))
	}
	d.sends(client, cat(own, exchange, verify, ccs, finished))
	d.sends(server, cat(tickets, ccs, finished))
	return d.inside(s, 24)
}

// tls13 plays a session of TLS 1.3 with AES-256-GCM, as OTP has it.
func (d *dialog) tls13(s session) *dialog {
	s.suite = 0x1302
	d.sends(client, s.clientHello(true))
	const ee, request, cert, verify, fin = 23, 142, 1027, 96, 69
	theirs, ours := []int{ee}, []int{}
	chain := s.chain
	if chain == nil {
		chain = []int{cert}
	}
	if s.asked && !s.psk {
		theirs = append(theirs, request)
	}
	if !s.psk {
		theirs = append(append(theirs, chain...), verify)
	}
	switch {
	case s.psk:
	case s.asked && s.shown:
		ours = append(ours, cert, verify)
	case s.asked:
		ours = append(ours, 25)
	}
	d.sends(server, cat(s.serverHello(true, s.offer), ccs, sealed(append(theirs, fin)...)))
	d.sends(client, cat(ccs, sealed(append(ours, fin)...)))
	return d.inside(s, 17)
}

// inside plays the handshake of distribution in records of overhead o.
func (d *dialog) inside(s session, o int) *dialog {
	if s.names[0] == 0 {
		return d.sends(client, sealed(300)).sends(server, sealed(700, 700))
	}
	d.sends(client, sealed(19+s.names[0]+o)).sends(server, sealed(7+o), sealed(23+s.names[1]+o))
	return d.sends(client, sealed(25+o)).sends(server, sealed(21+o))
}
