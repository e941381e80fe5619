package tls

import (
	"bytes"
	"reflect"
	"testing"

	"distproof/capture"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/internal/allocs"
)

// addRecorded adds the directions of the bundled captures.
func addRecorded(f *testing.F, add func(b []byte)) {
	for _, name := range []string{"mutual_tls13", "mutual_tls12", "empty_rejected_tls13", "other_ca_rejected_tls12", "generic_tls13"} {
		for _, c := range connections(f, "../../pcaps/"+name+".pcap") {
			for _, ps := range c {
				var b []byte
				for _, p := range ps {
					b = append(b, p.b...)
				}
				if ok, _ := Raw(b); ok && len(b) < 4<<10 {
					add(b)
				}
			}
		}
	}
}

// A cutter says how a stream is cut: into segments of some length, every so
// many of which is missing.
type cutter struct{ segment, missing uint8 }

// feed gives b to a stream, in pieces of at most n bytes.
func (c cutter) feed(s *Stream, b []byte, n int) {
	size, at := int(c.segment)+1, tcp.Position{}
	for i := 0; len(b) > 0; i++ {
		size := min(size, len(b))
		at.Frame, at.Time = capture.Frame{Number: uint32(i + 1)}, int64(i)*1e9
		if c.missing > 0 && i%int(c.missing) == int(c.missing)-1 {
			s.Gap(at, int64(size))
			at.Offset += int64(size)
		} else {
			for from := 0; from < size; from += n {
				to := min(from+n, size)
				s.Data(at, b[from:to])
				at.Offset += int64(to - from)
			}
		}
		at.Acked += 7
		b = b[size:]
	}
	s.End()
}

