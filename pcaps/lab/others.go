//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// playOpenSSL records TLS with client certificates that is not distribution.
func playOpenSSL(ctx context.Context, l *lab, s scenario) ([]connection, error) {
	const port = 8443
	c, err := l.captureTo(ctx, s)
	if err != nil {
		return nil, err
	}
	credentials := func(host int) []string {
		return []string{"-cert", l.pki.path(shortName(host) + ".crt"), "-key", l.pki.path(shortName(host) + ".key"), "-CAfile", l.pki.path("ca.crt"), "-tls1_3"}
	}
	argv := append(append([]string{"ip"}, l.net.in(2)...), "openssl", "s_server", "-accept", fmt.Sprint(port), "-Verify", "1", "-verify_return_error", "-www")
	server, err := start("openssl s_server", nil, append(argv, credentials(2)...)...)
	if err != nil {
		return nil, err
	}
	l.onClose(func() { server.stop(os.Interrupt) })
	if _, err := server.await(ctx, "ACCEPT", func(s string) bool { return s == "ACCEPT" }); err != nil {
		return nil, err
	}
	argv = append(append([]string{"ip"}, l.net.in(1)...), "openssl", "s_client", "-quiet", "-connect", fmt.Sprintf("%s:%d", l.net.address(2), port),
		"-servername", hostName(2), "-verify_return_error")
	client, err := start("openssl s_client", nil, append(argv, credentials(1)...)...)
	if err != nil {
		return nil, err
	}
	l.onClose(func() { client.stop(os.Interrupt) })
	if _, err := fmt.Fprint(client.stdin, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return nil, err
	}
	// The status page is only sent to a client whose certificate verified.
	if _, err := client.await(ctx, "HTTP answer", func(s string) bool { return strings.HasPrefix(s, "HTTP/1.0 200") }); err != nil {
		return nil, err
	}
	client.stop(os.Interrupt)
	server.stop(os.Interrupt)
	return []connection{{
		Client: l.net.address(1), Server: l.net.address(2), ServerPort: port,
		Protocol: "tls", StateUp: true, ClientCertificate: "presented", TLSVersion: "1.3",
	}}, c.finish(ctx)
}

// playEPMD records requests to an EPMD from another host, and nothing else.
func playEPMD(ctx context.Context, l *lab, s scenario) ([]connection, error) {
	c, err := l.captureTo(ctx, s)
	if err != nil {
		return nil, err
	}
	if _, err := l.startNode(ctx, nodeSpec{name: "billing", host: 2}); err != nil {
		return nil, err
	}
	// A node that is not distributed: it can ask, and has nothing to register.
	asker, err := l.startNode(ctx, nodeSpec{host: 1})
	if err != nil {
		return nil, err
	}
	for _, q := range []struct{ question, answer string }{
		{fmt.Sprintf("erl_epmd:names(%q).", hostName(2)), "{ok,[{\"billing\","},
		{fmt.Sprintf("erl_epmd:port_please(\"billing\",%q).", hostName(2)), "{port,"},
		{fmt.Sprintf("erl_epmd:port_please(\"nobody\",%q).", hostName(2)), "noport"},
	} {
		answer, err := asker.ask(ctx, q.question)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(answer, q.answer) {
			return nil, fmt.Errorf("%s answered %s, expected %s…", q.question, answer, q.answer)
		}
	}
	return []connection{}, c.finish(ctx)
}
