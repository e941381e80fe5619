//go:build linux

package main

import "context"

// scenario is one capture: who is started how, who dials whom, and what is
// expected of it.
type scenario struct {
	name  string
	story string
	nodes []nodeSpec
	dials []dial

	midstream    bool // the capture begins after the connections are up
	anyInterface bool // tcpdump -i any on the bridge's side: every packet is seen on several interfaces
	overlay      bool // the nodes talk through a VXLAN
	keyLog       bool // the first node's key log is written, in NAME.keylog

	version string // of TLS, where the scenario's play asks for it; "" for cleartext
	needs   []need // beside what all scenarios need

	calls []string // further remote procedure calls of each dialling node: "Module,Function,Arguments"

	play func(ctx context.Context, l *lab, s scenario) ([]connection, error) // nil: playNodes
}

// dial is one node connecting to another, by their names before the @.
type dial struct {
	from, to string
	want     expectation
}

// expectation follows from the configuration; dial checks what the nodes can
// know of it.
type expectation struct {
	protocol          string
	verdict           string
	up                bool
	clientCertificate string // as the wire shows it
	tlsVersion        string // as the wire shows it; "" if it does not

	runtimeVersion     string // what the server's runtime says; "" for cleartext
	runtimeCertificate bool
}

func mutual(version string) expectation {
	return expectation{"dist-tls", "mutual", true, "presented", version, version, true}
}

func oneWay(version, certificate string) expectation {
	return expectation{"dist-tls", "one-way", true, certificate, version, version, false}
}

func refused(version, certificate string) expectation {
	return expectation{protocol: "dist-tls", verdict: "refused", clientCertificate: certificate, tlsVersion: version}
}

func cleartext(up bool) expectation {
	return expectation{protocol: "dist", verdict: "cleartext", up: up}
}

// unseen is a mutual connection whose handshake is not in the capture.
func unseen(version string) expectation {
	return expectation{"dist-tls", "inconclusive", true, "unknown", "", version, true}
}

// both is an optfile in which client and server verify each other.
func both(host int, version string) *tlsOptions {
	cert := shortName(host)
	return &tlsOptions{
		server: side{cert: cert, verify: true, require: true, version: version},
		client: side{cert: cert, verify: true, version: version},
	}
}

// keeping is an optfile whose connections keep their secrets.
func keeping(o *tlsOptions) *tlsOptions {
	o.server.keep, o.client.keep = true, true
	return o
}

// withKeyLog is a mutual connection with its key log, and calls to be found
// in what the key log opens.
func withKeyLog(name, version string) scenario {
	s := pair(name, "TLS "+version+"; both nodes verify each other, and the dialling node writes its key log.",
		keeping(both(1, version)), keeping(both(2, version)), mutual(version))
	s.keyLog = true
	s.calls = []string{"erlang,system_info,[otp_release]", "lists,seq,[1,5]", "application,which_applications,[]"}
	return s
}

// serverOnly is an optfile in which only the client verifies.
func serverOnly(host int, version string) *tlsOptions {
	return &tlsOptions{
		server: side{cert: shortName(host), version: version},
		client: side{verify: true, version: version},
	}
}

// asking is an optfile whose server asks for a certificate and whose client
// has none; required says whether the server insists.
func asking(host int, version string, required bool) *tlsOptions {
	o := serverOnly(host, version)
	o.server.verify, o.server.require = true, required
	return o
}

// pair is the cluster of the simple scenarios: one node on each of two hosts,
// the first dials the second.
func pair(name, story string, a, b *tlsOptions, want expectation) scenario {
	return scenario{
		name: name, story: story,
		nodes: []nodeSpec{{name: "orders", host: 1, tls: a}, {name: "billing", host: 2, tls: b}},
		dials: []dial{{"orders", "billing", want}},
	}
}

