package decode

import (
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/decode/wire"
)

// A stream finds out what one direction of a connection carries and hands its
// bytes to the decoders concerned. It knows nothing of the other direction.
type stream struct {
	// first has the first bytes until they tell what the stream is; nil if they
	// are not needed.
	first *firstBytes
	known bool
	// fromStart says that the stream's first byte was captured, preamble that
	// distribution's handshake may follow on something else.
	fromStart, preamble bool
	// shared is that of the connection.
	shared *shared

	// Several decoders may try at once; settle keeps those that were right.
	tls  *tls.Stream
	dist *dist.Stream
	epmd *epmd.Stream
	// inside decodes what follows where a TLS stream stopped being TLS.
	inside *dist.Stream
	// decrypted decodes what was opened of a TLS stream; nil if nothing was.
	decrypted *dist.Stream
}

// firstBytes are the first of a stream, and where they came from.
type firstBytes struct {
	b      []byte
	pieces []piece
}

func (f *firstBytes) add(at tcp.Position, b []byte) {
	f.b = append(f.b, b...)
	f.pieces = append(f.pieces, piece{at, len(b)})
}

// A piece says where a part of the first bytes came from.
type piece struct {
	at tcp.Position
	n  int
}

// data takes the next bytes. epmdPort says that one end of the connection has a
// port of the Erlang port mapper daemon.
func (s *stream) data(at tcp.Position, b []byte, fromStart, epmdPort bool) {
	if s.known {
		s.feed(at, b)
		return
	}
	if s.first == nil {
		s.fromStart = fromStart
		// Most streams are known at once: b need not be kept for that.
		if s.sniff(b, epmdPort, false) {
			s.feed(at, b)
			return
		}
		s.first = new(firstBytes)
		s.first.add(at, b)
		return
	}
	s.first.add(at, b)
	s.know(epmdPort, false)
}

// know is sniff with what was kept, which the decoders get then.
func (s *stream) know(epmdPort, last bool) {
	first := s.first
	if first == nil {
		first = new(firstBytes)
	}
	if s.sniff(first.b, epmdPort, last) {
		s.first = nil
		first.replay(s.feed)
	}
}

// gap says that n bytes are missing.
func (s *stream) gap(at tcp.Position, n int64, epmdPort bool) {
	if !s.known {
		s.know(epmdPort, true)
	}
	if s.tls != nil {
		s.tls.Gap(at, n)
	}
	if s.dist != nil {
		s.dist.Gap(at, n)
	}
	if s.epmd != nil {
		s.epmd.Gap(at, n)
	}
	if s.inside != nil {
		s.inside.Gap(at, n)
	}
}

// end says that no more bytes will come.
func (s *stream) end(epmdPort bool) {
	if !s.known {
		s.know(epmdPort, true)
	}
	if s.tls != nil {
		s.tls.End()
	}
	if s.dist != nil {
		s.dist.End()
	}
	if s.epmd != nil {
		s.epmd.End()
	}
	if s.inside != nil {
		s.inside.End()
	}
	s.settle()
}

// sniff tells from the first bytes what the stream is, and reports whether it can.
// With last there is nothing more to wait for.
func (s *stream) sniff(head []byte, epmdPort, last bool) bool {
	isTLS, maybeTLS := tls.Raw(head)
	isDist, isEPMD := dist.MatchHandshake(head), matchEPMD(head)
	wait := maybeTLS || isDist == wire.Maybe || isEPMD == wire.Maybe
	switch {
	case isTLS:
		s.tls = s.shared.tls.NewStream(tls.AtStart)
	// Some STOP_REQ have the bytes of a status.
	case isDist == wire.Yes && !(epmdPort && isEPMD != wire.No):
		s.dist = s.distribution(dist.AtHandshake)
	case isEPMD == wire.Yes && !epmdPort:
		s.epmd = epmd.NewStream(epmd.ByContent)
	case !last && wait:
		return false
	case epmdPort && isEPMD != wire.No:
		s.epmd = epmd.NewStream(epmd.ByPort)
	default:
		s.trial(epmdPort)
	}
	if s.tls != nil && s.shared.keys != nil {
		s.tls.Retain(s.shared.log, s.plain)
		s.tls.Bound(s.shared.queue)
	}
	s.known = true
	return true
}

// distribution returns a decoder of distribution.
func (s *stream) distribution(start dist.Start) *dist.Stream {
	return s.shared.dist.NewStream(s.shared.options, start)
}

