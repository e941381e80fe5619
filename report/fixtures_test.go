package report_test

import (
	"fmt"
	"strings"

	"distproof/report"
)

// fixtures returns hand-made documents, by name.
func fixtures() map[string]*report.Document {
	return map[string]*report.Document{
		"mutual":    mutual(),
		"mixed":     mixed(),
		"inspect":   inspected(),
		"cleartext": cleartext(),
		"empty":     empty(),
		"hostile":   hostile(),
		"many":      many(),
		"folded":    folded(),
		"damaged":   damaged(),
	}
}

func ptr[T any](v T) *T { return &v }

// document returns a document without connections.
func document(path string, packets uint64) *report.Document {
	return &report.Document{
		Schema: report.Schema,
		Tool:   report.Tool{Name: "distproof", Version: "test"},
		Inputs: []report.Input{{
			Path: path, Format: "pcap", Packets: packets, Bytes: packets * 100,
			First: "2026-11-20T10:00:00Z", Last: "2026-11-20T10:00:12.345678Z", Undecoded: map[string]uint64{},
		}},
		Nodes:       []report.Node{},
		Connections: []report.Connection{},
		Edges:       []report.Edge{},
		EPMD:        report.EPMD{Names: []report.EPMDName{}, Requests: map[string]uint64{}, Clients: []string{}, Exchanges: []report.EPMDExchange{}},
		Findings:    []report.Finding{},
	}
}

// add appends a connection between nodes to d and counts it.
func add(d *report.Document, client, server, verdict, reason string) *report.Connection {
	n := len(d.Connections) + 1
	c := report.Connection{
		ID: fmt.Sprintf("c%d", n), Protocol: "dist-tls", ProtocolBasis: []string{"epmd", "record-sizes"},
		Verdict: &verdict, State: "up", Reason: reason,
		Client:    report.Endpoint{Address: "10.77.0.1", Port: uint16(40000 + n%20000), Node: client, NodeBasis: "observed"},
		Server:    report.Endpoint{Address: "10.77.0.2", Port: 34513, Node: server, NodeBasis: "epmd"},
		FirstSeen: fmt.Sprintf("2026-11-20T10:00:%02d.%06dZ", n/1000, n%1000), LastSeen: "2026-11-20T10:00:12Z",
		FirstFrame: uint32(10 * n), Packets: report.Counts{Client: 12, Server: 11}, Bytes: report.Counts{Client: 3210, Server: 4321},
		Encapsulation: []string{}, Findings: []string{},
	}
	s := &d.Summary.Distribution
	switch verdict {
	case "mutual":
		s.Mutual++
	case "one-way":
		s.OneWay++
	case "cleartext":
		s.Cleartext++
	case "refused":
		s.Refused++
	case "inconclusive":
		s.Inconclusive++
	}
	d.Connections = append(d.Connections, c)
	return &d.Connections[n-1]
}

func tls(c *report.Connection, version, status, basis string) {
	c.TLS = &report.TLS{
		Version: &version, CipherSuite: "TLS_AES_256_GCM_SHA384", SNI: "n2.lab", Alerts: []report.Alert{},
		Records: report.Records{Client: []int{211, 1027, 96, 69, 47}, Server: []int{122, 23, 142, 1027, 97, 69, 24}},
	}
	c.ClientCertificate = &report.ClientCertificate{
		Status: status, Requested: ptr(status != "not-requested"), Basis: basis, Possession: basis, Accepted: ptr(true),
		Chain: []report.Certificate{}, Verification: report.Verification{Status: "not-checked", Reason: "the certificate is encrypted", Problems: []string{}},
	}
}

const mutualReason = "the client sent a certificate and proved its key (record sizes 1027, 96, 69), and the server went on"