func scenarios() []scenario {
	otherCA := both(1, "1.2")
	otherCA.client.cert = "n1-other"

	midstream := pair("midstream_mutual_tls13", "A mutual TLS 1.3 connection, to a fixed port, but the capture begins after its handshake.",
		both(1, "1.3"), both(2, "1.3"), unseen("1.3"))
	midstream.midstream = true
	// Without a handshake and EPMD, only a low port shows which end listens.
	midstream.nodes[1].port = 9100

	cooked := pair("any_mutual_tls13", "Mutual TLS 1.3, captured with tcpdump -i any on the machine in the middle: Linux cooked headers, every packet on several interfaces.",
		both(1, "1.3"), both(2, "1.3"), mutual("1.3"))
	cooked.anyInterface = true

	flannel := pair("vxlan_mutual_tls13", "Mutual TLS 1.3 inside a VXLAN on UDP 8472, as flannel makes it; the capture sees the outside of the tunnel.",
		both(1, "1.3"), both(2, "1.3"), mutual("1.3"))
	flannel.overlay = true

	return []scenario{
		pair("mutual_tls13", "TLS 1.3; both nodes verify each other.", both(1, "1.3"), both(2, "1.3"), mutual("1.3")),
		pair("mutual_tls12", "TLS 1.2; both nodes verify each other.", both(1, "1.2"), both(2, "1.2"), mutual("1.2")),
		pair("oneway_tls13", "TLS 1.3; the client verifies the server, the server does not ask for a certificate.",
			serverOnly(1, "1.3"), serverOnly(2, "1.3"), oneWay("1.3", "not-requested")),
		pair("oneway_tls12", "TLS 1.2; the client verifies the server, the server does not ask for a certificate.",
			serverOnly(1, "1.2"), serverOnly(2, "1.2"), oneWay("1.2", "not-requested")),
		pair("empty_accepted_tls13", "TLS 1.3; the server asks for a certificate, the client has none, the server lets it in (fail_if_no_peer_cert is false).",
			asking(1, "1.3", false), asking(2, "1.3", false), oneWay("1.3", "empty")),
		pair("empty_rejected_tls13", "TLS 1.3; the server asks for a certificate, the client has none and is turned away.",
			asking(1, "1.3", true), asking(2, "1.3", true), refused("1.3", "empty")),
		pair("other_ca_rejected_tls12", "TLS 1.2; the client's certificate is of an authority that the server does not trust.",
			otherCA, both(2, "1.2"), refused("1.2", "presented")),
		pair("plain", "Distribution in the clear.", nil, nil, cleartext(true)),
		pair("plain_to_tls", "A node without TLS dials a node with TLS: its name crosses in the clear, no session comes up.",
			nil, both(2, "1.3"), cleartext(false)),
		pair("tls_to_plain", "A node with TLS dials a node without: it sends a ClientHello and is dropped.",
			both(1, "1.3"), nil, refused("", "")),
		midstream,
		cooked,
		flannel,
		{
			name: "mixed", story: "Six nodes on three hosts: mutual, one-way, cleartext and refused connections in one cluster.",
			nodes: []nodeSpec{
				{name: "orders", host: 1, tls: both(1, "")},
				{name: "reports", host: 1, tls: serverOnly(1, "")},
				{name: "billing", host: 2, tls: both(2, "")},
				{name: "shop", host: 2},
				{name: "stock", host: 3, tls: &tlsOptions{
					// Verifies as a client, forgot to as a server.
					server: side{cert: "n3", version: "1.2"},
					client: side{cert: "n3", verify: true},
				}},
				{name: "legacy", host: 3},
			},
			dials: []dial{
				{"orders", "billing", mutual("1.3")},
				{"stock", "orders", mutual("1.3")},
				{"billing", "stock", oneWay("1.2", "not-requested")},
				{"reports", "stock", oneWay("1.2", "not-requested")},
				{"reports", "billing", refused("1.3", "empty")},
				{"shop", "legacy", cleartext(true)},
				{"legacy", "orders", cleartext(false)},
			},
		},
		withKeyLog("mutual_keylog_tls13", "1.3"),
		withKeyLog("mutual_keylog_tls12", "1.2"),
		guests("guests_plain", "One node in the clear, and who connects to it: a node that is restarted, a hidden one, one of Elixir, a remote shell, erl_call and a C node.", ""),
		guests("guests_tls13", "The same over TLS 1.3, with the node's key log, without erl_call and the C node, which have no TLS.", "1.3"),
		{name: "generic_tls13", story: "Not Erlang: an https-like TLS 1.3 server of OpenSSL that demands client certificates.", play: playOpenSSL},
		{name: "epmd_only", story: "Somebody asks another host's EPMD for the names of its nodes, and for one that is not there; nobody connects.", play: playEPMD},
		{name: "exposed_plain", story: "Somebody with a public address tries all requests on an EPMD, then comes in, in the clear, with a cookie that everybody knows.", play: playExposed},
	}
}
