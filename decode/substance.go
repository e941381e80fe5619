package decode

import (
	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// substance returns a digest of what the facts of c are stated from, but for what
// every packet changes: how much crossed so far, and when. What is left out here is
// told later, and not never.
func (c *conn) substance() fact.Digest {
	var d fact.Digest
	d.Add(uint64(c.damaged), uint64(len(c.encaps)), uint64(c.openerSeen), uint64(c.opener))
	d.Flags(c.unlocked, c.unlisted)
	for i := range c.streams {
		t := c.tcp.Stats(tcp.Dir(i))
		d.Add(t.Gap, t.Odd().Conflicts, t.Odd().Unchecked, uint64(t.Odd().Strays), uint64(t.Odd().StrayData), t.Odd().Overflows, uint64(t.Start))
		d.Flags(t.FIN, t.RST, t.RST && t.Odd().RSTAt.Offset >= t.End, t.Odd().Answers, t.HeadLost, t.Bytes > 0, t.End > 0)
		if c.tcp.Waits(tcp.Dir(i)) {
			d.Add(t.Bytes)
		}
		c.streams[i].substance(&d, t.Bytes)
	}
	some, even := tls.Beat(c.streams[0].tls, c.streams[1].tls)
	d.Flags(some, even)
	return d
}

// substance adds what a stream tells, of which so many bytes crossed: all that was
// read of messages may matter.
func (s *stream) substance(d *fact.Digest, crossed uint64) {
	d.Flags(s.known, s.tls != nil, s.dist != nil, s.epmd != nil, s.inside != nil, s.decrypted != nil)
	if s.tls != nil {
		s.tls.Substance(d)
	}
	read := s.epmd != nil || s.decrypted != nil
	for _, x := range [...]*dist.Stream{s.dist, s.inside} {
		read = read || x != nil && x.Found()
	}
	if read {
		d.Add(crossed)
	}
}
