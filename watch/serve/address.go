package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

const unixPrefix = "unix:"

// Check finds what makes no sense, before anything is read or bound. Without
// Listen nothing is served, which makes sense.
func (o *Options) Check() error {
	if o.Listen != "" {
		_, err := o.address()
		return err
	}
	if o.CertFile+o.KeyFile+o.ClientCAFile+o.TokenFile != "" {
		return &OptionError{"--tls-cert, --tls-key, --client-ca and --token-file are for what --listen serves", "--listen :9464"}
	}
	return nil
}

// address returns where to listen, if all that this takes is there.
func (o *Options) address() (*address, error) {
	switch {
	case (o.CertFile == "") != (o.KeyFile == ""):
		return nil, &OptionError{"--tls-cert and --tls-key go together", "--tls-cert FILE --tls-key FILE"}
	case o.ClientCAFile != "" && o.CertFile == "":
		return nil, &OptionError{"--client-ca needs TLS", "--tls-cert FILE --tls-key FILE --client-ca FILE"}
	}
	at, err := parseAddress(o.Listen)
	if err != nil {
		return nil, err
	}
	if at.network == "unix" && o.CertFile != "" {
		return nil, &OptionError{"there is no TLS on a Unix socket", "who may connect is up to the folder that it is in"}
	}
	if !at.local && (o.CertFile == "" || o.ClientCAFile == "" && o.TokenFile == "") {
		return nil, &OptionError{
			fmt.Sprintf("--listen %s can be reached from other hosts, and the report names nodes: it needs TLS, and a token or client certificates", o.Listen),
			"--tls-cert FILE --tls-key FILE --token-file FILE\n--tls-cert FILE --tls-key FILE --client-ca FILE\n--listen :9464 serves this host alone",
		}
	}
	return at, nil
}

func parseAddress(text string) (*address, error) {
	if path, ok := strings.CutPrefix(text, unixPrefix); ok {
		if path == "" {
			return nil, &OptionError{"--listen unix: has no path", "--listen unix:/run/distproof/http.sock"}
		}
		return &address{network: "unix", address: path, local: true}, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil && port != "" {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return nil, &OptionError{fmt.Sprintf("--listen %q is no HOST:PORT", text), "--listen :9464 or --listen unix:PATH"}
	}
	if host == "" {
		return &address{network: "tcp", address: net.JoinHostPort("127.0.0.1", port), local: true}, nil
	}
	addrs, err := resolve(host)
	if err != nil {
		return nil, &OptionError{fmt.Sprintf("--listen %s: %v", text, err), "--listen :9464 or an address of this host"}
	}
	at := &address{network: "tcp", address: net.JoinHostPort(addrs[0].String(), port), host: host, local: true}
	if addrs[0].Is4() { // or 0.0.0.0 would be all addresses of IPv6, too
		at.network = "tcp4"
	}
	for _, a := range addrs {
		at.local = at.local && a.IsLoopback()
	}
	return at, nil
}

// resolve returns the addresses of a host, IPv4 first: what listens is one socket.
func resolve(host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var all []netip.Addr
	for _, network := range []string{"ip4", "ip6"} {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
		if err != nil && len(all) == 0 && network == "ip6" {
			return nil, err
		}
		for _, a := range addrs {
			all = append(all, a.Unmap())
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no such host")
	}
	return all, nil
}

func (a *address) listen() (net.Listener, error) {
	if a.network == "unix" {
		return listenUnix(a.address)
	}
	return net.Listen(a.network, a.address)
}

// cannotListen is the error of an address that cannot be bound.
func cannotListen(at string, err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there: end it, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "--listen :9464 or an address of this host"
	}
	return &OptionError{fmt.Sprintf("--listen %s: %v", at, err), hint}
}

// listenUnix replaces a socket that nobody has open any more: one that was killed,
// or that ended without the right to, leaves it. Anything else stays. Its owner and
// group may connect.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			conn.Close()
			return nil, syscall.EADDRINUSE
		}
		const wsaRefused = syscall.Errno(10061) // what Windows says
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, wsaRefused) {
			return nil, fmt.Errorf("the socket that is there is not replaced: %w", err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
