package dist

import (
	"math/rand/v2"
	"testing"

	"distproof/decode/tcp"
)

func BenchmarkMessages(b *testing.B) {
	s := NewStream(AtHandshake)
	s.Data(tcp.Position{}, cat(sendName6, reply, regSend))
	var data []byte
	for range 10 {
		data = cat(data, regSendAgain, linkMsg, tick)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s.Data(tcp.Position{}, data)
	}
}

func BenchmarkSearch(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1448)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	s := NewStream(Midstream)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if s.search != nil {
			s.search.seen = 0
		}
		s.Data(tcp.Position{}, data)
	}
}
