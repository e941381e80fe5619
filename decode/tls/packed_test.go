package tls

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"distproof/capture"
	"distproof/decode/pack"
)

// TestPackedLog: records come out as they went in, whatever is in them, and however
// many are taken back.
func TestPackedLog(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tables, shaped := NewTables(), 0
	for range 1000 {
		s := tables.NewStream(AtStart)
		var plain []Record
		inputs := random.Uint32() * random.Uint32N(2) // 0 if there is only one
		for range random.IntN(MaxRecords + 3) {
			r := Record{
				Type: ContentType(random.Uint32()), Sealed: random.IntN(2) == 0, Message: HandshakeType(random.Uint32()),
				Length: random.IntN(maxRecord), Offset: random.Int64() >> random.IntN(64), Acked: random.Int64()>>random.IntN(64) - 1,
				Frame: capture.Frame{Input: random.Uint32() & inputs, Number: random.Uint32()},
			}
			s.record = r
			s.logRecord()
			if plain = append(plain, r); s.reliable != int32(min(len(plain), MaxRecords)) {
				t.Fatalf("%d records are reliable of %d", s.reliable, len(plain))
			}
			switch random.IntN(6) {
			case 0:
				s.log, s.logged = s.log.clone(), place{}
			case 1:
				n := random.IntN(len(plain) + 1)
				s.log, s.logged = s.log.first(n), place{}
				plain = plain[:min(n, len(plain))]
			case 2:
				w := pack.Writer(nil)
				s.log.pack(&w, tables)
				r := pack.Reader(w.Packed())
				s.log, s.logged = Records{packed: s.log.packed}, place{}
				if s.log.pack(&r, tables); len(r.Packed()) > 0 {
					t.Fatalf("%d bytes are left", len(r.Packed()))
				}
				if s.log.shape != nil {
					shaped++
				}
			}
			plain = plain[:min(len(plain), MaxRecords)]
		}
		if got := s.records(); len(plain)+len(got) > 0 && !reflect.DeepEqual(got, plain) || s.log.Len() != len(plain) {
			t.Fatalf("packed %+v\nplain %+v", got, plain)
		}
	}
	if shaped < 100 {
		t.Errorf("%d had a shape", shaped)
	}
}
