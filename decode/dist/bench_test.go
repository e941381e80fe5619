package dist

import (
	"bytes"
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

// BenchmarkBulk is what bulk data looks like: large messages in segments that
// do not keep to their bounds.
func BenchmarkBulk(b *testing.B) {
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"2KiB", bytes.Repeat(sendBinary(2<<10), 16)},
		{"60KiB", sendBinary(60 << 10)},
		{"fragments", fragmented(1 << 20)},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := NewStream(AtHandshake)
			s.Data(tcp.Position{}, cat(sendName6, reply, regSend))
			const segment = 1448
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				for i := 0; i < len(c.data); i += segment {
					s.Data(tcp.Position{Offset: int64(i)}, c.data[i:min(i+segment, len(c.data))])
				}
			}
		})
	}
}

// sendBinary is a message to rex with a binary of n bytes.
func sendBinary(n int) []byte {
	return frame(131, 68, 3, 0x07, 0x04, 0x96, 0x05, 0x74,
		104, 4, 97, 6, pid, 82, 1, 82, 2,
		104, 2, pid, 109, u32(n), zeros(n))
}

// fragmented is a message to a process with a binary of n bytes, in fragments
// as OTP makes them.
func fragmented(n int) []byte {
	const size = 64 << 10
	body := cat(104, 3, 97, 22, literalPid, literalPid, 109, u32(n), zeros(n))
	count := uint64(len(body)+size-1) / size
	out := frame(131, 69, u64(72), u64(count), 0, body[:size])
	for id, rest := count-1, body[size:]; id > 0; id-- {
		k := min(size, len(rest))
		out = cat(out, frame(131, 70, u64(72), u64(id), rest[:k]))
		rest = rest[k:]
	}
	return out
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
