package tls

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"distproof/capture"
	"distproof/decode/tcp"
)

// cat joins bytes, strings and numbers up to 255.
func cat(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			out = append(out, byte(p))
		case string:
			out = append(out, p...)
		case []byte:
			out = append(out, p...)
		default:
			panic("cat: unexpected type")
		}
	}
	return out
}

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u24(n int) []byte { return []byte{byte(n >> 16), byte(n >> 8), byte(n)} }

func zeros(n int) []byte { return make([]byte, n) }

// v8, v16 and v24 are vectors with a length of that many bits.
func v8(parts ...any) []byte  { b := cat(parts...); return cat(len(b), b) }
func v16(parts ...any) []byte { b := cat(parts...); return cat(u16(len(b)), b) }
func v24(parts ...any) []byte { b := cat(parts...); return cat(u24(len(b)), b) }

// u16s is a list of numbers of two bytes.
func u16s(ns ...int) []byte {
	var out []byte
	for _, n := range ns {
		out = append(out, u16(n)...)
	}
	return out
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func record(kind ContentType, parts ...any) []byte {
	return cat([]byte{byte(kind), 3, 3}, v16(parts...))
}

func message(kind HandshakeType, parts ...any) []byte {
	return cat([]byte{byte(kind)}, v24(parts...))
}

// handshake is a record of its own with one message.
func handshake(kind HandshakeType, parts ...any) []byte {
	return record(TypeHandshake, message(kind, parts...))
}

// sealed is an encrypted record of TLS 1.3, or application data before.
func sealed(length int) []byte { return record(TypeApplicationData, zeros(length)) }

var changeCipherSpec = record(TypeChangeCipherSpec, 1)

func ext(id int, parts ...any) []byte { return cat(u16(id), v16(parts...)) }

// certificateOf is as much of somebody's certificate as is read of one: its key
// is of a kind with which nothing can be checked here (DSA).
func certificateOf(name string) []byte {
	sequence := func(parts ...any) []byte { b := cat(parts...); return cat(0x30, len(b), b) }
	key := sequence(sequence(unhex("06 07 2a 86 48 ce 38 04 01")), 0x03, 2, 0, 1)
	subject := sequence(0x0c, len(name), name)
	return sequence(sequence(0x02, 1, 1, sequence(), sequence(), sequence(), subject, key), sequence(), 0x03, 1, 0)
}

// random is that of a hello.
var random = []byte("0123456789abcdef0123456789abcdef")

// clientHello is the body of a ClientHello with the given extensions.
func clientHello(exts ...any) []byte {
	return cat(3, 3, random, v8(), v16(u16s(0x1302, 0xc02c)), v8(0), v16(exts...))
}

// versions13 are what a hello of TLS 1.3 says of versions.
var (
	offers13 = ext(extSupportedVersions, v8(u16s(0x0304, 0x0303)))
	takes13  = ext(extSupportedVersions, u16(0x0304))
)

// serverHello is the body of a ServerHello with the given extensions.
func serverHello(suite int, exts ...any) []byte {
	return cat(3, 3, random, v8(), u16(suite), 0, v16(exts...))
}

var (
	hello13      = clientHello(offers13, ext(extServerName, v16(0, v16("n2.lab"))))
	hello12      = clientHello(ext(extServerName, v16(0, v16("n2.lab"))))
	helloRetry   = cat(3, 3, retryRandom[:], v8(), u16(0x1302), 0, v16(takes13, ext(extKeyShare, u16(29))))
	helloServer  = serverHello(0x1302, takes13, ext(extKeyShare, u16(29), v16(zeros(32))))
	helloServer2 = serverHello(0xc02c)
)

// A talk is a connection whose sides speak in turn. A side has read all that
// the other said before, unless it is deaf.
type talk struct {
	streams [2]*Stream
	sent    [2]int64
	heard   [2]int64 // of the other side's bytes
	frame   uint32
	pieces  int // feed at most that many bytes at once; 0: no limit
}

const (
	client = 0
	server = 1
)

func newTalk() *talk {
	return &talk{streams: [2]*Stream{NewStream(AtStart), NewStream(AtStart)}}
}

// say sends bytes as one segment.
func (t *talk) say(side int, parts ...any) {
	t.heard[side] = t.sent[1-side]
	t.deaf(side, parts...)
}

// deaf sends bytes without having read what the other side said since.
func (t *talk) deaf(side int, parts ...any) {
	b := cat(parts...)
	t.frame++
	for len(b) > 0 {
		n := len(b)
		if t.pieces > 0 {
			n = min(n, t.pieces)
		}
		t.streams[side].Data(t.at(side), b[:n])
		t.sent[side] += int64(n)
		b = b[n:]
	}
}

// lose sends bytes that are missing from the capture.
func (t *talk) lose(side int, parts ...any) {
	n := int64(len(cat(parts...)))
	t.frame++
	t.streams[side].Gap(t.at(side), n)
	t.sent[side] += n
	t.heard[side] = t.sent[1-side]
}

func (t *talk) at(side int) tcp.Position {
	return tcp.Position{Offset: t.sent[side], Acked: t.heard[side], Time: int64(t.frame) * 1e9, Frame: capture.Frame{Number: t.frame}}
}

// lines sends a record of each length in a segment.
func (t *talk) lines(side int, lengths ...int) {
	var b []byte
	for _, n := range lengths {
		b = append(b, sealed(n)...)
	}
	t.say(side, b)
}

// end states the facts.
func (t *talk) end(closedBy Role) *Facts { return t.combine(Ending{Whole: true, ClosedBy: closedBy}) }

func (t *talk) combine(e Ending) *Facts {
	for _, s := range t.streams {
		s.End()
	}
	return Combine(t.streams[client], t.streams[server], e)
}

// records returns the logged records.
func (s *Stream) records() []Record { return slices.Collect(s.log.All()) }

// trusted returns those of them that [side] has.
func (s *Stream) trusted() []Record {
	x := newCombiner(s, nil)
	defer x.release()
	return slices.Clone(x.c.trusted)
}

// sealedOf returns the encrypted ones of these that are of the given type.
func (s *Stream) sealedOf(t ContentType) []Record {
	return slices.DeleteFunc(s.trusted(), func(r Record) bool { return r.Type != t || !r.Sealed })
}
