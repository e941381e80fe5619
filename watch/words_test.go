package watch

import (
	"testing"

	"distproof/decode/epmd"
	"distproof/report"
)

// Nobody is refused by a port mapper that does not know a name.
func TestWordsOfPortMappers(t *testing.T) {
	for _, row := range []struct {
		request string
		outcome epmd.Outcome
		want    string
	}{
		{epmd.PortPlease2Req, epmd.Refused, `10.1.0.1 asked the port mapper 10.1.0.2 port 4369 for the port of "rabbit": it has none of that name, 2 times`},
		{epmd.PortPlease2Req, epmd.Accepted, `10.1.0.1 asked the port mapper 10.1.0.2 port 4369 for the port of "rabbit": accepted, 2 times`},
		{epmd.StopReq, epmd.Refused, `10.1.0.1 told the port mapper 10.1.0.2 port 4369 to forget "rabbit": refused, 2 times`},
	} {
		x := &report.EPMDExchange{Client: "10.1.0.1", Server: "10.1.0.2", Port: 4369, Request: row.request, Node: "rabbit", Outcome: row.outcome.String()}
		if got := asks(x, 2); got != row.want {
			t.Errorf("%s\nwant %s", got, row.want)
		}
	}
}

// What is only likely is told as such.
func TestWordsOfLikelyNodes(t *testing.T) {
	for _, row := range []struct {
		end  report.Endpoint
		want string
	}{
		{report.Endpoint{Address: "10.1.0.1", Host: "mq1", LikelyNode: "rabbit@mq1"}, "?@mq1 (likely rabbit@mq1)"},
		{report.Endpoint{Address: "10.1.0.1", Host: "mq1"}, "?@mq1"},
		{report.Endpoint{Address: "10.1.0.1", Node: "rabbit@mq1"}, "rabbit@mq1"},
	} {
		if got := report.NameOf(&row.end).String(); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
