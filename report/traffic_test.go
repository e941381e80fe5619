package report_test

import (
	"testing"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/tcp"
	tlsfacts "distproof/decode/tls"
	"distproof/report"
	"distproof/verify"
)

func connectionOf(change func(*decode.Connection)) report.Connection {
	c := &decode.Connection{Protocol: decode.Dist, InClear: true, Dist: new([2]dist.Facts), Ends: [2]decode.End{{Node: "a@n1"}, {Node: "b@n2"}}}
	c.Dist[decode.Client].Bytes = 100
	change(c)
	capture := &decode.Capture{Connections: []*decode.Connection{c}}
	return report.New(report.Tool{}, nil, nil, capture, verify.Observe(capture, verify.Options{})).Connections[0]
}

func uses(frame uint32, count uint64) dist.Uses {
	at := tcp.Position{Frame: decode.Frame{Number: frame}, Time: int64(frame)}
	return dist.Uses{Count: count, First: at, Last: at}
}

// The sentence about a connection in the clear tells what matters most.
func TestAccount(t *testing.T) {
	for want, change := range map[string]func(c *decode.Connection){
		"a@n1 introduced itself to b@n2 in the clear, and no message followed": func(*decode.Connection) {},
		"a@n1 and b@n2 kept their connection alive in the clear, and sent nothing else": func(c *decode.Connection) {
			c.Dist[decode.Client].Ticks.Count = 3
		},
		"a@n1 and b@n2 exchanged 3 messages in the clear": func(c *decode.Connection) {
			c.Dist[decode.Client].Messages = map[string]uint64{"SEND": 3}
		},
		"a@n1 and b@n2 exchanged 9 messages in the clear, among them to w, x, y and 1 more": func(c *decode.Connection) {
			c.Dist[decode.Client].Messages = map[string]uint64{"REG_SEND": 9}
			c.Dist[decode.Client].RegisteredNames = map[string]uint64{"w": 4, "z": 1, "y": 2, "x": 2}
		},
		"b@n2 called os:cmd/1 on a@n1 twice, a@n1 spawned m:f/0 on b@n2 once in the clear": func(c *decode.Connection) {
			c.Dist[decode.Client].Calls = map[dist.Call]dist.Uses{{Means: dist.BySpawn, Function: "m:f/0"}: uses(7, 1)}
			c.Dist[decode.Server].Calls = map[dist.Call]dist.Uses{{Means: dist.ByERPC, Function: "os:cmd/1"}: uses(9, 2)}
		},
		"a@n1 asked for code_server:load_binary on b@n2 5 times, a@n1 called m:a/1 on b@n2 once, a@n1 called m:b/1 on b@n2 once in the clear, and 1 more function": func(c *decode.Connection) {
			c.Dist[decode.Client].Calls = map[dist.Call]dist.Uses{
				{Means: dist.ByRequest, Function: "code_server:load_binary"}: uses(4, 5),
				{Means: dist.ByRPC, Function: "m:a/1"}:                       uses(5, 1),
				{Means: dist.ByRPC, Function: "m:b/1"}:                       uses(6, 1),
				{Means: dist.ByRPC, Function: "m:c/1"}:                       uses(7, 1),
			}
		},
		"a@n1 called m:a/1 on b@n2 3 times, a@n1 spawned m:a/1 on b@n2 once in the clear": func(c *decode.Connection) {
			c.Dist[decode.Client].Calls = map[dist.Call]dist.Uses{
				{Means: dist.ByRPC, Function: "m:a/1"}:   uses(4, 1),
				{Means: dist.ByERPC, Function: "m:a/1"}:  uses(5, 2),
				{Means: dist.BySpawn, Function: "m:a/1"}: uses(6, 1),
			}
		},
	} {
		if got := connectionOf(change).Cleartext.Account; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What was decrypted is told apart from what crossed in the clear.
func TestDecrypted(t *testing.T) {
	c := connectionOf(func(c *decode.Connection) {
		c.Protocol, c.InClear, c.IsDecrypted = decode.DistTLS, false, true
		c.TLS = &tlsfacts.Facts{Session: &tlsfacts.Session{Opened: [2]tlsfacts.Opened{{Bytes: 40}, {Bytes: 20, Stopped: "packets are missing"}}}}
		c.Decrypted = new([2]dist.Facts)
		c.Decrypted[decode.Client] = dist.Facts{Connected: true, Messages: map[string]uint64{"SEND": 2}}
		c.Decrypted[decode.Server] = dist.Facts{Handshake: dist.Handshake{Ack: true}}
	})
	d := c.Decrypted
	if c.Cleartext != nil || d == nil {
		t.Fatalf("cleartext %v, decrypted %v", c.Cleartext, d)
	}
	if d.Bytes != (report.Counts{Client: 40, Server: 20}) || d.Incomplete != "packets are missing" || d.Cookie != "accepted" ||
		d.Messages["SEND"] != 2 || d.Account != "a@n1 and b@n2 exchanged 2 messages inside TLS" {
		t.Errorf("%+v", d)
	}
}
