package dist

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"distproof/decode/pack"
	"distproof/internal/fill"
)

// filled returns a stream at rest with something in every field, of which so many
// atoms and names are known.
func filled(tables *Tables, seed uint64, many int) *Stream {
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		return strings.Repeat(string(rune('a'+random.IntN(26))), 1+random.IntN(20)) + strconv.Itoa(random.IntN(1000))
	}
	s, a := new(Stream), new(activity)
	fill.Fill(s, random)
	fill.Fill(a, random)
	s.state, s.after = searching, inHeader
	s.activity, s.search = a, new(search)
	fill.Fill(s.search, random)
	s.search.n = lookBehind
	f := &s.facts
	f.Recognition, f.Role, f.Handshake.Name = ByFraming, Server, string(f.Handshake.RawName)
	// These are told by what is in the activity, or only in a copy.
	f.Messages, f.MessageBytes, f.RegisteredNames, f.Spawned, f.Calls, f.Tentative = nil, nil, nil, nil, nil, false
	f.Ticks.Count = 2

	a.names, a.spawned, a.calls, a.scratch = tally{}, tally{}, [ByRequest + 1]callTally{}, nil
	for range many {
		a.names.add(tables, []byte(text()))
		a.spawned.add(tables, []byte(text()))
		for by := BySpawn; by <= ByRequest; by++ {
			a.calls[by].add(tables, []byte(text()), f.First)
			a.calls[by].add(tables, []byte(text()), f.LastMessage)
		}
	}
	s.dec = decoder{tables: tables, show: true, expanded: 3}
	c := &s.dec.cache
	for range many {
		c.set(tables, uint16(random.IntN(cacheSize)), []byte(text()))
	}
	if many > 0 {
		c.set(tables, 7, make([]byte, maxCachedBytes-c.bytes))
		c.set(tables, 8, []byte("no room for it"))
	}
	s.candidate, s.work = nil, nil
	return s
}

// TestPackAll: no field is forgotten, whatever the room had in it.
func TestPackAll(t *testing.T) {
	tables := new(Tables)
	for _, row := range []struct{ want, room int }{{1, 1}, {3, 200}, {200, 3}, {200, 100}, {0, 4}} {
		want, got := filled(tables, 1, row.want), filled(tables, 2, row.room)
		w := pack.Writer(nil)
		want.Pack(&w, tables)
		r := pack.Reader(w.Packed())
		got.Pack(&r, tables)
		got.activity.scratch, got.work = nil, nil
		again := pack.Writer(nil)
		got.Pack(&again, tables)
		if len(r.Packed()) > 0 || !want.AtRest() || string(again.Packed()) != string(w.Packed()) || !reflect.DeepEqual(bare(got), bare(want)) {
			t.Errorf("%d names in the room of %d: %d bytes are left of %d, and it is\n%+v\n%+v\nwant\n%+v\n%+v",
				row.want, row.room, len(r.Packed()), len(w.Packed()), got, got.activity, want, want.activity)
		}
	}
	empty, got := tables.NewStream(Options{}, Midstream), filled(tables, 3, 5)
	w := pack.Writer(nil)
	empty.Pack(&w, tables)
	r := pack.Reader(w.Packed())
	if got.Pack(&r, tables); !reflect.DeepEqual(bare(got), bare(empty)) {
		t.Errorf("one that has seen nothing is\n%+v\nwant\n%+v", got, empty)
	}
}

// bare returns s without the room that is only used while bytes are read.
func bare(s *Stream) Stream {
	out := *s
	out.work, out.dec.refs, out.dec.inflated, out.dec.more, out.dec.message = nil, nil, nil, nil, message{}
	if len(out.buf.b) == 0 {
		out.buf = piece{}
	}
	return out
}

// TestPackFull: what the tables have no room for is packed as it is.
func TestPackFull(t *testing.T) {
	tables := new(Tables)
	want := filled(tables, 1, 20)
	w := pack.Writer(nil)
	want.activity.names.names[0] = &word{text: "own"}
	want.dec.cache.entries[1] = &entry{text: []byte("own"), slot: want.dec.cache.keys[1]}
	want.activity.names.bytes, want.dec.cache.bytes = 0, 0
	want.activity.names.index, want.dec.cache.index = nil, nil
	want.activity.names.sum()
	want.dec.cache.sum()
	want.Pack(&w, tables)
	r, got := pack.Reader(w.Packed()), filled(tables, 2, 20)
	got.Pack(&r, tables)
	if !reflect.DeepEqual(bare(got), bare(want)) {
		t.Errorf("it is\n%+v\nwant\n%+v", got, want)
	}
}
