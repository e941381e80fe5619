package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	tlsfacts "distproof/decode/tls"
	"distproof/report"
	"distproof/verify"
)

var tool = report.Tool{Name: "distproof", Version: "test"}

// build makes a document of connections.
func build(c *decode.Capture) *report.Document {
	inputs := []capture.Input{{Path: "a.pcap", Format: "pcap"}}
	return report.New(tool, inputs, []map[string]uint64{nil}, c, verify.Judge(c, verify.Coverage{}, verify.Options{}))
}

// overTLS returns a connection of distribution over mutual TLS.
func overTLS(n int) *decode.Connection {
	sent := tcp.Stats{Packets: 10, Bytes: 4000, End: 4000, Start: tcp.StartSYN}
	yes := fact.YesBy(fact.Observed, "seen")
	return &decode.Connection{
		Protocol: decode.DistTLS, ProtocolBasis: []string{decode.ByRecordSizes}, RolesBasis: "syn",
		Ends: [2]decode.End{
			{Address: netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), uint16(40000+n))},
			{Address: netip.AddrPortFrom(netip.MustParseAddr("10.1.0.2"), 9100), Node: "demo@n2.lab"},
		},
		FirstFrame: decode.Frame{Number: uint32(n)}, TCP: [2]tcp.Stats{sent, sent},
		TLS: &tlsfacts.Facts{
			Client: &tlsfacts.ClientHello{}, Server: &tlsfacts.ServerHello{}, Flight: decode.Frame{Number: 5},
			Session: &tlsfacts.Session{
				Version: tlsfacts.TLS12, Suite: 0xc02c, Established: yes, Finished: true,
				ClientCertificate: tlsfacts.ClientCertificate{Status: tlsfacts.Presented, Basis: fact.Observed, Requested: yes, Possession: fact.Observed, Chain: [][]byte{{1}}},
				ServerCertificate: tlsfacts.ServerCertificate{Basis: fact.Observed, Possession: fact.Observed, Chain: [][]byte{{2}}},
				Shape:             tlsfacts.Shape{Stage: tlsfacts.StageAck},
			},
		},
	}
}

func oneWay(n int) *decode.Connection {
	c := overTLS(n)
	c.TLS.ClientCertificate = tlsfacts.ClientCertificate{Status: tlsfacts.NotRequested, Basis: fact.Observed, Requested: fact.NoBy(fact.Observed, "seen")}
	return c
}

func unproven(n int) *decode.Connection {
	c := overTLS(n)
	c.TLS = &tlsfacts.Facts{Session: new(tlsfacts.Session)}
	return c
}

func inTheClear(n int) *decode.Connection {
	c := overTLS(n)
	c.Protocol, c.TLS, c.InClear = decode.Dist, nil, true
	c.Dist = &[2]dist.Facts{{Bytes: 10}}
	return c
}

func elsewhere(p decode.Protocol, n int) *decode.Connection {
	c := overTLS(n)
	c.Protocol, c.ProtocolBasis, c.TLS, c.EPMD = p, nil, nil, new([2]epmd.Facts)
	return c
}

// TestArraysAreNeverNull: only the documented fields may be null.
func TestArraysAreNeverNull(t *testing.T) {
	nullable := map[string]bool{"verdict": true, "version": true, "requested": true, "accepted": true}
	captures := map[string]*decode.Capture{
		"empty": {},
		"bare connections": {Connections: []*decode.Connection{
			{Protocol: decode.None}, {Protocol: decode.Other}, {Protocol: decode.EPMD, EPMD: new([2]epmd.Facts)}, {Protocol: decode.Dist, InClear: true, Dist: new([2]dist.Facts)},
			{Protocol: decode.TLS, TLS: &tlsfacts.Facts{Session: new(tlsfacts.Session)}}, {Protocol: decode.DistTLS, TLS: &tlsfacts.Facts{Session: new(tlsfacts.Session)}},
			{Protocol: decode.DistTLS, TLS: &tlsfacts.Facts{Session: &tlsfacts.Session{Alerts: []tlsfacts.SideAlert{{}}, ClientCertificate: tlsfacts.ClientCertificate{Chain: [][]byte{{1}}}}}},
		}, Nodes: []*decode.Node{{Name: "a@b"}}},
	}
	for name, c := range captures {
		for _, doc := range []*report.Document{build(c), report.New(tool, nil, nil, c, verify.Observe(c, verify.Options{}))} {
			var all any
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &all); err != nil {
				t.Fatal(err)
			}
			for _, path := range nulls(all, "") {
				if last := path[strings.LastIndex(path, ".")+1:]; !nullable[last] {
					t.Errorf("%s: %s is null", name, path)
				}
			}
			if bytes.Contains(data, []byte("0001-01-01")) {
				t.Errorf("%s: a time that is none: %s", name, data)
			}
		}
	}
}

