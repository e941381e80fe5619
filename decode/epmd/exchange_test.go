package epmd

import (
	"fmt"
	"strings"
	"testing"
)

func TestExchanges(t *testing.T) {
	for _, c := range []struct {
		name              string
		requests, replies []byte
		want              string
	}{
		{"registered", alive2, alive2XResp, "ALIVE2_REQ demo accepted answered"},
		{"registered, old reply", alive2, alive2Resp, "ALIVE2_REQ demo accepted answered"},
		{"name taken", alive2, alive2Taken, "ALIVE2_REQ demo refused answered"},
		{"looked up", portPlease2, port2Resp, "PORT_PLEASE2_REQ demo accepted answered"},
		{"not there", portPlease2, port2NotFound, "PORT_PLEASE2_REQ demo refused answered"},
		{"answer cut", portPlease2, port2Resp[:10], "PORT_PLEASE2_REQ demo unanswered answered"},
		{"no answer", portPlease2, nil, "PORT_PLEASE2_REQ demo unanswered"},
		{"all names", request('n'), names, "NAMES_REQ  accepted answered"},
		{"no names", request('n'), u32(4369), "NAMES_REQ  accepted answered"},
		{"dump", request('d'), dump, "DUMP_REQ  accepted answered"},
		{"dump of nothing", request('d'), u32(4369), "DUMP_REQ  accepted answered"},
		{"killed", request('k'), []byte("OK"), "KILL_REQ  accepted answered"},
		{"not killed", request('k'), []byte("NO"), "KILL_REQ  refused answered"},
		{"kill without answer", request('k'), nil, "KILL_REQ  unanswered"},
		{"stopped", request('s', "demo"), []byte("STOPPED"), "STOP_REQ demo accepted answered"},
		{"not there to stop", request('s', "demo"), []byte("NOEXIST"), "STOP_REQ demo refused answered"},
		{"unknown", request('q', "x"), nil, "unknown  unanswered"},
		{"reply alone: lookup", nil, port2Resp, "PORT_PLEASE2_REQ demo accepted answered"},
		{"reply alone: registration", nil, alive2XResp, "ALIVE2_REQ  accepted answered"},
		{"reply alone: names", nil, names, "NAMES_REQ  accepted answered"},
		{"reply alone: dump", nil, dump, "DUMP_REQ  accepted answered"},
		{"reply alone: killed", nil, []byte("OK"), "KILL_REQ  accepted answered"},
		{"two requests, one answer", cat(portPlease2, portPlease2), port2Resp, "PORT_PLEASE2_REQ demo accepted answered; PORT_PLEASE2_REQ demo unanswered"},
		{"an answer to something else", request('k'), names, "KILL_REQ  unanswered; NAMES_REQ  accepted answered"},
		{"nothing", nil, nil, ""},
	} {
		var got []string
		for _, e := range Exchanges(decode(t, ByPort, c.requests, 0, 0), decode(t, ByPort, c.replies, 0, 0)) {
			text := fmt.Sprintf("%s %s %s", e.Op, e.Node, e.Outcome)
			if e.Answered {
				text += " answered"
			}
			if e.At.Frame != start.Frame {
				t.Errorf("%s: at %+v", c.name, e.At)
			}
			got = append(got, text)
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
