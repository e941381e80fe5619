package tls

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"distproof/decode/pack"
	"distproof/internal/fill"
)

// filledLog returns records of which some came in the same packets.
func filledLog(random *rand.Rand) Records {
	var all []Record
	for i := range shapedRecords + random.IntN(5) {
		var r Record
		fill.Fill(&r, random)
		if r.Time = 0; i%3 > 0 {
			r.Frame = all[i-1].Frame
		}
		all = append(all, r)
	}
	return NewRecords(all...)
}

// TestPackAll: no field is forgotten, whatever the room had in it.
func TestPackAll(t *testing.T) {
	tables := NewTables()
	filled := func(seed uint64) *Stream {
		random := rand.New(rand.NewPCG(seed, 0))
		s := tables.NewStream(Preamble)
		b := s.beginning
		fill.Fill(s, random)
		s.log = filledLog(random)
		s.start, s.status, s.role = Preamble, Synced, RoleServer
		s.beginning, s.retained, s.foreign = b, &tables.unretained, new(Foreign)
		fill.Fill(s.foreign, random)
		fill.Fill(b, random)
		b.number, s.logged = 0, place{}
		b.hello, b.server = new(ClientHello), new(ServerHello)
		fill.Fill(b.hello, random)
		fill.Fill(b.server, random)
		b.hello.interned, b.server.interned = false, false
		b.hello, b.server = b.hello.intern(tables), b.server.intern(tables)
		fact := signatures{}
		fill.Fill(&fact, random)
		b.signed = tables.signaturesOf(fact)
		b.chain = tables.readChain(&tables.chains12, []byte{byte(seed)}, func(*Tables, []byte) ([][]byte, error) { return [][]byte{{byte(seed)}}, nil })
		return s
	}
	want, got := filled(1), filled(2)
	w := pack.Writer(nil)
	want.Pack(&w, tables)
	r := pack.Reader(w.Packed())
	got.Pack(&r, tables)
	got.log = Records{packed: got.log.whole(nil), n: got.log.n}
	if len(r.Packed()) > 0 || !want.AtRest() || !reflect.DeepEqual(got, want) {
		t.Errorf("%d bytes are left of %d, and it is\n%+v\n%+v\nwant\n%+v\n%+v", len(r.Packed()), len(w.Packed()), got, got.beginning, want, want.beginning)
	}
}
