//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cookie is the shared secret of the lab's nodes. It protects nothing.
const cookie = "not-a-secret-lab-cookie"

// tickTime is net_ticktime in seconds: an idle connection sends a tick every
// quarter of it, so that a capture of some seconds has ticks.
const tickTime = 8

// nodeSpec is how one node is started.
type nodeSpec struct {
	name string // the part before the @; empty: not distributed
	host int
	tls  *tlsOptions // nil: distribution in the clear
	port int         // 0: the system chooses one and EPMD knows it

	hidden bool // started with -hidden: not in nodes()
	elixir bool // started by Elixir
}

func (s nodeSpec) fullName() string { return s.name + "@" + hostName(s.host) }

// tlsOptions are the two halves of an ssl_dist_optfile.
type tlsOptions struct {
	server, client side
}

// side is one half. The zero value has no certificate and verifies nothing.
type side struct {
	cert    string // file name in the PKI's folder, without .crt
	verify  bool   // verify_peer with the lab's authority
	require bool   // fail_if_no_peer_cert; only said by a verifying server
	version string // "1.2" or "1.3"; empty: both
	keep    bool   // keep_secrets: the node can write a key log
}

func (s side) erlang(role string, p *pki) string {
	var o []string
	if s.cert != "" {
		o = append(o, fmt.Sprintf("{certfile,%q}", p.path(s.cert+".crt")), fmt.Sprintf("{keyfile,%q}", p.path(s.cert+".key")))
	}
	if s.verify {
		o = append(o, "{verify,verify_peer}", fmt.Sprintf("{cacertfile,%q}", p.path("ca.crt")))
		if role == "server" {
			o = append(o, fmt.Sprintf("{fail_if_no_peer_cert,%t}", s.require))
		}
	} else {
		o = append(o, "{verify,verify_none}")
	}
	// Always said: OTP 25 offers only TLS 1.2 to distribution by itself.
	versions := "'tlsv1.3','tlsv1.2'"
	if s.version != "" {
		versions = fmt.Sprintf("'tlsv%s'", s.version)
	}
	o = append(o, fmt.Sprintf("{versions,[%s]}", versions))
	if s.keep {
		o = append(o, "{keep_secrets,true}")
	}
	return fmt.Sprintf("{%s,[%s]}", role, strings.Join(o, ","))
}

// shell is what a node runs: it evaluates each line of standard input, answers
// with the value on one line, and halts when its input ends, so that no node
// outlives the lab.
const shell = `R=fun R()->case io:get_line("") of eof->halt();` +
	`L->{ok,T,_}=erl_scan:string(L),{ok,E}=erl_parse:parse_exprs(T),` +
	`V=try {value,X,_}=erl_eval:exprs(E,[]),X catch C:W->{C,W} end,` +
	`io:format("=>~0p~n",[V]),R() end end,io:format("ready~n"),R().`

type node struct {
	nodeSpec
	*process // its name is the full one
}

// elixirShell has Elixir evaluate Erlang.
const elixirShell = `:io.setopts(binary: false); {:ok, t, _} = :erl_scan.string(String.to_charlist(System.fetch_env!("LAB_EVAL"))); {:ok, e} = :erl_parse.parse_exprs(t); :erl_eval.exprs(e, [])`

