package evidence

import (
	"net/netip"
	"slices"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/tls"
)

// jobs lists the bundles: one for each connection with a verdict.
func (w *writer) jobs() []job {
	s := newSupporters(w.c.Facts)
	var out []job
	for i := range w.c.Document.Connections {
		if w.c.Document.Connections[i].Verdict != nil {
			out = append(out, job{connection: i, support: s.of(i)})
		}
	}
	return out
}

// supporters know on which other connections a verdict rests.
type supporters struct {
	all   []*decode.Connection
	index map[*decode.Connection]int
	// announcers are the connections in which EPMD named a port, in the order of
	// the capture; listeners those that show by themselves that distribution
	// listens; namesakes those with the same addresses and ports.
	announcers map[netip.AddrPort][]int
	listeners  map[netip.AddrPort]int
	namesakes  map[[2]netip.AddrPort][]int
}

func newSupporters(c *decode.Capture) *supporters {
	s := &supporters{
		all: c.Connections, index: make(map[*decode.Connection]int),
		announcers: make(map[netip.AddrPort][]int), listeners: make(map[netip.AddrPort]int),
		namesakes: make(map[[2]netip.AddrPort][]int),
	}
	disputed := slices.ContainsFunc(c.Connections, func(x *decode.Connection) bool { return x.Disputed })
	for i, x := range c.Connections {
		s.index[x] = i
		at := x.Ends[decode.Server].Address
		for _, e := range x.Entries() {
			named := netip.AddrPortFrom(at.Addr(), e.Port)
			if list := s.announcers[named]; len(list) == 0 || list[len(list)-1] != i {
				s.announcers[named] = append(list, i)
			}
		}
		if _, known := s.listeners[at]; !known && x.ShowsListener() {
			s.listeners[at] = i
		}
		if disputed {
			s.namesakes[pair(x)] = append(s.namesakes[pair(x)], i)
		}
	}
	return s
}

func pair(x *decode.Connection) [2]netip.AddrPort {
	a, b := x.Ends[0].Address, x.Ends[1].Address
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return [2]netip.AddrPort{a, b}
}

// of returns the connections that the verdict on connection i rests on.
func (s *supporters) of(i int) []support {
	var out []support
	add := func(j int, why string) {
		known := func(x support) bool { return x.connection == j }
		if j != i && len(out) < maxSupport && !slices.ContainsFunc(out, known) {
			out = append(out, support{j, why})
		}
	}
	x := s.all[i]
	s.recognised(i, add)
	if origin := x.ResumedFrom; origin != nil {
		add(s.index[origin], "has the full handshake of the session that was resumed")
		s.recognised(s.index[origin], add)
	}
	if x.Disputed {
		for _, j := range s.namesakes[pair(x)] {
			add(j, "has the same addresses and ports")
		}
	}
	return out
}

// recognised adds what makes connection i one of distribution.
func (s *supporters) recognised(i int, add func(int, string)) {
	x := s.all[i]
	at := x.Ends[decode.Server].Address
	if slices.Contains(x.ProtocolBasis, decode.ByEPMD) {
		if j, ok := s.announcer(at, i); ok {
			add(j, "announces the port of distribution")
		}
	}
	if slices.Contains(x.ProtocolBasis, decode.ByListener) {
		if j, ok := s.listeners[at]; ok {
			add(j, "shows that distribution listens on the port")
		}
	}
}

var loopback4, loopback6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// announcer returns the connection in which EPMD named a port: the last one
// before connection i, else the first. What is said over loopback holds for
// every address of the host.
func (s *supporters) announcer(at netip.AddrPort, i int) (int, bool) {
	for _, host := range []netip.Addr{at.Addr(), loopback4, loopback6} {
		list := s.announcers[netip.AddrPortFrom(host, at.Port())]
		if len(list) == 0 {
			continue
		}
		n, _ := slices.BinarySearch(list, i)
		return list[max(n-1, 0)], true
	}
	return 0, false
}

// A cut says which part of a connection is taken.
type cut struct {
	// all takes everything.
	all bool
	// prefix has for client and server up to which stream offset everything is
	// taken that crossed until both are reached, or with either one of them;
	// windows what is taken besides.
	prefix  [2]int64
	either  bool
	windows [2][]window
	// limit bounds the bytes of all packets.
	limit int
}

type window struct{ from, to int64 }

