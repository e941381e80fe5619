package verify

// mutualConfig is an ssl_dist_optfile that makes both sides authenticate (OTP
// ssl_distribution).
const mutualConfig = `[{server, [{certfile, "/etc/erl/node.pem"}, {keyfile, "/etc/erl/node.key"},
           {cacertfile, "/etc/erl/ca.pem"},
           {verify, verify_peer}, {fail_if_no_peer_cert, true}]},
 {client, [{certfile, "/etc/erl/node.pem"}, {keyfile, "/etc/erl/node.key"},
           {cacertfile, "/etc/erl/ca.pem"},
           {verify, verify_peer}]}].`

var fixes = map[Rule]string{
	CleartextDistribution:   "start every node with\n  -proto_dist inet_tls -ssl_dist_optfile /etc/erl/ssl_dist.conf\nand in /etc/erl/ssl_dist.conf:\n" + mutualConfig,
	CleartextInsideTLS:      "look at the frames: either something between the nodes writes into the connection, or one of them speaks another protocol on this port",
	NoClientCertificate:     "in the ssl_dist_optfile of the server's node:\n{server, [{verify, verify_peer}, {fail_if_no_peer_cert, true},\n          {cacertfile, \"/etc/erl/ca.pem\"}, …]}\nand give the client's node a certificate:\n{client, [{certfile, \"/etc/erl/node.pem\"},\n          {keyfile, \"/etc/erl/node.key\"}, …]}",
	OptionalClientCert:      "in the ssl_dist_optfile of the server's node (the default before OTP 26 is false):\n{server, [{fail_if_no_peer_cert, true}, …]}",
	ClientCertNotVerifiable: "in the ssl_dist_optfile of the server's node:\n{server, [{verify, verify_peer}, {cacertfile, \"/etc/erl/ca.pem\"}, …]}\nand check which CAs that file has",
	ServerCertNotVerifiable: "in the ssl_dist_optfile of the client's node (the default before OTP 26 is verify_none):\n{client, [{verify, verify_peer}, {cacertfile, \"/etc/erl/ca.pem\"}, …]}",
	WeakTLS:                 "in the ssl_dist_optfile, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}\nand for TLS 1.2 only suites with ECDHE and AES-GCM or ChaCha20-Poly1305;\na list without suites of TLS 1.3 keeps such nodes from connecting:\n{ciphers, [\"TLS_AES_256_GCM_SHA384\", \"TLS_AES_128_GCM_SHA256\",\n           \"ECDHE-ECDSA-AES256-GCM-SHA384\",\n           \"ECDHE-RSA-AES256-GCM-SHA384\"]}",
	CertificateExpired:      "renew the certificate, and restart the node or clear its cache with ssl:clear_pem_cache()",
	NotProven:               "the reason says what is missing. Most often it is the connection's beginning: start the capture, then have the nodes connect again, for example with\nerlang:disconnect_node(Node), net_kernel:connect_node(Node)",
	MixedListener:           "find out which nodes still dial without -proto_dist inet_tls, and what answers them on this port",
	ResumptionOnMutual:      "in the ssl_dist_optfile, in both sections (since OTP 29.0.6 the default of servers that verify):\n{reuse_sessions, false}",
	CookieDigestExposed:     "use TLS for distribution, and change the cookie: the old one must count as known",
	RemoteExecutionExposed:  "use TLS for distribution on both nodes; see DP101",
	NothingToVerify:         "capture where the nodes' traffic passes, from before they connect; if distribution has a fixed port, name it with --port. Where connections were refused, their reasons say what to mend first",
	LossyCapture:            "capture again, to the end, with a larger buffer (tcpdump -B 65536) and whole packets (-s 0)",
}

// Fix says how to mend what the rule found, with lines to paste.
func (r Rule) Fix() string { return fixes[r] }
