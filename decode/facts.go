package decode

import (
	"cmp"
	"slices"
	"strings"

	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// facts states what is known of c by itself.
func (c *conn) facts(encapsulation func(uint16) []string) *Connection {
	client, basis := c.client()
	return c.factsWith(client, basis, encapsulation)
}

// swapped states the facts with client and server exchanged, where nothing but
// ports had told them apart.
func (c *conn) swapped(encapsulation func(uint16) []string) *Connection {
	client, basis := c.client()
	return c.factsWith(client.Other(), basis, encapsulation)
}

func (c *conn) factsWith(client tcp.Dir, basis string, encapsulation func(uint16) []string) *Connection {
	dirs := [2]tcp.Dir{client, client.Other()}
	out := &Connection{RolesBasis: basis, FirstFrame: c.first}
	for side, d := range dirs {
		out.Ends[side] = End{Address: c.ends[d].AddrPort()}
		out.TCP[side] = c.tcp.Stats(d)
	}
	out.First, out.Last = span(out.TCP)
	for _, e := range c.encaps {
		out.Encapsulation = append(out.Encapsulation, strings.Join(encapsulation(e), ", "))
	}
	slices.Sort(out.Encapsulation)
	out.Ending = ending(out)
	out.identify([2]*stream{&c.streams[dirs[0]], &c.streams[dirs[1]]})
	return out
}

// usualBases are those of most connections, which have them in common: whoever
// appends to one gets another.
var usualBases = [][]string{
	{ByRecordSizes}, {ByEPMD, ByRecordSizes}, {ByRecordSizes, ByPort}, {ByEPMD, ByRecordSizes, ByPort},
	{ByRecordSizes, ByTicks}, {ByEPMD, ByRecordSizes, ByTicks}, {ByRecordSizes, ByTicks, ByPort}, {ByEPMD, ByRecordSizes, ByTicks, ByPort},
	{ByHandshake}, {ByEPMD, ByHandshake}, {ByHandshake, ByPort}, {ByEPMD, ByHandshake, ByPort},
	{ByEPMD}, {ByPort}, {ByListener},
}

// basisOf returns the bases a and b, one behind the other.
func basisOf(a, b []string) []string {
	for _, u := range usualBases {
		if len(u) == len(a)+len(b) && slices.Equal(u[:len(a)], a) && slices.Equal(u[len(a):], b) {
			return u
		}
	}
	return slices.Concat(a, b)
}

// span returns the times of the first and last packet.
func span(sides [2]tcp.Stats) (first, last int64) {
	for _, s := range sides {
		if s.Packets == 0 {
			continue
		}
		if first == 0 || s.First < first {
			first = s.First
		}
		last = max(last, s.Last)
	}
	return first, last
}

// client tells which direction is the client's, and how that is known. What the
// peers say of themselves counts for more than who opened the connection.
func (c *conn) client() (tcp.Dir, string) {
	for d := range tcp.Dir(2) {
		if s := &c.streams[d]; s.tls != nil && s.tls.Role() == tls.RoleClient {
			return d, "client-hello"
		}
	}
	for d := range tcp.Dir(2) {
		if s := &c.streams[d]; s.tls != nil && s.tls.Role() == tls.RoleServer && c.openerSeen == byNothing {
			return d.Other(), "server-hello"
		}
	}
	if c.openerSeen != byNothing {
		return c.opener, c.openerSeen.String()
	}
	for d := range tcp.Dir(2) {
		s := &c.streams[d]
		if s.dist != nil {
			switch s.dist.Facts().Role {
			case dist.Client:
				return d, "handshake"
			case dist.Server:
				return d.Other(), "handshake"
			}
		}
		if s.epmd != nil {
			facts := s.epmd.Facts()
			switch facts.Role() {
			case epmd.Client:
				return d, "epmd"
			case epmd.Server:
				return d.Other(), "epmd"
			}
		}
	}
	lower := tcp.From0
	if cmp.Or(cmp.Compare(c.ends[1].Port, c.ends[0].Port), compare(c.ends[1], c.ends[0])) < 0 {
		lower = tcp.From1
	}
	higher := lower.Other()
	switch low, high := c.ends[lower].Port, c.ends[higher].Port; {
	case low < ephemeral && high >= ephemeral:
		return higher, rolesByPort
	case low >= ephemeral && low%2 == 0 && high%2 == 1:
		return lower, rolesUnknown
	}
	return higher, rolesUnknown
}

// ephemeral is the lowest port that Linux hands out to clients. OTP's nodes
// listen above it too, unless they are told where: then Linux, as long as it has
// enough, gives them odd ports and clients even ones.
const ephemeral = 32768

// The bases of roles that nothing but ports tells, and that nothing tells.
const (
	rolesByPort  = "port"
	rolesUnknown = "unknown"
)

// ending says whether the connection is whole, and who closed it first.
func ending(c *Connection) tls.Ending {
	a, b := c.TCP[Client], c.TCP[Server]
	return tls.Ending{
		Whole: c.Start() && whole(a) && whole(b), ClosedBy: closer(a, b),
		Orderly:   a.FIN && b.FIN && !a.RST && !b.RST && (a.Odd().Answers || b.Odd().Answers),
		ClientHad: hadAtClose(a),
	}
}

// hadAtClose returns how much of the peer's stream a side had acknowledged when it
// closed; 0 or less if that is not known, or it did not.
func hadAtClose(s tcp.Stats) int64 {
	switch {
	case s.FIN:
		return s.Odd().FINAt.Acked
	case s.RST && closed(s):
		return s.Odd().RSTAt.Acked
	}
	return 0
}

// whole reports whether nothing of a direction is missing, contradictory or
// without a place in it.
func whole(s tcp.Stats) bool {
	return s.Packets > 0 && s.Gap == 0 && s.Odd().Conflicts == 0 && s.Odd().Overflows == 0 && s.Odd().Strays == 0
}

// closer tells who closed first, by what each had acknowledged when it did, not
// by the order of the capture.
func closer(client, server tcp.Stats) tls.Role {
	byClient, byServer := closed(client), closed(server)
	switch {
	case byClient && (!byServer || server.Odd().Answers):
		return tls.RoleClient
	case byServer:
		return tls.RoleServer
	}
	return tls.RoleUnknown
}

// closed reports whether a side ended its stream. A RST that it would have sent
// before its last bytes is somebody else's.
func closed(s tcp.Stats) bool { return s.FIN || s.RST && s.Odd().RSTAt.Offset >= s.End }

// identify says what the connection carries, from what both directions were
// found to be.
func (c *Connection) identify(s [2]*stream) {
	dropTentative(s)
	isTLS := s[Client].tls != nil || s[Server].tls != nil
	for side, x := range s {
		if d := firstOf(x.dist, x.inside); d != nil {
			c.InClear, c.Dist = true, orNew(c.Dist)
			c.Dist[side] = d.Facts()
			c.addBasis(recognised(c.Dist[side].Recognition))
		}
		if x.epmd != nil {
			c.Protocol, c.EPMD = EPMD, orNew(c.EPMD)
			c.EPMD[side] = x.epmd.Facts()
		}
		c.Unidentified[side] = c.TCP[side].Bytes > 0 && x.tls == nil && x.dist == nil && x.epmd == nil
	}
	if c.InClear && !c.beyondDoubt(s) {
		c.InClear, c.Dist, c.ProtocolBasis = false, nil, nil
	}
	if isTLS {
		c.TLS = tls.Combine(s[Client].tls, s[Server].tls, c.Ending)
	}
	switch {
	case c.InClear && (s[Client].dist != nil || s[Server].dist != nil):
		c.Protocol = Dist
	case c.TLS != nil:
		c.Protocol = TLS
		c.identifyDecrypted(s)
		c.identifyTLS()
	case c.Protocol == EPMD:
	case c.Empty():
		c.Protocol = None
	default:
		c.Protocol = Other
	}
}

// orNew returns what both sides have, or room for it.
func orNew[T any](sides *[2]T) *[2]T {
	if sides == nil {
		return new([2]T)
	}
	return sides
}

// dropTentative drops distribution messages that prove nothing by themselves,
// such as a status "nok", unless the opposite direction shows a handshake.
func dropTentative(s [2]*stream) {
	byHandshake := func(x *stream) bool { return x.dist != nil && x.dist.Facts().Recognition == dist.ByHandshake }
	for side, x := range s {
		if x.dist != nil && x.dist.Facts().Tentative && !byHandshake(s[1-side]) {
			x.dist = nil
		}
	}
}

func firstOf(a, b *dist.Stream) *dist.Stream {
	if a != nil {
		return a
	}
	return b
}

// recognised translates how distribution in the clear was recognised.
func recognised(r dist.Recognition) string {
	switch r {
	case dist.ByTicks:
		return ByTicks
	case dist.ByFraming:
		return ByFraming
	}
	return ByHandshake // also what only the opposite direction's handshake makes one
}

// beyondDoubt reports whether the connection is shown to be distribution: by a
// handshake or messages, or by ticks that come evenly, with nothing else beside
// them in either direction, where the connection's beginning was not captured.
func (c *Connection) beyondDoubt(s [2]*stream) bool {
	for side := range c.Dist {
		if c.Dist[side].Recognition >= dist.ByFraming {
			return true
		}
	}
	even := uint64(0)
	for side := range c.Dist {
		d := &c.Dist[side]
		switch d.Recognition {
		case dist.ByTicks:
			t := d.Ticks
			if s[side].fromStart {
				return false
			}
			if t.Count > 1 && t.MaxSpacing-t.MinSpacing <= t.MinSpacing/8 {
				even += t.Count
			}
		default:
			if c.Unidentified[side] {
				return false
			}
		}
	}
	return even >= 3
}

// identifyDecrypted tells whether what was opened of a TLS connection is
// distribution: it begins with a handshake on both sides, as far as they came.
func (c *Connection) identifyDecrypted(s [2]*stream) {
	for side, x := range s {
		if x.decrypted != nil {
			x.decrypted.End()
			c.Decrypted = orNew(c.Decrypted)
			c.Decrypted[side] = x.decrypted.Facts()
		}
	}
	if d := c.Decrypted; d == nil || d[Client].Recognition != dist.ByHandshake && d[Server].Recognition != dist.ByHandshake {
		c.Decrypted = nil
		return
	}
	c.IsDecrypted = true
	c.addBasis(ByDecryption)
}

// identifyTLS tells whether a TLS connection is distribution, from what it shows
// by itself.
func (c *Connection) identifyTLS() {
	shaped := c.TLS.Distribution && !c.showsOther()
	if shaped {
		c.addBasis(ByRecordSizes)
		c.Ends[Client].NodeLength, c.Ends[Server].NodeLength = c.TLS.Shape.ClientName, c.TLS.Shape.ServerName
	}
	// Where the handshake was captured, distribution would show in it.
	if c.TLS.Ticking && !c.TLS.Established.Is() || shaped && c.TLS.Ticks {
		c.addBasis(ByTicks)
	}
	if len(c.ProtocolBasis) > 0 {
		c.Protocol = DistTLS
	}
}

// showsOther reports whether both sides' data was opened, and is no distribution.
func (c *Connection) showsOther() bool {
	return !c.IsDecrypted && c.TLS.Opened[Client].Bytes > 0 && c.TLS.Opened[Server].Bytes > 0
}

func (c *Connection) addBasis(b string) {
	if !slices.Contains(c.ProtocolBasis, b) {
		c.ProtocolBasis = basisOf(c.ProtocolBasis, []string{b})
	}
}
