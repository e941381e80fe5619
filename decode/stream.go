package decode

import (
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// A stream finds out what one direction of a connection carries and hands its
// bytes to the decoders concerned. It knows nothing of the other direction.
type stream struct {
	// head holds the first bytes until they tell what the stream is.
	head   []byte
	pieces []piece
	known  bool
	// fromStart says that the stream's first byte was captured.
	fromStart bool

	// Several decoders may try at once; settle keeps those that were right.
	tls  *tls.Stream
	dist *dist.Stream
	epmd *epmd.Stream
	// inside decodes what follows where a TLS stream stopped being TLS.
	inside *dist.Stream
}

// A piece says where a part of the head came from.
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
	if s.head == nil {
		s.fromStart = fromStart
	}
	s.head = append(s.head, b...)
	s.pieces = append(s.pieces, piece{at, len(b)})
	s.sniff(epmdPort, false)
}

// gap says that n bytes are missing.
func (s *stream) gap(at tcp.Position, n int64, epmdPort bool) {
	if !s.known {
		s.sniff(epmdPort, true)
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
		s.sniff(epmdPort, true)
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

// sniff tells from the first bytes what the stream is. With last there is
// nothing more to wait for.
func (s *stream) sniff(epmdPort, last bool) {
	isTLS, maybeTLS := tls.Raw(s.head)
	isDist, isEPMD := dist.MatchHandshake(s.head), matchEPMD(s.head)
	switch {
	case epmdPort:
		s.epmd = epmd.NewStream(epmd.ByPort)
	case isTLS:
		s.tls = tls.NewStream(tls.AtStart)
	case isDist == dist.Yes:
		s.dist = dist.NewStream(dist.AtHandshake)
	case isEPMD == epmd.Yes:
		s.epmd = epmd.NewStream(epmd.ByContent)
	case !last && (maybeTLS || isDist == dist.Maybe || isEPMD == epmd.Maybe):
		return
	case s.fromStart:
		s.tls, s.dist = tls.NewStream(tls.Preamble), dist.NewStream(dist.Midstream)
	default:
		s.tls, s.dist = tls.NewStream(tls.Midstream), dist.NewStream(dist.Midstream)
	}
	s.known = true
	head := s.head
	for _, p := range s.pieces {
		s.feed(p.at, head[:p.n])
		head = head[p.n:]
	}
	s.head, s.pieces = nil, nil
}

func (s *stream) feed(at tcp.Position, b []byte) {
	if s.tls != nil {
		s.tls.Data(at, b)
		s.watchTLS(at, b)
	}
	if s.dist != nil {
		s.dist.Data(at, b)
	}
	if s.epmd != nil {
		s.epmd.Data(at, b)
	}
}

// watchTLS gives up the other candidates once the stream is TLS, and looks into
// bytes that are not TLS any more.
func (s *stream) watchTLS(at tcp.Position, b []byte) {
	if s.dist != nil && s.tls.Status() == tls.Synced {
		s.dist = nil
	}
	f := s.tls.Foreign()
	if f == nil {
		return
	}
	skip := int64(0)
	if s.inside == nil {
		s.inside = dist.NewStream(dist.Midstream)
		skip = max(0, f.Offset-at.Offset)
	}
	at.Offset += skip
	s.inside.Data(at, b[skip:])
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
		s.dist = nil
	}
}

// decided reports whether nothing of what the stream began with matters any
// more: its handshake is over.
func (s *stream) decided() bool {
	switch {
	case !s.known:
		return false
	case s.tls != nil:
		return s.tls.Settled()
	}
	return true
}

func matchEPMD(head []byte) epmd.Match {
	return max(epmd.MatchRequest(head), epmd.MatchReply(head))
}
