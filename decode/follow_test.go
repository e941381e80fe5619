package decode_test

import (
	"testing"

	"distproof/decode"
	"distproof/decode/tcp"
)

// A Follower puts segments to the connections that a Decoder made of them, also
// where addresses and ports are used again.
func TestFollower(t *testing.T) {
	talk := newTalk()
	const a, b, mapper = "10.0.0.1:40000", "10.0.0.2:9100", "10.0.0.2:4369"
	talk.dials(a, b).sends(client, []byte("first"), []byte("more")).closes(client)
	talk.asks(mapper, "n2", 9100)
	again := talk.dials(a, b).sends(server, []byte("again"))
	again.sends(client, []byte("and back"))
	capture := talk.finish(decode.Options{})
	if len(capture.Connections) != 3 {
		t.Fatalf("%d connections, want 3", len(capture.Connections))
	}
	var packets, bytes [3][2]uint64
	f := decode.NewFollower(capture)
	for i := range talk.segments {
		s := talk.segments[i]
		p := f.Segment(&s)
		c := capture.Connections[p.Connection]
		side := client
		if s.Src.AddrPort() == c.Ends[server].Address {
			side = server
		}
		if !p.Placed || p.Offset != int64(bytes[p.Connection][side]) {
			t.Errorf("segment %d: offset %d (%t), want %d", i+1, p.Offset, p.Placed, bytes[p.Connection][side])
		}
		packets[p.Connection][side]++
		bytes[p.Connection][side] += uint64(len(s.Payload))
		if acked, ok := f.Acked(p, &s); ok && acked < int64(bytes[p.Connection][1-side]) {
			t.Errorf("segment %d acknowledges %d, want %d", i+1, acked, bytes[p.Connection][1-side])
		}
	}
	for i, c := range capture.Connections {
		for side := range c.TCP {
			if want := c.TCP[side]; packets[i][side] != want.Packets || bytes[i][side] != want.Bytes || want.Start != tcp.StartSYN {
				t.Errorf("connection %d: %d packets, %d bytes, want %+v", i, packets[i][side], bytes[i][side], want)
			}
		}
	}
}