// FuzzStream feeds any bytes with any gaps: pieces must not matter, and a
// stream must not hold much.
func FuzzStream(f *testing.F) {
	for _, start := range []Start{AtStart, Preamble, Midstream} {
		addRecorded(f, func(b []byte) {
			f.Add(b, uint8(start), uint8(255), uint8(0))
			f.Add(b, uint8(start), uint8(100), uint8(3))
		})
		f.Add(cat("220 ready\r\n", handshake(TypeClientHello, hello13), sealed(40), "GET /"), uint8(start), uint8(9), uint8(0))
		f.Add(cat(sealed(20), zeros(60), sealed(20), sealed(30), sealed(21), record(TypeAlert, 2, 40), changeCipherSpec), uint8(start), uint8(49), uint8(2))
		f.Add(cat(handshake(TypeClientHello, hello13), changeCipherSpec, handshake(TypeClientHello, hello13), sealed(69)), uint8(start), uint8(30), uint8(9))
	}
	f.Fuzz(func(t *testing.T, b []byte, start, segment, missing uint8) {
		kind, c := Start(start%3), cutter{segment, missing}
		want := NewStream(kind)
		if n := allocs.Of(func() { c.feed(want, b, len(b)+1) }); n > uint64(1<<20+50*len(b)) {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		for _, n := range []int{1, 3} {
			got := NewStream(kind)
			c.feed(got, b, n)
			if !reflect.DeepEqual(facts(got), facts(want)) {
				t.Errorf("pieces of %d give\n%+v\nnot\n%+v", n, facts(got), facts(want))
			}
		}
		check(t, want, int64(len(b)))
	})
}

// check tests what holds of every stream of a length.
func check(t *testing.T, s *Stream, length int64) {
	t.Helper()
	if len(s.records()) > MaxRecords || len(s.alerts) > maxAlerts || len(s.tickets) > 4 || cap(s.message) > 2*maxMessage+maxRecord {
		t.Errorf("%d records, %d alerts, %d tickets, %d bytes", len(s.records()), len(s.alerts), len(s.tickets), cap(s.message))
	}
	if len(s.trusted()) > len(s.records()) || s.start == Midstream && !s.lostOnce && len(s.trusted()) > 0 {
		t.Errorf("%d records trusted of %d", len(s.trusted()), len(s.records()))
	}
	end := int64(0)
	for _, r := range s.records() {
		if r.Offset < end || r.Offset+headerLength > length {
			t.Errorf("record %+v after offset %d of %d", r, end, length)
		}
		end = r.Offset + headerLength
	}
	if x := s.Foreign(); x != nil && (x.Offset < 0 || x.Offset+int64(x.Bytes) > length || x.Bytes == 0) {
		t.Errorf("foreign %+v of %d bytes", x, length)
	}
	if s.preamble < 0 || s.preamble > length {
		t.Errorf("preamble %d of %d", s.preamble, length)
	}
}

// FuzzCombine puts any two directions together. Whatever they are, what is
// claimed has a basis, and is not claimed without what it needs.
func FuzzCombine(f *testing.F) {
	var sides [][]byte
	addRecorded(f, func(b []byte) { sides = append(sides, b) })
	for i := 0; i+1 < len(sides); i += 2 {
		f.Add(sides[i], sides[i+1], uint16(0), uint16(0), uint8(3))
		f.Add(sides[i], sides[i+1], uint16(300), uint16(900), uint8(0))
		f.Add(sides[i+1], sides[i], uint16(0), uint16(0), uint8(5))
	}
	f.Fuzz(func(t *testing.T, c, s []byte, from0, from1 uint16, flags uint8) {
		x := newTalk()
		// By turns, a thousand bytes at once, with a gap in each.
		rest := [2][]byte{c, s}
		for turn := 0; len(rest[0])+len(rest[1]) > 0; turn++ {
			side := turn % 2
			n := min(len(rest[side]), 1000)
			gap := min(int([2]uint16{from0, from1}[side]), n)
			if turn/2 == 1 && gap > 0 {
				x.lose(side, rest[side][:gap])
				x.say(side, rest[side][gap:n])
			} else {
				x.say(side, rest[side][:n])
			}
			rest[side] = rest[side][n:]
		}
		facts := x.combine(Ending{Whole: flags&1 != 0, ClosedBy: Role(flags >> 1 % 3)})
		checkFacts(t, facts)
	})
}

// checkFacts tests what holds of all facts.
func checkFacts(t *testing.T, f *Facts) {
	t.Helper()
	c := f.ClientCertificate
	for name, x := range map[string]fact.Fact{"established": f.Established, "resumed": f.Resumed, "requested": c.Requested} {
		if (x.Basis == fact.None) != (x.Value == unknown) || x.Reason == "" {
			t.Errorf("%s: %+v", name, x)
		}
	}
	if (c.Basis == fact.None) != (c.Status == StatusUnknown) || c.Reason == "" {
		t.Errorf("client certificate %+v", c)
	}
	if c.Possession != fact.None && c.Status != Presented {
		t.Errorf("possession of what was not presented: %+v", c)
	}
	if f.Server == nil && (c.Status != StatusUnknown || f.Established.Value != unknown || f.Version != 0) {
		t.Errorf("without a ServerHello: %+v, %+v", c, f.Established)
	}
	if f.Client == nil && (c.Status == Presented || c.Status == Empty || f.Version.Is13() && f.Established.Is()) {
		t.Errorf("without a ClientHello: %+v, %+v", c, f.Established)
	}
	if f.Established.Isnt() && f.Distribution || f.Established.Is() && f.Failure != nil {
		t.Errorf("established %+v, distribution %t, failure %+v", f.Established, f.Distribution, f.Failure)
	}
	if f.Version.Is13() && (len(c.Chain) > 0 || c.Basis == fact.Observed && c.Status != Resumed) {
		t.Errorf("observed under encryption: %+v", c)
	}
}

func FuzzClientHello(f *testing.F) {
	f.Add(fullClientHello)
	f.Add(hello13)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		h, err := readClientHello(b)
		if !bytes.Equal(b, before) {
			t.Error("the message was changed")
		}
		if err != nil {
			return
		}
		if n := len(h.JA4()); n != 36 {
			t.Errorf("JA4 of %d characters: %s", n, h.JA4())
		}
		if _, err := readClientHello(append(before, 0)); err == nil && len(h.Extensions) > 0 {
			t.Error("accepted with a trailing byte")
		}
	})
}

func FuzzServerHello(f *testing.F) {
	f.Add(fullServerHello)
	f.Add(helloRetry)
	f.Add(cat(0x7f, 18, random, u16(0x1302), v16(ext(extKeyShare, u16(29), v16(zeros(32))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readServerHello(b)
		if err != nil {
			return
		}
		if !bytes.Equal(h.Random[:], b[2:34]) {
			t.Errorf("random %x", h.Random)
		}
		_ = h.Version.String() + h.Suite.String() + GroupName(h.Group)
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add(fullCertificate)
	f.Add(v24())
	f.Fuzz(func(t *testing.T, b []byte) {
		chain, err := readCertificate12(NewTables(), b)
		if err != nil {
			return
		}
		// What was read is all there was.
		var list []byte
		for _, der := range chain {
			list = append(list, v24(der)...)
		}
		if !bytes.Equal(v24(list), b) {
			t.Errorf("%d certificates from % x", len(chain), b)
		}
	})
}
