package tls

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"distproof/capture"
)

// TestPackedLog: records come out as they went in, whatever is in them.
func TestPackedLog(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		packed, plain := NewStream(AtStart), NewStream(AtStart)
		for range random.IntN(MaxRecords + 3) {
			r := Record{
				Type: ContentType(random.Uint32()), Sealed: random.IntN(2) == 0, Message: HandshakeType(random.Uint32()),
				Length: random.IntN(maxRecord), Offset: random.Int64() >> random.IntN(64), Acked: random.Int64()>>random.IntN(64) - 1,
				Frame: capture.Frame{Input: random.Uint32(), Number: random.Uint32()},
			}
			packed.record, plain.record = r, r
			packed.logRecord()
			plain.logRecord()
			if random.IntN(4) == 0 {
				packed.unpack()
				packed.pack()
			}
		}
		packed.unpack()
		if len(plain.log)+len(packed.log) > 0 && !reflect.DeepEqual(packed.log, plain.log) || packed.reliable != plain.reliable {
			t.Fatalf("packed %+v\nplain %+v", packed.log, plain.log)
		}
	}
}
