package verify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/decode/epmd"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// asks returns a connection to a port mapper, with one request and, if it is not
// "", one reply.
func asks(from string, q epmd.Request, reply string, changes ...change) *decode.Connection {
	c := bare(decode.EPMD)
	c.ToEPMD = true
	c.Ends[client].Address = netip.AddrPortFrom(netip.MustParseAddr(from), 40001)
	c.Ends[server].Address = netip.MustParseAddrPort("10.1.0.2:4369")
	q.At = tcp.Position{Frame: frame(4)}
	c.EPMD[client] = epmd.Facts{Requests: []epmd.Request{q}}
	if reply == "" {
		c.TCP[server].Bytes, c.TCP[server].End = 0, 0
		return with(c, changes...)
	}
	r := epmd.Reply{Op: reply, Resulted: true, At: tcp.Position{Frame: frame(5)}}
	if op, text, ok := strings.Cut(reply, " "); ok {
		r.Op, r.Text = op, text
	}
	c.EPMD[server] = epmd.Facts{Replies: []epmd.Reply{r}}
	return with(c, changes...)
}

func request(op, node string) epmd.Request { return epmd.Request{Op: op, Node: epmd.Node{Name: node}} }

func lookup(from string, changes ...change) *decode.Connection {
	return asks(from, request(epmd.PortPlease2Req, "demo"), epmd.Port2Resp, changes...)
}

// to sets the host of the port mapper.
func to(host string) change {
	return func(c *decode.Connection) {
		c.Ends[server].Address = netip.AddrPortFrom(netip.MustParseAddr(host), c.Ends[server].Address.Port())
	}
}

// dials returns a connection in which nothing was sent. answer is "syn", "rst" or
// "".
func dials(from, at, answer string) *decode.Connection {
	c := bare(decode.None)
	c.Ends[client].Address = netip.AddrPortFrom(netip.MustParseAddr(from), 40001)
	c.Ends[server].Address = netip.MustParseAddrPort(at)
	c.ToEPMD = c.Ends[server].Address.Port() == decode.EPMDPort
	c.TCP = [2]tcp.Stats{{Packets: 1, Start: tcp.StartSYN}, {}}
	c.Ending = tls.Ending{}
	switch answer {
	case "syn":
		c.TCP[server] = tcp.Stats{Packets: 1, Start: tcp.StartSYN}
	case "rst":
		c.TCP[server] = tcp.Stats{Packets: 1, RST: true}
	}
	return c
}

// about lists the findings of some rules: rule, severity, message, number of
// connections.
func about(j *Judgement, rules ...Rule) string {
	var out []string
	for _, f := range j.Findings {
		for _, rule := range rules {
			if f.Rule == rule {
				out = append(out, fmt.Sprintf("%s %s ×%d: %s", f.Rule, f.Severity, len(f.Connections), f.Message))
			}
		}
	}
	return strings.Join(out, "\n")
}

const public = "203.0.113.5"

func TestReached(t *testing.T) {
	names := func(from string, changes ...change) *decode.Connection {
		return asks(from, request(epmd.NamesReq, ""), epmd.NamesResp, changes...)
	}
	for _, row := range []struct {
		name    string
		c       *decode.Connection
		allowed Networks
		want    string
	}{
		{"a lookup in a private network", lookup("10.1.0.1"), nil, ""},
		{"over loopback", names("127.0.0.1", to("127.0.0.1")), nil, ""},
		{"from the host's own public address", names(public, to(public)), nil, ""},
		{"carriers' NAT", lookup("100.64.0.1"), nil, ""},
		{"a mapped private address", lookup("::ffff:10.1.0.1"), nil, ""},
		{"all names", names("10.1.0.1"), nil, "DP201 info ×1: EPMD was asked for the names of all nodes from another host, by 10.1.0.1"},
		{"from a public address", lookup(public), nil, "DP201 high ×1: EPMD was reached from outside the allowed networks, by 203.0.113.5"},
		{"from IPv6", lookup("2001:db8::1"), nil, "DP201 high ×1: EPMD was reached from outside the allowed networks, by 2001:db8::1"},
		{"only the client's part captured", asks(public, request(epmd.NamesReq, ""), ""), nil, "DP201 high ×1: EPMD was reached from outside the allowed networks, by 203.0.113.5"},
		{"opened", dials(public, "10.1.0.2:4369", "syn"), nil, "DP201 high ×1: EPMD was reached from outside the allowed networks, by 203.0.113.5"},
		{"refused", dials(public, "10.1.0.2:4369", "rst"), nil, "DP201 medium ×1: a connection to EPMD was attempted from outside the allowed networks, by 203.0.113.5, without success as far as captured"},
		{"not answered", dials(public, "10.1.0.2:4369", ""), nil, "DP201 medium ×1: a connection to EPMD was attempted from outside the allowed networks, by 203.0.113.5, without success as far as captured"},
		{"another port", dials(public, "10.1.0.2:80", "syn"), nil, ""},
		{"at a public address", lookup("10.1.0.1", to(public)), nil, "DP201 medium ×1: EPMD was reached at a public address, by 10.1.0.1"},
		{"at a public address in vain", with(dials("10.1.0.1", "10.1.0.2:4369", "rst"), to(public)), nil, ""},
		{"private, but not allowed", lookup("10.1.0.1"), networks("192.168.0.0/16"), "DP201 high ×1: EPMD was reached from outside the allowed networks, by 10.1.0.1"},
		{"loopback is never outside", lookup("127.0.0.1", to("127.0.0.1")), networks("192.168.0.0/16"), ""},
		{"allowed", lookup("10.1.0.1"), networks("192.168.0.0/16", "10.1.0.0/24"), ""},
		{"public, and allowed", lookup(public), networks("203.0.113.0/24"), "DP201 low ×1: EPMD was reached over public networks, by 203.0.113.5; the allowed ones include it"},
		{"at a public address that is allowed", lookup("10.1.0.1", to(public)), networks("203.0.113.0/24", "10.0.0.0/8"), ""},
	} {
		j := Judge(capture(row.c, mutual()), Coverage{}, Options{EPMDNetworks: row.allowed})
		if got := about(j, EPMDReached); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
		if fails := strings.Contains(row.want, " high"); (j.Outcome == Fail) != fails {
			t.Errorf("%s: %s, %s", row.name, j.Outcome, j.Reason)
		}
	}
}

