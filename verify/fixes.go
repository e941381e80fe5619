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
	OptionalClientCert:      "in the ssl_dist_optfile of the server's node (before OTP 26 false is the default, whatever verify is;\nfrom OTP 26 on, true with {verify, verify_peer}, unless the file says otherwise):\n{server, [{verify, verify_peer}, {fail_if_no_peer_cert, true}, …]}",
	ClientCertNotVerifiable: "in the ssl_dist_optfile of the server's node:\n{server, [{verify, verify_peer}, {cacertfile, \"/etc/erl/ca.pem\"}, …]}\nand check which CAs are in that file",
	ServerCertNotVerifiable: "in the ssl_dist_optfile of the client's node (the default before OTP 26 is verify_none):\n{client, [{verify, verify_peer}, {cacertfile, \"/etc/erl/ca.pem\"}, …]}",
	WeakTLS:                 "in the ssl_dist_optfile, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}\nand for TLS 1.2 only suites with ECDHE and AES-GCM or ChaCha20-Poly1305;\na list without TLS 1.3 suites makes TLS 1.3 impossible:\n{ciphers, [\"TLS_AES_256_GCM_SHA384\", \"TLS_AES_128_GCM_SHA256\",\n           \"ECDHE-ECDSA-AES256-GCM-SHA384\",\n           \"ECDHE-RSA-AES256-GCM-SHA384\"]}",
	CertificateExpired:      "renew the certificate, then restart the node or clear its cache with ssl:clear_pem_cache()",
	NotProven:               "the reason says what is missing. Most often it is the connection's beginning: start the capture, then restart the nodes one after another, as for an upgrade. In a maintenance window you can also reconnect two nodes, but each takes the other for down meanwhile:\nerlang:disconnect_node(Node), net_kernel:connect_node(Node)",
	MixedListener:           "find out which nodes still connect without -proto_dist inet_tls, and what answers them on this port",
	ResumptionOnMutual:      "in the ssl_dist_optfile, in both sections (the default since OTP 29.0.6, for servers that verify):\n{reuse_sessions, false}",
	HandshakeRefused:        refusedFix,
	EPMDReached:             "let only the cluster's hosts reach EPMD: bind it to their network with the environment variable\n  ERL_EPMD_ADDRESS=10.0.0.1\nand drop the rest in a firewall:\n  nft add rule inet filter input tcp dport 4369 ip saddr != 10.0.0.0/8 drop\nAllow other networks with --epmd-allow. Nodes with fixed ports need no EPMD (-start_epmd false, -erl_epmd_port)",
	EPMDControlled:          "EPMD accepts such requests only from its own host; let no other host reach it (see DP201). If it obeyed another host, it is very old, is behind a proxy on its own host, or is not OTP's. Start it without -relaxed_command_check",
	NodeNotAllowed:          "find out whose node it is, and keep it out: with certificates, and on the other nodes with\n  net_kernel:allow(['app@n1.example.org', 'app@n2.example.org'])\nIf it belongs there, add it with --allow-node. Where TLS hides a name but not its host, a pattern for all nodes of the host (*@n1.example.org) is enough",
	NotWhereAllowed:         "give the nodes fixed ports, and let only the cluster's networks reach these:\n  -kernel inet_dist_listen_min 9100 inet_dist_listen_max 9105\nor, if this is intended, allow it with --allow-network or --allow-port",
	CookieDigestExposed:     "use TLS for distribution, and change the cookie: consider the old one known. The digest is MD5 of the cookie and a number that crossed beside it, so whoever recorded both can try billions of cookies a second offline, and no node notices. A word does not withstand that, nor does the cookie of 20 capital letters that the runtime generates: it has only 36 bits of entropy",
	KnownCookie:             "set another cookie on all nodes and for their command-line tools; to generate one:\n  openssl rand -hex 32\nWhoever knew the cookie and reached a node's port could run any program there: look for traces. And use TLS for distribution: a cookie does not keep out anybody who can listen",
	RemoteExecutionExposed:  "use TLS for distribution on both nodes; see DP101",
	NothingToVerify:         "capture where the nodes' traffic passes, starting before they connect; if distribution has a fixed port, name it with --port. If connections were refused, fix the reasons given there first",
	LossyCapture:            "capture again, with a larger buffer (tcpdump -B 65536) and whole packets (-s 0), and end the capture cleanly",
	NotSeen:                 "capture where all nodes' traffic passes, from before they connect until they are connected. If TLS hides a node's name, put its address under expect. Remove from expect what need not be there",
	ExceptionExpired:        "fix what the exception covers, and remove it from the policy; or, if its owner agrees, set a new date",
	ExceptionIdle:           "remove the exception from the policy, or correct what keeps it from matching: where TLS hides a name, only the address matches",
	RuleOff:                 "remove the rule from severities in the policy to see its findings",
}

