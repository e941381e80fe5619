#!/bin/sh
# Starts three Erlang nodes on loopback that talk mutual TLS, has each call the
# others, and stops them. With PLAIN=1 a fourth one comes that talks in the clear.
# Needs Erlang and openssl.
set -eu

dir=$(mktemp -d)
pids=
finish() {
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

log=$dir/openssl.log
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
  -subj '/CN=example CA' -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>"$log"

# A key and a certificate for each node, which is client and server, and the file
# that tells its Erlang to use them.
cat >"$dir/node.ext" <<END
subjectAltName=DNS:localhost
extendedKeyUsage=clientAuth,serverAuth
END
certify() { # certify NAME
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj "/CN=$1" -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>>"$log"
  openssl x509 -req -days 365 -in "$dir/$1.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
    -extfile "$dir/node.ext" -out "$dir/$1.pem" 2>>"$log"
  options="{certfile, \"$dir/$1.pem\"}, {keyfile, \"$dir/$1.key\"}, {cacertfile, \"$dir/ca.pem\"},
    {versions, ['tlsv1.3', 'tlsv1.2']}, {verify, verify_peer}"
  echo "[{server, [$options, {fail_if_no_peer_cert, true}]}, {client, [$options]}]." >"$dir/$1.conf"
}

# A node has a file with its cookie, which on the command line anybody could read.
export HOME="$dir"
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/.erlang.cookie"
chmod 400 "$dir/.erlang.cookie"

epmd -address 127.0.0.1 >/dev/null 2>&1 &
pids="$pids $!"

node() { # node NAME [FLAG...]: run a node that talks TLS
  name=$1
  shift
  certify "$name"
  exec erl -noinput -kernel logger_level error connect_all false -sname "$name@localhost" \
    -proto_dist inet_tls -ssl_dist_optfile "$dir/$name.conf" "$@"
}

node orders &
pids="$pids $!"
node billing &
pids="$pids $!"
if [ -n "${PLAIN:-}" ]; then
  erl -noinput -kernel logger_level error -sname plain@localhost &
  pids="$pids $!"
  erl -noinput -kernel logger_level error -sname legacy@localhost -eval '
    true = lists:any(fun(_) -> timer:sleep(200), net_kernel:connect_node(plain@localhost) end, lists:seq(1, 50)),
    init:stop()'
fi

# The third node connects to the others, and these to each other, and ends. Its
# exit code is ours. With connect_all, which is the default, nodes that hear of each
# other dial at the same time, and one of the two connections is given up.
(node stock -eval '
  Retry = fun Retry(_, 0) -> erlang:halt(1);
              Retry(F, N) -> case catch F() of true -> ok; _ -> timer:sleep(200), Retry(F, N - 1) end end,
  Others = [orders@localhost, billing@localhost],
  [Retry(fun() -> net_kernel:connect_node(N) end, 50) || N <- Others],
  Retry(fun() -> erpc:call(hd(Others), net_kernel, connect_node, [lists:last(Others)]) end, 50),
  io:format("cluster of ~b nodes is up~n", [length(nodes()) + 1]),
  init:stop()')