func mutual() *report.Document {
	d := document("pcaps/mutual.pcap", 88)
	tls(add(d, "demo@n1.lab", "demo@n2.lab", "mutual", mutualReason), "1.3", "presented", "inferred")
	c := add(d, "demo@n1.lab", "demo@n3.lab", "mutual", "the client sent a certificate and proved its key, and the server finished the handshake")
	tls(c, "1.2", "presented", "verified")
	c.ClientCertificate.Chain = []report.Certificate{{
		Subject: "CN=n1.lab", Issuer: "CN=Lab CA", DNSNames: []string{"n1.lab"}, IPAddresses: []string{}, URIs: []string{}, EmailAddresses: []string{},
		Key: "ECDSA P-256", SignatureAlgorithm: "ECDSA-SHA256", KeyUsage: []string{"digitalSignature"}, ExtendedKeyUsage: []string{"serverAuth", "clientAuth"},
	}}
	d.Summary.EPMD = 2
	d.Conclusion, d.Reason = "pass", "both connections between nodes are mutual TLS"
	d.Nodes = []report.Node{
		{Name: "demo@n1.lab", Basis: "observed", Addresses: []string{"10.77.0.1"}, Ports: []uint16{}, Creations: []uint32{}, OTPRelease: &report.OTPRelease{AtLeast: 25, Basis: "flags"}},
		{Name: "demo@n2.lab", Basis: "epmd", Addresses: []string{"10.77.0.2"}, Ports: []uint16{34513}, Creations: []uint32{}},
	}
	return d
}

const optFile = `In the ssl_dist_optfile of the server:
  [{server, [{verify, verify_peer},
             {fail_if_no_peer_cert, true},
             {cacertfile, "/etc/erlang/ca.pem"},
             {certfile, "/etc/erlang/node.pem"},
             {keyfile, "/etc/erlang/node.key"}]}].`

func mixed() *report.Document {
	d := document("pcaps/mixed.pcap", 412)
	tls(add(d, "a@n1.lab", "b@n2.lab", "mutual", mutualReason), "1.3", "presented", "inferred")
	tls(add(d, "c@n3.lab", "a@n1.lab", "one-way", "the server did not ask for a client certificate"), "1.3", "not-requested", "inferred")
	tls(add(d, "b@n2.lab", "c@n3.lab", "mutual", mutualReason), "1.3", "presented", "inferred")
	c := add(d, "p@n1.lab", "q@n2.lab", "cleartext", "the distribution protocol is in the clear: names, messages and the digest of the cookie")
	c.Protocol, c.Cleartext = "dist", &report.Cleartext{Bytes: report.Counts{Client: 900, Server: 800}, Messages: map[string]uint64{"REG_SEND": 3}, MessageCount: report.Counts{Client: 3}, RegisteredNames: map[string]uint64{"rex": 2},
		Calls:               []report.Call{{By: "client", Means: "rpc", Function: "os:cmd/1", Count: 2, FirstFrame: 51, LastFrame: 60}},
		CookieDigestExposed: true, FirstFrame: 44, LastFrame: 60, Account: "shop@n4.lab called os:cmd/1 on orders@n3.lab twice in the clear", Payloads: []report.Payload{}}
	c = add(d, "", "", "inconclusive", "the handshake was not captured")
	c.State, c.Server.Host = "midstream", "n2.lab"
	c.TLS = &report.TLS{Alerts: []report.Alert{}, Records: report.Records{Client: []int{21}, Server: []int{21}}}
	c = add(d, "", "b@n2.lab", "refused", "the server refused the client's certificate: unknown_ca")
	tls(c, "1.2", "presented", "observed")
	c.State, c.Client.Address = "tls-failed", "fd00:77::1"
	d.Summary.EPMD, d.Summary.TLS, d.Summary.None = 6, 2, 1
	d.Conclusion, d.Reason = "fail", "2 of 6 connections between nodes are not mutual TLS: 1 cleartext, 1 one-way"
	d.Policy = "mutual"
	d.Findings = []report.Finding{
		{Rule: "DP109", Severity: "medium", Title: "Not proven", Connections: []string{"c5"}, Message: "10.77.0.1 to ?@n2.lab: the handshake was not captured", Evidence: []report.Evidence{{Frame: 50, Text: "first packet, in the middle of the session"}}, Status: "open", Fix: "Capture while the nodes connect, or restart one of them."},
		{Rule: "DP103", Severity: "critical", Title: "No client certificate", Connections: []string{"c2"}, Message: "a@n1.lab lets c@n3.lab in without a certificate", Evidence: []report.Evidence{{Frame: 21, Text: "the server's flight has 4 records, without CertificateRequest"}, {Frame: 23, Text: "the client's flight has 1 record of 69 bytes: Finished alone"}}, Status: "open", Fix: optFile},
		{Rule: "DP101", Severity: "critical", Title: "Cleartext distribution", Connections: []string{"c4"}, Message: "p@n1.lab and q@n2.lab talk in the clear", Evidence: []report.Evidence{{Frame: 44, Text: "send_name"}}, Status: "open", Fix: "Start the node with TLS distribution (vm.args):\n  -proto_dist inet_tls\n  -ssl_dist_optfile /etc/erlang/ssl_dist.conf"},
	}
	return d
}