// Fixes of findings for which that of their rule does not fit.
const (
	newCertificateFix = "issue a new certificate, signed with SHA-256, with an ECDSA P-256, Ed25519 or 3072-bit RSA key"
	sharedKeyFix      = "give each node its own key and certificate. If sharing one is intended, there is nothing to fix"
	signatureFix      = "in the ssl_dist_optfile, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}\nor, for TLS 1.2:\n{signature_algs, [{sha512, ecdsa}, {sha384, ecdsa}, {sha256, ecdsa},\n                  rsa_pss_rsae_sha256, {sha256, rsa}]}"

	rabbitMQFix = "there is TLS on port 25672, RabbitMQ's port for connections between nodes: add --port 25672 to judge it. To see who was authenticated, start the capture before the nodes connect"

	notDialledFix = "EPMD told a client on which port a node listens (distproof inspect lists them), but no connection to that port is in the capture. Capture that port, too: a filter may have left it out. If nothing was left out, the client did not dial: see the log of its node, since its ssl_dist_optfile may have invalid options"
	notRunningFix = "EPMD does not know a node that a client asked for: that node is not running. See its log: its ssl_dist_optfile may be missing or have invalid options. If it is running, capture for longer, until others dial it"

	// Erlang nodes do this when they dial each other at the same time.
	givenUpFix     = "nothing, if the two nodes are connected: when both dial at once, one connection is given up. Otherwise, see the log of the client's node"
	refusedFix     = "see the log of the node that refused: it gives the reason"
	turnedDownFix  = "see the log of the server's node: it gives the reason, such as Unknown CA. If it has \"Connection attempt from disallowed node\", the certificate is good, but net_kernel:allow/1 lets in others only"
	noTLSFix       = "start both nodes with\n  -proto_dist inet_tls -ssl_dist_optfile /etc/erl/ssl_dist.conf"
	badOptionsFix  = "see the log of the node that closed: its ssl_dist_optfile may be missing or have invalid options. A program that only probes the port, such as a health check or rabbitmqctl's diagnostics, looks the same"
	foreignFix     = "find out what dials this port, since no node does so: a health check or a scanner, most likely. Keep it away from the port, or, if it is harmless, add an exception to the policy. If --port names the port, it may not be one of distribution"
	unseenFix      = "where TLS 1.3 encrypts certificates and signatures, a key log of one node of each pair opens them: --keylog FILE (docs/keylog.md). Or let the policy take less: basis under distribution, unseen under certificates"
	waitingFix     = "capture for longer: a client gives up after 7 seconds (net_setuptime). If the server never answers, it has no TLS, most likely: " + noTLSFix
	versionsFix    = "in the ssl_dist_optfile of both nodes, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}"
	ciphersFix     = "compare {ciphers, …} and {signature_algs, …} in the ssl_dist_optfile of both nodes, or remove them"
	certificateFix = "in the ssl_dist_optfile of the client's node:\n{client, [{certfile, \"/etc/erl/node.pem\"},\n          {keyfile, \"/etc/erl/node.key\"}, …]}"
	serverTrustFix = "in the ssl_dist_optfile of the server's node, name a file with the client's CA:\n{server, [{cacertfile, \"/etc/erl/ca.pem\"}, …]}\nor give the client's node a certificate from the CA that the server trusts"
	clientTrustFix = "in the ssl_dist_optfile of the client's node, name a file with the server's CA:\n{client, [{cacertfile, \"/etc/erl/ca.pem\"}, …]}\nor give the server's node a certificate from the CA that the client trusts"
	hostFix        = "give the server's node a certificate whose subjectAltName has the host part of the node name that others dial"
	selfSignedFix  = "make a CA and issue the nodes' certificates with it: OTP refuses a self-signed certificate, even if it is in the cacertfile"
	expiredFix     = "renew the certificate, or correct the clock of the node that refused"
	usageFix       = "issue the certificate with the extended key usages serverAuth and clientAuth: a node is both server and client"
)

// Fix says how to fix what the rule found, with lines to paste.
func (r Rule) Fix() string { return fixes[r] }