// arguments are what Erlang is started with for a node beside its name, and its
// environment. No argument has a space.
func (l *lab) arguments(spec nodeSpec) (args, env []string, err error) {
	home := filepath.Join(l.dir, l.net.id, spec.name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, nil, err
	}
	env = []string{"HOME=" + home, "ERL_INETRC=" + filepath.Join(l.dir, l.net.id, "inetrc"), "ERL_CRASH_DUMP=/dev/null"}
	if spec.name != "" {
		args = append(args, "-setcookie", cookie, "-start_epmd", "false",
			// Nodes connect when they are told to and not otherwise: the
			// truth must list every connection.
			"-connect_all", "false", "-kernel", "net_ticktime", strconv.Itoa(tickTime))
	}
	if spec.hidden {
		args = append(args, "-hidden")
	}
	if spec.port != 0 {
		port := strconv.Itoa(spec.port)
		args = append(args, "-kernel", "inet_dist_listen_min", port, "inet_dist_listen_max", port)
	}
	if spec.tls != nil {
		file := filepath.Join(home, "ssl_dist.conf")
		text := fmt.Sprintf("[%s,\n %s].\n", spec.tls.server.erlang("server", l.pki), spec.tls.client.erlang("client", l.pki))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, nil, err
		}
		args = append(args, "-proto_dist", "inet_tls", "-ssl_dist_optfile", file)
	}
	return args, env, nil
}

// startNode starts a node and waits until it can be asked.
func (l *lab) startNode(ctx context.Context, spec nodeSpec) (*node, error) {
	env, argv, err := l.nodeCommand(spec, shell)
	if err != nil {
		return nil, err
	}
	p, err := start(spec.fullName(), env, argv...)
	if err != nil {
		return nil, err
	}
	n := &node{spec, p}
	l.onClose(func() { p.stop(nil) })
	_, err = p.await(ctx, "ready", func(s string) bool { return s == "ready" })
	return n, err
}

// nodeCommand is the command that starts a node, to evaluate eval, and what is
// to be in its environment.
func (l *lab) nodeCommand(spec nodeSpec, eval string) (env, argv []string, err error) {
	args, env, err := l.arguments(spec)
	if err != nil {
		return nil, nil, err
	}
	argv = append([]string{"ip"}, l.net.in(spec.host)...)
	if spec.elixir {
		argv = append(argv, "elixir", "--name", spec.fullName(), "--erl", strings.Join(args, " "), "-e", elixirShell)
		return append(env, "LAB_EVAL="+eval), argv, nil
	}
	argv = append(argv, "erl", "-noshell")
	if spec.name != "" {
		argv = append(argv, "-name", spec.fullName())
	}
	return env, append(append(argv, args...), "-eval", eval), nil
}

// ask evaluates an expression on the node and returns its value as text.
func (n *node) ask(ctx context.Context, expression string) (string, error) {
	if _, err := fmt.Fprintln(n.stdin, expression); err != nil {
		return "", fmt.Errorf("%s: asking %s: %w%s", n.fullName(), expression, err, n.said())
	}
	line, err := n.await(ctx, "answer to "+expression, func(s string) bool { return strings.HasPrefix(s, "=>") })
	return strings.TrimPrefix(line, "=>"), err
}

// port is where the node listens for distribution, as its EPMD says.
func (n *node) port(ctx context.Context) (int, error) {
	answer, err := n.ask(ctx, fmt.Sprintf("element(2,erl_epmd:port_please(%q,{127,0,0,1})).", n.nodeSpec.name))
	if err != nil {
		return 0, err
	}
	port, err := strconv.Atoi(answer)
	if err != nil {
		return 0, fmt.Errorf("%s: EPMD answered %q instead of a port", n.fullName(), answer)
	}
	return port, nil
}

// peer is what the node's runtime itself holds about the session with a peer:
// "clear", or the TLS version and whether the peer's certificate is there.
// It reads the state of OTP's TLS processes, whose layout is that of OTP 24
// to 27; the answer is "unknown" if it has another shape.
func (n *node) peer(ctx context.Context, full string) (string, error) {
	return n.ask(ctx, fmt.Sprintf(`begin {_,P}=lists:keyfind('%s',1,erlang:system_info(dist_ctrl)),`+
		`case is_port(P) of true->clear;false->try {_,D}=sys:get_state(P),C=element(2,element(2,D)),`+
		`{ok,I}=ssl_gen_statem:connection_information(C,false),{ok,Z}=ssl_gen_statem:peer_certificate(C),`+
		`{proplists:get_value(protocol,I),is_binary(Z)} catch _:_->unknown end end end.`, full))
}
