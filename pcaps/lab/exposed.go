//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
)

// stranger is an address that is nobody's: TEST-NET-3 (RFC 5737).
const stranger = "203.0.113.5"

// strangerOn gives a host the stranger's address, with which it reaches another
// one, and that one the way back.
func (l *lab) strangerOn(ctx context.Context, from, to int) error {
	for _, step := range []string{
		fmt.Sprintf("-n %s addr add %s/32 dev eth0", l.net.namespace(from), stranger),
		fmt.Sprintf("-n %s route add %s/32 dev eth0 src %s", l.net.namespace(from), l.net.address(to), stranger),
		fmt.Sprintf("-n %s route add %s/32 dev eth0", l.net.namespace(to), stranger),
	} {
		if _, err := command(ctx, "ip", strings.Fields(step)...); err != nil {
			return err
		}
	}
	return nil
}

// playExposed records somebody from a public address who tries everything on an
// EPMD, and then comes in with a cookie that everybody knows.
func playExposed(ctx context.Context, l *lab, s scenario) ([]connection, error) {
	if err := l.strangerOn(ctx, 1, 2); err != nil {
		return nil, err
	}
	c, err := l.captureTo(ctx, s)
	if err != nil {
		return nil, err
	}
	billing, err := l.startNode(ctx, nodeSpec{name: "billing", host: 2})
	if err != nil {
		return nil, err
	}
	intruder, err := l.startNode(ctx, nodeSpec{name: "intruder", host: 1})
	if err != nil {
		return nil, err
	}
	for _, n := range []*node{billing, intruder} {
		if answer, err := n.ask(ctx, "erlang:set_cookie(node(),monster)."); err != nil || answer != "true" {
			return nil, fmt.Errorf("setting the cookie: %s %w", answer, err)
		}
	}
	for _, q := range []struct{ request, answer string }{
		{`$n`, "{ok,<<"},                   // NAMES_REQ
		{`$d`, "{error,closed}"},           // DUMP_REQ
		{`$k`, "{error,closed}"},           // KILL_REQ
		{`$s,"billing"`, "{error,closed}"}, // STOP_REQ
		{`$x,4711:16,77,0,6:16,5:16,4:16,"evil",0:16`, "{error,closed}"}, // ALIVE2_REQ
	} {
		answer, err := intruder.ask(ctx, l.toEPMD(2, q.request))
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(answer, q.answer) {
			return nil, fmt.Errorf("EPMD answered %s to %s, expected %s…", answer, q.request, q.answer)
		}
	}
	conn, err := l.dial(ctx, intruder, billing, cleartext(true))
	if err != nil {
		return nil, err
	}
	conn.Client = stranger
	if err := pause(ctx, hold(s)); err != nil {
		return nil, err
	}
	intruder.stop(nil)
	billing.stop(nil)
	return []connection{conn}, c.finish(ctx)
}

// toEPMD is an expression that sends a request, given as segments of a binary, to
// a host's EPMD and returns what comes back.
func (l *lab) toEPMD(host int, request string) string {
	return fmt.Sprintf(`begin B= <<%s>>,{ok,S}=gen_tcp:connect(%q,4369,[binary,{active,false}]),`+
		`ok=gen_tcp:send(S,[<<(size(B)):16>>,B]),A=gen_tcp:recv(S,0,3000),gen_tcp:close(S),A end.`, request, l.net.address(host))
}
