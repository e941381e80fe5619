package decode_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"distproof/capture/link"
	"distproof/decode"
)

// asked lists who asked what of port mappers.
func asked(c *decode.Capture) string {
	var out []string
	for _, e := range c.Registry.Exchanges {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s>%s %s %s %s ×%d", e.Client, e.Server, e.Request, e.Node, e.Outcome, e.Count)))
	}
	return strings.Join(out, "; ")
}

func TestExchanges(t *testing.T) {
	const from = "10.1.0.1:40001"
	for _, row := range []struct {
		name string
		play func(*talk)
		want string
	}{
		{"a lookup", func(t *talk) { t.asks(mapper, "demo", 9100) }, "10.1.0.9>10.1.0.2:4369 PORT_PLEASE2_REQ demo accepted ×1"},
		{"the same twice, and another", func(t *talk) {
			t.asks(mapper, "demo", 9100)
			t.asks(mapper, "demo", 9100)
			t.asks(mapper, "other", 9101)
		}, "10.1.0.9>10.1.0.2:4369 PORT_PLEASE2_REQ demo accepted ×2; 10.1.0.9>10.1.0.2:4369 PORT_PLEASE2_REQ other accepted ×1"},
		{"KILL, closed without an answer", func(t *talk) { t.dials(from, mapper).sends(client, with16('k')).closes(server) }, "10.1.0.1>10.1.0.2:4369 KILL_REQ  refused ×1"},
		{"KILL, closed by the client", func(t *talk) { t.dials(from, mapper).sends(client, with16('k')).closes(client) }, "10.1.0.1>10.1.0.2:4369 KILL_REQ  unanswered ×1"},
		{"KILL, answer not captured", func(t *talk) { t.dials(from, mapper).sends(client, with16('k')).misses(server, 2).closes(server) }, "10.1.0.1>10.1.0.2:4369 KILL_REQ  unanswered ×1"},
		{"KILL, the end not captured", func(t *talk) { t.dials(from, mapper).sends(client, with16('k')) }, "10.1.0.1>10.1.0.2:4369 KILL_REQ  unanswered ×1"},
		{"a SYN that nobody answers", func(t *talk) { t.joins(from, mapper).syn() }, "10.1.0.1>10.1.0.2:4369 none  unanswered ×1"},
		{"a SYN that is refused", func(t *talk) {
			d := t.joins(from, mapper)
			d.syn()
			d.segment(server, link.RST|link.ACK, nil)
		}, "10.1.0.1>10.1.0.2:4369 none  refused ×1"},
		{"opened and closed", func(t *talk) { t.dials(from, mapper).closes(client) }, "10.1.0.1>10.1.0.2:4369 none  accepted ×1"},
		{"something else", func(t *talk) { t.dials(from, mapper).sends(client, []byte("GET / HTTP/1.0\r\n\r\n")) }, "10.1.0.1>10.1.0.2:4369 unknown  unanswered ×1"},
		{"distribution on EPMD's port", func(t *talk) { t.dials(from, mapper).connects("a@n1.lab", "b@n2.lab") }, ""},
		{"no beginning, no data: who dialled is not known", func(t *talk) { t.joins(from, mapper).segment(client, link.ACK, nil) }, ""},
		{"another port", func(t *talk) { t.dials(from, "10.1.0.2:80").closes(client) }, ""},
		{"ports of EPMD that the user names", func(t *talk) { t.dials(from, "10.1.0.2:14369").closes(client) }, "10.1.0.1>10.1.0.2:14369 none  accepted ×1"},
		{"EPMD on a port that nobody named", func(t *talk) { t.asks("10.1.0.2:5000", "demo", 9100) }, "10.1.0.9>10.1.0.2:5000 PORT_PLEASE2_REQ demo accepted ×1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			play := newTalk()
			row.play(play)
			c := play.finish(decode.Options{EPMDPorts: []uint16{14369}})
			if got := asked(c); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			for _, e := range c.Registry.Exchanges {
				if e.First.Number == 0 {
					t.Errorf("no frame: %+v", e)
				}
			}
			if got := slices.ContainsFunc(c.Connections, func(x *decode.Connection) bool { return x.ToEPMD }); got != (row.want != "") {
				t.Errorf("a connection to EPMD: %v", got)
			}
		})
	}
}
