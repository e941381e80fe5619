package tls

import (
	"testing"

	"distproof/decode/tcp"
)

// BenchmarkRecords follows the headers of records that are as large as they
// may be, in segments of full size.
func BenchmarkRecords(b *testing.B) {
	const size, segment = maxRecord, 1448
	data := make([]byte, headerLength+size)
	copy(data, []byte{byte(TypeApplicationData), 3, 3, size >> 8, size & 0xff})
	s := NewStream(AtStart)
	s.confirm()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for at := int64(0); b.Loop(); {
		for i := 0; i < len(data); i += segment {
			n := min(segment, len(data)-i)
			s.Data(tcp.Position{Offset: at, Acked: -1}, data[i:i+n])
			at += int64(n)
		}
	}
	if s.foreign != nil || s.sealed.Application == 0 {
		b.Fatal("the records were not followed")
	}
}
