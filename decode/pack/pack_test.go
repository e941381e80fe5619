package pack_test

import (
	"math"
	"reflect"
	"testing"

	"distproof/capture"
	"distproof/decode/pack"
)

// everything has a field of each kind.
type everything struct {
	small, large   uint8
	short          uint16
	word           uint32
	long           uint64
	int            int
	time, offset   int64
	frame          capture.Frame
	yes, no        bool
	fixed          [3]byte
	bytes          []byte
	text           string
	there, missing *everything
	all            []everything
}

func (e *everything) pack(p *pack.Packer) {
	pack.Pair(p, &e.small, &e.small)
	pack.Uint8(p, &e.large)
	pack.Uint(p, &e.short)
	pack.Uint32(p, &e.word)
	pack.Uint(p, &e.long)
	pack.Int(p, &e.int)
	p.Time(&e.time)
	p.Offset(&e.offset)
	p.Frame(&e.frame)
	p.Flags(&e.yes, &e.no)
	p.Fixed(e.fixed[:])
	p.Bytes(&e.bytes)
	p.Text(&e.text)
	if all := p.View(e.bytes); p.Reading() && string(all) != string(e.bytes) {
		panic("other bytes")
	}
	p.Place(&e.offset, &e.time, &e.time, &e.frame)
	pack.Some(p, &e.there, (*everything).pack)
	pack.Some(p, &e.missing, (*everything).pack)
	pack.Slice(p, &e.all, (*everything).pack)
}

func TestPacker(t *testing.T) {
	most := everything{
		15, 255, math.MaxUint16, math.MaxUint32, math.MaxUint64, math.MinInt, math.MinInt64, math.MaxInt64,
		capture.Frame{Input: math.MaxUint32, Number: math.MaxUint32}, true, false, [3]byte{1, 2, 3}, []byte("some"), "text", nil, nil, nil,
	}
	few := everything{int: -1, time: 1, offset: -1, frame: capture.Frame{Number: 7}}
	want := few
	want.there, want.all = &most, []everything{few, most, few}
	w := pack.Writer(nil)
	want.pack(&w)
	for name, got := range map[string]everything{
		"new":  {},
		"used": {bytes: []byte("more than that"), there: &everything{text: "other"}, missing: new(everything), all: []everything{most, most, most, most}},
	} {
		r := pack.Reader(w.Packed())
		got.pack(&r)
		if len(r.Packed()) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d bytes are left, and it is %+v, want %+v", name, len(r.Packed()), got, want)
		}
	}
	w = pack.Writer(nil)
	if few.pack(&w); len(w.Packed()) > 30 {
		t.Errorf("%d bytes for next to nothing", len(w.Packed()))
	}
}
