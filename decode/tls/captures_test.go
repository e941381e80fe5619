package tls

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/internal/recorded"
)

// captureDirs are where recorded captures are looked for. The second holds more
// of them, and is not everywhere.
var captureDirs = []string{"../../pcaps", "../../../shared/captures"}

// A part is what a stream was delivered at once: bytes, or a gap.
type part struct {
	at  tcp.Position
	b   []byte
	gap int64
}

// parts are both directions of a connection, the client's first.
type parts [2][]part

func (p *parts) Data(d tcp.Dir, at tcp.Position, b []byte) {
	p[d] = append(p[d], part{at: at, b: append([]byte(nil), b...)})
}

func (p *parts) Gap(d tcp.Dir, at tcp.Position, n int64) {
	p[d] = append(p[d], part{at: at, gap: n})
}

// connections reassembles the connections of a capture, in the order in which
// they begin; the client is who sent the first packet.
func connections(t testing.TB, path string) []*parts {
	t.Helper()
	return recorded.Connections(t, path, func() *parts { return new(parts) })
}

// eachCapture calls f for the connections of every capture.
func eachCapture(t *testing.T, f func(t *testing.T, name string, c []*parts)) {
	found := 0
	for _, dir := range captureDirs {
		paths, err := filepath.Glob(filepath.Join(dir, "*.pcap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found++
			name := filepath.Base(path)
			t.Run(name, func(t *testing.T) { f(t, name, connections(t, path)) })
		}
	}
	if found == 0 {
		t.Error("no captures")
	}
}

// feed gives a stream parts in pieces of at most n bytes, 0 for as they are.
func feed(s *Stream, ps []part, n int) {
	for _, p := range ps {
		if p.gap > 0 {
			s.Gap(p.at, p.gap)
			continue
		}
		size := n
		if size == 0 {
			size = len(p.b)
		}
		for i := 0; i < len(p.b); i += size {
			at := p.at
			at.Offset += int64(i)
			s.Data(at, p.b[i:min(i+size, len(p.b))])
		}
	}
	s.End()
}

// head returns the first bytes of a direction.
func head(ps []part) []byte {
	var b []byte
	for _, p := range ps {
		if p.gap > 0 || len(b) >= 6 {
			break
		}
		b = append(b, p.b...)
	}
	return b
}

// sizes are the lengths of records that were not ChangeCipherSpec.
func sizes(records Records) string {
	var out []int
	for r := range records.All() {
		if r.Type != TypeChangeCipherSpec {
			out = append(out, r.Length)
		}
	}
	return strings.Trim(fmt.Sprint(out), "[]")
}

// TestRecordedConnections reads what Wireshark shows of the bundled captures
// too, but for what is inferred.
func TestRecordedConnections(t *testing.T) {
	type want struct {
		version          Version
		suite            Suite
		group            string
		ja4              string
		client, server   string // the first record sizes
		status           CertificateStatus
		requested        fact.Value
		possession       fact.Basis
		chain            int
		serverChain      int
		established      fact.Value
		distribution     bool
		clientName       int
		refusedByAnAlert string
	}
	rows := map[string]want{
		"mutual_tls13": {TLS13, 0x1302, "x25519", "t13d060600_a150a9413979_d0a95c388f5e", "211 901 96 69 49 42", "122 23 123 901 95 69 24 54 38",
			Presented, fact.Yes, fact.Inferred, 0, 0, fact.Yes, true, 13, ""},
		"oneway_tls13": {TLS13, 0x1302, "x25519", "t13d060600_a150a9413979_d0a95c388f5e", "211 69 49 42", "122 23 470 95 69 24 54 38",
			NotRequested, fact.No, fact.None, 0, 0, fact.Yes, true, 13, ""},
		"empty_accepted_tls13": {TLS13, 0x1302, "x25519", "t13d060600_a150a9413979_d0a95c388f5e", "211 25 69 49 42", "122 23 123 901 96 69 24 54 38",
			Empty, fact.Yes, fact.None, 0, 0, fact.Yes, true, 13, ""},
		"empty_rejected_tls13": {TLS13, 0x1302, "x25519", "t13d060600_a150a9413979_d0a95c388f5e", "211 25 69", "122 23 123 901 97 69 19",
			Empty, fact.Yes, fact.None, 0, 0, fact.No, false, 0, "encrypted"},
		"generic_tls13": {TLS13, 0x1302, "x25519", "t13d041000_16476d049b0b_78f1d400d464", "235 901 96 69 35 19", "122 23 123 901 97 69 698 698",
			Presented, fact.Yes, fact.Inferred, 0, 0, fact.Yes, false, 0, ""},
		"mutual_tls12": {TLS12, 0xc02c, "sect571r1", "t12d440400_015d2142bc66_386605f30b6a", "256 879 150 79 40 56 49", "87 879 228 101 4 40 31 61 45",
			Presented, fact.Yes, fact.Observed, 2, 2, fact.Yes, true, 13, ""},
		"oneway_tls12": {TLS12, 0xc02c, "sect571r1", "t12d440400_015d2142bc66_386605f30b6a", "256 150 40 56 49", "87 450 228 4 40 31 61 45",
			NotRequested, fact.No, fact.None, 0, 1, fact.Yes, true, 13, ""},
		"other_ca_rejected_tls12": {TLS12, 0xc02c, "sect571r1", "t12d440400_015d2142bc66_386605f30b6a", "256 452 150 79 40", "87 879 228 101 4 2",
			Presented, fact.Yes, fact.Observed, 1, 2, fact.Unknown, false, 0, "unknown_ca"},
	}
	for name, want := range rows {
		t.Run(name, func(t *testing.T) {
			n := 0
			for _, c := range connections(t, "../../pcaps/"+name+".pcap") {
				if ok, _ := Raw(head(c[client])); !ok {
					continue
				}
				n++
				streams := [2]*Stream{NewStream(AtStart), NewStream(AtStart)}
				feed(streams[client], c[client], 0)
				feed(streams[server], c[server], 0)
				f := Combine(streams[client], streams[server], Ending{Whole: true, ClosedBy: RoleServer})
				if f.Client == nil || f.Server == nil {
					t.Fatalf("hellos %v, %v", f.Client, f.Server)
				}
				got := want
				got.version, got.suite, got.group, got.ja4 = f.Version, f.Suite, GroupName(f.Group), f.Client.JA4()
				got.client, got.server = sizes(f.Records[client]), sizes(f.Records[server])
				got.client = got.client[:min(len(got.client), len(want.client))]
				got.server = got.server[:min(len(got.server), len(want.server))]
				cert := f.ClientCertificate
				got.status, got.requested, got.possession, got.chain = cert.Status, cert.Requested.Value, min(cert.Possession, fact.Observed), len(cert.Chain)
				got.serverChain, got.established, got.distribution = len(f.ServerCertificate.Chain), f.Established.Value, f.Distribution
				if want.distribution {
					got.clientName = f.Shape.ClientName
				}
				got.refusedByAnAlert = ""
				if x := f.Failure; x != nil && x.By == RoleServer && x.Alert != nil {
					got.refusedByAnAlert = cmp.Or(x.Alert.Name, "encrypted")
				}
				if got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				if f.Client.ServerName != "n2.lab" || f.Retried || f.Renegotiated || f.Foreign != [2]*Foreign{} || f.Unsynced != [2]bool{} {
					t.Errorf("name %q, retried %t, renegotiated %t, foreign %v, unsynced %v", f.Client.ServerName, f.Retried, f.Renegotiated, f.Foreign, f.Unsynced)
				}
				for side, chain := range [2][][]byte{cert.Chain, f.ServerCertificate.Chain} {
					for _, der := range chain {
						if _, err := x509.ParseCertificate(der); err != nil {
							t.Errorf("side %d: %v", side, err)
						}
					}
				}
			}
			if n != 1 {
				t.Errorf("%d connections of TLS", n)
			}
		})
	}
}

// facts are what a direction shows, as either side's.
func facts(s *Stream) []any {
	return []any{Combine(s, nil, Ending{Whole: true}), Combine(nil, s, Ending{Whole: true}), s.Status(), s.Role(), s.trusted(), s.damage, s.ticks}
}

// TestPiecesDoNotMatter feeds every direction of every capture in small pieces.
func TestPiecesDoNotMatter(t *testing.T) {
	pieces := []int{1, 4, 7}
	if testing.Short() {
		pieces = []int{7}
	}
	eachCapture(t, func(t *testing.T, _ string, conns []*parts) {
		for i, c := range conns {
			for d := range c {
				for _, start := range []Start{AtStart, Preamble, Midstream} {
					want := NewStream(start)
					feed(want, c[d], 0)
					for _, n := range pieces {
						got := NewStream(start)
						feed(got, c[d], n)
						if !reflect.DeepEqual(facts(got), facts(want)) {
							t.Errorf("connection %d, direction %d, start %d: pieces of %d give\n%+v\nnot\n%+v", i, d, start, n, facts(got), facts(want))
						}
					}
				}
			}
		}
	})
}

// TestCutCapturesClaimNothingElse begins and ends the directions of every
// connection anywhere: certificates and acceptance are those of the whole one,
// or unknown.
func TestCutCapturesClaimNothingElse(t *testing.T) {
	eachCapture(t, func(t *testing.T, _ string, conns []*parts) {
		random := rand.New(rand.NewPCG(1, 2))
		for i, c := range conns {
			if ok, _ := Raw(head(c[client])); !ok {
				continue
			}
			whole := Combine(fed(AtStart, c[client]), fed(AtStart, c[server]), Ending{Whole: true})
			for range 60 {
				var streams [2]*Stream
				for side := range streams {
					start, ps := cut(random, c[side])
					streams[side] = fed(start, ps)
				}
				f := Combine(streams[client], streams[server], Ending{})
				got, want := f.ClientCertificate, whole.ClientCertificate
				if got.Status != StatusUnknown && got.Status != want.Status || got.Possession > want.Possession {
					t.Errorf("connection %d: client certificate %s (%s), not %s", i, got.Status, got.Possession, want.Status)
				}
				if v := got.Requested.Value; v != fact.Unknown && v != want.Requested.Value {
					t.Errorf("connection %d: requested %d, not %d", i, v, want.Requested.Value)
				}
				if v := f.Established.Value; v != fact.Unknown && v != whole.Established.Value {
					t.Errorf("connection %d: established %d (%s), not %d", i, v, f.Established.Reason, whole.Established.Value)
				}
				if v := f.Resumed.Value; v != fact.Unknown && v != whole.Resumed.Value {
					t.Errorf("connection %d: resumed %d, not %d", i, v, whole.Resumed.Value)
				}
				if f.Foreign != whole.Foreign && f.Foreign != [2]*Foreign{} {
					t.Errorf("connection %d: foreign bytes %v", i, f.Foreign)
				}
				if f.Failure != nil || f.Distribution && !whole.Distribution {
					t.Errorf("connection %d: failure %v, distribution %t", i, f.Failure, f.Distribution)
				}
			}
		}
	})
}

func fed(start Start, ps []part) *Stream {
	s := NewStream(start)
	feed(s, ps, 0)
	return s
}

// cut takes parts out of a direction: its beginning, its end, or a few pieces.
func cut(random *rand.Rand, ps []part) (Start, []part) {
	total := int64(0)
	for _, p := range ps {
		total += int64(len(p.b)) + p.gap
	}
	if total == 0 {
		return AtStart, ps
	}
	anywhere := func() int64 {
		if random.IntN(2) == 0 {
			return random.Int64N(min(total, 3000) + 1)
		}
		return random.Int64N(total + 1)
	}
	switch random.IntN(4) {
	case 0: // from the middle on
		at := anywhere() + 1
		return Midstream, between(ps, at, total)
	case 1: // to the middle
		return AtStart, between(ps, 0, anywhere())
	case 2:
		return AtStart, ps
	}
	var out []part
	from := int64(0)
	for range 1 + random.IntN(3) {
		at := min(max(from, anywhere()), total)
		n := min(1+random.Int64N(2000), total-at)
		if n == 0 {
			break
		}
		out = append(out, between(ps, from, at)...)
		out = append(out, part{at: tcp.Position{Offset: at}, gap: n})
		from = at + n
	}
	return AtStart, append(out, between(ps, from, total)...)
}

// between returns what lies between two offsets.
func between(ps []part, from, to int64) []part {
	var out []part
	for _, p := range ps {
		n := int64(len(p.b)) + p.gap
		start, end := max(from-p.at.Offset, 0), min(to-p.at.Offset, n)
		if start >= end {
			continue
		}
		q := p
		q.at.Offset += start
		if p.gap > 0 {
			q.gap = end - start
		} else {
			q.b = p.b[start:end]
		}
		out = append(out, q)
	}
	return out
}