// cutOf says what of a connection its verdict is read from.
func cutOf(c *decode.Connection, scope int, little uint64) cut {
	out := cut{limit: scope}
	if scope == wide || c.TCP[decode.Client].Bytes+c.TCP[decode.Server].Bytes <= little || c.Protocol == decode.EPMD {
		out.all = true
		return out
	}
	for side := range c.TCP {
		end := int64(0)
		switch {
		case c.TLS != nil:
			end = tlsEnd(c, side)
		case c.InClear:
			end = clearEnd(&c.Dist[side], side)
		default:
			end = small
		}
		out.prefix[side] = min(end, c.TCP[side].End)
		out.windows[side] = windows(c, side)
	}
	// One direction in the clear proves it.
	out.either = c.TLS == nil && c.InClear && !c.Start()
	return out
}

// Encrypted records that a verdict is read from: those of the handshake and of
// distribution's behind it. Where sizes do not show that distribution's
// handshake came to its end, more are counted to tell that the session is up.
var (
	sealed12 = [2]int{decode.Client: 1 + 2, decode.Server: 1 + 3}
	sealed13 = [2]int{decode.Client: 3 + 2, decode.Server: 5 + 3}
)

const sealedElse = 12

// tlsEnd returns the offset behind the records that the verdict is read from.
func tlsEnd(c *decode.Connection, side int) int64 {
	f := c.TLS
	most := sealed12[side]
	switch {
	case f.Shape.Stage != tls.StageAck:
		most = sealedElse
	case f.Version.Is13():
		most = sealed13[side]
	}
	end, last, sealed := int64(0), int64(0), 0
	for r := range f.Records[side].All() {
		if r.Sealed {
			sealed++
		}
		if sealed <= most {
			end = r.End()
		}
		last = r.End()
	}
	if s := c.TCP[side]; s.Odd().Conflicts > 0 && s.Odd().ConflictOffset < last {
		end = max(end, s.Odd().ConflictOffset+1)
	}
	return end
}

// Lengths of distribution's handshake messages in the clear, and of what may
// follow them: the cookie's proofs have 23 and 19 bytes; names and statuses are
// shorter than handshakeRest. connected is more than it takes to recognise
// messages that follow one another.
var proofLength = [2]int64{decode.Client: 2 + 1 + 4 + 16, decode.Server: 2 + 1 + 16}

const (
	handshakeRest = 1 << 10
	connected     = 16 << 10
)

// clearEnd returns the offset behind what shows distribution in the clear.
func clearEnd(d *dist.Facts, side int) int64 {
	switch h := &d.Handshake; {
	case h.Proved:
		return h.DigestAt.Offset + proofLength[side]
	case h.Version != 0 || h.Status != "":
		return max(h.NameAt.Offset, h.StatusAt.Offset) + handshakeRest
	}
	return d.RecognisedAt.Offset + connected
}

// maxRecord is the length of the longest TLS record with its header.
const maxRecord = 5 + 1<<14 + 2048

// windows returns the places where a TLS connection is not TLS any more.
func windows(c *decode.Connection, side int) []window {
	var out []window
	if c.TLS == nil {
		return nil
	}
	if f := c.TLS.Foreign[side]; f != nil {
		out = append(out, window{f.Offset - 2*maxRecord, f.Offset + connected})
	}
	if c.InClear && c.Dist[side].Recognition != dist.NotRecognised {
		d := &c.Dist[side]
		out = append(out, window{d.RecognisedAt.Offset - 2*maxRecord, d.RecognisedAt.Offset + connected})
	}
	return out
}

// picks prepares the choice of packets for all connections of the jobs.
func (w *writer) picks(jobs []job, scope int) map[int]*pick {
	out, little := make(map[int]*pick), uint64(small)
	if w.o.testOnlyCutAll {
		little = 0
	}
	add := func(i int) {
		if out[i] == nil {
			c := w.c.Facts.Connections[i]
			out[i] = &pick{cut: cutOf(c, scope, little), client: c.Ends[decode.Client].Address}
		}
	}
	for _, j := range jobs {
		add(j.connection)
		for _, s := range j.support {
			add(s.connection)
		}
	}
	return out
}

// connectionsOf returns the connections of a job in the order of the capture.
func connectionsOf(j job) []int {
	out := []int{j.connection}
	for _, s := range j.support {
		out = append(out, s.connection)
	}
	slices.Sort(out)
	return out
}