// replay gives the bytes to a decoder, each with where it came from.
func (f *firstBytes) replay(feed func(tcp.Position, []byte)) {
	rest := f.b
	for _, p := range f.pieces {
		feed(p.at, rest[:p.n])
		rest = rest[p.n:]
	}
}

// maxPreamble is how much may precede distribution's handshake: what a proxy is
// told (SOCKS, HTTP CONNECT) or tells (PROXY).
const maxPreamble = 1 << 10

// behindPreamble looks for distribution's handshake behind something else.
func (s *stream) behindPreamble(at tcp.Position, b []byte) {
	if s.first == nil {
		s.first = new(firstBytes)
	}
	f := s.first
	begun := at.Offset - int64(len(f.b))
	if begun != 0 || len(f.b)+len(b) > maxPreamble || s.dist.Facts().Recognition != dist.NotRecognised {
		s.preamble, s.first = false, nil
		return
	}
	f.add(at, b)
	for i := 1; i+2 < len(f.b); i++ {
		if dist.MatchHandshake(f.b[i:]) != wire.Yes {
			continue
		}
		s.dist = s.distribution(dist.AtHandshake)
		f.replay(func(at tcp.Position, b []byte) {
			if skip := max(0, int64(i)-at.Offset); skip < int64(len(b)) {
				at.Offset += skip
				s.dist.Data(at, b[skip:])
			}
		})
		s.preamble, s.first = false, nil
		return
	}
}

// trial has all decoders try that may be right. Nodes without EPMD may listen
// for distribution on its port.
func (s *stream) trial(epmdPort bool) {
	start := tls.Midstream
	if s.fromStart {
		start, s.preamble = tls.Preamble, true
	}
	s.tls, s.dist = s.shared.tls.NewStream(start), s.distribution(dist.Midstream)
	if epmdPort {
		s.epmd = epmd.NewStream(epmd.ByPort)
	}
}

func (s *stream) feed(at tcp.Position, b []byte) {
	if s.dist != nil {
		s.dist.Data(at, b)
		if s.preamble {
			s.behindPreamble(at, b)
		}
	}
	if s.tls != nil {
		s.tls.Data(at, b)
		s.watchTLS(at, b)
	}
	if s.epmd != nil {
		s.epmd.Data(at, b)
	}
}

// watchTLS gives up the other candidates once the stream is TLS, and looks into
// bytes that are not TLS any more.
func (s *stream) watchTLS(at tcp.Position, b []byte) {
	if s.dist != nil && s.tls.Status() == tls.Synced {
		s.chooseFirst()
	}
	if s.tls == nil {
		return
	}
	f := s.tls.Foreign()
	if f == nil {
		return
	}
	skip := int64(0)
	if s.inside == nil {
		s.inside = s.distribution(dist.Midstream)
		skip = max(0, f.Offset-at.Offset)
	}
	at.Offset += skip
	s.inside.Data(at, b[skip:])
}

// plain takes application data that was opened with a key log.
func (s *stream) plain(at tcp.Position, b []byte) {
	if s.decrypted == nil {
		s.decrypted = s.distribution(dist.InsideTLS)
	}
	s.decrypted.Data(at, b)
}

// chooseFirst keeps that of TLS and distribution which began first: a message
// may carry a copy of TLS records, and what is not TLS any more may be
// distribution.
func (s *stream) chooseFirst() {
	if f := s.dist.Facts(); f.Recognition >= dist.ByFraming && f.RecognisedAt.Offset < s.tls.Begin() {
		s.tls = nil
		return
	}
	s.dist, s.first = nil, nil
}

// settle drops the decoders that found nothing.
func (s *stream) settle() {
	if s.tls != nil && s.tls.Status() != tls.Synced {
		s.tls = nil
	}
	if s.dist != nil {
		if f := s.dist.Facts(); f.Recognition == dist.NotRecognised && !f.Tentative {
			s.dist = nil
		}
	}
	if s.inside != nil && s.inside.Facts().Recognition == dist.NotRecognised {
		s.inside = nil
	}
	if s.epmd != nil {
		if f := s.epmd.Facts(); !f.Recognised() {
			s.epmd = nil
		}
	}
	if s.tls != nil && s.dist != nil {
		s.chooseFirst()
	}
	if s.epmd != nil && (s.tls != nil || s.dist != nil && s.dist.Facts().Recognition != dist.NotRecognised) {
		s.epmd = nil
	}
	if s.epmd != nil {
		s.dist = nil
	}
}

func matchEPMD(head []byte) wire.Match {
	return max(epmd.MatchRequest(head), epmd.MatchReply(head))
}
