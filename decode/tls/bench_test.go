package tls

import (
	"strings"
	"testing"

	"distproof/decode/secrets"
	"distproof/decode/tcp"
)

// BenchmarkBulk follows a connection of 8 MiB, mostly of the server's: without
// a key log, with one of other connections, which should cost nothing, and with
// its own.
func BenchmarkBulk(b *testing.B) {
	const blocks, size = 512, 16<<10 - 100
	block := make([]byte, size)
	chain, _ := certificateFor(b, "bulk")
	g := newForger(b, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	for i := range blocks {
		g.traffic(server, uint64(i), TypeApplicationData, block)
		g.traffic(client, uint64(i), TypeApplicationData, "ok")
	}
	segments := g.r.segments(1448)
	others := strings.ReplaceAll(forgedLog(), "30313233", "31313233")
	for _, row := range []struct {
		name, keys  string
		wait, opens bool
	}{{"none", "", false, false}, {"others", others, false, false}, {"own", forgedLog(), false, true}, {"handshake", forgedLog(), true, false}} {
		b.Run(row.name, func(b *testing.B) {
			log := logOf(b, row.keys, secrets.Options{HandshakeOnly: row.wait})
			b.SetBytes(blocks * size)
			b.ReportAllocs()
			for b.Loop() {
				var streams [2]*Stream
				opened := 0
				for side := range streams {
					streams[side] = NewStream(AtStart)
					streams[side].Retain(log, func(_ tcp.Position, data []byte) { opened += len(data) })
				}
				done := false
				for _, c := range segments {
					streams[c.side].Data(c.at, c.data)
					done = done || Unlock(streams[client], streams[server])
				}
				if got := opened > blocks*size; got != row.opens {
					b.Fatalf("%d bytes opened", opened)
				}
			}
		})
	}
}

// segments cuts what was said into segments of at most n bytes.
func (r *conversation) segments(n int) []chunk {
	var out []chunk
	for _, c := range r.chunks {
		for len(c.data) > 0 {
			m := min(n, len(c.data))
			out = append(out, chunk{c.side, c.at, c.data[:m]})
			c.at.Offset += int64(m)
			c.data = c.data[m:]
		}
	}
	return out
}
