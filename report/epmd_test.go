package report_test

import (
	"net/netip"
	"reflect"
	"testing"

	"distproof/decode"
	"distproof/decode/epmd"
	"distproof/report"
)

func TestExchanges(t *testing.T) {
	at := decode.Frame{Input: 1, Number: 7}
	doc := build(&decode.Capture{Registry: decode.Registry{Exchanges: []decode.Exchange{
		{Client: netip.MustParseAddr("10.1.0.1"), Server: netip.MustParseAddrPort("10.1.0.2:4369"), Request: epmd.StopReq, Node: "demo", Outcome: epmd.Refused, Count: 3, First: at},
		{Client: netip.MustParseAddr("fd00::1"), Server: netip.MustParseAddrPort("[fd00::2]:14369"), Request: decode.NoRequest, Outcome: epmd.Unanswered, Count: 1, First: at},
	}}})
	want := []report.EPMDExchange{
		{Client: "10.1.0.1", Server: "10.1.0.2", Port: 4369, Request: "STOP_REQ", Node: "demo", Outcome: "refused", Count: 3, FirstFrame: 7, Input: 1},
		{Client: "fd00::1", Server: "fd00::2", Port: 14369, Request: "none", Outcome: "unanswered", Count: 1, FirstFrame: 7, Input: 1},
	}
	if !reflect.DeepEqual(doc.EPMD.Exchanges, want) {
		t.Errorf("got  %+v\nwant %+v", doc.EPMD.Exchanges, want)
	}
	if none := build(&decode.Capture{}).EPMD.Exchanges; none == nil || len(none) != 0 {
		t.Errorf("of nothing: %#v", none)
	}
}