func inspected() *report.Document {
	d := mixed()
	d.Conclusion, d.Reason, d.Policy, d.Findings = "", "", "", []report.Finding{}
	c := add(d, "a@n1.lab", "b@n2.lab", "refused", "closed by the server before any byte was sent")
	c.Protocol, c.State = "none", "incomplete"
	for _, protocol := range []string{"epmd", "epmd", "none", "other", "tls"} {
		c := add(d, "", "", "", "")
		c.Verdict, c.Protocol, c.Server.Port = nil, protocol, 4369
		if protocol == "tls" {
			tls(c, "1.3", "presented", "inferred")
		}
	}
	d.Nodes = []report.Node{
		{Name: "a@n1.lab", Basis: "handshake", Addresses: []string{"10.77.0.1"}, Ports: []uint16{}, Creations: []uint32{}, OTPRelease: &report.OTPRelease{AtLeast: 25, Basis: "observed"}},
		{Name: "b@n2.lab", Basis: "epmd+sni", Addresses: []string{"10.77.0.2", "fd00:77::2", "10.88.0.2"}, Ports: []uint16{34513, 40001, 40002, 40003}, Creations: []uint32{}},
	}
	d.EPMD.Names = []report.EPMDName{{Node: "b", Host: "10.77.0.2", Port: 34513}, {Node: "e", Host: "10.77.0.3", Port: 40000}}
	return d
}

func cleartext() *report.Document {
	d := document("-", 40)
	d.Inputs[0].Format = "pcapng+zstd"
	c := add(d, "rabbit@ip-10-0-12-34.eu-west-1.compute.internal", "rabbit@ip-10-0-98-76.eu-west-1.compute.internal", "cleartext", "the distribution protocol is in the clear")
	c.Protocol, c.Cleartext = "dist", &report.Cleartext{Messages: map[string]uint64{}, RegisteredNames: map[string]uint64{}, Calls: []report.Call{}, Payloads: []report.Payload{}}
	d.Conclusion, d.Reason = "fail", "the only connection between nodes is in the clear"
	return d
}

func empty() *report.Document {
	d := document("empty.pcap", 0)
	d.Inputs[0].First, d.Inputs[0].Last = "", ""
	d.Conclusion, d.Reason = "inconclusive", "nothing to verify: no connection between nodes was seen"
	d.Findings = []report.Finding{{Rule: "DP301", Severity: "high", Title: "Nothing to verify", Connections: []string{}, Evidence: []report.Evidence{}, Message: "the capture has no connection between Erlang nodes", Status: "open"}}
	return d
}

// hostile has names as an attacker would choose them.
func hostile() *report.Document {
	d := document("dir/\x1b[2Jevil\n.pcap", 7)
	for _, name := range hostileNames() {
		add(d, name, "demo@n2.lab", "cleartext", "the client calls itself "+name)
	}
	c := add(d, "demo@n1.lab", hostileNames()[0], "inconclusive", "")
	tls(c, "1.3", "presented", "inferred")
	c.TLS.SNI = hostileNames()[0]
	c = add(d, "demo@n1.lab", "", "inconclusive", "hostile host")
	c.Server.Host = "h\u202eost\r"
	d.Conclusion, d.Reason = "fail", "because of \x1b[31mred\x1b[0m"
	d.Findings = []report.Finding{{Rule: "DP101", Severity: "critical", Title: "Cle\x07ar", Connections: []string{"c1"}, Message: "m\x1b]0;title\x07 <b>&amp;</b> ]]> | \x9b31m", Evidence: []report.Evidence{{Frame: 1, Text: "\x1b[Atext"}}, Fix: "  keep \x1b[31mthis\n\tand this\u2028", Status: "open"}}
	d.Inputs[0].Truncated, d.Inputs[0].Damage = true, "block type \x1b[5m"
	d.Inputs[0].Undecoded = map[string]uint64{"proto \x00": 3}
	return d
}