// nulls lists where v is null.
func nulls(v any, path string) []string {
	var out []string
	switch v := v.(type) {
	case nil:
		return []string{path}
	case map[string]any:
		for k, x := range v {
			out = append(out, nulls(x, path+"."+k)...)
		}
	case []any:
		for i, x := range v {
			out = append(out, nulls(x, fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return out
}

func TestConnectionsAndFindingsNameEachOther(t *testing.T) {
	doc := build(&decode.Capture{Connections: []*decode.Connection{
		elsewhere(decode.EPMD, 1), oneWay(2), overTLS(3), inTheClear(4), oneWay(5), unproven(6),
	}})
	rulesOf := make(map[string][]string)
	for _, f := range doc.Findings {
		if f.Title == "" || f.Fix == "" || f.Status != "open" {
			t.Errorf("%+v", f)
		}
		for _, id := range f.Connections {
			rulesOf[id] = append(rulesOf[id], f.Rule)
		}
	}
	for i, c := range doc.Connections {
		if want := fmt.Sprintf("c%d", i+1); c.ID != want || c.FirstFrame != uint32(i+1) {
			t.Errorf("%s is the first of frame %d, want %s", c.ID, c.FirstFrame, want)
		}
		slices.Sort(rulesOf[c.ID])
		if !slices.Equal(c.Findings, slices.Compact(rulesOf[c.ID])) {
			t.Errorf("%s: %v, the findings have %v", c.ID, c.Findings, rulesOf[c.ID])
		}
	}
	want := []string{"", "DP103", "", "DP101", "DP103", "DP109"}
	for i, c := range doc.Connections {
		if got := strings.Join(c.Findings, " "); !strings.HasPrefix(got, want[i]) || want[i] == "" && got != "" {
			t.Errorf("%s: %s, want %s", c.ID, got, want[i])
		}
	}
}

func TestSummaryCountsEveryConnectionOnce(t *testing.T) {
	refused := overTLS(9)
	refused.TLS.Established, refused.TLS.Finished = fact.Fact{}, false
	refused.TLS.Failure = &tlsfacts.Failure{By: tlsfacts.RoleServer}
	doc := build(&decode.Capture{Connections: []*decode.Connection{
		elsewhere(decode.EPMD, 1), elsewhere(decode.Other, 2), elsewhere(decode.None, 3), overTLS(4), oneWay(5), inTheClear(6), unproven(7),
		{Protocol: decode.TLS, TLS: &tlsfacts.Facts{Session: new(tlsfacts.Session)}}, refused,
	}})
	want := report.Summary{EPMD: 1, Other: 1, None: 1, TLS: 1, Distribution: report.Verdicts{Mutual: 1, OneWay: 1, Cleartext: 1, Inconclusive: 1, Refused: 1}}
	if doc.Summary != want {
		t.Errorf("%+v, want %+v", doc.Summary, want)
	}
}

// TestEdges: connections between the same nodes are one edge, with the worst of
// their verdicts, whatever their order.
func TestEdges(t *testing.T) {
	makers := []func(int) *decode.Connection{overTLS, oneWay, inTheClear, unproven}
	for first := range makers {
		var cs []*decode.Connection
		for i := range makers {
			cs = append(cs, makers[(first+i)%len(makers)](i))
		}
		other := overTLS(7)
		other.Ends[1].Node, other.Ends[1].Host = "", "n3.lab"
		back := overTLS(8)
		back.Ends[0], back.Ends[1] = back.Ends[1], back.Ends[0]
		cs = append(cs, other, elsewhere(decode.EPMD, 9), back)
		want := []report.Edge{
			{From: "10.1.0.1", To: "demo@n2.lab", Verdict: "cleartext", Connections: 4},
			{From: "10.1.0.1", To: "?@n3.lab", Verdict: "mutual", Connections: 1},
			{From: "demo@n2.lab", To: "10.1.0.1", Verdict: "mutual", Connections: 1},
		}
		if got := build(&decode.Capture{Connections: cs}).Edges; !slices.Equal(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
}

func TestResumedFromHasTheID(t *testing.T) {
	origin, resumed := overTLS(1), overTLS(3)
	resumed.TLS.ClientCertificate.Status = tlsfacts.Resumed
	resumed.ResumedFrom = origin
	doc := build(&decode.Capture{Connections: []*decode.Connection{origin, elsewhere(decode.EPMD, 2), resumed}})
	if got := doc.Connections[2].TLS.ResumedFrom; got != "c1" {
		t.Errorf("resumed from %q", got)
	}
	if got := doc.Connections[0].TLS.ResumedFrom; got != "" {
		t.Errorf("a full handshake is resumed from %q", got)
	}
}

// TestAccepted: each side's acceptance is claimed only if it is shown.
func TestAccepted(t *testing.T) {
	failed := func(by tlsfacts.Role) func(*tlsfacts.Facts) {
		return func(f *tlsfacts.Facts) { f.Established, f.Failure = fact.Fact{}, &tlsfacts.Failure{By: by} }
	}
	for _, row := range []struct {
		name           string
		change         func(*tlsfacts.Facts)
		client, server string // what the server says of the client, and the other way round
	}{
		{"up", func(*tlsfacts.Facts) {}, "true", "true"},
		{"server refused", failed(tlsfacts.RoleServer), "false", "true"},
		{"client refused", failed(tlsfacts.RoleClient), "null", "false"},
		{"not shown", func(f *tlsfacts.Facts) { f.Established = fact.Fact{} }, "null", "true"},
		{"client's flight not seen", func(f *tlsfacts.Facts) {
			f.Established, f.Flight = fact.Fact{}, decode.Frame{}
			f.ClientCertificate = tlsfacts.ClientCertificate{Status: tlsfacts.NotRequested, Basis: fact.Observed}
		}, "null", "null"},
		{"nothing known", func(f *tlsfacts.Facts) { *f = tlsfacts.Facts{Session: new(tlsfacts.Session)} }, "null", "null"},
	} {
		c := overTLS(1)
		row.change(c.TLS)
		x := build(&decode.Capture{Connections: []*decode.Connection{c}}).Connections[0]
		client, _ := json.Marshal(x.ClientCertificate.Accepted)
		server, _ := json.Marshal(x.ServerCertificate.Accepted)
		if string(client) != row.client || string(server) != row.server {
			t.Errorf("%s: client %s, server %s, want %s, %s", row.name, client, server, row.client, row.server)
		}
	}
}