func TestReachedByMany(t *testing.T) {
	var all []*decode.Connection
	for i := range 6 {
		all = append(all, lookup(fmt.Sprintf("203.0.113.%d", 1+i%5)))
	}
	want := "DP201 high ×6: EPMD was reached from outside the allowed networks, by 203.0.113.1, 203.0.113.2, 203.0.113.3 and 2 more"
	j := Judge(capture(all...), Coverage{}, Options{})
	if got := about(j, EPMDReached); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `203.0.113.1 asked 10.1.0.2:4369 for the port of "demo": answered`
	if e := j.Findings[0].Evidence; len(e) != 6 || e[0] != (Evidence{frame(4), want}) {
		t.Errorf("evidence %+v", e)
	}
}

func TestCommanded(t *testing.T) {
	const far, own = "10.1.0.1", "10.1.0.2"
	byServer := func(c *decode.Connection) { c.Ending.ClosedBy = tls.RoleServer }
	for _, row := range []struct {
		name string
		c    *decode.Connection
		want string
	}{
		{"killed from afar", asks(far, request(epmd.KillReq, ""), epmd.KillResp+" OK"), "DP202 critical ×1: EPMD was told to end by 10.1.0.1, from another host, and obeyed"},
		{"not killed, for there are nodes", asks(far, request(epmd.KillReq, ""), epmd.KillResp+" NO"), "DP202 medium ×1: EPMD was told to end by 10.1.0.1, from another host, and refused"},
		{"closed on KILL", asks(far, request(epmd.KillReq, ""), "", byServer), "DP202 medium ×1: EPMD was told to end by 10.1.0.1, from another host, and refused"},
		{"KILL without an end", asks(far, request(epmd.KillReq, ""), ""), "DP202 medium ×1: EPMD was told to end by 10.1.0.1, from another host; no answer was captured"},
		{"stopped from afar", asks(far, request(epmd.StopReq, "demo"), epmd.StopResp+" STOPPED"), "DP202 critical ×1: EPMD was told to forget a node by 10.1.0.1, from another host, and obeyed"},
		{"nothing to stop", asks(far, request(epmd.StopReq, "demo"), epmd.StopResp+" NOEXIST"), "DP202 medium ×1: EPMD was told to forget a node by 10.1.0.1, from another host, and refused"},
		{"dumped from afar", asks(far, request(epmd.DumpReq, ""), epmd.DumpResp), "DP202 high ×1: EPMD was asked for a dump of all names by 10.1.0.1, from another host, and obeyed"},
		{"registered from afar", asks(far, request(epmd.Alive2Req, "demo"), epmd.Alive2XResp), "DP202 high ×1: EPMD was asked to register a node by 10.1.0.1, from another host, and obeyed"},
		{"killed at home", asks(own, request(epmd.KillReq, ""), epmd.KillResp+" OK"), "DP202 low ×1: EPMD was told to end by 10.1.0.2, on its own host, and obeyed"},
		{"not killed at home", asks("127.0.0.1", request(epmd.KillReq, ""), epmd.KillResp+" NO"), "DP202 info ×1: EPMD was told to end by 127.0.0.1, on its own host"},
		{"dumped at home", asks(own, request(epmd.DumpReq, ""), epmd.DumpResp), "DP202 info ×1: EPMD was asked for a dump of all names by 10.1.0.2, on its own host"},
		{"registered at home", asks("127.0.0.1", request(epmd.Alive2Req, "demo"), epmd.Alive2XResp), ""},
		{"looked up from afar", lookup(far), ""},
		{"names from afar", asks(far, request(epmd.NamesReq, ""), epmd.NamesResp), ""},
	} {
		if got := about(Judge(capture(row.c), Coverage{}, Options{}), EPMDControlled); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestTells(t *testing.T) {
	for want, c := range map[string]*decode.Connection{
		`10.1.0.1 told 10.1.0.2:4369 to forget "de\x1bmo": refused`:                             asks("10.1.0.1", request(epmd.StopReq, "de\x1bmo"), epmd.StopResp+" NOEXIST"),
		`10.1.0.1 asked 10.1.0.2:4369 to register a node: no answer captured`:                   asks("10.1.0.1", request(epmd.Alive2Req, ""), ""),
		`10.1.0.1 dialled 10.1.0.2:4369: refused`:                                               dials("10.1.0.1", "10.1.0.2:4369", "rst"),
		`10.1.0.1 dialled 10.1.0.2:4369: the connection came up, nothing was asked`:             dials("10.1.0.1", "10.1.0.2:4369", "syn"),
		`10.1.0.1 sent 10.1.0.2:4369 something that is not an EPMD request: no answer captured`: asks("10.1.0.1", request(epmd.Unknown, ""), ""),
	} {
		if got := tells(c, c.Exchanges()[0]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestScannedHosts(t *testing.T) {
	// sweep tries the port mappers of n hosts.
	sweep := func(from string, n int, what func(host string) *decode.Connection) []*decode.Connection {
		var out []*decode.Connection
		for i := range n {
			out = append(out, what(fmt.Sprintf("10.2.0.%d", i)))
		}
		return out
	}
	syn := func(from string) func(string) *decode.Connection {
		return func(host string) *decode.Connection { return dials(from, host+":4369", "") }
	}
	names := func(host string) *decode.Connection {
		return asks("10.1.0.1", request(epmd.NamesReq, ""), epmd.NamesResp, to(host))
	}
	const text = " tried the port mappers of %d hosts and learnt no node's port from them: a scan, a monitor, or hosts that are gone"
	for _, row := range []struct {
		name string
		c    []*decode.Connection
		want string
	}{
		{"one too few", sweep("10.1.0.1", scanHosts-1, syn("10.1.0.1")), ""},
		{"the same host again", append(sweep("", scanHosts-1, syn("10.1.0.1")), dials("10.1.0.1", "10.2.0.0:4369", "")), ""},
		{"enough", sweep("10.1.0.1", scanHosts, syn("10.1.0.1")), "DP201 medium ×16: 10.1.0.1" + fmt.Sprintf(text, scanHosts)},
		{"from outside", sweep(public, scanHosts+1, syn(public)), "DP201 high ×17: 203.0.113.5" + fmt.Sprintf(text, scanHosts+1)},
		{"a node that looks others up", sweep("", 100, func(host string) *decode.Connection { return lookup("10.1.0.1", to(host)) }), ""},
		{"all names of all hosts", sweep("", 20, names), "DP201 medium ×20: 10.1.0.1" + fmt.Sprintf(text, 20)},
		{"all names, then lookups", append(sweep("", 20, names), sweep("", 20, func(host string) *decode.Connection { return lookup("10.1.0.1", to(host)) })...), ""},
		{"another port", sweep("", 100, func(host string) *decode.Connection { return dials("10.1.0.1", host+":80", "") }), ""},
	} {
		var scans []string
		for line := range strings.Lines(about(Judge(capture(row.c...), Coverage{}, Options{}), EPMDReached)) {
			if strings.Contains(line, "port mappers") {
				scans = append(scans, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(scans, "\n"); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestScannedPorts(t *testing.T) {
	scan := func(from string, n int, more ...*decode.Connection) []*decode.Connection {
		for i := range n {
			more = append(more, dials(from, fmt.Sprintf("10.1.0.2:%d", 5000+i), "rst"))
		}
		return more
	}
	announced := dials("10.1.0.1", "10.1.0.2:9100", "syn")
	announced.ProtocolBasis = []string{decode.ByEPMD}
	const text = "dialled 10.1.0.2 and sent nothing to 32 of its ports, EPMD's or one of distribution among those it tried: a scan"
	for _, row := range []struct {
		name string
		c    []*decode.Connection
		want string
	}{
		{"neither EPMD nor distribution", scan("10.1.0.1", 1000), ""},
		{"too few, and EPMD", scan("10.1.0.1", scanPorts-2, dials("10.1.0.1", "10.1.0.2:4369", "rst")), ""},
		{"with EPMD", scan("10.1.0.1", scanPorts-1, dials("10.1.0.1", "10.1.0.2:4369", "rst")), "DP201 medium ×32: 10.1.0.1 " + text},
		{"EPMD answered", scan("10.1.0.1", scanPorts, lookup("10.1.0.1")), "DP201 medium ×32: 10.1.0.1 " + text},
		{"with distribution", scan("10.1.0.1", scanPorts-1, announced), "DP201 medium ×32: 10.1.0.1 " + text},
		{"by several clients", append(scan("10.1.0.1", 20, lookup("10.1.0.1")), scan("10.1.0.3", 20, lookup("10.1.0.3"))...), ""},
	} {
		if got := about(Judge(capture(row.c...), Coverage{}, Options{}), EPMDReached); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
}