func hostileNames() []string {
	return []string{
		"\x1b[2J\x1b[31mdemo@n1.lab\x1b[0m",
		"a\nb\r\nc\td@n1.lab",
		"]]></failure><script>alert(1)</script>@n1.lab",
		"\u202enimda\u202c@n1.lab\u200b\ufeff",
		"\xff\xfe@n1.lab",
		"\u009b31mc1@n1.lab\u0085\x7f",
		"z" + strings.Repeat("\u0301", 40) + "algo@n1.lab",
		strings.Repeat("n", 200) + "@" + strings.Repeat("h", 54),
		"節点一@東京.例え.テスト.とても.長い.名前.です",
		"\U000e0041tag\U0001f469\u200d\U0001f4bb@n1.lab",
	}
}

// many has 3,000 connections between as many pairs of nodes.
func many() *report.Document {
	d := document("many.pcap", 300000)
	for i := range 3000 {
		client, server := fmt.Sprintf("app%d@10.0.%d.%d", i%70, i/250, i%250), fmt.Sprintf("db@10.1.0.%d", i%43)
		switch {
		case i%500 == 499:
			add(d, client, server, "cleartext", "the distribution protocol is in the clear")
		case i%50 == 0:
			tls(add(d, client, server, "one-way", "the server did not ask for a client certificate"), "1.3", "not-requested", "inferred")
		default:
			tls(add(d, client, server, "mutual", mutualReason), "1.3", "presented", "inferred")
		}
	}
	for i := range 300 {
		id := d.Connections[i].ID
		d.Findings = append(d.Findings, report.Finding{Rule: "DP103", Severity: "critical", Title: "No client certificate", Connections: []string{id}, Message: "connection " + id + " has no client certificate", Evidence: []report.Evidence{{Frame: uint32(i), Text: "a"}, {Frame: uint32(i), Text: "b"}, {Frame: uint32(i), Text: "c"}, {Frame: uint32(i), Text: "d"}}, Fix: optFile, Status: "open"})
	}
	d.Conclusion, d.Reason = "fail", "66 of 3000 connections between nodes are not mutual TLS: 6 cleartext, 60 one-way"
	return d
}

// folded has nodes that reconnect again and again.
func folded() *report.Document {
	d := document("folded.pcap", 3000)
	for i := range 36 {
		c := add(d, "a@n1.lab", "b@n2.lab", "refused", "the server refused the client: handshake_failure")
		if i%3 == 0 {
			c.Client.Node = "c@n3.lab"
		}
		tls(c, "1.3", "presented", "inferred")
		c.ClientCertificate.Accepted = ptr(false)
	}
	tls(add(d, "b@n2.lab", "a@n1.lab", "mutual", mutualReason), "1.3", "presented", "inferred")
	d.Conclusion, d.Reason = "inconclusive", "36 of 37 connections were refused"
	return d
}

// damaged has all that can be missing, in two inputs.
func damaged() *report.Document {
	d := mutual()
	d.Inputs[0].Truncated, d.Inputs[0].Damage = true, "truncated at frame 88: the file ends inside a packet"
	d.Inputs[0].Dropped, d.Inputs[0].Snapped = 1, 5
	d.Inputs[0].Undecoded = map[string]uint64{"ESP: encrypted below, not visible": 12, "arp": 1, "udp": 7}
	d.Inputs = append(d.Inputs, report.Input{Path: "second.pcapng.gz", Format: "pcapng+gzip", Packets: 1, Undecoded: map[string]uint64{}, Secrets: 2})
	d.Connections[0].Gaps = report.Gaps{Client: 1448, Conflicts: 1}
	d.Connections[1].State = "midstream"
	d.Conclusion, d.Reason = "inconclusive", "not all is proven"
	d.Findings = []report.Finding{{Rule: "DP302", Severity: "mystery", Title: "Capture lossy or cut", Connections: []string{}, Message: "the capture is cut", Evidence: []report.Evidence{{Frame: 88, Text: "last whole packet"}, {Frame: 1, Input: 1, Text: "only packet"}}, Status: "waived"}}
	return d
}
