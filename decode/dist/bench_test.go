package dist

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"distproof/decode/tcp"
)

func BenchmarkMessages(b *testing.B) {
	s := new(Tables).NewStream(Options{}, AtHandshake)
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
			s := new(Tables).NewStream(Options{}, AtHandshake)
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
	s := new(Tables).NewStream(Options{}, Midstream)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if s.search != nil {
			s.search.seen = 0
		}
		s.Data(tcp.Position{}, data)
	}
}

// BenchmarkCalls is what calls with erpc look like: a request to spawn and the
// reply to it, and the result.
func BenchmarkCalls(b *testing.B) {
	request, _ := hex.DecodeString("00000095834406309e980044ff150c657865637574655f63616c6c9d076d6f6e69746f72e50665726c616e67be046e6f64656806611d5a000352006b02529b00001fa3547000021d94082858520000000009000000006b02529b58520000000047000000006b02529b68035201520261046c0000000152036a6c000000045a000352006b02529b00001fa2547000021d940828520452056a6a")
	reply, _ := hex.DecodeString("0000004083440204001a446805611f5a000352006b02529b00001fa3547000021d94082858520000000009000000006b02529b610258520100000057000000006b02529b")
	result, _ := hex.DecodeString("000000618344034008441a0a0672657475726e6804611c58520000000057000000006b02529b58520100000009000000006b02529b5a000352016b02529b00001fa3547000021d94082868035a000352016b02529b00001fa2547000021d94082852025200")
	for _, c := range []struct {
		name string
		data [][]byte
	}{{"request", [][]byte{request}}, {"reply", [][]byte{reply}}, {"result", [][]byte{result}}} {
		b.Run(c.name, func(b *testing.B) {
			s := new(Tables).NewStream(Options{}, AtHandshake)
			s.Data(tcp.Position{}, cat(sendName6, reply, regSend))
			b.ReportAllocs()
			for b.Loop() {
				for _, m := range c.data {
					s.Data(tcp.Position{}, m)
				}
			}
		})
	}
}
