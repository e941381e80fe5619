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
	OptionalClientCert:      "in the ssl_dist_optfile of the server's node (before OTP 26 false is the default, whatever verify is;\nfrom OTP 26 on it is true beside {verify, verify_peer}, unless the file says otherwise):\n{server, [{verify, verify_peer}, {fail_if_no_peer_cert, true}, …]}",
	ClientCertNotVerifiable: "in the ssl_dist_optfile of the server's node:\n{server, [{verify, verify_peer}, {cacertfile, \"/etc/erl/ca.pem\"}, …]}\nand check which CAs that file has",
	ServerCertNotVerifiable: "in the ssl_dist_optfile of the client's node (the default before OTP 26 is verify_none):\n{client, [{verify, verify_peer}, {cacertfile, \"/etc/erl/ca.pem\"}, …]}",
	WeakTLS:                 "in the ssl_dist_optfile, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}\nand for TLS 1.2 only suites with ECDHE and AES-GCM or ChaCha20-Poly1305;\na list without suites of TLS 1.3 keeps such nodes from connecting:\n{ciphers, [\"TLS_AES_256_GCM_SHA384\", \"TLS_AES_128_GCM_SHA256\",\n           \"ECDHE-ECDSA-AES256-GCM-SHA384\",\n           \"ECDHE-RSA-AES256-GCM-SHA384\"]}",
	CertificateExpired:      "renew the certificate, and restart the node or clear its cache with ssl:clear_pem_cache()",
	NotProven:               "the reason says what is missing. Most often it is the connection's beginning: start the capture, then restart the nodes one after another, as for an upgrade. In a maintenance window also, as both nodes take each other for down:\nerlang:disconnect_node(Node), net_kernel:connect_node(Node)",
	MixedListener:           "find out which nodes still dial without -proto_dist inet_tls, and what answers them on this port",
	ResumptionOnMutual:      "in the ssl_dist_optfile, in both sections (since OTP 29.0.6 the default of servers that verify):\n{reuse_sessions, false}",
	HandshakeRefused:        refusedFix,
	EPMDReached:             "let only the cluster's hosts reach EPMD: bind it to their network with the environment variable\n  ERL_EPMD_ADDRESS=10.0.0.1\nand drop the rest in a firewall:\n  nft add rule inet filter input tcp dport 4369 ip saddr != 10.0.0.0/8 drop\nNetworks that may ask are named with --epmd-allow. Nodes with fixed ports need no EPMD (-start_epmd false, -erl_epmd_port)",
	EPMDControlled:          "EPMD takes such requests from its own host only; let no other host reach it (see DP201). If it obeyed one, it is older than that, runs behind a proxy on its own host, or is not OTP's. Start it without -relaxed_command_check",
	NodeNotAllowed:          "find out whose node it is, and keep it out: with certificates, and on the other nodes with\n  net_kernel:allow(['app@n1.example.org', 'app@n2.example.org'])\nNodes that belong there are named with --allow-node. Where TLS hides a name, its host may be known: a pattern for all nodes of a host (*@n1.example.org) needs no more",
	NotWhereAllowed:         "give the nodes fixed ports, and let only the cluster's networks reach these:\n  -kernel inet_dist_listen_min 9100 inet_dist_listen_max 9105\nor, if it is meant so, name it with --allow-network or --allow-port",
	CookieDigestExposed:     "use TLS for distribution, and change the cookie: the old one must count as known. The digest is MD5 of the cookie and of a number that crossed beside it, so whoever recorded both can try cookies on a machine of their own, billions a second, and no node notices. A word does not withstand that, nor does the cookie of twenty capital letters that the runtime makes itself: it has 36 bits",
	KnownCookie:             "set another cookie on all nodes, and in their command-line tools; this makes one:\n  openssl rand -hex 32\nWhoever knows the cookie and reached a node's port could run any program there: look for traces. And use TLS for distribution: a cookie alone keeps nobody out who listens",
	RemoteExecutionExposed:  "use TLS for distribution on both nodes; see DP101",
	NothingToVerify:         "capture where the nodes' traffic passes, from before they connect; if distribution has a fixed port, name it with --port. Where connections were refused, their reasons say what to mend first",
	LossyCapture:            "capture again, to the end, with a larger buffer (tcpdump -B 65536) and whole packets (-s 0)",
	NotSeen:                 "capture where all nodes' traffic passes, from before they connect until they are connected. Nodes whose names TLS hides are expected by their addresses. What need not be there is taken out of expect in the policy",
	ExceptionExpired:        "mend what the exception lets pass, and remove it from the policy; or, if its owner says so, set another day",
	ExceptionIdle:           "remove the exception from the policy, or mend what keeps it from matching: names in TLS may be hidden, then addresses match",
	RuleOff:                 "remove the rule from severities in the policy to see its findings again",
}

// What mends findings that are not mended as their rule says.
const (
	newCertificateFix = "issue the certificate anew, with a key that is ECDSA P-256, Ed25519 or RSA of 3072 bits, signed with SHA-256"
	sharedKeyFix      = "give each node a key and a certificate of its own. If one for all is meant so, there is nothing to mend"
	signatureFix      = "in the ssl_dist_optfile, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}\nor, for TLS 1.2:\n{signature_algs, [{sha512, ecdsa}, {sha384, ecdsa}, {sha256, ecdsa},\n                  rsa_pss_rsae_sha256, {sha256, rsa}]}"

	rabbitMQFix = "there is TLS on port 25672, where nodes of RabbitMQ listen for each other: --port 25672 has it judged. To see who proved what, capture from before the nodes connect"

	// As nodes of Erlang do that dial each other at the same time.
	givenUpFix     = "nothing, if the two nodes are connected all the same: when both dial at once, one connection is given up. Else look into the log of the client's node"
	refusedFix     = "look into the log of the node that refused: it names the reason"
	noTLSFix       = "start both nodes with\n  -proto_dist inet_tls -ssl_dist_optfile /etc/erl/ssl_dist.conf"
	badOptionsFix  = "look into the log of the node that closed: one whose ssl_dist_optfile is missing or has invalid options does so. A program that only tries the port, such as a health check or the diagnosis of rabbitmqctl, does it, too"
	versionsFix    = "in the ssl_dist_optfile of both nodes, in both sections:\n{versions, ['tlsv1.3', 'tlsv1.2']}"
	ciphersFix     = "compare {ciphers, …} and {signature_algs, …} in the ssl_dist_optfile of both nodes, or leave them out"
	certificateFix = "in the ssl_dist_optfile of the client's node:\n{client, [{certfile, \"/etc/erl/node.pem\"},\n          {keyfile, \"/etc/erl/node.key\"}, …]}"
	serverTrustFix = "in the ssl_dist_optfile of the server's node, a file that has the client's CA:\n{server, [{cacertfile, \"/etc/erl/ca.pem\"}, …]}\nor give the client's node a certificate of the CA that the server has"
	clientTrustFix = "in the ssl_dist_optfile of the client's node, a file that has the server's CA:\n{client, [{cacertfile, \"/etc/erl/ca.pem\"}, …]}\nor give the server's node a certificate of the CA that the client has"
	hostFix        = "give the server's node a certificate whose subjectAltName has the host part of its name, as others dial it"
	selfSignedFix  = "make a CA and issue the nodes' certificates with it: OTP refuses one that signed itself, even if it is in the cacertfile"
	expiredFix     = "renew the certificate, or set the clock of the node that refused"
	usageFix       = "issue the certificate with the extended key usages serverAuth and clientAuth: a node is both"
)

// Fix says how to mend what the rule found, with lines to paste.
func (r Rule) Fix() string { return fixes[r] }
